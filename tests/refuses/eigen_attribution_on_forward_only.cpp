// says: precis: score::eigen_attribution needs a differentiable_model. Add nll backward(batch, sink) to the adaptor
#include <precis/score/eigen_attribution.hpp>

#include <span>
#include <vector>

/// A model that can be read and run forward, but has no backward.
struct forward_only {
  using batch_type = precis::token_batch;
  std::vector<precis::matrix_info> info{{"w", 0, precis::part::other, 1, 1}};
  float value = 1;
  std::span<const precis::matrix_info> matrices() const { return info; }
  precis::weight_view weights(std::size_t) const { return {&value, 1, 1, 1, 1}; }
  precis::nll loss(const batch_type&) const { return {}; }
};

int main() {
  const forward_only model;
  const std::vector<precis::token_batch> batches(1);
  const std::vector<precis::matrix_slice> slices = precis::whole_matrices(model.matrices());
  precis::score::eigen_attribution{}(model, std::span<const precis::token_batch>(batches), slices);
}
