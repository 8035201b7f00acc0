#if !defined(PRECIS_KERNEL_HALF)
#define PRECIS_KERNEL_HALF

#include <precis/kernel/constants.hpp>
#include <precis/kernel/ieee.hpp>

#include <bit>
#include <cstdint>

/// Conversion between float and the bits of IEEE binary16 ("half") and bfloat16. Integer arithmetic only: the result
/// does not depend on the processor, the rounding mode or the flushing of subnormals.
namespace precis::kernel {

/// The value of a half. Exact; a NaN keeps its sign and payload and becomes quiet, as the F16C instructions do.
[[nodiscard]] PRECIS_INLINE constexpr float half_to_float(std::uint16_t half) noexcept {
  const std::uint32_t sign = (half & 0x8000u) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1Fu;
  const std::uint32_t fraction = half & 0x3FFu;
  // A subnormal half is a normal float: its leading one becomes the hidden bit.
  const auto zeros = static_cast<std::uint32_t>(std::countl_zero((fraction << 22) | 0x0020'0000u));
  const std::uint32_t subnormal = ((112u - zeros) << 23) | (((fraction << 1) << zeros & 0x3FFu) << 13);
  const std::uint32_t normal = ((exponent + 112u) << 23) | (fraction << 13);
  const std::uint32_t special = 0x7F80'0000u | (fraction << 13) | (fraction != 0 ? 0x0040'0000u : 0u);
  const std::uint32_t tiny = fraction == 0 ? 0u : subnormal;
  const std::uint32_t magnitude = exponent == 0 ? tiny : exponent == 31 ? special : normal;
  return kernel::bit_cast<float>(sign | magnitude);
}

/// The half nearest to a float, ties to even. Magnitudes from 65520 on overflow to infinity; a NaN keeps its sign and
/// the top of its payload and becomes quiet.
/// @post float_to_half(half_to_float(h)) == h for every h that is not a signalling NaN.
[[nodiscard]] PRECIS_INLINE constexpr std::uint16_t float_to_half(float value) noexcept {
  const auto bits = kernel::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7FFF'FFFFu;
  const std::uint32_t exponent = magnitude >> 23;
  // Below 2^-14 the unit is 2^-24: shift the significand there and round. A shift of 25 gives zero.
  const std::uint32_t wanted = 126u - (exponent < 113u ? exponent : 113u);
  const std::uint32_t shift = wanted < 25u ? wanted : 25u;
  const std::uint32_t significand = (magnitude & 0x7F'FFFFu) | 0x80'0000u;
  const std::uint32_t cut = significand >> shift;
  const std::uint32_t subnormal = (significand + ((1u << (shift - 1)) - 1u) + (cut & 1u)) >> shift;
  // Wraps if the result is not normal; it is not used then. A carry out of the fraction increments the exponent, up to
  // infinity.
  const std::uint32_t normal = (magnitude - (112u << 23) + 0xFFFu + ((magnitude >> 13) & 1u)) >> 13;
  const std::uint32_t special = magnitude > 0x7F80'0000u ? 0x7E00u | ((magnitude >> 13) & 0x3FFu) : 0x7C00u;
  const std::uint32_t half = exponent < 113u ? subnormal : exponent < 143u ? normal : special;
  return static_cast<std::uint16_t>(sign | half);
}

/// The value of a bfloat16: the upper half of a float's bits. Exact.
[[nodiscard]] PRECIS_INLINE constexpr float bfloat16_to_float(std::uint16_t bfloat16) noexcept {
  return kernel::bit_cast<float>(static_cast<std::uint32_t>(bfloat16) << 16);
}

/// The bfloat16 nearest to a float, ties to even. A NaN keeps its sign and the top of its payload and becomes quiet.
/// @post float_to_bfloat16(bfloat16_to_float(b)) == b for every b that is not a signalling NaN.
[[nodiscard]] PRECIS_INLINE constexpr std::uint16_t float_to_bfloat16(float value) noexcept {
  const auto bits = kernel::bit_cast<std::uint32_t>(value);
  const bool nan = (bits & 0x7FFF'FFFFu) > 0x7F80'0000u;
  const std::uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  return static_cast<std::uint16_t>(nan ? (bits >> 16) | 0x40u : rounded);
}

}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_HALF
