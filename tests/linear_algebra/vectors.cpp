#include <precis/linear_algebra/vectors.hpp>

#include <precis/core/random.hpp>

#include "catch.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

using namespace precis;

namespace {

std::vector<double> normal(std::size_t count, std::uint64_t seed) {
  const random_stream random(seed, purpose("vectors"));
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = random.normal(i);
  return values;
}

/// Eight running sums and a tree, without lanes.
double sum_of_products(const std::vector<double>& a, const std::vector<double>& b) {
  double s[8] = {};
  for (std::size_t i = 0; i < a.size(); ++i) s[i % 8] = std::fma(a[i], b[i], s[i % 8]);
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

}  // namespace

TEST_CASE("dot by hand, with a tail shorter than a vector", "[linear_algebra][vectors][worked-example]") {
  const std::vector<double> a{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, b{1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1};
  CHECK(linear_algebra::dot(a.data(), b.data(), 11) == 6);   // 5 * -1 + 11
  CHECK(linear_algebra::dot(a.data(), b.data(), 10) == -5);  // elements beyond the last are not read into the sum
  CHECK(linear_algebra::dot(a.data(), b.data(), 1) == 1);
  CHECK(linear_algebra::dot(a.data(), b.data(), 0) == 0);
}

TEST_CASE("dot adds in one defined order, whatever the vector width", "[linear_algebra][vectors][oracle]") {
  for (std::size_t n = 0; n < 40; ++n) {
    const auto a = normal(n, 1), b = normal(n, 2);
    CAPTURE(n);
    CHECK(linear_algebra::dot(a.data(), b.data(), n) == sum_of_products(a, b));
  }
}

TEST_CASE("add is y += factor x with one rounding, and writes only its elements", "[linear_algebra][vectors][oracle]") {
  for (std::size_t n = 0; n < 20; ++n) {
    const auto x = normal(n, 3), before = normal(n + 1, 4);
    auto y = before;
    linear_algebra::add(0.3, x.data(), y.data(), n);
    CAPTURE(n);
    for (std::size_t i = 0; i < n; ++i) CHECK(y[i] == std::fma(0.3, x[i], before[i]));
    CHECK(y[n] == before[n]);
  }
}

TEST_CASE("store_up_to and load_up_to touch only the elements that are there",
          "[linear_algebra][vectors][worked-example]") {
  using linear_algebra::lanes;
  std::vector<double> from(lanes::width), read(lanes::width);
  for (std::size_t i = 0; i < lanes::width; ++i) from[i] = static_cast<double>(i + 1);
  for (std::size_t n = 0; n <= lanes::width + 1; ++n) {
    CAPTURE(n);
    lanes::store(read.data(), linear_algebra::detail::load_up_to(from.data(), n));
    std::vector<double> to(lanes::width, -1);
    linear_algebra::detail::store_up_to(to.data(), lanes::load(from.data()), n);
    for (std::size_t i = 0; i < lanes::width; ++i) {
      CHECK(read[i] == (i < n ? from[i] : 0));
      CHECK(to[i] == (i < n ? from[i] : -1));
    }
  }
}
