#include <precis/measure/agreement.hpp>

#include <precis/core/executor.hpp>
#include <precis/core/thread_pool.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"

#include <cstddef>
#include <span>
#include <vector>

using namespace precis;
using measure::agreement;
using measure::count_correct;

namespace {

const std::vector<token> whole_vocabulary;

agreement count(const std::vector<token_batch>& batches, const std::vector<token>& choices = whole_vocabulary) {
  return count_correct(micro_transformer{}, std::span<const token_batch>(batches), choices, "test");
}

}  // namespace

TEST_CASE("argmax takes the lowest index on ties", "[measure][agreement][worked-example]") {
  CHECK(measure::argmax(std::vector<float>{1, 3, 3, 2}) == 1);
  CHECK(measure::argmax(std::vector<float>{0, -0.f}) == 0);
}

TEST_CASE("agreements add up", "[measure][agreement][worked-example]") {
  agreement sum;
  CHECK(sum.share() == 0);
  sum += {.correct = 1, .count = 2};
  sum += {.correct = 2, .count = 2};
  CHECK(sum == agreement{3, 4});
  CHECK(sum.share() == 0.75);
}

TEST_CASE("correct predictions of the micro-transformer", "[measure][agreement][worked-example]") {
  // Two of the five last positions predict their target; batches and executors do not change that.
  const std::vector<token_batch> one{micro_transformer::labelled()},
      two{micro_transformer::labelled(0, 2), micro_transformer::labelled(2, 3)};
  CHECK(count(one) == agreement{2, 5});
  CHECK(count(two) == agreement{2, 5});
  CHECK(count_correct(micro_transformer{}, std::span<const token_batch>(two), whole_vocabulary, "test",
                      thread_pool{2}) == agreement{2, 5});
}

TEST_CASE("targets at every position are counted as at the last", "[measure][agreement][oracle]") {
  const micro_transformer model;
  token_batch b = micro_transformer::labelled();
  for (token& target : b.targets) target = 1;
  const float_matrix z = model.logits(b, positions::all, tap::none{});
  std::size_t correct = 0;
  for (std::size_t row = 0; row < z.rows; ++row) correct += z(row, 1) > z(row, 0) && z(row, 1) >= z(row, 2);
  CHECK(count({b}) == agreement{correct, 15});
}

TEST_CASE("messages name the caller", "[measure][agreement][refusal]") {
  token_batch b = micro_transformer::labelled();
  b.targets[2] = 3;
  CHECK(refusal([&] { static_cast<void>(count({b})); }) == "test: target 3 of batch 0; expected a token below 3");
  CHECK(refusal([] { static_cast<void>(count({})); }) == "test: no targets in 0 batches; expected at least one target");
  CHECK(refusal([] { static_cast<void>(count({micro_transformer::labelled()}, {0})); }) ==
        "test: target 1 of batch 0; expected one of the 1 choices");
}
