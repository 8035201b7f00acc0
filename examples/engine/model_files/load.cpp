#include <engine/model_files/load.hpp>

#include <engine/files/memory.hpp>
#include <engine/files/messages.hpp>
#include <engine/model/config_json.hpp>
#include <engine/model/family.hpp>

#include <precis/core/error.hpp>
#include <precis/core/random.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

namespace engine {
namespace {

/// Refuses the first value that is not finite; the message gives its index in the stored tensor.
void check_finite(const source_tensor& t, std::span<const float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    std::string index = std::to_string(i);
    if (t.shape.size() == 2) index = std::to_string(i / t.shape[1]) + ", " + std::to_string(i % t.shape[1]);
    refuse_input(
        t.file,
        "tensor " + t.stored_name + " holds " + (std::isnan(values[i]) ? "NaN" : "infinity") + " at [" + index + "]",
        "finite weights");
  }
}

/// Reorders the rows of a query or key map so that rotary pairs are adjacent.
///
/// Rotary position embeddings rotate pairs of features. Hugging Face pairs feature i of a head with feature i + half;
/// llama2.c and this engine pair feature 2i with 2i + 1. The dot product of a query and a key is invariant under a
/// common permutation of their features, so in both maps row i moves to 2i and row i + half to 2i + 1.
void make_pairs_adjacent(std::span<float> values, std::size_t heads, std::size_t out, std::size_t in) {
  const std::size_t head = out / heads, half = head / 2;
  std::vector<float> rows(head * in);
  for (std::size_t h = 0; h < heads; ++h) {
    const std::span<float> head_rows = values.subspan(h * head * in, head * in);
    std::ranges::copy(head_rows, rows.begin());
    for (std::size_t i = 0; i < head; ++i) {
      const std::size_t to = i < half ? 2 * i : 2 * (i - half) + 1;
      std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(i * in), in,
                  head_rows.begin() + static_cast<std::ptrdiff_t>(to * in));
    }
  }
}

}  // namespace

void check_stored(const source_tensor& t, const matrix_decoder& decoder) {
  if (t.codec.empty()) return;
  if (!decoder.bytes || !decoder.decode)
    refuse_input(t.file, "tensor " + t.stored_name + " is packed with " + t.codec,
                 "an uncompressed model: this program has no decoder");
  const std::size_t bytes = decoder.bytes(t.codec, t.out(), t.in());
  if (bytes != t.bytes.size())
    refuse_input(t.file, "tensor " + t.stored_name + " has " + std::to_string(t.bytes.size()) + " bytes of " + t.codec,
                 std::to_string(bytes) + " for its shape");
}

namespace {

/// Values of FP4 (one sign, two exponent and one mantissa bits), by code.
constexpr float fp4_values[16] = {0.f,  0.5f,  1.f,  1.5f,  2.f,  3.f,  4.f,  6.f,
                                  -0.f, -0.5f, -1.f, -1.5f, -2.f, -3.f, -4.f, -6.f};

/// Decodes a part of a larger tensor, element by element or a row at a time.
void decode_part(const source_tensor& t, std::span<float> values) {
  const tensor_part& p = *t.part;
  const std::size_t in = t.shape.size() == 2 ? t.shape[1] : 1, out = t.shape[0], size = size_of(t.type);
  if (!t.scales.empty()) {
    for (std::size_t o = 0; o < out; ++o)
      for (std::size_t i = 0; i < in; ++i) {
        const std::size_t at = p.row(o) + i;
        const auto both = std::to_integer<unsigned>(t.bytes[at / 2]);
        const int power = std::to_integer<int>(t.scales[at / 32]) - 127;
        values[o * in + i] = std::ldexp(fp4_values[at % 2 == 0 ? both & 15u : both >> 4], power);
      }
    return;
  }
  if (p.in_stride == 1) {
    for (std::size_t o = 0; o < out; ++o)
      decode(t.type, t.bytes.subspan(p.row(o) * size, in * size), values.subspan(o * in, in));
    return;
  }
  std::vector<float> column((out - 1) * p.out_stride + 1);  // without groups
  for (std::size_t i = 0; i < in; ++i) {
    decode(t.type, t.bytes.subspan((p.first + i * p.in_stride) * size, column.size() * size), column);
    for (std::size_t o = 0; o < out; ++o) values[o * in + i] = column[o * p.out_stride];
  }
}

}  // namespace

