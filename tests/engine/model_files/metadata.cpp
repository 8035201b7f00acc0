#include <engine/model_files/gguf_model.hpp>

#include <engine/files/json.hpp>
#include <engine/model/config_json.hpp>
#include <engine/model/family.hpp>
#include <engine/model/known_keys.hpp>
#include <engine/model_files/load.hpp>
#include <engine/model_files/model_card.hpp>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "engine/tiny_models.hpp"
#include "engine/tokenizers.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <map>
#include <set>

using namespace support;
using engine::key_use;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> words(std::string_view list) {
  std::vector<std::string> all;
  for (std::size_t at = 0; at < list.size();) {
    const std::size_t stop = std::min(list.find(' ', at), list.size());
    if (stop != at) all.emplace_back(list.substr(at, stop - at));
    at = stop + 1;
  }
  return all;
}

/// A word of a table as JSON, and a value of the same type that is in no table.
engine::json value_of(const std::string& word) {
  if (word == "true" || word == "false") return word == "true";
  if (word.find_first_not_of("-0123456789") == std::string::npos) return std::stoi(word);
  return word;
}
engine::json other_than(const std::string& words_of_row) {
  const std::vector<std::string> all = words(words_of_row);
  if (all.empty()) return 7;
  const engine::json first = value_of(all.front());
  if (first.is_boolean()) return !first.get<bool>();
  if (first.is_number()) return 7.5;
  return "something else";
}

std::vector<engine::config> tiny_models() { return {tiny_gpt2(), tiny_llama(), tiny_opt(), tiny_phi(), tiny_bert()}; }

engine::config parsed(const engine::config& c, const std::string& key, const engine::json& value) {
  engine::json j = engine::parse_json(engine::config_json(c), "test");
  j[key] = value;
  return engine::parse_config(j.dump(), "config.json");
}
std::string refused(const engine::config& c, const std::string& key, const engine::json& value) {
  return refusal([&] { (void)parsed(c, key, value); });
}

/// A value that changes the model, for the keys that the engine reads.
const std::map<std::string, std::string> changes{{"model_type", "\"mamba\""},
                                                 {"layer_norm_epsilon", "0.5"},
                                                 {"layer_norm_eps", "0.5"},
                                                 {"rms_norm_eps", "0.5"},
                                                 {"activation_function", "\"gelu\""},
                                                 {"hidden_act", "\"relu\""},
                                                 {"scale_attn_weights", "false"},
                                                 {"scale_attn_by_inverse_layer_idx", "true"},
                                                 {"add_cross_attention", "true"},
                                                 {"rope_theta", "5e5"},
                                                 {"rope_scaling", R"({"type": "linear", "factor": 4.0})"},
                                                 {"rope_parameters", R"({"rope_type": "yarn", "factor": 4.0})"},
                                                 {"partial_rotary_factor", "0.5"},
                                                 {"attention_bias", "true"},
                                                 {"mlp_bias", "true"},
                                                 {"qk_layernorm", "true"},
                                                 {"do_layer_norm_before", "false"},
                                                 {"enable_bias", "false"},
                                                 {"layer_norm_elementwise_affine", "false"},
                                                 {"_remove_final_layer_norm", "true"},
                                                 {"position_embedding_type", "\"relative_key\""},
                                                 {"problem_type", "\"regression\""},
                                                 {"is_decoder", "true"},
                                                 {"id2label", "[1]"},
                                                 {"num_labels", "5"}};

}  // namespace

