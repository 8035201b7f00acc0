#include <precis/measure/log_sum_exp.hpp>

#include <precis/core/random.hpp>

#include "catch.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

using namespace precis;
using measure::log_sum_exp;

TEST_CASE("exponential is the C library's to two units in the last place", "[evaluate][log_sum_exp][oracle]") {
  const random_stream random(1, purpose("exponential"));
  double worst = 0;
  for (std::size_t i = 0; i < 200000; ++i) {
    const double x = -708 + random.uniform(i) * 1416;
    for (const double at : {x, x / 100, x / 1e4, x / 1e8}) {
      const double expected = std::exp(at);
      worst = std::max(worst, std::abs(measure::detail::exponential(at) - expected) / expected);
    }
  }
  CHECK(worst < 2 * std::numeric_limits<double>::epsilon());
  CHECK(measure::detail::exponential(0) == 1);
  CHECK(measure::detail::exponential(-std::numeric_limits<double>::infinity()) < 1e-300);
  CHECK(std::isnan(measure::detail::exponential(std::numeric_limits<double>::quiet_NaN())));
}

TEST_CASE("log_sum_exp: by hand, of any size and length", "[evaluate][log_sum_exp][worked-example]") {
  CHECK(log_sum_exp(std::vector<float>{3}) == 3);
  CHECK(log_sum_exp(std::vector<float>{0, 0, 0, 0}) == Approx(std::log(4)).epsilon(1e-15));
  CHECK(log_sum_exp(std::vector<float>{1000, 1000}) == Approx(1000 + std::log(2)).epsilon(1e-15));
  CHECK(log_sum_exp(std::vector<float>{-3e38f, 2e38f}) == static_cast<double>(2e38f));
  for (const std::size_t n : {15u, 16u, 17u, 33u, 1000u})
    CHECK(log_sum_exp(std::vector<float>(n, -2)) == Approx(std::log(n) - 2).epsilon(1e-14));
  CHECK(std::isnan(log_sum_exp(std::vector<float>{1, std::numeric_limits<float>::quiet_NaN(), 0})));
  CHECK(std::isnan(log_sum_exp(std::vector<float>{std::numeric_limits<float>::infinity(), 0})));
}
