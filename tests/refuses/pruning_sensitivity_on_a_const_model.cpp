// says: precis: this stage changes the weights of the model while it works, so it needs a model that is neither const nor a temporary. Pass a variable, or a copy of the model. See docs/models.md#mutable
#include <precis/score/pruning_sensitivity.hpp>

#include "micro_transformer.hpp"

#include <vector>

int main() {
  const micro_transformer model;
  const std::vector<precis::token_batch> batches;
  precis::score::pruning_sensitivity{}(model, batches);
}
