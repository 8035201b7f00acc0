#if !defined(PRECIS_FIT_CLIP_SEARCH)
#define PRECIS_FIT_CLIP_SEARCH

#include <precis/codec/grid/matrix.hpp>
#include <precis/codec/tile/quantize.hpp>
#include <precis/codec/tile/ranges.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/math.hpp>
#include <precis/fit/power.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdlib>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace precis::fit {
PRECIS_IEEE_BEGIN

namespace detail {

/// Adds (decoded - x)^2 of sixteen transposed rows (codec::tile::transpose_rows) to sums[row], in the order of the
/// columns.
template<class Doubles>
void add_squares(const float* decoded, const float* x, std::size_t columns, double* sums) noexcept {
  constexpr std::size_t rows = kernel::tile_rows, vectors = rows / Doubles::width;
  const double minus_one = -1;
  const typename Doubles::vector minus = Doubles::broadcast(&minus_one);
  typename Doubles::vector sum[vectors];
  for (std::size_t p = 0; p < vectors; ++p) sum[p] = Doubles::load(sums + p * Doubles::width);
  for (std::size_t at = 0; at < columns * rows; at += rows)
    codec::tile::for_constants<vectors>([&](auto p) PRECIS_INLINE_LAMBDA {
      const std::size_t i = at + p * Doubles::width;
      const auto e = Doubles::fma(Doubles::load_floats(x + i), minus, Doubles::load_floats(decoded + i));
      sum[p] = Doubles::fma(e, e, sum[p]);
    });
  for (std::size_t p = 0; p < vectors; ++p) Doubles::store(sums + p * Doubles::width, sum[p]);
}

/// Adds (factor[row] |decoded - x|)^p of sixteen transposed rows to sums[row]. Overwrites `decoded` with these powers.
template<class Lanes, class Doubles>
void add_powers(float* decoded, const float* x, std::size_t columns, const float* factor, float p,
                double* sums) noexcept {
  constexpr std::size_t rows = kernel::tile_rows, vectors = rows / Doubles::width;
  for (std::size_t r = 0; r < rows; r += Lanes::width) {
    const typename Lanes::vector scale = Lanes::load(factor + r);
    for (std::size_t at = r; at < columns * rows; at += rows) {
      const auto e = Lanes::multiply(Lanes::subtract(Lanes::load(decoded + at), Lanes::load(x + at)), scale);
      Lanes::store(decoded + at, power<Lanes>(Lanes::larger(e, Lanes::subtract(Lanes::zero(), e)), p));
    }
  }
  const double one = 1;
  const typename Doubles::vector ones = Doubles::broadcast(&one);
  typename Doubles::vector sum[vectors];
  for (std::size_t i = 0; i < vectors; ++i) sum[i] = Doubles::load(sums + i * Doubles::width);
  for (std::size_t at = 0; at < columns * rows; at += rows)
    codec::tile::for_constants<vectors>([&](auto i) PRECIS_INLINE_LAMBDA {
      sum[i] = Doubles::fma(Doubles::load_floats(decoded + at + i * Doubles::width), ones, sum[i]);
    });
  for (std::size_t i = 0; i < vectors; ++i) Doubles::store(sums + i * Doubles::width, sum[i]);
}

}  // namespace detail

