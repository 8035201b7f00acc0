#if !defined(PRECIS_KERNEL_GROUPED_PRODUCT)
#define PRECIS_KERNEL_GROUPED_PRODUCT

#include <precis/kernel/code_values.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/fma_chains.hpp>
#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>
#include <precis/kernel/packed_grid.hpp>
#include <precis/kernel/segment_run.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

/// The product of a packed matrix and a vector for groups of any length: also those that end inside a block, which have
/// no segment.
namespace precis::kernel {
PRECIS_IEEE_BEGIN

namespace detail {

/// Scales and offsets of the groups of one tile, one group after the other.
template<class Code, unsigned Bits>
class group_sides {
 public:
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;

  /// Requires `matrix` started if the tile has fewer than sixteen rows.
  group_sides(const packed_grid& m, const grid_format::layout& l, const readable_bytes& matrix, std::size_t row,
              std::size_t rows) noexcept
      : m_(m),
        l_(l),
        matrix_(matrix),
        first_(row * m.format.groups_per_row(m.in)),
        rows_(rows),
        fixed_(lanes::all(static_cast<float>(m.format.fixed_zero_point()))) {}

  /// The scales and offsets of group k for the rows from `row` of the tile on, one per lane.
  PRECIS_INLINE void read(std::size_t k, std::size_t row, vector& scale, vector& offset) const noexcept {
    const grid_format& f = m_.format;
    const std::size_t each = f.scale_bytes(), group = first_ + k * rows_;
    const auto floats = [&](std::size_t start) PRECIS_INLINE_LAMBDA {
      const std::byte* const stored = m_.data + start + group * each;
      const std::byte* const from = (rows_ < tile_rows ? matrix_.at(stored) : stored) + row * each;
      return each == 4 ? Code::load_floats(from) : Code::load_halves(from);
    };
    scale = floats(l_.scales);
    offset = fixed_;
    if (f.has_minimum()) offset = floats(l_.offsets);
    if (f.rule != grid_rule::affine) return;
    if (rows_ == tile_rows) {
      offset = zero_points_of<Code, Bits>(m_.data + l_.offsets + group / 8 * Bits, row);
    } else {
      std::byte zeros[64];
      matrix_.template copy_codes<Bits>(m_.data + l_.offsets, group, zeros);
      offset = zero_points_of<Code, Bits>(zeros, row);
    }
  }

 private:
  const packed_grid& m_;
  const grid_format::layout& l_;
  const readable_bytes& matrix_;
  std::size_t first_, rows_;
  vector fixed_;
};

/// multiply_groups on lanes that have no instruction for fma: several blocks are converted to weights, and then multiplied.
template<class Code, unsigned Bits, class Numbers>
void multiply_groups_chains(const packed_grid& m, const float* x, float* y, std::size_t first,
                            std::size_t last) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  constexpr std::size_t most = 4 * block_columns, width = lanes::width;
  const grid_format::layout l = m.format.layout_of(m.out, m.in);
  const std::size_t group = m.format.group < m.in ? m.format.group : m.in;
  const bool anchored = m.format.has_minimum(), halves = m.format.scales == scale_type::float16;
  const bool ordinary = halves && !anchored && lanes::exponents_of(x, m.in).least > -60;
  alignas(64) std::byte copy[std::size_t{4} * Bits * word_stride], tail[tail_size<Bits>];
  readable_bytes matrix;

