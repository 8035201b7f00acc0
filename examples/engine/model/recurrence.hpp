#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace engine {

/// Visits the steps of a recurrence from the last to the first, each with the state before it, without keeping them all:
/// about sqrt(steps) states are kept, and every step but the last of a stretch is computed twice.
///
/// advance(t, state) makes the state before step t the one after it, in place; back(t, before) sees step t. The state
/// [size] is zero before step 0.
template<class Advance, class Back>
void walk_back(std::size_t steps, std::size_t size, Advance&& advance, Back&& back) {
  if (steps == 0) return;
  const auto stretch = static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(steps))));
  const std::size_t stretches = (steps + stretch - 1) / stretch;
  std::vector<float> first(stretches * size), inside(stretch * size), state(size, 0.f);  // `first` of each stretch
  for (std::size_t s = 0; s < stretches; ++s) {
    std::ranges::copy(state, first.begin() + static_cast<std::ptrdiff_t>(s * size));
    if (s + 1 == stretches) break;
    for (std::size_t t = s * stretch; t < (s + 1) * stretch; ++t) advance(t, state.data());
  }
  for (std::size_t s = stretches; s-- > 0;) {
    const std::size_t start = s * stretch, end = std::min(steps, start + stretch);
    std::copy_n(first.data() + s * size, size, inside.data());
    for (std::size_t t = start; t + 1 < end; ++t) {
      float* const next = inside.data() + (t + 1 - start) * size;
      std::copy_n(next - size, size, next);
      advance(t, next);
    }
    for (std::size_t t = end; t-- > start;) back(t, static_cast<const float*>(inside.data() + (t - start) * size));
  }
}

}  // namespace engine
