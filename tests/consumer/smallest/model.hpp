#pragma once

#include <precis/model/concepts.hpp>

#include <span>
#include <vector>

/// The smallest model: one matrix and a loss.
class one_matrix {
 public:
  using batch_type = float;

  [[nodiscard]] std::span<const precis::matrix_info> matrices() const { return infos_; }
  [[nodiscard]] precis::weight_view weights(std::size_t) const { return weights_.view(); }
  [[nodiscard]] precis::mutable_weight_view weights(std::size_t) { return weights_.view(); }
  [[nodiscard]] precis::nll loss(const batch_type& x) const {
    return {.sum = static_cast<double>(x * weights_.values[0]), .count = 1};
  }

 private:
  std::vector<precis::matrix_info> infos_{{.name = "block.0.w", .out = 2, .in = 4}};
  precis::float_matrix weights_{2, 4, {1.f, 2.f, 3.f, 4.f, 5.f, 6.f, 7.f, 8.f}};
};
