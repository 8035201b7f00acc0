#include <engine/model_files/source.hpp>

#include <engine/files/json.hpp>
#include <engine/model/config_json.hpp>
#include <engine/model/family.hpp>
#include <engine/model_files/load.hpp>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "engine/tiny_models.hpp"
#include "refusal.hpp"
#include "shared.hpp"

#include <cmath>
#include <functional>
#include <limits>

using namespace support;
using engine::architecture;

namespace {

/// A config.json with one key set to a JSON text, or removed if the text is empty.
std::string with(const engine::config& c, const std::string& key, const std::string& value) {
  engine::json j = engine::parse_json(engine::config_json(c), "test");
  if (value.empty())
    j.erase(key);
  else
    j[key] = engine::parse_json(value, "test");
  return j.dump();
}

std::string gpt2_refused(const std::string& key, const std::string& value) {
  return refusal([&] { (void)engine::parse_config(with(tiny_gpt2(), key, value), "config.json"); });
}
std::string llama_refused(const std::string& key, const std::string& value) {
  return refusal([&] { (void)engine::parse_config(with(tiny_llama(), key, value), "config.json"); });
}
std::string opt_refused(const std::string& key, const std::string& value) {
  return refusal([&] { (void)engine::parse_config(with(tiny_opt(), key, value), "config.json"); });
}
std::string phi_refused(const std::string& key, const std::string& value) {
  return refusal([&] { (void)engine::parse_config(with(tiny_phi(), key, value), "config.json"); });
}
std::string bert_refused(const std::string& key, const std::string& value) {
  return refusal([&] { (void)engine::parse_config(with(tiny_bert(), key, value), "config.json"); });
}

}  // namespace

TEST_CASE("config.json: reading returns what was written", "[engine][source][property]") {
  for (engine::config c : {tiny_gpt2(), tiny_llama(), tiny_llama(false), tiny_opt(), tiny_phi(), tiny_bert()}) {
    if (c.architecture != architecture::opt) c.norm_epsilon = 1e-6f;  // an OPT's file does not store it
    CHECK(engine::parse_config(engine::config_json(c), "config.json") == c);
  }
  CHECK(engine::config_json(tiny_gpt2()).find("1e-05") != std::string::npos);
}

TEST_CASE("config.json: defaults are Hugging Face's", "[engine][source][worked-example]") {
  const engine::config g = engine::parse_config(
      R"({"model_type":"gpt2","n_layer":1,"n_head":2,"n_embd":4,"vocab_size":9,"n_ctx":5,"n_inner":null})", "c");
  CHECK(g.hidden == 16);
  CHECK(g.context == 5);
  CHECK(g.tied_head);
  CHECK(g.activation == engine::activation::gelu_tanh);
  const engine::config l = engine::parse_config(
      R"({"model_type":"llama","num_hidden_layers":1,"num_attention_heads":2,"hidden_size":4,"intermediate_size":7,"vocab_size":9,)"
      R"("max_position_embeddings":5,"rope_scaling":null,"rope_parameters":{"rope_type":"default","rope_theta":500000.0}})",
      "c");
  CHECK(l.kv_heads == 2);
  CHECK_FALSE(l.tied_head);
  CHECK(l.norm_epsilon == 1e-6f);
  CHECK(l.rope_theta == 500000.f);
  CHECK(engine::parse_config(with(tiny_gpt2(), "activation_function", "\"gelu\""), "c").activation ==
        engine::activation::gelu_erf);
}

