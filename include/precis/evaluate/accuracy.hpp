#pragma once

#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/evaluate/interval.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/taps.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
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

  /// Of the share of all such samples that would be answered right.
  [[nodiscard]] interval confidence() const noexcept { return share_interval(correct, count); }
};

/// Says what each row of its logits should be: the classifier's batch.
template<class Batch>
concept labelled_batch = requires(const Batch& b) {
  { b.labels } -> std::convertible_to<std::span<const token>>;  // [rows of logits], `no_target` where nothing is known
};

/// Share of targets (of a token batch) or labels that are the model's most likely prediction; with `among`, the most likely
/// one of these, such as the answers a question allows.
///
/// Unit     share of samples, 0 to 1. (CPTQuant Eq. 8 divides by "batches"; it must be samples.)
/// Errors   batches without targets or labels; targets that the model cannot predict or that are not `among` the choices;
///          a predicted or wanted one's logit that is not finite.
/// Cost     one forward a batch, of the last position alone where only last positions have targets.
/// Source   methods A4.
struct accuracy {
  std::vector<token> among = {};  ///< empty: all there are. Ties go to the first

  template<tappable_model Model, executor Executor = sequential>
    requires token_model<Model> || labelled_batch<batch_of<Model>>
  [[nodiscard]] accuracy_report operator()(const Model& model, std::span<const batch_of<Model>> batches,
                                           Executor exec = {}) const {
    std::vector<accuracy_report> parts(batches.size());
    exec.for_each(batches.size(), [&](std::size_t b) {
      if constexpr (token_model<Model>) {
        const token_batch& batch = batches[b];
        bool only_last = true;
        for (std::size_t i = 0; i < batch.targets.size(); ++i)
          only_last = only_last && (batch.targets[i] == no_target || i % batch.tokens + 1 == batch.tokens);
        const float_matrix z = model.logits(batch, only_last ? positions::last : positions::all, tap::none{});
        for (std::size_t i = 0; i < batch.targets.size(); ++i)
          if (!only_last || i % batch.tokens + 1 == batch.tokens)
            count(z, only_last ? i / batch.tokens : i, batch.targets[i], b, parts[b]);
      } else {
        const std::span<const token> labels = batches[b].labels;
        const float_matrix z = model.logits(batches[b], positions::all, tap::none{});
        if (!labels.empty() && labels.size() != z.rows)
          refuse({.what = std::to_string(labels.size()) + " labels in batch " + std::to_string(b),
                  .where = "evaluate::accuracy",
                  .expected = std::to_string(z.rows) + ", one for each row of its logits"});
        for (std::size_t i = 0; i < labels.size(); ++i) count(z, i, labels[i], b, parts[b]);
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
    requires(!(tappable_model<Model> && (token_model<Model> || labelled_batch<batch_of<Model>>)))
  refused operator()(const Model&, const Batches&, Rest&&...) const {
    static_assert(tappable_model<Model> && (token_model<Model> || labelled_batch<batch_of<Model>>),
                  "precis: evaluate::accuracy needs a tappable_model of token_batch, or of a batch with labels. Add "
                  "logits(const batch_type&, positions, tap) const to the adaptor. See docs/models.md#tappable");
    return {};
  }

 private:
  void count(const float_matrix& z, std::size_t row, token target, std::size_t batch, accuracy_report& report) const {
    if (target == no_target) return;
    const auto check = [&](token t, const char* name) {
      if (t < 0 || static_cast<std::size_t>(t) >= z.cols)
        refuse({.what = name + (" " + std::to_string(t)) + " of batch " + std::to_string(batch),
                .where = "evaluate::accuracy",
                .expected = "a token below " + std::to_string(z.cols)});
    };
    check(target, "target");
    for (const token t : among) check(t, "choice");
    if (!among.empty() && std::ranges::find(among, target) == among.end())
      refuse({.what = "target " + std::to_string(target) + " of batch " + std::to_string(batch),
              .where = "evaluate::accuracy",
              .expected = "one of the " + std::to_string(among.size()) + " choices"});
    const auto logit = [&](token t) { return z(row, static_cast<std::size_t>(t)); };
    const token best =
        among.empty() ? static_cast<token>(argmax(z.row(row))) : *std::ranges::max_element(among, {}, logit);
    if (!std::isfinite(logit(best)) || !std::isfinite(logit(target)))
      refuse({.what = "a logit of batch " + std::to_string(batch) + " is not finite",
              .where = "evaluate::accuracy",
              .expected = "weights and activations without NaN or infinity"});
    report.correct += best == target ? 1u : 0u;
    ++report.count;
  }
};

}  // namespace precis::evaluate
