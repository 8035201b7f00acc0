#include <engine/model_files/gguf_model.hpp>

#include <engine/files/messages.hpp>
#include <engine/model/family.hpp>
#include <engine/model/known_keys.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

namespace engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view tokens_key = "tokenizer.ggml.tokens", bos_key = "tokenizer.ggml.bos_token_id",
                           eos_key = "tokenizer.ggml.eos_token_id", eot_key = "tokenizer.ggml.eot_token_id",
                           eom_key = "tokenizer.ggml.eom_token_id";

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
  if (!(value > 0) || value > static_cast<double>(std::numeric_limits<float>::max()) || static_cast<float>(value) == 0)
    keys.refuse(key, "a positive number");
  return static_cast<float>(value);
}

/// The plain values in a metadata value. Errors: a list that is longer than any that a model needs.
[[nodiscard]] std::vector<plain_value> plain_values(const gguf_value& value, std::string_view key,
                                                    const gguf_keys& keys) {
  std::vector<plain_value> values;
  const auto add = [&](const gguf_value& v) {
    if (const auto* flag = std::get_if<bool>(&v))
      values.emplace_back(*flag);
    else if (const auto* text = std::get_if<std::string_view>(&v))
      values.emplace_back(std::string(*text));
    else if (const auto* real = std::get_if<double>(&v))
      values.emplace_back(*real);
    else if (const auto* whole = std::get_if<std::uint64_t>(&v))
      values.emplace_back(*whole);
    else if (const std::int64_t number = std::get<std::int64_t>(v); number < 0)
      values.emplace_back(static_cast<double>(number));
    else
      values.emplace_back(static_cast<std::uint64_t>(number));
  };
  if (const auto* array = std::get_if<gguf_array>(&value)) {
    if (array->count > (std::size_t{1} << 16)) keys.refuse(key, "at most one value per layer");
    for (const gguf_value& v : elements_of(*array)) add(v);
  } else {
    add(value);
  }
  return values;
}

/// Refuses a key that asks for what the engine does not do. Returns warnings.
[[nodiscard]] std::vector<std::string> check_keys(const gguf_header& h, const gguf_keys& keys,
                                                  std::string_view architecture, std::size_t context) {
  std::vector<std::string> unknown;
  for (const auto& [key, value] : h.metadata) {
    const bool own = key.starts_with(std::string(architecture) + ".");
    const key_row* const row = find_key(gguf_model_keys(), own ? key.substr(architecture.size()) : key, architecture);
    if (row == nullptr && own) unknown.push_back(key);
    if (row == nullptr || row->use == key_use::read || row->use == key_use::ignored) continue;
    if (const std::string expected = expected_instead(*row, plain_values(value, key, keys), context); !expected.empty())
      keys.refuse(key, expected + (row->use == key_use::extent ? "" : ", which is all that this engine supports"));
  }
  if (unknown.empty()) return {};
  return {std::string(keys.where()) + ": keys that this engine does not know: " + joined(unknown)};
}

[[nodiscard]] config read_config(const gguf_header& h, const gguf_keys& keys, std::string_view where,
                                 std::vector<std::string>& warnings) {
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
  c.heads = keys.repeated_number(key("attention.head_count"), c.layers);
  const std::string shared = key("attention.head_count_kv");
  c.kv_heads = keys.find(shared) == nullptr ? c.heads : keys.repeated_number(shared, c.layers);
  c.hidden = keys.repeated_number(key("feed_forward_length"), c.layers);
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
  } else {
    c.norm_epsilon = positive(keys, key("attention.layer_norm_epsilon"), 1e-5);
    c.activation = activation::gelu_tanh;
  }
  warnings = check_keys(h, keys, name, c.context);
  check(c, where);
  for (const std::string_view rest : {"attention.key_length", "attention.value_length"}) must_be(rest, c.head_width());
  if (llama) must_be("rope.dimension_count", c.head_width());
  if (table != h.tensors.end()) must_be("vocab_size", c.vocabulary);
  return c;
}

[[nodiscard]] std::string sizes_of(std::span<const std::size_t> shape) {
  std::string text;
  for (const std::size_t e : shape) text += (text.empty() ? "" : "x") + std::to_string(e);
  return text;
}

}  // namespace

gguf_model parse_gguf_model(std::span<const std::byte> file, std::string_view where) {
  const gguf_part only{file, std::string(where)};
  return parse_gguf_model(std::span(&only, 1));
}

gguf_model parse_gguf_model(std::span<const gguf_part> parts) {
  gguf_header h = parse_gguf_parts(parts);
  h.metadata.erase("split.count");  // all parts are there
  const std::string_view where = parts.front().where;
  const gguf_keys keys(h, where);
  gguf_model m;
  m.config = read_config(h, keys, where, m.warnings);
  const auto id = [&](std::string_view key) -> std::optional<precis::token> {
    const std::size_t value = keys.whole_number_or(key, m.config.vocabulary);
    if (value < m.config.vocabulary) return static_cast<precis::token>(value);
    if (keys.find(key) != nullptr)
      m.warnings.push_back(std::string(where) + ": " + std::string(key) + " " + std::to_string(value) +
                           " is ignored: the vocabulary has " + std::to_string(m.config.vocabulary) + " tokens");
    return std::nullopt;
  };
  m.bos = id(bos_key);
  for (const std::string_view key : {eos_key, eot_key, eom_key})
    if (const auto end = id(key); end && std::ranges::find(m.eos, *end) == m.eos.end()) m.eos.push_back(*end);
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
    s.file = parts[t.part].where;
    s.shape = std::move(wanted.shape);
    s.in_major = s.transposed = wanted.in_major;
    s.bytes = parts[t.part].file.subspan(t.first_byte, t.bytes);
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
  model_source s;
  std::vector<gguf_part> parts;
  const std::vector<fs::path> paths = gguf_parts_of(path);
  for (const fs::path& p : paths) {
    s.files.emplace_back(p);
    parts.push_back({s.files.back().bytes(), p.string()});
  }
  gguf_model m = parse_gguf_model(parts);
  s.format = model_format::gguf;
  s.path = path;
  s.config = m.config;
  s.bos = m.bos;
  s.eos = std::move(m.eos);
  s.warnings = std::move(m.warnings);
  s.tensors = std::move(m.tensors);
  s.made_from = std::move(m.made_from);
  if (m.has_tokenizer) s.tokenizer = paths.front();
  return s;
}

}  // namespace engine
