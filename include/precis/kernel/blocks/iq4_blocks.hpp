#if !defined(PRECIS_KERNEL_BLOCKS_IQ4_BLOCKS)
#define PRECIS_KERNEL_BLOCKS_IQ4_BLOCKS

#include <precis/kernel/blocks/block.hpp>

/// ggml's 4-bit codes with unequal steps: y = scale times a level.
namespace precis::kernel::blocks {
PRECIS_IEEE_BEGIN

/// The sixteen levels: denser near zero, as weights are.
inline constexpr std::int8_t iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

/// Blocks of 32. Bytes: d; codes [16], byte j holds code j and code 16 + j.
struct iq4_nl : one_half<0> {
  static constexpr const char* name = "iq4_nl";
  static constexpr std::uint32_t ggml_id = 20;
  static constexpr std::size_t weights = 32, bytes = 18;
  static constexpr bool keeps_zero = false;

  static constexpr std::size_t codes = 2;

  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_at(block + scale);
    for (std::size_t j = 0; j < 16; ++j) {
      y[j] = d * static_cast<float>(iq4_levels[low(byte_at(block + codes, j))]);
      y[16 + j] = d * static_cast<float>(iq4_levels[high(byte_at(block + codes, j))]);
    }
  }
};

/// 256 weights in sub-blocks of 32 with 6-bit scales. Bytes: d; high two bits of the scales [2]; low four [4]; codes.
struct iq4_xs : one_half<0> {
  static constexpr const char* name = "iq4_xs";
  static constexpr std::uint32_t ggml_id = 23;
  static constexpr std::size_t weights = 256, bytes = 136;
  static constexpr bool keeps_zero = false;

  static constexpr std::size_t scales_high = 2, scales_low = 4, codes = 8;

  /// The scale of sub-block j, -32 ... 31.
  [[nodiscard]] static constexpr int scale_of(const std::byte* block, std::size_t j) noexcept {
    const unsigned four = byte_at(block + scales_low, j / 2) >> 4 * (j % 2) & 15u;
    const unsigned two = unsigned{get_word16(block + scales_high)} >> 2 * j & 3u;
    return static_cast<int>(four | two << 4) - 32;
  }
  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_at(block + scale);
    for (std::size_t j = 0; j < 8; ++j) {
      const float s = d * static_cast<float>(scale_of(block, j));
      for (std::size_t i = 0; i < 16; ++i) {
        const unsigned both = byte_at(block + codes, 16 * j + i);
        y[32 * j + i] = s * static_cast<float>(iq4_levels[low(both)]);
        y[32 * j + 16 + i] = s * static_cast<float>(iq4_levels[high(both)]);
      }
    }
  }
};

PRECIS_IEEE_END
}  // namespace precis::kernel::blocks

#endif  // PRECIS_KERNEL_BLOCKS_IQ4_BLOCKS
