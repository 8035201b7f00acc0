#include <precis/score/drop_one.hpp>

#include <precis/core/thread_pool.hpp>
#include <precis/evaluate/perplexity.hpp>
#include <precis/measure/kl_divergence.hpp>
#include <precis/model/whole_forwards.hpp>

#include "micro_transformer.hpp"

#include "catch.hpp"
#include "refusal.hpp"

#include <limits>
#include <vector>

using namespace precis;
using score::drop_one;

namespace {

/// The micro-transformer with the given maps set to zero.
micro_transformer without(std::vector<std::size_t> maps) {
  micro_transformer m;
  for (const std::size_t i : maps)
    for (std::size_t r = 0; r < 2; ++r)
      for (std::size_t c = 0; c < 2; ++c) m.weights(i)(r, c) = 0;
  return m;
}

/// Targets at all positions but the last.
token_batch early_targets() {
  token_batch b = micro_transformer::labelled();
  for (std::size_t i = 0; i < b.targets.size(); ++i)
    b.targets[i] = i % b.tokens + 1 == b.tokens ? no_target : b.ids[i + 1];
  return b;
}

}  // namespace

TEST_CASE("dropping a part equals zeroing its weights", "[score][drop_one][oracle]") {
  const micro_transformer model;
  for (const token_batch& batch : {micro_transformer::labelled(), early_targets()}) {
    const std::vector<token_batch> batches{batch};
    const double whole = model.loss(batch).mean();
    if (batch == micro_transformer::labelled()) CHECK(whole == Approx(1.9364132758).epsilon(1e-6));
    const scores blocks = drop_one{}(model, batches);
    REQUIRE(blocks.size() == 2);
    for (std::size_t l = 0; l < 2; ++l)
      CHECK(blocks.values[l] ==
            Approx(without({2 * l, 2 * l + 1}).loss(batch).mean() - whole).epsilon(1e-12).margin(1e-13));
    const scores halves = drop_one{.units = unit_kind::half}(model, batches);
    REQUIRE(halves.size() == 4);
    for (std::size_t i = 0; i < 4; ++i)
      CHECK(halves.values[i] == Approx(without({i}).loss(batch).mean() - whole).epsilon(1e-12).margin(1e-13));
    CHECK(drop_one{.units = unit_kind::matrix}(model, batches).values == halves.values);
  }
}

TEST_CASE("by KL: the divergence of the model without the block from the original", "[score][drop_one][oracle]") {
  const micro_transformer model;
  const std::vector<token_batch> batches{micro_transformer::labelled(0, 2), micro_transformer::labelled(2, 3)};
  const scores s = drop_one{.by = drop_one::quantity::kl}(model, batches);
  for (std::size_t l = 0; l < 2; ++l) {
    const double expected = measure::kl_divergence{}(model, without({2 * l, 2 * l + 1}), batches).mean_nats();
    CHECK(s.values[l] == Approx(expected).epsilon(1e-12));
    CHECK(s.values[l] > 0.01);
  }
  CHECK(s.measure == "KL, nats per token");
}

TEST_CASE("drop_one @post: equal with and without resumable_model, bit for bit", "[score][drop_one][property]") {
  const micro_transformer model;
  for (const token_batch& batch : {micro_transformer::labelled(), early_targets()})
    for (const auto by : {drop_one::quantity::nll, drop_one::quantity::kl})
      for (const unit_kind units : {unit_kind::block, unit_kind::half}) {
        const std::vector<token_batch> batches{batch};
        const drop_one scorer{.by = by, .units = units};
        CHECK(scorer(model, batches).values == scorer(whole_forwards(model), batches).values);
      }
}

TEST_CASE("drop_one @post: equal on any executor and for any split into batches", "[score][drop_one][property]") {
  const micro_transformer model;
  const std::vector<token_batch> one{micro_transformer::labelled()},
      two{micro_transformer::labelled(0, 2), micro_transformer::labelled(2, 3)};
  for (const auto by : {drop_one::quantity::nll, drop_one::quantity::kl}) {
    const drop_one scorer{.by = by, .units = unit_kind::half};
    CHECK(scorer(model, one).values == scorer(model, two).values);
    CHECK(scorer(model, one).values == scorer(model, two, thread_pool{2}).values);
  }
}

TEST_CASE("drop_one @post: a block that is the identity scores 0", "[score][drop_one][property]") {
  const std::vector<token_batch> batches{micro_transformer::labelled()};
  for (const auto by : {drop_one::quantity::nll, drop_one::quantity::kl})
    CHECK(drop_one{.by = by}(without({2, 3}), batches).values[1] == 0);
}

TEST_CASE("missing predictions and invalid targets are refused", "[score][drop_one][refusal]") {
  const micro_transformer model;
  const auto said = [&](token_batch b, drop_one how = {}) {
    const std::vector<token_batch> batches{std::move(b)};
    return refusal([&] { static_cast<void>(how(model, batches)); });
  };
  token_batch b = micro_transformer::labelled();
  b.targets.clear();
  CHECK_THAT(said(b), ContainsSubstring("0 targets for 15 tokens in batch 0"));
  CHECK(said(b, {.by = drop_one::quantity::kl}) == "");
  b.targets.assign(15, no_target);
  CHECK_THAT(said(b), ContainsSubstring("nothing to predict in 1 batches"));
  b.targets[4] = 3;
  CHECK_THAT(said(b), ContainsSubstring("target 3 of batch 0; expected a token below 3"));
  micro_transformer broken;
  broken.weights(1)(0, 0) = std::numeric_limits<float>::infinity();
  const std::vector<token_batch> batches{micro_transformer::labelled()};
  CHECK_THAT(refusal([&] { static_cast<void>(drop_one{}(broken, batches)); }), ContainsSubstring("finite scores"));
}
