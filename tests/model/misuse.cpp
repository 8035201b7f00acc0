#include <precis/model/misuse.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"

#include <span>
#include <vector>

using namespace precis;

// The sentences themselves are tested by the programs in tests/refuses.

using batches = std::span<const token_batch>;
using model = micro_transformer;

static_assert(!misuses<reads_weights, batches, const model&, std::vector<token_batch>>);
static_assert(!misuses<reads_weights, batches, model, std::vector<token_batch>, const sequential&>);
static_assert(!misuses<changes_weights, batches, model&, batches, thread_pool&>);
static_assert(misuses<changes_weights, batches, const model&, batches>);  // const
static_assert(misuses<changes_weights, batches, model, batches>);         // a temporary
static_assert(misuses<reads_weights, batches, model&, token_batch>);      // one batch
static_assert(misuses<reads_weights, batches, model&, batches, int>);     // no executor

TEST_CASE("calls that a stage refuses are told apart at compile time", "[model][misuse][worked-example]") {
  SUCCEED("by the assertions above");
}
