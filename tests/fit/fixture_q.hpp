#pragma once

#include <precis/core/view.hpp>
#include <precis/measure/gram.hpp>

#include <vector>

/// A small calibration problem, worked by hand: two outputs, four inputs, six tokens.
namespace fixture_q {

inline const precis::float_matrix weights{2, 4, {1.0f, -0.5f, -0.4f, -0.7f, -1.1f, -1.2f, 0.3f, -0.9f}};
inline const std::vector<float> inputs{2, 3, 0, 1, 0, 2, 1, -2, 0, 1, -1, -2, 1, 1, 0, 0, -1, 3, 3, -2, -1, 2, 2, -1};

/// X'X = [[7, 2, -5, 5], [2, 28, 14, -11], [-5, 14, 15, -8], [5, -11, -8, 14]].
inline precis::basic_matrix<double> gram() {
  return precis::measure::gram_of({std::span<const float>(inputs), 1, 6, 4}).sum;
}

}  // namespace fixture_q
