#if !defined(PRECIS_KERNEL_FLOAT_PRODUCT)
#define PRECIS_KERNEL_FLOAT_PRODUCT

#include <precis/kernel/constants.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// A non-owning view of a matrix with any strides (in elements). Converts from any view with these five members.
template<class T>
struct strided {
  T* data = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::ptrdiff_t row_stride = 0;
  std::ptrdiff_t col_stride = 1;

  constexpr strided() = default;
  constexpr strided(T* first, std::size_t r, std::size_t c, std::ptrdiff_t by_row, std::ptrdiff_t by_col) noexcept
      : data(first), rows(r), cols(c), row_stride(by_row), col_stride(by_col) {}
  template<class View>
    requires requires(const View& v) { static_cast<T*>(v.data), v.rows, v.cols, v.row_stride, v.col_stride; }
  constexpr strided(const View& v) noexcept  // NOLINT(google-explicit-constructor): a view of the same elements
      : data(v.data), rows(v.rows), cols(v.cols), row_stride(v.row_stride), col_stride(v.col_stride) {}

  [[nodiscard]] constexpr T* at(std::size_t r, std::size_t c) const noexcept {
    return data + static_cast<std::ptrdiff_t>(r) * row_stride + static_cast<std::ptrdiff_t>(c) * col_stride;
  }
  [[nodiscard]] constexpr strided transposed() const noexcept { return {data, cols, rows, col_stride, row_stride}; }
};

/// Columns of b that `product` packs at a time: 256 x 384 floats fit a 512 KiB cache. Callers that split work by
/// columns use it too.
inline constexpr std::size_t product_panel_columns = 384;

namespace detail {

/// Tile sizes per lane type: `rows x (vectors * width)` accumulators stay in registers. Of the shapes with 24
/// accumulator registers, 6 x 4 needs the fewest other instructions, which matters on a core that two hardware threads
/// share.
template<class Lanes>
struct product_tile {
  static constexpr std::size_t rows = Lanes::registers >= 32 ? 6 : 4;
  static constexpr std::size_t vectors = Lanes::registers >= 32 ? 4 : 2;
  static constexpr std::size_t columns = vectors * Lanes::width;
};

inline constexpr std::size_t product_depth = 256;  ///< terms that are summed before partial sums go back to memory
inline constexpr std::size_t prefetch_rows = 8;    ///< rows to prefetch ahead while packing
inline constexpr std::size_t packed_tiles = 4;     ///< row tiles of a packed at a time if its rows are not contiguous
inline constexpr std::size_t line = 64 / sizeof(float);  ///< floats per cache line; more than the doubles per line

/// The first cache line boundary from p on: a vector that crosses two lines is loaded at half the speed.
template<class T>
[[nodiscard]] T* next_line(T* p) noexcept {
  constexpr std::size_t each = 64 / sizeof(T);
  const auto past = reinterpret_cast<std::uintptr_t>(p) / sizeof(T) % each;
  return p + (each - past) % each;
}

/// Computes a Rows x (Vectors * width) tile of c; the last vector of each row holds `last` <= width elements.
template<class Lanes, std::size_t Rows, std::size_t Vectors>
void multiply_tile(const typename Lanes::value* a, std::ptrdiff_t a_row, std::ptrdiff_t a_col,
                   const typename Lanes::value* b, std::ptrdiff_t b_row, bool b_packed, std::size_t depth,
                   const typename Lanes::value* start, std::ptrdiff_t start_row, typename Lanes::value* c,
                   std::ptrdiff_t c_row, std::size_t last) noexcept {
  using value = typename Lanes::value;
  using vector = typename Lanes::vector;
  constexpr std::size_t width = Lanes::width;
  const bool whole = last == width;
  vector sum[Rows][Vectors];

  if (start == nullptr) {
    for_constants<Rows>([&](auto r) PRECIS_INLINE_LAMBDA {
      for_constants<Vectors>([&](auto v) PRECIS_INLINE_LAMBDA { sum[r][v] = Lanes::zero(); });
    });
  } else {
    for_constants<Rows>([&](auto r) PRECIS_INLINE_LAMBDA {
      const value* const from = start + static_cast<std::ptrdiff_t>(r) * start_row;
      for_constants<Vectors>([&](auto v) PRECIS_INLINE_LAMBDA {
        if (v + 1 < Vectors || whole)
          sum[r][v] = Lanes::load(from + v * width);
        else
          sum[r][v] = Lanes::load_part(from + v * width, last);
      });
    });
  }

  const value* rows[Rows];
  for_constants<Rows>([&](auto r) PRECIS_INLINE_LAMBDA { rows[r] = a + static_cast<std::ptrdiff_t>(r) * a_row; });
  const auto steps = [&](auto load_last) PRECIS_INLINE_LAMBDA {
    std::ptrdiff_t at = 0;
#pragma GCC unroll 2
    for (std::size_t k = 0; k < depth; ++k, at += a_col, b += b_row) {
      vector column[Vectors];
      for_constants<Vectors - 1>([&](auto v) PRECIS_INLINE_LAMBDA { column[v] = Lanes::load(b + v * width); });
      column[Vectors - 1] = load_last(b + (Vectors - 1) * width);
      for_constants<Rows>([&](auto r) PRECIS_INLINE_LAMBDA {
        const vector factor = Lanes::broadcast(rows[r] + at);
        for_constants<Vectors>([&](auto v)
                                   PRECIS_INLINE_LAMBDA { sum[r][v] = Lanes::fma(factor, column[v], sum[r][v]); });
      });
    }
  };
  if (b_packed || whole)
    steps([&](const value* p) PRECIS_INLINE_LAMBDA { return Lanes::load(p); });
  else
    steps([&](const value* p) PRECIS_INLINE_LAMBDA { return Lanes::load_part(p, last); });

  for_constants<Rows>([&](auto r) PRECIS_INLINE_LAMBDA {
    for_constants<Vectors>([&](auto v) PRECIS_INLINE_LAMBDA {
      value* to = c + static_cast<std::ptrdiff_t>(r) * c_row + v * width;
      if (v + 1 < Vectors || whole)
        Lanes::store(to, sum[r][v]);
      else
        Lanes::store_part(to, sum[r][v], last);
    });
  });
}

template<class Lanes, class Value = typename Lanes::value>
using tile_function = void (*)(const Value*, std::ptrdiff_t, std::ptrdiff_t, const Value*, std::ptrdiff_t, bool,
                               std::size_t, const Value*, std::ptrdiff_t, Value*, std::ptrdiff_t, std::size_t) noexcept;

/// The tile functions for every height up to product_tile::rows and every number of vectors.
template<class Lanes>
struct tile_table {
  static constexpr std::size_t most_rows = product_tile<Lanes>::rows, most_vectors = product_tile<Lanes>::vectors;
  tile_function<Lanes> at[most_rows][most_vectors];

