// says: precis: score::eigen_attribution needs a differentiable_model of token_batch
#include <precis/score/eigen_attribution.hpp>

#include <span>
#include <vector>

/// A model that only shows its weights.
struct weights_only {
  using batch_type = precis::token_batch;
  std::vector<precis::matrix_info> info{{"w", 0, precis::part::other, 1, 1}};
  float value = 1;
  std::span<const precis::matrix_info> matrices() const { return info; }
  precis::weight_view weights(std::size_t) const { return {&value, 1, 1, 1, 1}; }
};

int main() {
  const weights_only model;
  const std::vector<precis::token_batch> batches(1);
  const std::vector<precis::score::matrix_slice> slices{precis::score::whole_matrix(model.matrices(), 0, "w")};
  precis::score::eigen_attribution{}(model, batches.front(), slices);
}
