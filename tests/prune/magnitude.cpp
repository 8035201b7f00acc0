#include <precis/prune/magnitude.hpp>

#include <precis/core/random.hpp>

#include "catch.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

using namespace precis;

namespace {
const std::vector<float> ten{0.5f, -0.1f, 0.3f, -0.3f, 0.9f, 0.05f, -0.7f, 0.3f, 0.2f, -0.6f};

/// tr(D M D^T), D the difference of the matrices.
double error_under(const float_matrix& before, const float_matrix& after,
                   const std::array<std::array<double, 4>, 4>& m) {
  double sum = 0;
  for (std::size_t r = 0; r < 2; ++r)
    for (std::size_t i = 0; i < 4; ++i)
      for (std::size_t j = 0; j < 4; ++j)
        sum +=
            static_cast<double>(before(r, i) - after(r, i)) * m[i][j] * static_cast<double>(before(r, j) - after(r, j));
  return sum;
}
const float_matrix example(2, 4, {1.0f, -0.5f, -0.4f, -0.7f, -1.1f, -1.2f, 0.3f, -0.9f});
constexpr std::array<std::array<double, 4>, 4> gram{
    {{7, 2, -5, 5}, {2, 28, 14, -11}, {-5, 14, 15, -8}, {5, -11, -8, 14}}};
}  // namespace

TEST_CASE("how many of ten weights each rule removes", "[prune][magnitude][worked-example]") {
  struct row {
    double sparsity;
    std::size_t exact, strict;
  };
  for (const row& expected : {row{0, 0, 1}, row{0.3, 3, 3}, row{0.5, 5, 6}, row{0.9, 9, 9}, row{1.0, 10, 10}}) {
    CAPTURE(expected.sparsity);
    float_matrix a(1, 10, ten), b(1, 10, ten);
    CHECK(prune::magnitude{.sparsity = expected.sparsity}(a.view()) == expected.exact);
    CHECK(std::ranges::count(a.values, 0.f) == static_cast<std::ptrdiff_t>(expected.exact));
    CHECK(prune::magnitude{.sparsity = expected.sparsity, .rule = prune::removal::quantile_strict}(b.view()) ==
          expected.strict);
    CHECK(std::ranges::count(b.values, 0.f) == static_cast<std::ptrdiff_t>(expected.strict));
  }
}

TEST_CASE("magnitude removes weights in the order 5, 1, 8, 2, 3, 7, 0, 9, 6, 4", "[prune][magnitude][worked-example]") {
  const std::vector<std::size_t> order{5, 1, 8, 2, 3, 7, 0, 9, 6, 4};
  for (std::size_t k = 0; k <= 10; ++k) {
    float_matrix w(2, 5, ten);
    REQUIRE(prune::magnitude{.sparsity = static_cast<double>(k) / 10}(w.view()) == k);
    for (std::size_t i = 0; i < 10; ++i) CHECK((w.values[order[i]] == 0.f) == (i < k));
  }
}

TEST_CASE("a 2 x 4 matrix at 50 % and at 2:4, with the output errors", "[prune][magnitude][worked-example]") {
  auto damped = gram;
  for (std::size_t i = 0; i < 4; ++i) damped[i][i] += 0.16;
  float_matrix half = example;
  CHECK(prune::magnitude{.sparsity = 0.5}(half.view()) == 4);
  CHECK(half.values == std::vector<float>{1.0f, 0, 0, 0, -1.1f, -1.2f, 0, -0.9f});
  CHECK(error_under(example, half, gram) == Approx(11.03).epsilon(1e-6));
  CHECK(error_under(example, half, damped) == Approx(11.1884).epsilon(1e-6));

  float_matrix groups = example;
  CHECK(prune::magnitude_in_groups{.keep = 2, .group = 4}(groups.view()) == 4);
  CHECK(groups.values == std::vector<float>{1.0f, 0, 0, -0.7f, -1.1f, -1.2f, 0, 0});
  CHECK(error_under(example, groups, gram) == Approx(32.01).epsilon(1e-6));
}

