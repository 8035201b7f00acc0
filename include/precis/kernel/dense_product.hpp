#if !defined(PRECIS_KERNEL_DENSE_PRODUCT)
#define PRECIS_KERNEL_DENSE_PRODUCT

#include <precis/kernel/constants.hpp>
#include <precis/kernel/dense.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace precis::kernel {
PRECIS_IEEE_BEGIN

namespace detail {

inline constexpr std::size_t dense_columns = 32;  ///< vectors that share one read of the matrix
inline constexpr std::size_t dense_rows = 48;     ///< rows whose sums are accumulated at a time
inline constexpr std::size_t dense_depth = 512;   ///< columns per piece of a row or vector
/// Floats from one row's or vector's piece to the next. A power of two would map all pieces to the same cache sets.
inline constexpr std::size_t dense_stride = dense_depth + 16;

/// The tile of sums that stays in registers: rows x vectors, for one part of the sixteen lanes.
template<class Lanes>
struct dense_tile {
  static constexpr std::size_t rows = Lanes::registers >= 32 ? 3 : 2;
  static constexpr std::size_t columns = Lanes::registers >= 32 ? 8 : 4;
};

/// Adds `steps` times sixteen products to the sixteen lanes of every row and vector of a tile, starting from zero if
/// `fresh`. Prefetches `each` bytes per step from `ahead` on.
template<class Lanes, std::size_t Rows, std::size_t Columns>
void multiply_dense_tile(const float* w, const float* x, std::size_t steps, bool fresh, float* sums,
                         const std::byte* ahead, std::size_t each) noexcept {
  using vector = typename Lanes::vector;
  for (std::size_t p = 0; p < 16; p += Lanes::width) {
    vector sum[Rows][Columns];
    for_constants<Rows>([&](auto r) PRECIS_INLINE_LAMBDA {
      for_constants<Columns>([&](auto n) PRECIS_INLINE_LAMBDA {
        sum[r][n] = fresh ? Lanes::zero() : Lanes::load(sums + (r * dense_columns + n) * 16 + p);
      });
    });
    for (std::size_t step = 0, at = p; step < steps; ++step, at += 16) {
      if (p == 0) __builtin_prefetch(ahead + step * each);
      vector weights[Rows];
      for_constants<Rows>([&](auto r) PRECIS_INLINE_LAMBDA { weights[r] = Lanes::load(w + r * dense_stride + at); });
      for_constants<Columns>([&](auto n) PRECIS_INLINE_LAMBDA {
        const vector v = Lanes::held(Lanes::load(x + n * dense_stride + at));
        for_constants<Rows>([&](auto r) PRECIS_INLINE_LAMBDA { sum[r][n] = Lanes::fma(weights[r], v, sum[r][n]); });
      });
    }
    for_constants<Rows>([&](auto r) PRECIS_INLINE_LAMBDA {
      for_constants<Columns>(
          [&](auto n) PRECIS_INLINE_LAMBDA { Lanes::store(sums + (r * dense_columns + n) * 16 + p, sum[r][n]); });
    });
  }
}

using dense_tile_function = void (*)(const float*, const float*, std::size_t, bool, float*, const std::byte*,
                                     std::size_t) noexcept;

template<class Lanes>
struct dense_tile_table {
  static constexpr std::size_t rows = dense_tile<Lanes>::rows, columns = dense_tile<Lanes>::columns;
  dense_tile_function at[rows][columns];

  constexpr dense_tile_table() noexcept : at{} { fill(std::make_index_sequence<rows * columns>{}); }

 private:
  template<std::size_t... I>
  constexpr void fill(std::index_sequence<I...>) noexcept {
    ((at[I / columns][I % columns] = &multiply_dense_tile<Lanes, I / columns + 1, I % columns + 1>), ...);
  }
};
template<class Lanes>
inline constexpr dense_tile_table<Lanes> dense_tiles{};

/// The sums of sixteen lanes, in the order of `matvec`, for `Lanes::width` rows that are `step` floats apart.
template<class Lanes>
[[nodiscard]] PRECIS_INLINE typename Lanes::vector tree_sums(const float* sums, std::size_t step) noexcept {
  constexpr std::size_t width = Lanes::width, parts = 16 / width;
  typename Lanes::vector rows[width];
  for_constants<width>([&](auto r) PRECIS_INLINE_LAMBDA {
    typename Lanes::vector part[parts];
    for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA { part[p] = Lanes::load(sums + r * step + p * width); });
    for (std::size_t half = parts / 2; half > 0; half /= 2)
      for (std::size_t p = 0; p < half; ++p) part[p] = Lanes::add(part[p], part[p + half]);
    rows[r] = part[0];
  });
  return Lanes::fold_rows(rows, [](auto a, auto b) PRECIS_INLINE_LAMBDA { return Lanes::add(a, b); });
}

