#include <precis/score/gradient_magnitude.hpp>

#include "micro_transformer.hpp"

#include "catch.hpp"

#include <vector>

using namespace precis;
using score::gradient_magnitude;

namespace {
const std::vector<token_batch> one_batch{micro_transformer::labelled()};
const std::vector<token_batch> two_parts{micro_transformer::labelled(0, 2), micro_transformer::labelled(2, 3)};
const std::vector<token_batch> one_by_one{micro_transformer::labelled(0, 1), micro_transformer::labelled(1, 1),
                                          micro_transformer::labelled(2, 1), micro_transformer::labelled(3, 1),
                                          micro_transformer::labelled(4, 1)};
}  // namespace

TEST_CASE("base loss of the micro-transformer", "[score][gradient_magnitude][worked-example]") {
  const nll loss = micro_transformer{}.loss(one_batch[0]);
  CHECK(loss.count == 5);
  CHECK(loss.mean() == Approx(1.9364132758).epsilon(1e-6));
}

TEST_CASE("squared gradient of the mean loss", "[score][gradient_magnitude][worked-example]") {
  const micro_transformer model;
  const std::vector<double> expected{7.1362978919, 5.5467159774, 9.2646243622, 3.2486973963};
  const scores halves = gradient_magnitude{.units = unit_kind::half}(model, one_batch);
  for (std::size_t i = 0; i < 4; ++i) CHECK(halves.values[i] == Approx(expected[i]).epsilon(1e-5));
  const scores blocks = gradient_magnitude{}(model, one_batch);
  CHECK(blocks.values[0] == Approx(12.6830).epsilon(1e-4));
  CHECK(blocks.values[1] == Approx(12.5133).epsilon(1e-4));
  CHECK(blocks.values[0] > blocks.values[1]);
}

TEST_CASE("the gradient of the first attention map", "[score][gradient_magnitude][worked-example]") {
  basic_matrix<double> gradient(2, 2);
  static_cast<void>(micro_transformer{}.backward(one_batch[0], [&](const linear_gradient& g) {
    if (g.matrix == 0) score::add_weight_gradient(g, gradient);
  }));
  const double expected[4] = {-0.1100134712, -0.0608558201, 1.9577403969, 1.8132137313};
  for (std::size_t i = 0; i < 4; ++i) CHECK(gradient.values[i] / 5 == Approx(expected[i]).epsilon(1e-5));
}

TEST_CASE("square_then_mean reverses the order of the blocks", "[score][gradient_magnitude][worked-example]") {
  const gradient_magnitude fisher{.squares = gradient_magnitude::order::square_then_mean};
  const scores s = fisher(micro_transformer{}, one_by_one);
  CHECK(s.values[0] == Approx(38.3923686710).epsilon(1e-5));
  CHECK(s.values[1] == Approx(40.1842390378).epsilon(1e-5));
}

TEST_CASE("mean_then_square does not depend on the batching", "[score][gradient_magnitude][property]") {
  const micro_transformer model;
  const scores a = gradient_magnitude{}(model, one_batch), b = gradient_magnitude{}(model, two_parts);
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(a.values[i] == Approx(b.values[i]).epsilon(1e-6));
}

TEST_CASE("batches without targets are refused", "[score][gradient_magnitude][refusal]") {
  CHECK_THROWS_WITH(gradient_magnitude{}(micro_transformer{}, std::vector<token_batch>{}),
                    ContainsSubstring("no targets"));
}