TEST_CASE("config.json: missing and mistyped keys are refused by name and expected type", "[engine][source][refusal]") {
  for (const std::string key : {"n_layer", "n_head", "n_embd", "vocab_size", "n_positions"}) {
    CHECK_THAT(gpt2_refused(key, ""),
               ContainsSubstring("config.json: key \"" + key + "\" is missing; expected a whole number"));
    CHECK_THAT(gpt2_refused(key, "\"12\""),
               ContainsSubstring("\"" + key + "\" is the string \"12\"; expected a whole number"));
    CHECK_THAT(gpt2_refused(key, "-1"), ContainsSubstring("the number -1"));
    CHECK_THAT(gpt2_refused(key, "1.5"), ContainsSubstring("the number 1.5"));
  }
  for (const std::string key : {"num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size",
                                "vocab_size", "max_position_embeddings"})
    CHECK_THAT(llama_refused(key, ""), ContainsSubstring("key \"" + key + "\" is missing; expected a whole number"));
  for (const std::string key :
       {"num_hidden_layers", "hidden_size", "num_attention_heads", "ffn_dim", "vocab_size", "max_position_embeddings"})
    CHECK_THAT(opt_refused(key, ""), ContainsSubstring("key \"" + key + "\" is missing; expected a whole number"));
  for (const std::string key : {"num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size",
                                "vocab_size", "max_position_embeddings"})
    CHECK_THAT(bert_refused(key, ""), ContainsSubstring("key \"" + key + "\" is missing; expected a whole number"));
  CHECK_THAT(gpt2_refused("model_type", ""), ContainsSubstring("\"model_type\" is missing; expected a string"));
  CHECK_THAT(gpt2_refused("model_type", "\"mamba\""),
             ContainsSubstring("\"mamba\"; expected gpt2, llama, opt, phi, bert, "));
  CHECK_THAT(gpt2_refused("layer_norm_epsilon", "[]"),
             ContainsSubstring("\"layer_norm_epsilon\" is an array; expected a number"));
  CHECK_THAT(gpt2_refused("layer_norm_epsilon", "0"), ContainsSubstring("a positive number"));
  CHECK_THAT(gpt2_refused("tie_word_embeddings", "1"),
             ContainsSubstring("\"tie_word_embeddings\" is the number 1; expected true or false"));
  CHECK_THAT(refusal([] { (void)engine::parse_config("[]", "c"); }), ContainsSubstring("c: an array at the top level"));
  CHECK_THAT(refusal([] { (void)engine::parse_config("{", "c"); }), ContainsSubstring("c: not valid JSON"));
}

