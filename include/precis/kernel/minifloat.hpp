#if !defined(PRECIS_KERNEL_MINIFLOAT)
#define PRECIS_KERNEL_MINIFLOAT

#include <precis/kernel/ieee.hpp>

#include <array>
#include <bit>
#include <cstdint>

/// Conversion between float and the bits of 8-bit and 4-bit floats and of powers of two. Integer arithmetic only, as in
/// half.hpp.
namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// Which codes are infinities or NaN.
enum class minifloat_specials : std::uint8_t { none, nan_only, ieee };

/// A float with a sign bit, Exponent bits and Mantissa bits. Its magnitude, for an exponent field e and a mantissa
/// field m, is
///
///     e > 0: 2^(e - Bias) (1 + m / 2^Mantissa)        e = 0: 2^(1 - Bias) m / 2^Mantissa
///
/// Specials  none: all codes are finite. nan_only: a magnitude of all ones is NaN. ieee: the largest exponent encodes
///           infinity and NaN.
/// Source    Micikevicius et al. 2022, arXiv:2209.05433, table 1 (e4m3, e5m2); OCP Microscaling Formats (MX) v1.0
///           (e2m1).
template<unsigned Exponent, unsigned Mantissa, int Bias, minifloat_specials Specials>
struct minifloat {
  static constexpr unsigned bits = 1 + Exponent + Mantissa;
  static constexpr unsigned mantissa = Mantissa;
  static constexpr bool whole_when_doubled = bits == 4;  ///< 2 * value is a small integer
  static constexpr int bias = Bias;
  static constexpr std::uint8_t sign = 1u << (Exponent + Mantissa);
  static constexpr std::uint8_t all_ones = sign - 1u;
  /// The code of the largest finite number.
  static constexpr std::uint8_t top = Specials == minifloat_specials::none       ? all_ones
                                      : Specials == minifloat_specials::nan_only ? all_ones - 1u
                                                                                 : all_ones - (1u << Mantissa);
  static constexpr std::uint8_t nan = all_ones;       ///< unless Specials is none
  static constexpr std::uint8_t infinity = top + 1u;  ///< only if Specials is ieee

  [[nodiscard]] static constexpr bool is_nan(std::uint8_t code) noexcept {
    if constexpr (Specials == minifloat_specials::none) return false;
    if constexpr (Specials == minifloat_specials::nan_only) return (code & all_ones) == all_ones;
    return (code & all_ones) > infinity;
  }

