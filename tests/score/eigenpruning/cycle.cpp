#include <precis/score/eigenpruning/cycle.hpp>

#include <precis/core/executor.hpp>
#include <precis/core/thread_pool.hpp>

#include "catch.hpp"
#include "score/eigenpruning/samples.hpp"

#include <cstddef>
#include <vector>

using namespace precis;
using namespace eigenpruning_tests;
using score::eigenpruning::cycle;

TEST_CASE("cycle pairs each sample with the previous one and the first with the last",
          "[score][eigenpruning][oracle]") {
  const reduction reduce = GENERATE(reduction::max_over_pairs_and_tokens, reduction::sum_tokens_then_max);
  map_batch b = random_samples(6, 3, 7, 5, 1);
  if (GENERATE(false, true)) b.lengths = {3, 2, 3, 1, 3, 2};
  const samples data(b);
  cycle pairs("w", whole_slice(5, 7), reduce);
  pairs.add(data.all(), sequential{});
  pairs.close(sequential{});
  const tracked& slice = pairs.slices()[0];
  const auto previous = [](std::size_t i, std::size_t k) { return k == (i + 5) % 6; };
  CHECK(nearly_equal(found_by(slice, reduce), largest_effects(b, slice, reduce, previous)));
}

TEST_CASE("cycle @post: equal for any split into batches and on any executor, bit for bit",
          "[score][eigenpruning][property]") {
  const reduction reduce = GENERATE(reduction::max_over_pairs_and_tokens, reduction::sum_tokens_then_max);
  const map_batch b = random_samples(9, 4, 6, 6, 2);
  const samples data(b);
  cycle whole("w", whole_slice(6, 6), reduce), split("w", whole_slice(6, 6), reduce);
  whole.add(data.all(), sequential{});
  whole.close(sequential{});
  split.add(data.range(0, 1), thread_pool{2});
  split.add(data.range(1, 5), thread_pool{2});
  split.add(data.range(6, 3), thread_pool{2});
  split.close(thread_pool{2});
  CHECK(found_by(split.slices()[0], reduce) == found_by(whole.slices()[0], reduce));
}

TEST_CASE("closing starts another cycle", "[score][eigenpruning][oracle]") {
  const reduction reduce = reduction::max_over_pairs_and_tokens;
  const map_batch b = random_samples(6, 2, 4, 4, 3);
  const samples data(b);
  cycle pairs("w", whole_slice(4, 4), reduce);
  for (const std::size_t first : {0u, 3u}) {
    pairs.add(data.range(first, 3), sequential{});
    pairs.close(sequential{});
  }
  const tracked& slice = pairs.slices()[0];
  const auto within = [](std::size_t i, std::size_t k) { return i / 3 == k / 3 && k % 3 == (i + 2) % 3; };
  CHECK(nearly_equal(found_by(slice, reduce), largest_effects(b, slice, reduce, within)));
}