TEST_CASE("config.json: unsupported features are refused by key", "[engine][source][refusal]") {
  CHECK_THAT(gpt2_refused("activation_function", "\"relu\""), ContainsSubstring("\"activation_function\" is \"relu\""));
  CHECK_THAT(gpt2_refused("scale_attn_by_inverse_layer_idx", "true"),
             ContainsSubstring("scale_attn_by_inverse_layer_idx"));
  CHECK_THAT(gpt2_refused("scale_attn_weights", "false"), ContainsSubstring("scale_attn_weights"));
  CHECK_THAT(gpt2_refused("add_cross_attention", "true"), ContainsSubstring("add_cross_attention"));
  CHECK_THAT(llama_refused("hidden_act", "\"xyz\""),
             ContainsSubstring("\"hidden_act\" is \"xyz\"; expected silu, gelu"));
  CHECK_THAT(llama_refused("rope_scaling", R"({"type":"linear"})"), ContainsSubstring("key \"factor\" is missing"));
  CHECK_THAT(llama_refused("rope_parameters", R"({"rope_type":"foo"})"),
             ContainsSubstring("\"rope_type\" is \"foo\"; expected default, linear"));
  CHECK_THAT(llama_refused("rope_parameters", R"({"rope_type":"proportional"})"), ContainsSubstring("proportional"));
  CHECK_THAT(llama_refused("head_dim", "15"), ContainsSubstring("a rotary width of 15"));
  CHECK_THAT(llama_refused("partial_rotary_factor", "0.5"), ContainsSubstring("partial_rotary_factor"));
  CHECK_THAT(phi_refused("qk_layernorm", "true"), ContainsSubstring("qk_layernorm"));
  CHECK_THAT(phi_refused("partial_rotary_factor", "1.5"), ContainsSubstring("partial_rotary_factor\" is 1.5"));
  CHECK_THAT(phi_refused("partial_rotary_factor", "0.1"), ContainsSubstring("a rotary width of 0"));
  CHECK_THAT(phi_refused("tie_word_embeddings", "true"), ContainsSubstring("tie_word_embeddings"));
  CHECK_THAT(phi_refused("rope_scaling", "{\"type\": \"linear\"}"), ContainsSubstring("\"rope_type\" is \"linear\""));
  CHECK_THAT(opt_refused("word_embed_proj_dim", "0"), ContainsSubstring("\"word_embed_proj_dim\" is the number 0"));
  CHECK_THAT(opt_refused("activation_function", "\"xyz\""), ContainsSubstring("is \"xyz\"; expected silu, gelu"));
  CHECK_THAT(bert_refused("hidden_act", "\"silu\""), ContainsSubstring("\"hidden_act\" is \"silu\"; expected gelu"));
  CHECK_THAT(bert_refused("position_embedding_type", "\"relative_key\""), ContainsSubstring("expected absolute"));
  CHECK_THAT(bert_refused("problem_type", "\"regression\""), ContainsSubstring("\"regression\""));
  CHECK_THAT(bert_refused("is_decoder", "true"), ContainsSubstring("is_decoder"));
  CHECK_THAT(bert_refused("num_labels", "1"), ContainsSubstring("labels = 1; expected 2"));
  CHECK_THAT(bert_refused("num_labels", "99999999999"), ContainsSubstring("99999999999"));
  CHECK_THAT(bert_refused("type_vocab_size", "0"),
             ContainsSubstring("\"type_vocab_size\" is the number 0; expected a whole number from 1"));
  CHECK_THAT(bert_refused("id2label", "[1]"), ContainsSubstring("\"id2label\" is an array; expected an object"));
  CHECK_THAT(bert_refused("id2label", R"({"0":"no","3":"yes"})"), ContainsSubstring("a name for every id from 0 to 2"));
  CHECK_THAT(bert_refused("id2label", R"({"0":"no","1":2,"2":"x"})"), ContainsSubstring("holds \"1\": the number 2"));
  CHECK_THAT(gpt2_refused("n_head", "3"), ContainsSubstring("a width of 8 with 3 heads"));
  CHECK_THAT(gpt2_refused("n_layer", "0"),
             ContainsSubstring("\"n_layer\" is the number 0; expected a whole number from 1 to 2^28"));
  CHECK_THAT(gpt2_refused("n_embd", "18446744073709551615"),
             ContainsSubstring("\"n_embd\" is the number 18446744073709551615"));
}

TEST_CASE("expected_tensors lists the engine's weights", "[engine][source][oracle]") {
  for (const engine::config& c : {tiny_gpt2(), tiny_llama(), tiny_llama(false), tiny_opt(), tiny_bert()}) {
    const engine::weights w = engine::zeros(c);
    const auto have = engine::tensors(w);
    const auto expected = engine::expected_tensors(c);
    REQUIRE(have.size() == expected.size());
    for (std::size_t i = 0; i < have.size(); ++i) {
      CHECK(have[i].name == expected[i].name);
      CHECK(have[i].shape == expected[i].shape);
    }
  }
}

TEST_CASE("Hugging Face: a GPT-2 with or without prefix, in every type, in one file or in shards", "[engine][source]") {
  const temporary_folder folder;
  const engine::weights w = sample_weights(tiny_gpt2());
  for (const engine::dtype type : {engine::dtype::f32, engine::dtype::f16, engine::dtype::bf16})
    for (const std::string prefix : {"", "transformer."}) {
      std::vector<entry> entries = entries_of(w, type);
      for (entry& e : entries) e.name = prefix + e.name;
      entries.push_back({prefix + "h.0.attn.bias", engine::dtype::u8, {1, 1, 2, 2}, std::vector<float>(4)});
      entries.push_back({prefix + "h.0.attn.masked_bias", engine::dtype::f32, {}, {-1e4f}});
      entries.push_back(
          {"lm_head.weight", type, entries[0].shape, entries[0].values});  // the tied head, stored as well
      put_folder(folder / "m", tiny_gpt2(), entries);
      const engine::bundle b = engine::load(folder / "m");
      CHECK(same(b.weights, w));
      CHECK(b.is_gpt2());
      REQUIRE(b.find("h.1.mlp.c_fc") != nullptr);
      CHECK(b.find("h.1.mlp.c_fc")->format == engine::to_string(type));
      CHECK(b.find("h.1.mlp.c_fc")->stored_name == prefix + "h.1.mlp.c_fc.weight");
      CHECK(b.find("h.1.mlp.c_fc")->bytes == 8 * 12 * engine::size_of(type));
      CHECK(b.fingerprint == engine::fingerprint(w));
    }

  std::vector<entry> entries = entries_of(w);
  const std::vector<entry> first_shard(entries.begin(), entries.begin() + 9),
      second_shard(entries.begin() + 9, entries.end());
  std::filesystem::create_directories(folder / "s");
  put(folder / "s/config.json", engine::config_json(tiny_gpt2()));
  put_container(folder / "s/model-1.safetensors", first_shard);
  put_container(folder / "s/model-2.safetensors", second_shard);
  engine::json index = engine::json::object();
  for (const entry& e : first_shard) index["weight_map"][e.name] = "model-1.safetensors";
  for (const entry& e : second_shard) index["weight_map"][e.name] = "model-2.safetensors";
  put(folder / "s/model.safetensors.index.json", index.dump());
  CHECK(same(engine::load(folder / "s").weights, w));
}

