#include <precis/score/pruning_sensitivity.hpp>

#include <precis/core/thread_pool.hpp>
#include <precis/model/whole_forwards.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"

#include <limits>
#include <string>
#include <vector>

using namespace precis;
using score::pruning_sensitivity;

namespace {

const std::vector<token_batch> one_batch{micro_transformer::labelled()};
const std::vector<token_batch> one_by_one{micro_transformer::labelled(0, 1), micro_transformer::labelled(1, 1),
                                          micro_transformer::labelled(2, 1), micro_transformer::labelled(3, 1),
                                          micro_transformer::labelled(4, 1)};

// Float logits of order 10: the loss differs from that of the same model in double by about 1e-6.
constexpr double float_margin = 5e-6;

}  // namespace

TEST_CASE("losses after pruning the micro-transformer's blocks", "[score][pruning_sensitivity][worked-example]") {
  micro_transformer model;
  const basic_matrix<double> s = pruning_sensitivity{.sparsities = {0.25, 0.5}}.table(model, one_batch);
  REQUIRE(s.rows == 2);
  REQUIRE(s.cols == 2);
  CHECK(s(0, 0) == Approx(0.4628688685).margin(float_margin));
  CHECK(s(1, 0) == Approx(1.1087698821).margin(float_margin));
  CHECK(s(0, 1) == Approx(0.4218731406).margin(float_margin));
  CHECK(s(1, 1) == Approx(0.6690620184).margin(float_margin));
}

TEST_CASE("pruning sensitivity does not measure remembered losses again", "[score][pruning_sensitivity][property]") {
  struct memory {
    std::vector<nll> kept = {};
    std::size_t finished_now = 0;
    [[nodiscard]] const std::vector<nll>* known(std::size_t u, std::size_t) const {
      return u == 0 && !kept.empty() ? &kept : nullptr;
    }
    void finished(std::size_t u, std::size_t, std::span<const nll> losses) {
      ++finished_now;
      if (u == 0) kept.assign(losses.begin(), losses.end());
    }
  };
  micro_transformer model;
  const std::vector<token_batch> batches{micro_transformer::labelled()};
  const score::pruning_sensitivity scorer{.sparsities = {0.5}};
  memory m;
  const scores whole = scorer.resume(model, std::span<const token_batch>(batches), m);
  CHECK(whole == scorer(model, std::span<const token_batch>(batches)));
  CHECK(m.finished_now == 2);
  CHECK(scorer.resume(model, std::span<const token_batch>(batches), m) == whole);
  CHECK(m.finished_now == 3);
}

TEST_CASE("the mean or the maximum over sparsities is one score", "[score][pruning_sensitivity][worked-example]") {
  micro_transformer model;
  pruning_sensitivity scorer{.sparsities = {0.25, 0.5}};
  const scores mean = scorer(model, one_batch);
  CHECK(mean.values[0] == Approx((0.4628688685 + 0.4218731406) / 2).margin(float_margin));
  CHECK(mean.scorer == "pruning_sensitivity sparsity=0.25,0.5");
  CHECK(mean.measure == "increase of the loss (nats)");
  scorer.reduce = pruning_sensitivity::reduction::max;
  CHECK(scorer(model, one_batch).values[1] == Approx(1.1087698821).margin(float_margin));
  // By default the only sparsity is 0.5. Block 1 is more sensitive.
  const scores half = pruning_sensitivity{}(model, one_batch);
  CHECK(half.values[0] < half.values[1]);
}

TEST_CASE("the drop of the accuracy keeps its sign", "[score][pruning_sensitivity][worked-example]") {
  micro_transformer model;
  const pruning_sensitivity scorer{.sparsities = {0.25, 0.5}, .by = pruning_sensitivity::metric::accuracy};
  const basic_matrix<double> s = scorer.table(model, one_batch);
  CHECK(s(0, 0) == 0);
  CHECK(s(1, 0) == 0);
  CHECK(s(0, 1) == Approx(-0.2));  // pruning block 0 by half makes one more of five predictions correct
  CHECK(s(1, 1) == 0);
  whole_forwards plain(model);
  CHECK(scorer.table(plain, one_batch) == s);
}

TEST_CASE("units can be halves and matrices", "[score][pruning_sensitivity][oracle]") {
  micro_transformer model;
  const scores matrices = pruning_sensitivity{.units = unit_kind::matrix}(model, one_batch);
  REQUIRE(matrices.size() == 4);
  for (std::size_t m = 0; m < 4; ++m) {
    micro_transformer by_hand;
    prune::magnitude{.sparsity = 0.5}(by_hand.weights(m));
    CHECK(matrices.values[m] == by_hand.loss(one_batch[0]).mean() - model.loss(one_batch[0]).mean());
  }
  CHECK(pruning_sensitivity{.units = unit_kind::half}(model, one_batch).values == matrices.values);
}

TEST_CASE("joint: one threshold for the matrices of a block", "[score][pruning_sensitivity][oracle]") {
  micro_transformer model, by_hand;
  // Block 0 holds .5 .25 -.25 .5 (attention) and .5 -1 1 .5: the four smallest of eight by (|w|, position) are those of
  // the attention.
  for (std::size_t i = 0; i < 4; ++i) by_hand.weights(0)(i / 2, i % 2) = 0;
  const pruning_sensitivity joint{.compete = pruning_sensitivity::scope::joint};
  CHECK(joint(model, one_batch).values[0] == by_hand.loss(one_batch[0]).mean() - model.loss(one_batch[0]).mean());
}

