// says: precis: score::first_order_taylor needs a differentiable_model. Add nll backward(batch, sink) to the adaptor, or use score::taylor
#include <precis/score/first_order_taylor.hpp>

#include "forward_only.hpp"

#include <span>
#include <vector>

int main() {
  const forward_only model;
  const std::vector<precis::token_batch> batches(1);
  precis::score::first_order_taylor{}(model, std::span<const precis::token_batch>(batches));
}