TEST_CASE("Hugging Face: a Conv1D map is stored in x out and viewed as out x in", "[engine][source][worked-example]") {
  const temporary_folder folder;
  engine::config c = tiny_gpt2();
  c.layers = 1;
  std::vector<entry> entries = entries_of(engine::zeros(c));
  for (entry& e : entries)
    if (e.name == "h.0.mlp.c_fc.weight")  // [in 8 x out 12]: input 3 affects only output 5
      e.values[3 * 12 + 5] = 7.f;
  put_folder(folder / "m", c, entries);
  const engine::bundle b = engine::load(folder / "m");
  CHECK(b.weights.blocks[0].up.view()(5, 3) == 7.f);
  CHECK(b.weights.blocks[0].up.view().rows == 12);
}

TEST_CASE("Hugging Face: rotary pairs of a Llama's query and key rows become adjacent",
          "[engine][source][worked-example]") {
  const temporary_folder folder;
  engine::config c = tiny_llama(false);  // 2 query heads and 1 key-value head of width 4
  std::vector<entry> entries = entries_of(engine::zeros(c));
  for (entry& e : entries) {
    e.name = hugging_face_name(e.name);
    if (e.name.find("layers.0.self_attn.") == std::string::npos) continue;
    for (std::size_t i = 0; i < e.values.size(); ++i)
      e.values[i] = static_cast<float>(i / 8);  // every value is the number of its row
  }
  entries.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", engine::dtype::f32, {2}, {1.f, 0.01f}});
  for (const std::string drop : {"", "model."}) {  // with the prefix, then without
    std::vector<entry> stored = entries;
    for (entry& e : stored)
      if (!drop.empty() && e.name.starts_with(drop)) e.name.erase(0, drop.size());
    put_folder(folder / "m", c, stored);
    const engine::bundle b = engine::load(folder / "m");
    const auto rows = [](const engine::linear& l) {
      std::vector<float> first;
      for (std::size_t r = 0; r < l.out; ++r) first.push_back(l.view()(r, 5));
      return first;
    };
    // Half-split pairs (0 2)(1 3) become adjacent: 0, 2, 1, 3 in each head.
    CHECK(rows(b.weights.blocks[0].query) == std::vector<float>{0, 2, 1, 3, 4, 6, 5, 7});
    CHECK(rows(b.weights.blocks[0].key) == std::vector<float>{0, 2, 1, 3});
    CHECK(rows(b.weights.blocks[0].value) == std::vector<float>{0, 1, 2, 3});
    CHECK(rows(b.weights.blocks[0].attention_out) == std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7});
  }
}

