#pragma once

#include <precis/core/executor.hpp>
#include <precis/evaluate/interval.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/measure/agreement.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/misuse.hpp>

#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

namespace precis::evaluate {
PRECIS_IEEE_BEGIN

/// The number of correct predictions, and a confidence interval for their share.
struct accuracy_report {
  std::size_t correct = 0;
  std::size_t count = 0;

  [[nodiscard]] double share() const noexcept { return measure::agreement{correct, count}.share(); }

  /// 95 % confidence interval for the share of correct predictions in the population that was sampled.
  [[nodiscard]] interval confidence() const noexcept { return share_interval(correct, count); }
};

/// Share of targets (of token batches) or labels that are the model's most likely prediction. With `among`, the
/// prediction is the most likely of these tokens, such as the answers that a question allows.
///
/// Unit     share of samples, in [0, 1].
/// Errors   batches without targets or labels; targets outside the vocabulary or `among`; a predicted or target logit
///          that is not finite.
/// Cost     one forward pass per batch, for the last positions alone if only these have targets.
/// Source   Nanda, Balija, Sahoo, "CPTQuant", Eq. 8.
/// Differs  the paper calls the divisor the number of batches; here it is the number of samples.
struct accuracy {
  std::vector<token> among{};  ///< empty: the whole vocabulary. The first one wins ties

  template<tappable_model Model, executor Executor = sequential>
    requires token_model<Model> || measure::labelled_batch<batch_of<Model>>
  [[nodiscard]] accuracy_report operator()(const Model& model, std::span<const batch_of<Model>> batches,
                                           Executor exec = {}) const {
    const measure::agreement found = measure::count_correct(model, batches, among, "evaluate::accuracy", exec);
    return {.correct = found.correct, .count = found.count};
  }

  /// Chosen only if the overload above does not match: its error names the missing capability and how to add it.
  template<class Model, class Batches, class... Rest>
    requires(!(tappable_model<Model> && (token_model<Model> || measure::labelled_batch<batch_of<Model>>)))
  refused operator()(const Model&, const Batches&, Rest&&...) const {
    static_assert(tappable_model<Model> && (token_model<Model> || measure::labelled_batch<batch_of<Model>>),
                  "precis: evaluate::accuracy needs a tappable_model of token_batch, or of a batch with labels. Add "
                  "logits(const batch_type&, positions, tap) const to the adaptor. See docs/models.md#tappable");
    return {};
  }

  /// Chosen only if the model suits, and another argument does not.
  template<class Model, class Data, class... Rest>
    requires(tappable_model<std::remove_cvref_t<Model>> &&
             (token_model<std::remove_cvref_t<Model>> ||
              measure::labelled_batch<batch_of<std::remove_cvref_t<Model>>>) &&
             misuses<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>)
  refused operator()(Model&&, const Data&, Rest&&...) const {
    return explain_misuse<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>();
  }
};

PRECIS_IEEE_END
}  // namespace precis::evaluate
