#include <precis/kernel/minifloat.hpp>

#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using namespace precis::kernel;

namespace {

/// The value of a code by definition, in double.
double by_definition(unsigned code, unsigned exponent_bits, unsigned mantissa_bits, int bias) {
  const unsigned m = code & ((1u << mantissa_bits) - 1), e = code >> mantissa_bits & ((1u << exponent_bits) - 1);
  const double sign = (code >> (exponent_bits + mantissa_bits) & 1) != 0 ? -1.0 : 1.0;
  const double fraction = std::ldexp(m, -static_cast<int>(mantissa_bits));
  return sign * (e > 0 ? std::ldexp(1 + fraction, static_cast<int>(e) - bias) : std::ldexp(fraction, 1 - bias));
}

/// Checks every code, and every float near a value or a midpoint of two, against the sorted table of all values.
template<class Float>
void check_exhaustively(unsigned exponent_bits, unsigned mantissa_bits, int bias) {
  std::vector<double> numbers;  // of codes 0 ... top, in ascending order
  for (unsigned c = 0; c < 1u << Float::bits; ++c) {
    const auto code = static_cast<std::uint8_t>(c);
    const float value = Float::decode(code);
    CAPTURE(c, value);
    if (Float::is_nan(code)) {
      REQUIRE(std::isnan(value));
      continue;
    }
    REQUIRE(std::signbit(value) == ((code & Float::sign) != 0));
    if ((code & Float::all_ones) > Float::top) {
      REQUIRE(std::isinf(value));
      REQUIRE(Float::encode(value) == ((code & Float::sign) | Float::top));  // saturates
      continue;
    }
    REQUIRE(static_cast<double>(value) == by_definition(c, exponent_bits, mantissa_bits, bias));
    REQUIRE(Float::encode(value) == code);
    if (c <= Float::top) numbers.push_back(static_cast<double>(value));
  }
  REQUIRE(numbers.size() == Float::top + 1u);
  for (std::size_t i = 0; i + 1 < numbers.size(); ++i) {
    REQUIRE(numbers[i] < numbers[i + 1]);
    const auto middle = static_cast<float>((numbers[i] + numbers[i + 1]) / 2);  // exact
    const auto even = static_cast<std::uint8_t>(i % 2 == 0 ? i : i + 1);
    for (const float sign : {1.f, -1.f}) {
      const auto s = static_cast<std::uint8_t>(sign < 0 ? Float::sign : 0);
      CHECK(Float::encode(sign * middle) == (s | even));
      CHECK(Float::encode(sign * std::nextafter(middle, 0.f)) == (s | i));
      CHECK(Float::encode(sign * std::nextafter(middle, 1e9f)) == (s | (i + 1)));
    }
  }
  constexpr float infinite = std::numeric_limits<float>::infinity();
  CHECK(Float::encode(infinite) == Float::top);
  CHECK(Float::encode(-std::numeric_limits<float>::max()) == (Float::sign | Float::top));
  CHECK(Float::encode(std::numeric_limits<float>::denorm_min()) == 0);
  CHECK(Float::encode(-0.f) == Float::sign);
}

}  // namespace

static_assert(float8_e4m3::decode(0x7E) == 448 && float8_e5m2::decode(0x7B) == 57344 && float4_e2m1::decode(7) == 6);

TEST_CASE("minifloats: every code, and the nearest value for every float near a value or a tie",
          "[kernel][minifloat][oracle]") {
  check_exhaustively<float8_e4m3>(4, 3, 7);
  check_exhaustively<float8_e5m2>(5, 2, 15);
  check_exhaustively<float4_e2m1>(2, 1, 1);
  CHECK(float8_e4m3::is_nan(float8_e4m3::encode(std::nanf(""))));
  CHECK(float8_e5m2::is_nan(float8_e5m2::encode(std::nanf(""))));
  CHECK(float4_e2m1::encode(std::nanf("")) == 7);
}

TEST_CASE("minifloats: codes by hand", "[kernel][minifloat][worked-example]") {
  const auto e4m3 = [](double x) { return int{float8_e4m3::encode(static_cast<float>(x))}; };
  CHECK(e4m3(0.3) == 0x2a);
  CHECK(e4m3(-1.1) == 0xb9);
  CHECK(e4m3(17) == 0x58);  // a tie, to even
  CHECK(e4m3(19) == 0x5a);
  CHECK(e4m3(447) == 0x7e);
  CHECK(e4m3(500) == 0x7e);
  CHECK(e4m3(0.001) == 0x01);
  CHECK(e4m3(0x1.0p-10) == 0x00);  // a tie
  const auto e5m2 = [](double x) { return int{float8_e5m2::encode(static_cast<float>(x))}; };
  CHECK(e5m2(0.3) == 0x35);
  CHECK(e5m2(-1.1) == 0xbc);
  CHECK(e5m2(500) == 0x60);
  CHECK(e5m2(0x1.0p-10) == 0x14);
  CHECK(e5m2(1e-4) == 0x07);
  const auto e2m1 = [](double x) { return float4_e2m1::decode(float4_e2m1::encode(static_cast<float>(x))); };
  CHECK(e2m1(0.25) == 0);
  CHECK(e2m1(0.75) == 1);
  CHECK(e2m1(1.25) == 1);
  CHECK(e2m1(1.75) == 2);
  CHECK(e2m1(2.5) == 2);
  CHECK(e2m1(3.5) == 4);
  CHECK(e2m1(5) == 4);
}