TEST_CASE("Hugging Face: half-split and adjacent rotary pairs give the same attention scores",
          "[engine][source][oracle]") {
  // One head of width 8 and inputs of width 8: scores by Hugging Face's formula from the stored rows, and by the
  // formula for adjacent pairs from the loaded rows.
  const temporary_folder folder;
  engine::config c = tiny_llama();
  c.layers = 1;
  c.heads = 1;
  const engine::weights stored = sample_weights(c, 5);
  std::vector<entry> entries = entries_of(stored);
  for (entry& e : entries) e.name = hugging_face_name(e.name);
  put_folder(folder / "m", c, entries);
  const engine::bundle b = engine::load(folder / "m");

  const auto project = [](const engine::linear& l, std::size_t column) {
    std::vector<double> y;
    for (std::size_t r = 0; r < l.out; ++r) y.push_back(static_cast<double>(l.view()(r, column)));
    return y;
  };
  const auto rotate = [](std::vector<double> x, double position, bool halves) {
    std::vector<double> y(8);
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t p = halves ? i : 2 * i, q = halves ? i + 4 : 2 * i + 1;
      const double angle = position * std::pow(10000.0, -2.0 * static_cast<double>(i) / 8.0);
      y[p] = x[p] * std::cos(angle) - x[q] * std::sin(angle);
      y[q] = x[p] * std::sin(angle) + x[q] * std::cos(angle);
    }
    return y;
  };
  const auto score = [&](const engine::block& block, bool halves) {
    double sum = 0;
    const std::vector<double> q = rotate(project(block.query, 1), 9, halves),
                              k = rotate(project(block.key, 4), 4, halves);
    for (std::size_t i = 0; i < 8; ++i) sum += q[i] * k[i];
    return sum;
  };
  const double half_split = score(stored.blocks[0], true), adjacent = score(b.weights.blocks[0], false);
  CHECK(std::abs(half_split) > 0.1);
  CHECK(adjacent == Approx(half_split).margin(1e-12));
  CHECK(std::abs(score(stored.blocks[0], false) - half_split) > 0.1);  // without the permutation they differ
}

TEST_CASE("Hugging Face: a missing tensor is named as its file would name it", "[engine][source][refusal]") {
  const temporary_folder folder;
  const auto refused = [&](const engine::config& c, auto name_of, const std::string& missing) {
    std::vector<entry> entries = entries_of(engine::zeros(c));
    std::erase_if(entries, [&](const entry& e) { return e.name == missing; });
    for (entry& e : entries) e.name = name_of(e.name);
    put_folder(folder / "m", c, entries);
    return refusal([&] { (void)engine::load(folder / "m"); });
  };
  const auto plain = [](const std::string& name) { return name; };
  const auto without = [](const std::string& name) {
    return hugging_face_name(name).substr(name == "output.weight" ? 0 : 6);
  };
  const auto prefixed = [](std::string prefix, std::string head) {
    return [=](const std::string& name) { return name.starts_with(head) ? name : prefix + name; };
  };
  struct file {
    engine::config config;
    std::function<std::string(const std::string&)> name_of;
    std::string missing, says;
  };
  const std::string query = "layers.1.attention.wq.weight";
  const std::vector<file> all{
      {tiny_gpt2(), plain, "h.1.mlp.c_fc.weight", "no tensor h.1.mlp.c_fc.weight;"},
      {tiny_gpt2(), prefixed("transformer.", "lm_head"), "ln_f.bias", "no tensor transformer.ln_f.bias;"},
      {tiny_llama(), hugging_face_name, query, "no tensor model.layers.1.self_attn.q_proj.weight;"},
      {tiny_llama(false), hugging_face_name, "output.weight", "no tensor lm_head.weight;"},
      {tiny_llama(), without, query, "no tensor layers.1.self_attn.q_proj.weight;"},
      {tiny_llama(), plain, query, "no tensor layers.1.attention.wq.weight;"},
      {tiny_llama(false), plain, "output.weight", "no tensor output.weight;"},
      {tiny_llama(), hugging_face_name, "norm.weight", "no tensor model.norm.weight;"},
      {tiny_phi(), prefixed("model.", "lm_head"), "lm_head.bias", "no tensor lm_head.bias;"},
      {tiny_bert(), prefixed("bert.", "classifier"), "classifier.weight", "no tensor classifier.weight;"},
      {tiny_bert(), prefixed("bert.", "classifier"), "pooler.dense.bias", "no tensor bert.pooler.dense.bias;"}};
  for (const file& f : all) {
    const std::string said = refused(f.config, f.name_of, f.missing);
    CAPTURE(f.missing, said);
    CHECK_THAT(said, ContainsSubstring(f.says));
  }
}