void decode(const source_tensor& t, const matrix_decoder& decoder, std::span<float> values) {
  if (t.codec.empty() && t.part) {
    decode_part(t, values);
  } else if (t.codec.empty()) {
    decode(t.type, t.bytes, values);
    if (t.transposed) {
      const std::vector<float> stored(values.begin(), values.end());  // shape[1] x shape[0]
      for (std::size_t r = 0; r < t.shape[0]; ++r)
        for (std::size_t c = 0; c < t.shape[1]; ++c) values[r * t.shape[1] + c] = stored[c * t.shape[0] + r];
    }
  } else {
    check_stored(t, decoder);
    const auto columns = static_cast<std::ptrdiff_t>(t.shape[1]);
    precis::mutable_weight_view view(values.data(), t.shape[0], t.shape[1], columns, 1);
    decoder.decode(t.codec, t.bytes, t.in_major ? view.transposed() : view);
  }
  if (!t.factors.empty()) {
    const std::size_t row = t.elements() / t.shape[0];
    for (std::size_t i = 0; i < values.size(); ++i) values[i] *= t.factors[t.factors.size() == 1 ? 0 : i / row];
  }
  check_finite(t, values);
  if (t.rotary_heads != 0)
    make_pairs_adjacent(values, t.rotary_heads, t.shape[0], t.shape.size() == 2 ? t.shape[1] : 1);
}

namespace {

/// Computes a fingerprint. Tensors are added in the order of tensors().
class fingerprint_hash {
 public:
  explicit fingerprint_hash(const config& c) : hash_(precis::purpose(family_of(c).model_type)) {}

  void add(std::string_view name, std::span<const std::size_t> shape, std::span<const float> values) {
    add(precis::purpose(name));
    for (const std::size_t e : shape) add(e);
    std::size_t i = 0;
    for (; i + 1 < values.size(); i += 2)
      add(std::bit_cast<std::uint32_t>(values[i]) |
          static_cast<std::uint64_t>(std::bit_cast<std::uint32_t>(values[i + 1])) << 32);
    if (i < values.size()) add(std::bit_cast<std::uint32_t>(values[i]));
  }
  [[nodiscard]] std::string text() const {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string all(16, '0');
    for (std::size_t i = 0; i < 16; ++i) all[i] = digits[(hash_ >> (60 - 4 * i)) & 15];
    return all;
  }

 private:
  void add(std::uint64_t word) { hash_ = precis::mix64(hash_ ^ word); }

  std::uint64_t hash_;
};

}  // namespace

std::string fingerprint(const weights& w) {
  fingerprint_hash hash(w.config);
  for (const tensor<const float>& t : tensors(w)) hash.add(t.name, t.shape, t.values);
  return hash.text();
}

std::string fingerprint(const model_source& source, const matrix_decoder& decoder) {
  fingerprint_hash hash(source.config);
  std::vector<float> values;
  for (const source_tensor& t : source.tensors) {
    values.resize(t.elements());
    decode(t, decoder, values);
    hash.add(t.name, t.shape, values);
  }
  return hash.text();
}

const stored_tensor* bundle::find(std::string_view name) const noexcept {
  constexpr std::string_view suffix = ".weight";
  for (const stored_tensor& t : stored) {
    const std::string_view n = t.name;
    if (n == name || (n.ends_with(suffix) && n.substr(0, n.size() - suffix.size()) == name)) return &t;
  }
  return nullptr;
}

std::size_t bundle::stored_bytes() const noexcept {
  std::size_t bytes = 0;
  for (const stored_tensor& t : stored) bytes += t.bytes;
  return bytes;
}

tokenizer tokenizer_of(const model_source& source, const std::filesystem::path& instead) {
  const std::filesystem::path& path = instead.empty() ? source.tokenizer : instead;
  if (path.empty()) return {};
  tokenizer t = load_tokenizer(path);
  if (t.size() > source.config.vocabulary) t = t.limited_to(source.config.vocabulary);
  if (t.size() > source.config.vocabulary)
    refuse_input(path.string(), "a tokenizer of " + std::to_string(t.size()) + " tokens",
                 "at most " + std::to_string(source.config.vocabulary) + " for this model");
  return t;
}

