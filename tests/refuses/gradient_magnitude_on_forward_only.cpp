// says: precis: score::gradient_magnitude needs a differentiable_model. Add nll backward(batch, sink) to the adaptor
#include <precis/score/gradient_magnitude.hpp>

#include "forward_only.hpp"

#include <span>
#include <vector>

int main() {
  const forward_only model;
  const std::vector<precis::token_batch> batches(1);
  precis::score::gradient_magnitude{}(model, std::span<const precis::token_batch>(batches));
}