TEST_CASE("Hugging Face: mismatched tensors are refused by name", "[engine][source][refusal]") {
  const temporary_folder folder;
  const engine::weights w = sample_weights(tiny_gpt2());
  const auto refused = [&](auto change) {
    std::vector<entry> entries = entries_of(w);
    change(entries);
    put_folder(folder / "m", tiny_gpt2(), entries);
    return refusal([&] { (void)engine::load(folder / "m"); });
  };
  const auto at = [](std::vector<entry>& entries, const std::string& name) -> entry& {
    for (entry& e : entries)
      if (e.name == name) return e;
    throw std::logic_error(name);
  };
  using list = std::vector<entry>;
  CHECK(refused([](list&) {}).empty());
  CHECK_THAT(refused([&](list& e) { at(e, "ln_f.bias").name = "ln_f.beta"; }),
             ContainsSubstring("no tensor ln_f.bias"));
  CHECK_THAT(refused([&](list& e) { e.resize(4); }),
             ContainsSubstring("and ") && ContainsSubstring(" more; expected all of a GPT-2's weights"));
  CHECK_THAT(refused([](list& e) { e.resize(1); }), ContainsSubstring("1 tensors for 2 layers"));
  CHECK_THAT(refused([](list& e) { e.push_back({"h.2.ln_1.bias", engine::dtype::f32, {1}, {0}}); }),
             ContainsSubstring("unknown tensor h.2.ln_1.bias"));
  CHECK_THAT(refused([](list& e) { e.push_back({"transformer.wte.weight", engine::dtype::f32, {1}, {0}}); }),
             ContainsSubstring("are the same weight"));
  CHECK_THAT(refused([&](list& e) { at(e, "wpe.weight").shape = {8, 6}; }),
             ContainsSubstring("tensor \"wpe.weight\" has shape [8, 6]; expected [6, 8] according to config.json"));
  CHECK_THAT(refused([&](list& e) { at(e, "wpe.weight").type = engine::dtype::i32; }),
             ContainsSubstring("\"wpe.weight\" is of type I32"));
  CHECK_THAT(refused([&](list& e) { at(e, "h.1.mlp.c_fc.weight").values[13] = std::nanf(""); }),
             ContainsSubstring("tensor h.1.mlp.c_fc.weight holds NaN at [1, 1]; expected finite weights"));
  CHECK_THAT(refused([&](list& e) { at(e, "ln_f.bias").values[7] = -std::numeric_limits<float>::infinity(); }),
             ContainsSubstring("tensor ln_f.bias holds infinity at [7]"));
  CHECK_THAT(refused([&](list& e) {
               at(e, "wte.weight").type = engine::dtype::f16;
               at(e, "wte.weight").values[9] = 7e4f;
             }),
             ContainsSubstring("tensor wte.weight holds infinity at [1, 1]"));
  CHECK_THAT(refused([&](list& e) {
               e.push_back({"lm_head.weight", engine::dtype::f32, {300, 8}, std::vector<float>(2400)});
             }),
             ContainsSubstring("\"lm_head.weight\" differs from the token embedding"));
}

