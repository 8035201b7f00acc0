#include <precis/evaluate/accuracy.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"

#include <vector>

using namespace precis;

TEST_CASE("fixture M answers two of five", "[evaluate][accuracy][worked-example]") {
  const micro_transformer model;
  const std::vector<token_batch> whole{micro_transformer::labelled()};
  std::vector<token_batch> singles;
  for (std::size_t i = 0; i < 5; ++i) singles.push_back(micro_transformer::labelled(i, 1));
  CHECK(evaluate::accuracy{}(model, whole).share() == 0.4);
  CHECK(evaluate::accuracy{}(model, singles).share() == 0.4);
  CHECK(evaluate::accuracy{}(model, singles, thread_pool{.threads = 2}).correct == 2);
}

TEST_CASE("targets anywhere in a sequence are counted", "[evaluate][accuracy][property]") {
  const micro_transformer model;
  token_batch b = micro_transformer::labelled();
  const float_matrix z = model.logits(b, positions::all, tap::none{});
  for (std::size_t i = 0; i < b.targets.size(); ++i)  // the right answer at even positions, a wrong one at odd
    b.targets[i] = static_cast<token>((evaluate::argmax(z.row(i)) + i % 2) % 3);
  const auto report = evaluate::accuracy{}(model, std::vector<token_batch>{b});
  CHECK(report.count == 15);
  CHECK(report.correct == 8);
}

TEST_CASE("argmax takes the lowest index on ties", "[evaluate][accuracy][worked-example]") {
  CHECK(evaluate::argmax(std::vector<float>{1, 3, 3, 2}) == 1);
  CHECK(evaluate::argmax(std::vector<float>{0, -0.f}) == 0);
}

TEST_CASE("batches without targets, and targets outside the vocabulary, are refused", "[evaluate][accuracy][refusal]") {
  const micro_transformer model;
  token_batch b = micro_transformer::labelled();
  b.targets[2] = 3;
  CHECK_THAT(refusal([&] { (void)evaluate::accuracy{}(model, std::vector<token_batch>{b}); }),
             ContainsSubstring("target 3 of batch 0"));
  b.targets.clear();
  CHECK_THAT(refusal([&] { (void)evaluate::accuracy{}(model, std::vector<token_batch>{b}); }),
             ContainsSubstring("no targets"));
}
