#include <precis/score/input_taylor.hpp>

#include <precis/core/thread_pool.hpp>
#include <precis/model/whole_forwards.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>
#include <vector>

using namespace precis;
using Catch::Matchers::ContainsSubstring;
using score::input_taylor;
using score::taylor;

namespace {

const std::vector<token_batch> one_by_one{micro_transformer::labelled(0, 1), micro_transformer::labelled(1, 1),
                                          micro_transformer::labelled(2, 1), micro_transformer::labelled(3, 1),
                                          micro_transformer::labelled(4, 1)};

static_assert(tappable_model<whole_forwards<micro_transformer>> && !layered_model<whole_forwards<micro_transformer>>);
static_assert(layered_model<micro_transformer>);

}  // namespace

TEST_CASE("input_taylor @post: equal with and without layered_model, and on any executor, bit for bit",
          "[score][input_taylor][property]") {
  micro_transformer model;
  for (const auto of : {taylor::statistic::variation, taylor::statistic::per_sample, taylor::statistic::curvature,
                        taylor::statistic::total}) {
    const input_taylor scorer{.of = of, .size = 0.1, .seed = 3};
    const scores layered = scorer(model, one_by_one);
    CHECK(scorer(whole_forwards(model), one_by_one) == layered);
    CHECK(scorer(model, one_by_one, thread_pool{3}) == layered);
    CHECK(layered.size() == 2);
    CHECK_THAT(layered.scorer, ContainsSubstring("input_taylor"));
  }
  const scores blocks = input_taylor{}(model, one_by_one);
  const scores matrices = input_taylor{.units = unit_kind::matrix}(model, one_by_one);
  CHECK(matrices.values == std::vector<double>{blocks.values[0], blocks.values[0], blocks.values[1], blocks.values[1]});
}

TEST_CASE("the variation is proportional to small noise", "[score][input_taylor][property]") {
  const micro_transformer model;
  const auto values = [&](taylor::statistic of, double size) {
    return input_taylor{.of = of, .size = size}(model, one_by_one).values;
  };
  const auto small = values(taylor::statistic::per_sample, 1e-3), twice = values(taylor::statistic::per_sample, 2e-3);
  for (std::size_t u = 0; u < 2; ++u) {
    CHECK(small[u] > 0);
    CHECK(twice[u] / small[u] == Approx(2).epsilon(0.05));
  }
}

TEST_CASE("one draw is the change of the loss under its noise", "[score][input_taylor][oracle]") {
  // The same noise, added by a tap.
  const micro_transformer model;
  const token_batch& batch = one_by_one[2];
  const std::vector<token_batch> one{batch};
  for (std::size_t layer = 0; layer < 2; ++layer) {
    const random_stream normal(7, purpose("score::input_taylor " + std::to_string(layer) + " 0"));
    const nll moved = model.loss(batch, [&](site at, activations_view<float> x) {
      if (at != site{site_kind::residual, layer}) return;
      double squares = 0;
      for (std::size_t t = 0; t < x.tokens; ++t)
        for (const float v : x(0, t)) squares += static_cast<double>(v * v);
      const double rms = std::sqrt(squares / static_cast<double>(x.size()));
      std::size_t i = 0;
      for (std::size_t t = 0; t < x.tokens; ++t)
        for (float& v : x(0, t)) v += static_cast<float>(0.05 * rms * normal.normal(i++));
    });
    const scores found =
        input_taylor{.size = 0.05, .draws = 1, .draw = taylor::signs::independent, .seed = 7}(model, one);
    CHECK(found.values[layer] == Approx(std::abs(moved.mean() - model.loss(batch).mean())).epsilon(1e-3));
  }
}

TEST_CASE("invalid settings and losses are refused", "[score][input_taylor][refusal]") {
  micro_transformer model;
  CHECK_THAT(refusal([&] { (void)input_taylor{.draws = 3}(model, one_by_one); }), ContainsSubstring("3 antithetic"));
  CHECK_THAT(refusal([&] { (void)input_taylor{.size = -1}(model, one_by_one); }), ContainsSubstring("noise of size"));
  CHECK_THAT(refusal([&] { (void)input_taylor{}(model, std::vector<token_batch>{}); }),
             ContainsSubstring("nothing to predict"));
  model.weights(2)(0, 0) = std::numeric_limits<float>::infinity();
  CHECK_THAT(refusal([&] { (void)input_taylor{}(std::as_const(model), one_by_one); }),
             ContainsSubstring("the loss of"));
}