TEST_CASE("Hugging Face: an OPT, a Phi and a BERT with and without their prefixes", "[engine][source]") {
  const temporary_folder folder;
  const std::vector<std::pair<engine::config, std::vector<std::string>>> all{
      {tiny_opt(), {"", "decoder.", "model.decoder."}}, {tiny_phi(), {"", "model."}}, {tiny_bert(), {"", "bert."}}};
  for (const auto& [c, prefixes] : all) {
    const bool bert = c.architecture == architecture::bert;
    const engine::weights w = sample_weights(c);
    for (const std::string& prefix : prefixes) {
      std::vector<entry> entries = entries_of(w, engine::dtype::f16);
      for (entry& e : entries)
        if (!e.name.starts_with("classifier") && !e.name.starts_with("lm_head")) e.name = prefix + e.name;
      if (bert) {  // buffers in old files
        entries.push_back({prefix + "embeddings.position_ids", engine::dtype::i64, {1, 6}, std::vector<float>(6)});
        for (entry& e : entries)
          if (const std::size_t at = e.name.find("LayerNorm.weight"); at != e.name.npos)
            e.name.replace(at, e.name.npos, "LayerNorm.gamma");
          else if (const std::size_t b = e.name.find("LayerNorm.bias"); b != e.name.npos)
            e.name.replace(b, e.name.npos, "LayerNorm.beta");
      } else if (c.tied_head) {
        entries.push_back({"lm_head.weight", engine::dtype::f16, entries[0].shape, entries[0].values});
      }
      put_folder(folder / "m", c, entries);
      const engine::bundle loaded = engine::load(folder / "m");
      CHECK(same(loaded.weights, w));
      CHECK(loaded.labels.size() == (bert ? 3u : 0u));
    }
    const std::filesystem::path saved = folder / ("saved-" + std::string(engine::family_of(c).model_type));
    engine::save(w, saved, engine::dtype::f32);
    const engine::bundle reloaded = engine::load(saved);
    CHECK(same(reloaded.weights, w));
    for (const engine::stored_tensor& t : reloaded.stored)  // the names that Hugging Face's library writes
      CHECK(t.stored_name ==
            (t.name.starts_with("classifier") || t.name.starts_with("lm_head") ? "" : prefixes.back()) + t.name);
    CHECK(reloaded.fingerprint == engine::fingerprint(w));
  }
}

TEST_CASE("Hugging Face: a BERT without a classifier, and an OPT's short position table, are refused",
          "[engine][source][refusal]") {
  const temporary_folder folder;
  const auto refused = [&](const engine::config& c, auto change) {
    std::vector<entry> entries = entries_of(engine::zeros(c));
    change(entries);
    put_folder(folder / "m", c, entries);
    return refusal([&] { (void)engine::load(folder / "m"); });
  };
  CHECK_THAT(refused(tiny_bert(), [](auto& e) { e.resize(e.size() - 2); }),
             ContainsSubstring("no tensor classifier.weight, classifier.bias; expected all of a BERT's weights, "
                               "including its classifier, with or without the prefix 'bert.'"));
  CHECK_THAT(refused(tiny_bert(), [](auto& e) { e.push_back({"cls.predictions.bias", engine::dtype::f32, {1}, {0}}); }),
             ContainsSubstring("unknown tensor cls.predictions.bias"));
  CHECK_THAT(
      refused(tiny_opt(),
              [](auto& e) {
                e[1].shape = {6, 8};
                e[1].values.resize(48);
              }),
      ContainsSubstring("\"embed_positions.weight\" has shape [6, 8]; expected [8, 8] according to config.json"));
}

TEST_CASE("open_source refuses unsupported files by name", "[engine][source][refusal]") {
  const temporary_folder folder;
  const auto refused = [&](std::string_view name) {
    return refusal([&] { (void)engine::open_source(folder / name); });
  };
  CHECK_THAT(refused("none"), ContainsSubstring("no such file or folder"));
  CHECK_THAT(refused(""), ContainsSubstring("config.json: cannot be opened"));
  put(folder / "config.json", "");
  CHECK_THAT(refused(""), ContainsSubstring("config.json: is empty"));
  put(folder / "config.json", engine::config_json(tiny_gpt2()));
  CHECK_THAT(refused(""), ContainsSubstring("no weights; expected model.safetensors"));
  CHECK_THAT(refused("config.json"), ContainsSubstring("expected the folder that contains it"));
  put(folder / "pytorch_model.bin", "PK\3\4" + std::string(30, ' '));
  CHECK_THAT(refused(""), ContainsSubstring("convert them first"));
  CHECK_THAT(refused("pytorch_model.bin"), ContainsSubstring("a zip archive"));
  put(folder / "m.gguf", "GGUF" + std::string(30, ' '));
  CHECK_THAT(refused("m.gguf"), ContainsSubstring("expected version 2 or 3"));
  put(folder / "v1.bin", raw(std::uint32_t{0x616b3432}) + std::string(300, ' '));
  CHECK_THAT(refused("v1.bin"), ContainsSubstring("version 1 or newer"));
}

