// says: precis: apply replaces the weights of its model, so it needs a model that is neither const nor a temporary. To keep the model, use pack. See docs/models.md#mutable
#include <precis/codec/float16.hpp>
#include <precis/pack.hpp>

#include "micro_transformer.hpp"

int main() {
  const micro_transformer model;
  precis::apply<precis::menu<precis::codec::float16>>(model, precis::plan{});
}
