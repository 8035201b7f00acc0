#include <precis/score/canonical/correlation.hpp>

#include <precis/core/random.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

using namespace precis;
using namespace precis::score::canonical;

namespace {

std::vector<double> space() { return std::vector<double>(kernel::product_workspace); }

matrix random(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  const random_stream draw(seed, purpose("canonical tests"));
  matrix m(rows, cols);
  for (std::size_t i = 0; i < m.values.size(); ++i) m.values[i] = draw.normal(i);
  return m;
}

float_matrix floats(const matrix& m) {
  float_matrix f(m.rows, m.cols);
  std::ranges::transform(m.values, f.values.begin(), [](double v) { return static_cast<float>(v); });
  return f;
}

/// One sum at a time.
matrix times(const matrix& a, const matrix& b) {
  matrix c(a.rows, b.cols);
  for (std::size_t i = 0; i < a.rows; ++i)
    for (std::size_t j = 0; j < b.cols; ++j)
      for (std::size_t k = 0; k < a.cols; ++k) c(i, j) += a(i, k) * b(k, j);
  return c;
}
matrix turned(const matrix& a) {
  matrix t(a.cols, a.rows);
  for (std::size_t i = 0; i < a.rows; ++i)
    for (std::size_t j = 0; j < a.cols; ++j) t(j, i) = a(i, j);
  return t;
}
double distance(const matrix& a, const matrix& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) worst = std::max(worst, std::abs(a.values[i] - b.values[i]));
  return worst;
}
matrix identity(std::size_t n) {
  matrix m(n, n);
  for (std::size_t i = 0; i < n; ++i) m(i, i) = 1;
  return m;
}

subspace span_of(const float_matrix& x, const directions& keep = {}) {
  std::vector<double> work = space();
  return span_of(x.view(), keep, true, "x", work);
}
std::vector<double> correlations_of(const float_matrix& x, const float_matrix& y) {
  std::vector<double> work = space();
  return correlations(cross_product(span_of(x), span_of(y), work), work);
}

// The worked example of the methods, B4.
const float_matrix X(8, 2, std::vector<float>{1, 2, 2, 1, 3, 5, 4, 3, 5, 6, 6, 4, 7, 8, 8, 5});
const float_matrix Y(8, 2, std::vector<float>{2, 1, 1, 3, 4, 2, 3, 5, 6, 4, 5, 7, 8, 6, 6, 9});
const float_matrix Z(8, 2, std::vector<float>{1, -1, -1, 1, 1, 1, -1, -1, 1, -1, -1, 1, 1, 1, -1, -1});

}  // namespace

TEST_CASE("eigenvectors: A v = lambda v, orthonormal, largest first; eigenvalues alone are the same bits",
          "[score][canonical][oracle]") {
  std::vector<double> work = space();
  // Below, at and above the height of a panel (16), a block (96), four rows, eight sums.
  const std::size_t n = GENERATE(1u, 2u, 3u, 4u, 5u, 8u, 15u, 16u, 17u, 33u, 64u, 131u);
  const matrix half = random(n, n, n);
  matrix a(n, n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) a(i, j) = half(i, j) + half(j, i);
  const eigen_system e = eigenvectors(a, work);
  CHECK(eigenvalues(a, work) == e.values);
  CHECK(std::ranges::is_sorted(e.values, std::greater<>{}));
  // |A| is at most 4 sqrt(n) with this distribution, and rounding is n^2 of its units at the very worst.
  const double tolerance = 1e-15 * static_cast<double>(n * n) + 1e-15;
  matrix scaled = e.vectors;
  for (std::size_t i = 0; i < n; ++i)
    for (double& v : scaled.row(i)) v *= e.values[i];
  CHECK(distance(times(e.vectors, a), scaled) < 8 * tolerance);
  CHECK(distance(times(e.vectors, turned(e.vectors)), identity(n)) < tolerance);
}

TEST_CASE("eigenvalues that are known", "[score][canonical][worked-example]") {
  std::vector<double> work = space();
  CHECK(eigenvalues(matrix(5, 5), work) == std::vector<double>(5, 0.0));
  CHECK(eigenvalues(identity(20), work) == std::vector<double>(20, 1.0));
  // 2 on the diagonal and -1 beside it: 2 - 2 cos(k pi / (n + 1)).
  constexpr std::size_t n = 40;
  matrix second(n, n);
  for (std::size_t i = 0; i < n; ++i) {
    second(i, i) = 2;
    if (i + 1 < n) second(i, i + 1) = second(i + 1, i) = -1;
  }
  const std::vector<double> values = eigenvalues(second, work);
  for (std::size_t k = 0; k < n; ++k)
    CHECK(values[k] == Approx(2 - 2 * std::cos(static_cast<double>(n - k) * std::acos(-1.0) / (n + 1))).margin(1e-14));
  // All ones: n, and 0 many times.
  const std::vector<double> ones = eigenvalues(matrix(30, 30, 1.0), work);
  CHECK(ones[0] == Approx(30).epsilon(1e-14));
  for (std::size_t k = 1; k < 30; ++k) CHECK(std::abs(ones[k]) < 1e-14 * 30);
}

