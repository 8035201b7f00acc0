#include <engine/files/source.hpp>

#include <engine/files/json.hpp>
#include <engine/model/family.hpp>

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

/// The activation a key names. `relu` where a family has it.
[[nodiscard]] activation parse_activation(const json_object& keys, std::string_view key, std::string_view otherwise,
                                          bool relu) {
  const std::string name = keys.text_or(key, otherwise);
  if (name == "gelu") return activation::gelu_erf;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return activation::gelu_tanh;
  if (relu && name == "relu") return activation::relu;
  keys.refuse("key \"" + std::string(key) + "\" is \"" + name + "\"",
              relu ? "gelu, gelu_new, gelu_pytorch_tanh or relu" : "gelu_new, gelu_pytorch_tanh or gelu");
}

/// The base of rotary positions. Errors: scaled ones.
[[nodiscard]] float parse_rotary_base(const json_object& keys) {
  float base = small_number(keys, "rope_theta", 10000);
  if (keys.find("rope_scaling") != nullptr)
    keys.refuse("key \"rope_scaling\" asks for scaled rotary positions, which this engine does not support", "null");
  if (const json* rope = keys.find("rope_parameters")) {  // where newer files keep rope_theta
    if (!rope->is_object()) keys.refuse("key \"rope_parameters\" is " + type_of(*rope), "an object");
    const json_object members(*rope, "key \"rope_parameters\" of config.json");
    if (const std::string type = members.text_or("rope_type", "default"); type != "default")
      members.refuse("key \"rope_type\" is \"" + type + "\", which this engine does not support", "default");
    base = small_number(members, "rope_theta", static_cast<double>(base));
  }
  return base;
}

/// The extents that all families but GPT-2 name alike; as many key-value heads as heads.
[[nodiscard]] config usual_extents(const json_object& keys, architecture a) {
  config c{.architecture = a};
  c.layers = keys.whole_number("num_hidden_layers");
  c.width = keys.whole_number("hidden_size");
  c.heads = c.kv_heads = keys.whole_number("num_attention_heads");
  c.vocabulary = keys.whole_number("vocab_size");
  c.context = keys.whole_number("max_position_embeddings");
  return c;
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
  c.activation = parse_activation(keys, "activation_function", "gelu_new", false);
  must_be(keys, "scale_attn_weights", true);
  must_be(keys, "scale_attn_by_inverse_layer_idx", false);
  must_be(keys, "add_cross_attention", false);
  return c;
}

[[nodiscard]] config parse_llama(const json_object& keys) {
  config c = usual_extents(keys, architecture::llama);
  c.kv_heads = keys.whole_number_or("num_key_value_heads", c.heads);
  c.hidden = keys.whole_number("intermediate_size");
  c.norm_epsilon = small_number(keys, "rms_norm_eps", 1e-6);
  c.rope_theta = parse_rotary_base(keys);
  c.tied_head = keys.flag_or("tie_word_embeddings", false);
  c.activation = activation::silu;
  if (const std::string activation = keys.text_or("hidden_act", "silu"); activation != "silu")
    keys.refuse("key \"hidden_act\" is \"" + activation + "\"", "silu");
  if (keys.number_or("partial_rotary_factor", 1) != 1.0)
    keys.refuse("key \"partial_rotary_factor\" is not 1, which this engine does not support", "1");
  if (c.heads != 0 && keys.whole_number_or("head_dim", c.width / c.heads) != c.width / c.heads)
    keys.refuse("key \"head_dim\" is not hidden_size / num_attention_heads, which this engine does not support",
                std::to_string(c.width / c.heads));
  must_be(keys, "attention_bias", false);
  must_be(keys, "mlp_bias", false);
  return c;
}

[[nodiscard]] config parse_opt(const json_object& keys) {
  config c = usual_extents(keys, architecture::opt);
  c.hidden = keys.whole_number("ffn_dim");
  c.tied_head = keys.flag_or("tie_word_embeddings", true);
  c.activation = activation::relu;
  if (const std::string activation = keys.text_or("activation_function", "relu"); activation != "relu")
    keys.refuse("key \"activation_function\" is \"" + activation + "\"", "relu");
  must_be(keys, "do_layer_norm_before", true);  // false in OPT-350m alone
  if (const std::size_t projected = keys.whole_number_or("word_embed_proj_dim", c.width); projected != c.width)
    keys.refuse("key \"word_embed_proj_dim\" is " + std::to_string(projected) +
                    ": embeddings narrower than hidden_size are not supported",
                std::to_string(c.width));
  must_be(keys, "enable_bias", true);
  must_be(keys, "layer_norm_elementwise_affine", true);
  must_be(keys, "_remove_final_layer_norm", false);
  return c;
}

