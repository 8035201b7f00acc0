// says: precis: the last argument of this stage is an executor, anything with for_each(n, body): precis::sequential{}, or precis::thread_pool{4} for four threads. See docs/determinism.md#executors
#include <precis/codec/float16.hpp>
#include <precis/cost/weighted_error.hpp>

#include "micro_transformer.hpp"

int main() {
  using menu = precis::menu<precis::codec::float16>;
  precis::cost::weighted_error<menu>{}(micro_transformer{}, precis::scores{}, 4);
}
