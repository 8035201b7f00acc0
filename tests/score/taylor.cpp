#include <precis/score/taylor.hpp>

#include <precis/core/thread_pool.hpp>
#include <precis/model/whole_forwards.hpp>
#include <precis/score/first_order_taylor.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"
#include "score/quadratic.hpp"

#include <cmath>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace precis;
using score::first_order_taylor;
using score::taylor;
using score::weight_noise;

namespace {

const std::vector<token_batch> one_batch{micro_transformer::labelled()};
const std::vector<token_batch> one_by_one{micro_transformer::labelled(0, 1), micro_transformer::labelled(1, 1),
                                          micro_transformer::labelled(2, 1), micro_transformer::labelled(3, 1),
                                          micro_transformer::labelled(4, 1)};

/// Noise [[0.1, -0.1], [0.05, 0]] on the attention matrix, the first one of a block.
void worked_noise(const matrix_info&, std::size_t, double, std::span<double> e) {
  const double values[4] = {0.1, -0.1, 0.05, 0};
  std::copy_n(values, 4, e.begin());
}

taylor worked(taylor::statistic of) { return {.of = of, .draws = 2, .perturb = taylor::target::first_matrix}; }

// Float logits of order 10: the loss differs from that of the same model in double by about 1e-6.
constexpr double float_margin = 5e-6;

}  // namespace

TEST_CASE("losses with explicit noise", "[score][taylor][worked-example]") {
  micro_transformer model;
  const taylor scorer = worked(taylor::statistic::variation);
  const score::perturbed_losses losses = scorer.losses_of(model, one_batch, worked_noise);
  const double expected[4] = {2.0225342675, 1.8451210018, 2.0783447041, 1.7640148936};
  REQUIRE(losses.changed.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) {
    REQUIRE(losses.changed[i].size() == 1);
    CHECK(losses.changed[i][0].mean() == Approx(expected[i]).margin(float_margin));
  }
  CHECK(losses.unchanged[0].mean() == Approx(1.9364132758).margin(float_margin));
}

TEST_CASE("all statistics of losses with explicit noise", "[score][taylor][worked-example]") {
  micro_transformer model;
  const auto values = [&](taylor::statistic of) {
    const taylor scorer = worked(of);
    return scorer.combine(model.matrices(), scorer.losses_of(model, one_by_one, worked_noise), 5).values;
  };
  const std::vector<double> variation = values(taylor::statistic::variation);
  CHECK(variation[0] == Approx((0.0861209918 + 0.0912922739) / 2).margin(float_margin));
  CHECK(variation[1] == Approx((0.1419314283 + 0.1723983821) / 2).margin(float_margin));
  const std::vector<double> each = values(taylor::statistic::per_sample);
  CHECK(each[0] == Approx((0.0861209918 + 0.0912922739) / 2).margin(float_margin));
  CHECK(each[1] == Approx((0.1448451954 + 0.2006246199) / 2).margin(float_margin));
  const std::vector<double> curvature = values(taylor::statistic::curvature);
  CHECK(curvature[0] == Approx((0.0861209918 - 0.0912922739) / 2).margin(float_margin));
  CHECK(curvature[1] == Approx((0.1419314283 - 0.1723983821) / 2).margin(float_margin));
  const std::vector<double> total =
      values(taylor::statistic::total);  // TV / N with one sample per batch: the mean loss
  CHECK(total[0] == Approx((2.0225342675 + 1.8451210018) / 2).margin(float_margin));
  CHECK(total[1] == Approx((2.0783447041 + 1.7640148936) / 2).margin(float_margin));
}

TEST_CASE("the literal method sums batch means and divides by the samples", "[score][taylor][oracle]") {
  // Five samples in one batch: the sum over batches is one mean loss, and TV / N is a fifth of it.
  micro_transformer model;
  const taylor literal = taylor::literal();
  CHECK(literal.draws == 1);
  CHECK(literal.noise.deviation(model.weights(0)) == 1.0);
  const scores s = literal(model, one_batch);
  score::perturbed_losses drawn;
  random_stream draws(0, purpose("score::taylor block.1.attn"));
  micro_transformer by_hand;
  for (std::size_t i = 0; i < 4; ++i)
    by_hand.weights(2)(i / 2, i % 2) =
        static_cast<float>(static_cast<double>(by_hand.weights(2)(i / 2, i % 2)) + draws.normal(i));
  CHECK(s.values[1] == by_hand.loss(one_batch[0]).mean() / 5);
  CHECK(s.scorer == "taylor total noise=1 draws=1 first_matrix");
}

TEST_CASE("curvature of a quadratic loss is e'Ae / 2", "[score][taylor][worked-example]") {
  quadratic model;
  const std::vector<std::vector<double>> data{{0.3, -0.7}};
  const taylor scorer{.of = taylor::statistic::curvature, .draws = 2};
  const auto noise = [](const matrix_info&, std::size_t, double, std::span<double> e) { e[0] = 0.1, e[1] = -0.2; };
  // e'Ae / 2 = 0.01 - 0.01 + 0.02. Weights near 1 in float round e by up to 6e-8, and L by a few times that.
  CHECK(scorer.combine(model.matrices(), scorer.losses_of(model, data, noise), 1).values[0] ==
        Approx(0.02).margin(1e-6));
}

