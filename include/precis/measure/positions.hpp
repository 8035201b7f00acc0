#pragma once

#include <precis/model/batch.hpp>

#include <cstddef>

namespace precis::measure {

/// Whether row `row` of a batch's logits (sequence * tokens + token) predicts something: where it has a target; in a
/// batch without targets, anywhere but at the last token of a sequence, whose successor is unknown (methods A4).
[[nodiscard]] inline bool predicts(const token_batch& b, std::size_t row) noexcept {
  if (!b.targets.empty()) return b.targets[row] != no_target;
  return row % b.tokens + 1 != b.tokens;
}

/// Batches of other kinds: every row.
template<class Batch>
[[nodiscard]] bool predicts(const Batch&, std::size_t) noexcept {
  return true;
}

}  // namespace precis::measure