template<class Code, dense_type Type>
void multiply_dense_columns(const dense_matrix& m, strided<const float> x, float* y, std::ptrdiff_t y_stride,
                            float* workspace, std::size_t first, std::size_t last) noexcept {
  using lanes = typename Code::floats;
  using tile = dense_tile<lanes>;
  constexpr std::size_t each = bytes_of(Type), row_sums = dense_columns * 16;
  float* const sums = next_line(workspace);
  float* const rows = sums + dense_rows * row_sums;
  float* const vectors = rows + dense_rows * dense_stride;
  const std::size_t pieces = m.in == 0 ? 1 : (m.in + dense_depth - 1) / dense_depth;
  const auto columns_of = [&](std::size_t piece) {
    const std::size_t left = m.in - piece * dense_depth;
    return left < dense_depth ? left : dense_depth;
  };
  for (std::size_t piece = 0; piece < pieces; ++piece)
    for (std::size_t n = 0; n < x.rows; ++n) {
      const std::size_t columns = columns_of(piece);
      float* const to = vectors + (piece * x.rows + n) * dense_stride;
      for (std::size_t c = 0; c < (columns + 15) / 16 * 16; ++c)
        to[c] = c < columns ? *x.at(n, piece * dense_depth + c) : 0.f;
    }

  for (std::size_t row = first; row < last; row += dense_rows) {
    const std::size_t high = last - row < dense_rows ? last - row : dense_rows;
    for (std::size_t piece = 0; piece < pieces; ++piece) {
      const std::size_t columns = columns_of(piece), steps = (columns + 15) / 16;
      for (std::size_t r = 0; r < high; ++r)
        widen<Code, Type>(m.data + ((row + r) * m.in + piece * dense_depth) * each, columns, rows + r * dense_stride);
      // While this piece is multiplied, the next one is prefetched: of the same rows, or of the next rows.
      const bool same_rows = piece + 1 < pieces;
      const std::size_t next_row = same_rows ? row : row + dense_rows,
                        next_column = same_rows ? (piece + 1) * dense_depth : 0;
      std::size_t prefetched = next_row;
      for (std::size_t n = 0; n < x.rows; n += tile::columns) {
        const std::size_t wide = x.rows - n < tile::columns ? x.rows - n : tile::columns;
        for (std::size_t r = 0; r < high; r += tile::rows) {
          const std::size_t tall = high - r < tile::rows ? high - r : tile::rows;
          const std::byte* const ahead = m.data + ((prefetched < last ? prefetched : row) * m.in + next_column) * each;
          dense_tiles<lanes>.at[tall - 1][wide - 1](rows + r * dense_stride,
                                                    vectors + (piece * x.rows + n) * dense_stride, steps, piece == 0,
                                                    sums + r * row_sums + n * 16, ahead, 16 * each);
          ++prefetched;
        }
      }
    }
    for (std::size_t n = 0; n < x.rows; ++n) {
      float* const to = y + static_cast<std::ptrdiff_t>(n) * y_stride + row;
      const float* const from = sums + n * 16;
      std::size_t r = 0;
      for (; r + lanes::width <= high; r += lanes::width)
        lanes::store(to + r, tree_sums<lanes>(from + r * row_sums, row_sums));
      for (; r < high; ++r) {
        float lane[16];
        __builtin_memcpy(lane, from + r * row_sums, sizeof lane);
        to[r] = tree_sum(lane);
      }
    }
  }
}

}  // namespace detail

/// Floats of workspace that `dense_product` needs for vectors of `in` elements.
[[nodiscard]] constexpr std::size_t dense_product_workspace(std::size_t in) noexcept {
  const std::size_t pieces = (in + detail::dense_depth - 1) / detail::dense_depth;
  return detail::line + detail::dense_rows * (detail::dense_columns * 16 + detail::dense_stride) +
         (pieces + 1) * detail::dense_columns * detail::dense_stride;
}

/// Multiplies a dense matrix by several vectors, the rows of x: element r of result n is y[n * y_stride + r].
///
/// Shapes    m [out x in], x [vectors x in], any strides
/// Requires  as `matvec`; a workspace of dense_product_workspace(m.in) elements.
/// Errors    none: noexcept, no allocation.
/// Cost      every row is read, and converted to float, once per 32 vectors.
/// @post     every vector's result equals that of `matvec` bit for bit.
template<class Code = native_code_lanes>
void dense_product(const dense_matrix& m, strided<const float> x, std::span<float> y, std::ptrdiff_t y_stride,
                   std::span<float> workspace, row_range rows = {}) noexcept {
  const std::size_t last = rows.end(m.out);
  for (std::size_t n = 0; n < x.rows; n += detail::dense_columns) {
    const std::size_t count = x.rows - n < detail::dense_columns ? x.rows - n : detail::dense_columns;
    const strided<const float> vectors{x.at(n, 0), count, x.cols, x.row_stride, x.col_stride};
    float* const to = y.data() + static_cast<std::ptrdiff_t>(n) * y_stride;
    detail::with_dense(m.type, [&](auto type) {
      detail::multiply_dense_columns<Code, type>(m, vectors, to, y_stride, workspace.data(), rows.first, last);
    });
  }
}

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_DENSE_PRODUCT
