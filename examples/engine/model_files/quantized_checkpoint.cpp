#include <engine/model_files/quantized_checkpoint.hpp>

#include <engine/files/messages.hpp>

#include <precis/core/error.hpp>
#include <precis/kernel/code_planes.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

namespace engine {
namespace {

/// Refuses with the name of the key that the configuration is under.
[[noreturn]] void refuse_key(const std::string& where, const std::string& what, const std::string& expected) {
  refuse_input(where, "key \"quantization_config\": " + what, expected);
}

[[nodiscard]] unsigned bits_of(const json_object& keys, const char* key, std::initializer_list<unsigned> possible,
                               const std::string& where) {
  const std::size_t bits = keys.whole_number(key);
  std::string all;
  for (const unsigned b : possible) {
    if (b == bits) return b;
    all += (all.empty() ? "" : ", ") + std::to_string(b);
  }
  refuse_key(where, std::to_string(bits) + " bits", all);
}

/// group_size: a whole number; -1 and null stand for a row.
[[nodiscard]] std::size_t group_of(const json& config, const char* key, const std::string& where) {
  const auto at = config.find(key);
  if (at == config.end() || at->is_null() || *at == -1) return 0;
  if (!at->is_number_unsigned() || at->get<std::size_t>() == 0)
    refuse_key(where, std::string(key) + " is " + at->dump(), "a positive number or -1");
  return at->get<std::size_t>();
}

[[nodiscard]] checkpoint_format compressed_tensors(const json& config, const json_object& keys,
                                                   const std::string& where) {
  checkpoint_format f;
  const std::string format = keys.text_or("format", "");
  if (format == "pack-quantized")
    f.method = checkpoint_method::packed_integers;
  else if (format == "int-quantized")
    f.method = checkpoint_method::integers;
  else if (format == "mxfp4-pack-quantized")
    f.method = checkpoint_method::mxfp4;
  else
    refuse_key(where, "the format \"" + precis::shown(format) + "\" of compressed-tensors",
               "pack-quantized, int-quantized or mxfp4-pack-quantized");
  if (f.method == checkpoint_method::mxfp4) return f;
  const auto groups = config.find("config_groups");
  std::size_t seen = 0;
  if (groups != config.end() && groups->is_object())
    for (const auto& [name, group] : groups->items()) {
      const auto weights = group.is_object() ? group.find("weights") : group.end();
      if (!group.is_object() || weights == group.end() || !weights->is_object()) continue;
      const json_object w(*weights, where);
      if (w.text_or("type", "int") != "int") refuse_key(where, "weights of type " + w.text("type"), "int");
      const unsigned bits = bits_of(w, "num_bits", {4, 8}, where);
      if (seen++ > 0 && bits != f.bits) refuse_key(where, "groups of different numbers of bits", "one number of bits");
      f.bits = bits;
    }
  if (seen == 0) refuse_key(where, "no config_groups with weights", "num_bits of the weights");
  return f;
}

/// Reads the parts of one matrix.
class parts {
 public:
  parts(const safetensors& tensors, std::string prefix, std::string where)
      : tensors_(tensors), prefix_(std::move(prefix)), where_(std::move(where)) {}

  [[nodiscard]] const tensor_entry* find(const char* end) {
    const tensor_entry* const t = tensors_.find(prefix_ + end);
    if (t != nullptr) used_.push_back(t->name);
    return t;
  }
  [[nodiscard]] const tensor_entry& get(const char* end) {
    const tensor_entry* const t = find(end);
    if (t == nullptr)
      refuse_input(where_, "no tensor \"" + precis::shown(prefix_ + end) + "\"", "all parts of a quantized matrix");
    return *t;
  }
  [[noreturn]] void refuse(const tensor_entry& t, const std::string& what, const std::string& expected) const {
    refuse_input(where_, "tensor \"" + precis::shown(t.name) + "\" " + what, expected);
  }
  /// Two extents of whole numbers of a type. A vector counts as a column.
  void check(const tensor_entry& t, dtype type, std::size_t rows, std::size_t columns) const {
    if (t.type != type) refuse(t, "is of type " + std::string(to_string(t.type)), std::string(to_string(type)));
    check(t, rows, columns);
  }
  void check(const tensor_entry& t, std::size_t rows, std::size_t columns) const {
    const bool fits = t.shape.size() == 2   ? t.shape[0] == rows && t.shape[1] == columns
                      : t.shape.size() == 1 ? columns == 1 && t.shape[0] == rows
                                            : false;
    if (!fits)
      refuse(t, "has another shape than its matrix's other tensors",
             std::to_string(rows) + "x" + std::to_string(columns));
  }
  [[nodiscard]] std::span<const std::byte> bytes(const tensor_entry& t) const { return tensors_.bytes(t); }
  [[nodiscard]] std::vector<float> floats(const tensor_entry& t) const {
    if (!is_weight(t.type)) refuse(t, "is of type " + std::string(to_string(t.type)), "F32, F16 or BF16");
    std::vector<float> values(bytes(t).size() / size_of(t.type));
    decode(t.type, bytes(t), values);
    return values;
  }
  /// Two extents of a tensor.
  [[nodiscard]] std::pair<std::size_t, std::size_t> extents(const tensor_entry& t) const {
    if (t.shape.size() != 2 || t.shape[0] == 0 || t.shape[1] == 0) refuse(t, "is not a matrix", "a quantized matrix");
    return {t.shape[0], t.shape[1]};
  }
  [[nodiscard]] std::vector<std::string>& used() noexcept { return used_; }
  [[nodiscard]] const std::string& where() const noexcept { return where_; }

