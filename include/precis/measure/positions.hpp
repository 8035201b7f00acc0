#pragma once

#include <precis/model/batch.hpp>

#include <cstddef>

namespace precis::measure {

/// Whether row `row` (sequence * tokens + token) of a batch's logits is a prediction that counts: if it has a target
/// or, in a batch without targets, if it is not the last token of its sequence, whose successor is unknown.
[[nodiscard]] inline bool predicts(const token_batch& b, std::size_t row) noexcept {
  if (!b.targets.empty()) return b.targets[row] != no_target;
  return row % b.tokens + 1 != b.tokens;
}

/// In batches of other types every row counts.
template<class Batch>
[[nodiscard]] bool predicts(const Batch&, std::size_t) noexcept {
  return true;
}

}  // namespace precis::measure