TEST_CASE("of equal magnitudes, quantile_strict removes all and exact half", "[score][pruning_sensitivity][oracle]") {
  micro_transformer model;
  for (std::size_t i = 0; i < 4; ++i) model.weights(0)(i / 2, i % 2) = i % 2 == 0 ? 0.5f : -0.5f;
  micro_transformer nothing_left = model, half_left = model;
  for (std::size_t i = 0; i < 4; ++i) nothing_left.weights(0)(i / 2, i % 2) = 0;
  for (std::size_t i = 0; i < 2; ++i) half_left.weights(0)(0, i) = 0;
  const double base = model.loss(one_batch[0]).mean();
  pruning_sensitivity scorer{.rule = prune::removal::quantile_strict, .units = unit_kind::matrix};
  CHECK(scorer(model, one_batch).values[0] == nothing_left.loss(one_batch[0]).mean() - base);
  scorer.rule = prune::removal::exact;
  CHECK(scorer(model, one_batch).values[0] == half_left.loss(one_batch[0]).mean() - base);
}

TEST_CASE("pruning_sensitivity @post: sparsity 0 gives exactly 0", "[score][pruning_sensitivity][property]") {
  micro_transformer model;
  const pruning_sensitivity scorer{.sparsities = {0}, .units = unit_kind::matrix};
  for (const double s : scorer(model, one_by_one).values) CHECK(s == 0);
}

TEST_CASE("pruning_sensitivity @post: equal with and without layered_model, and on any executor, bit for bit",
          "[score][pruning_sensitivity][property]") {
  micro_transformer model;
  whole_forwards plain(model);
  for (const unit_kind kind : {unit_kind::block, unit_kind::half, unit_kind::matrix}) {
    const pruning_sensitivity scorer{.sparsities = {0.25, 0.5, 1}, .units = kind};
    const scores s = scorer(model, one_by_one);
    CHECK(scorer(plain, one_by_one) == s);
    CHECK(scorer(model, one_by_one, thread_pool{2}) == s);
    CHECK(scorer(model, one_by_one, thread_pool{5}) == s);
  }
}

TEST_CASE("pruning_sensitivity @post: every weight has its original bits after the call, also if the call is refused",
          "[score][pruning_sensitivity][property]") {
  micro_transformer model;
  const std::vector<float> before = all_weights(model);
  static_cast<void>(pruning_sensitivity{.sparsities = {0.5, 1}}(model, one_batch));
  CHECK(all_weights(model) == before);
  std::vector<token_batch> bad = one_batch;
  bad[0].targets.assign(bad[0].targets.size(), no_target);
  CHECK_THROWS_AS(pruning_sensitivity{}(model, bad), error);
  CHECK(all_weights(model) == before);
}

TEST_CASE("invalid sparsities, and losses that are not finite, are refused", "[score][pruning_sensitivity][refusal]") {
  micro_transformer model;
  CHECK_THROWS_WITH(pruning_sensitivity{.sparsities = {}}(model, one_batch), ContainsSubstring("no sparsities"));
  CHECK_THROWS_WITH(pruning_sensitivity{.sparsities = {1.5}}(model, one_batch), ContainsSubstring("a fraction of 1.5"));
  CHECK_THROWS_WITH(pruning_sensitivity{}(model, std::vector<token_batch>{}), ContainsSubstring("nothing to predict"));
  model.weights(2)(1, 0) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THAT(refusal([&] { static_cast<void>(pruning_sensitivity{}(model, one_batch)); }),
             ContainsSubstring("the loss of batch 0 of the unchanged model is"));
  CHECK_THAT(refusal([&] { static_cast<void>(pruning_sensitivity{.units = unit_kind::matrix}(model, one_batch)); }),
             ContainsSubstring("the unchanged model"));
}

namespace {

/// A model without tokens or logits.
struct parabola {
  using batch_type = std::vector<double>;
  std::vector<matrix_info> infos{{"w", 0, part::other, 1, 2}};
  float w[2] = {1, 2};
  [[nodiscard]] std::span<const matrix_info> matrices() const { return infos; }
  [[nodiscard]] weight_view weights(std::size_t) const { return {w, 1, 2, 2, 1}; }
  [[nodiscard]] mutable_weight_view weights(std::size_t) { return {w, 1, 2, 2, 1}; }
  [[nodiscard]] nll loss(const batch_type& b) const {
    return {.sum = b[0] * static_cast<double>(w[0]) + static_cast<double>(w[1] * w[1]), .count = 1};
  }
};

}  // namespace

TEST_CASE("the loss needs no tokens; the accuracy does", "[score][pruning_sensitivity][refusal]") {
  parabola model;
  const std::vector<std::vector<double>> data{{3}, {5}};
  // Half of (1, 2) pruned: w0 = 0, the mean loss falls by (3 + 5) / 2.
  CHECK(pruning_sensitivity{}(model, data).values == std::vector<double>{-4});
  CHECK_THROWS_WITH(pruning_sensitivity{.by = pruning_sensitivity::metric::accuracy}(model, data),
                    ContainsSubstring("without token batches or logits"));
}
