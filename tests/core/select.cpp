#include <precis/core/select.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <span>
#include <vector>

#include <precis/core/random.hpp>

using namespace precis;

namespace {

/// |w| of the weights 0.5, -0.1, 0.3, -0.3, 0.9, 0.05, -0.7, 0.3, 0.2, -0.6.
const std::vector<double> keys{0.5, 0.1, 0.3, 0.3, 0.9, 0.05, 0.7, 0.3, 0.2, 0.6};

std::set<std::size_t> as_set(const std::vector<std::size_t>& v) { return {v.begin(), v.end()}; }

}  // namespace

TEST_CASE("thresholds, counts and removal order of ten weights", "[core][select][worked-example]") {
  struct row {
    double s, threshold;
    std::size_t exact;
  };
  for (const auto& [s, threshold, exact] :
       {row{0, 0.05, 0}, row{0.3, 0.27, 3}, row{0.5, 0.3, 5}, row{0.9, 0.72, 9}, row{1.0, 0.9, 10}}) {
    CAPTURE(s);
    CHECK(quantile_linear<double>(keys, s) == Approx(threshold).epsilon(1e-14));
    CHECK(exact_count(s, keys.size()) == exact);
    CHECK(indices_of_smallest<double>(keys, exact_count(s, keys.size())).size() == exact);
  }
  const std::vector<std::size_t> order{5, 1, 8, 2, 3, 7, 0, 9, 6, 4};  // of a stable sort
  for (std::size_t k = 0; k <= keys.size(); ++k)
    CHECK(as_set(indices_of_smallest<double>(keys, k)) ==
          std::set<std::size_t>(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k)));
}

TEST_CASE("exact_count rounds to nearest, halves up", "[core][select][worked-example]") {
  CHECK(exact_count(0.29, 100) == 29);  // 0.29 * 100 is 28.999999999999996 in double
  CHECK(exact_count(0.5, 5) == 3);
  CHECK(exact_count(0.49, 1) == 0);
  CHECK(exact_count(0.5, 1) == 1);
  CHECK(exact_count(1.0, 7) == 7);
  CHECK(exact_count(0.7, 0) == 0);
}

TEST_CASE("indices_of_smallest selects the same set as a stable sort, ties included", "[core][select][oracle]") {
  const random_stream draws(1, purpose("select"));
  for (std::size_t n = 1; n < 60; ++n) {
    std::vector<float> values(n);
    for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<float>(draws.below(100 * n + i, 7));  // many ties
    std::vector<std::size_t> sorted(n);
    std::iota(sorted.begin(), sorted.end(), std::size_t{0});
    std::stable_sort(sorted.begin(), sorted.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    for (std::size_t k = 0; k <= n; ++k)
      REQUIRE(as_set(indices_of_smallest<float>(values, k)) ==
              std::set<std::size_t>(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(k)));
  }
}

TEST_CASE("smallest with k above the number of keys selects all of them", "[core][select][worked-example]") {
  CHECK(indices_of_smallest<double>(keys, 11).size() == 10);
  CHECK(indices_of_smallest<double>({}, 3).empty());
}

TEST_CASE("a quantile interpolates between sorted neighbours", "[core][select][oracle]") {
  const random_stream draws(2, purpose("quantile"));
  for (std::size_t n = 1; n < 40; ++n) {
    std::vector<double> values(n);
    for (std::size_t i = 0; i < n; ++i) values[i] = draws.normal(1000 * n + i);
    std::vector<double> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    for (const double s : {0.0, 0.1, 0.25, 0.5, 0.77, 1.0}) {
      const double h = s * static_cast<double>(n - 1);
      const auto low = static_cast<std::size_t>(std::floor(h));
      const double high = sorted[std::min(low + 1, n - 1)];
      REQUIRE(quantile_linear<double>(values, s) == sorted[low] + (h - std::floor(h)) * (high - sorted[low]));
    }
  }
}

TEST_CASE("fractions and levels outside 0 to 1 are refused", "[core][select][refusal]") {
  const double bad = GENERATE(-0.001, 1.001, std::numeric_limits<double>::quiet_NaN());
  CHECK_THAT(refusal([&] { (void)exact_count(bad, 10); }),
             ContainsSubstring("exact_count: a fraction of") && ContainsSubstring("expected 0 to 1"));
  CHECK_THAT(refusal([&] { (void)quantile_linear<double>(keys, bad); }),
             ContainsSubstring("quantile_linear: a quantile at"));
  CHECK_THAT(refusal([] { (void)quantile_linear<double>(std::span<const double>{}, 0.5); }),
             ContainsSubstring("of 0 values"));
}