  /// The value of a code. Exact. Bits above `bits` are ignored.
  [[nodiscard]] static constexpr float decode(std::uint8_t code) noexcept {
    const std::uint32_t negative = (code & sign) != 0 ? 0x8000'0000u : 0u;
    const unsigned magnitude = code & all_ones, e = magnitude >> Mantissa, m = magnitude & ((1u << Mantissa) - 1u);
    if (is_nan(code)) return kernel::bit_cast<float>(negative | 0x7FC0'0000u);
    if (Specials == minifloat_specials::ieee && magnitude == infinity)
      return kernel::bit_cast<float>(negative | 0x7F80'0000u);
    // The value n 2^(k - Mantissa) is a normal float or zero: n's leading one becomes the hidden bit.
    const unsigned n = e > 0 ? m | 1u << Mantissa : m;
    if (n == 0) return kernel::bit_cast<float>(negative);
    const int k = (e > 0 ? static_cast<int>(e) : 1) - Bias;
    const int lead = static_cast<int>(std::bit_width(n)) - 1;
    const auto exponent = static_cast<std::uint32_t>(k - static_cast<int>(Mantissa) + lead + 127);
    return kernel::bit_cast<float>(negative | exponent << 23 | (n << (23 - lead) & 0x7F'FFFFu));
  }

  /// The code nearest to a float, ties to the even code. Larger magnitudes, infinity included, saturate to the largest
  /// finite number. A NaN becomes a NaN with its sign; without NaN codes, the largest finite number.
  /// @post encode(decode(c)) == c for every code c < 2^bits that is not NaN.
  [[nodiscard]] static constexpr std::uint8_t encode(float value) noexcept {
    const auto word = kernel::bit_cast<std::uint32_t>(value);
    const auto negative = static_cast<std::uint8_t>(word >> 31 != 0 ? sign : 0);
    const std::uint32_t magnitude = word & 0x7FFF'FFFFu;
    if (magnitude > 0x7F80'0000u)
      return static_cast<std::uint8_t>(negative | (Specials == minifloat_specials::none ? top : nan));
    // value = significand 2^(exponent - 150). Its unit is 2^(k - Mantissa), where k is the exponent, at least that of
    // subnormals.
    const int exponent = static_cast<int>(magnitude >> 23);
    if (exponent == 0) return negative;  // less than half of the smallest step
    const std::uint32_t significand = (magnitude & 0x7F'FFFFu) | 0x80'0000u;
    const int k = exponent - 127 < 1 - Bias ? 1 - Bias : exponent - 127;
    const int shift = k - static_cast<int>(Mantissa) - exponent + 150;
    if (shift > 25) return negative;
    const std::uint32_t cut = significand >> shift;
    const std::uint32_t n = (significand + ((1u << (shift - 1)) - 1u) + (cut & 1u)) >> shift;
    // Subnormals have e = 0 and k = 1 - Bias, so codes of subnormal and normal numbers are consecutive: a carry
    // increments the exponent.
    const std::uint32_t code = (static_cast<std::uint32_t>(k + Bias - 1) << Mantissa) + n;
    return static_cast<std::uint8_t>(negative | (code < top ? code : top));
  }
};

using float8_e4m3 = minifloat<4, 3, 7, minifloat_specials::nan_only>;  ///< up to 448
using float8_e5m2 = minifloat<5, 2, 15, minifloat_specials::ieee>;     ///< up to 57344
using float4_e2m1 = minifloat<2, 1, 1, minifloat_specials::none>;      ///< 0, 0.5, 1, 1.5, 2, 3, 4, 6

/// Zero, and powers of two or of its square root from 1 downwards; no negative numbers.
///
///     code k < 2^Bits - 1: 2^(-k / Per_octave)        the last code: 0
///
/// Source    docs/methods/log2.md states the formula, after RepQ-ViT (Li et al. 2023, arXiv:2212.08254).
/// Differs   The source has no code for 0. Here the last code, which would be the smallest level, is 0.
template<unsigned Bits, unsigned Per_octave>
struct falling_power {
  static_assert(Bits == 3 || Bits == 4, "precis: falling powers have codes of 3 or 4 bits");
  static_assert(Per_octave == 1 || Per_octave == 2, "precis: powers of two or of its square root");
  static constexpr unsigned bits = Bits;
  static constexpr bool whole_when_doubled = false;
  static constexpr std::uint8_t zero = (1u << Bits) - 1u;
  static constexpr std::uint8_t top = 0;  ///< the code of the largest level

  /// The value of a code, correctly rounded. Bits above `bits` are ignored.
  [[nodiscard]] static constexpr float decode(std::uint8_t code) noexcept {
    const std::uint32_t k = code & zero;
    if (k == zero) return 0.f;
    const std::uint32_t octaves =
        (k + Per_octave - 1) / Per_octave;  // 2^(-k/2) = 2^-ceil(k/2), times sqrt 2 if k is odd
    const std::uint32_t root = k % Per_octave != 0 ? 0x35'04F3u : 0u;
    return kernel::bit_cast<float>((127u - octaves) << 23 | root);
  }

  /// The code nearest in the logarithm: rne(-Per_octave log2 value). Values above 1 get the code of 1; values below the
  /// smallest level, and everything that is not a positive number, the code of 0.
  /// @post encode(decode(c)) == c for every code c < 2^bits.
  [[nodiscard]] static constexpr std::uint8_t encode(float value) noexcept {
    if (!(value > 0)) return zero;
    if (value >= 1) return 0;
    const auto word = kernel::bit_cast<std::uint32_t>(value);
    const std::uint32_t exponent = word >> 23, fraction = word & 0x7F'FFFFu;
    if (exponent < 100) return zero;
    // value = 2^(exponent - 127) m with 1 <= m < 2 and -log2 m in (-1, 0]. Ties cannot occur: they would need an
    // irrational m.
    std::uint32_t k = (127u - exponent) * Per_octave;
    if constexpr (Per_octave == 1)
      k -= fraction > root_of_two ? 1u : 0u;
    else
      k -= (fraction > fourth_root ? 1u : 0u) + (fraction > fourth_root_cubed ? 1u : 0u);
    return static_cast<std::uint8_t>(k < zero ? k : zero);
  }

 private:
  static constexpr std::uint32_t root_of_two = 0x35'04F3u;        // fraction of 2^(1/2), rounded down
  static constexpr std::uint32_t fourth_root = 0x18'37F0u;        // of 2^(1/4)
  static constexpr std::uint32_t fourth_root_cubed = 0x57'44FCu;  // of 2^(3/4)
};

namespace detail {

/// The values of sixteen codes, for lookup instructions.
template<class Float>
inline constexpr auto sixteen_values = [] {
  std::array<float, 16> all{};
  for (unsigned c = 0; c < 16; ++c) all[c] = Float::decode(static_cast<std::uint8_t>(c));
  return all;
}();

}  // namespace detail

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_MINIFLOAT
