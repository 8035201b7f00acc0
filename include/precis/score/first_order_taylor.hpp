#pragma once

#include <precis/core/math.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/unit.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/misuse.hpp>
#include <precis/score/gradient_magnitude.hpp>
#include <precis/score/taylor.hpp>

#include <cstddef>
#include <numbers>
#include <span>
#include <type_traits>
#include <vector>

namespace precis::score {
PRECIS_IEEE_BEGIN

/// E |<g, e>| for a vector g of norm `gradient_norm` and noise e of independent normal numbers with this deviation.
[[nodiscard]] inline double expected_variation(double deviation, double gradient_norm) noexcept {
  return deviation * gradient_norm * math::sqrt(2.0 / std::numbers::pi);
}

/// The first-order approximation of score::taylor's variation in closed form: the expected |<gradient, noise>|.
///
///     S(unit) = sqrt(2 / pi) * sqrt(sum over its matrices of (deviation * || d(mean NLL) / dW ||_F)^2)
///
/// Shapes    any batches of the model.
/// Unit      nats per prediction.
/// Sign      high = keep; never negative.
/// Errors    those of score::gradient_magnitude: no targets; gradients that are not finite.
/// Cost      one backward pass per batch for all units.
/// Source    docs/methods/sensitivity.md; it approximates TDMPQ of Nanda, Balija, Sahoo, "CPTQuant".
/// @post     score::taylor's variation tends to it as the noise decreases and the number of draws grows.
struct first_order_taylor {
  weight_noise noise = {};
  unit_kind units = unit_kind::block;

  bool operator==(const first_order_taylor&) const = default;

  template<differentiable_model Model>
  [[nodiscard]] scores operator()(const Model& model, std::span<const batch_of<Model>> batches) const {
    const gradient_magnitude::of_matrices gradients = gradient_magnitude{}.norms_of(model, batches);
    scores s{.model = {},
             .scorer = "first_order_taylor " + noise.describe() + noise.exceptions(model),
             .measure = "expected change of the loss (nats)",
             .units = group_units(model.matrices(), units),
             .values = {}};
    for (const unit& u : s.units) {
      double variance = 0;
      for (const std::size_t m : u.matrices) {
        const double deviation = noise.deviation(model.weights(m));
        variance += deviation * deviation * gradients.squares[m];
      }
      s.values.push_back(expected_variation(1.0, math::sqrt(variance)));
    }
    report_unreached(s, model.matrices(), gradients.reached);
    check_finite(s, "score::first_order_taylor");
    return s;
  }

  /// Chosen only if the overload above does not match: its error names the missing capability and how to add it.
  template<class Model, class Batches>
    requires(!differentiable_model<Model>)
  refused operator()(const Model&, const Batches&) const {
    static_assert(
        differentiable_model<Model>,
        "precis: score::first_order_taylor needs a differentiable_model. Add nll backward(batch, sink) to the "
        "adaptor, or use score::taylor, which needs only losses. See docs/models.md#differentiable");
    return {};
  }

  /// Chosen only if the model suits, and another argument does not.
  template<class Model, class Data, class... Rest>
    requires(differentiable_model<std::remove_cvref_t<Model>> &&
             misuses<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>)
  refused operator()(Model&&, const Data&, Rest&&...) const {
    return explain_misuse<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>();
  }
};

PRECIS_IEEE_END
}  // namespace precis::score