 private:
  const safetensors& tensors_;
  std::string prefix_, where_;
  std::vector<std::string> used_;
};

[[nodiscard]] std::uint32_t word_at(std::span<const std::byte> words, std::size_t i) {
  return precis::kernel::get_word32(words.data() + 4 * i);
}

/// The group of every column, if the file lists groups that are not consecutive.
void read_groups(parts& p, integer_matrix& m, std::size_t groups) {
  const tensor_entry* t = p.find(".g_idx");
  if (t == nullptr) t = p.find(".weight_g_idx");
  if (t == nullptr || t->shape == std::vector<std::size_t>{0}) return;
  p.check(*t, dtype::i32, m.in, 1);
  bool consecutive = true;
  std::vector<std::uint32_t> all(m.in);
  for (std::size_t c = 0; c < m.in; ++c) {
    all[c] = word_at(p.bytes(*t), c);
    if (all[c] >= groups) p.refuse(*t, "names group " + std::to_string(all[c]), "0 to " + std::to_string(groups - 1));
    consecutive = consecutive && all[c] == c / m.group;
  }
  if (!consecutive) m.group_of = std::move(all);
}

/// GPTQ: codes along `in`, zero points along `out`, each a stream of bits of 32-bit words.
[[nodiscard]] integer_matrix read_gptq(parts& p, const checkpoint_format& f) {
  const tensor_entry &codes = p.get(".qweight"), &zeros = p.get(".qzeros"), &scales = p.get(".scales");
  integer_matrix m;
  m.bits = f.bits;
  const auto [words, out] = p.extents(codes);
  m.out = out;
  m.in = words * 32 / f.bits;
  const std::size_t groups = p.extents(scales).first;
  m.group = f.group == 0 ? m.in : f.group;
  if (m.in == 0 || m.in % 32 != 0 || (m.in + m.group - 1) / m.group != groups || out * f.bits % 32 != 0)
    p.refuse(scales, "has " + std::to_string(groups) + " groups for rows of " + std::to_string(m.in),
             "groups of " + std::to_string(m.group));
  p.check(codes, dtype::i32, words, out);
  p.check(zeros, dtype::i32, groups, out * f.bits / 32);
  p.check(scales, groups, out);
  const std::uint32_t mask = (1u << f.bits) - 1u;
  const auto code = [&](std::size_t bit, auto&& word) {  // across the end of a word
    const std::size_t i = bit / 32, shift = bit % 32;
    std::uint64_t both = word(i);
    if (shift + f.bits > 32) both |= std::uint64_t{word(i + 1)} << 32;
    return static_cast<std::uint32_t>(both >> shift) & mask;
  };
  m.codes.resize(m.out * m.in);
  for (std::size_t c = 0; c < m.in; ++c)
    for (std::size_t r = 0; r < out; ++r)
      m.codes[r * m.in + c] = static_cast<std::uint8_t>(
          code(c * f.bits, [&](std::size_t i) { return word_at(p.bytes(codes), i * out + r); }));
  const std::vector<float> by_group = p.floats(scales);
  m.scales.resize(out * groups);
  m.zeros.resize(out * groups);
  const std::size_t zero_words = out * f.bits / 32;
  for (std::size_t g = 0; g < groups; ++g)
    for (std::size_t r = 0; r < out; ++r) {
      m.scales[r * groups + g] = by_group[g * out + r];
      m.zeros[r * groups + g] = static_cast<std::uint16_t>(
          code(r * f.bits, [&](std::size_t i) { return word_at(p.bytes(zeros), g * zero_words + i); }) + f.zero_offset);
    }
  read_groups(p, m, groups);
  return m;
}

/// AWQ: eight columns of `out` in a word, in the order 0, 2, 4, 6, 1, 3, 5, 7.
[[nodiscard]] integer_matrix read_awq(parts& p, const checkpoint_format& f) {
  constexpr unsigned place[8] = {0, 4, 1, 5, 2, 6, 3, 7};  // of each column in its word
  const tensor_entry &codes = p.get(".qweight"), &zeros = p.get(".qzeros"), &scales = p.get(".scales");
  integer_matrix m;
  const auto [in, words] = p.extents(codes);
  m.in = in;
  m.out = words * 8;
  const std::size_t groups = p.extents(scales).first;
  m.group = f.group == 0 ? in : f.group;
  if (in % m.group != 0 || in / m.group != groups)
    p.refuse(scales, "has " + std::to_string(groups) + " groups for rows of " + std::to_string(in),
             "groups of " + std::to_string(m.group));
  p.check(codes, dtype::i32, in, words);
  p.check(zeros, dtype::i32, groups, words);
  p.check(scales, groups, m.out);
  const auto code = [&](const tensor_entry& t, std::size_t row, std::size_t r) {
    return word_at(p.bytes(t), row * words + r / 8) >> 4 * place[r % 8] & 15u;
  };
  m.codes.resize(m.out * in);
  for (std::size_t c = 0; c < in; ++c)
    for (std::size_t r = 0; r < m.out; ++r) m.codes[r * in + c] = static_cast<std::uint8_t>(code(codes, c, r));
  const std::vector<float> by_group = p.floats(scales);
  m.scales.resize(m.out * groups);
  m.zeros.resize(m.out * groups);
  for (std::size_t g = 0; g < groups; ++g)
    for (std::size_t r = 0; r < m.out; ++r) {
      m.scales[r * groups + g] = by_group[g * m.out + r];
      m.zeros[r * groups + g] = static_cast<std::uint16_t>(code(zeros, g, r));
    }
  return m;
}

/// compressed-tensors: signed codes, as bytes or packed with 2^(bits - 1) added; scales and zero points per group.
[[nodiscard]] integer_matrix read_compressed_tensors(parts& p, const checkpoint_format& f) {
  const bool packed = f.method == checkpoint_method::packed_integers;
  const tensor_entry &codes = p.get(packed ? ".weight_packed" : ".weight"), &scales = p.get(".weight_scale");
  integer_matrix m;
  m.bits = packed ? f.bits : 8;
  const auto [out, columns] = p.extents(codes);
  m.out = out;
  m.in = columns;
  const unsigned each = 32 / f.bits, mask = (1u << m.bits) - 1u, middle = 1u << (m.bits - 1);
  if (packed) {
    const tensor_entry& shape = p.get(".weight_shape");
    p.check(shape, dtype::i64, 2, 1);
    m.in = word_at(p.bytes(shape), 2);  // the low half of the second number
    if (m.in == 0 || (m.in + each - 1) / each != columns)
      p.refuse(shape, "states rows of " + std::to_string(m.in), "at most " + std::to_string(columns * each));
    p.check(codes, dtype::i32, out, columns);
  } else {
    p.check(codes, dtype::i8, out, columns);
  }
  if (scales.shape.empty() || scales.shape.size() > 2) p.refuse(scales, "is not a matrix", "scales of groups");
  const std::size_t stored = scales.shape.size() == 2 ? scales.shape[1] : 1, rows = scales.shape[0];
  if (stored == 0 || m.in % stored != 0 || (rows != out && rows != 1))
    p.refuse(scales, "has " + std::to_string(stored) + " groups for rows of " + std::to_string(m.in), "whole groups");
  m.group = m.in / stored;
  p.check(scales, rows, stored);
  const std::vector<float> found = p.floats(scales);
  m.scales.resize(out * stored);
  for (std::size_t i = 0; i < m.scales.size(); ++i) m.scales[i] = found[rows == out ? i : i % stored];
  m.codes.resize(out * m.in);
  for (std::size_t r = 0; r < out; ++r)
    for (std::size_t c = 0; c < m.in; ++c)
      m.codes[r * m.in + c] = static_cast<std::uint8_t>(
          packed ? word_at(p.bytes(codes), r * columns + c / each) >> f.bits * (c % each) & mask
                 : static_cast<unsigned>(p.bytes(codes)[r * columns + c]) ^ middle);
  m.zeros.assign(out * stored, static_cast<std::uint16_t>(middle));
  if (const tensor_entry* const zeros = p.find(".weight_zero_point")) {
    if (packed) {  // along `out`
      const std::size_t words = (out + each - 1) / each;
      p.check(*zeros, dtype::i32, words, stored);
      for (std::size_t r = 0; r < out; ++r)
        for (std::size_t g = 0; g < stored; ++g)
          m.zeros[r * stored + g] =
              static_cast<std::uint16_t>(word_at(p.bytes(*zeros), r / each * stored + g) >> f.bits * (r % each) & mask);
    } else {
      p.check(*zeros, dtype::i8, rows, stored);
      for (std::size_t i = 0; i < m.zeros.size(); ++i)
        m.zeros[i] =
            static_cast<std::uint16_t>(static_cast<unsigned>(p.bytes(*zeros)[rows == out ? i : i % stored]) ^ middle);
    }
  }
  read_groups(p, m, stored);
  return m;
}

/// OCP's MXFP4 has codes 2 j and 2 j + 1 in byte j, ggml's blocks codes j and 16 + j: the same codes in another order.
void reorder_mxfp4(parts& p, repacked_matrix& to) {
  const tensor_entry &codes = p.get(".weight_packed"), &scales = p.get(".weight_scale");
  const auto [out, halves] = p.extents(codes);
  if (halves % 16 != 0) p.refuse(codes, "has rows of " + std::to_string(2 * halves), "a multiple of 32");
  p.check(codes, dtype::u8, out, halves);
  p.check(scales, dtype::u8, out, halves / 16);
  to.out = out;
  to.in = 2 * halves;
  to.codec = "mxfp4";
  to.bytes.resize(out * (halves / 16) * 17);
  const std::span<const std::byte> from = p.bytes(codes), exponents = p.bytes(scales);
  for (std::size_t b = 0; b < out * halves / 16; ++b) {
    std::byte* const block = to.bytes.data() + 17 * b;
    block[0] = exponents[b];
    const auto code = [&](std::size_t i) {
      const auto byte = static_cast<unsigned>(from[16 * b + i / 2]);
      return i % 2 == 0 ? byte & 15u : byte >> 4;
    };
    for (std::size_t j = 0; j < 16; ++j) block[1 + j] = static_cast<std::byte>(code(j) | code(16 + j) << 4);
  }
}

}  // namespace

std::optional<checkpoint_format> parse_checkpoint_format(const json& config, const std::string& where) {
  const auto found = config.find("quantization_config");
  if (found == config.end() || found->is_null()) return std::nullopt;
  const json_object keys(*found, where + ": quantization_config");
  const std::string method = keys.text_or("quant_method", "");
  if (method == "mxfp4") return std::nullopt;  // gpt-oss, whose family names the parts
  if (method == "compressed-tensors") return compressed_tensors(*found, keys, where);
  checkpoint_format f;
  if (method == "gptq") {
    f.bits = bits_of(keys, "bits", {2, 3, 4, 8}, where);
    f.zero_offset = keys.text_or("checkpoint_format", "gptq") == "gptq_v2" ? 0 : 1;
  } else if (method == "awq") {
    f.method = checkpoint_method::awq;
    const bool old = keys.find("bits") == nullptr && keys.find("w_bit") != nullptr;
    f.bits = bits_of(keys, old ? "w_bit" : "bits", {4}, where);
    if (const std::string version = keys.text_or("version", "gemm"); version != "gemm" && version != "GEMM")
      refuse_key(where, "AWQ of version \"" + precis::shown(version) + "\"", "gemm");
    f.group = group_of(*found, found->contains("group_size") ? "group_size" : "q_group_size", where);
    return f;
  } else {
    refuse_key(where,
               "weights that are quantized with " +
                   (method.empty() ? "an unnamed method" : "\"" + precis::shown(method) + "\""),
               "gptq, awq or compressed-tensors; or the original model, with weights in F32, F16 or BF16");
  }
  f.group = group_of(*found, "group_size", where);
  return f;
}

std::vector<repacked_matrix> repack_checkpoint(const safetensors& tensors, const checkpoint_format& format,
                                               const std::string& where) {
  const std::string_view end = format.method == checkpoint_method::gptq || format.method == checkpoint_method::awq
                                   ? ".qweight"
                               : format.method == checkpoint_method::integers ? ".weight_scale"
                                                                              : ".weight_packed";
  std::vector<repacked_matrix> all;
  for (const tensor_entry& t : tensors.tensors()) {
    if (!t.name.ends_with(end)) continue;
    const std::string prefix = t.name.substr(0, t.name.size() - end.size());
    parts p(tensors, prefix, where);
    repacked_matrix& to = all.emplace_back();
    to.name = prefix + ".weight";
    to.file = tensors.file_name(t);
    switch (format.method) {
      case checkpoint_method::gptq: pack_integers(read_gptq(p, format), to); break;
      case checkpoint_method::awq: pack_integers(read_awq(p, format), to); break;
      case checkpoint_method::mxfp4: reorder_mxfp4(p, to); break;
      default: pack_integers(read_compressed_tensors(p, format), to);
    }
    to.parts = std::move(p.used());
  }
  return all;
}

}  // namespace engine
