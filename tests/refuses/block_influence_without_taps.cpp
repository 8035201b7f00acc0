// says: precis: score::block_influence needs a tappable_model. Add layers(), logits(batch, positions, tap) and loss(batch, tap) to the adaptor. See docs/models.md#tappable
#include <precis/score/block_influence.hpp>

#include "forward_only.hpp"

#include <vector>

int main() {
  const std::vector<precis::token_batch> batches;
  precis::score::block_influence{}(forward_only{}, batches);
}
