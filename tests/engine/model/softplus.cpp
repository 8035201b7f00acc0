#include <engine/model/softplus.hpp>

#include "catch.hpp"

#include <cmath>

TEST_CASE("softplus is ln(1 + e^x) and its slope the logistic function", "[engine][softplus][oracle]") {
  for (double x = -30; x < 30; x += 0.37) {
    CHECK(engine::softplus(x) == Approx(std::log(1 + std::exp(x))).margin(3e-9));  // above 20 it is x
    CHECK(engine::softplus_slope(x) ==
          Approx((engine::softplus(x + 1e-5) - engine::softplus(x - 1e-5)) / 2e-5).epsilon(1e-6).margin(1e-6));
  }
  CHECK(engine::softplus(1000) == 1000);
  CHECK(engine::softplus_slope(1000) == 1);
}