TEST_CASE("config.json: every known key is honoured, refused by name and value, or changes nothing",
          "[engine][metadata][property]") {
  for (const engine::config& c : tiny_models()) {
    const std::string family(engine::family_of(c).model_type);
    std::set<std::string> seen;
    for (const engine::key_row& row : engine::config_json_keys())
      for (const std::string& key : words(row.keys)) {
        CAPTURE(family, key);
        const engine::key_row* const found = engine::find_key(engine::config_json_keys(), key, family);
        const bool asks_for_nothing = row.use == key_use::ignored || row.use == key_use::neutral;
        if (found != &row) continue;                                                         // another family's
        if (asks_for_nothing && engine::has_word(engine::family_of(c).keys, key)) continue;  // read by this one
        CHECK(seen.insert(key).second);
        if (key != "model_type" && row.use != key_use::extent) CHECK(parsed(c, key, nullptr).width == c.width);
        switch (row.use) {
          case key_use::extent:
            for (const std::string value : {"0", "-1", "64.0", "\"64\"", "9223372036854775808", "true"})
              CHECK_THAT(refused(c, key, engine::parse_json(value, "test")), ContainsSubstring("\"" + key + "\" is "));
            break;
          case key_use::window:
            CHECK(parsed(c, key, c.context) == c);
            CHECK_THAT(refused(c, key, c.context - 1),
                       ContainsSubstring("config.json: key \"" + key + "\" is the number 5") &&
                           ContainsSubstring("at least the context of 6"));
            break;
          case key_use::neutral: {
            for (const std::string& word : words(row.neutral)) {
              CHECK(parsed(c, key, value_of(word)) == c);
              CHECK(parsed(c, key, engine::json::array({value_of(word), value_of(word)})) == c);  // one per layer
            }
            CHECK(parsed(c, key, engine::json::object()) == c);
            const engine::json other = other_than(std::string(row.neutral));
            CHECK_THAT(refused(c, key, other),
                       ContainsSubstring("config.json: key \"" + key + "\" is " + engine::type_of(other)));
            break;
          }
          case key_use::ignored: CHECK(parsed(c, key, 7.5) == c); break;
          case key_use::read: {
            if (key == "bos_token_id" || key == "eos_token_id") break;  // their own test
            engine::json value = !c.tied_head;                          // tie_word_embeddings
            if (key != "tie_word_embeddings") {
              REQUIRE(changes.contains(key));
              value = engine::parse_json(changes.at(key), "test");
            }
            if (family == "phi" && key == "partial_rotary_factor") value = 1.0;  // 0.5 is the tiny model's
            const std::string error = refused(c, key, value);
            if (error.empty()) CHECK_FALSE(parsed(c, key, value) == c);
            if (!error.empty())
              CHECK_THAT(error, ContainsSubstring("\"" + (key.starts_with("rope_") ? "rope_type" : key)));
            break;
          }
          case key_use::unapplied: FAIL("config.json has no such row");
        }
      }
  }
}

TEST_CASE("config.json: rotary settings in rope_parameters are those outside", "[engine][metadata][worked-example]") {
  const auto with = [](const engine::config& c, const std::string& nested) {
    engine::json j = engine::parse_json(engine::config_json(c), "test");
    j.erase("rope_theta");
    j.erase("partial_rotary_factor");
    j["rope_parameters"] = engine::parse_json(nested, "test");
    return engine::parse_config(j.dump(), "config.json");
  };
  // Heads of width 4: a factor of 0.5 rotates 2 features, 1.0 all 4.
  CHECK(with(tiny_phi(), R"({"rope_theta": 1e4, "rope_type": "default"})").rotary_width == 2);
  CHECK(with(tiny_phi(), R"({"rope_theta": 1e4, "partial_rotary_factor": 1.0})").rotary_width == 4);
  CHECK(with(tiny_phi(), R"({"rope_theta": 5e5, "type": "default"})").rope_theta == 5e5f);
  CHECK(with(tiny_llama(), R"({"rope_type": "linear", "factor": 1.0})") == tiny_llama());
  CHECK(with(tiny_llama(), R"({"rope_type": "dynamic", "factor": 1})") == tiny_llama());
  CHECK(with(tiny_llama(), R"({"attention_factor": 1.0, "original_max_position_embeddings": 6})") == tiny_llama());
  CHECK(with(tiny_llama(), "{}") == tiny_llama());
  const auto says = [&](const engine::config& c, const std::string& nested) {
    return refusal([&] { (void)with(c, nested); });
  };
  CHECK_THAT(says(tiny_llama(), R"({"partial_rotary_factor": 0.5})"),
             ContainsSubstring("key \"partial_rotary_factor\" is 0.5"));
  CHECK_THAT(says(tiny_phi(), R"({"partial_rotary_factor": 1.5})"), ContainsSubstring("at most 1"));
  for (const std::string type : {"linear", "dynamic", "yarn", "longrope", "llama3", "su", "mrope", "ntk"})
    for (const std::string key : {"type", "rope_type"})
      CHECK_THAT(says(tiny_phi(), R"({")" + key + R"(": ")" + type + R"(", "factor": 4.0})"),
                 ContainsSubstring("\"rope_type\" is \"" + type + "\""));
  for (const std::string key : {"factor", "attention_factor", "mrope_section", "short_factor", "full_attention"})
    CHECK_THAT(says(tiny_llama(), R"({")" + key + R"(": 4.0})"),
               ContainsSubstring("config.json: key \"" + key + "\" is the number 4.0"));
  CHECK_THAT(says(tiny_llama(), "3"), ContainsSubstring("\"rope_parameters\" is the number 3; expected an object"));

  engine::json twice = engine::parse_json(engine::config_json(tiny_llama()), "test");
  twice["rope_parameters"] = {{"rope_theta", 5e5}};
  CHECK_THAT(refusal([&] { (void)engine::parse_config(twice.dump(), "c"); }),
             ContainsSubstring("key \"rope_theta\" is the number 500000.0 in one place and the number 1e+04") ||
                 ContainsSubstring("key \"rope_theta\" is the number 500000.0 in one place and the number 10000"));
}

