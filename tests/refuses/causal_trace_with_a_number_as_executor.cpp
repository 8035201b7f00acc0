// says: precis: the last argument of this stage is an executor, anything with for_each(n, body): precis::sequential{}, or precis::thread_pool{4} for four threads. See docs/determinism.md#executors
#include <precis/score/causal_trace.hpp>

#include "micro_transformer.hpp"

#include <vector>

int main() {
  const std::vector<precis::score::fact> facts;
  precis::score::causal_trace{}(micro_transformer{}, facts, 4);
}
