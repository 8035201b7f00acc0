#include <precis/model/batch.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <cstddef>
#include <vector>

using namespace precis;

TEST_CASE("a next-token batch predicts each token from the previous one", "[model][batch][worked-example]") {
  const std::vector<token> ids{5, 6, 7, 8, 1, 2, 3, 4};
  const token_batch b = next_token_batch(2, ids);
  CHECK(b.sequences == 2);
  CHECK(b.tokens == 3);
  CHECK(b.ids == std::vector<token>{5, 6, 7, 1, 2, 3});
  CHECK(b.targets == std::vector<token>{6, 7, 8, 2, 3, 4});
  CHECK(b.sequence(1)[0] == 1);
  CHECK(b.sequence(1).size() == 3);
}

TEST_CASE("prompts have no targets", "[model][batch][worked-example]") {
  const token_batch b = prompts(2, {1, 2, 3, 4});
  CHECK(b.tokens == 2);
  CHECK(b.sequence(1)[1] == 4);
  CHECK(b.targets.empty());
}

TEST_CASE("losses merge as sums, so that batches are weighted by their tokens", "[model][batch][worked-example]") {
  nll total;
  CHECK(total.mean() == 0.0);
  total += {.sum = 6.0, .count = 2};    // mean 3
  total += {.sum = 10.0, .count = 10};  // mean 1
  CHECK(total == nll{16.0, 12});
  CHECK(total.mean() == 16.0 / 12.0);  // not (3 + 1) / 2
}

TEST_CASE("gathered sequences come in the order asked for, across batches", "[model][batch][worked-example]") {
  const std::vector<token_batch> batches{prompts(2, {1, 2, 3, 4}), prompts(1, {5, 6})};
  const std::vector<std::size_t> order{2, 0, 2};
  const token_batch b = gather_sequences(batches, order);
  CHECK(b.sequences == 3);
  CHECK(b.ids == std::vector<token>{5, 6, 1, 2, 5, 6});
  CHECK(b.targets.empty());
  const std::vector<token_batch> mixed{prompts(1, {1, 2}), next_token_batch(1, std::vector<token>{1, 2, 3})};
  CHECK_THAT(refusal([&] { (void)gather_sequences(mixed, std::vector<std::size_t>{0, 1}); }),
             ContainsSubstring("targets in all batches or in none"));
}

TEST_CASE("tokens that are not padding count", "[model][batch][worked-example]") {
  const token_batch b = prompts(1, {7, 0, 7});
  CHECK(counted_tokens(b, no_target).empty());
  CHECK(counted_tokens(b, 7) == std::vector<unsigned char>{0, 1, 0});
}

TEST_CASE("batches without predictions are refused", "[model][batch][refusal]") {
  require_predictions(1, 3, "test");
  CHECK(refusal([] { require_predictions(0, 3, "test"); }) ==
        "test: nothing to predict in 3 batches; expected at least one target");
  CHECK(total(std::vector<nll>{{6, 2}, {10, 10}}) == nll{16, 12});
}

TEST_CASE("sequences of different lengths, and empty ones, are refused", "[model][batch][refusal]") {
  CHECK(refusal([] { (void)prompts(2, {1, 2, 3}); }) ==
        "prompts: 3 tokens in 2 sequences; expected at least one token and sequences of equal length");
  CHECK_THAT(refusal([] { (void)prompts(0, {1}); }), ContainsSubstring("1 tokens in 0 sequences"));
  CHECK_THAT(refusal([] { (void)prompts(1, {}); }), ContainsSubstring("0 tokens in 1 sequences"));
  const std::vector<token> ids{1, 2, 3};
  CHECK_THAT(refusal([&] { (void)next_token_batch(3, ids); }),
             ContainsSubstring("next_token_batch: 3 tokens in 3 sequences"));
  CHECK_THAT(refusal([&] { (void)next_token_batch(2, ids); }),
             ContainsSubstring("sequences of equal length with at least two tokens"));
  CHECK_THAT(refusal([&] { (void)next_token_batch(0, ids); }), ContainsSubstring("in 0 sequences"));
}
