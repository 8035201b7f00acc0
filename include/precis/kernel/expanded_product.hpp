#if !defined(PRECIS_KERNEL_EXPANDED_PRODUCT)
#define PRECIS_KERNEL_EXPANDED_PRODUCT

#include <precis/kernel/code_values.hpp>
#include <precis/kernel/codebook_format.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/dense.hpp>
#include <precis/kernel/fma_chains.hpp>
#include <precis/kernel/ggml_blocks.hpp>
#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>
#include <precis/kernel/packed_grid.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

/// Products of sparse matrices whose kept weights are expanded: sixteen columns at a time, each weight is moved to its
/// column and the other columns become zeros.
namespace precis::kernel {
PRECIS_IEEE_BEGIN

namespace detail {

/// How a sparse matrix is read for expansion; specialized by each format. Members:
///     rows(m)                        the number of rows; only if any range of rows can be read in one pass
///     from<Code>(m, row, body)       calls body(places, values), both positioned at the start of row `row`
/// places has start_row(), next() (bit i: column i of the next sixteen is kept) and end_row(); values has take(count):
/// the next `count` values, at most sixteen.
template<class Packed>
struct expansion;

/// The values of a dense matrix as floats, in storage order from element `first` on.
template<class Code, dense_type Type>
class dense_stream {
 public:
  dense_stream(const dense_matrix& m, std::size_t first) noexcept
      : at_(m.data + first * each), end_(m.data + m.out * m.in * each) {}

  [[nodiscard]] const float* take(std::size_t count) noexcept {
    using lanes = typename Code::floats;
    if constexpr (many) {
      if (held_ < 16 && end_ - at_ >= static_cast<std::ptrdiff_t>(32 * each)) {  // those held move to the front
        for (std::size_t i = 0; i < 16; i += lanes::width) lanes::store(values_ + i, lanes::load(values_ + first_ + i));
        Code::widen_halves(at_, values_ + held_);
        at_ += 32 * each;
        held_ += 32;
        first_ = 0;
      }
      while (held_ < count) {
        values_[first_ + held_++] = dense_float<Type>(at_);
        at_ += each;
      }
      const float* const taken = values_ + first_;
      first_ += count;
      held_ -= count;
      return taken;
    }
    if (static_cast<std::size_t>(end_ - at_) >= 16 * each)
      for (std::size_t i = 0; i < 16; i += lanes::width)
        lanes::store(values_ + i, load_dense<Code, Type>(at_ + i * each));
    else
      for (std::size_t i = 0; i < count; ++i) values_[i] = dense_float<Type>(at_ + i * each);
    at_ += count * each;
    return values_;
  }

 private:
  static constexpr std::size_t each = bytes_of(Type);
  static constexpr bool many =
      Type == dense_type::float16 && requires(const std::byte* p, float* to) { Code::widen_halves(p, to); };
  const std::byte *at_, *end_;
  std::size_t first_ = 0,
              held_ = 0;  ///< the values that have been converted, where halves are converted many at a time
  float values_[many ? 80 : 16] = {};
};

struct grid_row;
template<unsigned Bits, class Numbers>
void decode_block(grid_row& r, float* values) noexcept;

/// A position in one row of a packed grid, advanced block by block.
struct grid_row {
  packed_grid m;
  grid_format::layout layout;
  std::size_t row = 0, block = 0;
  std::size_t group = 0;       ///< weights per group
  std::size_t left = 0;        ///< weights of the current group that have not been read
  std::size_t scale = 0;       ///< index of the current group's scale
  std::size_t scale_step = 0;  ///< from there to the index of the next group's
  void (*decode)(grid_row&, float*) noexcept = nullptr;

