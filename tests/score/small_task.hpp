#pragma once

#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/model/batch.hpp>
#include <precis/model/concepts.hpp>

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

/// The example of methods B8 and E10: one matrix of 2 x 3, three samples of two tokens, inputs and gradients as they stand.
/// A sample is told by its first id.
struct small_task {
  using batch_type = precis::token_batch;
  std::vector<precis::matrix_info> infos{{"key", 0, precis::part::attention, 2, 3}};
  precis::float_matrix w{2, 3, {2, 0, 1, 0, 1, -1}};
  std::vector<std::vector<float>> x{{1, 0, 2, 0, 1, 1}, {2, 1, 0, 1, 1, -1}, {0, 2, 1, 1, -1, 0}};
  std::vector<std::vector<float>> g{{.2f, -.1f, .1f, .3f}, {-.3f, .2f, 0, -.2f}, {.1f, .1f, -.2f, .4f}};

  [[nodiscard]] std::span<const precis::matrix_info> matrices() const { return infos; }
  [[nodiscard]] precis::weight_view weights(std::size_t) const { return w.view(); }
  [[nodiscard]] precis::mutable_weight_view weights(std::size_t) { return w.view(); }
  template<class Sink>
  precis::nll backward(const precis::token_batch& b, Sink&& sink) const {
    precis::activations in(b.sequences, 2, 3), out(b.sequences, 2, 2);
    for (std::size_t s = 0; s < b.sequences; ++s) {
      const auto i = static_cast<std::size_t>(b.sequence(s)[0]);
      std::copy(x[i].begin(), x[i].end(), in.values.begin() + static_cast<std::ptrdiff_t>(6 * s));
      std::copy(g[i].begin(), g[i].end(), out.values.begin() + static_cast<std::ptrdiff_t>(4 * s));
    }
    sink(precis::linear_gradient{0, std::as_const(in).view(), std::as_const(out).view()});
    return {};
  }
};
static_assert(precis::differentiable_model<small_task>);

/// Partners 1 -> 3, 2 -> 1, 3 -> 2 are the samples' own order.
[[nodiscard]] inline precis::token_batch small_samples(std::size_t count = 3) {
  precis::token_batch b{.sequences = count, .tokens = 2, .ids = {}, .targets = {}};
  for (std::size_t s = 0; s < count; ++s) b.ids.insert(b.ids.end(), {static_cast<precis::token>(s), 0});
  b.targets.assign(b.ids.size(), 0);
  return b;
}