/// Shrinks the range of every group step by step and keeps the grid with the smallest error. Large weights are clipped
/// where that reduces the error of the others by more.
///
///     for i = 0 ... steps - 1:  both ends of the range times 1 - i step,  error = sum |decoded - x|^power
///
/// The first strict minimum wins, so a group that clipping does not improve keeps its full range.
/// Unit     error: weights^power, summed in double in the order of the weights.
/// Errors   those of codec::encode_on_grids; a step or power that is not positive; steps that shrink the range to zero
///          or below.
/// Cost     `steps` encodings and, unless power is 2, one approximate power per weight and step, computed in vector
///          lanes; only the ranges whose error is close to the minimum are compared again with std::pow. With affine
///          and symmetric formats the search stops at the first range that clips more of the largest weight alone than
///          the best error allows. Formats that codec::tile::supports accepts are searched sixteen rows at a time.
///          Memory: 16 * `steps` doubles.
/// @post    the error of a group is never larger than with fit::nearest.
/// Source   GPTQ's reference implementation (github.com/IST-DASLab/gptq, quant.py): 80 steps of 1 %, power 2.4. There
///          the search is off by default.
struct clip_search {
  std::size_t steps = 80;
  double step = 0.01;
  double power = 2.4;

  template<class = void>
  void operator()(const codec::grid_format& f, weight_view weights, std::span<std::byte> packed) const {
    if (!(steps > 0 && step > 0 && power > 0 && kernel::is_finite(power) && static_cast<double>(steps - 1) * step < 1))
      refuse({.what = std::to_string(steps) + " steps of " + std::to_string(step) + ", power " + std::to_string(power),
              .where = "fit::clip_search",
              .expected = "at least one step, a positive step and power, both finite, and (steps - 1) * step below 1"});
    codec::encode_on_grids(f, weights, packed, choose_clipped{*this, {}, {}, {}});
  }

 private:
  static constexpr double infinity = std::numeric_limits<double>::infinity();

  /// The factor by which try i multiplies both ends of the range.
  [[nodiscard]] double shrink_factor(std::size_t i) const noexcept {
    return math::fma(-static_cast<double>(i), step, 1.0);
  }
  /// The error of a group on grid g, computed with std::pow.
  template<class = void>
  [[nodiscard]] double exact_error(const codec::grid_format& f, const codec::grid& g, weight_view group,
                                   std::span<float> decoded) const {
    double sum = 0;
    for (std::size_t r = 0; r < group.rows; ++r) {
      const std::span<const float> x = group.row(r);
      codec::fake_quantize(f, g, x, decoded);
      for (std::size_t c = 0; c < x.size(); ++c) {
        const double e = std::abs(static_cast<double>(decoded[c]) - static_cast<double>(x[c]));
        sum = power == 2 ? math::fma(e, e, sum) : sum + math::pow(e, power);
      }
    }
    return sum;
  }

  /// A bound on the relative error of an error that was computed with fit::power.
  [[nodiscard]] double tolerance() const noexcept { return power_tolerance * (power + 2); }
  /// A power of two that scales the weights of a range to below 2. It scales all errors of a group equally.
  [[nodiscard]] static float normalizer(double lo, double hi) noexcept {
    const double magnitude = std::max(-lo, hi);
    return magnitude > 0 ? math::ldexp(1.f, std::min(-math::ilogb(magnitude), 126)) : 1.f;
  }
  /// The index of the first strict minimum of exact(i), i < approximate.size(), given approximations of it within the
  /// tolerance. Calls `exact` only for indices that could be the minimum, and not at all if there is only one.
  template<class Exact>
  [[nodiscard]] std::size_t first_minimum(std::span<const double> approximate, const Exact& exact) const {
    double bound = infinity;
    for (const double e : approximate) bound = e < bound ? e : bound;
    // The relative tolerance does not hold for sums close to 0 or to the limit of float.
    bound = bound > 0x1p-60 && bound < 0x1p60 ? bound * (1 + 3 * tolerance()) : infinity;
    const auto possible = [&](double e) { return !(e > bound); };
    if (std::count_if(approximate.begin(), approximate.end(), possible) == 1)
      return static_cast<std::size_t>(std::find_if(approximate.begin(), approximate.end(), possible) -
                                      approximate.begin());
    std::size_t best = 0;
    double smallest = infinity;
    for (std::size_t i = 0; i < approximate.size(); ++i) {
      if (!possible(approximate[i])) continue;
      const double e = exact(i);
      if (e < smallest) smallest = e, best = i;
    }
    return best;
  }

