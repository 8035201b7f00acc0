#include <precis/core/math.hpp>

#include "catch.hpp"

#include <cmath>
#include <limits>
#include <vector>

namespace math = precis::math;

namespace {

/// Zeros, tiny, ordinary and huge numbers of both signs.
template<class T>
std::vector<T> numbers() {
  using limits = std::numeric_limits<T>;
  std::vector<T> x{T{0}, limits::denorm_min(), limits::min(), limits::max()};
  for (T v = T(0.01); v < T(1e4); v *= T(1.37)) x.push_back(v);
  for (const T v : {T(0.5), T(1), T(1.5), T(2), T(2.5), T(3)}) x.push_back(v);
  const std::size_t positive = x.size();
  for (std::size_t i = 0; i < positive; ++i) x.push_back(-x[i]);
  return x;
}

}  // namespace

TEST_CASE("core/math @post: the functions are those of <cmath>, bit for bit", "[core][math][oracle]") {
  for (const double x : numbers<double>()) {
    CAPTURE(x);
    if (x >= 0) CHECK(math::sqrt(x) == std::sqrt(x));
    if (x > 0) {
      CHECK(math::log(x) == std::log(x));
      CHECK(math::log10(x) == std::log10(x));
      CHECK(math::pow(x, 2.4) == std::pow(x, 2.4));
      CHECK(math::ilogb(x) == std::ilogb(x));
      CHECK(math::fmod(x, 3.0) == std::fmod(x, 3.0));
    }
    CHECK(math::exp(x) == std::exp(x));
    CHECK(math::sin(x) == std::sin(x));
    CHECK(math::cos(x) == std::cos(x));
    CHECK(math::atan(x) == std::atan(x));
    CHECK(math::floor(x) == std::floor(x));
    CHECK(math::ceil(x) == std::ceil(x));
    CHECK(math::nearbyint(x) == std::nearbyint(x));
    if (std::abs(x) < 1e15) CHECK(math::llround(x) == std::llround(x));
    CHECK(math::nextafter(x, 1.0) == std::nextafter(x, 1.0));
    CHECK(math::copysign(2.0, x) == std::copysign(2.0, x));
    CHECK(math::ldexp(x, -3) == std::ldexp(x, -3));
    CHECK(math::fma(x, 1.0 / 3, 0.1) == std::fma(x, 1.0 / 3, 0.1));
    int exponent = 0, expected = 0;
    CHECK(math::frexp(x, &exponent) == std::frexp(x, &expected));
    CHECK(exponent == expected);
  }
  for (const float x : numbers<float>()) {
    CAPTURE(x);
    if (x > 0) CHECK(math::log2(x) == std::log2(x));
    CHECK(math::floor(x) == std::floor(x));
    CHECK(math::nextafter(x, 1.f) == std::nextafter(x, 1.f));
    CHECK(math::copysign(2.f, x) == std::copysign(2.f, x));
    CHECK(math::ldexp(x, -3) == std::ldexp(x, -3));
    CHECK(math::fma(x, 1.f / 3, 0.1f) == std::fma(x, 1.f / 3, 0.1f));
  }
}
