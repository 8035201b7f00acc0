// says: precis: score::block_influence needs a tappable_model. Add layers(), logits(batch, positions, tap) and loss(batch, tap) to the adaptor. See docs/models.md#tappable
#include <precis/score/block_influence.hpp>

#include <span>
#include <vector>

struct weights_and_tokens {
  using batch_type = precis::token_batch;
  std::vector<precis::matrix_info> infos;
  std::span<const precis::matrix_info> matrices() const { return infos; }
  precis::weight_view weights(std::size_t) const { return {}; }
  precis::nll loss(const batch_type&) const { return {}; }
};

int main() {
  const std::vector<precis::token_batch> batches;
  precis::score::block_influence{}(weights_and_tokens{}, batches);
}
