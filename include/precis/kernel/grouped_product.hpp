#pragma once

#include <precis/kernel/code_values.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/grid_format.hpp>
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

namespace detail {

/// Scales and offsets of the groups of one tile, one group after the other.
template<class Code, unsigned Bits>
class group_sides {
 public:
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;

  group_sides(const packed_grid& m, const grid_format::layout& l, std::size_t row, std::size_t rows) noexcept
      : m_(m), l_(l), row_(row), rows_(rows), fixed_(lanes::all(static_cast<float>(m.format.fixed_zero_point()))) {
    if (rows == tile_rows) {
      const std::size_t first = row * m.format.groups_per_row(m.in), each = m.format.scale_bytes();
      scales_ = m.data + l.scales + first * each;
      offsets_ = m.data + l.offsets + (m.format.rule == grid_rule::affine ? first / 8 * Bits : first * each);
    }
  }

  /// The scales and offsets of group k for the rows from `row` of the tile on, one per lane.
  void read(std::size_t k, std::size_t row, vector& scale, vector& offset) noexcept {
    const grid_format& f = m_.format;
    if (rows_ < tile_rows) {
      if (k != padded_) pad_side<Bits>(m_, l_, row_, rows_, padded_ = k, side_);
      scale = Code::load_floats(side_.scales + 4 * row);
      offset = f.rule == grid_rule::affine || f.has_minimum() ? Code::load_floats(side_.offsets + 4 * row) : fixed_;
      return;
    }
    const std::size_t each = f.scale_bytes(), at = (k * tile_rows + row) * each;
    const auto floats = [&](const std::byte* from) PRECIS_INLINE_LAMBDA {
      return each == 4 ? Code::load_floats(from) : Code::load_halves(from);
    };
    scale = floats(scales_ + at);
    offset = fixed_;
    if (f.has_minimum()) offset = floats(offsets_ + at);
    if (f.rule == grid_rule::affine) offset = zero_points_of<Code, Bits>(offsets_ + k * tile_rows / 8 * Bits, row);
  }

 private:
  const packed_grid& m_;
  const grid_format::layout& l_;
  std::size_t row_, rows_;
  vector fixed_;
  const std::byte *scales_ = nullptr, *offsets_ = nullptr;  // of a whole tile
  padded_side side_;                                        // of another, for group padded_
  std::size_t padded_ = static_cast<std::size_t>(-1);
};

template<class Code, unsigned Bits, class Numbers>
void multiply_groups(const packed_grid& m, const float* x, float* y, std::size_t first, std::size_t last) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  const grid_format::layout l = m.format.layout_of(m.out, m.in);
  const std::size_t group = m.format.group < m.in ? m.format.group : m.in;
  const bool anchored = m.format.has_minimum();
  alignas(64) std::byte copy[Bits * word_stride];

  for (std::size_t row = first; row < last; row += tile_rows) {
    const std::size_t rows = m.out - row < tile_rows ? m.out - row : tile_rows;
    group_sides<Code, Bits> sides(m, l, row, rows);
    alignas(64) float sums[16][tile_rows] = {};  // [column modulo 16][row]
    std::size_t k = 0, left = group;             // the group of the next column, and how many of its columns are left
    for (std::size_t column = 0; column < m.in; column += block_columns) {
      const std::size_t columns = m.in - column < block_columns ? m.in - column : block_columns;
      const std::byte* tile = m.data + row * l.row_words * 4 + column / block_columns * Bits * word_stride;
      if (columns < block_columns || rows < tile_rows) {
        pad_blocks<Bits>(m, l, row, rows, column / block_columns, 1, copy);
        tile = copy;
      }
      std::size_t next_k = k, next_left = left;
      for (std::size_t at = 0; at < tile_rows; at += Code::rows) {
        alignas(64) float codes[block_columns][Code::rows];
        const std::byte* const block[1] = {tile + 4 * at};
        each_value<Code, Bits, Numbers>(block, 0, [&](auto q, auto, auto j, vector code) PRECIS_INLINE_LAMBDA {
          lanes::store(codes[4 * q + j], code);
        });
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

}  // namespace precis::kernel
