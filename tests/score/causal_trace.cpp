#include <precis/score/causal_trace.hpp>

#include <precis/model/whole_forwards.hpp>

#include "micro_transformer.hpp"

#include "catch.hpp"

#include <vector>

using namespace precis;
using score::causal_trace;
using score::fact;
using score::fact_trace;
using score::restoration;

namespace {

/// The worked example: prompt (0, 1, 2), subject token 1, answer 1, two explicit noise rows.
const fact worked{.name = "worked", .prompt = {0, 1, 2}, .subject_begin = 1, .subject_end = 2, .answer = 1};
activations worked_noise() {
  activations n(2, 1, 2);
  n.values = {-2.f, 1.f, 1.5f, -1.f};
  return n;
}

const std::vector<restoration> every_kind{{site_kind::residual, 1}, {site_kind::attention, 1}, {site_kind::mlp, 1}};

fact_trace trace_worked(const auto& model, const std::vector<restoration>& what) {
  const activations noise = worked_noise();
  return score::trace_fact(model, worked, std::as_const(noise).view(), score::corruption::mode::add, what);
}

/// The same model, but a position may depend on later ones for all anybody knows.
struct not_causal : micro_transformer {
  static constexpr bool causal = false;
};

}  // namespace

TEST_CASE("causal trace of the micro-transformer gives the worked table", "[score][causal_trace][worked-example]") {
  const micro_transformer model;
  const fact_trace trace = trace_worked(model, every_kind);

  CHECK(trace.known);
  CHECK(trace.clean == Approx(0.926415055).epsilon(1e-6));
  CHECK(trace.corrupted == Approx(0.821144149).epsilon(1e-6));
  const double expected[3][3][2] = {{{0, 0}, {0.075123, 0}, {0.067279, 0.105271}},
                                    {{0, 0}, {0.025373, 0}, {0.067279, 0.083336}},
                                    {{0, 0}, {0.024107, 0}, {0.055356, 0.038329}}};
  for (std::size_t kind = 0; kind < 3; ++kind)
    for (std::size_t t = 0; t < 3; ++t)
      for (std::size_t l = 0; l < 2; ++l) {
        INFO("kind " << kind << " token " << t << " layer " << l);
        CHECK(trace.tables[kind].probability(t, l) - trace.corrupted == Approx(expected[kind][t][l]).margin(1e-6));
      }
}

TEST_CASE("restoring the MLPs of both layers gives the worked values", "[score][causal_trace][worked-example]") {
  const fact_trace trace = trace_worked(micro_transformer{}, {{site_kind::mlp, 4}});
  for (std::size_t l = 0; l < 2; ++l) {  // window >= 2 layers restores every MLP, whatever the centre
    CHECK(trace.tables[0].probability(1, l) - trace.corrupted == Approx(0.0241070).margin(1e-6));
    CHECK(trace.tables[0].probability(2, l) - trace.corrupted == Approx(0.0716823).margin(1e-6));
  }
}

TEST_CASE("resumed restoration equals whole forwards bit for bit", "[score][causal_trace][property]") {
  const std::size_t window = GENERATE(1u, 2u, 3u, 4u, 5u);
  const micro_transformer model;
  const std::vector<restoration> what{
      {site_kind::residual, window}, {site_kind::attention, window}, {site_kind::mlp, window}};
  const fact_trace whole = trace_worked(whole_forwards(model), what);
  const fact_trace resumed = trace_worked(model, what);
  const fact_trace layers_only = trace_worked(not_causal{}, what);
  CHECK(whole.tables == resumed.tables);
  CHECK(whole.tables == layers_only.tables);
  CHECK(whole.corrupted == resumed.corrupted);
  CHECK(resumed.block_positions < whole.block_positions);
  CHECK(resumed.block_positions < layers_only.block_positions);
}

