#include <engine/model/router.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

using engine::router_rule;
using engine::router_settings;
using engine::routing;
using precis::matrix_view;

namespace {

std::vector<float> numbers(std::size_t n, double first) {
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(2 * std::sin(first + 2.9 * static_cast<double>(i)));
  return x;
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

/// The rule as its formula: sorts experts by score, then computes the weights. No groups.
void by_formula(const router_settings& s, const std::vector<double>& logits, const std::vector<double>& bias,
                std::vector<std::uint32_t>& expert, std::vector<double>& weight) {
  const std::size_t n = s.experts;
  std::vector<double> softmax(n), own(n), score(n);
  double total = 0;
  for (const double x : logits) total += std::exp(x);
  for (std::size_t e = 0; e < n; ++e) {
    softmax[e] = std::exp(logits[e]) / total;
    own[e] = s.rule == router_rule::sigmoid ? logistic(logits[e]) : softmax[e];
    score[e] = own[e] + (bias.empty() ? 0 : bias[e]);
  }
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::stable_sort(order, [&](std::uint32_t a, std::uint32_t b) { return score[a] > score[b]; });
  order.resize(s.chosen);
  double sum = s.sum_floor;
  for (const std::uint32_t e : order) sum += own[e];
  weight.clear();
  for (const std::uint32_t e : order) {
    double w = own[e];
    if (s.rule == router_rule::choice_then_softmax) {
      double chosen = 0;
      for (const std::uint32_t o : order) chosen += std::exp(logits[o]);
      w = std::exp(logits[e]) / chosen;
    } else if (s.renormalize) {
      w /= sum;
    }
    weight.push_back(s.scale * w);
  }
  expert = order;
}

std::vector<router_settings> all_rules() {
  return {
      {.rule = router_rule::softmax_then_choice, .experts = 7, .chosen = 3},
      {.rule = router_rule::softmax_then_choice, .experts = 7, .chosen = 3, .renormalize = true, .scale = 2.5},
      {.rule = router_rule::choice_then_softmax, .experts = 5, .chosen = 2},
      {.rule = router_rule::choice_then_softmax, .experts = 5, .chosen = 5, .renormalize = true, .scale = 0.5},
      {.rule = router_rule::sigmoid, .experts = 9, .chosen = 4, .scale = 1.25},
      {.rule = router_rule::sigmoid, .experts = 9, .chosen = 4, .renormalize = true, .sum_floor = 0.125, .scale = 3},
      {.rule = router_rule::softmax_then_choice, .experts = 3, .chosen = 1, .renormalize = true}};
}

}  // namespace

TEST_CASE("every rule chooses and weighs as its formula says", "[engine][router][oracle]") {
  for (const router_settings& s : all_rules())
    for (const bool biased : {false, true}) {
      if (biased && s.rule == router_rule::choice_then_softmax) continue;
      const std::size_t rows = 11;
      const std::vector<float> logits = numbers(rows * s.experts, 0.3);
      std::vector<float> bias = biased ? numbers(s.experts, 1) : std::vector<float>();
      for (float& b : bias) b *= 0.2f;
      const routing made = engine::route(s, matrix_view<const float>(logits, rows, s.experts), bias);
      std::vector<std::size_t> counts(s.experts, 0);
      for (std::size_t r = 0; r < rows; ++r) {
        const std::vector<double> row(logits.begin() + static_cast<std::ptrdiff_t>(r * s.experts),
                                      logits.begin() + static_cast<std::ptrdiff_t>((r + 1) * s.experts));
        std::vector<std::uint32_t> expert;
        std::vector<double> weight;
        by_formula(s, row, {bias.begin(), bias.end()}, expert, weight);
        CHECK(std::ranges::equal(made.experts_of(r), expert));
        for (std::size_t j = 0; j < s.chosen; ++j) {
          CHECK(std::abs(static_cast<double>(made.weights_of(r)[j]) - weight[j]) < 1e-6 * s.scale);
          ++counts[expert[j]];
        }
      }
      CHECK(made.counts(s.experts) == counts);
    }
}

TEST_CASE("of equal experts the first are chosen", "[engine][router]") {
  const std::vector<float> logits{1, 2, 2, 1, 2};
  for (const router_rule rule :
       {router_rule::softmax_then_choice, router_rule::choice_then_softmax, router_rule::sigmoid}) {
    const routing made =
        engine::route({.rule = rule, .experts = 5, .chosen = 4}, matrix_view<const float>(logits, 1, 5));
    CHECK(made.expert == std::vector<std::uint32_t>{1, 2, 4, 0});
  }
  // Logits so far apart that all probabilities but one are 0: the order is still theirs.
  const std::vector<float> far{-3000, 2000, -1000, -2000};
  CHECK(engine::route({.experts = 4, .chosen = 4}, matrix_view<const float>(far, 1, 4)).expert ==
        std::vector<std::uint32_t>{1, 2, 3, 0});
}

TEST_CASE("no value makes the choice invalid", "[engine][router]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> logits{nan, nan, nan, nan, 1, nan};
  for (const router_rule rule :
       {router_rule::softmax_then_choice, router_rule::choice_then_softmax, router_rule::sigmoid}) {
    std::vector<std::uint32_t> expert =
        engine::route({.rule = rule, .experts = 6, .chosen = 6}, matrix_view<const float>(logits, 1, 6)).expert;
    std::ranges::sort(expert);
    CHECK(expert == std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5});
  }
}

