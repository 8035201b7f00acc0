// says: precis: cost::reconstruction needs an observable_model. Add void inputs(batch, sink) const to the adaptor, or use from_weights(model)
#include <precis/cost/reconstruction.hpp>

#include <precis/codec/float16.hpp>
#include <precis/core/menu.hpp>

#include "forward_only.hpp"

#include <span>
#include <vector>

int main() {
  const forward_only model;
  const std::vector<precis::token_batch> batches(1);
  precis::cost::reconstruction<precis::menu<precis::codec::float16>>{}(model,
                                                                       std::span<const precis::token_batch>(batches));
}