TEST_CASE("config.json: text that is not plain JSON is refused by name", "[engine][metadata][refusal]") {
  const std::string good = engine::config_json(tiny_gpt2());
  const auto says = [](const std::string& text) { return refusal([&] { (void)engine::parse_config(text, "c"); }); };
  CHECK(says(good).empty());
  CHECK_THAT(says("\xEF\xBB\xBF" + good), ContainsSubstring("c: JSON with a byte order mark"));
  CHECK_THAT(says("\xFF\xFE{"), ContainsSubstring("c: JSON with a byte order mark"));
  std::string twice = good;
  twice.insert(1, "\"n_head\": 2,");
  CHECK_THAT(says(twice), ContainsSubstring("the key \"n_head\" occurs twice"));
  CHECK_THAT(refused(tiny_gpt2(), "layer_norm_epsilon", 1e-60), ContainsSubstring("\"layer_norm_epsilon\" is 1e-60"));
  CHECK_THAT(refused(tiny_llama(), "rope_theta", "10000"), ContainsSubstring("\"rope_theta\" is the string"));
}

TEST_CASE("the ends of a text are those of config.json and generation_config.json",
          "[engine][metadata][worked-example]") {
  const temporary_folder folder;
  engine::save(sample_weights(tiny_gpt2()), folder / "m");
  const std::string config = slurp(folder / "m/config.json");
  const auto load_with = [&](const engine::json& eos, const std::string& generation) {
    engine::json j = engine::parse_json(config, "test");
    j["bos_token_id"] = 5;
    if (!eos.is_null()) j["eos_token_id"] = eos;
    put(folder / "m/config.json", j.dump());
    fs::remove(folder / "m/generation_config.json");
    if (!generation.empty()) put(folder / "m/generation_config.json", generation);
    return engine::load(folder / "m");
  };
  using tokens = std::vector<precis::token>;
  CHECK(load_with(7, "").eos == tokens{7});
  CHECK(load_with({7, 9}, "").eos == tokens{7, 9});
  CHECK(load_with(nullptr, R"({"eos_token_id": [7, 8]})").eos == tokens{7, 8});
  CHECK(load_with({7, 9}, R"({"eos_token_id": [8, 7]})").eos == tokens{7, 9, 8});
  CHECK(load_with(nullptr, "").eos.empty());
  CHECK(load_with({300, -1, 4}, "").eos == tokens{4});  // the others are no tokens of the model
  CHECK(load_with(7, "").bos == 5);
  for (const engine::json& bad : {engine::json("7"), engine::json(7.0), engine::json(-2), engine::json(true),
                                  engine::json::array({7, "8"}), engine::json(std::uint64_t{1} << 63)})
    CHECK_THAT(refusal([&] { (void)load_with(bad, ""); }),
               ContainsSubstring("config.json: key \"eos_token_id\" is ") && ContainsSubstring("a token's id"));
  CHECK_THAT(refusal([&] { (void)load_with(7, R"({"eos_token_id": "8"})"); }),
             ContainsSubstring("generation_config.json: key \"eos_token_id\""));

  // What is not applied is named, in one warning per file.
  const engine::bundle b = load_with(7, R"({"repetition_penalty": 1.2, "suppress_tokens": [1], "temperature": 0.7,
                                            "min_length": 0, "guidance_scale": 1.0, "novelty": null, "mystery": 3})");
  REQUIRE(b.warnings.size() == 1);
  CHECK_THAT(b.warnings[0], ContainsSubstring("generation_config.json: keys that this engine does not know or apply: "
                                              "mystery, repetition_penalty, suppress_tokens"));
  engine::json odd = engine::parse_json(config, "test");
  odd["flux_capacitor"] = true;
  odd["dropout"] = 0.1;
  put(folder / "m/config.json", odd.dump());
  fs::remove(folder / "m/generation_config.json");
  const engine::bundle unknown = engine::load(folder / "m");
  REQUIRE(unknown.warnings.size() == 1);
  CHECK_THAT(unknown.warnings[0], ContainsSubstring("config.json: keys that this engine does not know or apply: "
                                                    "flux_capacitor"));
}