  /// Chooses the grids for encode_on_grids.
  struct choose_clipped {
    const clip_search& search;
    mutable std::vector<float> decoded, transposed;
    mutable std::vector<double> approximate;  ///< errors [tries] of a group, or [sixteen rows x steps] of a tile

    template<class = void>
    codec::grid operator()(const codec::grid_format& f, weight_view group, std::size_t index) const {
      const codec::grid unclipped = codec::choose_nearest{}(f, group, index);
      if (!kernel::is_finite(unclipped.scale)) return unclipped;
      decoded.resize(group.cols);
      const codec::extent range = codec::extent_of(group);
      const double lo = std::min(0.0, range.lo), hi = std::max(0.0, range.hi);
      const auto grid_of = [&](std::size_t i) {
        const double factor = search.shrink_factor(i);
        return codec::spanning_grid(f, {.lo = factor * range.lo, .hi = factor * range.hi});
      };
      const float normal = normalizer(lo, hi);
      double smallest = infinity;
      approximate.clear();
      for (std::size_t i = 0; i < search.steps; ++i) {
        const codec::grid g = grid_of(i);
        if (!f.is_float() && !f.has_minimum()) {
          double one_end = least_clipping(f, lo, hi, static_cast<double>(g.scale)) * (affine(f) ? 0.5 : 1);
          if (search.power != 2) one_end *= static_cast<double>(normal);
          if (one_end > 0 && math::pow(one_end, search.power) > smallest * (1 + 3 * search.tolerance())) break;
        }
        const double e = search.power == 2 ? search.exact_error(f, g, group, as_writable_span(decoded))
                                           : approximate_error(f, g, group, normal);
        approximate.push_back(e);
        smallest = e < smallest ? e : smallest;
      }
      if (search.power != 2)
        return grid_of(search.first_minimum(
            approximate, [&](std::size_t i) { return search.exact_error(f, grid_of(i), group, decoded); }));
      // These errors are exact. If all of them are NaN, the full range is kept.
      const auto best = std::find(approximate.begin(), approximate.end(), smallest);
      return best == approximate.end() ? unclipped : grid_of(static_cast<std::size_t>(best - approximate.begin()));
    }

    /// The error of a group on grid g times normal^power, within the tolerance.
    template<class = void>
    [[nodiscard]] double approximate_error(const codec::grid_format& f, const codec::grid& g, weight_view group,
                                           float normal) const {
      const auto p = static_cast<float>(search.power);
      double sum = 0;
      for (std::size_t r = 0; r < group.rows; ++r) {
        const std::span<const float> x = group.row(r);
        codec::fake_quantize(f, g, x, as_writable_span(decoded));
        raise_errors<kernel::native_lanes>(x.data(), x.size(), normal, p);
        for (const float e : decoded) sum += static_cast<double>(e);
      }
      return sum;
    }
    /// Replaces `decoded` by (normal |decoded - x|)^p.
    template<class L>
    void raise_errors(const float* x, std::size_t n, float normal, float p) const noexcept {
      const auto raised = [&](typename L::vector back, typename L::vector from) PRECIS_INLINE_LAMBDA {
        const auto e = L::multiply(L::subtract(back, from), L::all(normal));
        return fit::power<L>(L::larger(e, L::subtract(L::zero(), e)), p);
      };
      std::size_t i = 0;
      for (; i + L::width <= n; i += L::width)
        L::store(decoded.data() + i, raised(L::load(decoded.data() + i), L::load(x + i)));
      if (i < n)
        L::store_part(decoded.data() + i, raised(L::load_part(decoded.data() + i, n - i), L::load_part(x + i, n - i)),
                      n - i);
    }

