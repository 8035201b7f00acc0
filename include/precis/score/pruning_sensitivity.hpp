#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/text.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/measure/agreement.hpp>
#include <precis/model/changes.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/misuse.hpp>
#include <precis/model/taps.hpp>
#include <precis/prune/magnitude.hpp>

#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace precis::score {
PRECIS_IEEE_BEGIN

/// Reads how many predictions of a batch are wrong: the loss of a prediction is 0 or 1, or NaN if a logit is not
/// finite.
template<token_model Model>
struct mistake_reading {
  std::span<const token_batch> batches = {};

  [[nodiscard]] nll operator()(const Model& model, std::size_t batch) const
    requires tappable_model<Model>
  {
    return count(model.logits(batches[batch], positions::all, tap::none{}), batches[batch]);
  }
  [[nodiscard]] nll operator()(const Model& model, std::size_t batch, activations_view<const float> last) const
    requires layered_model<Model>
  {
    return count(model.read_out(last.as_matrix()), batches[batch]);
  }

 private:
  [[nodiscard]] static nll count(const float_matrix& logits, const token_batch& b) {
    nll wrong;
    for (std::size_t i = 0; i < b.targets.size(); ++i) {
      if (b.targets[i] == no_target) continue;
      const std::span<const float> row = logits.row(i);
      const bool finite = std::all_of(row.begin(), row.end(), [](float z) { return kernel::is_finite(z); });
      const bool right = measure::argmax(row) == static_cast<std::size_t>(b.targets[i]);
      wrong += {.sum = !finite ? std::numeric_limits<double>::quiet_NaN() : right ? 0.0 : 1.0, .count = 1};
    }
    return wrong;
  }
};

/// Scores a unit by the loss increase of pruning it alone, S = loss(pruned) - loss(original): PMPQ of CPTQuant.
///
/// Shapes    any batches of the model; metric::accuracy needs token_batch.
/// Unit      nats per prediction, or the drop of the share of correct predictions.
/// Sign      high = keep. A score can be negative: pruning can improve a model, and such a unit ranks lowest.
/// Edges     a unit whose pruning changes no loss scores 0, with a note: no data reached it, or it is all zeros.
/// Errors    no sparsities, or one outside [0, 1]; weights that are not finite; those of read_changes.
/// Cost      that of read_changes: 1 + sparsities x units forward passes of all batches, about half with layered_model.
/// Source    Nanda, Balija, Sahoo, "CPTQuant", method PMPQ (Algorithm 2).
/// Differs   The default metric is the loss; on small sets most units tie in accuracy. Exactly k weights are removed; a
///           quantile threshold removes one too many and all ties. The paper does not give its sparsities (its code
///           uses 0.3); the default here is 0.5.
/// @post     sparsity 0 gives exactly 0.
/// @post     bit-identical with and without layered_model, and on any executor.
/// @post     every weight has its original bits after the call, even if the call is refused.
struct pruning_sensitivity {
  enum class metric { loss, accuracy };
  enum class reduction { mean, max };      ///< over the sparsities
  enum class scope { per_matrix, joint };  ///< joint: one threshold for all matrices of a unit

  std::vector<double> sparsities{0.5};
  metric by = metric::loss;
  reduction reduce = reduction::mean;
  scope compete = scope::per_matrix;
  prune::removal rule = prune::removal::exact;
  unit_kind units = unit_kind::block;

  bool operator==(const pruning_sensitivity&) const = default;

  template<mutable_model Model, executor Executor = sequential>
    requires evaluable_model<Model>
  [[nodiscard]] scores operator()(Model& model, std::span<const batch_of<Model>> batches, Executor&& run = {}) const {
    return resume(model, batches, no_memory{}, run);
  }

