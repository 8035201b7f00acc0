// says: precis: this stage changes the weights of the model while it works, so it needs a model that is neither const nor a temporary. Pass a variable, or a copy of the model. See docs/models.md#mutable
#include <precis/score/taylor.hpp>

#include "micro_transformer.hpp"

#include <vector>

int main() {
  const std::vector<precis::token_batch> batches;
  precis::score::taylor{}(micro_transformer{}, batches);
}