bundle load(const std::filesystem::path& path, const load_options& options) {
  const model_source source = open_source(path);
  for (const source_tensor& t : source.tensors) check_stored(t, options.decoder);  // before memory is allocated

  bundle b;
  b.path = path;
  b.format = source.format;
  b.made_from = source.made_from;
  b.bos = source.bos;
  b.eos = source.eos;
  b.warnings = source.warnings;
  b.labels = source.labels;
  b.tokenizer = tokenizer_of(source, options.tokenizer);

  std::size_t elements = 0;
  for (const source_tensor& t : source.tensors) elements += t.elements();
  b.weights = with_memory(elements * sizeof(float), "the weights of " + path.string() + " as floats",
                          [&] { return zeros(source.config); });
  const std::vector<tensor<float>> targets = tensors(b.weights);
  PRECIS_EXPECTS(targets.size() == source.tensors.size(), "expected_tensors agrees with tensors()");
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const source_tensor& t = source.tensors[i];
    PRECIS_EXPECTS(targets[i].name == t.name && targets[i].shape == t.shape, "expected_tensors agrees with tensors()");
    decode(t, options.decoder, targets[i].values);
    b.stored.push_back({.name = t.name,
                        .stored_name = t.stored_name,
                        .format = !t.codec.empty()    ? t.codec
                                  : !t.scales.empty() ? "MXFP4"
                                                      : std::string(to_string(t.type)),
                        .shape = t.shape,
                        .bytes = t.stored_bytes(),
                        .packed = !t.codec.empty()});
  }
  b.fingerprint = fingerprint(b.weights);
  return b;
}

namespace {

/// A tensor of a file that is to be written: one of the engine's, or several as its parts.
struct output_tensor {
  tensor_declaration declaration;
  std::vector<std::pair<std::size_t, std::optional<tensor_part>>> from;  ///< indices of the engine's tensors
};

[[nodiscard]] std::vector<output_tensor> outputs_of(const config& c, std::span<const tensor<const float>> all,
                                                    dtype type) {
  const family& f = family_of(c);
  knobs k = settings_of(c);
  k.mxfp4 = false;
  std::vector<output_tensor> outputs;
  std::map<std::string, std::size_t> wholes;
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::optional<tensor_part> part = f.part_of == nullptr ? std::nullopt : f.part_of(c, k, all[i].name);
    const std::string name = stored_name(c, part ? part->whole : all[i].name);
    const auto [at, fresh] = wholes.emplace(name, outputs.size());
    if (fresh) outputs.push_back({{name, type, part ? part->shape : all[i].shape}, {}});
    outputs[at->second].from.emplace_back(i, std::move(part));
  }
  return outputs;
}

/// The values of a file's tensor.
[[nodiscard]] std::vector<float> values_of(const output_tensor& o, std::span<const tensor<const float>> all) {
  std::size_t size = 1;
  for (const std::size_t e : o.declaration.shape) size *= e;
  std::vector<float> values(size);
  for (const auto& [index, part] : o.from) {
    const tensor<const float>& t = all[index];
    if (!part) {
      values.assign(t.values.begin(), t.values.end());
      continue;
    }
    const std::size_t in = t.shape.size() == 2 ? t.shape[1] : 1;
    for (std::size_t e = 0; e < t.values.size(); ++e)
      values[part->row(e / in) + e % in * part->in_stride] = t.values[e];
  }
  return values;
}

}  // namespace

void save(const weights& w, const std::filesystem::path& folder, dtype type,
          const std::map<std::string, std::string>& files, atomic_folder::existing rule) {
  for (const place& p : matrix_places_of(w.config, settings_of(w.config)))
    if (map_at(w, p).depends_on_position())
      precis::refuse({.what = name_of(w.config, p) + " has a bias that its family's files cannot store",
                      .where = folder.string(),
                      .expected = "weights without absorbed inputs, or with their means in ordinary biases"});
  PRECIS_EXPECTS(is_weight(type), "f32, f16 or bf16");
  const std::string configuration = config_json(w.config);
  const std::vector<tensor<const float>> all = tensors(w);
  const std::vector<output_tensor> outputs = outputs_of(w.config, all, type);
  std::vector<tensor_declaration> declarations;
  for (const output_tensor& o : outputs) declarations.push_back(o.declaration);

  atomic_folder out(folder, rule);
  safetensors_writer writer(out.path() / "model.safetensors", declarations, {{"format", "pt"}});
  std::vector<std::byte> bytes;
  std::vector<float> back;
  for (const output_tensor& o : outputs) {
    const std::vector<float> values = values_of(o, all);
    bytes.resize(values.size() * size_of(type));
    back.resize(values.size());
    encode(type, values, bytes);
    decode(type, bytes, back);
    for (std::size_t i = 0; i < back.size(); ++i)
      if (!std::isfinite(back[i]))
        refuse_input(folder.string(),
                     "tensor " + all[o.from.front().first].name + " holds " + std::to_string(values[i]) + " at " +
                         std::to_string(i),
                     "finite weights within the range of " + std::string(to_string(type)));
    writer.write(bytes);
  }
  writer.commit();
  write_file(out.path() / "config.json", configuration);
  for (const auto& [name, content] : files) write_file(out.path() / name, content);
  out.commit();
}

}  // namespace engine