    /// Chooses the grids of sixteen rows at a time, one row per lane.
    template<class = void>
    [[nodiscard]] bool for_tile(const codec::grid_format& f, const codec::tile::group_batch& batch,
                                codec::tile::grid_batch& chosen) const {
      constexpr std::size_t rows = kernel::tile_rows;
      transposed.resize(batch.columns * rows);
      decoded.resize(batch.columns * rows);
      codec::tile::group_batch group{
          .weights = batch.weights, .stride = batch.stride, .columns = batch.columns, .count = 1};
      for (std::size_t k = 0; k < batch.count; ++k, group.weights += batch.columns) {
        std::copy_n(batch.lo + k * rows, rows, group.lo);
        std::copy_n(batch.hi + k * rows, rows, group.hi);
        if (!(search.power == 2 ? search_squares(f, group, chosen, k * rows)
                                : search_powers(f, group, chosen, k * rows)))
          return false;
      }
      return true;
    }

    /// Searches one group of sixteen rows by squared errors; stores the grids from index `to` on.
    template<class = void>
    [[nodiscard]] bool search_squares(const codec::grid_format& f, const codec::tile::group_batch& g,
                                      codec::tile::grid_batch& chosen, std::size_t to) const {
      using lanes = kernel::native_lanes;
      constexpr std::size_t rows = kernel::tile_rows;
      codec::tile::transpose_rows<lanes>(g.weights, g.stride, g.columns, transposed.data());
      double smallest[rows];
      std::fill_n(smallest, rows, infinity);
      for (std::size_t i = 0; i < search.steps; ++i) {
        codec::tile::grid_batch grids;
        codec::tile::spanning_grids(f, g.lo, g.hi, rows, grids, search.shrink_factor(i));
        if (!codec::tile::reciprocal_is_exact(f, g, grids)) return false;
        double clipping[rows];
        least_clipping(f, g, grids, clipping);
        // If both ends are clipped, the sum of their squares is at least half the square of the total. The loop has no
        // branches, so that it vectorizes.
        int may_improve = 0;
        for (std::size_t r = 0; r < rows; ++r)
          may_improve |=
              static_cast<int>(!(clipping[r] > 0 && clipping[r] * clipping[r] > (affine(f) ? 2 : 1) * smallest[r]));
        if (may_improve == 0) break;
        const codec::tile::quantizer quantize(f, grids, rows);
        quantize.round_trip<lanes>(transposed.data(), g.columns, decoded.data());
        double sums[rows] = {};
        detail::add_squares<kernel::native_double_lanes>(decoded.data(), transposed.data(), g.columns, sums);
        for (std::size_t r = 0; r < rows; ++r) {
          const bool smaller = sums[r] < smallest[r];
          smallest[r] = smaller ? sums[r] : smallest[r];
          chosen.scale[to + r] = smaller ? grids.scale[r] : chosen.scale[to + r];
          chosen.zero_point[to + r] = smaller ? grids.zero_point[r] : chosen.zero_point[to + r];
        }
      }
      return true;
    }

