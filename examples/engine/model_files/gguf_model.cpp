#include <engine/model_files/gguf_model.hpp>

#include <engine/files/messages.hpp>
#include <engine/model/family.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

namespace engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view tokens_key = "tokenizer.ggml.tokens", bos_key = "tokenizer.ggml.bos_token_id",
                           eos_key = "tokenizer.ggml.eos_token_id";

}  // namespace

std::string gguf_name(const config& c, std::string_view name) {
  const family& f = family_of(c);
  std::string prefix, suffix;
  for (const std::string_view end : {".weight", ".bias"})
    if (name.ends_with(end)) {
      suffix = end;
      name.remove_suffix(end.size());
    }
  std::span<const name_pair> table = f.gguf_model_names;
  if (name.starts_with(f.blocks)) {
    name.remove_prefix(f.blocks.size());
    const std::size_t dot = name.find('.');
    if (dot == std::string_view::npos) return {};
    prefix = "blk." + std::string(name.substr(0, dot + 1));
    name.remove_prefix(dot + 1);
    table = f.gguf_block_names;
  }
  const auto at = std::ranges::find(table, name, [](const auto& pair) { return pair.first; });
  return at == table.end() ? std::string() : prefix + std::string(at->second) + suffix;
}

namespace {

[[nodiscard]] float positive(const gguf_keys& keys, const std::string& key, double otherwise) {
  const double value = keys.number_or(key, otherwise);
  if (!(value > 0) || value > static_cast<double>(std::numeric_limits<float>::max()))
    keys.refuse(key, "a positive number");
  return static_cast<float>(value);
}

[[nodiscard]] config read_config(const gguf_header& h, const gguf_keys& keys, std::string_view where) {
  config c;
  const std::string_view name = keys.text("general.architecture");
  if (name == "gpt2")
    c.architecture = architecture::gpt2;
  else if (name == "llama")
    c.architecture = architecture::llama;
  else
    keys.refuse("general.architecture", "gpt2 or llama");
  const bool llama = c.architecture == architecture::llama;
  const auto key = [&](std::string_view rest) { return std::string(name) + "." + std::string(rest); };
  const auto must_be = [&](std::string_view rest, std::size_t wanted) {
    if (keys.whole_number_or(key(rest), wanted) != wanted) keys.refuse(key(rest), std::to_string(wanted));
  };
  c.layers = keys.whole_number(key("block_count"));
  c.width = keys.whole_number(key("embedding_length"));
  c.heads = keys.whole_number(key("attention.head_count"));
  c.kv_heads = llama ? keys.whole_number_or(key("attention.head_count_kv"), c.heads) : c.heads;
  c.hidden = keys.whole_number(key("feed_forward_length"));
  c.context = keys.whole_number(key("context_length"));
  c.tied_head = std::ranges::find(h.tensors, "output.weight", &gguf_tensor::name) == h.tensors.end();
  const auto table = std::ranges::find(h.tensors, "token_embd.weight", &gguf_tensor::name);
  if (table != h.tensors.end())
    c.vocabulary = table->shape.front();  // if it is missing, the error is reported with the other tensors
  else
    c.vocabulary = 1;
  if (llama) {
    c.norm_epsilon = positive(keys, key("attention.layer_norm_rms_epsilon"), 1e-5);
    c.rope_theta = positive(keys, key("rope.freq_base"), 10000);
    c.activation = activation::silu;
    if (keys.find(key("rope.scaling.type")) != nullptr && keys.text(key("rope.scaling.type")) != "none")
      keys.refuse(key("rope.scaling.type"), "none: this engine does not support scaled rotary positions");
    must_be("expert_count", 0);
  } else {
    c.norm_epsilon = positive(keys, key("attention.layer_norm_epsilon"), 1e-5);
    c.activation = activation::gelu_tanh;
  }
  check(c, where);
  if (llama)
    for (const std::string_view rest : {"rope.dimension_count", "attention.key_length", "attention.value_length"})
      must_be(rest, c.head_width());
  return c;
}

[[nodiscard]] std::string sizes_of(std::span<const std::size_t> shape) {
  std::string text;
  for (const std::size_t e : shape) text += (text.empty() ? "" : "x") + std::to_string(e);
  return text;
}

}  // namespace