TEST_CASE("taylor @post: equal with and without layered_model, and on any executor, bit for bit",
          "[score][taylor][property]") {
  micro_transformer model;
  whole_forwards plain(model);
  for (const unit_kind kind : {unit_kind::block, unit_kind::half, unit_kind::matrix}) {
    const taylor scorer{.of = taylor::statistic::per_sample, .seed = 7, .units = kind};
    const scores s = scorer(model, one_by_one);
    CHECK(scorer(plain, one_by_one) == s);
    CHECK(scorer(model, one_by_one, thread_pool{3}) == s);
  }
}

TEST_CASE("taylor resumes from remembered losses and gives the same scores", "[score][taylor][property]") {
  struct memory {
    std::map<std::pair<std::size_t, std::size_t>, std::vector<nll>> all = {};
    std::size_t finished_now = 0;
    [[nodiscard]] const std::vector<nll>* known(std::size_t u, std::size_t v) const {
      const auto at = all.find({u, v});
      return at == all.end() ? nullptr : &at->second;
    }
    void finished(std::size_t u, std::size_t v, std::span<const nll> losses) {
      ++finished_now;
      all.emplace(std::pair{u, v}, std::vector<nll>(losses.begin(), losses.end()));
    }
  };
  micro_transformer model;
  const taylor scorer{.draws = 4};
  const scores whole = scorer(model, std::span<const token_batch>(one_by_one));
  memory first;
  CHECK(scorer.resume(model, std::span<const token_batch>(one_by_one), first) == whole);
  REQUIRE(first.finished_now == 8);  // two blocks
  memory second = first;
  second.finished_now = 0;
  second.all.erase({0, 3});
  second.all.erase({1, 0});
  CHECK(scorer.resume(model, std::span<const token_batch>(one_by_one), second) == whole);
  CHECK(second.finished_now == 2);
  CHECK(second.all == first.all);
}

TEST_CASE("draws depend on seed and matrix, not on the grouping into units", "[score][taylor][property]") {
  micro_transformer model;
  const auto first_only = [&](unit_kind kind, std::uint64_t seed) {
    return taylor{.perturb = taylor::target::first_matrix, .seed = seed, .units = kind}(model, one_batch).values;
  };
  const std::vector<double> blocks = first_only(unit_kind::block, 1), matrices = first_only(unit_kind::matrix, 1);
  CHECK(blocks[0] == matrices[0]);
  CHECK(blocks[1] == matrices[2]);
  CHECK(first_only(unit_kind::block, 2) != blocks);
}

TEST_CASE("taylor @post: every weight has its original bits after the call", "[score][taylor][property]") {
  micro_transformer model;
  const std::vector<float> before = all_weights(model);
  static_cast<void>(taylor{}(model, one_batch));
  CHECK(all_weights(model) == before);
  // Noise beyond the range of float is refused, and the weights restored.
  const taylor huge{.noise = {.size = 1e300, .scale = weight_noise::scaling::absolute}};
  CHECK_THAT(refusal([&] { static_cast<void>(huge(model, one_batch)); }),
             ContainsSubstring("with unit block.0 perturbed, draw 0 is"));
  CHECK(all_weights(model) == before);
}

TEST_CASE("a matrix of zeros gets noise of absolute size, and is named", "[score][taylor][worked-example]") {
  micro_transformer model;
  for (std::size_t i = 0; i < 4; ++i) model.weights(1)(i / 2, i % 2) = 0;
  CHECK(weight_noise{.size = 0.5}.deviation(model.weights(1)) == 0.5);
  CHECK(weight_noise{.size = 0.5}.deviation(model.weights(0)) == Approx(0.5 * std::sqrt(0.625 / 4)));
  CHECK(taylor{}(model, one_batch).scorer == "taylor variation noise=0.01rms draws=4 antithetic absolute:block.0.mlp");
  CHECK(first_order_taylor{}(model, one_batch).scorer == "first_order_taylor noise=0.01rms absolute:block.0.mlp");
}

TEST_CASE("invalid noise is refused", "[score][taylor][refusal]") {
  micro_transformer model;
  const auto said = [&](const taylor& t) { return refusal([&] { static_cast<void>(t(model, one_batch)); }); };
  CHECK_THAT(said({.draws = 0}), ContainsSubstring("no draws"));
  CHECK_THAT(said({.draws = 3}), ContainsSubstring("3 antithetic draws"));
  CHECK_THAT(said({.of = taylor::statistic::curvature, .draw = taylor::signs::independent}),
             ContainsSubstring("curvature of independent draws"));
  CHECK_THAT(said({.noise = {.size = 0}}), ContainsSubstring("noise of size 0"));
  CHECK_THAT(said({.noise = {.size = std::numeric_limits<double>::infinity()}}),
             ContainsSubstring("noise of size inf"));
  CHECK_THROWS_WITH(taylor{}.combine(model.matrices(), {}, 1), ContainsSubstring("expected 4 for each of 2 units"));
}
