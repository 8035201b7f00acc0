// says: precis: the last argument of this stage is an executor, anything with for_each(n, body): precis::sequential{}, or precis::thread_pool{4} for four threads. See docs/determinism.md#executors
#include <precis/score/block_influence.hpp>

#include "micro_transformer.hpp"

#include <vector>

int main() {
  const micro_transformer model;
  const std::vector<precis::token_batch> batches;
  precis::score::block_influence{}(model, batches, 4);
}
