#include <precis/linear_algebra/singular_values.hpp>

#include <precis/core/random.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

using namespace precis;
using Catch::Matchers::ContainsSubstring;
using linear_algebra::singular_system;
using linear_algebra::singular_values;

namespace {

float_matrix random_floats(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  const random_stream draw(seed, purpose("singular tests"));
  float_matrix m(rows, cols);
  for (std::size_t i = 0; i < m.values.size(); ++i) m.values[i] = static_cast<float>(draw.normal(i));
  return m;
}

/// |W - sum of parts|_F and the squares of |W|_F and of the singular values.
struct difference {
  double error = 0, norm = 0, squares = 0;
  difference(weight_view w, const singular_system& s) {
    for (std::size_t o = 0; o < w.rows; ++o)
      for (std::size_t i = 0; i < w.cols; ++i) {
        double sum = -static_cast<double>(w(o, i));
        for (std::size_t r = 0; r < s.count(); ++r) sum += s.left(r, o) * s.right(r, i);
        error += sum * sum;
        norm += static_cast<double>(w(o, i)) * static_cast<double>(w(o, i));
      }
    for (const double v : s.values) squares += v * v;
    error = std::sqrt(error);
  }
};

double inner(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

TEST_CASE("singular values of a 2 x 3 matrix by hand", "[linear_algebra][singular][worked-example]") {
  // W W^T = [[5, -1], [-1, 2]]: eigenvalues (7 +- sqrt 13) / 2.
  const float_matrix w(2, 3, std::vector<float>{2, 0, 1, 0, 1, -1});
  const singular_system s = singular_values(w.view());
  REQUIRE(s.count() == 2);
  CHECK(s.values[0] == Approx(2.302776).epsilon(1e-6));
  CHECK(s.values[1] == Approx(1.302776).epsilon(1e-6));
  CHECK(s.values[0] == Approx(std::sqrt((7 + std::sqrt(13.0)) / 2)).epsilon(1e-15));
}

TEST_CASE("singular_values @post: the parts sum to W, the squares to its norm",
          "[linear_algebra][singular][property]") {
  const auto [rows, cols] =
      GENERATE(std::pair<std::size_t, std::size_t>{1, 1}, std::pair<std::size_t, std::size_t>{1, 7},
               std::pair<std::size_t, std::size_t>{7, 1}, std::pair<std::size_t, std::size_t>{5, 9},
               std::pair<std::size_t, std::size_t>{64, 40}, std::pair<std::size_t, std::size_t>{53, 101},
               std::pair<std::size_t, std::size_t>{97, 97});
  const float_matrix w = random_floats(rows, cols, rows);
  const singular_system s = singular_values(w.view());
  const difference d(w.view(), s);
  CHECK(d.error <= 1e-12 * std::sqrt(d.norm));
  CHECK(d.squares == Approx(d.norm).epsilon(1e-12));
  CHECK(std::ranges::is_sorted(s.values, std::greater<>{}));
  for (std::size_t i = 0; i < s.count(); ++i) {
    CHECK(std::ranges::max(std::vector<double>(s.left.row(i).begin(), s.left.row(i).end())) >=
          -std::ranges::min(std::vector<double>(s.left.row(i).begin(), s.left.row(i).end())));  // the sign of u
    for (std::size_t j = 0; j <= i; ++j) {
      const bool wide = rows < cols;
      const double unit = wide ? inner(s.left.row(i), s.left.row(j)) : inner(s.right.row(i), s.right.row(j));
      const double scaled = wide ? inner(s.right.row(i), s.right.row(j)) : inner(s.left.row(i), s.left.row(j));
      CHECK(std::abs(unit - (i == j ? 1.0 : 0.0)) < 1e-12);
      CHECK(std::abs(scaled - (i == j ? s.values[i] * s.values[i] : 0.0)) < 1e-12 * s.values[0] * s.values[0]);
    }
  }
}

TEST_CASE("the transpose has the same singular values", "[linear_algebra][singular][property]") {
  const float_matrix w = random_floats(12, 30, 3);
  const singular_system s = singular_values(w.view()), t = singular_values(w.view().transposed());
  for (std::size_t r = 0; r < s.count(); ++r) CHECK(s.values[r] == Approx(t.values[r]).epsilon(1e-13));
}

TEST_CASE("lower ranks, equal values and zeros", "[linear_algebra][singular][oracle]") {
  SECTION("zero") {
    const singular_system s = singular_values(float_matrix(4, 3).view());
    CHECK(s.values == std::vector<double>(3, 0.0));
  }
  SECTION("rank one of size 3 * 5: outer product of (2, 2, 1) and (3, 4)") {
    const float_matrix w(3, 2, std::vector<float>{6, 8, 6, 8, 3, 4});
    const singular_system s = singular_values(w.view());
    CHECK(s.values[0] == Approx(15).epsilon(1e-14));
    CHECK(s.values[1] < 1e-14 * 15);
    CHECK(difference(w.view(), s).error < 1e-13);
  }
  SECTION("a diagonal whose squares span more than double precision: 1, 1e-5, 1e-10, 1e-12") {
    // The singular values are the absolute values of the entries, largest first.
    float_matrix w(5, 4);
    const float entries[] = {1e-5f, 1.f, -1e-12f, 1e-10f};
    for (std::size_t i = 0; i < 4; ++i) w(i, i) = entries[i];
    const singular_system s = singular_values(w.view());
    const double expected[] = {1.f, 1e-5f, 1e-10f, 1e-12f};
    for (std::size_t i = 0; i < 4; ++i) CHECK(s.values[i] == Approx(expected[i]).epsilon(1e-10));
  }
  SECTION("the identity: one cluster") {
    float_matrix w(6, 6);
    for (std::size_t i = 0; i < 6; ++i) w(i, i) = 2;
    const singular_system s = singular_values(w.view());
    CHECK(linear_algebra::clusters(s.values) == std::vector<std::size_t>(6, 0));
    CHECK(difference(w.view(), s).error < 1e-14);
  }
}

TEST_CASE("clusters are chains of adjacent values within the gap", "[linear_algebra][singular][worked-example]") {
  const std::vector<double> values{3, 3 - 1e-9, 3 - 2e-9, 2, 1, 0, 0};
  CHECK(linear_algebra::clusters(values) == std::vector<std::size_t>{0, 0, 0, 3, 4, 5, 5});
  CHECK(linear_algebra::clusters(values, 0.4) == std::vector<std::size_t>{0, 0, 0, 0, 4, 5, 5});
  CHECK(linear_algebra::clusters({}).empty());
}

TEST_CASE("weights that are not finite are refused with their position", "[linear_algebra][singular][refusal]") {
  float_matrix w(2, 2);
  w(1, 0) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(singular_values(w.view(), "h.0"), ContainsSubstring("h.0 holds nan at [1, 0]"));
}
