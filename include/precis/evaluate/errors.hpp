#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/checks.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdlib>
#include <limits>
#include <string>

namespace precis::evaluate {
PRECIS_IEEE_BEGIN

/// Errors of a compressed matrix relative to the original.
struct error_report {
  std::size_t weights = 0;
  double sse = 0;        ///< sum of squared errors, weights^2
  double signal = 0;     ///< sum of squared original weights
  double max_error = 0;  ///< largest |error|

  [[nodiscard]] double mse() const noexcept { return weights == 0 ? 0.0 : sse / static_cast<double>(weights); }
  /// Signal-to-quantization-noise ratio in decibels; infinity if the matrices are equal.
  [[nodiscard]] double sqnr_db() const noexcept {
    return sse == 0 ? std::numeric_limits<double>::infinity() : 10.0 * math::log10(signal / sse);
  }
  error_report& operator+=(const error_report& other) noexcept {
    weights += other.weights;
    sse += other.sse;
    signal += other.signal;
    max_error = std::max(max_error, other.max_error);
    return *this;
  }
};

/// Compares two matrices weight by weight.
///
/// Unit     that of the weights, squared for sse and signal; summed in double, row by row, with fused multiply-adds.
/// Errors   matrices of different shapes; a weight that is not finite.
/// Cost     one pass over both matrices.
/// Source   none: textbook definitions.
template<class = void>
[[nodiscard]] inline error_report errors(weight_view original, weight_view compressed) {
  if (original.rows != compressed.rows || original.cols != compressed.cols)
    refuse({.what = std::to_string(original.rows) + " x " + std::to_string(original.cols) + " against " +
                    std::to_string(compressed.rows) + " x " + std::to_string(compressed.cols),
            .where = "evaluate::errors",
            .expected = "two matrices of the same shape"});
  error_report e{.weights = original.size()};
  for (std::size_t r = 0; r < original.rows; ++r)
    for (std::size_t c = 0; c < original.cols; ++c) {
      if (!kernel::is_finite(original(r, c))) refuse_weight(original(r, c), "the original", r, c, "evaluate::errors");
      if (!kernel::is_finite(compressed(r, c)))
        refuse_weight(compressed(r, c), "the compressed matrix", r, c, "evaluate::errors");
      const auto x = static_cast<double>(original(r, c));
      const double difference = static_cast<double>(compressed(r, c)) - x;
      e.sse = math::fma(difference, difference, e.sse);
      e.signal = math::fma(x, x, e.signal);
      e.max_error = std::max(e.max_error, std::abs(difference));
    }
  return e;
}

PRECIS_IEEE_END
}  // namespace precis::evaluate
