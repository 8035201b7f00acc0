#if !defined(PRECIS_KERNEL_BLOCKS_FP4_BLOCKS)
#define PRECIS_KERNEL_BLOCKS_FP4_BLOCKS

#include <precis/kernel/blocks/block.hpp>

/// Blocks of 4-bit floats (e2m1) with 8-bit scales.
namespace precis::kernel::blocks {
PRECIS_IEEE_BEGIN

/// Twice the values of the sixteen codes, so that they are integers; the scales are halved instead. Code 8, minus zero
/// in e2m1, is plus zero here.
inline constexpr std::int8_t e2m1_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// Blocks of 32: y = 2^(e - 127) value. Bytes: e; codes [16], byte j holds code j and code 16 + j.
///
/// Unlike OCP's MXFP4 in files of Hugging Face, where byte j holds codes 2j and 2j + 1. With e above 252 large codes
/// decode to infinity, as in ggml.
/// Source  OCP Microscaling Formats specification 1.0; the byte order is ggml's.
struct mxfp4 {
  static constexpr const char* name = "mxfp4";
  static constexpr std::uint32_t ggml_id = 39;
  static constexpr std::size_t weights = 32, bytes = 17;
  static constexpr bool keeps_zero = true;

  static constexpr std::size_t exponent = 0, codes = 1;

  /// 2^(e - 128): half of the scale, for the doubled values.
  [[nodiscard]] static constexpr float half_scale(unsigned e) noexcept {
    return kernel::bit_cast<float>(e < 2 ? std::uint32_t{0x0020'0000} << e : std::uint32_t{e - 1} << 23);
  }
  [[nodiscard]] static constexpr bool scales_are_finite(const std::byte*) noexcept { return true; }
  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_scale(byte_at(block, exponent));
    for (std::size_t j = 0; j < 16; ++j) {
      y[j] = static_cast<float>(e2m1_doubled[low(byte_at(block + codes, j))]) * d;
      y[16 + j] = static_cast<float>(e2m1_doubled[high(byte_at(block + codes, j))]) * d;
    }
  }
};

/// 64 weights in sub-blocks of 16 with e4m3 scales. Bytes: scales [4]; codes [32], eight bytes for each sub-block, of
/// which byte j holds code j and code 8 + j.
///
/// The sign of a scale is ignored, and scale byte 0x7F means 0. A file holds one more float for each tensor, which
/// multiplies all of it.
struct nvfp4 {
  static constexpr const char* name = "nvfp4";
  static constexpr std::uint32_t ggml_id = 40;
  static constexpr std::size_t weights = 64, bytes = 36;
  static constexpr bool keeps_zero = true;

  static constexpr std::size_t scales = 0, codes = 4;

  /// Half of the value of a scale byte.
  [[nodiscard]] static constexpr float half_scale(unsigned e4m3) noexcept {
    if (e4m3 == 0 || e4m3 == 0x7F) return 0.f;
    const unsigned exponent = e4m3 >> 3 & 15u, fraction = e4m3 & 7u;
    if (exponent == 0) return static_cast<float>(fraction) * 0x1p-10f;
    return kernel::bit_cast<float>(std::uint32_t{exponent + 119} << 23 | std::uint32_t{fraction} << 20);
  }
  [[nodiscard]] static constexpr bool scales_are_finite(const std::byte*) noexcept { return true; }
  static constexpr void decode(const std::byte* block, float* y) noexcept {
    for (std::size_t s = 0; s < 4; ++s) {
      const float d = half_scale(byte_at(block + scales, s));
      for (std::size_t j = 0; j < 8; ++j) {
        const unsigned both = byte_at(block + codes, 8 * s + j);
        y[16 * s + j] = static_cast<float>(e2m1_doubled[low(both)]) * d;
        y[16 * s + 8 + j] = static_cast<float>(e2m1_doubled[high(both)]) * d;
      }
    }
  }
};

PRECIS_IEEE_END
}  // namespace precis::kernel::blocks

#endif  // PRECIS_KERNEL_BLOCKS_FP4_BLOCKS
