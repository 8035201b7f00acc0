#include <precis/measure/log_sum_exp.hpp>

#include "catch.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

using namespace precis;
using measure::log_sum_exp;

TEST_CASE("log_sum_exp by hand, for large logits and any number of them", "[measure][log_sum_exp][worked-example]") {
  CHECK(log_sum_exp(std::vector<float>{3}) == 3);
  CHECK(log_sum_exp(std::vector<float>{0, 0, 0, 0}) == Approx(std::log(4)).epsilon(1e-15));
  CHECK(log_sum_exp(std::vector<float>{1000, 1000}) == Approx(1000 + std::log(2)).epsilon(1e-15));
  CHECK(log_sum_exp(std::vector<float>{-3e38f, 2e38f}) == static_cast<double>(2e38f));
  for (const std::size_t n : {15u, 16u, 17u, 33u, 1000u})
    CHECK(log_sum_exp(std::vector<float>(n, -2)) == Approx(std::log(n) - 2).epsilon(1e-14));
  CHECK(std::isnan(log_sum_exp(std::vector<float>{1, std::numeric_limits<float>::quiet_NaN(), 0})));
  CHECK(std::isnan(log_sum_exp(std::vector<float>{std::numeric_limits<float>::infinity(), 0})));
}