TEST_CASE("llama2.c: every weight is read, tables are skipped, with tied or separate head", "[engine][source]") {
  const temporary_folder folder;
  for (const bool tied : {true, false}) {
    const engine::weights w = sample_weights(tiny_llama(tied));
    put(folder / "m.bin", llama2c_text(w));
    const engine::bundle b = engine::load(folder / "m.bin");
    CHECK(same(b.weights, w));
    CHECK(b.format == engine::model_format::llama2c);
    CHECK_FALSE(b.tokenizer);
    CHECK(b.bos == 1);
  }
}

TEST_CASE("llama2.c: a header that does not match the file size is refused", "[engine][source][refusal]") {
  const std::string good = llama2c_text(sample_weights(tiny_llama()));
  const auto refused = [](const std::string& text) {
    return refusal([&] { (void)engine::parse_llama2c(as_bytes(text), "m"); });
  };
  CHECK(refused(good).empty());
  for (const std::size_t n : {std::size_t{0}, std::size_t{27}, std::size_t{28}, good.size() / 2, good.size() - 1})
    CHECK_THAT(refused(good.substr(0, n)), ContainsSubstring("m: "));
  CHECK_THAT(refused(good + "x"), ContainsSubstring("expected " + std::to_string(good.size())));
  const auto changed = [&](std::size_t field, std::int32_t value) {
    std::string text = good;
    text.replace(4 * field, 4, raw(value));
    return refused(text);
  };
  CHECK_THAT(changed(0, 0), ContainsSubstring("width = 0"));
  CHECK_THAT(changed(2, -1), ContainsSubstring("layers = -1"));
  CHECK_THAT(changed(5, 0), ContainsSubstring("vocabulary = 0"));
  CHECK_THAT(changed(5, std::numeric_limits<std::int32_t>::min()), ContainsSubstring("vocabulary = -2147483648"));
  CHECK_THAT(changed(5, -300), ContainsSubstring("bytes"));  // the file has no separate head
  CHECK_THAT(changed(2, 1 << 28), ContainsSubstring("for the shape in its header"));
  CHECK_THAT(changed(3, 3), ContainsSubstring("a width of 8 with 3 heads"));
  std::string vast = good;  // maximal dimensions: the sizes overflow and are still refused
  vast.replace(0, 12, raw(std::int32_t{1 << 28}) + raw(std::int32_t{1 << 28}) + raw(std::int32_t{1 << 28}));
  CHECK_THAT(refused(vast), ContainsSubstring("for the shape in its header"));
  std::string nan = good;
  nan.replace(28 + 4 * (8 * 3 + 2), 4, raw(std::numeric_limits<float>::quiet_NaN()));
  const temporary_folder folder;
  put(folder / "nan.bin", nan);
  CHECK_THAT(refusal([&] { (void)engine::load(folder / "nan.bin"); }),
             ContainsSubstring("tensor tok_embeddings.weight holds NaN at [3, 2]"));
}

TEST_CASE("the shared models load", "[engine][source][oracle]") {
  const auto gpt2 = shared_path("models/imdb-gpt2");
  const auto llama = shared_path("models/stories260K/stories260K.bin");
  if (!gpt2 || !llama) return;
  const engine::bundle g = engine::load(*gpt2);
  CHECK(g.is_gpt2());
  CHECK(g.config().layers == 12);
  CHECK(g.tokenizer.size() == 4096);
  CHECK(g.stored_bytes() == 21196360 - 12872);  // the file without its header
  CHECK(g.eos == std::vector<precis::token>{4095});
  const engine::bundle l = engine::load(*llama);
  CHECK(l.is_llama());
  CHECK(l.config().hidden == 172);
  CHECK(l.tokenizer.size() == 512);
  CHECK(l.fingerprint.size() == 16);
}