namespace {

/// A GGUF file of zeros with these keys, of which later ones replace earlier ones.
std::string gguf_text(const temporary_folder& folder, const engine::config& c, const engine::gguf_metadata& more,
                      const std::string& without = {}) {
  const std::string name(engine::family_of(c).model_type);
  const auto number = [](std::size_t n) { return engine::gguf_item(static_cast<std::uint32_t>(n)); };
  engine::gguf_metadata keys{{"general.architecture", name},
                             {name + ".context_length", number(c.context)},
                             {name + ".embedding_length", number(c.width)},
                             {name + ".block_count", number(c.layers)},
                             {name + ".feed_forward_length", number(c.hidden)},
                             {name + ".attention.head_count", number(c.heads)},
                             {name + ".attention.head_count_kv", number(c.kv_heads)}};
  for (const auto& [key, item] : more) {
    std::erase_if(keys, [&](const auto& k) { return k.first == key; });
    keys.emplace_back(key, item);
  }
  std::erase_if(keys, [&](const auto& k) { return k.first == without; });
  std::vector<engine::gguf_declaration> tensors;
  for (engine::tensor_shape& t : engine::expected_tensors(c)) {
    if (t.in_major) std::swap(t.shape[0], t.shape[1]);
    tensors.push_back({engine::gguf_name(c, t.name), "float32", t.shape});
  }
  engine::gguf_writer writer(folder / "x.gguf", keys, tensors);
  for (const engine::gguf_declaration& t : tensors)
    writer.write(std::vector<std::byte>(engine::gguf_bytes(t.format, t.shape)));
  writer.commit();
  return slurp(folder / "x.gguf");
}

engine::gguf_item item_of(const engine::json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer() && value >= 0) return value.get<std::uint32_t>();
  if (value.is_number()) return value.get<float>();
  return value.get<std::string>();
}

}  // namespace