TEST_CASE("a subspace's basis is orthonormal and, with its coordinates, the centred activations",
          "[score][canonical][oracle]") {
  const std::size_t features = GENERATE(1u, 2u, 31u, 32u, 33u, 200u);
  const std::size_t rows = 2 * features + 9;
  const float_matrix x = floats(random(rows, features, features));
  const subspace s = span_of(x);
  REQUIRE(s.rank() == features);
  CHECK(s.variance_kept == 1);
  CHECK(distance(times(turned(s.basis), s.basis), identity(features)) < 1e-12);  // what the second pass is decided by
  matrix centre(rows, features);
  for (std::size_t c = 0; c < features; ++c) {
    double mean = 0;
    for (std::size_t r = 0; r < rows; ++r) mean += static_cast<double>(x(r, c)) / static_cast<double>(rows);
    for (std::size_t r = 0; r < rows; ++r) centre(r, c) = static_cast<double>(x(r, c)) - mean;
  }
  CHECK(distance(times(s.basis, s.coordinates), centre) < 1e-12);
}

TEST_CASE("nearly dependent columns still get an orthonormal basis", "[score][canonical][property]") {
  // Columns x, x + 2^-k y: condition about 2^k. 2^-17 is above the tolerance of 1e-6, 2^-22 is below it.
  const matrix draw = random(400, 2, 3);
  for (const int k : {4, 10, 17, 22}) {
    float_matrix x(400, 2);
    for (std::size_t r = 0; r < 400; ++r) {
      x(r, 0) = std::round(static_cast<float>(draw(r, 0) * 32));  // six bits or so, so that the sum is exact
      x(r, 1) = x(r, 0) + std::ldexp(std::round(static_cast<float>(draw(r, 1) * 2)), -k + 4);
    }
    const subspace s = span_of(x);
    CAPTURE(k);
    CHECK(s.rank() == (k < 20 ? 2 : 1));
    CHECK(distance(times(turned(s.basis), s.basis), identity(s.rank())) < 1e-12);
  }
}

TEST_CASE("dependent, constant and duplicated columns lower the rank and change no correlation",
          "[score][canonical][property]") {
  float_matrix more(8, 5);
  for (std::size_t r = 0; r < 8; ++r) {
    const float a = X(r, 0), b = X(r, 1);
    std::ranges::copy(std::vector<float>{a, b, a + b, 0.1f, a}, more.row(r).begin());
  }
  CHECK(span_of(more).rank() == 2);
  const auto expected = correlations_of(X, Y), found = correlations_of(more, Y);
  REQUIRE(found.size() == 2);
  for (std::size_t k = 0; k < 2; ++k) CHECK(found[k] == Approx(expected[k]).epsilon(1e-12));
  CHECK(span_of(float_matrix(8, 3, 0.1f)).rank() == 0);  // 0.1f is no sum of halves: means must not leave a residue
}

TEST_CASE("the worked correlations", "[score][canonical][worked-example]") {
  const auto check = [](const float_matrix& a, const float_matrix& b, double first, double second, double mean) {
    const std::vector<double> found = correlations_of(a, b);
    REQUIRE(found.size() == 2);
    CHECK(found[0] == Approx(first).margin(5e-9));
    CHECK(found[1] == Approx(second).margin(5e-9));
    CHECK((found[0] + found[1]) / 2 == Approx(mean).margin(5e-11));
  };
  check(X, Y, 0.99841782, 0.98248832, 0.9904530729);
  check(X, Z, 0.95951561, 0.03919568, 0.4993556468);
  check(Y, Z, 0.98497611, 0.02242197, 0.5036990425);
}

TEST_CASE("the worked projection-weighted correlation", "[score][canonical][worked-example]") {
  std::vector<double> work = space();
  const subspace x = span_of(X), y = span_of(Y);
  const projection_weighted xy = projection_weighted_correlation(x, cross_product(x, y, work), work);
  CHECK(xy.mean == Approx(0.9923761344).margin(5e-11));
  CHECK(xy.weights[0] == Approx(0.6207233).margin(5e-8));
  CHECK(xy.weights[1] == Approx(0.3792767).margin(5e-8));
  CHECK(projection_weighted_correlation(y, cross_product(y, x, work), work).mean == Approx(0.9934054341).margin(5e-11));
}

