// says: precis: score::taylor needs an evaluable_model. Add nll loss(const batch_type&) const to the adaptor
#include <precis/score/taylor.hpp>

#include <span>
#include <vector>

/// A model whose weights can be changed, but that cannot be run.
struct weights_only {
  using batch_type = precis::token_batch;
  std::vector<precis::matrix_info> info{{"w", 0, precis::part::other, 1, 1}};
  float value = 1;
  std::span<const precis::matrix_info> matrices() const { return info; }
  precis::weight_view weights(std::size_t) const { return {&value, 1, 1, 1, 1}; }
  precis::mutable_weight_view weights(std::size_t) { return {&value, 1, 1, 1, 1}; }
};

int main() {
  weights_only model;
  const std::vector<precis::token_batch> batches(1);
  precis::score::taylor{}(model, std::span<const precis::token_batch>(batches));
}