  for (std::size_t row = first; row < last; row += tile_rows) {
    const std::size_t rows = m.out - row < tile_rows ? m.out - row : tile_rows, rest = m.in % block_columns;
    if (rows < tile_rows) matrix.start(m.data, l.bytes);
    if (rest != 0) unpack_tails<Code, Bits>(m.data + l.tails + row * l.tail_bytes, rest, rows, tail);
    const group_sides<Code, Bits> sides(m, l, matrix, row, rows);
    alignas(64) float sums[16][tile_rows] = {};  // [column modulo 16][row]
    for (std::size_t start = 0; start < m.in; start += most) {
      const std::size_t columns = m.in - start < most ? m.in - start : most, blocks = columns / block_columns;
      const std::byte* tile = m.data + row * l.row_words * 4 + start / block_columns * Bits * rows * 4;
      if (rows < tile_rows) {
        for (std::size_t v = 0; v < blocks * Bits; ++v)
          matrix.template copy<Code>(tile + v * rows * 4, copy + v * word_stride);
        tile = copy;
      }
      alignas(16) double twice[2 * most];
      lanes::store_twice(x + start, columns / 2 * 2, twice);
      for (std::size_t c = columns / 2 * 2; c < (columns + 15) / 16 * 16; ++c)
        twice[2 * c] = twice[2 * c + 1] = c < columns ? static_cast<double>(x[start + c]) : 0.0;
      for (std::size_t at = 0; at < tile_rows; at += width) {
        alignas(64) float weights[most][width];
        const std::byte* const block[1] = {tile + 4 * at};
        const std::byte* const part[1] = {tail + 4 * at};
        for (std::size_t b = 0; b < blocks; ++b)
          each_value<Code, Bits, Numbers>(block, b * Bits * word_stride,
                                          [&](auto q, auto, auto j, vector code) PRECIS_INLINE_LAMBDA {
                                            lanes::store(weights[b * block_columns + 4 * q + j], code);
                                          });
        if (blocks * block_columns < columns)
          each_tail_value<Code, Bits, Numbers>(part, (columns % block_columns + 3) / 4,
                                               [&](std::size_t q, auto, auto j, vector code) PRECIS_INLINE_LAMBDA {
                                                 lanes::store(weights[blocks * block_columns + 4 * q + j], code);
                                               });
        for (std::size_t c = 0; c < columns;) {
          const std::size_t k = (start + c) / group, left = (k + 1) * group - start - c;
          const std::size_t end = left < columns - c ? c + left : columns;
          vector scale, offset;
          sides.read(k, at, scale, offset);
          if (!anchored)
            for (; c < end; ++c)
              lanes::store(weights[c], lanes::multiply(scale, lanes::subtract(lanes::load(weights[c]), offset)));
          else if (halves && Bits <= 8)  // the product has at most 19 bits and is exact
            for (; c < end; ++c)
              lanes::store(weights[c], lanes::add(lanes::multiply(lanes::load(weights[c]), scale), offset));
          else
            for (; c < end; ++c) lanes::store(weights[c], lanes::fma(lanes::load(weights[c]), scale, offset));
        }
        const std::size_t steps = (columns + 15) / 16;
        for (std::size_t c = columns; c < steps * 16; ++c) lanes::store(weights[c], lanes::zero());
        for (std::size_t c = 0; c < 16; c += 4) {
          float* const to = sums[c] + at;
          if (ordinary)  // no product is tiny
            add_products<lanes, lanes::ties, true>(weights[c], 16 * width, twice + 2 * c, 32, 2, steps, to, tile_rows);
          else
            add_products<lanes, lanes::ties_and_tiny, true>(weights[c], 16 * width, twice + 2 * c, 32, 2, steps, to,
                                                            tile_rows);
        }
      }
    }
    for (std::size_t half = 8; half > 0; half /= 2)
      for (std::size_t i = 0; i < half; ++i)
        for (std::size_t r = 0; r < tile_rows; ++r) sums[i][r] += sums[i + half][r];
    for (std::size_t r = 0; r < rows && row + r < last; ++r) y[row + r] = sums[0][r];
  }
}

template<class Code, unsigned Bits, class Numbers>
void multiply_groups(const packed_grid& m, const float* x, float* y, std::size_t first, std::size_t last) noexcept {
  if constexpr (has_chains<typename Code::floats>)
    return multiply_groups_chains<Code, Bits, Numbers>(m, x, y, first, last);
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  const grid_format::layout l = m.format.layout_of(m.out, m.in);
  const std::size_t group = m.format.group < m.in ? m.format.group : m.in;
  const bool anchored = m.format.has_minimum();
  alignas(64) std::byte copy[Bits * word_stride], tail[tail_size<Bits>];
  readable_bytes matrix;

  for (std::size_t row = first; row < last; row += tile_rows) {
    const std::size_t rows = m.out - row < tile_rows ? m.out - row : tile_rows, rest = m.in % block_columns;
    if (rows < tile_rows) matrix.start(m.data, l.bytes);
    if (rest != 0) unpack_tails<Code, Bits>(m.data + l.tails + row * l.tail_bytes, rest, rows, tail);
    const group_sides<Code, Bits> sides(m, l, matrix, row, rows);
    alignas(64) float sums[16][tile_rows] = {};  // [column modulo 16][row]
    std::size_t k = 0, left = group;             // the group of the next column, and how many of its columns are left
    for (std::size_t column = 0; column < m.in; column += block_columns) {
      const std::size_t columns = m.in - column < block_columns ? m.in - column : block_columns;
      const std::byte* tile = m.data + row * l.row_words * 4 + column / block_columns * Bits * rows * 4;
      if (rows < tile_rows && columns == block_columns) {
        for (std::size_t v = 0; v < Bits; ++v) matrix.template copy<Code>(tile + v * rows * 4, copy + v * word_stride);
        tile = copy;
      }
      std::size_t next_k = k, next_left = left;
      for (std::size_t at = 0; at < tile_rows; at += Code::rows) {
        alignas(64) float codes[block_columns][Code::rows];
        if (columns == block_columns) {
          const std::byte* const block[1] = {tile + 4 * at};
          each_value<Code, Bits, Numbers>(block, 0, [&](auto q, auto, auto j, vector code) PRECIS_INLINE_LAMBDA {
            lanes::store(codes[4 * q + j], code);
          });
        } else {
          const std::byte* const part[1] = {tail + 4 * at};
          each_tail_value<Code, Bits, Numbers>(part, (columns + 3) / 4,
                                               [&](std::size_t q, auto, auto j, vector code)
                                                   PRECIS_INLINE_LAMBDA { lanes::store(codes[4 * q + j], code); });
        }
        next_k = k;
        next_left = left;
        vector scale, offset;
        sides.read(k, at, scale, offset);
        for (std::size_t c = 0; c < columns; ++c, --next_left) {
          if (next_left == 0) {
            next_left = group;
            sides.read(++next_k, at, scale, offset);
          }
          const vector code = lanes::load(codes[c]);
          const vector weight =
              anchored ? lanes::fma(code, scale, offset) : lanes::multiply(scale, lanes::subtract(code, offset));
          float* const sum = sums[c % 16] + at;
          lanes::store(sum, lanes::fma(weight, lanes::broadcast(x + column + c), lanes::load(sum)));
        }
      }
      k = next_k;
      left = next_left;
    }
    for (std::size_t half = 8; half > 0; half /= 2)
      for (std::size_t i = 0; i < half; ++i)
        for (std::size_t r = 0; r < tile_rows; ++r) sums[i][r] += sums[i + half][r];
    for (std::size_t r = 0; r < rows && row + r < last; ++r) y[row + r] = sums[0][r];
  }
}

}  // namespace detail

