#include <engine/model_files/gguf_model.hpp>

#include <engine/files/messages.hpp>
#include <engine/model_files/gguf_config.hpp>
#include <engine/model_files/gguf_layout.hpp>

#include <precis/core/text.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view tokens_key = "tokenizer.ggml.tokens", bos_key = "tokenizer.ggml.bos_token_id",
                           eos_key = "tokenizer.ggml.eos_token_id", eot_key = "tokenizer.ggml.eot_token_id",
                           eom_key = "tokenizer.ggml.eom_token_id";

}  // namespace

namespace {

[[nodiscard]] std::size_t elements(std::span<const std::size_t> shape) {
  std::size_t n = 1;
  for (const std::size_t e : shape) n *= e;
  return n;
}
[[nodiscard]] std::string sizes_of(std::span<const std::size_t> shape) {
  std::string text;
  for (const std::size_t e : shape) text += (text.empty() ? "" : "x") + std::to_string(e);
  return text;
}

/// Whether shapes are equal but for dimensions of 1.
[[nodiscard]] bool same_shape(std::vector<std::size_t> a, std::vector<std::size_t> b) {
  std::erase(a, 1u);
  std::erase(b, 1u);
  return a == b;
}

/// A file may hold query, key and value in one tensor where the architecture usually has three.
[[nodiscard]] gguf_fusion fusion_of(const config& c, const gguf_header& h) {
  gguf_fusion fusion = usual_fusion(c);
  const auto has = [&](std::string_view name) {
    return std::ranges::find(h.tensors, name, &gguf_tensor::name) != h.tensors.end();
  };
  const bool mixes = c.knobs && c.knobs->delta_net.key_heads != 0;  // whose in-projections have this name
  if (c.architecture != architecture::gpt2 && !mixes)
    fusion.qkv = has("blk.0.attn_qkv.weight") || (fusion.qkv && !has("blk.0.attn_q.weight"));
  return fusion;
}

/// Looks up tensors, and knows which were not asked for.
class tensor_finder {
 public:
  tensor_finder(const gguf_header& h, std::string_view where) : where_(where) {
    for (const gguf_tensor& t : h.tensors) rest_.emplace(t.name, &t);
    all_ = rest_;
  }
  [[nodiscard]] const gguf_tensor* operator()(std::string_view name) {
    const auto at = all_.find(name);
    if (at == all_.end()) return nullptr;
    rest_.erase(name);
    return at->second;
  }
  [[nodiscard]] std::vector<std::string> unused(const config& c) const {
    std::vector<std::string> names;
    for (const auto& [name, t] : rest_)
      if (!name.starts_with("rope_f") && !shares_keys(c, name)) names.emplace_back(name);
    return names;
  }

 private:
  /// A map of keys or values in a layer that reads another's.
  [[nodiscard]] static bool shares_keys(const config& c, std::string_view name) {
    std::size_t layer = 0;
    if (!c.knobs || !name.starts_with("blk.") || name.find(".attn_") == std::string_view::npos) return false;
    const std::string_view rest = name.substr(4);
    if (!precis::text::read(rest.substr(0, rest.find('.')), layer) || layer >= c.knobs->layers.size()) return false;
    const std::string_view part = rest.substr(rest.find('.') + 1);
    return c.knobs->layers[layer].kv_source != own_keys &&
           (part == "attn_k.weight" || part == "attn_v.weight" || part == "attn_k_norm.weight");
  }

  std::string_view where_;
  std::map<std::string_view, const gguf_tensor*> all_, rest_;
};

[[nodiscard]] dtype type_of(std::string_view format) noexcept {
  return format == "float16" ? dtype::f16 : format == "bfloat16" ? dtype::bf16 : dtype::f32;
}
[[nodiscard]] bool is_plain(std::string_view format) noexcept {
  return format == "float32" || format == "float16" || format == "bfloat16";
}

/// The shortest x of few bits for which a = -e^x: exact where x had at most 8, 11 or 16 bits.
[[nodiscard]] float log_of(float a, const std::string& where, const std::string& name) {
  if (!(a < 0)) refuse_input(where, "tensor \"" + name + "\" holds a number that is not negative", "-e^x");
  const double exact = std::log(-static_cast<double>(a));
  for (const int bits : {8, 11, 16, 20, 22}) {
    int power = 0;
    const double half = std::frexp(exact, &power);
    const auto x = static_cast<float>(std::ldexp(std::nearbyint(std::ldexp(half, bits)), power - bits));
    if (-static_cast<float>(std::exp(static_cast<double>(x))) == a) return x;
  }
  return static_cast<float>(exact);
}

/// The number of weights that a format stores together.
[[nodiscard]] std::size_t block_of(std::string_view format) {
  for (const std::size_t n : {1u, 32u, 64u, 128u, 256u})
    if (gguf_bytes(format, std::span(&n, 1)) != 0) return n;
  return 1;
}

/// The bytes of the rows and columns of a place, in the engine's order.
void gather(const gguf_place& p, const gguf_tensor& t, std::size_t rows, std::size_t row, const std::string& where,
            std::vector<std::byte>& out) {
  const std::size_t block = block_of(t.format), unit = gguf_bytes(t.format, std::span(&block, 1)),
                    row_bytes = row / block * unit;
  for (std::size_t c = 0; c < p.columns.size(); ++c)
    if (p.columns[c] - c % block != p.columns[c - c % block] || p.columns[c - c % block] % block != 0)
      refuse_input(where, "tensor \"" + t.name + "\" in " + std::string(t.format),
                   "a format whose blocks do not reach over heads, such as q8_0 or float16");
  out.reserve(rows * row_bytes);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t from = p.first + (p.rows.empty() ? r : p.rows[r]);
    const std::span<const std::byte> bytes = t.data.subspan(from * row_bytes, row_bytes);
    if (p.columns.empty()) {
      out.insert(out.end(), bytes.begin(), bytes.end());
      continue;
    }
    for (std::size_t c = 0; c < row; c += block) {
      const auto part = bytes.subspan(p.columns[c] / block * unit, unit);
      out.insert(out.end(), part.begin(), part.end());
    }
  }
}

