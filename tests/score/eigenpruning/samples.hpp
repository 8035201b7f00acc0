#pragma once

#include <precis/score/eigenpruning/effects.hpp>

#include "score/linear_map.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <utility>
#include <vector>

// Samples of a linear map as the pairings read them, and the effects of pairs computed from the definition.
namespace eigenpruning_tests {

using precis::activations;
using precis::score::eigenpruning::observed;
using precis::score::eigenpruning::reduction;
using precis::score::eigenpruning::tracked;

/// The inputs and gradients of a batch, with the storage behind the views.
struct samples {
  activations input, gradient;
  std::vector<unsigned char> counts;

  explicit samples(const map_batch& b)
      : input(b.sequences, b.tokens, b.inputs[0].size()), gradient(b.sequences, b.tokens, b.gradients[0].size()) {
    for (std::size_t i = 0; i < b.inputs.size(); ++i) {
      std::ranges::copy(b.inputs[i], input.view()(i / b.tokens, i % b.tokens).begin());
      std::ranges::copy(b.gradients[i], gradient.view()(i / b.tokens, i % b.tokens).begin());
      counts.push_back(i % b.tokens < b.length(i / b.tokens));
    }
  }
  /// Samples first to first + count - 1.
  [[nodiscard]] observed range(std::size_t first, std::size_t count) const {
    return {std::as_const(input).view().sequence_range(first, count),
            std::as_const(gradient).view().sequence_range(first, count),
            std::span(counts).subspan(first * input.tokens, count * input.tokens)};
  }
  [[nodiscard]] observed all() const { return range(0, input.sequences); }
};

/// A map of normal numbers as one slice.
inline std::vector<tracked> whole_slice(std::size_t out, std::size_t in) {
  const precis::random_stream draw(7, precis::purpose("eigenpruning tests"));
  precis::float_matrix w(out, in);
  for (std::size_t i = 0; i < w.values.size(); ++i) w.values[i] = static_cast<float>(draw.normal(i));
  std::vector<tracked> slices;
  slices.emplace_back(precis::matrix_slice{.name = "w", .out = out, .in = in},
                      precis::linear_algebra::singular_values(w.view()));
  return slices;
}

/// The largest effects over pairs (i, k) with paired(i, k): from the factors, one number at a time, in double.
template<class Paired>
std::vector<double> largest_effects(const map_batch& b, const tracked& slice, reduction reduce, Paired&& paired) {
  std::vector<double> best(slice.rank(), -std::numeric_limits<double>::infinity());
  for (std::size_t r = 0; r < slice.rank(); ++r)
    for (std::size_t i = 0; i < b.sequences; ++i)
      for (std::size_t k = 0; k < b.sequences; ++k) {
        if (!paired(i, k)) continue;
        double sum = 0;
        for (std::size_t t = 0; t < std::min(b.length(i), b.length(k)); ++t) {
          double p = 0, q = 0;
          for (std::size_t o = 0; o < slice.left.rows; ++o)
            p += static_cast<double>(slice.left(o, r)) * static_cast<double>(b.gradients[i * b.tokens + t][o]);
          for (std::size_t f = 0; f < slice.right.rows; ++f)
            q += static_cast<double>(slice.right(f, r)) * (static_cast<double>(b.inputs[k * b.tokens + t][f]) -
                                                           static_cast<double>(b.inputs[i * b.tokens + t][f]));
          sum += p * q;
          if (reduce == reduction::max_over_pairs_and_tokens) best[r] = std::max(best[r], p * q);
        }
        if (reduce == reduction::sum_tokens_then_max) best[r] = std::max(best[r], sum);
      }
  return best;
}

/// The effects that a pairing found.
inline std::vector<double> found_by(const tracked& slice, reduction reduce) {
  if (reduce == reduction::sum_tokens_then_max) return slice.sums;
  return {slice.most.begin(), slice.most.end()};
}

/// Whether two lists are equal up to the rounding of products in float: 3e-6 of the largest value and of the terms that
/// cancel in it.
inline bool nearly_equal(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (const double v : b) largest = std::max(largest, std::abs(v));
  return std::ranges::equal(a, b, [&](double x, double y) { return std::abs(x - y) < 3e-6 * (1 + largest); });
}

}  // namespace eigenpruning_tests