  template<class = void>  // a template: compiled only where it is called
  grid_row(const packed_grid& matrix, std::size_t of, std::size_t first) noexcept
      : m(matrix), layout(m.format.layout_of(m.out, m.in)), row(of), block(first) {
    const grid_format& f = m.format;
    group = f.group == per_tensor || f.group > m.in ? m.in : f.group;
    const std::size_t column = block * block_columns, k = group == 0 ? 0 : column / group;
    left = (k + 1) * group - column;
    scale = f.group_at(m.out, m.in, row, k);
    scale_step = f.group_at(m.out, m.in, row, k + 1) - scale;
    with_codes(f, [&](auto bits, auto numbers) { decode = &decode_block<bits, decltype(numbers)>; });
  }
  void read(float* values) noexcept { decode(*this, values); }
};

/// Decodes the next block of a row: scale * (code - zero point), or scale * code + minimum.
template<unsigned Bits, class Numbers>
void decode_block(grid_row& r, float* values) noexcept {
  const grid_format& f = r.m.format;
  std::conditional_t<Bits <= 8, std::uint8_t, std::uint32_t> codes[block_columns];
  const std::size_t count = unpack_block_of(r.m.data, r.layout, Bits, r.m.out, r.m.in, r.row, r.block++, codes);
  for (std::size_t i = 0; i < count;) {
    if (r.left == 0) {
      r.left = r.group;
      r.scale += r.scale_step;
    }
    const std::size_t same_scale = count - i < r.left ? count - i : r.left;
    const float scale = stored_float(r.m.data + r.layout.scales + r.scale * f.scale_bytes(), f.scales);
    float zero = static_cast<float>(f.fixed_zero_point());
    if (f.rule == grid_rule::affine) zero = static_cast<float>(code_at<Bits>(r.m.data + r.layout.offsets, r.scale));
    const std::size_t end = i + same_scale;
    if (f.has_minimum()) {  // in double, as codec::decode
      const auto minimum =
          static_cast<double>(stored_float(r.m.data + r.layout.offsets + r.scale * f.scale_bytes(), f.scales));
      for (; i < end; ++i)
        values[i] =
            static_cast<float>(static_cast<double>(Numbers::value(codes[i])) * static_cast<double>(scale) + minimum);
    }
    for (; i < end; ++i) values[i] = scale * (Numbers::value(codes[i]) - zero);
    r.left -= same_scale;
  }
}

/// A position in one row of a codebook matrix.
struct codebook_row {
  packed_codebook m;
  grid_format::layout layout;
  std::size_t row = 0, block = 0;
  const std::byte* levels = nullptr;

  codebook_row(const packed_codebook& matrix, std::size_t of, std::size_t first) noexcept
      : m(matrix), layout(m.format.layout_of(m.out, m.in)), row(of), block(first) {
    levels = m.data + layout.scales + (m.format.per_row ? row * m.format.level_count() * m.format.level_bytes() : 0);
  }
  template<class = void>
  void read(float* values) noexcept {
    std::uint8_t codes[block_columns];
    const std::size_t count = unpack_block_of(m.data, layout, m.format.code_bits, m.out, m.in, row, block++, codes);
    for (std::size_t i = 0; i < count; ++i)
      values[i] = stored_float(levels + codes[i] * m.format.level_bytes(), m.format.levels);
  }
};

/// A position in one row of ggml blocks.
struct ggml_row {
  packed_ggml m;
  const std::byte* block = nullptr;

  ggml_row(const packed_ggml& matrix, std::size_t of, std::size_t first) noexcept
      : m(matrix), block(m.data + (of * (m.in / ggml_block) + first) * layout_of(m.type).bytes) {}
  template<class = void>
  void read(float* values) noexcept {
    decode_ggml(m.type, block, values);
    block += layout_of(m.type).bytes;
  }
};

/// The values of one row of a packed matrix from element `first` on, decoded block by block.
template<class Row>
class block_stream {
 public:
  template<class Packed>
  block_stream(const Packed& m, std::size_t row, std::size_t first) noexcept : row_(m, row, first / block_columns) {
    if (first % block_columns == 0) return;
    read_block();
    at_ = first % block_columns;
  }

  [[nodiscard]] const float* take(std::size_t count) noexcept {
    if (end_ - at_ < count) read_block();
    const float* const values = values_ + at_;
    at_ += count;
    return values;
  }

 private:
  /// Moves the values that are left to the front and appends the next block.
  void read_block() noexcept {
    const std::size_t left = end_ - at_;
    for (std::size_t i = 0; i < left; ++i) values_[i] = values_[at_ + i];
    row_.read(values_ + left);
    at_ = 0;
    end_ = left + block_columns;
  }