TEST_CASE("identities of a restored block output", "[score][causal_trace][property]") {
  const fact_trace trace = trace_worked(micro_transformer{}, every_kind);
  CHECK(trace.tables[0].probability(2, 1) == trace.clean);  // last layer, last token: the clean run
  for (const auto& table : trace.tables)
    for (std::size_t t = 0; t < 2; ++t) CHECK(table.probability(t, 1) == trace.corrupted);  // last layer, other tokens
  for (const auto& table : trace.tables)
    for (std::size_t l = 0; l < 2; ++l) CHECK(table.probability(0, l) == trace.corrupted);  // before the subject
}

TEST_CASE("a block's score is the mean of its attention and its MLP", "[score][causal_trace][worked-example]") {
  // One-token subject at 1 of 3: first = last subject (token 1), first after = last = token 2; two roles absent.
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

TEST_CASE("no noise, no effect", "[score][causal_trace][property]") {
  const micro_transformer model;
  const std::vector<fact> facts{worked};
  const causal_trace silent{.noise = {.draw = score::corruption::rule::gaussian, .amount = 0, .runs = 3}};
  for (const double s : silent(model, facts).values) CHECK(s == 0.0);
}

TEST_CASE("facts the model does not know are left out, and none known is refused", "[score][causal_trace][refusal]") {
  const micro_transformer model;
  fact unknown = worked;
  unknown.answer = 0;
  const causal_trace scorer{.noise = {.runs = 4}};
  const std::vector<fact> both{worked, unknown}, one{worked}, none{unknown};
  // The same scale for both, so that the noise is the same.
  causal_trace fixed = scorer;
  fixed.noise.draw = score::corruption::rule::gaussian;
  fixed.noise.amount = 1.5;
  CHECK(fixed(model, both).values == fixed(model, one).values);
  CHECK_THROWS_WITH(scorer(model, none), ContainsSubstring("none of the 1 facts"));
}

TEST_CASE("any executor gives the same scores", "[score][causal_trace][property]") {
  const micro_transformer model;
  std::vector<fact> facts(7, worked);
  facts[3].prompt = {0, 1, 2, 2};
  facts[5].prompt = {1, 1, 2};
  const causal_trace scorer{.noise = {.runs = 4}};
  CHECK(scorer(model, facts).values == scorer(model, facts, thread_pool{3}).values);
}

TEST_CASE("impossible facts are refused with their numbers", "[score][causal_trace][refusal]") {
  const micro_transformer model;
  const causal_trace scorer{.noise = {.draw = score::corruption::rule::gaussian, .runs = 2}};
  fact outside = worked;
  outside.subject_end = 4;
  CHECK_THROWS_WITH(scorer(model, std::vector{outside}), ContainsSubstring("tokens [1, 4) of 3"));
  fact empty = worked;
  empty.subject_end = 1;
  CHECK_THROWS_WITH(scorer(model, std::vector{empty}), ContainsSubstring("at least one subject token"));
  fact strange = worked;
  strange.answer = 3;
  CHECK_THROWS_WITH(scorer(model, std::vector{strange}), ContainsSubstring("answer token 3"));
  CHECK_THROWS_WITH((causal_trace{.noise = {.runs = 0}}(model, std::vector{worked})),
                    ContainsSubstring("no noisy runs"));
  CHECK_THROWS_WITH((causal_trace{.window = 0}(model, std::vector{worked})), ContainsSubstring("window 0"));
}

TEST_CASE("replacing the embedding uses the noise alone", "[score][causal_trace][property]") {
  // Replacing by embedding + noise is adding the noise.
  const micro_transformer model;
  activations replaced = worked_noise();
  for (std::size_t k = 0; k < 2; ++k) replaced.view()(k, 0)[1] += 1.f;  // the embedding of token 1 is (0, 1)
  const fact_trace a = trace_worked(model, every_kind);
  const fact_trace b =
      score::trace_fact(model, worked, std::as_const(replaced).view(), score::corruption::mode::replace, every_kind);
  CHECK(a.tables == b.tables);
}
