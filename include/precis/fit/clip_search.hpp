#pragma once

#include <precis/codec/grid.hpp>
#include <precis/codec/tiles.hpp>

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

}  // namespace detail

/// Shrinks the range of every group a step at a time and keeps the grid with the smallest error: large weights are
/// clipped where that pays for the others.
///
///     for i = 0 ... steps - 1:  both ends times p = 1 - i step,  error = sum |decoded - x|^power
///
/// The first strict minimum wins, so nothing changes where clipping does not help.
/// Unit     error: weights^power, summed in double in the order of the weights.
/// Errors   as codec::encode_on_grids; a step or power that is not positive, or steps that shrink below zero.
/// Cost     `steps` encodings and, unless power is 2, as many powers (tens of nanoseconds) a weight. Fewer for affine and
///          symmetric: no range is tried that clips more of the largest weight alone than the best error. With power 2, integers
///          of at most a byte in groups of whole blocks are searched sixteen rows at a time.
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
    codec::encode_on_grids(f, weights, packed, search{*this, {}, {}});
  }

 private:
  [[nodiscard]] double shrunk(std::size_t i) const noexcept { return std::fma(-static_cast<double>(i), step, 1.0); }
  [[nodiscard]] double error(const codec::grid_format& f, const codec::grid& g, weight_view group,
                             std::vector<float>& decoded) const {
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

  /// The grids that encode_on_grids asks for.
  struct search {
    const clip_search& how;
    mutable std::vector<float> decoded, turned;

    codec::grid operator()(const codec::grid_format& f, weight_view group, std::size_t index) const {
      const codec::grid whole = codec::choose_nearest{}(f, group, index);
      if (!std::isfinite(whole.scale)) return whole;
      decoded.resize(group.cols);
      const codec::extent range = codec::extent_of(group);
      const double lo = std::min(0.0, range.lo), hi = std::max(0.0, range.hi);
      codec::grid best = whole;
      double smallest = std::numeric_limits<double>::infinity();
      for (std::size_t i = 0; i < how.steps; ++i) {
        const double p = how.shrunk(i);
        const codec::grid g = codec::spanning_grid(f, {.lo = p * range.lo, .hi = p * range.hi});
        if (!f.is_float() && !f.has_minimum()) {
          const double less = clipped(f, lo, hi, static_cast<double>(g.scale)) * (affine(f) ? 0.5 : 1);  // of one end
          if (less > 0 && std::pow(less, how.power) > smallest) break;
        }
        const double e = how.error(f, g, group, decoded);
        if (e < smallest) {
          smallest = e;
          best = g;
        }
      }
      return best;
    }

    /// The same of sixteen rows at a time, a row a lane.
    [[nodiscard]] bool tile(const codec::grid_format& f, const codec::detail::tile_groups& g,
                            codec::detail::tile_grids& best) const {
      using lanes = kernel::native_lanes;
      constexpr std::size_t rows = kernel::tile_rows;
      if (how.power != 2) return false;
      turned.resize(g.columns * rows);
      decoded.resize(g.columns * rows);
      codec::detail::tile_groups one{.rows = g.rows, .stride = g.stride, .columns = g.columns, .count = 1};
      for (std::size_t k = 0; k < g.count; ++k, one.rows += g.columns) {
        std::copy_n(g.lo + k * rows, rows, one.lo);
        std::copy_n(g.hi + k * rows, rows, one.hi);
        codec::detail::turn_rows<lanes>(one.rows, g.stride, g.columns, turned.data());
        double smallest[rows];
        std::fill_n(smallest, rows, std::numeric_limits<double>::infinity());
        for (std::size_t i = 0; i < how.steps; ++i) {
          codec::detail::tile_grids some;
          codec::detail::spanning_grids(f, one.lo, one.hi, rows, some, how.shrunk(i));
          if (!codec::detail::divides_well(f, one, some)) return false;
          if (beyond(f, one, some, smallest)) break;
          const codec::detail::tile_quantizer quantize(f, some, rows);
          quantize.decoded_columns<lanes>(turned.data(), g.columns, decoded.data());
          double sums[rows] = {};
          detail::add_squares<kernel::native_double_lanes>(decoded.data(), turned.data(), g.columns, sums);
          for (std::size_t r = 0; r < rows; ++r) {
            const bool smaller = sums[r] < smallest[r];
            smallest[r] = smaller ? sums[r] : smallest[r];
            best.scale[k * rows + r] = smaller ? some.scale[r] : best.scale[k * rows + r];
            best.zero_point[k * rows + r] = smaller ? some.zero_point[r] : best.zero_point[k * rows + r];
          }
        }
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
    /// Whether that alone is more than the best error of every row. Two ends: their squares add up to half its square at least.
    [[nodiscard]] static bool beyond(const codec::grid_format& f, const codec::detail::tile_groups& g,
                                     const codec::detail::tile_grids& grids, const double* smallest) noexcept {
      int open = 0;  // without branches: a vector's work
      for (std::size_t r = 0; r < kernel::tile_rows; ++r) {
        const double less =
            clipped(f, static_cast<double>(g.lo[r]), static_cast<double>(g.hi[r]), static_cast<double>(grids.scale[r]));
        open |= static_cast<int>(!(less > 0 && less * less > (affine(f) ? 2 : 1) * smallest[r]));
      }
      return open == 0;
    }
  };
};

}  // namespace precis::fit