TEST_CASE("GGUF: every known key is honoured, refused by name and value, or changes nothing",
          "[engine][metadata][gguf][property]") {
  const temporary_folder folder;
  const std::map<std::string, float> changes_of_reals{
      {".attention.layer_norm_epsilon", 0.5f}, {".attention.layer_norm_rms_epsilon", 0.5f}, {".rope.freq_base", 5e5f}};
  for (const engine::config& c : {tiny_gpt2(), tiny_llama()}) {
    const std::string family(engine::family_of(c).model_type);
    const auto parse = [&](const std::string& key, const engine::gguf_item& item) {
      return engine::parse_gguf_model(as_bytes(gguf_text(folder, c, {{key, item}})), "x.gguf");
    };
    const auto says = [&](const std::string& key, const engine::gguf_item& item) {
      return refusal([&] { (void)parse(key, item); });
    };
    const engine::config plain = engine::parse_gguf_model(as_bytes(gguf_text(folder, c, {})), "x.gguf").config;
    for (const engine::key_row& row : engine::gguf_model_keys())
      for (const std::string& name : words(row.keys)) {
        if (engine::find_key(engine::gguf_model_keys(), name, family) != &row) continue;
        const std::string key = name.starts_with('.') ? family + name : name;
        CAPTURE(key);
        switch (row.use) {
          case key_use::extent:
            for (const engine::gguf_item& bad : {engine::gguf_item(std::uint32_t{0}), engine::gguf_item(64.f),
                                                 engine::gguf_item(std::string("64")), engine::gguf_item(0xFFFFFFFFu)})
              CHECK_THAT(says(key, bad), ContainsSubstring("\"" + key + "\" is "));
            break;
          case key_use::window:
            CHECK(parse(key, std::uint32_t{0}).config == plain);
            CHECK(parse(key, std::uint32_t{6}).config == plain);
            CHECK_THAT(says(key, std::uint32_t{5}), ContainsSubstring("x.gguf: key \"" + key + "\" is 5"));
            break;
          case key_use::neutral:
            for (const std::string& word : words(row.neutral)) {
              CHECK(parse(key, item_of(value_of(word))).config == plain);
              if (value_of(word).is_number() && !name.starts_with("split.")) {
                const float value = value_of(word).get<float>();
                CHECK(parse(key, std::vector<float>{value, value}).config == plain);  // one per layer
                CHECK_THAT(says(key, std::vector<float>{value, 7.5f}),
                           ContainsSubstring("\"" + key + "\" is an array"));
              }
            }
            CHECK_THAT(says(key, item_of(other_than(std::string(row.neutral)))),
                       ContainsSubstring("x.gguf: key \"" + key + "\" is "));
            break;
          case key_use::ignored: CHECK(parse(key, 7.5f).config == plain); break;
          case key_use::read: CHECK_FALSE(parse(key, changes_of_reals.at(name)).config == plain); break;
          case key_use::unapplied: FAIL("GGUF has no such row");
        }
      }
  }
}

TEST_CASE("GGUF: one number per layer is accepted if all are equal", "[engine][metadata][gguf][worked-example]") {
  const temporary_folder folder;
  const auto parse = [&](const engine::gguf_metadata& keys) {
    return engine::parse_gguf_model(as_bytes(gguf_text(folder, tiny_llama(), keys)), "x.gguf");
  };
  using list = std::vector<std::int32_t>;
  CHECK(parse({{"llama.attention.head_count", list{2, 2}},
               {"llama.attention.head_count_kv", list{1, 1}},
               {"llama.feed_forward_length", list{12, 12}}})
            .config == parse({}).config);
  CHECK_THAT(refusal([&] { (void)parse({{"llama.attention.head_count_kv", list{1, 2}}}); }),
             ContainsSubstring("\"llama.attention.head_count_kv\" is an array") && ContainsSubstring("2 equal ones"));
  CHECK_THAT(refusal([&] { (void)parse({{"llama.feed_forward_length", list{12}}}); }),
             ContainsSubstring("\"llama.feed_forward_length\" is an array of 1"));
  CHECK_THAT(refusal([&] { (void)parse({{"llama.vocab_size", std::uint32_t{301}}}); }),
             ContainsSubstring("\"llama.vocab_size\" is 301; expected 300"));
  CHECK_THAT(refusal([&] { (void)parse({{"general.type", std::string("adapter")}}); }),
             ContainsSubstring("\"general.type\" is \"adapter\"; expected model"));

  const engine::gguf_model m = parse({{"llama.flux.capacitor", true}, {"llama.warp", 2.f}, {"other.key", 1u}});
  REQUIRE(m.warnings.size() == 1);
  CHECK(m.warnings[0] == "x.gguf: keys that this engine does not know: llama.flux.capacitor, llama.warp");
  CHECK(parse({}).warnings.empty());
  const engine::gguf_model ends = parse(
      {{"tokenizer.ggml.eos_token_id", 4u}, {"tokenizer.ggml.eot_token_id", 7u}, {"tokenizer.ggml.eom_token_id", 4u}});
  CHECK(ends.eos == std::vector<precis::token>{4, 7});
}

