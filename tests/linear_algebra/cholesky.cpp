#include <precis/linear_algebra/cholesky.hpp>

#include <precis/core/random.hpp>
#include <precis/core/thread_pool.hpp>

#include "catch.hpp"

#include <cmath>
#include <cstddef>

using namespace precis;

namespace {

/// X'X + I of random X: positive definite.
basic_matrix<double> positive_definite(std::size_t n) {
  basic_matrix<double> x(n + 3, n), a(n, n);
  std::uint64_t state = 7 * n + 1;
  for (double& v : x.values) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    v = static_cast<double>(state >> 11) * 0x1p-53 - 0.5;
  }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      double sum = i == j ? 1.0 : 0.0;
      for (std::size_t t = 0; t < x.rows; ++t) sum += x(t, i) * x(t, j);
      a(i, j) = sum;
    }
  return a;
}

}  // namespace

TEST_CASE("cholesky: L L' is the matrix, and L times its inverse the identity", "[linear_algebra][cholesky][oracle]") {
  const std::size_t n = GENERATE(1u, 2u, 63u, 64u, 65u, 150u, 200u);
  const basic_matrix<double> a = positive_definite(n);
  basic_matrix<double> l = a;
  REQUIRE(linear_algebra::cholesky(l));
  basic_matrix<double> inverse = l;
  linear_algebra::invert_lower(inverse);
  double worst = 0, worst_inverse = 0;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      double product = 0, identity = 0;
      for (std::size_t k = 0; k < n; ++k) {
        product += l(i, k) * l(j, k);
        identity += l(i, k) * inverse(k, j);
      }
      worst = std::max(worst, std::abs(product - a(i, j)));
      worst_inverse = std::max(worst_inverse, std::abs(identity - (i == j ? 1.0 : 0.0)));
      if (j > i) {
        CHECK(l(i, j) == 0);
        CHECK(inverse(i, j) == 0);
      }
    }
  CHECK(worst < 1e-12 * static_cast<double>(n));
  CHECK(worst_inverse < 1e-12 * static_cast<double>(n));
}

TEST_CASE("cholesky refuses a matrix that is not positive definite", "[linear_algebra][cholesky]") {
  basic_matrix<double> a = positive_definite(100);
  a(80, 80) = -1;
  CHECK_FALSE(linear_algebra::cholesky(a));
  basic_matrix<double> zero(3, 3);
  CHECK_FALSE(linear_algebra::cholesky(zero));
}

TEST_CASE("cholesky @post: bit-identical on any executor", "[linear_algebra][cholesky][property]") {
  basic_matrix<double> alone = positive_definite(300), pooled = alone;
  REQUIRE(linear_algebra::cholesky(alone));
  REQUIRE(linear_algebra::cholesky(pooled, thread_pool{3}));
  CHECK(alone == pooled);
  linear_algebra::invert_lower(alone);
  linear_algebra::invert_lower(pooled, thread_pool{3});
  CHECK(alone == pooled);
}
