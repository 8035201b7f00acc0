#if !defined(PRECIS_CODEC_TILE_RANGES)
#define PRECIS_CODEC_TILE_RANGES

#include <precis/codec/tile/layout.hpp>
#include <precis/core/math.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>

#include <cstddef>
#include <cstdint>

/// The ranges of the groups of a batch, and the grids that span them.
namespace precis::codec::tile {
PRECIS_IEEE_BEGIN

/// Whether rows this far apart (in floats) map to the same sets of a first-level cache, whose associativity is only
/// eight to twelve. Rows that are read twice are then copied first.
[[nodiscard]] inline bool rows_share_cache_sets(std::ptrdiff_t stride) noexcept { return stride % 1024 == 0; }

/// Copies up to batch_columns columns of sixteen rows to rows that are batch_columns apart, and prefetches the next
/// columns.
template<class Lanes>
void copy_rows(const float* from, std::ptrdiff_t stride, std::size_t columns, float* to) noexcept {
  for (std::size_t r = 0; r < tile_rows; ++r, from += stride, to += batch_columns)
    for (std::size_t c = 0; c < columns; c += Lanes::width) {
      __builtin_prefetch(from + c + batch_columns, 0, 1);
      Lanes::store(to + c, Lanes::load(from + c));
    }
}

/// Transposes sixteen rows: column c is stored at to + 16 c.
template<class Lanes>
void transpose_rows(const float* from, std::ptrdiff_t stride, std::size_t columns, float* to) noexcept {
  constexpr std::size_t width = Lanes::width;
  for (std::size_t c = 0; c < columns; c += width)
    for (std::size_t r = 0; r < tile_rows; r += width) {
      typename Lanes::vector square[width];
      for (std::size_t i = 0; i < width; ++i)
        square[i] = Lanes::load(from + static_cast<std::ptrdiff_t>(r + i) * stride + static_cast<std::ptrdiff_t>(c));
      Lanes::transpose(square);
      for (std::size_t i = 0; i < width; ++i) Lanes::store(to + (c + i) * tile_rows + r, square[i]);
    }
}

/// Fills g.lo and g.hi.
///
/// Requires  `supports(f, ...)`; g.columns is a multiple of block_columns.
/// @post     false if and only if a weight is not finite; the ranges are then meaningless.
template<class Lanes>
[[nodiscard]] bool find_ranges(const grid_format& f, group_batch& g) noexcept {
  using vector = typename Lanes::vector;
  constexpr std::size_t width = Lanes::width, block_vectors = block_columns / width;
  const auto smaller = [&](vector a, vector b) PRECIS_INLINE_LAMBDA { return Lanes::smaller(a, b); };
  const auto larger = [&](vector a, vector b) PRECIS_INLINE_LAMBDA { return Lanes::larger(a, b); };
  const auto larger_size = [&](vector a, vector b) PRECIS_INLINE_LAMBDA { return Lanes::larger_size(a, b); };
  vector not_finite[block_vectors];  // sums of 0 * weight: 0, or NaN once a weight is NaN or infinite
  for (vector& v : not_finite) v = Lanes::zero();
  for (std::size_t at = 0; at < g.count * tile_rows; at += width) {
    const float* x = g.weights + at / tile_rows * g.columns + static_cast<std::ptrdiff_t>(at % tile_rows) * g.stride;
    vector low[width], high[width];
    if (f.rule == grid_rule::affine) {
      for (std::size_t i = 0; i < width; ++i, x += g.stride) {
        vector lo = Lanes::zero(), hi = lo;
        for (std::size_t c = 0; c < g.columns; c += block_columns)
          for (std::size_t p = 0; p < block_vectors; ++p) {
            const vector v = Lanes::held(Lanes::load(x + c + p * width));
            lo = Lanes::smaller(v, lo);
            hi = Lanes::larger(v, hi);
            not_finite[p] = Lanes::fma(v, Lanes::zero(), not_finite[p]);
          }
        low[i] = lo;
        high[i] = hi;
      }
      Lanes::store(g.hi + at, Lanes::fold_rows(high, larger));
      Lanes::store(g.lo + at, Lanes::fold_rows(low, smaller));
    } else {
      for_constants<width>([&](auto i) PRECIS_INLINE_LAMBDA {
        high[i] = Lanes::zero();
        for_constants<block_vectors>(
            [&](auto p) PRECIS_INLINE_LAMBDA { high[i] = Lanes::larger_size(high[i], Lanes::load(x + p * width)); });
        for (std::size_t c = block_columns; c < g.columns; c += width)
          high[i] = Lanes::larger_size(high[i], Lanes::load(x + c));
        x += g.stride;
      });
      const vector hi = Lanes::fold_rows(high, larger_size);
      not_finite[0] = Lanes::fma(hi, Lanes::zero(), not_finite[0]);
      Lanes::store(g.hi + at, hi);
      Lanes::store(g.lo + at, Lanes::subtract(Lanes::zero(), hi));
    }
  }
  for (std::size_t p = 1; p < block_vectors; ++p) not_finite[0] = Lanes::add(not_finite[0], not_finite[p]);
  return Lanes::total(not_finite[0]) == 0;
}

/// The grids that codec::spanning_grid gives for `count` ranges (a multiple of sixteen), each multiplied by `factor`.
///
/// @post  equal to codec::spanning_grid bit for bit, except that a scale too large for its type is some number above
///        the largest that can be stored; reciprocal_is_exact then returns false.
template<class = void>
inline void spanning_grids(const grid_format& f, const float* lo, const float* hi, std::size_t count, grid_batch& grids,
                           double factor = 1) noexcept {
  const bool affine = f.rule == grid_rule::affine;
  const double levels = static_cast<double>((1u << f.code_bits) - 1u), top = static_cast<double>(f.top_code());
  const double steps = affine ? levels : f.rule == grid_rule::symmetric ? 0.5 * top : 0.5 * levels;
  const auto fixed_zero_point = static_cast<float>(f.fixed_zero_point());
  // Short loops without branches, which compilers vectorize. Flags are 0 or 1.
  std::uint32_t rounded_down[max_grids];  // the scale as a float is below the exact quotient
  std::uint32_t all_zero[max_grids];      // the range counts as empty
  if (affine || factor != 1) {
    double spans[max_grids], quotients[max_grids];
    for (std::size_t i = 0; i < count; ++i) {
      const double low = factor * static_cast<double>(lo[i]), high = factor * static_cast<double>(hi[i]);
      const double larger = -low > high ? -low : high;
      spans[i] = affine ? high - low : larger;
      quotients[i] = spans[i] / steps;
      grids.scale[i] = static_cast<float>(quotients[i]);
    }
    for (std::size_t i = 0; i < count; ++i) {
      rounded_down[i] = static_cast<std::uint32_t>(static_cast<double>(grids.scale[i]) < quotients[i]);
      all_zero[i] = static_cast<std::uint32_t>(spans[i] < 1e-30);
    }
  } else {  // a quotient of two floats is the same float whether or not it is rounded to double first
    const auto float_steps = static_cast<float>(steps);
    float spans[max_grids];
    for (std::size_t i = 0; i < count; ++i) {
      spans[i] = -lo[i] > hi[i] ? -lo[i] : hi[i];
      grids.scale[i] = spans[i] / float_steps;
    }
    for (std::size_t i = 0; i < count; ++i) {
      rounded_down[i] = static_cast<std::uint32_t>(math::fma(grids.scale[i], float_steps, -spans[i]) < 0);
      all_zero[i] = static_cast<std::uint32_t>(spans[i] < 1e-30f);
    }
  }
  if (f.scales == scale_type::float16) {
    std::uint32_t up[max_grids];  // bits of the smallest float that is not below the quotient
    for (std::size_t i = 0; i < count; ++i) up[i] = kernel::bit_cast<std::uint32_t>(grids.scale[i]) + rounded_down[i];
    for (std::size_t i = 0; i < count; ++i) {  // the smallest half that is not below it; subnormal: a multiple of 2^-24
      const float normal = kernel::bit_cast<float>((up[i] + 0x1fffu) & ~0x1fffu);
      float units = kernel::bit_cast<float>(up[i]) * 0x1p24f;
      units = units < 2048.f ? units : 2048.f;
      const auto whole = static_cast<float>(static_cast<std::int32_t>(units));
      const float subnormal = (whole < units ? whole + 1.f : whole) * 0x1p-24f;
      grids.scale[i] = up[i] < 0x3880'0000u ? subnormal : normal;
    }
  }
  for (std::size_t i = 0; i < count; ++i) grids.scale[i] = all_zero[i] != 0 ? 1.f : grids.scale[i];
  for (std::size_t i = 0; i < count; ++i) grids.zero_point[i] = fixed_zero_point;
  if (!affine) return;
  for (std::size_t i = 0; i < count; ++i) {
    // An empty range with scale 1 rounds to 0.
    double z = -(factor * static_cast<double>(lo[i])) / static_cast<double>(grids.scale[i]);
    z = z < top ? z : top;  // never negative; clamping before rounding is equivalent because the bounds are integers
    grids.zero_point[i] = static_cast<float>((z + 0x1.8p52) - 0x1.8p52);
  }
}

PRECIS_IEEE_END
}  // namespace precis::codec::tile

#endif  // PRECIS_CODEC_TILE_RANGES