/// The names of id2label, by id; "LABEL_0" and so on where it says nothing.
[[nodiscard]] std::vector<std::string> label_names(const json_object& keys) {
  const json* const names = keys.find("id2label");
  const std::size_t count = names != nullptr && names->is_object() ? names->size() : 2;
  const std::size_t all = keys.whole_number_or("num_labels", count);
  if (all > (std::size_t{1} << 16)) keys.refuse("key \"num_labels\" is " + std::to_string(all), "2 to 2^16");
  std::vector<std::string> labels(all);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = "LABEL_" + std::to_string(i);
  if (names == nullptr) return labels;
  if (!names->is_object()) keys.refuse("key \"id2label\" is " + type_of(*names), "an object of ids and names");
  std::vector<bool> named(labels.size());
  for (const auto& [id, name] : names->items()) {
    std::size_t i = 0;
    if (!precis::text::read(id, i) || i >= labels.size() || !name.is_string() || named[i])
      keys.refuse("key \"id2label\" holds \"" + id.substr(0, 20) + "\": " + type_of(name),
                  "a name for every id from 0 to " + std::to_string(labels.size() - 1));
    labels[i] = name.get<std::string>();
    named[i] = true;
  }
  return labels;
}

[[nodiscard]] config parse_phi(const json_object& keys) {
  config c = usual_extents(keys, architecture::phi);
  c.kv_heads = keys.whole_number_or("num_key_value_heads", c.heads);
  c.hidden = keys.whole_number("intermediate_size");
  c.norm_epsilon = small_number(keys, "layer_norm_eps", 1e-5);
  c.rope_theta = parse_rotary_base(keys);
  const double share = keys.number_or("partial_rotary_factor", 0.5);
  if (!(share > 0 && share <= 1))
    keys.refuse("key \"partial_rotary_factor\" is " + precis::text::number(share), "0 to 1");
  c.rotary_width = static_cast<std::size_t>(share * static_cast<double>(c.head_width()) + 1e-6);  // 0.4 of 80 is 32
  c.tied_head = keys.flag_or("tie_word_embeddings", false);
  if (c.tied_head) keys.refuse("key \"tie_word_embeddings\" is true, which this engine does not support", "false");
  c.activation = parse_activation(keys, "hidden_act", "gelu_new", false);
  must_be(keys, "qk_layernorm", false);
  return c;
}

