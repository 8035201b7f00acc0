#pragma once

#include <precis/codec/grid/matrix.hpp>
#include <precis/codec/tiles.hpp>
#include <precis/fit/power.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace precis::fit {

namespace detail {

/// The sums of squared differences of sixteen rows, column by column: each sum in the order of the columns.
template<class Lanes>
void add_squares(const float* decoded, const float* x, std::size_t columns, double* sums) noexcept {
  constexpr std::size_t rows = kernel::tile_rows, parts = rows / Lanes::width;
  const double minus_one = -1;
  const typename Lanes::vector minus = Lanes::broadcast(&minus_one);
  typename Lanes::vector sum[parts];
  for (std::size_t p = 0; p < parts; ++p) sum[p] = Lanes::load(sums + p * Lanes::width);
  for (std::size_t at = 0; at < columns * rows; at += rows)
    kernel::detail::for_constants<parts>([&](auto p) __attribute__((always_inline)) {
      const std::size_t i = at + p * Lanes::width;
      const auto e = Lanes::fma(Lanes::load_floats(x + i), minus, Lanes::load_floats(decoded + i));
      sum[p] = Lanes::fma(e, e, sum[p]);
    });
  for (std::size_t p = 0; p < parts; ++p) Lanes::store(sums + p * Lanes::width, sum[p]);
}

/// Adds (|decoded - x| by)^p of sixteen rows, column by column; `decoded` becomes these powers.
template<class Lanes, class Doubles>
void add_powers(float* decoded, const float* x, std::size_t columns, const float* by, float p, double* sums) noexcept {
  constexpr std::size_t rows = kernel::tile_rows, parts = rows / Doubles::width;
  for (std::size_t r = 0; r < rows; r += Lanes::width) {
    const typename Lanes::vector unit = Lanes::load(by + r);
    for (std::size_t at = r; at < columns * rows; at += rows) {
      const auto e = Lanes::multiply(Lanes::subtract(Lanes::load(decoded + at), Lanes::load(x + at)), unit);
      Lanes::store(decoded + at, power<Lanes>(Lanes::larger(e, Lanes::subtract(Lanes::zero(), e)), p));
    }
  }
  const double one = 1;
  const typename Doubles::vector once = Doubles::broadcast(&one);
  typename Doubles::vector sum[parts];
  for (std::size_t i = 0; i < parts; ++i) sum[i] = Doubles::load(sums + i * Doubles::width);
  for (std::size_t at = 0; at < columns * rows; at += rows)
    kernel::detail::for_constants<parts>([&](auto i) __attribute__((always_inline)) {
      sum[i] = Doubles::fma(Doubles::load_floats(decoded + at + i * Doubles::width), once, sum[i]);
    });
  for (std::size_t i = 0; i < parts; ++i) Doubles::store(sums + i * Doubles::width, sum[i]);
}

}  // namespace detail

/// Shrinks the range of every group a step at a time and keeps the grid with the smallest error: large weights are
/// clipped where that pays for the others.
///
///     for i = 0 ... steps - 1:  both ends times p = 1 - i step,  error = sum |decoded - x|^power
///
/// The first strict minimum wins, so nothing changes where clipping does not help.
/// Unit     error: weights^power, summed in double in the order of the weights.
/// Errors   as codec::encode_on_grids; a step or power that is not positive, or steps that shrink below zero.
/// Cost     `steps` encodings and, unless power is 2, as many powers a weight, in lanes and nearly right; the few ranges that are
///          nearly best are compared again with std::pow. Fewer for affine and symmetric: no range is tried that clips more of the
///          largest weight alone than the best error. Integers of at most a byte in groups of whole blocks are searched sixteen
///          rows at a time. `steps` doubles of memory, times sixteen.
/// @post    the error of a group is never larger than with fit::nearest.
/// Source   methods D1 (GPTQ's grid: 80 steps of 1 %, power 2.4; its published default is off).
struct clip_search {
  std::size_t steps = 80;
  double step = 0.01;
  double power = 2.4;

  void operator()(const codec::grid_format& f, weight_view weights, std::span<std::byte> packed) const {
    if (!(steps > 0 && step > 0 && power > 0 && static_cast<double>(steps - 1) * step < 1))
      refuse({.what = std::to_string(steps) + " steps of " + std::to_string(step) + ", power " + std::to_string(power),
              .where = "fit::clip_search",
              .expected = "at least one step, a positive step and power, and (steps - 1) * step below 1"});
    codec::encode_on_grids(f, weights, packed, search{*this, {}, {}, {}});
  }

