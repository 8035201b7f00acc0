// says: precis: this stage takes a contiguous range of data, as std::vector<batch_type> or std::span<const batch_type>; a single batch or fact b is std::span(&b, 1). See docs/models.md#batches
#include <precis/score/causal_trace.hpp>

#include "micro_transformer.hpp"

#include <vector>

int main() {
  const micro_transformer model;
  const precis::score::fact fact;
  precis::score::causal_trace{}(model, fact);
}
