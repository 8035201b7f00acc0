#if !defined(PRECIS_KERNEL_BLOCKS_K_BLOCKS)
#define PRECIS_KERNEL_BLOCKS_K_BLOCKS

#include <precis/kernel/blocks/block.hpp>

/// ggml's K-quants: 256 weights in sub-blocks of 16 or 32, whose scales (and minima) are themselves integers times one
/// half for the block.
namespace precis::kernel::blocks {
PRECIS_IEEE_BEGIN

/// 2 bits, sub-blocks of 16: y = d s code - dmin m. Bytes: s and m (low and high four bits) [16]; codes [64]; d; dmin.
struct q2_k {
  static constexpr const char* name = "q2_k";
  static constexpr std::uint32_t ggml_id = 10;
  static constexpr std::size_t weights = 256, bytes = 84;
  static constexpr bool keeps_zero = false;

  static constexpr std::size_t codes = 16, scale = 80, minimum = 82;

  [[nodiscard]] static constexpr bool scales_are_finite(const std::byte* block) noexcept {
    return is_finite_half(get_word16(block + scale)) && is_finite_half(get_word16(block + minimum));
  }
  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_at(block + scale), dmin = half_at(block + minimum);
    for (std::size_t j = 0; j < 16; ++j) {  // loops over the weights of one sub-block become vectors
      const unsigned both = byte_at(block, j);
      const float s = d * static_cast<float>(low(both)), m = dmin * static_cast<float>(high(both));
      const std::byte* const from = block + codes + 32 * (j / 8) + 16 * (j % 2);
      const unsigned shift = 2 * static_cast<unsigned>(j % 8 / 2);
      for (std::size_t i = 0; i < 16; ++i)
        y[16 * j + i] = s * static_cast<float>(static_cast<int>(byte_at(from, i) >> shift & 3u)) - m;
    }
  }
};

/// 3 bits, sub-blocks of 16: y = d s (code - 4). Bytes: third bits [32]; low two bits [64]; 6-bit scales [12]; d.
struct q3_k : one_half<108> {
  static constexpr const char* name = "q3_k";
  static constexpr std::uint32_t ggml_id = 11;
  static constexpr std::size_t weights = 256, bytes = 110;
  static constexpr bool keeps_zero = true;

  static constexpr std::size_t codes = 32, scales = 96;

  /// The scale of sub-block j, -32 ... 31, from the twelve bytes of scales.
  [[nodiscard]] static constexpr int scale_of(const std::byte* packed, std::size_t j) noexcept {
    const unsigned four = j < 8 ? low(byte_at(packed, j)) : high(byte_at(packed, j - 8));
    const unsigned two = byte_at(packed, 8 + j % 4) >> 2 * (j / 4) & 3u;
    return static_cast<int>(four | two << 4) - 32;
  }
  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_at(block + scale);
    for (std::size_t j = 0; j < 16; ++j) {
      const float s = d * static_cast<float>(scale_of(block + scales, j));
      const std::byte *const from = block + codes + 32 * (j / 8) + 16 * (j % 2), *const thirds = block + 16 * (j % 2);
      const unsigned shift = 2 * static_cast<unsigned>(j % 8 / 2), bit = static_cast<unsigned>(j / 2);
      for (std::size_t i = 0; i < 16; ++i) {
        const unsigned code = (byte_at(from, i) >> shift & 3u) | (byte_at(thirds, i) >> bit & 1u) << 2;
        y[16 * j + i] = s * static_cast<float>(static_cast<int>(code) - 4);
      }
    }
  }
};

/// The 6-bit scales and minima of eight sub-blocks in twelve bytes, as q4_k and q5_k hold them.
struct scale_and_minimum {
  unsigned scale = 0, minimum = 0;

  [[nodiscard]] static constexpr scale_and_minimum of(const std::byte* packed, std::size_t j) noexcept {
    if (j < 4) return {byte_at(packed, j) & 63u, byte_at(packed, j + 4) & 63u};
    const unsigned both = byte_at(packed, j + 4);
    return {low(both) | byte_at(packed, j - 4) >> 6 << 4, high(both) | byte_at(packed, j) >> 6 << 4};
  }
};

