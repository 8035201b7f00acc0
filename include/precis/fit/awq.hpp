#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/measure/gram.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace precis::fit {
PRECIS_IEEE_BEGIN

/// Scales of a matrix's inputs and what they leave of the output error.
struct channel_scales {
  std::vector<double>
      scale{};          ///< [in] columns are multiplied by it before rounding; the producer of the input is divided
  double exponent = 0;  ///< the chosen r
  double error = 0;     ///< mean squared error of the outputs
  double error_without = 0;  ///< with all scales 1
};

/// Scales input channels before rounding, so that channels with large activations lose less:
///
///     s_j = mean|x_j|^r, normalised to sqrt(max s * min s) = 1,    r = 0, 1/steps, ..., (steps - 1)/steps
///     W' = round(W diag(s)) diag(1/s), by the r of the smallest mean squared output error
///
/// The function of the model is kept if what makes the input absorbs 1/s: a norm's weight and bias, or the rows of a map.
///
/// Shapes    weights [out x in], mean_absolute [in], gram [in x in] of `tokens` tokens.
/// Unit      squared outputs, averaged over tokens and outputs.
/// Errors    statistics of another number of inputs; means that are negative or not finite; no tokens.
/// Cost      `steps` roundings of the matrix and errors of out * in^2 / 2 multiply-adds.
/// Source    docs/methods/awq.md: Lin et al. 2023, arXiv:2306.00978, section 3.2.
/// Differs   Errors come from the Gram matrix, not from running the layer. The first of equal exponents is kept.
/// @post     error <= error_without.
struct awq {
  std::size_t steps = 20;
  double smallest = 1e-4;  ///< floor of mean|x|^r, for channels that are zero

  /// `round(from, to)` writes the decoded values of the rounded matrix `from`, both [out x in].
  template<class Round>
  [[nodiscard]] channel_scales operator()(weight_view weights, std::span<const double> mean_absolute,
                                          const measure::gram& gram, Round&& round) const {
    check(weights, mean_absolute, gram);
    const double outputs = static_cast<double>(gram.tokens) * static_cast<double>(weights.rows);
    float_matrix scaled(weights.rows, weights.cols), decoded(weights.rows, weights.cols);
    channel_scales best;
    for (std::size_t i = 0; i < steps; ++i) {
      const double exponent = static_cast<double>(i) / static_cast<double>(steps);
      const std::vector<double> s = scales(mean_absolute, exponent);
      for (std::size_t r = 0; r < weights.rows; ++r)
        for (std::size_t c = 0; c < weights.cols; ++c)
          scaled(r, c) = static_cast<float>(static_cast<double>(weights(r, c)) * s[c]);
      round(weight_view(scaled.view()), decoded.view());
      for (std::size_t r = 0; r < weights.rows; ++r)
        for (std::size_t c = 0; c < weights.cols; ++c)
          decoded(r, c) = static_cast<float>(static_cast<double>(decoded(r, c)) / s[c]);
      const double error = measure::squared_output_error(weights, decoded.view(), gram.sum) / outputs;
      if (i == 0) best.error_without = error;
      if (i > 0 && !(error < best.error)) continue;
      best.scale = s;
      best.exponent = exponent;
      best.error = error;
    }
    return best;
  }

  /// mean|x|^exponent, normalised.
  template<class = void>
  [[nodiscard]] std::vector<double> scales(std::span<const double> mean_absolute, double exponent) const {
    std::vector<double> s;
    for (const double a : mean_absolute) s.push_back(std::max(math::pow(a, exponent), smallest));
    double low = s.front(), high = s.front();
    for (const double x : s) {
      low = std::min(low, x);
      high = std::max(high, x);
    }
    const double middle = math::sqrt(low * high);
    for (double& x : s) x /= middle;
    return s;
  }

 private:
  template<class = void>
  void check(weight_view weights, std::span<const double> mean_absolute, const measure::gram& gram) const {
    const auto bad = [](std::string what, std::string expected) {
      refuse({.what = std::move(what), .where = "fit::awq", .expected = std::move(expected)});
    };
    if (steps == 0) bad("0 steps", "one or more; 20 in the paper's code");
    if (mean_absolute.size() != weights.cols || gram.sum.rows != weights.cols || weights.cols == 0)
      bad("statistics of " + std::to_string(mean_absolute.size()) + " inputs for rows of " +
              std::to_string(weights.cols) + " weights",
          "those of this matrix's inputs");
    if (gram.tokens == 0) bad("statistics of no tokens", "one token or more");
    for (const double a : mean_absolute)
      if (!(a >= 0) || !kernel::is_finite(a))
        bad("a mean absolute input of " + std::to_string(a), "finite numbers of 0 or more");
  }
};

PRECIS_IEEE_END
}  // namespace precis::fit
