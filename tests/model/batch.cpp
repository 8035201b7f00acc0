#include <precis/model/batch.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <cstddef>
#include <vector>

using namespace precis;

TEST_CASE("a next-token batch predicts every token from the one before", "[model][batch][worked-example]") {
  const std::vector<token> ids{5, 6, 7, 8, 1, 2, 3, 4};
  const token_batch b = next_token_batch(2, ids);
  CHECK(b.sequences == 2);
  CHECK(b.tokens == 3);
  CHECK(b.ids == std::vector<token>{5, 6, 7, 1, 2, 3});
  CHECK(b.targets == std::vector<token>{6, 7, 8, 2, 3, 4});
  CHECK(b.sequence(1)[0] == 1);
  CHECK(b.sequence(1).size() == 3);
}

TEST_CASE("prompts ask for nothing", "[model][batch][worked-example]") {
  const token_batch b = prompts(2, {1, 2, 3, 4});
  CHECK(b.tokens == 2);
  CHECK(b.sequence(1)[1] == 4);
  CHECK(b.targets.empty());
}

TEST_CASE("losses add as sums, so batches of unequal size weigh by their tokens", "[model][batch][worked-example]") {
  nll total;
  CHECK(total.mean() == 0.0);
  total += {.sum = 6.0, .count = 2};    // mean 3
  total += {.sum = 10.0, .count = 10};  // mean 1
  CHECK(total == nll{16.0, 12});
  CHECK(total.mean() == 16.0 / 12.0);  // not (3 + 1) / 2
}

TEST_CASE("sequences of unequal or no length are refused", "[model][batch][refusal]") {
  CHECK(refusal([] { (void)prompts(2, {1, 2, 3}); }) ==
        "prompts: 3 tokens in 2 sequences; expected at least one token and equal lengths");
  CHECK_THAT(refusal([] { (void)prompts(0, {1}); }), ContainsSubstring("1 tokens in 0 sequences"));
  CHECK_THAT(refusal([] { (void)prompts(1, {}); }), ContainsSubstring("0 tokens in 1 sequences"));
  const std::vector<token> ids{1, 2, 3};
  CHECK_THAT(refusal([&] { (void)next_token_batch(3, ids); }),
             ContainsSubstring("next_token_batch: 3 tokens in 3 sequences"));
  CHECK_THAT(refusal([&] { (void)next_token_batch(2, ids); }),
             ContainsSubstring("equal lengths of at least two tokens"));
  CHECK_THAT(refusal([&] { (void)next_token_batch(0, ids); }), ContainsSubstring("in 0 sequences"));
}
