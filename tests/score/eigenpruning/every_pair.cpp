#include <precis/score/eigenpruning/every_pair.hpp>

#include <precis/core/executor.hpp>
#include <precis/core/thread_pool.hpp>

#include "catch.hpp"
#include "score/eigenpruning/samples.hpp"

#include <cstddef>
#include <vector>

using namespace precis;
using namespace eigenpruning_tests;
using score::eigenpruning::every_pair;

TEST_CASE("every_pair is the maximum over all pairs of different samples", "[score][eigenpruning][oracle]") {
  const reduction reduce = GENERATE(reduction::max_over_pairs_and_tokens, reduction::sum_tokens_then_max);
  map_batch b = random_samples(6, 3, 7, 5, 4);
  if (GENERATE(false, true)) b.lengths = {3, 2, 3, 1, 3, 2};
  const samples data(b);
  every_pair pairs("w", whole_slice(5, 7), reduce);
  pairs.add_all_samples(data.all(), sequential{});
  const tracked& slice = pairs.slices()[0];
  const auto different = [](std::size_t i, std::size_t k) { return i != k; };
  CHECK(nearly_equal(found_by(slice, reduce), largest_effects(b, slice, reduce, different)));
}

TEST_CASE("every_pair @post: equal for any split into batches and on any executor, bit for bit",
          "[score][eigenpruning][property]") {
  const reduction reduce = GENERATE(reduction::max_over_pairs_and_tokens, reduction::sum_tokens_then_max);
  const map_batch b = random_samples(9, 4, 6, 6, 5);
  const samples data(b);
  every_pair at_once("w", whole_slice(6, 6), reduce), split("w", whole_slice(6, 6), reduce);
  at_once.add_all_samples(data.all(), sequential{});
  const std::vector<observed> parts{data.range(0, 1), data.range(1, 5), data.range(6, 3)};
  for (const observed& o : parts) split.see(o.input, o.counts, thread_pool{2});
  for (const observed& o : parts) split.add(o, thread_pool{2});
  CHECK(found_by(split.slices()[0], reduce) == found_by(at_once.slices()[0], reduce));
}

TEST_CASE("a token that only one sample has gives no effect", "[score][eigenpruning][worked-example]") {
  map_batch b = random_samples(2, 2, 3, 3, 6);
  b.lengths = {2, 1};
  const samples data(b);
  every_pair pairs("w", whole_slice(3, 3), reduction::max_over_pairs_and_tokens);
  pairs.add_all_samples(data.all(), sequential{});
  const tracked& slice = pairs.slices()[0];
  map_batch first_tokens = b;
  first_tokens.lengths = {1, 1};
  const auto different = [](std::size_t i, std::size_t k) { return i != k; };
  CHECK(nearly_equal(found_by(slice, reduction::max_over_pairs_and_tokens),
                     largest_effects(first_tokens, slice, reduction::max_over_pairs_and_tokens, different)));
}
