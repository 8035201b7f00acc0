// says: precis: score::first_order_taylor needs a differentiable_model. Add nll backward(batch, sink) to the adaptor, or use score::taylor
#include <precis/score/first_order_taylor.hpp>

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
  precis::score::first_order_taylor{}(model, std::span<const precis::token_batch>(batches));
}
