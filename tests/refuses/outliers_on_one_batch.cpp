// says: precis: this stage takes a contiguous range of data, as std::vector<batch_type> or std::span<const batch_type>; a single batch or fact b is std::span(&b, 1). See docs/models.md#batches
#include <precis/score/outliers.hpp>

#include "micro_transformer.hpp"

#include <vector>

int main() {
  const micro_transformer model;
  const precis::token_batch batch;
  precis::score::outliers{}(model, batch);
}
