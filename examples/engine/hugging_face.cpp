#include <engine/source.hpp>

#include <engine/json.hpp>

#include <precis/core/error.hpp>
#include <precis/core/text.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <string_view>
#include <utility>

namespace engine {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void bad(std::string_view where, std::string what, std::string expected) {
  precis::refuse({.what = std::move(what), .where = std::string(where), .expected = std::move(expected)});
}

[[nodiscard]] float small_number(const json_object& keys, std::string_view key, double otherwise) {
  const double value = keys.number_or(key, otherwise);
  if (!(value > 0) || value > std::numeric_limits<float>::max())
    keys.refuse("key \"" + std::string(key) + "\" is " + precis::text::number(value), "a positive number");
  return static_cast<float>(value);
}

/// Refuses a feature that changes the result and that the engine does not have.
void must_be(const json_object& keys, std::string_view key, bool wanted) {
  if (keys.flag_or(key, wanted) != wanted)
    keys.refuse(
        "key \"" + std::string(key) + "\" is " + (wanted ? "false" : "true") + ", which this engine does not support",
        wanted ? "true" : "false");
}

[[nodiscard]] config parse_gpt2(const json_object& keys) {
  config c{.architecture = architecture::gpt2};
  c.layers = keys.whole_number("n_layer");
  c.width = keys.whole_number("n_embd");
  c.heads = c.kv_heads = keys.whole_number("n_head");
  c.vocabulary = keys.whole_number("vocab_size");
  c.context =
      keys.whole_number(keys.find("n_positions") == nullptr && keys.find("n_ctx") != nullptr ? "n_ctx" : "n_positions");
  c.hidden = keys.whole_number_or("n_inner", c.width <= (std::size_t{1} << 60) ? 4 * c.width : 0);
  c.norm_epsilon = small_number(keys, "layer_norm_epsilon", 1e-5);
  c.tied_head = keys.flag_or("tie_word_embeddings", true);
  const std::string activation = keys.text_or("activation_function", "gelu_new");
  if (activation == "gelu_new" || activation == "gelu_pytorch_tanh")
    c.activation = activation::gelu_tanh;
  else if (activation == "gelu")
    c.activation = activation::gelu_erf;
  else
    keys.refuse("key \"activation_function\" is \"" + activation + "\"", "gelu_new, gelu_pytorch_tanh or gelu");
  must_be(keys, "scale_attn_weights", true);
  must_be(keys, "scale_attn_by_inverse_layer_idx", false);
  must_be(keys, "add_cross_attention", false);
  return c;
}

[[nodiscard]] config parse_llama(const json_object& keys) {
  config c{.architecture = architecture::llama};
  c.layers = keys.whole_number("num_hidden_layers");
  c.width = keys.whole_number("hidden_size");
  c.heads = keys.whole_number("num_attention_heads");
  c.kv_heads = keys.whole_number_or("num_key_value_heads", c.heads);
  c.hidden = keys.whole_number("intermediate_size");
  c.vocabulary = keys.whole_number("vocab_size");
  c.context = keys.whole_number("max_position_embeddings");
  c.norm_epsilon = small_number(keys, "rms_norm_eps", 1e-6);
  c.rope_theta = small_number(keys, "rope_theta", 10000);
  c.tied_head = keys.flag_or("tie_word_embeddings", false);
  c.activation = activation::silu;
  if (const std::string activation = keys.text_or("hidden_act", "silu"); activation != "silu")
    keys.refuse("key \"hidden_act\" is \"" + activation + "\"", "silu");
  if (keys.find("rope_scaling") != nullptr)
    keys.refuse("key \"rope_scaling\" asks for scaled rotary positions, which this engine does not support", "null");
  if (const json* rope = keys.find("rope_parameters")) {  // where newer files keep rope_theta
    if (!rope->is_object()) keys.refuse("key \"rope_parameters\" is " + type_of(*rope), "an object");
    const json_object members(*rope, "key \"rope_parameters\" of config.json");
    if (const std::string type = members.text_or("rope_type", "default"); type != "default")
      members.refuse("key \"rope_type\" is \"" + type + "\", which this engine does not support", "default");
    c.rope_theta = small_number(members, "rope_theta", static_cast<double>(c.rope_theta));
  }
  if (keys.number_or("partial_rotary_factor", 1) != 1.0)
    keys.refuse("key \"partial_rotary_factor\" is not 1, which this engine does not support", "1");
  if (c.heads != 0 && keys.whole_number_or("head_dim", c.width / c.heads) != c.width / c.heads)
    keys.refuse("key \"head_dim\" is not hidden_size / num_attention_heads, which this engine does not support",
                std::to_string(c.width / c.heads));
  must_be(keys, "attention_bias", false);
  must_be(keys, "mlp_bias", false);
  return c;
}

/// What a stored name means to the engine.
struct meaning {
  std::string name;         // the engine's; empty: a buffer that is no weight
  bool half_split = false;  // rows of a query or key map in Hugging Face's order
};

[[nodiscard]] meaning gpt2_meaning(std::string_view stored) {
  if (stored.starts_with("transformer.")) stored.remove_prefix(12);
  // The causal mask and its constant, which old files carry along.
  if (stored.ends_with(".attn.bias") || stored.ends_with(".attn.masked_bias")) return {};
  return {std::string(stored), false};
}

[[nodiscard]] meaning llama_meaning(std::string_view stored) {
  if (stored.starts_with("model.")) stored.remove_prefix(6);
  if (stored.ends_with("rotary_emb.inv_freq") || stored == "rope.freqs") return {};
  if (stored == "embed_tokens.weight") return {"tok_embeddings.weight", false};
  if (stored == "lm_head.weight") return {"output.weight", false};
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> in_a_layer{
      {{"input_layernorm", "attention_norm"},
       {"self_attn.q_proj", "attention.wq"},
       {"self_attn.k_proj", "attention.wk"},
       {"self_attn.v_proj", "attention.wv"},
       {"self_attn.o_proj", "attention.wo"},
       {"post_attention_layernorm", "ffn_norm"},
       {"mlp.gate_proj", "feed_forward.w1"},
       {"mlp.down_proj", "feed_forward.w2"},
       {"mlp.up_proj", "feed_forward.w3"}}};
  if (stored.starts_with("layers.") && stored.ends_with(".weight")) {
    const std::size_t dot = stored.find('.', 7);
    const std::string_view kind = stored.substr(dot + 1, stored.size() - 7 - (dot + 1));  // without ".weight"
    for (const auto& [theirs, ours] : in_a_layer)
      if (kind == theirs)
        return {std::string(stored.substr(0, dot + 1)) + std::string(ours) + ".weight",
                theirs == "self_attn.q_proj" || theirs == "self_attn.k_proj"};
  }
  return {std::string(stored), false};
}

[[nodiscard]] std::string text_of(std::span<const std::size_t> shape) {
  std::string text = "[";
  for (const std::size_t e : shape) text += (text.size() == 1 ? "" : ", ") + std::to_string(e);
  return text + "]";
}

/// "a, b, c and 17 more"
[[nodiscard]] std::string listed(std::span<const std::string> names) {
  std::string text;
  const std::size_t shown = std::min<std::size_t>(names.size(), 5);
  for (std::size_t i = 0; i < shown; ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > shown) text += " and " + std::to_string(names.size() - shown) + " more";
  return text;
}

constexpr std::string_view codec_key = "precis.codec:";

/// "affine4.row 768x256" and, where rows of a rotary map are in the engine's order, " rotary=adjacent".
struct codec_line {
  std::string codec;
  std::size_t out = 0;
  std::size_t in = 0;
  bool adjacent = false;
};

[[nodiscard]] codec_line parse_codec_line(std::string_view text, std::string_view where) {
  const auto fail = [&] {
    bad(where, "the metadata value \"" + std::string(text.substr(0, 60)) + "\"",
        "CODEC OUTxIN, for instance affine4.row 768x256");
  };
  codec_line l;
  const std::vector<precis::text::line> lines = precis::text::split(text);
  if (lines.size() != 1 || lines[0].words.size() < 2 || lines[0].words.size() > 3) fail();
  const std::vector<std::string_view>& words = lines[0].words;
  l.codec = words[0];
  const std::size_t x = words[1].find('x');
  if (x == std::string_view::npos || !precis::text::read(words[1].substr(0, x), l.out) ||
      !precis::text::read(words[1].substr(x + 1), l.in))
    fail();
  l.adjacent = words.size() == 3;
  if (l.adjacent && words[2] != "rotary=adjacent") fail();
  return l;
}

[[nodiscard]] fs::path container_of(const fs::path& folder) {
  std::error_code ignored;
  const fs::path one = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
  if (fs::exists(one, ignored)) return one;
  if (fs::exists(index, ignored)) return index;
  if (fs::exists(folder / "pytorch_model.bin", ignored))
    bad(folder.string(), "weights in pytorch_model.bin", "model.safetensors: convert them first");
  bad(folder.string(), "no weights", "model.safetensors or model.safetensors.index.json");
}

/// Fills in what `found` says of one tensor and checks it against `wanted`.
void describe(source_tensor& t, const tensor_shape& wanted, const tensor_entry& found, const safetensors& container) {
  const std::string tensor = "tensor \"" + found.name + "\"";
  t.name = wanted.name;
  t.stored_name = found.name;
  t.file = container.file_name(found);
  t.type = found.type;
  t.shape = wanted.shape;
  t.in_major = wanted.in_major;
  t.bytes = container.bytes(found);

  const auto line = container.metadata().find(std::string(codec_key) + found.name);
  if (line == container.metadata().end()) {
    if (!is_weight(found.type))
      bad(t.file, tensor + " is of type " + std::string(to_string(found.type)), "F32, F16 or BF16");
    if (found.shape != wanted.shape)
      bad(t.file, tensor + " has shape " + text_of(found.shape), text_of(wanted.shape) + " by config.json");
    return;
  }
  const codec_line l = parse_codec_line(line->second, t.file + ": " + tensor);
  if (wanted.shape.size() != 2 || l.out != t.out() || l.in != t.in())
    bad(t.file, tensor + " is a packed " + std::to_string(l.out) + "x" + std::to_string(l.in),
        wanted.shape.size() == 2 ? std::to_string(t.out()) + "x" + std::to_string(t.in()) + " by config.json"
                                 : "no matrix at all");
  if (found.type != dtype::u8)
    bad(t.file, tensor + " is packed, but of type " + std::string(to_string(found.type)), "U8");
  t.codec = l.codec;
  if (l.adjacent) t.rotary_heads = 0;
}

}  // namespace