gguf_model parse_gguf_model(std::span<const std::byte> file, std::string_view where) {
  const gguf_header h = parse_gguf(file, where);
  const gguf_keys keys(h, where);
  if (const std::size_t files = keys.whole_number_or("split.count", 1); files > 1)
    refuse_input(
        where, "one of the " + std::to_string(files) + " files of a split model",
        "one file with all tensors: join them with llama.cpp's `llama-gguf-split --merge FIRST_FILE WHOLE_FILE`");
  gguf_model m;
  m.config = read_config(h, keys, where);
  const auto id = [&](std::string_view key) -> std::optional<precis::token> {
    const std::size_t value = keys.whole_number_or(key, m.config.vocabulary);
    return value < m.config.vocabulary ? std::optional(static_cast<precis::token>(value)) : std::nullopt;
  };
  m.bos = id(bos_key);
  m.eos = id(eos_key);
  m.made_from = std::string(keys.text_or("precis.source", ""));
  m.has_tokenizer = keys.find(tokens_key) != nullptr;

  std::map<std::string_view, const gguf_tensor*> found;
  for (const gguf_tensor& t : h.tensors) found.emplace(t.name, &t);
  if (m.config.layers > found.size())  // avoids building a huge list of expected tensors
    refuse_input(where, std::to_string(found.size()) + " tensors for " + std::to_string(m.config.layers) + " layers",
                 "weights that match the metadata");
  std::vector<std::string> missing;
  for (tensor_shape& wanted : expected_tensors(m.config)) {
    const std::string name = gguf_name(m.config, wanted.name);
    const auto at = found.find(name);
    if (at == found.end()) {
      missing.push_back(name);
      continue;
    }
    const gguf_tensor& t = *at->second;
    found.erase(at);
    std::vector<std::size_t> shape = wanted.shape;  // the file stores every map as out x in
    if (wanted.in_major) std::ranges::reverse(shape);
    if (t.shape != shape)
      refuse_input(where, "tensor \"" + name + "\" is " + sizes_of(t.shape),
                   sizes_of(shape) + " according to the metadata");
    source_tensor s;
    s.name = std::move(wanted.name);
    s.stored_name = name;
    s.file = std::string(where);
    s.shape = std::move(wanted.shape);
    s.in_major = s.transposed = wanted.in_major;
    s.bytes = file.subspan(t.first_byte, t.bytes);
    if (t.format == "float32")
      s.type = dtype::f32;
    else if (t.format == "float16")
      s.type = dtype::f16;
    else if (t.format == "bfloat16")
      s.type = dtype::bf16;
    else if (shape.size() == 2)
      s.codec = std::string(t.format);
    else
      refuse_input(where, "tensor \"" + name + "\" is a vector in " + std::string(t.format),
                   "float32, float16 or bfloat16");
    m.tensors.push_back(std::move(s));
  }
  if (!missing.empty()) refuse_input(where, "no tensor " + listed(missing), "all of the model's weights");
  if (!found.empty()) {
    std::vector<std::string> unknown_names;
    for (const auto& [name, t] : found) unknown_names.emplace_back(name);
    refuse_input(where, "unknown tensor " + listed(unknown_names), "only the weights of such a model");
  }
  return m;
}

model_source open_gguf(const fs::path& path) {
  mapped_file file(path);
  gguf_model m = parse_gguf_model(file.bytes(), path.string());
  model_source s;
  s.format = model_format::gguf;
  s.path = path;
  s.config = m.config;
  s.bos = m.bos;
  s.eos = m.eos;
  s.tensors = std::move(m.tensors);
  s.made_from = std::move(m.made_from);
  if (m.has_tokenizer) s.tokenizer = path;
  s.files.push_back(std::move(file));
  return s;
}

}  // namespace engine