/// y = m x, for groups of any length, with the arithmetic of a dense matrix: the result has the bits of `matvec` of the
/// dense_matrix of the weights
///
///     weight = scale * (code - zero point), the difference exact; scale * value; or fma(code, scale, minimum)
///
/// Formats with a segment (segment_of) are multiplied faster by the `matvec` of prepared vectors.
///
/// Shapes    m [out x in], x [in], y [out]
/// Requires  m.data of the size that the format implies, groups shorter than the matrix (no per_tensor); y of m.out
///           elements (those outside `rows` are not written); rows.first a multiple of 16.
/// Errors    none: noexcept, no allocation.
/// Cost      one read of the rows; two more operations per weight than prepared vectors need; 3 KiB of stack.
/// @post     every lane type gives the same bits.
/// @post     any range of rows gives the same bits as the whole.
template<class Code = native_code_lanes, class Codes = detail::every_code>
void grouped_product(const packed_grid& m, std::span<const float> x, std::span<float> y, row_range rows = {}) noexcept {
  const std::size_t last = rows.end(m.out);
  Codes::with(m.format, [&](auto bits, auto numbers) {
    detail::multiply_groups<Code, bits, decltype(numbers)>(m, x.data(), y.data(), rows.first, last);
  });
}

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_GROUPED_PRODUCT