/// 4 bits, sub-blocks of 32: y = d s code - dmin m. Bytes: d; dmin; s and m [12]; codes [128].
struct q4_k {
  static constexpr const char* name = "q4_k";
  static constexpr std::uint32_t ggml_id = 12;
  static constexpr std::size_t weights = 256, bytes = 144;
  static constexpr bool keeps_zero = false;

  static constexpr std::size_t scale = 0, minimum = 2, scales = 4, codes = 16;

  [[nodiscard]] static constexpr bool scales_are_finite(const std::byte* block) noexcept {
    return is_finite_half(get_word16(block + scale)) && is_finite_half(get_word16(block + minimum));
  }
  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_at(block + scale), dmin = half_at(block + minimum);
    for (std::size_t j = 0; j < 8; ++j) {
      const scale_and_minimum both = scale_and_minimum::of(block + scales, j);
      const float s = d * static_cast<float>(both.scale), m = dmin * static_cast<float>(both.minimum);
      for (std::size_t i = 0; i < 32; ++i) {
        const unsigned code = byte_at(block + codes, 32 * (j / 2) + i) >> 4 * (j % 2) & 15u;
        y[32 * j + i] = s * static_cast<float>(code) - m;
      }
    }
  }
};

/// 5 bits, sub-blocks of 32: y = d s code - dmin m. Bytes: d; dmin; s and m [12]; fifth bits [32]; low four bits [128].
struct q5_k {
  static constexpr const char* name = "q5_k";
  static constexpr std::uint32_t ggml_id = 13;
  static constexpr std::size_t weights = 256, bytes = 176;
  static constexpr bool keeps_zero = false;

  static constexpr std::size_t scale = 0, minimum = 2, scales = 4, fifth = 16, codes = 48;

  [[nodiscard]] static constexpr bool scales_are_finite(const std::byte* block) noexcept {
    return is_finite_half(get_word16(block + scale)) && is_finite_half(get_word16(block + minimum));
  }
  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_at(block + scale), dmin = half_at(block + minimum);
    for (std::size_t j = 0; j < 8; ++j) {
      const scale_and_minimum both = scale_and_minimum::of(block + scales, j);
      const float s = d * static_cast<float>(both.scale), m = dmin * static_cast<float>(both.minimum);
      for (std::size_t i = 0; i < 32; ++i) {
        const unsigned four = byte_at(block + codes, 32 * (j / 2) + i) >> 4 * (j % 2) & 15u;
        const unsigned code = four | (byte_at(block + fifth, i) >> j & 1u) << 4;
        y[32 * j + i] = s * static_cast<float>(code) - m;
      }
    }
  }
};

/// 6 bits, sub-blocks of 16: y = d s (code - 32). Bytes: low four bits [128]; high two bits [64]; s, signed [16]; d.
struct q6_k : one_half<208> {
  static constexpr const char* name = "q6_k";
  static constexpr std::uint32_t ggml_id = 14;
  static constexpr std::size_t weights = 256, bytes = 210;
  static constexpr bool keeps_zero = true;

  static constexpr std::size_t codes = 0, top = 128, scales = 192;

  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_at(block + scale);
    for (std::size_t j = 0; j < 16; ++j) {
      const std::size_t half = j / 8, quarter = j % 8 / 2;
      const float s = d * static_cast<float>(static_cast<std::int8_t>(byte_at(block + scales, j)));
      const std::byte *const fours = block + codes + 64 * half + 32 * (quarter % 2) + 16 * (j % 2), *const twos =
                                                                                                        block + top +
                                                                                                        32 * half +
                                                                                                        16 * (j % 2);
      const unsigned of_four = 4 * static_cast<unsigned>(quarter / 2), of_two = 2 * static_cast<unsigned>(quarter);
      for (std::size_t i = 0; i < 16; ++i) {
        const unsigned code = (byte_at(fours, i) >> of_four & 15u) | (byte_at(twos, i) >> of_two & 3u) << 4;
        y[16 * j + i] = s * static_cast<float>(static_cast<int>(code) - 32);
      }
    }
  }
};

PRECIS_IEEE_END
}  // namespace precis::kernel::blocks

#endif  // PRECIS_KERNEL_BLOCKS_K_BLOCKS
