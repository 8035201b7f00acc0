#include <precis/score/canonical/orthonormal.hpp>

#include "catch.hpp"
#include "refusal.hpp"
#include "score/canonical/matrices.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

using namespace precis;
using namespace canonical_tests;

TEST_CASE("a subspace's basis is orthonormal and, with its coordinates, the centred activations",
          "[score][canonical][oracle]") {
  const std::size_t features = GENERATE(1u, 2u, 31u, 32u, 33u, 200u);
  const std::size_t rows = 2 * features + 9;
  const float_matrix x = floats(random(rows, features, features));
  const subspace s = span_of(x);
  REQUIRE(s.rank() == features);
  CHECK(s.variance_kept == 1);
  CHECK(largest_difference(times(transposed(s.basis), s.basis), identity(features)) <
        1e-12);  // the threshold of the second pass
  matrix centre(rows, features);
  for (std::size_t c = 0; c < features; ++c) {
    double mean = 0;
    for (std::size_t r = 0; r < rows; ++r) mean += static_cast<double>(x(r, c)) / static_cast<double>(rows);
    for (std::size_t r = 0; r < rows; ++r) centre(r, c) = static_cast<double>(x(r, c)) - mean;
  }
  CHECK(largest_difference(times(s.basis, s.coordinates), centre) < 1e-12);
}

TEST_CASE("nearly dependent columns still get an orthonormal basis", "[score][canonical][property]") {
  // Columns x, x + 2^-k y: condition about 2^k. 2^-17 is above the tolerance of 1e-6, 2^-22 is below it.
  const matrix draw = random(400, 2, 3);
  for (const int k : {4, 10, 17, 22}) {
    float_matrix x(400, 2);
    for (std::size_t r = 0; r < 400; ++r) {
      x(r, 0) = std::round(static_cast<float>(draw(r, 0) * 32));  // about six bits, so that the sum is exact
      x(r, 1) = x(r, 0) + std::ldexp(std::round(static_cast<float>(draw(r, 1) * 2)), -k + 4);
    }
    const subspace s = span_of(x);
    CAPTURE(k);
    CHECK(s.rank() == (k < 20 ? 2 : 1));
    CHECK(largest_difference(times(transposed(s.basis), s.basis), identity(s.rank())) < 1e-12);
  }
}

TEST_CASE("SVCCA keeps the leading directions", "[score][canonical][oracle]") {
  // Columns of signs, orthogonal and centred, scaled by 8, 4, 2, 1: variances 64, 16, 4, 1 of 85.
  float_matrix x(16, 4);
  for (std::size_t r = 0; r < 16; ++r)
    for (std::size_t c = 0; c < 4; ++c) x(r, c) = ((r >> c & 1) != 0 ? 1.f : -1.f) * static_cast<float>(8 >> c);
  CHECK(span_of(x, {.variance = 64.0 / 85 - 1e-9}).rank() == 1);
  CHECK(span_of(x, {.variance = 64.0 / 85 + 1e-9}).rank() == 2);
  CHECK(span_of(x, {.variance = 0.99}).rank() == 4);
  CHECK(span_of(x, {.variance = 0.98}).rank() == 3);
  CHECK(span_of(x, {.most = 2}).variance_kept == Approx(80.0 / 85));
  CHECK(span_of(x, {.variance = 1}).basis == span_of(x).basis);
  const subspace leading = span_of(x, {.most = 2});
  CHECK(largest_difference(times(transposed(leading.basis), leading.basis), identity(2)) < 1e-14);
  for (std::size_t r = 0; r < 16; ++r)  // the basis has only the first two columns
    CHECK(std::abs(std::abs(leading.basis(r, 0)) - 0.25) < 1e-14);
}

TEST_CASE("activations that are not finite are named", "[score][canonical][refusal]") {
  float_matrix x = X;
  x(5, 1) = std::numeric_limits<float>::quiet_NaN();
  std::vector<double> work = workspace();
  CHECK(refusal([&] { static_cast<void>(score::canonical::span_of(x.view(), {}, false, "residual.3", work)); }) ==
        "score::cca: residual.3 is nan at row 5, feature 1; expected finite activations");
}
