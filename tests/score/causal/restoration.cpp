#include <precis/score/causal/restoration.hpp>

#include "catch.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

using namespace precis;
using score::layer_range;

TEST_CASE("the window of a restoration is centred and clipped to the model", "[score][causal_trace][worked-example]") {
  CHECK(score::restored_layers(5, 1, 12) == layer_range{5, 6});
  CHECK(score::restored_layers(5, 5, 12) == layer_range{3, 8});    // l - 2 ... l + 2
  CHECK(score::restored_layers(6, 10, 12) == layer_range{1, 11});  // l - 5 ... l + 4
  CHECK(score::restored_layers(0, 10, 12) == layer_range{0, 5});
  CHECK(score::restored_layers(11, 10, 12) == layer_range{6, 12});
  CHECK(score::restored_layers(1, 100, 2) == layer_range{0, 2});
}

TEST_CASE("the prediction of an answer is its softmax and whether it is the first choice",
          "[score][causal_trace][worked-example]") {
  const std::vector<float> logits{0, 2, 2};
  const double tied = std::exp(2.0) / (1 + 2 * std::exp(2.0));
  CHECK(score::predict_answer(logits, 1).probability == Approx(tied).epsilon(1e-14));
  CHECK(score::predict_answer(logits, 1).first_choice);
  CHECK(score::predict_answer(logits, 2).probability == Approx(tied).epsilon(1e-14));
  CHECK_FALSE(score::predict_answer(logits, 2).first_choice);  // the lowest token wins a tie
  CHECK(score::predict_answer(std::vector<float>{1000, 0}, 0).probability == 1);
}

TEST_CASE("predictions are averaged over runs", "[score][causal_trace][worked-example]") {
  const std::vector<score::answer_prediction> runs{{0.25, false}, {0.5, true}, {0.75, true}, {0.5, false}};
  const score::mean_prediction mean = score::average(runs);
  CHECK(mean.probability == 0.5);
  CHECK(mean.recovery == 0.5);
}
