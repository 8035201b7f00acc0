// says: precis: score::causal_trace needs a tappable_model. Add layers(), logits(batch, positions, tap) and loss(batch, tap) to the adaptor. See docs/models.md#tappable
#include <precis/score/causal_trace.hpp>

#include "forward_only.hpp"

#include <vector>

int main() {
  const std::vector<precis::score::fact> facts;
  precis::score::causal_trace{}(forward_only{}, facts);
}
