#include <precis/score/causal/corruption.hpp>

#include "micro_transformer.hpp"

#include "catch.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

using namespace precis;
using score::corruption;

TEST_CASE("the deviation of embeddings is unbiased and over all elements", "[score][causal_trace][worked-example]") {
  // The micro-transformer embeds tokens 0, 1, 2 as (1,0), (0,1), (1,1): together 1,0,0,1,1,1 with mean 2/3 and sum of
  // squares 4.
  const std::vector<std::vector<token>> strings{{0, 1}, {2}};
  CHECK(score::embedding_deviation(micro_transformer{}, strings) == Approx(std::sqrt((4.0 - 6.0 * 4.0 / 9.0) / 5.0)));
}

TEST_CASE("the noise scale is that of subject_alone if the facts have it", "[score][causal_trace][worked-example]") {
  score::fact f{.name = "f", .prompt = {0, 1, 2}, .subject_begin = 1, .subject_end = 2, .answer = 1};
  const corruption c{.amount = 2};
  CHECK(score::noise_scale(c, micro_transformer{}, std::vector{f}) == Approx(2 * std::sqrt(0.5)));  // of (0, 1)
  f.subject_alone = {2, 2, 0};                                                                      // 1 1 1 1 1 0
  CHECK(score::noise_scale(c, micro_transformer{}, std::vector{f}) == Approx(2 * std::sqrt((5.0 - 25.0 / 6.0) / 5.0)));
  CHECK(score::noise_scale({.draw = corruption::rule::gaussian, .amount = 0.25}, micro_transformer{}, std::vector{f}) ==
        0.25);
}

TEST_CASE("noise is equal for equal arguments and proportional to its scale", "[score][causal_trace][property]") {
  const corruption c{.seed = 7, .runs = 3};
  CHECK(score::draw_noise(c, 1, 2, 5) == score::draw_noise(c, 1, 2, 5));
  const activations once = score::draw_noise(c, 1, 2, 5), doubled = score::draw_noise(c, 2, 2, 5);
  for (std::size_t i = 0; i < once.values.size(); ++i) CHECK(doubled.values[i] == 2 * once.values[i]);
  CHECK(score::draw_noise({.seed = 8, .runs = 3}, 1, 2, 5) != once);
}

TEST_CASE("noise has the distribution of its rule", "[score][causal_trace][oracle]") {
  const auto source = GENERATE(corruption::generator::counter_based, corruption::generator::rome);
  const auto moments = [&](corruption::rule rule) {
    const activations n = score::draw_noise({.draw = rule, .source = source, .runs = 100}, 3, 4, 100);
    double sum = 0, squares = 0, largest = 0;
    for (const float v : n.values) {
      sum += static_cast<double>(v);
      squares += static_cast<double>(v) * static_cast<double>(v);
      largest = std::max(largest, std::abs(static_cast<double>(v)));
    }
    const auto count = static_cast<double>(n.values.size());
    return std::array{sum / count, squares / count, largest};
  };
  // 40,000 draws: the standard error of the mean is sigma / 200, that of the variance sigma^2 sqrt(2) / 200. Five of
  // each.
  const auto gaussian = moments(corruption::rule::gaussian);
  CHECK(std::abs(gaussian[0]) < 5 * 3.0 / 200);
  CHECK(gaussian[1] == Approx(9).margin(5 * 9 * std::sqrt(2.0) / 200));
  CHECK(gaussian[2] > 9);  // beyond three sigma
  const auto uniform = moments(corruption::rule::uniform);
  CHECK(std::abs(uniform[0]) < 5 * std::sqrt(3.0) / 200);
  CHECK(uniform[1] == Approx(3).margin(0.1));  // 3^2 / 3
  CHECK(uniform[2] <= 3);
}

TEST_CASE("generator::rome draws NumPy's RandomState(1).randn, in order", "[score][causal_trace][worked-example]") {
  const activations n = score::draw_noise({.source = corruption::generator::rome, .seed = 1, .runs = 1}, 1, 1, 6);
  const float expected[6] = {1.6243453637f,  -0.6117564137f, -0.5281717523f,
                             -1.0729686222f, 0.8654076293f,  -2.3015386969f};
  for (std::size_t i = 0; i < 6; ++i) CHECK(n.values[i] == Approx(expected[i]).epsilon(1e-6));
}

TEST_CASE("invalid corruptions are refused", "[score][causal_trace][refusal]") {
  const score::fact f{.name = "f", .prompt = {0, 1}, .subject_begin = 0, .subject_end = 1, .answer = 1};
  CHECK_THROWS_WITH(score::draw_noise({.runs = 0}, 1, 1, 1), ContainsSubstring("no noisy runs"));
  CHECK_THROWS_WITH(score::noise_scale({.amount = -1}, micro_transformer{}, std::vector{f}),
                    ContainsSubstring("noise amount"));
  CHECK_THROWS_WITH(score::noise_scale({}, micro_transformer{}, std::vector<score::fact>{}),
                    ContainsSubstring("no subject"));
}
