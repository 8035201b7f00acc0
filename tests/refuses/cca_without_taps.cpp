// says: precis: score::cca needs a tappable_model. Add layers(), logits(batch, positions, tap) and loss(batch, tap) to the adaptor. See docs/models.md#tappable
#include <precis/score/cca.hpp>

#include "forward_only.hpp"

#include <vector>

int main() {
  const std::vector<precis::token_batch> batches;
  precis::score::cca{}(forward_only{}, batches);
}