/// One tensor of the engine, as a view of the file where that is possible.
[[nodiscard]] source_tensor tensor_at(const tensor_shape& wanted, const gguf_place& p, const gguf_tensor& t,
                                      const std::string& where, std::vector<repacked_matrix>& gathered) {
  source_tensor s;
  s.name = wanted.name;
  s.stored_name = t.name;
  s.file = where;
  s.shape = wanted.shape;
  s.in_major = s.transposed = wanted.in_major;
  s.type = type_of(t.format);
  if (!is_plain(t.format)) {
    if (wanted.shape.size() != 2)
      refuse_input(where, "tensor \"" + t.name + "\" is a vector in " + std::string(t.format),
                   "float32, float16 or bfloat16");
    s.codec = std::string(t.format);
  }
  const std::size_t rows = wanted.in_major ? wanted.shape[1] : wanted.shape[0];
  std::size_t row = 1;
  for (const std::size_t e : wanted.shape) row *= e;
  row /= rows;
  if (p.absent == 0 && p.rows.empty() && p.columns.empty() && p.value == gguf_form::same) {
    const std::size_t bytes = t.data.size() / (elements(t.shape) / row);
    s.bytes = t.data.subspan(p.first * bytes, rows * bytes);
    return s;
  }
  repacked_matrix& m = gathered.emplace_back();
  if (p.absent != 0 && s.codec.empty()) m.bytes.resize(p.absent * row * size_of(s.type));
  gather(p, t, rows - p.absent, row, where, m.bytes);
  if (p.value != gguf_form::same) {
    std::vector<float> values(rows * row);
    decode(s.type, m.bytes, values);
    for (float& v : values) v = p.value == gguf_form::plus_one ? v - 1 : log_of(v, where, t.name);
    s.type = dtype::f32;
    m.bytes.resize(values.size() * sizeof(float));
    encode(s.type, values, m.bytes);
  }
  s.bytes = m.bytes;
  return s;
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
  m.config = read_gguf_config(h, where, m.warnings);
  if (m.config.layers > h.tensors.size())  // avoids building a huge list of expected tensors
    refuse_input(where,
                 std::to_string(h.tensors.size()) + " tensors for " + std::to_string(m.config.layers) + " layers",
                 "weights that match the metadata");
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

  const std::vector<tensor_shape> expected = expected_tensors(m.config);
  const std::vector<gguf_place> places = gguf_places(m.config, fusion_of(m.config, h));
  tensor_finder find(h, where);
  std::vector<std::string> missing;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const gguf_tensor* const t = find(places[i].tensor);
    if (t == nullptr) {
      missing.push_back(places[i].tensor);
      continue;
    }
    if (!same_shape(t->shape, places[i].shape))
      refuse_input(where, "tensor \"" + t->name + "\" is " + sizes_of(t->shape),
                   sizes_of(places[i].shape) + " according to the metadata");
    m.tensors.push_back(tensor_at(expected[i], places[i], *t, parts[t->part].where, m.gathered));
  }
  if (!missing.empty()) refuse_input(where, "no tensor " + listed(missing), "all of the model's weights");
  if (const std::vector<std::string> unknown = find.unused(m.config); !unknown.empty())
    refuse_input(where, "unknown tensor " + listed(unknown), "only the weights of such a model");
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
  s.repacked = std::move(m.gathered);
  s.made_from = std::move(m.made_from);
  if (m.has_tokenizer) s.tokenizer = paths.front();
  return s;
}

}  // namespace engine
