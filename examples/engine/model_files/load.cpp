#include <engine/model_files/load.hpp>

#include <engine/files/memory.hpp>
#include <engine/files/messages.hpp>
#include <engine/model/config_json.hpp>
#include <engine/model/family.hpp>
#include <engine/model_files/tensor_rows.hpp>

#include <precis/core/error.hpp>
#include <precis/core/random.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>

namespace engine {
namespace {

/// Refuses the first of consecutive values that is not finite; the message gives its index in the stored tensor.
void check_finite(const source_tensor& t, std::span<const float> values, std::size_t first = 0) {
  constexpr std::uint32_t exponent = 0x7F80'0000u;
  std::uint32_t largest = 0;  // magnitudes of floats are ordered as their bits are
  for (const float v : values) largest = std::max(largest, std::bit_cast<std::uint32_t>(v) & 0x7FFF'FFFFu);
  if (largest < exponent) return;
  for (std::size_t k = 0; k < values.size(); ++k) {
    if (std::isfinite(values[k])) continue;
    const std::size_t i = first + k;
    std::string index = std::to_string(i);
    if (t.shape.size() == 2) index = std::to_string(i / t.shape[1]) + ", " + std::to_string(i % t.shape[1]);
    refuse_input(
        t.file,
        "tensor " + t.stored_name + " holds " + (std::isnan(values[k]) ? "NaN" : "infinity") + " at [" + index + "]",
        "finite weights");
  }
}

/// Reorders the rows of a query or key map so that rotary pairs are adjacent.
///
/// Rotary position embeddings rotate pairs of features. Hugging Face pairs feature i of a head with feature i + half;
/// llama2.c and this engine pair feature 2i with 2i + 1. The dot product of a query and a key is invariant under a
/// common permutation of their features, so in both maps row i moves to 2i and row i + half to 2i + 1.
void make_pairs_adjacent(std::span<float> values, std::size_t heads, std::size_t out, std::size_t in) {
  const std::vector<float> stored(values.begin(), values.end());
  for (std::size_t r = 0; r < out; ++r)
    std::copy_n(stored.begin() + static_cast<std::ptrdiff_t>(half_split_row(r, out / heads) * in), in,
                values.begin() + static_cast<std::ptrdiff_t>(r * in));
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

void decode(const source_tensor& t, const matrix_decoder& decoder, std::span<float> values) {
  check_stored(t, decoder);
  if (has_rows(t)) {
    decode_rows(t, 0, t.shape[0], values.data());
    check_finite(t, values);
    return;
  }
  if (t.codec.empty()) {
    PRECIS_EXPECTS(!t.part && !t.transposed, "only vectors and matrices are parts or transposed");
    decode(t.type, t.bytes, values);
  } else {
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

  void add(std::string_view name, std::span<const std::size_t> shape) {
    add(precis::purpose(name));
    for (const std::size_t e : shape) add(e);
  }
  /// Values of the tensor that was added last: all, or an even number of them, as long as more follow.
  void add(std::span<const float> values) {
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
  for (const tensor_values& t : all_values(w)) {
    hash.add(t.name, t.shape);
    hash.add(t.read());
  }
  return hash.text();
}

namespace {

/// Values of a tensor with rows that are read at a time, about.
constexpr std::size_t values_at_a_time = std::size_t{1} << 18;

/// Adds a tensor with rows to a fingerprint, and refuses values that are not finite.
void add_rows(const source_tensor& t, fingerprint_hash& hash, std::vector<float>& values) {
  const std::size_t rows = t.shape[0], cols = t.elements() / rows;
  const std::size_t step = 2 * std::max<std::size_t>(1, values_at_a_time / 2 / std::max<std::size_t>(1, cols));
  values.resize(std::min(step, rows) * cols);
  for (std::size_t r = 0; r < rows; r += step) {
    const std::span<float> some = std::span(values).first(std::min(step, rows - r) * cols);
    decode_rows(t, r, some.size() / cols, some.data());
    check_finite(t, some, r * cols);
    hash.add(some);
  }
}

}  // namespace

std::string fingerprint(const model_source& source, const matrix_decoder& decoder) {
  fingerprint_hash hash(source.config);
  std::vector<float> values;
  for (const source_tensor& t : source.tensors) {
    hash.add(t.name, t.shape);
    if (has_rows(t)) {
      check_stored(t, decoder);
      add_rows(t, hash, values);
      continue;
    }
    values.resize(t.elements());
    decode(t, decoder, values);
    hash.add(values);
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

namespace {

[[nodiscard]] stored_tensor description(const source_tensor& t) {
  return {.name = t.name,
          .stored_name = t.stored_name,
          .format = !t.codec.empty()    ? t.codec
                    : !t.scales.empty() ? "MXFP4"
                                        : std::string(to_string(t.type)),
          .shape = t.shape,
          .bytes = t.stored_bytes(),
          .packed = !t.codec.empty()};
}

/// Sets a matrix to values that stay in their file if it allows that, and checks and adds them to the fingerprint.
void read_tensor(const std::shared_ptr<const model_source>& source, std::size_t i, const matrix_decoder& decoder,
                 auto& to, fingerprint_hash& hash, std::vector<float>& scratch) {
  const source_tensor& t = source->tensors[i];
  if constexpr (std::is_same_v<decltype(to), matrix_values&>)
    if (has_rows(t)) {
      add_rows(t, hash, scratch);
      to = stored_values(source, i);
      return;
    }
  to.resize(t.elements());
  decode(t, decoder, to);
  hash.add(to);
}

/// Sets the weights, their descriptions and their fingerprint.
void read_tensors(const std::shared_ptr<const model_source>& source, const matrix_decoder& decoder, bundle& b) {
  fingerprint_hash hash(source->config);
  std::vector<float> scratch;
  std::size_t i = 0;
  for_each_tensor(source->config,
                  [&](const std::string& name, const std::vector<std::size_t>& shape, bool, auto values) {
                    const source_tensor& t = source->tensors[i];
                    PRECIS_EXPECTS(t.name == name && t.shape == shape, "expected_tensors agrees with for_each_tensor");
                    hash.add(name, shape);
                    read_tensor(source, i, decoder, values(b.weights), hash, scratch);
                    b.stored.push_back(description(t));
                    ++i;
                  });
  b.fingerprint = hash.text();
}

}  // namespace

bundle load(const std::filesystem::path& path, const load_options& options) {
  const auto file = std::make_shared<const model_source>(open_source(path));
  const model_source& source = *file;
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
  for (const source_tensor& t : source.tensors) elements += has_rows(t) ? 0 : t.elements();
  with_memory(elements * sizeof(float), "the weights of " + path.string() + " as floats", [&] {
    b.weights = without_values(source.config);
    read_tensors(file, options.decoder, b);
  });
  return b;
}

namespace {

/// A tensor of a file that is to be written: one of the engine's, or several as its parts.
struct output_tensor {
  tensor_declaration declaration;
  std::vector<std::pair<std::size_t, std::optional<tensor_part>>> from;  ///< indices of the engine's tensors
};

[[nodiscard]] std::vector<output_tensor> outputs_of(const config& c, std::span<const tensor_values> all, dtype type) {
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
[[nodiscard]] std::vector<float> values_of(const output_tensor& o, std::span<const tensor_values> all) {
  std::size_t size = 1;
  for (const std::size_t e : o.declaration.shape) size *= e;
  std::vector<float> values(size);
  for (const auto& [index, part] : o.from) {
    const tensor_values& t = all[index];
    const std::span<const float> own = t.read();
    if (!part) {
      values.assign(own.begin(), own.end());
      continue;
    }
    const std::size_t in = t.shape.size() == 2 ? t.shape[1] : 1;
    for (std::size_t e = 0; e < own.size(); ++e) values[part->row(e / in) + e % in * part->in_stride] = own[e];
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
  const std::vector<tensor_values> all = all_values(w);
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