[[nodiscard]] config parse_bert(const json_object& keys) {
  config c = usual_extents(keys, architecture::bert);
  c.hidden = keys.whole_number("intermediate_size");
  c.token_types = keys.whole_number_or("type_vocab_size", 2);
  c.labels = label_names(keys).size();
  c.norm_epsilon = small_number(keys, "layer_norm_eps", 1e-12);
  c.activation = parse_activation(keys, "hidden_act", "gelu", true);
  if (const std::string positions = keys.text_or("position_embedding_type", "absolute"); positions != "absolute")
    keys.refuse("key \"position_embedding_type\" is \"" + positions + "\", which this engine does not support",
                "absolute");
  if (const std::string problem = keys.text_or("problem_type", "single_label_classification");
      problem != "single_label_classification")
    keys.refuse("key \"problem_type\" is \"" + problem + "\", which this engine does not support",
                "single_label_classification");
  must_be(keys, "is_decoder", false);
  must_be(keys, "add_cross_attention", false);
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

[[nodiscard]] meaning opt_meaning(std::string_view stored) {
  for (const std::string_view prefix : {"model.", "decoder."})
    if (stored.starts_with(prefix)) stored.remove_prefix(prefix.size());
  return {std::string(stored), false};
}

[[nodiscard]] meaning phi_meaning(std::string_view stored) {
  if (stored.starts_with("model.")) stored.remove_prefix(6);
  if (stored.ends_with("rotary_emb.inv_freq")) return {};
  return {std::string(stored), false};
}

[[nodiscard]] meaning bert_meaning(std::string_view stored) {
  if (stored.starts_with("bert.")) stored.remove_prefix(5);
  if (stored == "embeddings.position_ids" || stored == "embeddings.token_type_ids") return {};  // 0, 1, 2 ... and zeros
  for (const auto& [theirs, ours] : {std::pair{std::string_view(".gamma"), ".weight"}, {".beta", ".bias"}})
    if (stored.ends_with(theirs)) return {std::string(stored.substr(0, stored.size() - theirs.size())) + ours, false};
  return {std::string(stored), false};
}

[[nodiscard]] meaning meaning_of(architecture a, std::string_view stored) {
  switch (a) {
    case architecture::gpt2: return gpt2_meaning(stored);
    case architecture::llama: return llama_meaning(stored);
    case architecture::opt: return opt_meaning(stored);
    case architecture::phi: return phi_meaning(stored);
    case architecture::bert: break;
  }
  return bert_meaning(stored);
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
  config c;
  if (type == "gpt2")
    c = parse_gpt2(keys);
  else if (type == "llama")
    c = parse_llama(keys);
  else if (type == "opt")
    c = parse_opt(keys);
  else if (type == "phi")
    c = parse_phi(keys);
  else if (type == "bert")
    c = parse_bert(keys);
  else
    keys.refuse("key \"model_type\" is \"" + type + "\"", "gpt2, llama, opt, phi or bert");
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
  const auto hugging_face_activation = [&] {
    switch (c.activation) {
      case activation::gelu_tanh: return "gelu_new";
      case activation::gelu_erf: return "gelu";
      case activation::relu: return "relu";
      case activation::silu: break;
    }
    return "silu";
  };
  const auto architectures = [&](const char* name) {
    j["architectures"] = {name};
    j["model_type"] = family_of(c).model_type;
  };
  const auto write_extents = [&] {
    j["num_hidden_layers"] = c.layers;
    j["num_attention_heads"] = c.heads;
    j["hidden_size"] = c.width;
    j["max_position_embeddings"] = c.context;
    j["vocab_size"] = c.vocabulary;
  };
  switch (c.architecture) {
    case architecture::gpt2:
      architectures("GPT2LMHeadModel");
      j["activation_function"] = hugging_face_activation();
      j["n_layer"] = c.layers;
      j["n_head"] = c.heads;
      j["n_embd"] = c.width;
      j["n_inner"] = c.hidden;
      j["n_positions"] = c.context;
      j["vocab_size"] = c.vocabulary;
      j["layer_norm_epsilon"] = shortest(c.norm_epsilon);
      break;
    case architecture::llama:
      architectures("LlamaForCausalLM");
      j["hidden_act"] = hugging_face_activation();
      write_extents();
      j["num_key_value_heads"] = c.kv_heads;
      j["intermediate_size"] = c.hidden;
      j["rms_norm_eps"] = shortest(c.norm_epsilon);
      j["rope_theta"] = shortest(c.rope_theta);
      break;
    case architecture::opt:
      architectures("OPTForCausalLM");
      j["activation_function"] = hugging_face_activation();
      write_extents();
      j["ffn_dim"] = c.hidden;
      j["word_embed_proj_dim"] = c.width;
      j["do_layer_norm_before"] = true;
      break;
    case architecture::phi:
      architectures("PhiForCausalLM");
      j["hidden_act"] = hugging_face_activation();
      write_extents();
      j["num_key_value_heads"] = c.kv_heads;
      j["intermediate_size"] = c.hidden;
      j["layer_norm_eps"] = shortest(c.norm_epsilon);
      j["rope_theta"] = shortest(c.rope_theta);
      j["partial_rotary_factor"] = static_cast<double>(c.rotary_width) / static_cast<double>(c.head_width());
      break;
    case architecture::bert:
      architectures("BertForSequenceClassification");
      j["hidden_act"] = hugging_face_activation();
      write_extents();
      j["intermediate_size"] = c.hidden;
      j["type_vocab_size"] = c.token_types;
      j["layer_norm_eps"] = shortest(c.norm_epsilon);
      j["num_labels"] = c.labels;
      break;
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
    if (s.config.labels != 0) s.labels = label_names(json_object(root, where));
  }
  const config& c = s.config;
  const family& family = family_of(c);
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
    meaning m = meaning_of(c.architecture, t.name);
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
  const std::string a_model =
      std::string(c.architecture == architecture::opt ? "an " : "a ") + std::string(family.name);
  if (!missing.empty())
    bad(data, "no tensor " + listed(missing),
        "all of " + a_model + "'s weights" + (c.labels != 0 ? ", its classifier's too" : "") +
            ", with or without the prefix '" + std::string(family.prefix) + "'");

  // Some writers store the tied head again. The same bytes are no harm, others would be lost without a word.
  if (const auto head = found.find(std::string(family.head) + ".weight"); head != found.end() && c.tied_head) {
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
        "the weights of " + a_model + " of " + std::to_string(c.layers) + " layers and nothing else");
  }

  std::error_code ignored;
  if (fs::exists(folder / "vocab.json", ignored) || fs::exists(folder / "merges.txt", ignored) ||
      fs::exists(folder / "vocab.txt", ignored))
    s.tokenizer = folder;
  else if (fs::exists(folder / "tokenizer.bin", ignored))
    s.tokenizer = folder / "tokenizer.bin";
  return s;
}

}  // namespace engine
