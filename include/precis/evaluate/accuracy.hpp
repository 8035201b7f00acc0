#pragma once

#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/taps.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace precis::evaluate {

/// Index of the largest value; the lowest one on ties. Requires at least one value, none of them NaN.
[[nodiscard]] inline std::size_t argmax(std::span<const float> values) noexcept {
  return static_cast<std::size_t>(std::ranges::max_element(values) - values.begin());
}

struct accuracy_report {
  std::size_t correct = 0;
  std::size_t count = 0;
  [[nodiscard]] double share() const noexcept {
    return count == 0 ? 0.0 : static_cast<double>(correct) / static_cast<double>(count);
  }
};

/// Share of targets that are the model's most likely prediction.
///
/// Unit     share of samples, 0 to 1. (CPTQuant Eq. 8 divides by "batches"; it must be samples.)
/// Errors   batches without targets; targets outside the vocabulary.
/// Cost     one forward a batch, of the last position alone where only last positions have targets.
/// Source   methods A4.
struct accuracy {
  template<tappable_model Model, executor Executor = sequential>
    requires token_model<Model>
  [[nodiscard]] accuracy_report operator()(const Model& model, std::span<const token_batch> batches,
                                           Executor exec = {}) const {
    std::vector<accuracy_report> parts(batches.size());
    exec.for_each(batches.size(), [&](std::size_t b) {
      const token_batch& batch = batches[b];
      bool only_last = true;
      for (std::size_t i = 0; i < batch.targets.size(); ++i)
        only_last = only_last && (batch.targets[i] == no_target || i % batch.tokens + 1 == batch.tokens);
      const float_matrix z = model.logits(batch, only_last ? positions::last : positions::all, tap::none{});
      for (std::size_t i = 0; i < batch.targets.size(); ++i) {
        const token target = batch.targets[i];
        if (target == no_target) continue;
        if (target < 0 || static_cast<std::size_t>(target) >= z.cols)
          refuse({.what = "target " + std::to_string(target) + " of batch " + std::to_string(b),
                  .where = "evaluate::accuracy",
                  .expected = "a token below " + std::to_string(z.cols)});
        parts[b].correct +=
            argmax(z.row(only_last ? i / batch.tokens : i)) == static_cast<std::size_t>(target) ? 1u : 0u;
        ++parts[b].count;
      }
    });
    accuracy_report all;
    for (const accuracy_report& part : parts) {
      all.correct += part.correct;
      all.count += part.count;
    }
    if (all.count == 0)
      refuse({.what = "no targets in " + std::to_string(batches.size()) + " batches",
              .where = "evaluate::accuracy",
              .expected = "at least one target"});
    return all;
  }

  /// Chosen only when the overload above is not: says what is missing, and how to add it.
  template<class Model, class Batches, class... Rest>
    requires(!(tappable_model<Model> && token_model<Model>))
  refused operator()(const Model&, const Batches&, Rest&&...) const {
    static_assert(tappable_model<Model> && token_model<Model>,
                  "precis: evaluate::accuracy needs a tappable_model of token_batch. Add logits(const batch_type&, "
                  "positions, tap) const to the adaptor. See docs/models.md#tappable");
    return {};
  }
};

}  // namespace precis::evaluate
