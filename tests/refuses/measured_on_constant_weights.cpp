// says: precis: cost::measured needs a mutable_model: it packs and restores weights. Add mutable_weight_view
#include <precis/cost/measured.hpp>

#include <precis/codec/float16.hpp>
#include <precis/core/menu.hpp>

#include "forward_only.hpp"

#include <span>
#include <vector>

int main() {
  forward_only model;
  const std::vector<precis::token_batch> batches(1);
  precis::cost::measured<precis::menu<precis::codec::float16>>{}(model, std::span<const precis::token_batch>(batches));
}
