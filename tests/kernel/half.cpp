#include <precis/kernel/half.hpp>

#include "catch.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#if defined(__F16C__)
#include <immintrin.h>
#endif

using namespace precis::kernel;

namespace {

/// The value of a half by its definition, in double.
double half_by_definition(std::uint16_t h) {
  const int exponent = (h >> 10) & 31;
  const double fraction = h & 0x3FF;
  const double sign = (h & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == 31) return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  return exponent == 0 ? sign * std::ldexp(fraction, -24) : sign * std::ldexp(1024.0 + fraction, exponent - 25);
}

bool is_nan(std::uint16_t h) { return (h & 0x7FFF) > 0x7C00; }

}  // namespace

static_assert(half_to_float(0x3C00) == 1.f && float_to_half(1.f) == 0x3C00);
static_assert(bfloat16_to_float(0x3F80) == 1.f && float_to_bfloat16(1.f) == 0x3F80);

TEST_CASE("half worked numbers", "[kernel][half][worked-example]") {
  CHECK(float_to_half(0.1f) == 0x2E66);  // 1638.4 -> 1638 units of 2^-14
  CHECK(half_to_float(0x2E66) == 0x1.998p-4f);
  CHECK(float_to_half(65504.f) == 0x7BFF);
  CHECK(float_to_half(65519.99f) == 0x7BFF);
  CHECK(float_to_half(65520.f) == 0x7C00);  // a tie between 65504 and 65536 goes to even: infinity
  CHECK(float_to_half(-1e30f) == 0xFC00);
  CHECK(float_to_half(0x1p-24f) == 1);
  CHECK(float_to_half(0x1p-25f) == 0);  // a tie goes to even: zero
  CHECK(float_to_half(std::nextafter(0x1p-25f, 1.f)) == 1);
  CHECK(float_to_half(std::numeric_limits<float>::denorm_min()) == 0);
  CHECK(std::signbit(half_to_float(0x8000)));
  CHECK(float_to_half(-0.f) == 0x8000);
  CHECK(float_to_bfloat16(0x1.01p0f) == 0x3F80);  // a tie: 1 is even
  CHECK(float_to_bfloat16(0x1.03p0f) == 0x3F82);  // a tie: 1 + 2/128 is even
  CHECK(float_to_bfloat16(std::numeric_limits<float>::max()) == 0x7F80);
}

TEST_CASE("half: every code decodes to its definition and encodes back to itself", "[kernel][half][oracle]") {
  std::size_t wrong = 0;
  for (std::uint32_t c = 0; c < 0x10000; ++c) {
    const auto h = static_cast<std::uint16_t>(c);
    const float f = half_to_float(h);
    if (is_nan(h)) {
      wrong += !std::isnan(f) || float_to_half(f) != (h | 0x200) || std::signbit(f) != ((h & 0x8000) != 0);
    } else {
      wrong += static_cast<double>(f) != half_by_definition(h) || float_to_half(f) != h ||
               std::signbit(f) != ((h & 0x8000) != 0);
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("half: every boundary between two codes rounds to the nearest, ties to even", "[kernel][half][oracle]") {
  std::size_t wrong = 0;
  for (std::uint32_t c = 0; c < 0x7C00; ++c) {  // from each finite code to the next; the last one is infinity
    const auto low = static_cast<std::uint16_t>(c), high = static_cast<std::uint16_t>(c + 1);
    const double above = high == 0x7C00 ? 65536.0 : half_by_definition(high);
    const auto middle = static_cast<float>((half_by_definition(low) + above) / 2);  // exact: one more bit than a half
    wrong += float_to_half(middle) != ((low & 1) == 0 ? low : high);
    wrong += float_to_half(std::nextafter(middle, 0.f)) != low;
    wrong += float_to_half(std::nextafter(middle, 1e30f)) != high;
    wrong += float_to_half(-middle) != (((low & 1) == 0 ? low : high) | 0x8000);
  }
  CHECK(wrong == 0);
}

TEST_CASE("bfloat16: every code encodes back to itself, every boundary rounds to the nearest",
          "[kernel][half][oracle]") {
  std::size_t wrong = 0;
  for (std::uint32_t c = 0; c < 0x10000; ++c) {
    const auto b = static_cast<std::uint16_t>(c);
    const float f = bfloat16_to_float(b);
    const bool nan = (b & 0x7FFF) > 0x7F80;
    wrong += std::isnan(f) != nan || float_to_bfloat16(f) != (nan ? b | 0x40 : b);
    if ((b & 0x7FFF) < 0x7F80) {
      const auto next = static_cast<std::uint16_t>(b + 1);
      const auto middle = std::bit_cast<float>((c << 16) | 0x8000u);
      wrong += float_to_bfloat16(middle) != ((b & 1) == 0 ? b : next);
      wrong += float_to_bfloat16(std::bit_cast<float>((c << 16) | 0x7FFFu)) != b;
      wrong += float_to_bfloat16(std::bit_cast<float>((c << 16) | 0x8001u)) != next;
    }
  }
  CHECK(wrong == 0);
}

#if defined(__F16C__)
TEST_CASE("half: equal to the F16C instructions bit for bit", "[kernel][half][oracle]") {
  std::size_t wrong = 0;
  for (std::uint32_t c = 0; c < 0x10000; ++c) {
    const float f = half_to_float(static_cast<std::uint16_t>(c));
    wrong += std::bit_cast<std::uint32_t>(f) != std::bit_cast<std::uint32_t>(_cvtsh_ss(static_cast<std::uint16_t>(c)));
  }
  for (std::uint64_t bits = 0; bits < 0x1'0000'0000;
       bits += 1021) {  // a prime step covers every exponent and varied fractions
    const auto f = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    wrong += float_to_half(f) != _cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  CHECK(wrong == 0);
}
#endif