    /// Searches one group of sixteen rows by |error|^power; stores the grids from index `to` on.
    template<class = void>
    [[nodiscard]] bool search_powers(const codec::grid_format& f, const codec::tile::group_batch& g,
                                     codec::tile::grid_batch& chosen, std::size_t to) const {
      using lanes = kernel::native_lanes;
      constexpr std::size_t rows = kernel::tile_rows;
      codec::tile::transpose_rows<lanes>(g.weights, g.stride, g.columns, transposed.data());
      const auto p = static_cast<float>(search.power);
      alignas(64) float normal[rows];
      double smallest[rows];
      for (std::size_t r = 0; r < rows; ++r)
        normal[r] = normalizer(static_cast<double>(g.lo[r]), static_cast<double>(g.hi[r]));
      std::fill_n(smallest, rows, infinity);
      approximate.resize(rows * search.steps);
      std::size_t tries = 0;
      for (; tries < search.steps; ++tries) {
        codec::tile::grid_batch grids;
        codec::tile::spanning_grids(f, g.lo, g.hi, rows, grids, search.shrink_factor(tries));
        if (!codec::tile::reciprocal_is_exact(f, g, grids)) return false;
        double clipping[rows];
        least_clipping(f, g, grids, clipping);
        alignas(64) float one_end[rows];
        for (std::size_t r = 0; r < rows; ++r) {
          const auto end = static_cast<float>(clipping[r] * (affine(f) ? 0.5 : 1)) * normal[r];
          one_end[r] = end > 0 ? end : 0.f;
        }
        for (std::size_t r = 0; r < rows; r += lanes::width)
          lanes::store(one_end + r, fit::power<lanes>(lanes::load(one_end + r), p));
        int may_improve = 0;  // no branches, so that the loop vectorizes
        for (std::size_t r = 0; r < rows; ++r)
          may_improve |=
              static_cast<int>(!(static_cast<double>(one_end[r]) > smallest[r] * (1 + 3 * search.tolerance())));
        if (may_improve == 0) break;
        const codec::tile::quantizer quantize(f, grids, rows);
        quantize.round_trip<lanes>(transposed.data(), g.columns, decoded.data());
        double sums[rows] = {};
        detail::add_powers<lanes, kernel::native_double_lanes>(decoded.data(), transposed.data(), g.columns, normal, p,
                                                               sums);
        for (std::size_t r = 0; r < rows; ++r) {
          approximate[r * search.steps + tries] = sums[r];
          smallest[r] = sums[r] < smallest[r] ? sums[r] : smallest[r];
        }
      }
      for (std::size_t r = 0; r < rows; ++r) {
        const auto grid_of = [&](std::size_t i) {
          const double factor = search.shrink_factor(i);
          return codec::spanning_grid(
              f, {.lo = factor * static_cast<double>(g.lo[r]), .hi = factor * static_cast<double>(g.hi[r])});
        };
        const weight_view row(std::span(g.weights + static_cast<std::ptrdiff_t>(r) * g.stride, g.columns), 1,
                              g.columns);
        const codec::grid best =
            grid_of(search.first_minimum(std::span(approximate).subspan(r * search.steps, tries), [&](std::size_t i) {
              return search.exact_error(f, grid_of(i), row, std::span(decoded).first(g.columns));
            }));
        chosen.scale[to + r] = best.scale;
        chosen.zero_point[to + r] = static_cast<float>(best.zero_point);
      }
      return true;
    }

    [[nodiscard]] static bool affine(const codec::grid_format& f) noexcept {
      return f.rule == codec::grid_rule::affine;
    }

    /// A lower bound on how much a grid of this scale, and every later grid of the search, clips from a range: from its
    /// larger end or (affine) from both ends together. Scales never grow as ranges shrink.
    [[nodiscard]] static double least_clipping(const codec::grid_format& f, double lo, double hi,
                                               double scale) noexcept {
      const int zero = f.fixed_zero_point(), top = f.top_code();
      const int steps = affine(f) ? top : std::max(zero, top - zero);
      const double range = affine(f) ? hi - lo : std::max(-lo, hi), slack = 1e-5 * (hi - lo);  // covers rounding errors
      return range - static_cast<double>(steps) * scale - slack;
    }
    /// The bound for each of sixteen rows.
    template<class = void>
    static void least_clipping(const codec::grid_format& f, const codec::tile::group_batch& g,
                               const codec::tile::grid_batch& grids, double (&clipping)[kernel::tile_rows]) noexcept {
      for (std::size_t r = 0; r < kernel::tile_rows; ++r)
        clipping[r] = least_clipping(f, static_cast<double>(g.lo[r]), static_cast<double>(g.hi[r]),
                                     static_cast<double>(grids.scale[r]));
    }
  };
};

PRECIS_IEEE_END
}  // namespace precis::fit

#endif  // PRECIS_FIT_CLIP_SEARCH