 private:
  [[nodiscard]] double shrunk(std::size_t i) const noexcept { return std::fma(-static_cast<double>(i), step, 1.0); }
  [[nodiscard]] double error(const codec::grid_format& f, const codec::grid& g, weight_view group,
                             std::span<float> decoded) const {
    double sum = 0;
    for (std::size_t r = 0; r < group.rows; ++r) {
      const std::span<const float> x = group.row(r);
      codec::fake_quantize(f, g, x, decoded);
      for (std::size_t c = 0; c < x.size(); ++c) {
        const double e = std::abs(static_cast<double>(decoded[c]) - static_cast<double>(x[c]));
        sum = power == 2 ? std::fma(e, e, sum) : sum + std::pow(e, power);
      }
    }
    return sum;
  }

  /// How far an error from `power` may be from the error.
  [[nodiscard]] double tolerance() const noexcept { return power_tolerance * (power + 2); }
  /// What brings weights of a range to below 2: a power of two, by which every error of the group is multiplied alike.
  [[nodiscard]] static float unit(double lo, double hi) noexcept {
    const double size = std::max(-lo, hi);
    return size > 0 ? std::ldexp(1.f, std::min(-std::ilogb(size), 126)) : 1.f;
  }
  /// The first strict minimum of exact(i), i < nearly.size(), of which `nearly` has values within the tolerance: a call for
  /// each that could be it, unless that is one.
  template<class Exact>
  [[nodiscard]] std::size_t first_least(std::span<const double> nearly, const Exact& exact) const {
    double bound = std::numeric_limits<double>::infinity();
    for (const double e : nearly) bound = e < bound ? e : bound;
    // Of next to nothing the tolerance says nothing.
    bound = bound > 0x1p-60 && bound < 0x1p60 ? bound * (1 + 3 * tolerance()) : std::numeric_limits<double>::infinity();
    const auto possible = [&](double e) { return !(e > bound); };
    if (std::ranges::count_if(nearly, possible) == 1)
      return static_cast<std::size_t>(std::ranges::find_if(nearly, possible) - nearly.begin());
    std::size_t best = 0;
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < nearly.size(); ++i) {
      if (!possible(nearly[i])) continue;
      const double e = exact(i);
      if (e < least) least = e, best = i;
    }
    return best;
  }

  /// The grids that encode_on_grids asks for.
  struct search {
    const clip_search& how;
    mutable std::vector<float> decoded, turned;
    mutable std::vector<double> nearly;  ///< [steps], or [sixteen rows x steps]

    codec::grid operator()(const codec::grid_format& f, weight_view group, std::size_t index) const {
      const codec::grid whole = codec::choose_nearest{}(f, group, index);
      if (!std::isfinite(whole.scale)) return whole;
      decoded.resize(group.cols);
      const codec::extent range = codec::extent_of(group);
      const double lo = std::min(0.0, range.lo), hi = std::max(0.0, range.hi);
      const auto at = [&](std::size_t i) {
        const double p = how.shrunk(i);
        return codec::spanning_grid(f, {.lo = p * range.lo, .hi = p * range.hi});
      };
      const auto exact = [&](std::size_t i) { return how.error(f, at(i), group, decoded); };
      const float by = unit(lo, hi);
      double smallest = std::numeric_limits<double>::infinity();
      nearly.clear();
      for (std::size_t i = 0; i < how.steps; ++i) {
        const codec::grid g = at(i);
        if (!f.is_float() && !f.has_minimum()) {
          double less = clipped(f, lo, hi, static_cast<double>(g.scale)) * (affine(f) ? 0.5 : 1);  // of one end
          if (how.power != 2) less *= static_cast<double>(by);
          if (less > 0 && std::pow(less, how.power) > smallest * (1 + 3 * how.tolerance())) break;
        }
        const double e = how.power == 2 ? how.error(f, g, group, decoded) : powers(f, g, group, by);
        nearly.push_back(e);
        smallest = e < smallest ? e : smallest;
      }
      if (how.power != 2) return at(how.first_least(nearly, exact));
      // Exact already: the first strict minimum; where there is no number at all, the whole range.
      const auto least = std::ranges::find(nearly, smallest);
      return least == nearly.end() ? whole : at(static_cast<std::size_t>(least - nearly.begin()));
    }

    /// The error in units, nearly.
    [[nodiscard]] double powers(const codec::grid_format& f, const codec::grid& g, weight_view group, float by) const {
      const auto p = static_cast<float>(how.power);
      double sum = 0;
      for (std::size_t r = 0; r < group.rows; ++r) {
        const std::span<const float> x = group.row(r);
        codec::fake_quantize(f, g, x, decoded);
        raise<kernel::native_lanes>(x.data(), x.size(), by, p);
        for (const float e : decoded) sum += static_cast<double>(e);
      }
      return sum;
    }
    /// (|decoded - x| by)^p in place of `decoded`.
    template<class L>
    void raise(const float* x, std::size_t n, float by, float p) const noexcept {
      const auto raised = [&](typename L::vector back, typename L::vector from) {
        const auto e = L::multiply(L::subtract(back, from), L::all(by));
        return fit::power<L>(L::larger(e, L::subtract(L::zero(), e)), p);
      };
      std::size_t i = 0;
      for (; i + L::width <= n; i += L::width)
        L::store(decoded.data() + i, raised(L::load(decoded.data() + i), L::load(x + i)));
      if (i < n)
        L::store_part(decoded.data() + i, raised(L::load_part(decoded.data() + i, n - i), L::load_part(x + i, n - i)),
                      n - i);
    }

    /// The same of sixteen rows at a time, a row a lane.
    [[nodiscard]] bool tile(const codec::grid_format& f, const codec::detail::tile_groups& g,
                            codec::detail::tile_grids& best) const {
      constexpr std::size_t rows = kernel::tile_rows;
      turned.resize(g.columns * rows);
      decoded.resize(g.columns * rows);
      codec::detail::tile_groups one{.rows = g.rows, .stride = g.stride, .columns = g.columns, .count = 1};
      for (std::size_t k = 0; k < g.count; ++k, one.rows += g.columns) {
        std::copy_n(g.lo + k * rows, rows, one.lo);
        std::copy_n(g.hi + k * rows, rows, one.hi);
        if (!(how.power == 2 ? search_squares(f, one, best, k * rows) : search_powers(f, one, best, k * rows)))
          return false;
      }
      return true;
    }

    [[nodiscard]] bool search_squares(const codec::grid_format& f, const codec::detail::tile_groups& g,
                                      codec::detail::tile_grids& best, std::size_t to) const {
      using lanes = kernel::native_lanes;
      constexpr std::size_t rows = kernel::tile_rows;
      codec::detail::turn_rows<lanes>(g.rows, g.stride, g.columns, turned.data());
      double smallest[rows];
      std::fill_n(smallest, rows, std::numeric_limits<double>::infinity());
      for (std::size_t i = 0; i < how.steps; ++i) {
        codec::detail::tile_grids some;
        codec::detail::spanning_grids(f, g.lo, g.hi, rows, some, how.shrunk(i));
        if (!codec::detail::divides_well(f, g, some)) return false;
        double less[rows];
        clipped(f, g, some, less);
        int open = 0;                           // without branches: a vector's work
        for (std::size_t r = 0; r < rows; ++r)  // two ends: their squares add up to half its square at least
          open |= static_cast<int>(!(less[r] > 0 && less[r] * less[r] > (affine(f) ? 2 : 1) * smallest[r]));
        if (open == 0) break;
        const codec::detail::tile_quantizer quantize(f, some, rows);
        quantize.decoded_columns<lanes>(turned.data(), g.columns, decoded.data());
        double sums[rows] = {};
        detail::add_squares<kernel::native_double_lanes>(decoded.data(), turned.data(), g.columns, sums);
        for (std::size_t r = 0; r < rows; ++r) {
          const bool smaller = sums[r] < smallest[r];
          smallest[r] = smaller ? sums[r] : smallest[r];
          best.scale[to + r] = smaller ? some.scale[r] : best.scale[to + r];
          best.zero_point[to + r] = smaller ? some.zero_point[r] : best.zero_point[to + r];
        }
      }
      return true;
    }

    [[nodiscard]] bool search_powers(const codec::grid_format& f, const codec::detail::tile_groups& g,
                                     codec::detail::tile_grids& best, std::size_t to) const {
      using lanes = kernel::native_lanes;
      constexpr std::size_t rows = kernel::tile_rows;
      codec::detail::turn_rows<lanes>(g.rows, g.stride, g.columns, turned.data());
      const auto p = static_cast<float>(how.power);
      alignas(64) float by[rows];
      double smallest[rows];
      for (std::size_t r = 0; r < rows; ++r) by[r] = unit(static_cast<double>(g.lo[r]), static_cast<double>(g.hi[r]));
      std::fill_n(smallest, rows, std::numeric_limits<double>::infinity());
      nearly.resize(rows * how.steps);
      std::size_t tried = 0;
      for (; tried < how.steps; ++tried) {
        codec::detail::tile_grids some;
        codec::detail::spanning_grids(f, g.lo, g.hi, rows, some, how.shrunk(tried));
        if (!codec::detail::divides_well(f, g, some)) return false;
        double less[rows];
        clipped(f, g, some, less);
        alignas(64) float of_one_end[rows];
        for (std::size_t r = 0; r < rows; ++r) {
          const auto end = static_cast<float>(less[r] * (affine(f) ? 0.5 : 1)) * by[r];
          of_one_end[r] = end > 0 ? end : 0.f;
        }
        for (std::size_t r = 0; r < rows; r += lanes::width)
          lanes::store(of_one_end + r, fit::power<lanes>(lanes::load(of_one_end + r), p));
        int open = 0;  // without branches: a vector's work
        for (std::size_t r = 0; r < rows; ++r)
          open |= static_cast<int>(!(static_cast<double>(of_one_end[r]) > smallest[r] * (1 + 3 * how.tolerance())));
        if (open == 0) break;
        const codec::detail::tile_quantizer quantize(f, some, rows);
        quantize.decoded_columns<lanes>(turned.data(), g.columns, decoded.data());
        double sums[rows] = {};
        detail::add_powers<lanes, kernel::native_double_lanes>(decoded.data(), turned.data(), g.columns, by, p, sums);
        for (std::size_t r = 0; r < rows; ++r) {
          nearly[r * how.steps + tried] = sums[r];
          smallest[r] = sums[r] < smallest[r] ? sums[r] : smallest[r];
        }
      }
      for (std::size_t r = 0; r < rows; ++r) {
        const auto at = [&](std::size_t i) {
          const double by_i = how.shrunk(i);
          return codec::spanning_grid(
              f, {.lo = by_i * static_cast<double>(g.lo[r]), .hi = by_i * static_cast<double>(g.hi[r])});
        };
        const weight_view row(std::span(g.rows + static_cast<std::ptrdiff_t>(r) * g.stride, g.columns), 1, g.columns);
        const codec::grid chosen =
            at(how.first_least(std::span(nearly).subspan(r * how.steps, tried), [&](std::size_t i) {
              return how.error(f, at(i), row, std::span(decoded).first(g.columns));
            }));
        best.scale[to + r] = chosen.scale;
        best.zero_point[to + r] = static_cast<float>(chosen.zero_point);
      }
      return true;
    }

    [[nodiscard]] static bool affine(const codec::grid_format& f) noexcept {
      return f.rule == codec::grid_rule::affine;
    }

    /// What a grid of that scale, and of every smaller range, lacks of a group's range at least: of the larger end, or (affine) of
    /// both together. Scales never grow as ranges shrink.
    [[nodiscard]] static double clipped(const codec::grid_format& f, double lo, double hi, double scale) noexcept {
      const int zero = f.fixed_zero_point(), top = f.top_code();
      const int steps = affine(f) ? top : std::max(zero, top - zero);
      const double range = affine(f) ? hi - lo : std::max(-lo, hi), slack = 1e-5 * (hi - lo);  // more than roundings
      return range - static_cast<double>(steps) * scale - slack;
    }
    /// The same of every row.
    static void clipped(const codec::grid_format& f, const codec::detail::tile_groups& g,
                        const codec::detail::tile_grids& grids, double (&less)[kernel::tile_rows]) noexcept {
      for (std::size_t r = 0; r < kernel::tile_rows; ++r)
        less[r] =
            clipped(f, static_cast<double>(g.lo[r]), static_cast<double>(g.hi[r]), static_cast<double>(grids.scale[r]));
    }
  };
};

}  // namespace precis::fit