TEST_CASE("groups: ties remove the lower index first, and tails keep their share",
          "[prune][magnitude][worked-example]") {
  float_matrix ties(1, 4, {0.5f, -0.5f, 0.2f, 0.5f});  // removes indices 2 and 0
  CHECK(prune::magnitude_in_groups{.keep = 2, .group = 4}(ties.view()) == 2);
  CHECK(ties.values == std::vector<float>{0, -0.5f, 0, 0.5f});

  float_matrix tail(1, 7, {1, 2, 3, 4, 5, 6, 7});  // the tail of three keeps ceil(1 * 3 / 4) = 1
  CHECK(prune::magnitude_in_groups{.keep = 1, .group = 4}(tail.view()) == 5);
  CHECK(tail.values == std::vector<float>{0, 0, 0, 4, 0, 0, 7});
}

TEST_CASE("magnitude removes the same weights as a stable sort, including ties", "[prune][magnitude][oracle]") {
  const random_stream random(3, purpose("prune"));
  for (std::uint64_t trial = 0; trial < 200; ++trial) {
    const std::size_t n = random.below(3 * trial, 40);
    std::vector<float> w(n);
    for (std::size_t i = 0; i < n; ++i)
      w[i] = static_cast<float>(static_cast<int>(random.below(1000 * trial + i, 9)) - 4);  // many ties
    const std::size_t k = n == 0 ? 0 : random.below(3 * trial + 1, n + 1);
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return std::abs(w[a]) < std::abs(w[b]); });
    std::vector<float> expected = w;
    for (std::size_t i = 0; i < k; ++i) expected[order[i]] = 0;

    float_matrix m(1, n, w);
    REQUIRE(prune::magnitude{.sparsity = n == 0 ? 0.5 : static_cast<double>(k) / static_cast<double>(n)}(m.view()) ==
            k);
    REQUIRE(m.values == expected);
  }
}

TEST_CASE("several matrices are pruned as if they were one", "[prune][magnitude][property]") {
  float_matrix whole(2, 5, ten);
  float_matrix a(1, 5, {ten.begin(), ten.begin() + 5}), b(5, 1, {ten.begin() + 5, ten.end()});
  prune::magnitude{.sparsity = 0.6}(whole.view());
  const std::vector<mutable_weight_view> both{a.view(), b.view().transposed()};
  CHECK(prune::magnitude{.sparsity = 0.6}(std::span<const mutable_weight_view>(both)) == 6);
  std::vector<float> joined = a.values;
  joined.insert(joined.end(), b.values.begin(), b.values.end());
  CHECK(joined == whole.values);
}

TEST_CASE("0.29 of 100 removes 29", "[prune][magnitude][worked-example]") {
  float_matrix w(10, 10, 1.f);
  CHECK(prune::magnitude{.sparsity = 0.29}(w.view()) == 29);
}

TEST_CASE("every row loses the same number of weights", "[prune][magnitude][property]") {
  float_matrix w(3, 4, {1, 2, 3, 4, 40, 30, 20, 10, -5, 6, -7, 8});
  CHECK(prune::magnitude{.sparsity = 0.5}.each_row(w.view()) == 6);
  CHECK(w.values == std::vector<float>{0, 0, 3, 4, 40, 30, 0, 0, 0, 0, -7, 8});
}

TEST_CASE("magnitude refuses invalid input and changes nothing", "[prune][magnitude][refusal]") {
  float_matrix w(2, 2, {1.f, 2.f, std::numeric_limits<float>::quiet_NaN(), 0.5f});
  CHECK_THROWS_WITH(prune::magnitude{}(w.view()), ContainsSubstring("row 1, column 0 is nan"));
  CHECK_THROWS_WITH(prune::magnitude_in_groups{}(w.view()), ContainsSubstring("row 1, column 0"));
  CHECK(w(0, 0) == 1.f);
  CHECK(w(1, 1) == 0.5f);
  float_matrix ok(1, 2, 1.f);
  CHECK_THROWS_WITH(prune::magnitude{.sparsity = 1.5}(ok.view()), ContainsSubstring("0 to 1"));
  CHECK_THROWS_WITH((prune::magnitude_in_groups{.keep = 3, .group = 2}(ok.view())), ContainsSubstring("keep 3 of 2"));
}
