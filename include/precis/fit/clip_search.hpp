#pragma once

#include <precis/codec/grid.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace precis::fit {

/// Shrinks the range of every group a step at a time and keeps the grid with the smallest error: large weights are
/// clipped where that pays for the others.
///
///     for i = 0 ... steps - 1:  both ends times p = 1 - i step,  error = sum |decoded - x|^power
///
/// The first strict minimum wins, so nothing changes where clipping does not help.
/// Unit     error: weights^power, summed in double in the order of the weights.
/// Errors   as codec::encode_on_grids; a step or power that is not positive, or steps that shrink below zero.
/// Cost     `steps` encodings and, unless power is 2, as many powers (tens of nanoseconds) a weight.
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
    std::vector<float> decoded;
    codec::encode_on_grids(f, weights, packed, [&](const codec::grid_format&, weight_view group, std::size_t index) {
      const codec::grid whole = codec::choose_nearest{}(f, group, index);
      if (!std::isfinite(whole.scale)) return whole;
      decoded.resize(group.cols);
      const codec::extent range = codec::extent_of(group);
      codec::grid best = whole;
      double smallest = std::numeric_limits<double>::infinity();
      for (std::size_t i = 0; i < steps; ++i) {
        const double p = std::fma(-static_cast<double>(i), step, 1.0);
        const codec::grid g = codec::spanning_grid(f, {.lo = p * range.lo, .hi = p * range.hi});
        const double e = error(f, g, group, decoded);
        if (e < smallest) {
          smallest = e;
          best = g;
        }
      }
      return best;
    });
  }

 private:
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
};

}  // namespace precis::fit