namespace {

engine::gguf_keys keys_of(const engine::gguf_header& h) { return {h, "m.gguf"}; }

/// A GPT-2 with 300 rows of embeddings, the 256 bytes, and what the merges make.
void put_gpt2(const fs::path& folder, const merge_list& merges) {
  engine::save(sample_weights(tiny_gpt2()), folder);
  put(folder / "vocab.json", vocabulary_json(merges));
  put(folder / "merges.txt", merges_text(merges));
}

}  // namespace

TEST_CASE("GGUF: an exported file keeps what the tokenizer's files say", "[engine][metadata][gguf][worked-example]") {
  const temporary_folder folder;
  const fs::path m = folder / "m";
  put_gpt2(m, {{"a", "b"}});
  const std::size_t size = engine::load_tokenizer(m).size();
  const std::string n0 = std::to_string(size), n1 = std::to_string(size + 1), n2 = std::to_string(size + 3);
  put(m / "added_tokens.json", "{\"<tool>\": " + n0 + ", \"<|im_end|>\": " + n1 + "}");
  put(m / "tokenizer_config.json",
      R"({"add_bos_token": true, "bos_token": {"content": "ab"}, "eos_token": "<|im_end|>", "pad_token": "<|sys|>",
      "added_tokens_decoder": {")" +
          n2 +
          R"(": {"content": "<|sys|>", "special": true}},
      "chat_template": "{{ messages }}"})");
  engine::json config = engine::parse_json(slurp(m / "config.json"), "test");
  config["eos_token_id"] = {size + 1, 3, 4, 5};
  put(m / "config.json", config.dump());
  put(m / "README.md",
      "---\nlicense: mit\nbase_model:\n- openai/gpt2\ntags: [a, 'b c']\nlanguage: en\nmodel-index:\n"
      "- name: x\n  results: 3\n---\n# Title\nlicense: none\n");
  const engine::compressed_sizes sizes = engine::write_gguf(m, folder / "m.gguf", {});
  REQUIRE(sizes.warnings.size() == 1);
  CHECK_THAT(sizes.warnings[0], ContainsSubstring("GGUF has keys for 3 of the 4 tokens that end a text"));

  const engine::mapped_file file(folder / "m.gguf");
  const engine::gguf_header h = engine::parse_gguf(file.bytes(), "m.gguf");
  const engine::gguf_keys keys = keys_of(h);
  CHECK(keys.flag_or("tokenizer.ggml.add_bos_token", false));
  CHECK_FALSE(keys.flag_or("tokenizer.ggml.add_eos_token", true));
  const auto tokens = keys.texts("tokenizer.ggml.tokens");
  const auto types = keys.integers("tokenizer.ggml.token_type");
  REQUIRE(tokens.size() == 300);
  CHECK(tokens[size] == "<tool>");
  CHECK(types[size] == 4);  // user defined: text
  CHECK(tokens[size + 1] == "<|im_end|>");
  CHECK(types[size + 1] == 3);  // control
  CHECK(tokens[size + 2] == "[PAD" + std::to_string(size + 2) + "]");
  CHECK(types[size + 2] == 5);  // unused
  CHECK(tokens[size + 3] == "<|sys|>");
  CHECK(types[size + 3] == 3);
  CHECK(tokens[keys.whole_number("tokenizer.ggml.bos_token_id")] == "ab");
  CHECK(keys.whole_number("tokenizer.ggml.eos_token_id") == size + 1);
  CHECK(keys.whole_number("tokenizer.ggml.eot_token_id") == 3);
  CHECK(keys.whole_number("tokenizer.ggml.eom_token_id") == 4);
  CHECK(keys.whole_number("tokenizer.ggml.padding_token_id") == size + 3);
  CHECK(keys.find("tokenizer.ggml.unknown_token_id") == nullptr);
  CHECK(keys.text("tokenizer.chat_template") == "{{ messages }}");
  CHECK(keys.text("general.type") == "model");
  CHECK(keys.text("general.size_label") == "3.5K");  // 300 x 8 + 6 x 8 + 2 blocks of 532 + 16 = 3528
  CHECK(keys.whole_number("gpt2.vocab_size") == 300);
  CHECK(keys.text("general.license") == "mit");
  CHECK(keys.whole_number("general.base_model.count") == 1);
  CHECK(keys.text("general.base_model.0.name") == "gpt2");
  CHECK(keys.text("general.base_model.0.organization") == "openai");
  CHECK(keys.texts("general.tags") == std::vector<std::string_view>{"a", "b c"});
  CHECK(keys.texts("general.languages") == std::vector<std::string_view>{"en"});

  // The file says of documents what the folder says.
  const engine::bundle back = engine::load(folder / "m.gguf"), original = engine::load(m);
  CHECK(back.tokenizer.encode("ba ab") == original.tokenizer.encode("ba ab"));
  CHECK(back.eos == std::vector<precis::token>{static_cast<precis::token>(size + 1), 3, 4});

  // Templates with names, and the one of a file of its own.
  put(m / "tokenizer_config.json", R"({"chat_template": [{"name": "default", "template": "D"},
                                                         {"name": "tool_use", "template": "T"}]})");
  engine::write_gguf(m, folder / "named.gguf", {});
  put(m / "chat_template.jinja", "J");
  engine::write_gguf(m, folder / "jinja.gguf", {});
  const engine::mapped_file named(folder / "named.gguf"), jinja(folder / "jinja.gguf");
  const engine::gguf_header a = engine::parse_gguf(named.bytes(), "a"), b = engine::parse_gguf(jinja.bytes(), "b");
  CHECK(keys_of(a).text("tokenizer.chat_template") == "D");
  CHECK(keys_of(a).text("tokenizer.chat_template.tool_use") == "T");
  CHECK(keys_of(a).texts("tokenizer.chat_templates") == std::vector<std::string_view>{"tool_use"});
  CHECK_FALSE(keys_of(a).flag_or("tokenizer.ggml.add_bos_token", true));
  CHECK(keys_of(b).text("tokenizer.chat_template") == "J");

  put(m / "added_tokens.json", "{\"<tool>\": " + n2 + "}");
  put(m / "tokenizer_config.json", R"({"added_tokens_decoder": {")" + n2 + R"(": {"content": "<|sys|>"}}})");
  CHECK_THAT(refusal([&] { engine::write_gguf(m, folder / "two.gguf", {}); }),
             ContainsSubstring("id " + n2 + " has two tokens, one is \"<tool>\"; expected one token per id"));
  fs::remove(m / "vocab.json");
  fs::remove(m / "merges.txt");
  const engine::compressed_sizes bare = engine::write_gguf(m, folder / "bare.gguf", {});
  REQUIRE_FALSE(bare.warnings.empty());
  CHECK_THAT(bare.warnings[0], ContainsSubstring("has no tokenizer"));
}

