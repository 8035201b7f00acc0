#include <precis/core/thread_pool.hpp>
#include <precis/score/causal_trace.hpp>

#include "micro_transformer.hpp"

#include "catch.hpp"
#include "score/causal/worked_fact.hpp"

#include <vector>

using namespace precis;
using score::causal_trace;
using score::fact;
using score::fact_trace;

TEST_CASE("a block's score is the mean of its attention and its MLP", "[score][causal_trace][worked-example]") {
  // The subject is token 1 of 3: first = last subject token, token 2 = first after = last; two roles are absent.
  const micro_transformer model;
  const std::vector<fact_trace> traces{trace_worked(model, every_kind)};
  causal_trace scorer{.units = unit_kind::half};
  const scores halves = scorer.combine(model.matrices(), traces);
  REQUIRE(halves.units[0].name == "block.0.attention");
  CHECK(halves.values[0] == Approx(0.25 * (2 * 0.025373 + 2 * 0.067279)).margin(1e-6));
  CHECK(halves.values[3] == Approx(0.25 * (2 * 0.038329)).margin(1e-6));
  scorer.units = unit_kind::block;
  const scores blocks = scorer.combine(model.matrices(), traces);
  CHECK(blocks.values[0] == Approx(0.5 * (halves.values[0] + halves.values[1])));
  CHECK(blocks.values[1] == Approx(0.5 * (halves.values[2] + halves.values[3])));

  scorer.reduce = score::effect_reduction::max_roles;
  CHECK(scorer.combine(model.matrices(), traces).values[0] == Approx(0.5 * (0.067279 + 0.055356)).margin(1e-6));
  scorer.reduce = score::effect_reduction::last_subject;
  CHECK(scorer.combine(model.matrices(), traces).values[0] == Approx(0.5 * (0.025373 + 0.024107)).margin(1e-6));
  scorer.reduce = score::effect_reduction::last_token;
  CHECK(scorer.combine(model.matrices(), traces).values[0] == Approx(0.5 * (0.067279 + 0.055356)).margin(1e-6));
  scorer.reduce = score::effect_reduction::mean_tokens;
  CHECK(scorer.combine(model.matrices(), traces).values[0] ==
        Approx(0.25 * (0.025373 + 0.067279 + 0.024107 + 0.055356)).margin(1e-6));
  scorer.scale = score::effect_scale::of_total;
  CHECK(scorer.combine(model.matrices(), traces).values[0] ==
        Approx(0.25 * (0.025373 + 0.067279 + 0.024107 + 0.055356) / 0.105270905).margin(1e-5));
}

TEST_CASE("causal_trace @post: amount == 0: every effect is 0", "[score][causal_trace][property]") {
  const micro_transformer model;
  const std::vector<fact> facts{worked};
  const causal_trace without_noise{.noise = {.draw = score::corruption::rule::gaussian, .amount = 0, .runs = 3}};
  for (const double s : without_noise(model, facts).values) CHECK(s == 0.0);
}

TEST_CASE("unknown facts are skipped; without a known one the call is refused", "[score][causal_trace][refusal]") {
  const micro_transformer model;
  fact unknown = worked;
  unknown.answer = 0;
  const causal_trace scorer{.noise = {.runs = 4}};
  const std::vector<fact> both{worked, unknown}, one{worked}, none{unknown};
  // A fixed scale, so that the noise does not depend on the facts.
  causal_trace fixed = scorer;
  fixed.noise.draw = score::corruption::rule::gaussian;
  fixed.noise.amount = 1.5;
  CHECK(fixed(model, both).values == fixed(model, one).values);
  CHECK_THROWS_WITH(scorer(model, none), ContainsSubstring("none of the 1 facts"));
}

TEST_CASE("causal_trace @post: equal on any executor, bit for bit", "[score][causal_trace][property]") {
  const micro_transformer model;
  std::vector<fact> facts(7, worked);
  facts[3].prompt = {0, 1, 2, 2};
  facts[5].prompt = {1, 1, 2};
  const causal_trace scorer{.noise = {.runs = 4}};
  CHECK(scorer(model, facts).values == scorer(model, facts, thread_pool{3}).values);
}

TEST_CASE("invalid facts are refused with their numbers", "[score][causal_trace][refusal]") {
  const micro_transformer model;
  const causal_trace scorer{.noise = {.draw = score::corruption::rule::gaussian, .runs = 2}};
  fact outside = worked;
  outside.subject_end = 4;
  CHECK_THROWS_WITH(scorer(model, std::vector{outside}), ContainsSubstring("tokens [1, 4) of 3"));
  fact empty = worked;
  empty.subject_end = 1;
  CHECK_THROWS_WITH(scorer(model, std::vector{empty}), ContainsSubstring("at least one subject token"));
  fact out_of_vocabulary = worked;
  out_of_vocabulary.answer = 3;
  CHECK_THROWS_WITH(scorer(model, std::vector{out_of_vocabulary}), ContainsSubstring("answer token 3"));
  CHECK_THROWS_WITH((causal_trace{.noise = {.runs = 0}}(model, std::vector{worked})),
                    ContainsSubstring("no noisy runs"));
  CHECK_THROWS_WITH((causal_trace{.window = 0}(model, std::vector{worked})), ContainsSubstring("window 0"));
}