  constexpr tile_table() noexcept : at{} { fill(std::make_index_sequence<most_rows * most_vectors>{}); }

 private:
  template<std::size_t... I>
  constexpr void fill(std::index_sequence<I...>) noexcept {
    ((at[I / most_vectors][I % most_vectors] = &multiply_tile<Lanes, I / most_vectors + 1, I % most_vectors + 1>), ...);
  }
};
template<class Lanes>
inline constexpr tile_table<Lanes> tiles{};

/// The number of vectors, of `left`, that the next panel takes. A last panel of a single vector is avoided.
template<class Lanes>
[[nodiscard]] constexpr std::size_t panel_vectors(std::size_t left) noexcept {
  constexpr std::size_t most = product_tile<Lanes>::vectors;
  if (left == most + 1 && most > 2) return most - 1;
  return left < most ? left : most;
}

/// Calls f(first vector, number of vectors) for each panel of `vectors` adjacent vectors.
template<class Lanes, class F>
PRECIS_INLINE void each_panel(std::size_t vectors, F&& f) noexcept {
  for (std::size_t v = 0, n = 0; v < vectors; v += n) f(v, n = panel_vectors<Lanes>(vectors - v));
}

/// Copies b into consecutive panels of b.rows x whole vectors, padded with zeros after b.cols.
template<class Lanes>
void pack_panels(strided<const typename Lanes::value> b, typename Lanes::value* to) noexcept {
  using vector = typename Lanes::vector;
  constexpr std::size_t width = Lanes::width;
  const std::size_t vectors = (b.cols + width - 1) / width, tail = b.cols - (vectors - 1) * width;
  if (b.col_stride == 1) {  // row by row, in memory order; panel by panel, every term would touch another page
    for (std::size_t k = 0; k < b.rows; ++k)
      each_panel<Lanes>(vectors, [&](std::size_t v, std::size_t n) PRECIS_TARGET {
        auto* const out = to + (v * b.rows + k * n) * width;
        for (std::size_t i = 0; i < n; ++i) {
          const auto* const from = b.at(k, (v + i) * width);
          if (k + prefetch_rows < b.rows) __builtin_prefetch(b.at(k + prefetch_rows, (v + i) * width));
          const bool whole = tail == width || v + i + 1 < vectors;
          Lanes::store(out + i * width, whole ? Lanes::load(from) : Lanes::load_part(from, tail));
        }
      });
    return;
  }
  each_panel<Lanes>(vectors, [&](std::size_t first, std::size_t panel) PRECIS_TARGET {
    for (std::size_t v = first; v < first + panel; ++v) {
      const std::size_t n = v + 1 < vectors ? width : tail, c = v * width, padded = panel * width;
      auto* const out = to + first * b.rows * width + (v - first) * width;
      std::size_t k = 0;
      if (b.row_stride == 1)
        for (; k + width <= b.rows; k += width) {
          vector tile[width];
          for (std::size_t i = 0; i < width; ++i) tile[i] = i < n ? Lanes::load(b.at(k, c + i)) : Lanes::zero();
          Lanes::transpose(tile);
          for (std::size_t i = 0; i < width; ++i) Lanes::store(out + (k + i) * padded, tile[i]);
        }
      for (; k < b.rows; ++k)
        for (std::size_t i = 0; i < width; ++i) out[k * padded + i] = i < n ? *b.at(k, c + i) : 0;
    }
  });
}

/// Copies a in tiles of TileRows rows; within a tile, the elements of one term are adjacent.
template<std::size_t TileRows, class T>
void pack_rows(strided<const T> a, T* to) noexcept {
  for (std::size_t r0 = 0; r0 < a.rows; r0 += TileRows, to += TileRows * a.cols) {
    const std::size_t rows = a.rows - r0 < TileRows ? a.rows - r0 : TileRows;
    if (a.row_stride == 1 && rows == TileRows) {
      for (std::size_t k = 0; k < a.cols; ++k)
        for (std::size_t r = 0; r < TileRows; ++r) to[k * TileRows + r] = a.at(r0, k)[r];
    } else {
      for (std::size_t k = 0; k < a.cols; ++k)
        for (std::size_t r = 0; r < rows; ++r) to[k * TileRows + r] = *a.at(r0 + r, k);
    }
  }
}

}  // namespace detail