TEST_CASE("GGUF: a Llama with a tok*.bin keeps what the other files say", "[engine][metadata][gguf][worked-example]") {
  const temporary_folder folder;
  engine::save(sample_weights(tiny_llama()), folder / "m");
  put(folder / "m/tokenizer.bin", score_file({{" a", -1.5f}}));  // pieces 0 to 259
  put(folder / "m/added_tokens.json", R"({"<s>": 1, "<tool>": 260})");
  put(folder / "m/tokenizer_config.json", R"({"chat_template": "T", "additional_special_tokens": ["<tool>"]})");
  put(folder / "m/generation_config.json", R"({"eos_token_id": [260, 2], "top_k": 40, "temperature": 0.5})");
  engine::write_gguf(folder / "m", folder / "m.gguf", {});
  const engine::mapped_file file(folder / "m.gguf");
  const engine::gguf_header h = engine::parse_gguf(file.bytes(), "m.gguf");
  const engine::gguf_keys keys = keys_of(h);
  CHECK(keys.text("tokenizer.chat_template") == "T");
  CHECK(keys.texts("tokenizer.ggml.tokens")[260] == "<tool>");
  const auto types = keys.integers("tokenizer.ggml.token_type");
  CHECK(std::vector<std::int32_t>{types[1], types[259], types[260], types[261]} ==
        std::vector<std::int32_t>{3, 1, 3, 5});
  CHECK(keys.whole_number("tokenizer.ggml.eos_token_id") == 2);
  CHECK(keys.whole_number("tokenizer.ggml.eot_token_id") == 260);
  CHECK(keys.whole_number("general.sampling.top_k") == 40);
  CHECK(keys.number_or("general.sampling.temp", 0) == 0.5);
  CHECK(keys.find("general.sampling.top_p") == nullptr);
  CHECK(engine::load(folder / "m.gguf").eos == std::vector<precis::token>{2, 260});
}

