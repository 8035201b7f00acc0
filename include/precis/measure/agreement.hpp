#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/taps.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace precis::measure {
PRECIS_IEEE_BEGIN

/// Index of the largest value; the lowest index wins ties. Requires at least one value, none of them NaN.
template<class = void>
[[nodiscard]] inline std::size_t argmax(std::span<const float> values) noexcept {
  return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

/// A batch that holds the label of each row of its logits, such as a classifier's.
template<class Batch>
concept labelled_batch = requires(const Batch& b) {
  { b.labels } -> std::convertible_to<std::span<const token>>;  // [rows of logits], `no_target` for unlabelled rows
};

/// The number of correct predictions, and of all predictions with a target.
struct agreement {
  std::size_t correct = 0;
  std::size_t count = 0;  ///< predictions with a target

  [[nodiscard]] double share() const noexcept {
    return count == 0 ? 0.0 : static_cast<double>(correct) / static_cast<double>(count);
  }
  agreement& operator+=(const agreement& other) noexcept {
    correct += other.correct;
    count += other.count;
    return *this;
  }
  bool operator==(const agreement&) const = default;
};

namespace detail {

/// Compares one prediction with its target. `batch` is the batch's index, for messages.
template<class = void>
inline void add_prediction(std::span<const float> logits, token target, std::span<const token> choices,
                           std::size_t batch, const std::string& where, agreement& into) {
  if (target == no_target) return;
  const auto check = [&](token t, const char* name) {
    if (t < 0 || static_cast<std::size_t>(t) >= logits.size())
      refuse({.what = name + (" " + std::to_string(t)) + " of batch " + std::to_string(batch),
              .where = where,
              .expected = "a token below " + std::to_string(logits.size())});
  };
  check(target, "target");
  for (const token t : choices) check(t, "choice");
  if (!choices.empty() && std::find(choices.begin(), choices.end(), target) == choices.end())
    refuse({.what = "target " + std::to_string(target) + " of batch " + std::to_string(batch),
            .where = where,
            .expected = "one of the " + std::to_string(choices.size()) + " choices"});
  const auto logit = [&](token t) { return logits[static_cast<std::size_t>(t)]; };
  const token best = choices.empty() ? static_cast<token>(argmax(logits))
                                     : *std::max_element(choices.begin(), choices.end(),
                                                         [&](token a, token b) { return logit(a) < logit(b); });
  if (!kernel::is_finite(logit(best)) || !kernel::is_finite(logit(target)))
    refuse({.what = "a logit of batch " + std::to_string(batch) + " is not finite",
            .where = where,
            .expected = "weights and activations without NaN or infinity"});
  into.correct += best == target ? 1u : 0u;
  ++into.count;
}

}  // namespace detail

/// Counts the targets of token batches, or the labels of other batches, that the model predicts. A prediction is the
/// most likely token, or the most likely of `choices` if there are any; the first one wins ties.
///
/// Errors   batches without targets or labels; targets outside the vocabulary or the choices; a predicted or target
///          logit that is not finite. `where` names the caller in messages.
/// Cost     one forward pass per batch, for the last positions alone if only these have targets.
template<tappable_model Model, executor Executor = sequential>
  requires token_model<Model> || labelled_batch<batch_of<Model>>
[[nodiscard]] agreement count_correct(const Model& model, std::span<const batch_of<Model>> batches,
                                      std::span<const token> choices, const std::string& where, Executor&& run = {}) {
  std::vector<agreement> parts(batches.size());
  run.for_each(batches.size(), [&](std::size_t b) {
    const auto add = [&](std::span<const float> logits, token target) {
      detail::add_prediction(logits, target, choices, b, where, parts[b]);
    };
    if constexpr (token_model<Model>) {
      const token_batch& batch = batches[b];
      bool only_last = true;
      for (std::size_t i = 0; i < batch.targets.size(); ++i)
        only_last = only_last && (batch.targets[i] == no_target || i % batch.tokens + 1 == batch.tokens);
      const float_matrix z = model.logits(batch, only_last ? positions::last : positions::all, tap::none{});
      for (std::size_t i = 0; i < batch.targets.size(); ++i)
        if (!only_last || i % batch.tokens + 1 == batch.tokens)
          add(z.row(only_last ? i / batch.tokens : i), batch.targets[i]);
    } else {
      const std::span<const token> labels = batches[b].labels;
      const float_matrix z = model.logits(batches[b], positions::all, tap::none{});
      if (!labels.empty() && labels.size() != z.rows)
        refuse({.what = std::to_string(labels.size()) + " labels in batch " + std::to_string(b),
                .where = where,
                .expected = std::to_string(z.rows) + ", one per row of its logits"});
      for (std::size_t i = 0; i < labels.size(); ++i) add(z.row(i), labels[i]);
    }
  });
  agreement all;
  for (const agreement& part : parts) all += part;
  if (all.count == 0)
    refuse({.what = "no targets in " + std::to_string(batches.size()) + " batches",
            .where = where,
            .expected = "at least one target"});
  return all;
}

PRECIS_IEEE_END
}  // namespace precis::measure
