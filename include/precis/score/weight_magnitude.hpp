#pragma once

#include <precis/core/error.hpp>
#include <precis/core/scores.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/concepts.hpp>

#include <cstddef>
#include <string>

namespace precis::score {
PRECIS_IEEE_BEGIN

/// Squared Frobenius norm of a matrix, in double.
///
/// Errors   a weight that is not finite, by position; `name` is the matrix's name in the message.
template<class = void>
[[nodiscard]] inline double squared_norm(weight_view w, const std::string& name) {
  double sum = 0;
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t c = 0; c < w.cols; ++c) {
      const double x = w(r, c);
      const double square = x * x;
      if (!kernel::is_finite(square))
        refuse({.what = name + " holds " + std::to_string(w(r, c)) + " at [" + std::to_string(r) + ", " +
                        std::to_string(c) + "]",
                .where = "score::weight_magnitude",
                .expected = "finite weights"});
      sum += square;
    }
  return sum;
}

/// Scores a unit by the squared Frobenius norm of its weight matrices: a baseline.
///
/// Unit      squared weights.
/// Sign      high = keep; never negative.
/// Errors    a weight that is not finite, by matrix and position.
/// Cost      one pass over the weights, one matrix at a time.
/// Source    Scarlatescu, Mehta, "Information-Aware Compression Schemes Using Causal Tracing", a baseline there.
struct weight_magnitude {
  enum class scale { per_unit, per_weight };
  scale by = scale::per_unit;  ///< per_weight: divided by the number of weights, to compare units of different sizes
  unit_kind units = unit_kind::block;

  bool operator==(const weight_magnitude&) const = default;

  template<weighted_model Model>
  [[nodiscard]] scores operator()(const Model& model) const {
    scores s{.model = {},
             .scorer = "weight_magnitude",
             .measure = by == scale::per_unit ? "squared norm" : "squared norm per weight",
             .units = group_units(model.matrices(), units),
             .values = {}};
    for (const unit& u : s.units) {
      double sum = 0;
      for (const std::size_t i : u.matrices) sum += squared_norm(model.weights(i), model.matrices()[i].name);
      s.values.push_back(by == scale::per_unit ? sum : sum / static_cast<double>(u.weights));
    }
    check_finite(s, "score::weight_magnitude");
    return s;
  }

  /// Chosen only if the overload above does not match: its error names the missing capability and how to add it.
  template<class Model>
    requires(!weighted_model<Model>)
  refused operator()(const Model&) const {
    static_assert(
        weighted_model<Model>,
        "precis: score::weight_magnitude needs a weighted_model. Add matrices() and weights(i) to the adaptor. "
        "See docs/models.md#weighted");
    return {};
  }
};

PRECIS_IEEE_END
}  // namespace precis::score