/// Elements of workspace with which `product` runs at full speed for any shape.
inline constexpr std::size_t product_workspace =
    detail::product_depth * (product_panel_columns + 8 * detail::packed_tiles) + detail::line;

/// The least number of elements of workspace that `product` needs, for any lane type: one panel, and a few tiles of
/// rows.
inline constexpr std::size_t least_product_workspace =
    detail::product_depth * (64 + 8 * detail::packed_tiles) + detail::line;

/// c = start + a b. Every element is one chain of fused multiply-adds, in order:
///
///     s = start[i][j];  for k = 0, 1, ...: s = fma(a[i][k], b[k][j], s)
///
/// So a row of the result depends only on that row of a, and not on the number of rows, their position, the instruction
/// set, the compiler or the workspace.
///
/// Shapes    a [rows x inner], b [inner x cols], c [rows x cols]; start [rows x cols], or without data: zero.
///           A start with row_stride 0 is a bias: every row starts from it. start may be c itself (accumulation).
/// Requires  matching shapes; c.col_stride == 1 or c.row_stride == 1; c overlaps neither a nor b; workspace of at least
///           least_product_workspace elements; full speed needs product_workspace elements.
/// Errors    none: noexcept, no allocation, no shared state.
/// Cost      rows * cols * inner fused multiply-adds; b is copied to the workspace once (not at all if a has few rows
///           and the rows of b are contiguous); c is read and written once per 256 terms.
/// Source    the loop order and packing of Goto and van de Geijn 2008, doi:10.1145/1356052.1356053.
/// Differs   The paper also packs the operand whose elements are broadcast. Here it is read in place if its rows are
///           contiguous, because weights are often multiplied by a single row.
/// @post     all lane types of one value type (float, or double for statistics) give the same bits.
/// @post     any subset of the rows of a gives the same subset of the rows of c.
template<class Lanes = native_lanes>
void product_onto(strided<const typename Lanes::value> start, strided<const typename Lanes::value> a,
                  strided<const typename Lanes::value> b, strided<typename Lanes::value> c,
                  std::span<typename Lanes::value> workspace) noexcept {
  using value = typename Lanes::value;
  using tile = detail::product_tile<Lanes>;
  if (c.rows == 0 || c.cols == 0) return;
  if (c.col_stride != 1 && c.cols != 1) {  // c^T = b^T a^T: swapping the factors of a term does not change its value
    product_onto<Lanes>(start.transposed(), b.transposed(), a.transposed(), c.transposed(), workspace);
    return;
  }
  if (start.data != nullptr && start.col_stride != 1) {
    for (std::size_t i = 0; i < c.rows; ++i)
      for (std::size_t j = 0; j < c.cols; ++j) *c.at(i, j) = *start.at(i, j);
    start = c;
  }
  constexpr std::size_t width = Lanes::width;
  const std::size_t inner = a.cols;
  constexpr std::size_t packed_height = tile::rows * detail::packed_tiles;
  value* const packed_rows = detail::next_line(workspace.data());
  value* const packed = packed_rows + detail::product_depth * packed_height;
  const std::size_t available = workspace.size() - detail::line - detail::product_depth * packed_height;
  const std::size_t panel_columns = available / (detail::product_depth * tile::columns) * tile::columns;
  const bool in_place = c.rows <= tile::rows && (b.col_stride == 1 || b.cols == 1);  // each element of b is read once

  std::size_t k0 = 0;
  do {  // at least once: without terms, c becomes start
    const std::size_t depth = inner - k0 < detail::product_depth ? inner - k0 : detail::product_depth;
    const strided<const value> from = k0 == 0 ? start : strided<const value>(c);
    for (std::size_t j0 = 0; j0 < c.cols; j0 += panel_columns) {
      const std::size_t columns = c.cols - j0 < panel_columns ? c.cols - j0 : panel_columns;
      const std::size_t vectors = (columns + width - 1) / width;
      if (!in_place) detail::pack_panels<Lanes>({b.at(k0, j0), depth, columns, b.row_stride, b.col_stride}, packed);
      // If rows of a are packed, several tiles of them are multiplied per panel of b, so that the panel is fetched
      // once.
      const std::size_t height = a.col_stride == 1 ? tile::rows : packed_height;
      for (std::size_t i0 = 0; i0 < c.rows; i0 += height) {
        const std::size_t end = c.rows - i0 < height ? c.rows : i0 + height;
        if (a.col_stride != 1)
          detail::pack_rows<tile::rows, value>({a.at(i0, k0), end - i0, depth, a.row_stride, a.col_stride},
                                               packed_rows);
        detail::each_panel<Lanes>(vectors, [&](std::size_t v, std::size_t n) PRECIS_TARGET {
          const std::size_t j = v * width;
          const std::size_t last = columns - j < n * width ? columns - j - (n - 1) * width : width;
          for (std::size_t i = i0; i < end; i += tile::rows) {
            const std::size_t rows = end - i < tile::rows ? end - i : tile::rows;
            const strided<const value> left = a.col_stride == 1
                                                  ? strided<const value>{a.at(i, k0), rows, depth, a.row_stride, 1}
                                                  : strided<const value>{packed_rows + (i - i0) * depth, rows, depth, 1,
                                                                         static_cast<std::ptrdiff_t>(tile::rows)};
            detail::tiles<Lanes>.at[rows - 1][n - 1](
                left.data, left.row_stride, left.col_stride, in_place ? b.at(k0, j0 + j) : packed + j * depth,
                in_place ? b.row_stride : static_cast<std::ptrdiff_t>(n * width), !in_place, depth,
                from.data == nullptr ? nullptr : from.at(i, j0 + j), from.row_stride, c.at(i, j0 + j), c.row_stride,
                last);
          }
        });
      }
    }
    k0 += depth;
  } while (k0 < inner);
}

/// c = a b: `product_onto` with a start of zero.
template<class Lanes = native_lanes>
void product(strided<const typename Lanes::value> a, strided<const typename Lanes::value> b,
             strided<typename Lanes::value> c, std::span<typename Lanes::value> workspace) noexcept {
  product_onto<Lanes>({}, a, b, c, workspace);
}

/// c = c + a b: `product_onto` with c as the start.
template<class Lanes = native_lanes>
void product_add(strided<const typename Lanes::value> a, strided<const typename Lanes::value> b,
                 strided<typename Lanes::value> c, std::span<typename Lanes::value> workspace) noexcept {
  product_onto<Lanes>(c, a, b, c, workspace);
}

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_FLOAT_PRODUCT
