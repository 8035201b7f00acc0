#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/moments.hpp>
#include <precis/core/scores.hpp>
#include <precis/kernel/ieee.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace precis::score {
PRECIS_IEEE_BEGIN

/// A run of consecutive layers, and the mean and deviation of their scores.
struct segment {
  std::size_t layers = 0;
  double mean = 0;
  std::optional<double> deviation = {};  ///< sample standard deviation; no value with fewer than two layers
};

/// Statistics of the first 30 % of the layers, the next 30 % and the rest. A layer's score is the mean over its units;
/// units outside of the layers do not count.
///
/// Shapes    [first, middle, rest]; the first two are rounded down.
/// Unit      that of the scores.
/// Errors    scores that are not finite.
/// Source    Nanda, Balija, Sahoo, "CPTQuant", its statistics of layer-wise sensitivity.
/// Differs   An undefined deviation has no value; the paper's table prints NaN.
template<class = void>
[[nodiscard]] inline std::array<segment, 3> segments(const scores& s) {
  check_finite(s, "score::segments");
  std::vector<double> sums;
  std::vector<std::size_t> counts;
  for (std::size_t u = 0; u < s.size(); ++u) {
    const std::size_t layer = s.units[u].layer;
    if (!is_layer(layer)) continue;
    if (layer >= sums.size()) {
      sums.resize(layer + 1);
      counts.resize(layer + 1);
    }
    sums[layer] += s.values[u];
    ++counts[layer];
  }
  std::vector<double> layers;
  for (std::size_t l = 0; l < sums.size(); ++l)
    if (counts[l] != 0) layers.push_back(sums[l] / static_cast<double>(counts[l]));

  const std::size_t width = layers.size() * 3 / 10;
  const std::array<std::size_t, 4> bounds{0, width, 2 * width, layers.size()};
  std::array<segment, 3> out;
  for (std::size_t i = 0; i < out.size(); ++i) {
    segment& g = out[i];
    g.layers = bounds[i + 1] - bounds[i];
    if (g.layers == 0) continue;
    const moments m = moments_of(std::span(layers).subspan(bounds[i], g.layers), deviation::sample);
    g.mean = m.mean;
    if (g.layers >= 2) g.deviation = m.standard_deviation;
  }
  return out;
}

PRECIS_IEEE_END
}  // namespace precis::score
