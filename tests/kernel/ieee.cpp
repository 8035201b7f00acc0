#include <precis/kernel/ieee.hpp>

#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <limits>

// What the regions do under other flags is tested by tests/consumer/bits.cpp, which is compiled several times.

using precis::kernel::is_finite;
using precis::kernel::is_nan;

namespace {

template<class T>
void classifies_the_edges() {
  using limits = std::numeric_limits<T>;
  for (const T x : {T{0}, -T{0}, T{1}, limits::denorm_min(), limits::min(), limits::max(), limits::lowest()}) {
    CHECK(is_finite(x));
    CHECK_FALSE(is_nan(x));
  }
  for (const T x : {limits::infinity(), -limits::infinity()}) {
    CHECK_FALSE(is_finite(x));
    CHECK_FALSE(is_nan(x));
  }
  for (const T x : {limits::quiet_NaN(), -limits::quiet_NaN()}) {
    CHECK_FALSE(is_finite(x));
    CHECK(is_nan(x));
  }
}

PRECIS_IEEE_BEGIN
template<class T>
T rest_of_product(T a, T b) {
  const auto rest = [&](auto product) { return a * b - product; };
  return rest(a * b);
}
PRECIS_IEEE_END

}  // namespace

TEST_CASE("is_finite and is_nan agree with the definition at the edges of the range",
          "[kernel][ieee][worked-example]") {
  classifies_the_edges<float>();
  classifies_the_edges<double>();
}

TEST_CASE("kernel::bit_cast keeps the bits", "[kernel][ieee][worked-example]") {
  CHECK(precis::kernel::bit_cast<std::uint32_t>(1.f) == 0x3F80'0000u);
  CHECK(precis::kernel::bit_cast<double>(std::uint64_t{0x4000'0000'0000'0000u}) == 2.0);
}

TEST_CASE("inside a region a product is rounded before anything is subtracted from it", "[kernel][ieee][property]") {
  // A fused a * b - round(a * b) would be the rounding error, 2^-60; the rounded products cancel.
  volatile double a = 1 + 0x1p-30, b = 1 - 0x1p-30;
  CHECK(rest_of_product<double>(a, b) == 0);
}
