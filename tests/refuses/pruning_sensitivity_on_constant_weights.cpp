// says: precis: score::pruning_sensitivity needs a mutable_model: it prunes and restores weights. Add mutable_weight_view
#include <precis/score/pruning_sensitivity.hpp>

#include <span>
#include <vector>

/// A model that can be read and run forward, but not changed.
struct constant_weights {
  using batch_type = precis::token_batch;
  std::vector<precis::matrix_info> info{{"w", 0, precis::part::other, 1, 1}};
  float value = 1;
  std::span<const precis::matrix_info> matrices() const { return info; }
  precis::weight_view weights(std::size_t) const { return {&value, 1, 1, 1, 1}; }
  precis::nll loss(const batch_type&) const { return {}; }
};

int main() {
  constant_weights model;
  const std::vector<precis::token_batch> batches(1);
  precis::score::pruning_sensitivity{}(model, std::span<const precis::token_batch>(batches));
}