  /// The same with the losses of units that an earlier run finished; see no_memory.
  template<mutable_model Model, class Memory, executor Executor = sequential>
    requires evaluable_model<Model>
  [[nodiscard]] scores resume(Model& model, std::span<const batch_of<Model>> batches, Memory&& memory,
                              Executor&& run = {}) const {
    const basic_matrix<double> each = table(model, batches, run, memory);
    std::string levels;
    for (const double s : sparsities) levels += (levels.empty() ? "" : ",") + text::number(s);
    scores s{.model = {},
             .scorer = "pruning_sensitivity sparsity=" + levels,
             .measure = by == metric::loss ? "increase of the loss (nats)" : "drop of the accuracy",
             .units = group_units(model.matrices(), units),
             .values = {}};
    for (std::size_t u = 0; u < each.rows; ++u) {
      const std::span<const double> row = each.row(u);
      double sum = 0;
      for (const double v : row) sum += v;
      s.values.push_back(reduce == reduction::max ? *std::max_element(row.begin(), row.end())
                                                  : sum / static_cast<double>(each.cols));
    }
    if (by == metric::loss && *std::max_element(sparsities.begin(), sparsities.end()) > 0)
      s.notes = note_unchanged(s.units, [&](std::size_t u) {
        const std::span<const double> row = each.row(u);
        return std::all_of(row.begin(), row.end(), [](double v) { return v == 0; });
      });
    return s;
  }

  /// The sensitivity of each unit at each sparsity, [units x sparsities].
  template<mutable_model Model, executor Executor = sequential, class Memory = no_memory>
    requires evaluable_model<Model>
  [[nodiscard]] basic_matrix<double> table(Model& model, std::span<const batch_of<Model>> batches, Executor&& run = {},
                                           Memory&& memory = {}) const {
    if (sparsities.empty())
      refuse({.what = "no sparsities", .where = "score::pruning_sensitivity", .expected = "at least one"});
    for (const double s : sparsities) static_cast<void>(exact_count(s, 0));
    const std::vector<unit> all = group_units(model.matrices(), units);
    basic_matrix<double> result(all.size(), sparsities.size());
    const auto fill = [&](const auto& reading) {
      const remembered_losses done{memory, [&](std::size_t u, std::size_t v, std::span<const nll> losses) {
                                     result(u, v) = total(losses).mean();
                                   }};
      const pruning<Model> change{*this, model};
      const std::vector<nll> unchanged = read_changes(model, batches, all, sparsities.size(), reading, change, done,
                                                      "score::pruning_sensitivity", run);
      const double before = total(as_span(unchanged)).mean();
      for (double& loss : result.values) loss -= before;
    };
    if (by == metric::loss) {
      fill(loss_reading<Model>{batches});
    } else if constexpr (token_model<Model> && (layered_model<Model> || tappable_model<Model>)) {
      fill(mistake_reading<Model>{batches});
    } else {
      refuse({.what = "metric::accuracy for a model without token batches or logits",
              .where = "score::pruning_sensitivity",
              .expected = "metric::loss, or a token_model that is tappable or layered"});
    }
    return result;
  }

  /// Chosen only if the overload above does not match: its error names the missing capability and how to add it.
  template<class Model, class Batches, class... Rest>
    requires(!(mutable_model<Model> && evaluable_model<Model>))
  refused operator()(const Model&, const Batches&, Rest&&...) const {
    static_assert(
        evaluable_model<Model>,
        "precis: score::pruning_sensitivity needs an evaluable_model. Add nll loss(const batch_type&) const to "
        "the adaptor, or use score::weight_magnitude, which needs only weights. See docs/models.md#evaluable");
    static_assert(mutable_model<Model>,
                  "precis: score::pruning_sensitivity needs a mutable_model: it prunes and restores weights. Add "
                  "mutable_weight_view weights(i) to the adaptor, and pass a model that is not const. See "
                  "docs/models.md#mutable");
    return {};
  }

  /// Chosen only if the model suits, and another argument does not.
  template<class Model, class Data, class... Rest>
    requires(mutable_model<std::remove_cvref_t<Model>> && evaluable_model<std::remove_cvref_t<Model>> &&
             misuses<changes_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>)
  refused operator()(Model&&, const Data&, Rest&&...) const {
    return explain_misuse<changes_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data,
                          Rest...>();
  }

 private:
  template<class Model>
  struct pruning {
    const pruning_sensitivity& how;
    Model& model;

    void operator()(const unit& u, std::size_t version) const {
      const prune::magnitude remove{.sparsity = how.sparsities[version], .rule = how.rule};
      if (how.compete == scope::per_matrix) {
        for (const std::size_t m : u.matrices) remove(model.weights(m));
        return;
      }
      std::vector<mutable_weight_view> matrices;
      for (const std::size_t m : u.matrices) matrices.push_back(model.weights(m));
      remove(as_span(matrices));
    }
    [[nodiscard]] std::string describe(std::size_t version) const {
      return "pruned by " + text::number(how.sparsities[version]);
    }
  };
};

PRECIS_IEEE_END
}  // namespace precis::score
