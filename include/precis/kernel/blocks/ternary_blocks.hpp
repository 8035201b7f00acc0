#if !defined(PRECIS_KERNEL_BLOCKS_TERNARY_BLOCKS)
#define PRECIS_KERNEL_BLOCKS_TERNARY_BLOCKS

#include <precis/kernel/blocks/block.hpp>

/// ggml's blocks for models that were trained with weights of one sign bit, or of -1, 0 and 1, times a scale.
namespace precis::kernel::blocks {
PRECIS_IEEE_BEGIN

/// 1.69 bits: five codes in a byte. Bytes: [32] for weights 0 ... 159, [16] for 160 ... 239, [4] for 240 ... 255; d.
struct tq1_0 : one_half<52> {
  static constexpr const char* name = "tq1_0";
  static constexpr std::uint32_t ggml_id = 34;
  static constexpr std::size_t weights = 256, bytes = 54;
  static constexpr bool keeps_zero = true;

  /// Bytes at `from`, `count` of them, hold the weights from `first` on: byte m holds first + m, first + m + count, ...
  struct part {
    std::size_t from = 0, count = 0, first = 0, codes = 0;
  };
  static constexpr part parts[3] = {{0, 32, 0, 5}, {32, 16, 160, 5}, {48, 4, 240, 4}};

  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_at(block + scale);
    for (const part& p : parts)
      for (std::size_t n = 0, power = 1; n < p.codes; ++n, power *= 3)
        for (std::size_t m = 0; m < p.count; ++m) {  // a byte is a fraction of 256, in base 3
          const unsigned digits = byte_at(block + p.from, m) * static_cast<unsigned>(power) & 0xFFu;
          y[p.first + p.count * n + m] = static_cast<float>(static_cast<int>(digits * 3 >> 8) - 1) * d;
        }
  }
};

/// 2.06 bits: four codes in a byte. Byte m of each 32 holds weights m, m + 32, m + 64, m + 96. Bytes: codes [64]; d.
struct tq2_0 : one_half<64> {
  static constexpr const char* name = "tq2_0";
  static constexpr std::uint32_t ggml_id = 35;
  static constexpr std::size_t weights = 256, bytes = 66;
  static constexpr bool keeps_zero = true;

  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_at(block + scale);
    for (std::size_t j = 0; j < 8; ++j)
      for (std::size_t i = 0; i < 32; ++i) {
        const unsigned code = byte_at(block + 32 * (j / 4), i) >> 2 * (j % 4) & 3u;
        y[32 * j + i] = static_cast<float>(static_cast<int>(code) - 1) * d;
      }
  }
};

/// One sign for each of 128 weights: y = d or -d. Bytes: d; signs, lowest bit first [16].
struct q1_0 : one_half<0> {
  static constexpr const char* name = "q1_0";
  static constexpr std::uint32_t ggml_id = 41;
  static constexpr std::size_t weights = 128, bytes = 18;
  static constexpr bool keeps_zero = false;

  static constexpr std::size_t codes = 2;

  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_at(block + scale);
    for (std::size_t j = 0; j < weights / 8; ++j) {
      const unsigned signs = byte_at(block + codes, j);
      for (unsigned i = 0; i < 8; ++i) y[8 * j + i] = (signs >> i & 1u) != 0 ? d : -d;
    }
  }
};

/// 64 weights of 2 bits: y = d (code - 1). Bytes: d; codes, lowest bits first [16].
struct q2_0 : one_half<0> {
  static constexpr const char* name = "q2_0";
  static constexpr std::uint32_t ggml_id = 42;
  static constexpr std::size_t weights = 64, bytes = 18;
  static constexpr bool keeps_zero = true;

  static constexpr std::size_t codes = 2;

  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_at(block + scale);
    for (std::size_t j = 0; j < weights / 16; ++j) {
      const std::uint32_t word = get_word32(block + codes + 4 * j);
      for (unsigned i = 0; i < 16; ++i)
        y[16 * j + i] = static_cast<float>(static_cast<int>(word >> 2 * i & 3u) - 1) * d;
    }
  }
};

PRECIS_IEEE_END
}  // namespace precis::kernel::blocks

#endif  // PRECIS_KERNEL_BLOCKS_TERNARY_BLOCKS
