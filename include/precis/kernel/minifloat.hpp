#pragma once

#include <bit>
#include <cstdint>

/// Floats of 8 and 4 bits, as bits, to and from float. Integer arithmetic only, as half.hpp.
namespace precis::kernel {

/// What becomes of codes that are no finite numbers.
enum class minifloat_specials : std::uint8_t { none, nan_only, ieee };

/// A sign bit, Exponent bits, Mantissa bits. Exponent field e, mantissa field m:
///
///     e > 0: 2^(e - Bias) (1 + m / 2^Mantissa)        e = 0: 2^(1 - Bias) m / 2^Mantissa
///
/// specials  none: all codes are finite. nan_only: all ones are NaN. ieee: the largest exponent is infinity and NaN.
/// Source    methods D4.
template<unsigned Exponent, unsigned Mantissa, int Bias, minifloat_specials Specials>
struct minifloat {
  static constexpr unsigned bits = 1 + Exponent + Mantissa;
  static constexpr unsigned mantissa = Mantissa;
  static constexpr int bias = Bias;
  static constexpr std::uint8_t sign = 1u << (Exponent + Mantissa);
  static constexpr std::uint8_t all_ones = sign - 1u;
  /// The code of the largest finite number.
  static constexpr std::uint8_t top = Specials == minifloat_specials::none       ? all_ones
                                      : Specials == minifloat_specials::nan_only ? all_ones - 1u
                                                                                 : all_ones - (1u << Mantissa);
  static constexpr std::uint8_t nan = all_ones;       ///< where there is one
  static constexpr std::uint8_t infinity = top + 1u;  ///< ieee

  [[nodiscard]] static constexpr bool is_nan(std::uint8_t code) noexcept {
    if constexpr (Specials == minifloat_specials::none) return false;
    if constexpr (Specials == minifloat_specials::nan_only) return (code & all_ones) == all_ones;
    return (code & all_ones) > infinity;
  }

  /// The value of a code. Exact. Bits above `bits` are ignored.
  [[nodiscard]] static constexpr float decode(std::uint8_t code) noexcept {
    const std::uint32_t negative = (code & sign) != 0 ? 0x8000'0000u : 0u;
    const unsigned magnitude = code & all_ones, e = magnitude >> Mantissa, m = magnitude & ((1u << Mantissa) - 1u);
    if (is_nan(code)) return std::bit_cast<float>(negative | 0x7FC0'0000u);
    if (Specials == minifloat_specials::ieee && magnitude == infinity)
      return std::bit_cast<float>(negative | 0x7F80'0000u);
    // n 2^(k - Mantissa), a normal float or zero: put n's leading one into the hidden place.
    const unsigned n = e > 0 ? m | 1u << Mantissa : m;
    if (n == 0) return std::bit_cast<float>(negative);
    const int k = (e > 0 ? static_cast<int>(e) : 1) - Bias;
    const int lead = static_cast<int>(std::bit_width(n)) - 1;
    const auto exponent = static_cast<std::uint32_t>(k - static_cast<int>(Mantissa) + lead + 127);
    return std::bit_cast<float>(negative | exponent << 23 | (n << (23 - lead) & 0x7F'FFFFu));
  }

  /// The code nearest to a float, ties to the even code; beyond the largest finite number that one (it saturates), infinity
  /// too. A NaN becomes a NaN with its sign; where there is none, the largest finite number.
  /// @post encode(decode(c)) == c for every code c < 2^bits that is no NaN.
  [[nodiscard]] static constexpr std::uint8_t encode(float value) noexcept {
    const auto word = std::bit_cast<std::uint32_t>(value);
    const auto negative = static_cast<std::uint8_t>(word >> 31 != 0 ? sign : 0);
    const std::uint32_t magnitude = word & 0x7FFF'FFFFu;
    if (magnitude > 0x7F80'0000u)
      return static_cast<std::uint8_t>(negative | (Specials == minifloat_specials::none ? top : nan));
    // value = significand 2^(exponent - 150). The unit is 2^(k - Mantissa), k the exponent, at least that of subnormals.
    const int exponent = static_cast<int>(magnitude >> 23);
    if (exponent == 0) return negative;  // below every half step
    const std::uint32_t significand = (magnitude & 0x7F'FFFFu) | 0x80'0000u;
    const int k = exponent - 127 < 1 - Bias ? 1 - Bias : exponent - 127;
    const int shift = k - static_cast<int>(Mantissa) - exponent + 150;
    if (shift > 25) return negative;
    const std::uint32_t cut = significand >> shift;
    const std::uint32_t n = (significand + ((1u << (shift - 1)) - 1u) + (cut & 1u)) >> shift;
    // Subnormals have e = 0 and k = 1 - Bias; so for both, codes count on: a carry is the next exponent.
    const std::uint32_t code = (static_cast<std::uint32_t>(k + Bias - 1) << Mantissa) + n;
    return static_cast<std::uint8_t>(negative | (code < top ? code : top));
  }
};

using float8_e4m3 = minifloat<4, 3, 7, minifloat_specials::nan_only>;  ///< up to 448
using float8_e5m2 = minifloat<5, 2, 15, minifloat_specials::ieee>;     ///< up to 57344
using float4_e2m1 = minifloat<2, 1, 1, minifloat_specials::none>;      ///< 0, 0.5, 1, 1.5, 2, 3, 4, 6

}  // namespace precis::kernel
