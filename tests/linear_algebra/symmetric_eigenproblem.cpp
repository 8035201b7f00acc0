#include <precis/linear_algebra/symmetric_eigenproblem.hpp>

#include <precis/core/random.hpp>

#include "catch.hpp"
#include "score/canonical/matrices.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <vector>

using namespace precis;
using namespace precis::linear_algebra;
using canonical_tests::identity;
using canonical_tests::largest_difference;
using canonical_tests::random;
using canonical_tests::times;
using canonical_tests::transposed;

TEST_CASE("eigenvectors: A v = lambda v, orthonormal, in descending order; eigenvalues alone have the same bits",
          "[linear_algebra][eigenproblem][oracle]") {
  std::vector<double> work = std::vector<double>(kernel::product_workspace);
  // Sizes below, at and above a panel (16), four rows and eight sums, and above a block (96).
  const std::size_t n = GENERATE(1u, 2u, 3u, 4u, 5u, 8u, 15u, 16u, 17u, 33u, 64u, 131u);
  const matrix half = random(n, n, n);
  matrix a(n, n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) a(i, j) = half(i, j) + half(j, i);
  const eigen_system e = eigenvectors(a, work);
  CHECK(eigenvalues(a, work) == e.values);
  CHECK(std::ranges::is_sorted(e.values, std::greater<>{}));
  // |A| is at most about 4 sqrt(n) for this distribution; n^2 of its units in the last place bound the rounding.
  const double tolerance = 1e-15 * static_cast<double>(n * n) + 1e-15;
  matrix scaled = e.vectors;
  for (std::size_t i = 0; i < n; ++i)
    for (double& v : scaled.row(i)) v *= e.values[i];
  CHECK(largest_difference(times(e.vectors, a), scaled) < 8 * tolerance);
  CHECK(largest_difference(times(e.vectors, transposed(e.vectors)), identity(n)) < tolerance);
}

TEST_CASE("known eigenvalues", "[linear_algebra][eigenproblem][worked-example]") {
  std::vector<double> work = std::vector<double>(kernel::product_workspace);
  CHECK(eigenvalues(matrix(5, 5), work) == std::vector<double>(5, 0.0));
  CHECK(eigenvalues(identity(20), work) == std::vector<double>(20, 1.0));
  // 2 on the diagonal and -1 beside it: 2 - 2 cos(k pi / (n + 1)).
  constexpr std::size_t n = 40;
  matrix difference(n, n);
  for (std::size_t i = 0; i < n; ++i) {
    difference(i, i) = 2;
    if (i + 1 < n) difference(i, i + 1) = difference(i + 1, i) = -1;
  }
  const std::vector<double> values = eigenvalues(difference, work);
  for (std::size_t k = 0; k < n; ++k)
    CHECK(values[k] == Approx(2 - 2 * std::cos(static_cast<double>(n - k) * std::acos(-1.0) / (n + 1))).margin(1e-14));
  // All ones: n, and 0 with multiplicity n - 1.
  const std::vector<double> ones = eigenvalues(matrix(30, 30, 1.0), work);
  CHECK(ones[0] == Approx(30).epsilon(1e-14));
  for (std::size_t k = 1; k < 30; ++k) CHECK(std::abs(ones[k]) < 1e-14 * 30);
}