  Row row_;
  std::size_t at_ = 0, end_ = 0;
  float values_[16 + block_columns + 16] = {};
};

/// Calls body(stream of the values from element `first` of row `row` on).
template<class Code, class F>
void with_stream(const dense_matrix& values, std::size_t row, std::size_t first, F&& body) noexcept {
  with_dense(values.type, [&](auto type) { body(dense_stream<Code, type>(values, row * values.in + first)); });
}
template<class Code, class F>
void with_stream(const packed_grid& values, std::size_t row, std::size_t first, F&& body) noexcept {
  body(block_stream<grid_row>(values, row, first));
}
template<class Code, class F>
void with_stream(const packed_codebook& values, std::size_t row, std::size_t first, F&& body) noexcept {
  body(block_stream<codebook_row>(values, row, first));
}
template<class Code, class F>
void with_stream(const packed_ggml& values, std::size_t row, std::size_t first, F&& body) noexcept {
  body(block_stream<ggml_row>(values, row, first));
}

/// The number of bits that are set in sixteen, or in four: without the instruction, which std::popcount calls a function for.
template<class Lanes>
[[nodiscard]] PRECIS_INLINE std::size_t set_bits(unsigned bits) noexcept {
  if constexpr (Lanes::width != 4) return static_cast<std::size_t>(std::popcount(bits));
  bits -= bits >> 1 & 0x5555u;
  bits = (bits & 0x3333u) + (bits >> 2 & 0x3333u);
  bits = (bits + (bits >> 4)) & 0x0F0Fu;
  return (bits + (bits >> 8)) & 31u;
}

/// Sixteen columns: the values at the columns that are kept, zeros elsewhere.
template<class Lanes>
PRECIS_INLINE void expand(unsigned kept, const float* values,
                          typename Lanes::vector (&to)[16 / Lanes::width]) noexcept {
  if constexpr (requires { Lanes::expand(kept, values); }) {
    for (auto& part : to) {
      const unsigned bits = kept & ((1u << Lanes::width) - 1u);
      part = Lanes::expand(bits, values);
      if constexpr (Lanes::width == 4)
        values += 0x4332'3221'3221'2110u >> 4 * bits & 7u;
      else
        values += std::popcount(bits);
      kept >>= Lanes::width;
    }
  } else {
    float all[16] = {};
    for (; kept != 0; kept &= kept - 1) all[std::countr_zero(kept)] = *values++;
    for (std::size_t p = 0; p < 16 / Lanes::width; ++p) to[p] = Lanes::load(all + p * Lanes::width);
  }
}

/// Multiplies rows first ... last - 1 by `count` vectors, at most Vectors, with the arithmetic of a dense matrix;
/// places and values are positioned at the first row.
template<class Code, std::size_t Vectors, class Places, class Values>
void multiply_expanded(Places places, Values values, std::size_t in, const std::span<const float>* x, std::size_t count,
                       float* y, std::ptrdiff_t y_stride, std::size_t first, std::size_t last) noexcept {
  using lanes = typename Code::floats;
  constexpr std::size_t width = lanes::width, parts = 16 / width;
  const std::size_t whole = in / 16 * 16;
  if constexpr (Vectors == 1 && has_chains<lanes>) {
    constexpr std::size_t piece = 128;
    for (std::size_t r = first; r < last; ++r) {
      alignas(64) float sums[16] = {};
      places.start_row();
      for (std::size_t c = 0; c < in; c += piece) {
        alignas(16) float expanded[piece], padded[piece];
        const std::size_t left = in - c < piece ? in - c : piece, steps = (left + 15) / 16;
        for (std::size_t s = 0; s < steps; ++s) {
          typename lanes::vector weights[parts];
          const unsigned kept = places.next();
          expand<lanes>(kept, values.take(set_bits<lanes>(kept)), weights);
          for_constants<parts>([&](auto p)
                                   PRECIS_INLINE_LAMBDA { lanes::store(expanded + 16 * s + width * p, weights[p]); });
        }
        const float* columns = x->data() + c;
        if (left % 16 != 0) {
          for (std::size_t i = 0; i < steps * 16; ++i) padded[i] = i < left ? columns[i] : 0.f;
          columns = padded;
        }
        add_products<lanes, lanes::ties_and_tiny, false>(expanded, 16, columns, 16, 4, steps, sums, 4);
      }
      places.end_row();
      y[r] = tree_sum(sums);
    }
    return;
  }
  const float* from[Vectors];
  float rest[Vectors][16] = {};
  for (std::size_t n = 0; n < Vectors; ++n) {
    from[n] = x[n < count ? n : 0].data();
    for (std::size_t c = whole; c < in; ++c) rest[n][c - whole] = from[n][c];
  }
  for (std::size_t r = first; r < last; ++r) {
    typename lanes::vector sum[Vectors][parts], weights[parts];
    for_constants<Vectors>([&](auto n) PRECIS_INLINE_LAMBDA {
      for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA { sum[n][p] = lanes::zero(); });
    });
    places.start_row();
    for (std::size_t c = 0; c < in; c += 16) {
      const unsigned kept = places.next();
      expand<lanes>(kept, values.take(set_bits<lanes>(kept)), weights);
      for_constants<Vectors>([&](auto n) PRECIS_INLINE_LAMBDA {
        const float* const columns = c < whole ? from[n] + c : rest[n];
        for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA {
          sum[n][p] = lanes::fma(weights[p], lanes::load(columns + p * width), sum[n][p]);
        });
      });
    }
    places.end_row();
    for (std::size_t n = 0; n < count; ++n) {
      float lane[16];
      for (std::size_t p = 0; p < parts; ++p) lanes::store(lane + p * width, sum[n][p]);
      y[static_cast<std::ptrdiff_t>(n) * y_stride + static_cast<std::ptrdiff_t>(r)] = tree_sum(lane);
    }
  }
}
/// The same for any number of vectors.
template<class Code, class Places, class Values>
void multiply_expanded(const Places& places, const Values& values, std::size_t in,
                       std::span<const std::span<const float>> x, float* y, std::ptrdiff_t y_stride, std::size_t first,
                       std::size_t last) noexcept {
  constexpr std::size_t most = Code::rows == tile_rows ? 8 : 4;
  for (std::size_t n = 0; n < x.size(); n += most) {
    const std::size_t count = x.size() - n < most ? x.size() - n : most;
    float* const to = y + static_cast<std::ptrdiff_t>(n) * y_stride;
    if (count == 1)
      multiply_expanded<Code, 1>(places, values, in, &x[n], 1, to, y_stride, first, last);
    else
      multiply_expanded<Code, most>(places, values, in, &x[n], count, to, y_stride, first, last);
  }
}

}  // namespace detail

