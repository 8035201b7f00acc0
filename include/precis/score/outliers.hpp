#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/text.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/misuse.hpp>

#include <cstddef>
#include <cstdlib>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace precis::score {
PRECIS_IEEE_BEGIN

/// Scores a unit by its share of outliers: the weights whose |w| times the L2 norm of their input exceeds `multiple`
/// times the unit's mean.
///
/// Shapes    any batches of the model.
/// Unit      share of a unit's weights, in [0, 1].
/// Sign      high = keep: units with many outliers tolerate less pruning.
/// Edges     a matrix that no data reached has no outliers, with a note; a table that is only looked up is unscored.
/// Errors    a multiple that is not positive and finite; no inputs; inputs that are not finite, by matrix.
/// Cost      one forward pass per batch, and two passes over the weights.
/// Source    Yin et al. 2023, arXiv:2310.05175 (OWL), layer-wise outlier distribution; the metric |w| |x| is Wanda's,
///           Sun et al. 2023, arXiv:2306.11695, Eq. 1.
/// @post     bit-identical for any split into batches.
/// @post     scaling all inputs or all weights of a unit by k != 0 changes nothing; a unit of zeros scores 0.
struct outliers {
  double multiple = 5;
  unit_kind units = unit_kind::block;

  bool operator==(const outliers&) const = default;

  template<weighted_model Model>
    requires observable_model<Model>
  [[nodiscard]] scores operator()(const Model& model, std::span<const batch_of<Model>> batches) const {
    const std::span<const matrix_info> matrices = model.matrices();
    std::vector<std::vector<double>> squares(matrices.size());  // [matrices][in]
    for (const batch_of<Model>& batch : batches)
      model.inputs(batch, [&](const linear_input& i) {
        std::vector<double> sums =
            std::move(squares[i.matrices.front()]);  // summed token by token, independently of the batching
        sums.resize(i.input.features);
        for (std::size_t s = 0; s < i.input.sequences; ++s)
          for (std::size_t t = 0; t < i.input.tokens; ++t) {
            const std::span<const float> x = i.input(s, t);
            for (std::size_t f = 0; f < x.size(); ++f) sums[f] += static_cast<double>(x[f]) * static_cast<double>(x[f]);
          }
        for (const std::size_t m : i.matrices) squares[m] = sums;
      });
    std::vector<bool> reached(matrices.size());
    for (std::size_t m = 0; m < matrices.size(); ++m) {
      reached[m] = !squares[m].empty();
      squares[m].resize(reached[m] ? squares[m].size() : matrices[m].in);
      if (squares[m].size() != matrices[m].in)
        bad("an input of " + std::to_string(squares[m].size()) + " features for " + matrices[m].name,
            std::to_string(matrices[m].in) + ", one per column");
      for (double& x : squares[m]) {
        if (!kernel::is_finite(x)) bad("an input of " + matrices[m].name + " is not finite", "finite activations");
        x = math::sqrt(x);
      }
    }
    if (!matrices.empty() && std::find(reached.begin(), reached.end(), true) == reached.end())
      bad("no inputs of " + matrices.front().name + " and all other matrices",
          "at least one batch, and a model that reports the inputs of its matrices");
    scores s = from_norms(model, squares);
    report_unreached(s, matrices, reached);
    return s;
  }

  /// From the L2 norms of the inputs of each matrix, [matrices][in].
  template<weighted_model Model>
  [[nodiscard]] scores from_norms(const Model& model, std::span<const std::vector<double>> norms) const {
    if (!(multiple > 0) || !kernel::is_finite(multiple))
      bad("a multiple of " + text::number(multiple), "a positive, finite number");
    scores s{.model = {},
             .scorer = "outliers multiple=" + text::number(multiple),
             .measure = "share of weights",
             .units = group_units(model.matrices(), units),
             .values = {}};
    for (const unit& u : s.units) {
      const auto each = [&](auto&& visit) {
        for (const std::size_t m : u.matrices) {
          const weight_view w = model.weights(m);
          for (std::size_t r = 0; r < w.rows; ++r)
            for (std::size_t c = 0; c < w.cols; ++c) visit(std::abs(static_cast<double>(w(r, c))) * norms[m][c]);
        }
      };
      double sum = 0;
      std::size_t count = 0, above = 0;
      each([&](double a) {
        sum += a;
        ++count;
      });
      const double limit = count == 0 ? 0 : multiple * (sum / static_cast<double>(count));
      each([&](double a) { above += a > limit ? 1u : 0u; });
      s.values.push_back(count == 0 ? 0.0 : static_cast<double>(above) / static_cast<double>(count));
    }
    check_finite(s, "score::outliers");
    return s;
  }

  /// Chosen only if the overload above does not match: its error names the missing capability and how to add it.
  template<class Model, class Batches, class... Rest>
    requires(!observable_model<Model>)
  refused operator()(const Model&, const Batches&, Rest&&...) const {
    static_assert(
        observable_model<Model>,
        "precis: score::outliers needs an observable_model. Add void inputs(batch, sink) const to the adaptor, "
        "or use from_norms(model, norms). See docs/models.md#observable");
    return {};
  }

  /// Chosen only if the model suits, and another argument does not.
  template<class Model, class Data, class... Rest>
    requires(weighted_model<std::remove_cvref_t<Model>> && observable_model<std::remove_cvref_t<Model>> &&
             misuses<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>)
  refused operator()(Model&&, const Data&, Rest&&...) const {
    return explain_misuse<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>();
  }

 private:
  template<class = void>
  [[noreturn]] static void bad(std::string what, std::string expected) {
    refuse({.what = std::move(what), .where = "score::outliers", .expected = std::move(expected)});
  }
};

PRECIS_IEEE_END
}  // namespace precis::score
