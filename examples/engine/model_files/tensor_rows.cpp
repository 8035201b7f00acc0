#include <engine/model_files/tensor_rows.hpp>

#include <precis/kernel/blocks/every_block.hpp>
#include <precis/kernel/ggml_blocks.hpp>
#include <precis/kernel/packed_format.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace engine {
namespace {

namespace kernel = precis::kernel;

/// Values of FP4 (one sign, two exponent and one mantissa bits), by code.
constexpr float fp4_values[16] = {0.f,  0.5f,  1.f,  1.5f,  2.f,  3.f,  4.f,  6.f,
                                  -0.f, -0.5f, -1.f, -1.5f, -2.f, -3.f, -4.f, -6.f};

/// Values per row; a vector has rows of one.
[[nodiscard]] std::size_t columns_of(const source_tensor& t) noexcept { return t.shape.size() == 2 ? t.shape[1] : 1; }

/// Where the file holds a tensor that is not a part of another.
[[nodiscard]] tensor_part whole_of(const source_tensor& t) {
  tensor_part p;
  if (t.transposed)
    p.in_stride = t.shape[0];
  else
    p.out_stride = columns_of(t);
  return p;
}

/// The most values of a column that are decoded at a time.
constexpr std::size_t column_values = 1024;

/// Decodes rows whose values are `in_stride` apart, a column of several rows at a time.
void decode_columns(const source_tensor& t, const tensor_part& p, std::size_t first, std::size_t count, float* to) {
  const std::size_t in = columns_of(t), size = size_of(t.type);
  const std::size_t most = std::max<std::size_t>(1, column_values / p.out_stride);
  std::vector<float> column(column_values + p.out_stride);
  for (std::size_t r = 0; r < count; r += most) {
    const std::size_t n = std::min(most, count - r), length = (n - 1) * p.out_stride + 1;
    for (std::size_t i = 0; i < in; ++i) {
      decode(t.type, t.bytes.subspan((p.row(first + r) + i * p.in_stride) * size, length * size),
             std::span(column).first(length));
      for (std::size_t o = 0; o < n; ++o) to[(r + o) * in + i] = column[o * p.out_stride];
    }
  }
}

/// Multiplies a row, numbered as in the file, by its factor.
void scale_row(const source_tensor& t, std::size_t row, std::span<float> values) noexcept {
  if (t.factors.empty()) return;
  const float factor = t.factors[t.factors.size() == 1 ? 0 : row];
  for (float& v : values) v *= factor;
}

void decode_mxfp4(const source_tensor& t, std::size_t at, std::span<float> to) {
  for (float& value : to) {
    const auto both = std::to_integer<unsigned>(t.bytes[at / 2]);
    const int power = std::to_integer<int>(t.scales[at / 32]) - 127;
    value = std::ldexp(fp4_values[at % 2 == 0 ? both & 15u : both >> 4], power);
    ++at;
  }
}

/// The format of a packed tensor whose rows are ggml's blocks, one row after the other.
[[nodiscard]] std::optional<kernel::packed_format> blocks_of(const source_tensor& t) noexcept {
  if (t.codec.empty() || t.in_major || t.part || t.shape.size() != 2) return std::nullopt;
  const std::optional<kernel::packed_format> f = kernel::parse_format(t.codec);
  if (!f) return std::nullopt;
  if (*f == kernel::packed_format(f->ggml) && t.in() % kernel::ggml_block == 0) return f;
  if (f->codes == kernel::code_kind::block && t.in() % kernel::layout_of(f->block).weights == 0) return f;
  return std::nullopt;
}

/// The same as kernel::decode_ggml for the type of most embeddings, in a form that compilers vectorize.
void decode_q8_0(const std::byte* from, std::span<float> to) noexcept {
  constexpr std::size_t bytes = kernel::layout_of(kernel::ggml_type::q8_0).bytes;
  for (std::size_t i = 0; i < to.size(); i += kernel::ggml_block, from += bytes) {
    const float scale = kernel::half_to_float(kernel::get_word16(from));
    std::int8_t codes[kernel::ggml_block];
    std::memcpy(codes, from + 2, sizeof codes);
    float* const values = to.data() + i;
    for (std::size_t j = 0; j < kernel::ggml_block; ++j) values[j] = static_cast<float>(codes[j]) * scale;
  }
}

/// Decodes blocks that follow each other.
void decode_blocks(const kernel::packed_format& f, const std::byte* from, std::span<float> to) {
  if (f.codes == kernel::code_kind::block) {
    kernel::with_block(f.block, [&]<class Block>(Block) {
      for (std::size_t i = 0; i < to.size(); i += Block::weights, from += Block::bytes)
        Block::decode(from, to.data() + i);
    });
    return;
  }
  const auto all = [&](auto type) {
    constexpr std::size_t bytes = kernel::layout_of(type).bytes;
    for (std::size_t i = 0; i < to.size(); i += kernel::ggml_block, from += bytes)
      kernel::decode_ggml(type, from, to.data() + i);
  };
  using enum kernel::ggml_type;
  switch (f.ggml) {
    case q4_0: return all(std::integral_constant<kernel::ggml_type, q4_0>());
    case q4_1: return all(std::integral_constant<kernel::ggml_type, q4_1>());
    case q5_0: return all(std::integral_constant<kernel::ggml_type, q5_0>());
    case q5_1: return all(std::integral_constant<kernel::ggml_type, q5_1>());
    case q8_0: return decode_q8_0(from, to);
  }
}

class rows_of_file final : public stored_rows {
 public:
  rows_of_file(std::shared_ptr<const model_source> source, std::size_t tensor)
      : source_(std::move(source)), tensor_(&source_->tensors[tensor]) {}