/// A sparse format whose rows are expanded, sixteen columns at a time: every one except packed_keep_of_grid.
template<class Packed>
concept expanded_format = requires(const Packed& m) { detail::expansion<Packed>::rows(m); };

/// Multiplies m by several vectors: element r of result n is y[n * y_stride + r]. The result has the bits of `matvec`
/// of the dense_matrix that m decodes to, in which weights that are not kept are 0. A code decodes to scale * (code -
/// zero point), rounded once; a small float to scale * value.
///
/// Shapes    m [out x in], x [n x in], y [n x out]
/// Requires  as many values as set bits, no bit set beyond `in`; places in ascending order within their groups; no
///           format with minima; y of `out` elements per vector (those outside `rows` are not written). `rows` may
///           start and end at any row.
/// Errors    none: noexcept, no allocation.
/// Cost      one read of the rows, and of the bitmap before them, per 8 vectors (per 4 if no register holds one float
///           of each of sixteen rows); 1 KiB of stack.
/// @post     every lane type gives the same bits, those of the dense product of each vector.
/// @post     any range of rows gives the same bits as the whole.
template<class Code = native_code_lanes, expanded_format Packed>
void packed_product(const Packed& m, std::span<const std::span<const float>> x, std::span<float> y,
                    std::ptrdiff_t y_stride, row_range rows = {}) noexcept {
  const std::size_t last = rows.end(detail::expansion<Packed>::rows(m));
  if (rows.first >= last) return;
  detail::expansion<Packed>::template from<Code>(m, rows.first, [&](const auto& places, const auto& values) {
    detail::multiply_expanded<Code>(places, values, m.in, x, y.data(), y_stride, rows.first, last);
  });
}
/// The same for one vector.
template<class Code = native_code_lanes, expanded_format Packed>
void matvec(const Packed& m, std::span<const float> x, std::span<float> y, row_range rows = {}) noexcept {
  packed_product<Code>(m, {&x, 1}, y, 0, rows);
}

/// Decodes one row of a sparse matrix: for embedding tables.
///
/// Requires  as `matvec`, but the values may have any group; row < out, x.size() == in.
/// Errors    none: noexcept, no allocation.
/// Cost      one read of the row; for a bitmap, also of the bits before it.
template<class Packed>
  requires requires { sizeof(detail::expansion<Packed>); }
void decode_row(const Packed& m, std::size_t row, std::span<float> x) noexcept {
  detail::expansion<Packed>::template from<native_code_lanes>(m, row, [&](auto places, auto values) {
    places.start_row();
    for (std::size_t c = 0; c < x.size(); c += 16) {
      unsigned kept = places.next();
      const float* value = values.take(static_cast<std::size_t>(std::popcount(kept)));
      for (std::size_t i = c; i < x.size() && i < c + 16; ++i, kept >>= 1) x[i] = (kept & 1u) != 0 ? *value++ : 0.f;
    }
  });
}

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_EXPANDED_PRODUCT