config parse_config(std::string_view json_text, std::string_view where) {
  const json root = parse_json(json_text, where);
  const json_object keys(root, std::string(where));
  const std::string type = keys.text("model_type");
  if (type != "gpt2" && type != "llama") keys.refuse("key \"model_type\" is \"" + type + "\"", "gpt2 or llama");
  const config c = type == "gpt2" ? parse_gpt2(keys) : parse_llama(keys);
  check(c);
  return c;
}

std::string config_json(const config& c) {
  nlohmann::ordered_json j;
  // Through text, so that 1e-5f is written as 1e-05 and not as 9.999999747378752e-06.
  const auto shortest = [](float value) {
    char digits[32];
    const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    return nlohmann::ordered_json::parse(digits, end);
  };
  if (c.architecture == architecture::gpt2) {
    j["architectures"] = {"GPT2LMHeadModel"};
    j["model_type"] = "gpt2";
    j["activation_function"] = c.activation == activation::gelu_erf ? "gelu" : "gelu_new";
    j["n_layer"] = c.layers;
    j["n_head"] = c.heads;
    j["n_embd"] = c.width;
    j["n_inner"] = c.hidden;
    j["n_positions"] = c.context;
    j["vocab_size"] = c.vocabulary;
    j["layer_norm_epsilon"] = shortest(c.norm_epsilon);
  } else {
    j["architectures"] = {"LlamaForCausalLM"};
    j["model_type"] = "llama";
    j["hidden_act"] = "silu";
    j["num_hidden_layers"] = c.layers;
    j["num_attention_heads"] = c.heads;
    j["num_key_value_heads"] = c.kv_heads;
    j["hidden_size"] = c.width;
    j["intermediate_size"] = c.hidden;
    j["max_position_embeddings"] = c.context;
    j["vocab_size"] = c.vocabulary;
    j["rms_norm_eps"] = shortest(c.norm_epsilon);
    j["rope_theta"] = shortest(c.rope_theta);
  }
  j["tie_word_embeddings"] = c.tied_head;
  return j.dump(1) + "\n";
}

