#include <precis/score/combine.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <cmath>
#include <limits>
#include <vector>

using namespace precis;
using score::combine;

namespace {

scores table(std::vector<double> values, std::string scorer = "a", std::string measure = "nats") {
  scores s{.model = {}, .scorer = std::move(scorer), .measure = std::move(measure), .units = {}, .values = values};
  for (std::size_t i = 0; i < values.size(); ++i)
    s.units.push_back({.name = "block." + std::to_string(i), .layer = i, .matrices = {i}, .weights = 1});
  return s;
}

std::string said(const combine& how, const std::vector<scores>& tables) {
  return refusal([&] { static_cast<void>(how(tables)); });
}

}  // namespace

TEST_CASE("ranks are averaged by weight", "[score][combine][worked-example]") {
  // Ranks 0, 1/2, 1 and 1, 1/4, 1/4 (ties share their mean rank).
  const std::vector<scores> tables{table({-5, 2, 100}), table({9, 1, 1}, "b", "probability")};
  const scores s = combine{}(tables);
  CHECK(s.values == std::vector<double>{0.5, 0.375, 0.625});
  CHECK(s.scorer == "combine rank: 1 x (a) + 1 x (b)");
  CHECK(s.measure == "mean rank");
  CHECK(s.units == tables[0].units);
  CHECK(combine{.weights = {3, 1}}(tables).values == std::vector<double>{0.25, 0.4375, 0.8125});
  CHECK(combine{.weights = {0, 2}}(tables).values == combine{}(std::vector{tables[1]}).values);
}

TEST_CASE("the other scales by hand", "[score][combine][worked-example]") {
  const std::vector<scores> tables{table({0, 1, 4}), table({8, 0, 0}, "b")};
  using scale = combine::scale;
  CHECK(combine{.as = scale::minmax}(tables).values == std::vector<double>{0.5, 0.125, 0.5});
  CHECK(combine{.as = scale::sum1}(tables).values == std::vector<double>{0.5, 0.1, 0.4});
  CHECK(combine{.as = scale::raw}(tables).values == std::vector<double>{4, 0.5, 2});
  CHECK(combine{.as = scale::raw}(tables).measure == "nats");
  // (0, 2): mean 1, deviation 1.
  CHECK(combine{.as = scale::zscore}(std::vector{table({0, 2}), table({5, 5})}).values ==
        std::vector<double>{-0.5, 0.5});
}

TEST_CASE("combine @post: scale::rank: a strictly increasing map of one table changes nothing",
          "[score][combine][property]") {
  const std::vector<double> x{3, -1, 2.5, 2.5, 7}, y{0, 4, 1, -2, 3};
  std::vector<double> mapped;
  for (const double v : x) mapped.push_back(std::exp(v) - 40);
  CHECK(combine{}(std::vector{table(x), table(y)}).values == combine{}(std::vector{table(mapped), table(y)}).values);
}

TEST_CASE("invalid weights and tables that do not match are refused", "[score][combine][refusal]") {
  const scores a = table({1, 2});
  CHECK_THAT(said({}, {}), ContainsSubstring("no scores"));
  CHECK_THAT(said({}, {a, table({1, 2, 3}, "longer")}), ContainsSubstring("the units of 'longer'"));
  CHECK_THAT(said({.weights = {1}}, {a, a}), ContainsSubstring("1 weights for 2 tables"));
  CHECK_THAT(said({.weights = {1, -1}}, {a, a}), ContainsSubstring("weights >= 0"));
  CHECK_THAT(said({.weights = {0, 0}}, {a, a}), ContainsSubstring("sum to 0"));
  CHECK_THAT(said({.weights = {std::numeric_limits<double>::quiet_NaN(), 1}}, {a, a}),
             ContainsSubstring("weights >= 0"));
  CHECK_THAT(said({}, {a, table({1, std::numeric_limits<double>::infinity()})}), ContainsSubstring("block.1"));
  CHECK_THAT(said({.as = combine::scale::raw}, {a, table({1, 2}, "b", "probability")}),
             ContainsSubstring("raw scores that measure 'nats' and 'probability'"));
  CHECK_THAT(said({.as = combine::scale::sum1}, {table({-1, 2})}), ContainsSubstring("negative"));
  scores other = a;
  other.model = "one";
  scores another = a;
  another.model = "two";
  CHECK_THAT(said({}, {other, another}), ContainsSubstring("the models one and two"));
  CHECK(combine{}(std::vector{a, other}).model == "one");
}