TEST_CASE("the bias decides the choice but not the weights", "[engine][router]") {
  const router_settings s{.rule = router_rule::sigmoid, .experts = 3, .chosen = 1};
  const std::vector<float> logits{0.5f, -2, 0.25f}, bias{0, 1, 0};
  const routing made = engine::route(s, matrix_view<const float>(logits, 1, 3), bias);
  CHECK(made.expert[0] == 1);
  CHECK(static_cast<double>(made.weight[0]) == Approx(logistic(-2)).epsilon(1e-6));
}

TEST_CASE("only experts of the best groups are chosen", "[engine][router]") {
  // Probabilities by logistic: groups of three. The single best expert is alone in its group.
  router_settings s{.rule = router_rule::sigmoid, .experts = 9, .chosen = 3, .groups = 3, .kept_groups = 1};
  const std::vector<float> logits{3, -5, -5, 1, 1.5f, 0, 0.5f, 1, 1.25f};
  const auto chosen = [&](std::span<const float> bias = {}) {
    return engine::route(s, matrix_view<const float>(logits, 1, 9), bias).expert;
  };
  // Sums of the two best: 0.95 + 0.007, 0.82 + 0.73, 0.78 + 0.73.
  CHECK(chosen() == std::vector<std::uint32_t>{4, 3, 5});
  s.kept_groups = 2;
  CHECK(chosen() == std::vector<std::uint32_t>{4, 8, 3});
  s.group_best = 1;  // the best expert of each: 0.95, 0.82, 0.78
  CHECK(chosen() == std::vector<std::uint32_t>{0, 4, 3});
  const std::vector<float> bias{-1, -1, -1, 0, 0, 0, 0, 0, 0};
  CHECK(chosen(bias) == std::vector<std::uint32_t>{4, 8, 3});
  s.kept_groups = 3;
  CHECK(chosen() == std::vector<std::uint32_t>{0, 4, 8});
}

TEST_CASE("gradients at the logits agree with differences", "[engine][router][oracle]") {
  for (const router_settings& s : all_rules()) {
    const std::size_t rows = 4;
    const std::vector<float> logits = numbers(rows * s.experts, 0.9), d_weight = numbers(rows * s.chosen, 2.2);
    const routing made = engine::route(s, matrix_view<const float>(logits, rows, s.experts));
    std::vector<float> d_logits(rows * s.experts, 77.f);
    engine::route_backward(s, matrix_view<const float>(logits, rows, s.experts), made,
                           matrix_view<const float>(d_weight, rows, s.chosen),
                           matrix_view<float>(d_logits, rows, s.experts));
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t e = 0; e < s.experts; ++e) {
        const auto along = [&](double step) {
          std::vector<double> row(logits.begin() + static_cast<std::ptrdiff_t>(r * s.experts),
                                  logits.begin() + static_cast<std::ptrdiff_t>((r + 1) * s.experts));
          row[e] += step;
          std::vector<std::uint32_t> expert;
          std::vector<double> weight;
          by_formula(s, row, {}, expert, weight);
          REQUIRE(std::ranges::equal(expert, made.experts_of(r)));
          double sum = 0;
          for (std::size_t j = 0; j < s.chosen; ++j) sum += weight[j] * static_cast<double>(d_weight[r * s.chosen + j]);
          return sum;
        };
        const double difference = (along(1e-5) - along(-1e-5)) / 2e-5;
        CHECK(std::abs(static_cast<double>(d_logits[r * s.experts + e]) - difference) < 1e-6);
      }
  }
}

TEST_CASE("rows do not depend on their neighbours, and may lie anywhere", "[engine][router][property]") {
  const router_settings s{.experts = 6, .chosen = 2, .renormalize = true};
  const std::vector<float> logits = numbers(5 * 8, 0.1);
  const matrix_view<const float> wide(logits.data(), 5, 6, 8, 1);
  const routing all = engine::route(s, wide);
  for (std::size_t r = 0; r < 5; ++r) {
    const routing one = engine::route(s, wide.row_range(r, 1));
    CHECK(std::ranges::equal(one.expert, all.experts_of(r)));
    CHECK(std::ranges::equal(one.weight, all.weights_of(r)));
  }
}

TEST_CASE("settings that cannot route are refused by name and value", "[engine][router]") {
  const auto refused = [](const router_settings& s) { return refusal([&] { engine::check(s, "config.json"); }); };
  CHECK(refused({.experts = 8, .chosen = 2, .groups = 4, .kept_groups = 2}) == "");
  CHECK_THAT(refused({.experts = 0, .chosen = 1}), ContainsSubstring("config.json: experts = 0"));
  CHECK_THAT(refused({.experts = 4, .chosen = 5}), ContainsSubstring("5 experts per token; expected 1 to 4"));
  CHECK_THAT(refused({.experts = 4, .chosen = 0}), ContainsSubstring("0 experts per token"));
  CHECK_THAT(refused({.experts = 8, .chosen = 2, .groups = 3}), ContainsSubstring("3 groups"));
  CHECK_THAT(refused({.experts = 8, .chosen = 3, .groups = 4}), ContainsSubstring("1 groups kept"));
  CHECK_THAT(refused({.experts = 8, .chosen = 2, .groups = 2, .kept_groups = 3}), ContainsSubstring("3 groups kept"));
  CHECK_THAT(refused({.experts = 8, .chosen = 2, .sum_floor = -1}), ContainsSubstring("sum floor of -1"));
  CHECK_THAT(refused({.experts = 8, .chosen = 2, .scale = std::nan("")}), ContainsSubstring("scaling factor of nan"));
  CHECK_THAT(refused({.experts = 8, .chosen = 2, .group_best = 0}), ContainsSubstring("from 0 experts"));
}
