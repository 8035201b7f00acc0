// says: precis: score::eigen_attribution needs a differentiable_model. Add nll backward(batch, sink) to the adaptor
#include <precis/score/eigen_attribution.hpp>

#include "forward_only.hpp"

#include <span>
#include <vector>

int main() {
  const forward_only model;
  const std::vector<precis::token_batch> batches(1);
  const std::vector<precis::matrix_slice> slices = precis::whole_matrices(model.matrices());
  precis::score::eigen_attribution{}(model, std::span<const precis::token_batch>(batches), slices);
}
