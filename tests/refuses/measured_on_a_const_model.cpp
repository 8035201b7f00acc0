// says: precis: this stage changes the weights of the model while it works, so it needs a model that is neither const nor a temporary. Pass a variable, or a copy of the model. See docs/models.md#mutable
#include <precis/codec/float16.hpp>
#include <precis/cost/measured.hpp>

#include "micro_transformer.hpp"

#include <vector>

int main() {
  using menu = precis::menu<precis::codec::float16>;
  const micro_transformer model;
  const std::vector<precis::token_batch> batches;
  precis::cost::measured<menu>{}(model, batches);
}
