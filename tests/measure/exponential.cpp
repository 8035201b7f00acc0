#include <precis/measure/exponential.hpp>

#include <precis/core/random.hpp>

#include "catch.hpp"

#include <cmath>
#include <cstddef>
#include <limits>

using namespace precis;

TEST_CASE("exponential equals std::exp to two units in the last place", "[measure][exponential][oracle]") {
  const random_stream random(1, purpose("exponential"));
  double worst = 0;
  for (std::size_t i = 0; i < 200000; ++i) {
    const double x = -708 + random.uniform(i) * 1416;
    for (const double at : {x, x / 100, x / 1e4, x / 1e8}) {
      const double expected = std::exp(at);
      worst = std::max(worst, std::abs(measure::exponential(at) - expected) / expected);
    }
  }
  CHECK(worst < 2 * std::numeric_limits<double>::epsilon());
  CHECK(measure::exponential(0) == 1);
  CHECK(measure::exponential(-std::numeric_limits<double>::infinity()) < 1e-300);
  CHECK(std::isnan(measure::exponential(std::numeric_limits<double>::quiet_NaN())));
}