  void decode(std::size_t first, std::size_t count, float* to) const override {
    decode_rows(*tensor_, first, count, to);
  }

 private:
  std::shared_ptr<const model_source> source_;
  const source_tensor* tensor_;
};

}  // namespace

bool has_rows(const source_tensor& t) noexcept {
  if (!t.codec.empty()) return blocks_of(t).has_value();
  if (t.shape.empty() || t.shape.size() > 2) return false;
  return !t.part || t.part->in_stride == 1 || (t.part->group == 0 && t.scales.empty() && t.rotary_heads == 0);
}

void decode_rows(const source_tensor& t, std::size_t first, std::size_t count, float* to) {
  const tensor_part p = t.part ? *t.part : whole_of(t);
  const std::size_t in = columns_of(t), size = size_of(t.type);
  if (p.in_stride != 1 && in != 1) {
    decode_columns(t, p, first, count, to);
    for (std::size_t r = 0; r < count; ++r) scale_row(t, first + r, {to + r * in, in});
    return;
  }
  const std::size_t head = t.rotary_heads == 0 ? 0 : t.shape[0] / t.rotary_heads;
  const std::optional<kernel::packed_format> blocks = blocks_of(t);
  const std::size_t row_bytes = blocks ? blocks->bytes(1, in) : 0;
  for (std::size_t r = 0; r < count; ++r) {
    const std::size_t stored = head == 0 ? first + r : half_split_row(first + r, head), at = p.row(stored);
    const std::span<float> row(to + r * in, in);
    if (blocks)
      decode_blocks(*blocks, t.bytes.data() + stored * row_bytes, row);
    else if (!t.scales.empty())
      decode_mxfp4(t, at, row);
    else
      decode(t.type, t.bytes.subspan(at * size, in * size), row);
    scale_row(t, stored, row);
  }
}

matrix_values stored_values(std::shared_ptr<const model_source> source, std::size_t tensor) {
  const std::size_t rows = source->tensors[tensor].shape[0], size = source->tensors[tensor].elements();
  return {std::make_shared<rows_of_file>(std::move(source), tensor), rows, size};
}

}  // namespace engine
