#pragma once

#include <precis/model/concepts.hpp>

#include <cstddef>
#include <span>
#include <vector>

/// A model with the loss L(w) = w'Aw / 2 + b'w, A = [[2, .5], [.5, 1]].
struct quadratic {
  using batch_type = std::vector<double>;  // b
  std::vector<precis::matrix_info> infos{{"w", 0, precis::part::other, 1, 2}};
  float w[2] = {0.75f, -0.5f};
  [[nodiscard]] std::span<const precis::matrix_info> matrices() const { return infos; }
  [[nodiscard]] precis::weight_view weights(std::size_t) const { return {w, 1, 2, 2, 1}; }
  [[nodiscard]] precis::mutable_weight_view weights(std::size_t) { return {w, 1, 2, 2, 1}; }
  [[nodiscard]] precis::nll loss(const batch_type& b) const {
    const double x = static_cast<double>(w[0]), y = static_cast<double>(w[1]);
    return {.sum = x * x + 0.5 * x * y + 0.5 * y * y + b[0] * x + b[1] * y, .count = 1};
  }
  template<class Sink>
  [[nodiscard]] precis::nll backward(const batch_type& b, Sink&& sink) const {
    const float dx = 2 * w[0] + 0.5f * w[1] + static_cast<float>(b[0]);
    const float dy = 0.5f * w[0] + w[1] + static_cast<float>(b[1]);
    const std::vector<float> in{1, 0, 0, 1}, gradient{dx, dy};
    sink(
        precis::linear_gradient{0, {std::span<const float>(in), 2, 1, 2}, {std::span<const float>(gradient), 2, 1, 1}});
    return loss(b);
  }
};
static_assert(precis::evaluable_model<quadratic> && precis::mutable_model<quadratic> &&
              precis::differentiable_model<quadratic>);