TEST_CASE("two single columns correlate by |Pearson|", "[score][canonical][oracle]") {
  const matrix draw = random(50, 2, 9);
  const auto mean_of = [&](std::size_t a, std::size_t b) {
    double sum = 0;
    for (std::size_t r = 0; r < 50; ++r) sum += (a < 2 ? draw(r, a) : 1) * (b < 2 ? draw(r, b) : 1);
    return sum / 50;
  };
  const double covariance = mean_of(0, 1) - mean_of(0, 2) * mean_of(1, 2);
  const double pearson = covariance / std::sqrt((mean_of(0, 0) - mean_of(0, 2) * mean_of(0, 2)) *
                                                (mean_of(1, 1) - mean_of(1, 2) * mean_of(1, 2)));
  float_matrix a(50, 1), b(50, 1);
  for (std::size_t r = 0; r < 50; ++r) {
    a(r, 0) = static_cast<float>(draw(r, 0));
    b(r, 0) = static_cast<float>(draw(r, 1));
  }
  CHECK(correlations_of(a, b).at(0) == Approx(std::abs(pearson)).epsilon(1e-6));  // the columns are rounded to float
}

TEST_CASE("X -> X A + 1 c^T with an invertible A changes no correlation", "[score][canonical][property]") {
  const float_matrix x = floats(random(300, 12, 1)), y = floats(random(300, 7, 2));
  float_matrix mixed_y = y;
  for (std::size_t r = 0; r < 300; ++r)  // so that something correlates
    for (std::size_t c = 0; c < 7; ++c) mixed_y(r, c) += x(r, c);
  matrix a = random(12, 12, 5);
  for (std::size_t c = 0; c < 12; ++c) a(c, c) += c < 6 ? 5 : 500;  // columns of very different sizes
  matrix wide(300, 12);
  std::ranges::transform(x.values, wide.values.begin(), [](float v) { return static_cast<double>(v); });
  float_matrix moved = floats(times(wide, a));
  for (std::size_t r = 0; r < 300; ++r)
    for (std::size_t c = 0; c < 12; ++c) moved(r, c) += static_cast<float>(c) * 3;
  const auto before = correlations_of(x, mixed_y), after = correlations_of(moved, mixed_y);
  REQUIRE(after.size() == 7);
  CHECK(before[0] > before[6] + 0.05);
  // The moved activations are rounded to float: 2^-24 of the largest column, in the direction of the smallest.
  for (std::size_t k = 0; k < 7; ++k) CHECK(after[k] == Approx(before[k]).margin(2e-4));
}

TEST_CASE("too few rows force correlations of 1", "[score][canonical][property]") {
  // Centred subspaces of 6 rows live in 5 dimensions: two of 4 directions share at least 3.
  const std::vector<double> found = correlations_of(floats(random(6, 4, 1)), floats(random(6, 4, 2)));
  REQUIRE(found.size() == 4);
  for (std::size_t k = 0; k < 3; ++k) CHECK(found[k] == Approx(1).epsilon(1e-12));
  CHECK(found[3] < 0.999);
}

TEST_CASE("squared correlations add up without finding any of them", "[score][canonical][oracle]") {
  std::vector<double> work = space();
  const subspace a = span_of(floats(random(100, 20, 1))), b = span_of(floats(random(100, 9, 2)));
  const matrix cross = cross_product(a, b, work);
  double sum = 0;
  for (const double v : correlations(cross, work)) sum += v * v;
  CHECK(squared_correlations(cross) == Approx(sum).epsilon(1e-12));
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
  const subspace two = span_of(x, {.most = 2});
  CHECK(distance(times(turned(two.basis), two.basis), identity(2)) < 1e-14);
  for (std::size_t r = 0; r < 16; ++r)  // only the first two columns
    CHECK(std::abs(std::abs(two.basis(r, 0)) - 0.25) < 1e-14);
}

TEST_CASE("activations that are not finite are named", "[score][canonical][refusal]") {
  float_matrix x = X;
  x(5, 1) = std::numeric_limits<float>::quiet_NaN();
  std::vector<double> work = space();
  CHECK(refusal([&] { static_cast<void>(span_of(x.view(), {}, false, "residual.3", work)); }) ==
        "score::cca: residual.3 is nan at row 5, feature 1; expected finite activations");
}
