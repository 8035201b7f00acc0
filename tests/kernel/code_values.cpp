#include <precis/kernel/code_values.hpp>

#include "catch.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>

using namespace precis::kernel;

TEST_CASE("products with bytes are exact for e2m1: the table holds 2 * value + 12", "[kernel][code_values][oracle]") {
  // OCP E2M1: sign, two exponent bits, one mantissa bit.
  constexpr float magnitudes[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  with_float({.rule = grid_rule::e2m1, .code_bits = 4}, [&](auto small) {
    using values = detail::small_floats<decltype(small)>;
    if constexpr (values::exact_in_bytes)
      for (unsigned code = 0; code < 16; ++code) {
        const float value = code < 8 ? magnitudes[code] : -magnitudes[code - 8];
        CHECK(values::value(static_cast<std::uint8_t>(code)) == value);
        CHECK(static_cast<float>(values::table[code]) == 2 * value + 12);
      }
    CHECK(values::exact_in_bytes);
  });
}

TEST_CASE("with_codes passes the width and the kind of value of every format",
          "[kernel][code_values][worked-example]") {
  const auto width_of = [](const grid_format& f, auto kind) {
    std::size_t width = 0;
    bool same = false;
    detail::with_codes(f, [&](auto bits, auto numbers) {
      width = bits;
      same = std::is_same_v<decltype(numbers), decltype(kind)>;
    });
    return same ? width : 0;
  };
  for (unsigned bits = 2; bits <= 8; ++bits) {
    CHECK(width_of({.rule = grid_rule::affine, .code_bits = bits}, detail::whole_numbers{}) == bits);
  }
  CHECK(width_of({.rule = grid_rule::symmetric, .code_bits = 16}, detail::wide_numbers{}) == 16);
  CHECK(width_of({.rule = grid_rule::symmetric, .code_bits = 24}, detail::wide_numbers{}) == 24);
}
