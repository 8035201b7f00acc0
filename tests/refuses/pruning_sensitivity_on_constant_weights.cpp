// says: precis: score::pruning_sensitivity needs a mutable_model: it prunes and restores weights. Add mutable_weight_view
#include <precis/score/pruning_sensitivity.hpp>

#include "forward_only.hpp"

#include <span>
#include <vector>

int main() {
  forward_only model;
  const std::vector<precis::token_batch> batches(1);
  precis::score::pruning_sensitivity{}(model, std::span<const precis::token_batch>(batches));
}
