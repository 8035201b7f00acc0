#include <precis/core/moments.hpp>

#include "catch.hpp"

#include <cmath>
#include <vector>

using namespace precis;

TEST_CASE("moments_of: population and sample deviation of 3, 1, 2, 2, 6, 4", "[core][moments][worked-example]") {
  // The mean is 3; squared distances 0 + 4 + 1 + 1 + 9 + 1 = 16, divided by 6 or by 5.
  const std::vector<double> values{3, 1, 2, 2, 6, 4};
  CHECK(moments_of(values).mean == Approx(3).epsilon(1e-15));
  CHECK(moments_of(values).standard_deviation == Approx(std::sqrt(16 / 6.0)).epsilon(1e-14));
  CHECK(moments_of(values, deviation::sample).standard_deviation == Approx(std::sqrt(16 / 5.0)).epsilon(1e-14));
}

TEST_CASE("moments_of: no values, one value, and sums that would overflow", "[core][moments][worked-example]") {
  CHECK(moments_of({}).mean == 0);
  CHECK(moments_of({}).standard_deviation == 0);
  CHECK(moments_of(std::vector<double>{7}).mean == 7);
  CHECK(moments_of(std::vector<double>{7}).standard_deviation == 0);
  CHECK(std::isnan(moments_of(std::vector<double>{7}, deviation::sample).standard_deviation));
  CHECK(moments_of(std::vector<double>{1e308, 1e308, 1e308, 1e308}).mean == 1e308);
}

TEST_CASE("z_scores count standard deviations from the mean", "[core][moments][worked-example]") {
  CHECK(z_scores(std::vector<double>{0, 2, 2, 4}) ==
        std::vector<double>{-2 / std::sqrt(2.0), 0, 0, 2 / std::sqrt(2.0)});
  // Sample deviation sqrt(8 / 3).
  CHECK(z_scores(std::vector<double>{0, 2, 2, 4}, deviation::sample)[3] ==
        Approx(2 / std::sqrt(8 / 3.0)).epsilon(1e-14));
  CHECK(z_scores(std::vector<double>{7}) == std::vector<double>{0});
  CHECK(z_scores({}).empty());
}

TEST_CASE("z_scores are zero if the values differ by rounding only", "[core][moments][worked-example]") {
  CHECK(z_scores(std::vector<double>{1e300, 1e300}) == std::vector<double>{0, 0});
  CHECK(z_scores(std::vector<double>{0.1, 0.1, std::nextafter(0.1, 1.0)}) == std::vector<double>{0, 0, 0});
}

TEST_CASE("z_scores @post: z_scores(a values + b) equals z_scores(values) for a > 0", "[core][moments][property]") {
  const std::vector<double> values{3, -1, 2, 2.5, 6, 4, -7, 0};
  const std::vector<double> expected = z_scores(values);
  for (const double a : {0.001, 1.0, 37.0})
    for (const double b : {-5.0, 0.0, 100.0}) {
      std::vector<double> moved;
      for (const double v : values) moved.push_back(a * v + b);
      const std::vector<double> z = z_scores(moved);
      // a v + b is rounded to 2^-53 of up to 359, and a deviation is at least 0.001 * 3.7: below 1e-10.
      for (std::size_t i = 0; i < z.size(); ++i) CHECK(z[i] == Approx(expected[i]).margin(1e-10));
    }
}
