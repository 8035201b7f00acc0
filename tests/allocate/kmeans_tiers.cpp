#include <precis/allocate/kmeans_tiers.hpp>
#include <precis/core/random.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace precis;
using allocate::cluster;
using allocate::clustering;
using allocate::kmeans_tiers;

namespace {

scores scored(std::vector<double> values) {
  scores s{.model = "8c1f", .scorer = "hand", .measure = "none", .units = {}, .values = std::move(values)};
  for (std::size_t i = 0; i < s.values.size(); ++i)
    s.units.push_back({.name = "block." + std::to_string(i),
                       .layer = i,
                       .kind = unit_kind::block,
                       .part = part::other,
                       .matrices = {i},
                       .weights = 1});
  return s;
}

std::vector<std::size_t> sizes(const std::vector<double>& values, const clustering& c) {
  std::vector<std::size_t> count(c.from.size());
  for (const double v : values) ++count[c.of(v)];
  return count;
}

/// The textbook dynamic program over all cuts, with sums of squares from their definition. Cost O(count n^2).
double least_sse(std::vector<double> v, std::size_t count) {
  std::ranges::sort(v);
  const std::size_t n = v.size();
  std::vector<std::vector<double>> cost(n + 1, std::vector<double>(n + 1, 0));
  for (std::size_t i = 0; i < n; ++i) {
    double mean = 0, sse = 0;  // Welford's running mean and sum
    for (std::size_t j = i; j < n; ++j) {
      const double d = v[j] - mean;
      mean += d / static_cast<double>(j - i + 1);
      sse += d * (v[j] - mean);
      cost[i][j + 1] = sse;
    }
  }
  std::vector<double> least = cost[0];
  for (std::size_t k = 1; k < count; ++k)
    for (std::size_t j = n; j > 0; --j)
      for (std::size_t i = 0; i < j; ++i) least[j] = std::min(least[j], least[i] + cost[i][j]);
  return least[n];
}

double lloyd(const std::vector<double>& values, std::vector<double> centres) {
  double sse = 0;
  for (int round = 0; round < 100; ++round) {
    std::vector<double> sum(centres.size()), count(centres.size());
    sse = 0;
    for (const double v : values) {
      std::size_t best = 0;
      for (std::size_t c = 1; c < centres.size(); ++c)
        if (std::abs(v - centres[c]) < std::abs(v - centres[best])) best = c;
      sum[best] += v;
      ++count[best];
      sse += (v - centres[best]) * (v - centres[best]);
    }
    for (std::size_t c = 0; c < centres.size(); ++c)
      if (count[c] > 0) centres[c] = sum[c] / count[c];
  }
  return sse;
}

const std::vector<double> twelve{.02, .05, .04, .30, .33, .90, .06, .31, .95, .03, .28, .88};
const std::vector<double> eight{0, 1, 2, 10, 11, 12, 13, 30};
const std::vector<double> ten{1, 2, 3, 7, 8, 9, 20, 21, 22, 40};

}  // namespace

TEST_CASE("optimal clusters of three small sets", "[allocate][kmeans_tiers][worked-example]") {
  const clustering c = cluster(twelve, 3);
  CHECK(c.sse == Approx(0.0049).epsilon(1e-9));
  CHECK(c.from == std::vector<double>{.02, .28, .88});
  CHECK(cluster(eight, 3).sse == Approx(7).epsilon(1e-12));
  CHECK(sizes(eight, cluster(eight, 3)) == std::vector<std::size_t>{3, 4, 1});
  CHECK(cluster(eight, 3).centres == std::vector<double>{1, 11.5, 30});
  CHECK(cluster(ten, 3).sse == Approx(60).epsilon(1e-12));
  CHECK(sizes(ten, cluster(ten, 3)) == std::vector<std::size_t>{6, 3, 1});
}

TEST_CASE("Lloyd's algorithm can stop far above the optimum", "[allocate][kmeans_tiers][worked-example]") {
  CHECK(lloyd(eight, {0, 1, 2}) == Approx(279.3).margin(0.05));
  CHECK(lloyd(ten, {1, 2, 3}) == Approx(276.75).epsilon(1e-9));
}

TEST_CASE("cluster equals the textbook program", "[allocate][kmeans_tiers][oracle]") {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const random_stream random(seed, purpose("values"));
    const std::size_t n = 1 + random.below(0, 40), count = 1 + random.below(1, 6);
    std::vector<double> v;
    for (std::size_t i = 0; i < n; ++i)
      v.push_back(seed % 2 == 0 ? std::exp(2 * random.normal(10 + i)) : static_cast<double>(random.below(10 + i, 12)));
    double squares = 0;
    for (const double x : v) squares += x * x;
    CAPTURE(seed, n, count);
    // The rounding error of prefix sums is at most n half units in the last place of the sum of squares.
    CHECK(cluster(v, count).sse == Approx(least_sse(v, count)).margin(1e-14 * squares));
  }
}