TEST_CASE("a GGUF file that is made from another keeps its keys", "[engine][metadata][gguf][property]") {
  const temporary_folder folder;
  for (const engine::config& tiny : {tiny_gpt2(), tiny_llama(false)}) {
    engine::config c = tiny;
    c.width = 32;
    const engine::weights w = sample_weights(c);
    engine::save(w, folder / "m", engine::dtype::f16, {}, engine::atomic_folder::existing::replace);
    engine::write_gguf(folder / "m", folder / "first.gguf", {},
                       {.existing = engine::atomic_folder::existing::replace, .tokenizer = {}, .made_from = {}});
    const std::string first = slurp(folder / "first.gguf");
    const precis::matrix_info info = engine::matrices_of(c)[0];
    engine::compressed_matrix one{.name = info.name, .codec = "float32", .bytes = 4 * info.out * info.in, .pack = {}};
    one.pack = [&](std::span<std::byte> to) {
      std::vector<float> values;
      const precis::weight_view view = engine::map_of(w, 0).view();
      for (std::size_t r = 0; r < view.rows; ++r)
        for (std::size_t i = 0; i < view.cols; ++i) values.push_back(view(r, i));
      engine::encode(engine::dtype::f32, values, to);
    };
    engine::write_gguf(folder / "first.gguf", folder / "second.gguf", std::span(&one, 1),
                       {.existing = engine::atomic_folder::existing::replace,
                        .tokenizer = {},
                        .made_from = "0123456789abcdef",
                        .files = {{"model.plan", "p"}}});
    const engine::bundle back = engine::load(folder / "second.gguf");
    CHECK(same(back.weights, w));
    CHECK(back.made_from == "0123456789abcdef");
    CHECK(back.find(one.name)->format == "F32");
    const std::string second = slurp(folder / "second.gguf");
    const engine::gguf_header a = engine::parse_gguf(as_bytes(first), "a"),
                              b = engine::parse_gguf(as_bytes(second), "b");
    CHECK(keys_of(b).text("precis.model.plan") == "p");
    for (const engine::gguf_stored& k : a.stored) {
      CAPTURE(k.key);
      const auto at = std::ranges::find(b.stored, k.key, &engine::gguf_stored::key);
      REQUIRE(at != b.stored.end());
      if (k.key != "general.file_type") CHECK(std::ranges::equal(at->value, k.value));
    }
  }
}

TEST_CASE("a model card: plain values and lists at its top level", "[engine][metadata][worked-example]") {
  const auto text_of = [](const engine::gguf_metadata& keys, const std::string& key) {
    for (const auto& [name, item] : keys)
      if (name == key) return std::get<std::string>(item);
    return std::string("absent");
  };
  const auto keys = engine::model_card_keys(std::string_view(
      "---\r\n# a comment\nlicense: \"other\"\nlicense_name: 'my: licence'\nauthor: Somebody\nbase_model: tiny\n"
      "extra:\n  license: nested\n---\nlicense: text\n"));
  CHECK(text_of(keys, "general.license") == "other");
  CHECK(text_of(keys, "general.license.name") == "my: licence");
  CHECK(text_of(keys, "general.author") == "Somebody");
  CHECK(text_of(keys, "general.base_model.0.name") == "tiny");
  CHECK(text_of(keys, "general.base_model.0.organization") == "absent");
  for (const std::string_view none :
       {"", "---", "---\nlicense: mit\n", "# Title\n---\nlicense: mit\n---\n", "---\n---\n"})
    CHECK(engine::model_card_keys(none).empty());
}
