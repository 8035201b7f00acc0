#include <precis/score/causal/trace.hpp>

#include <precis/model/whole_forwards.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"
#include "score/causal/worked_fact.hpp"

#include <cstddef>
#include <utility>
#include <vector>

using namespace precis;
using score::fact_trace;
using score::restoration;

namespace {

/// The same model without the promise that positions depend on earlier ones only.
struct not_causal : micro_transformer {
  static constexpr bool causal = false;
};

}  // namespace

TEST_CASE("the worked table of the micro-transformer", "[score][causal_trace][worked-example]") {
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
  for (std::size_t l = 0; l < 2; ++l) {  // a window of at least 2 layers restores every MLP, whatever its centre
    CHECK(trace.tables[0].probability(1, l) - trace.corrupted == Approx(0.0241070).margin(1e-6));
    CHECK(trace.tables[0].probability(2, l) - trace.corrupted == Approx(0.0716823).margin(1e-6));
  }
}

TEST_CASE("trace_fact @post: equal with and without resumable_model, bit for bit", "[score][causal_trace][property]") {
  const std::size_t window = GENERATE(1u, 2u, 3u, 4u, 5u);
  const micro_transformer model;
  const std::vector<restoration> restorations{
      {site_kind::residual, window}, {site_kind::attention, window}, {site_kind::mlp, window}};
  const fact_trace whole = trace_worked(whole_forwards(model), restorations);
  const fact_trace resumed = trace_worked(model, restorations);
  const fact_trace layers_only = trace_worked(not_causal{}, restorations);
  CHECK(whole.tables == resumed.tables);
  CHECK(whole.tables == layers_only.tables);
  CHECK(whole.corrupted == resumed.corrupted);
  CHECK(resumed.block_positions < whole.block_positions);
  CHECK(resumed.block_positions < layers_only.block_positions);
}

TEST_CASE("identities: clean at the last site, corrupted where the noise has no effect",
          "[score][causal_trace][property]") {
  const fact_trace trace = trace_worked(micro_transformer{}, every_kind);
  CHECK(trace.tables[0].probability(2, 1) == trace.clean);  // last layer, last token: the clean run
  for (const auto& table : trace.tables)
    for (std::size_t t = 0; t < 2; ++t) CHECK(table.probability(t, 1) == trace.corrupted);  // last layer, other tokens
  for (const auto& table : trace.tables)
    for (std::size_t l = 0; l < 2; ++l) CHECK(table.probability(0, l) == trace.corrupted);  // before the subject
}

TEST_CASE("replacing the embedding by embedding + noise equals adding the noise", "[score][causal_trace][property]") {
  const micro_transformer model;
  activations replaced = worked_noise();
  for (std::size_t k = 0; k < 2; ++k) replaced.view()(k, 0)[1] += 1.f;  // the embedding of token 1 is (0, 1)
  const fact_trace a = trace_worked(model, every_kind);
  const fact_trace b =
      score::trace_fact(model, worked, std::as_const(replaced).view(), score::corruption::mode::replace, every_kind);
  CHECK(a.tables == b.tables);
}

TEST_CASE("trace_fact refuses noise and windows that do not fit", "[score][causal_trace][refusal]") {
  const micro_transformer model;
  const auto said = [&](const activations& noise, const std::vector<restoration>& restorations) {
    return refusal([&] {
      static_cast<void>(score::trace_fact(model, worked, noise.view(), score::corruption::mode::add, restorations));
    });
  };
  CHECK_THAT(said(activations(2, 2, 2), every_kind), ContainsSubstring("noise for 2 runs of 2 tokens"));
  CHECK_THAT(said(activations(2, 1, 3), every_kind), ContainsSubstring("noise with 3 features"));
  CHECK_THAT(said(worked_noise(), {{site_kind::mlp, 0}}), ContainsSubstring("a restoration of mlp with window 0"));
  CHECK_THAT(said(worked_noise(), {{site_kind::embedding, 1}}), ContainsSubstring("a restoration of embedding"));
}
