#include <precis/score/canonical/correlation.hpp>

#include "catch.hpp"
#include "score/canonical/matrices.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

using namespace precis;
using namespace canonical_tests;
using score::canonical::projection_weighted;
using score::canonical::projection_weighted_correlation;
using score::canonical::squared_correlations;

TEST_CASE("dependent, constant and duplicated columns lower the rank and change no correlation",
          "[score][canonical][property]") {
  float_matrix extended(8, 5);
  for (std::size_t r = 0; r < 8; ++r) {
    const float a = X(r, 0), b = X(r, 1);
    std::ranges::copy(std::vector<float>{a, b, a + b, 0.1f, a}, extended.row(r).begin());
  }
  CHECK(span_of(extended).rank() == 2);
  const auto expected = correlations_of(X, Y), found = correlations_of(extended, Y);
  REQUIRE(found.size() == 2);
  for (std::size_t k = 0; k < 2; ++k) CHECK(found[k] == Approx(expected[k]).epsilon(1e-12));
  CHECK(span_of(float_matrix(8, 3, 0.1f)).rank() ==
        0);  // 0.1f is not exact in binary, but its mean must not leave a residue
}

TEST_CASE("the worked correlations", "[score][canonical][worked-example]") {
  const auto check = [](const float_matrix& a, const float_matrix& b, double larger, double smaller, double mean) {
    const std::vector<double> found = correlations_of(a, b);
    REQUIRE(found.size() == 2);
    CHECK(found[0] == Approx(larger).margin(5e-9));
    CHECK(found[1] == Approx(smaller).margin(5e-9));
    CHECK((found[0] + found[1]) / 2 == Approx(mean).margin(5e-11));
  };
  check(X, Y, 0.99841782, 0.98248832, 0.9904530729);
  check(X, Z, 0.95951561, 0.03919568, 0.4993556468);
  check(Y, Z, 0.98497611, 0.02242197, 0.5036990425);
}

TEST_CASE("the worked projection-weighted correlation", "[score][canonical][worked-example]") {
  std::vector<double> work = workspace();
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
  for (std::size_t r = 0; r < 300; ++r)  // so that the two correlate
    for (std::size_t c = 0; c < 7; ++c) mixed_y(r, c) += x(r, c);
  matrix a = random(12, 12, 5);
  for (std::size_t c = 0; c < 12; ++c) a(c, c) += c < 6 ? 5 : 500;  // columns of very different scales
  matrix wide(300, 12);
  std::ranges::transform(x.values, wide.values.begin(), [](float v) { return static_cast<double>(v); });
  float_matrix moved = floats(times(wide, a));
  for (std::size_t r = 0; r < 300; ++r)
    for (std::size_t c = 0; c < 12; ++c) moved(r, c) += static_cast<float>(c) * 3;
  const auto before = correlations_of(x, mixed_y), after = correlations_of(moved, mixed_y);
  REQUIRE(after.size() == 7);
  CHECK(before[0] > before[6] + 0.05);
  // The mapped activations are rounded to float: by 2^-24 of the largest column, in the direction of the smallest.
  for (std::size_t k = 0; k < 7; ++k) CHECK(after[k] == Approx(before[k]).margin(2e-4));
}

TEST_CASE("too few rows force correlations of 1", "[score][canonical][property]") {
  // Centred subspaces of 6 rows have at most 5 dimensions, so two of 4 dimensions share at least 3.
  const std::vector<double> found = correlations_of(floats(random(6, 4, 1)), floats(random(6, 4, 2)));
  REQUIRE(found.size() == 4);
  for (std::size_t k = 0; k < 3; ++k) CHECK(found[k] == Approx(1).epsilon(1e-12));
  CHECK(found[3] < 0.999);
}

TEST_CASE("the sum of squared correlations equals that of the correlations", "[score][canonical][oracle]") {
  std::vector<double> work = workspace();
  const subspace a = span_of(floats(random(100, 20, 1))), b = span_of(floats(random(100, 9, 2)));
  const matrix cross = cross_product(a, b, work);
  double sum = 0;
  for (const double v : correlations(cross, work)) sum += v * v;
  CHECK(squared_correlations(cross) == Approx(sum).epsilon(1e-12));
}
