#include <precis/core/thread_pool.hpp>
#include <precis/evaluate/accuracy.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <limits>
#include <vector>

using namespace precis;

TEST_CASE("the micro-transformer predicts two of five targets", "[evaluate][accuracy][worked-example]") {
  const micro_transformer model;
  const std::vector<token_batch> whole{micro_transformer::labelled()};
  std::vector<token_batch> singles;
  for (std::size_t i = 0; i < 5; ++i) singles.push_back(micro_transformer::labelled(i, 1));
  CHECK(evaluate::accuracy{}(model, whole).share() == 0.4);
  CHECK(evaluate::accuracy{}(model, singles).share() == 0.4);
  CHECK(evaluate::accuracy{}(model, singles, thread_pool{.threads = 2}).correct == 2);
}

TEST_CASE("targets count at any position", "[evaluate][accuracy][property]") {
  const micro_transformer model;
  token_batch b = micro_transformer::labelled();
  const float_matrix z = model.logits(b, positions::all, tap::none{});
  for (std::size_t i = 0; i < b.targets.size(); ++i)  // the prediction at even rows, another token at odd rows
    b.targets[i] = static_cast<token>((measure::argmax(z.row(i)) + i % 2) % 3);
  const auto report = evaluate::accuracy{}(model, std::vector<token_batch>{b});
  CHECK(report.count == 15);
  CHECK(report.correct == 8);
}

TEST_CASE("with choices, the prediction is the most likely of them", "[evaluate][accuracy][oracle]") {
  const micro_transformer model;
  const token_batch b = micro_transformer::labelled();
  const float_matrix z = model.logits(b, positions::last, tap::none{});
  for (const std::vector<token>& choices : {std::vector<token>{0, 1}, {1, 0}, {2, 1}, {0, 1, 2}}) {
    token_batch asked = b;
    std::size_t correct = 0, count = 0;
    for (std::size_t s = 0; s < 5; ++s) {
      token& target = asked.targets[s * 3 + 2];
      if (std::ranges::find(choices, target) == choices.end()) {
        target = no_target;
        continue;
      }
      ++count;
      bool best = true;
      for (const token c : choices)
        best = best && z(s, static_cast<std::size_t>(c)) <= z(s, static_cast<std::size_t>(target));
      correct += best;
    }
    const auto report = evaluate::accuracy{.among = choices}(model, std::vector<token_batch>{asked});
    CHECK(report.correct == correct);
    CHECK(report.count == count);
  }
}

namespace {

/// A batch that holds its logits and labels.
struct table_batch {
  float_matrix z;
  std::vector<token> labels;
};
struct table_model {
  using batch_type = table_batch;
  [[nodiscard]] std::size_t layers() const { return 0; }
  template<class Tap>
  [[nodiscard]] float_matrix logits(const batch_type& b, positions, Tap&&) const {
    return b.z;
  }
  template<class Tap>
  [[nodiscard]] nll loss(const batch_type&, Tap&&) const {
    return {};
  }
};

}  // namespace

TEST_CASE("a classifier's rows are compared with its labels", "[evaluate][accuracy][worked-example]") {
  const std::vector<table_batch> batches{{float_matrix(3, 2, {1, 2, 5, 4, 0, 0}), {1, 1, 0}},
                                         {float_matrix(2, 2, {3, 1, 1, 3}), {0, no_target}}};
  const auto report = evaluate::accuracy{}(table_model{}, batches);
  CHECK(report.correct == 3);  // row 1 says 0; a tie goes to the first
  CHECK(report.count == 4);
  CHECK(evaluate::accuracy{.among = {1, 0}}(table_model{}, batches).correct == 2);  // ... of the choices
  CHECK(evaluate::accuracy{}(table_model{}, batches, thread_pool{.threads = 2}).correct == 3);
  CHECK_THAT(
      refusal([&] { (void)evaluate::accuracy{}(table_model{}, std::vector<table_batch>{{float_matrix(3, 2), {1}}}); }),
      ContainsSubstring("1 labels in batch 0; expected 3"));
}

TEST_CASE("the interval of an accuracy by hand, and for shares of 0 and 1", "[evaluate][accuracy][worked-example]") {
  // 371 of 600: share 0.61833, z^2/n = 0.0064024; middle 0.621534, half 1.96 sqrt(0.236/600 + 0.0000026677) = 0.0390,
  // both over 1.0064.
  const auto most = evaluate::accuracy_report{.correct = 371, .count = 600}.confidence();
  CHECK(most.low() == Approx(0.57884).margin(5e-5));
  CHECK(most.high() == Approx(0.65635).margin(5e-5));
  const auto all = evaluate::accuracy_report{.correct = 10, .count = 10}.confidence();
  CHECK(all.high() == Approx(1.0).margin(1e-12));
  CHECK(all.low() == Approx(1 / (1 + 0.38414588)).margin(1e-7));  // n / (n + z^2)
  CHECK(evaluate::accuracy_report{.correct = 0, .count = 10}.confidence().low() == Approx(0.0).margin(1e-12));
  CHECK_FALSE(evaluate::accuracy_report{}.confidence().sure());
}

TEST_CASE("batches without targets, and invalid targets and choices, are refused", "[evaluate][accuracy][refusal]") {
  const micro_transformer model;
  token_batch b = micro_transformer::labelled();
  b.targets[2] = 3;
  CHECK_THAT(refusal([&] { (void)evaluate::accuracy{}(model, std::vector<token_batch>{b}); }),
             ContainsSubstring("target 3 of batch 0"));
  b.targets[2] = 2;
  CHECK_THAT(refusal([&] { (void)evaluate::accuracy{.among = {0, 1}}(model, std::vector<token_batch>{b}); }),
             ContainsSubstring("target 2 of batch 0; expected one of the 2 choices"));
  CHECK_THAT(refusal([&] { (void)evaluate::accuracy{.among = {2, 7}}(model, std::vector<token_batch>{b}); }),
             ContainsSubstring("choice 7 of batch 0"));
  CHECK_THAT(refusal([&] {
               const float nan = std::numeric_limits<float>::quiet_NaN();
               (void)evaluate::accuracy{}(table_model{}, std::vector<table_batch>{{float_matrix(1, 2, {nan, 1}), {0}}});
             }),
             ContainsSubstring("a logit of batch 0 is not finite"));
  b.targets.clear();
  CHECK_THAT(refusal([&] { (void)evaluate::accuracy{}(model, std::vector<token_batch>{b}); }),
             ContainsSubstring("no targets"));
}