TEST_CASE("cluster equals the textbook program if it narrows windows first", "[allocate][kmeans_tiers][oracle]") {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    const random_stream random(seed, purpose("many"));
    std::vector<double> v;
    for (std::size_t i = 0; i < 1200; ++i) {
      const double x = random.normal(i);
      v.push_back(seed % 3 == 0 ? x : seed % 3 == 1 ? std::exp(x) : std::round(4 * x) + (i % 3 == 0 ? 40 : 0));
    }
    const std::size_t count = 2 + seed % 4;
    CHECK(cluster(v, count).sse == Approx(least_sse(v, count)).epsilon(1e-11));
  }
}

TEST_CASE("cluster @post: the order of the values does not matter; no other split has a smaller sum",
          "[allocate][kmeans_tiers][property]") {
  const random_stream random(3, purpose("order"));
  std::vector<double> v;
  for (std::size_t i = 0; i < 3000; ++i) v.push_back(random.normal(i) + (i % 2 == 0 ? 3 : 0));
  const clustering c = cluster(v, 3);
  std::vector<double> reversed(v.rbegin(), v.rend());
  CHECK(cluster(reversed, 3).from == c.from);
  CHECK(cluster(reversed, 3).sse == c.sse);
  for (std::uint64_t start = 0; start < 5; ++start)
    CHECK(c.sse <= lloyd(v, {v[start], v[start + 100], v[start + 200]}) * (1 + 1e-12));
}

TEST_CASE("equal scores are never separated", "[allocate][kmeans_tiers][worked-example]") {
  // 0, 1, 1, 2 in two groups: {0, 1 | 1, 2} would cost 1, {0 | 1, 1, 2} and {0, 1, 1 | 2} cost 2/3; the leftmost wins.
  CHECK(cluster(std::vector<double>{0, 1, 1, 2}, 2).from == std::vector<double>{0, 1});
  CHECK(kmeans_tiers{}.tiers(std::vector<double>{5, 1, 5, 1, 5}) == std::vector<std::size_t>{2, 1, 2, 1, 2});
}

TEST_CASE("with fewer distinct scores than options the lowest options are unused",
          "[allocate][kmeans_tiers][worked-example]") {
  CHECK(kmeans_tiers{}.tiers(std::vector<double>{7, 7, 7}) == std::vector<std::size_t>{2, 2, 2});
  CHECK(kmeans_tiers{}.tiers(std::vector<double>{7}) == std::vector<std::size_t>{2});
  CHECK(kmeans_tiers{}.tiers(std::vector<double>{3, -1}) == std::vector<std::size_t>{2, 1});
  CHECK(kmeans_tiers{}.tiers(std::vector<double>{}) == std::vector<std::size_t>{});
}

TEST_CASE("kmeans_tiers @post: S -> a S + b with a > 0 changes no tier", "[allocate][kmeans_tiers][property]") {
  for (const double a : {0.001, 37.0, 1e9})
    for (const double b : {-5.0, 0.0, 100.0}) {
      std::vector<double> moved;
      for (const double v : twelve) moved.push_back(a * v + b);
      CHECK(kmeans_tiers{}.tiers(moved) == kmeans_tiers{}.tiers(twelve));
    }
}

TEST_CASE("two sensitivities and two widths, as in CPTQuant", "[allocate][kmeans_tiers][worked-example]") {
  const kmeans_tiers method{.options = {{.codec = "affine4.row"}, {.codec = "float16"}}};
  for (const std::vector<double>& s : {std::vector<double>{0.42187, 0.66906}, {0.0861, 0.1419}}) {
    const plan p = method(scored(s));
    CHECK(p.choices[0].codec == "affine4.row");
    CHECK(p.choices[1].codec == "float16");
  }
}

TEST_CASE("the plan of kmeans_tiers", "[allocate][kmeans_tiers][worked-example]") {
  const plan p = kmeans_tiers{}(scored(twelve));
  REQUIRE(p.choices.size() == 12);
  CHECK(p.choices[0].codec == "affine4.row");
  CHECK(p.choices[3].codec == "affine8.row");
  CHECK(p.choices[5].codec == "float16");
  CHECK(p.notes == std::vector<std::string>{"kmeans_tiers of hand: 5 affine4.row, 4 affine8.row, 3 float16"});
  CHECK(parse_plan(to_text(p)) == p);
}

TEST_CASE("kmeans_tiers refuses scores that are not finite, and no options", "[allocate][kmeans_tiers][refusal]") {
  CHECK_THAT(refusal([] { (void)kmeans_tiers{}(scored({1, std::numeric_limits<double>::quiet_NaN()})); }),
             ContainsSubstring("allocate::kmeans_tiers: the score of unit block.1"));
  CHECK_THAT(refusal([] { (void)kmeans_tiers{.options = {}}(scored({1})); }), ContainsSubstring("no options"));
}