model_source open_hugging_face(const fs::path& folder) {
  const std::string where = (folder / "config.json").string();
  model_source s;
  s.path = folder;
  {
    const mapped_file file(folder / "config.json");
    s.config = parse_config(file.text(), where);
    const json root = parse_json(file.text(), where);
    for (const auto& [key, into] : {std::pair{"bos_token_id", &s.bos}, std::pair{"eos_token_id", &s.eos}})
      if (const auto at = root.find(key);
          at != root.end() && at->is_number_unsigned() && at->get<std::size_t>() < s.config.vocabulary)
        *into = at->get<precis::token>();
  }
  const config& c = s.config;
  const bool gpt2 = c.architecture == architecture::gpt2;
  const safetensors& container = s.containers.emplace_back(container_of(folder));
  const std::string data = folder.string();

  const auto& metadata = container.metadata();
  if (const auto version = metadata.find("precis.format"); version != metadata.end()) {
    if (version->second != "2") bad(data, "a compressed model of format " + version->second.substr(0, 20), "format 2");
    s.format = model_format::compressed;
    if (const auto from = metadata.find("precis.source"); from != metadata.end()) s.made_from = from->second;
  }
  for (const auto& [key, value] : metadata)
    if (key.starts_with(codec_key) &&
        (s.format != model_format::compressed || container.find(key.substr(codec_key.size())) == nullptr))
      bad(data, "metadata \"" + key.substr(0, 80) + "\" of a tensor that is not there",
          "a folder that `precis compress` wrote");

  std::map<std::string, std::pair<const tensor_entry*, bool>> found;  // by the engine's name
  for (const tensor_entry& t : container.tensors()) {
    meaning m = gpt2 ? gpt2_meaning(t.name) : llama_meaning(t.name);
    if (m.name.empty()) continue;
    const auto [at, fresh] = found.emplace(std::move(m.name), std::pair(&t, m.half_split));
    if (!fresh)
      bad(data, "tensors \"" + at->second.first->name + "\" and \"" + t.name + "\" are the same weight",
          "each weight once");
  }
  if (c.layers > found.size())  // before expected_tensors lists them all
    bad(data, std::to_string(found.size()) + " tensors for " + std::to_string(c.layers) + " layers",
        "weights that fit config.json");

  std::vector<std::string> missing;
  for (const tensor_shape& wanted : expected_tensors(c)) {
    const auto at = found.find(wanted.name);
    if (at == found.end()) {
      missing.push_back(wanted.name);
      continue;
    }
    source_tensor& t = s.tensors.emplace_back();
    if (at->second.second) t.rotary_heads = wanted.name.ends_with("wk.weight") ? c.kv_heads : c.heads;
    describe(t, wanted, *at->second.first, container);
    found.erase(at);
  }
  if (!missing.empty())
    bad(data, "no tensor " + listed(missing),
        gpt2 ? "all of a GPT-2's weights, with or without the prefix 'transformer.'"
             : "all of a Llama's weights, with or without the prefix 'model.'");

  // Some writers store the tied head again. The same bytes are no harm, others would be lost without a word.
  if (const auto head = found.find(gpt2 ? "lm_head.weight" : "output.weight"); head != found.end() && c.tied_head) {
    if (!std::ranges::equal(container.bytes(*head->second.first), s.tensors.front().bytes))
      bad(data,
          "tensor \"" + head->second.first->name +
              "\" differs from the token embedding although tie_word_embeddings is true",
          "no head of its own, or tie_word_embeddings false");
    found.erase(head);
  }
  if (!found.empty()) {
    std::vector<std::string> unknown;
    for (const auto& [name, entry] : found) unknown.push_back(entry.first->name);
    bad(data, "unknown tensor " + listed(unknown),
        std::string("the weights of a ") + (gpt2 ? "GPT-2" : "Llama") + " of " + std::to_string(c.layers) +
            " layers and nothing else");
  }

  std::error_code ignored;
  if (fs::exists(folder / "vocab.json", ignored) || fs::exists(folder / "merges.txt", ignored))
    s.tokenizer = folder;
  else if (fs::exists(folder / "tokenizer.bin", ignored))
    s.tokenizer = folder / "tokenizer.bin";
  return s;
}

}  // namespace engine
