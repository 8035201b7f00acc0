#if !defined(PRECIS_KERNEL_BLOCKS_LATTICE_BLOCKS)
#define PRECIS_KERNEL_BLOCKS_LATTICE_BLOCKS

#include <precis/kernel/blocks/block.hpp>
#include <precis/kernel/blocks/lattice_tables.hpp>

/// ggml's IQ1, IQ2 and IQ3: eight or four weights at a time are an entry of a code book, a subset of the points of a
/// lattice, with signs of their own (IQ2, IQ3) or a shift (IQ1).
namespace precis::kernel::blocks {
PRECIS_IEEE_BEGIN

inline constexpr std::uint8_t iq2_levels[3] = {8, 25, 43};
inline constexpr std::uint8_t iq3_xxs_levels[8] = {4, 12, 20, 28, 36, 44, 52, 62};

/// Eight signs from the seven that are stored: the number of minus signs is even.
[[nodiscard]] PRECIS_INLINE constexpr unsigned even_signs(unsigned seven) noexcept {
  unsigned parity = seven ^ seven >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return seven | (parity & 1u) << 7;
}

namespace detail {

/// x or, if the bit is 1, -x. Integer arithmetic, which becomes vectors.
[[nodiscard]] PRECIS_INLINE constexpr float with_sign(float x, unsigned minus) noexcept {
  return kernel::bit_cast<float>(kernel::bit_cast<std::uint32_t>(x) ^ (minus & 1u) << 31);
}
/// iq2_levels[code] and iq3_xxs_levels[code], without a table.
[[nodiscard]] PRECIS_INLINE constexpr float iq2_level(unsigned code) noexcept {
  return static_cast<float>(static_cast<int>(8 + 17 * code + (code >> 1)));
}
[[nodiscard]] PRECIS_INLINE constexpr float iq3_xxs_level(unsigned code) noexcept {
  return static_cast<float>(static_cast<int>(4 + 8 * code + 2 * ((code + 1) >> 3)));
}
/// Eight weights of IQ2.
PRECIS_INLINE constexpr void put_iq2(std::uint16_t entry, float d, unsigned signs, float* y) noexcept {
  for (unsigned i = 0; i < 8; ++i)
    y[i] = with_sign(d * iq2_level(static_cast<unsigned>(entry) >> 2 * i & 3u), signs >> i);
}
/// Four weights of IQ3_XXS, and of IQ3_S.
PRECIS_INLINE constexpr void put_iq3_xxs(std::uint16_t entry, float d, unsigned signs, float* y) noexcept {
  for (unsigned i = 0; i < 4; ++i)
    y[i] = with_sign(d * iq3_xxs_level(static_cast<unsigned>(entry) >> 3 * i & 7u), signs >> i);
}
PRECIS_INLINE constexpr void put_iq3_s(std::uint16_t entry, float d, unsigned signs, float* y) noexcept {
  for (unsigned i = 0; i < 4; ++i)
    y[i] = with_sign(d * static_cast<float>(static_cast<int>(2u * (static_cast<unsigned>(entry) >> 3 * i & 7u) + 1u)),
                     signs >> i);
}
/// Eight weights of IQ1.
PRECIS_INLINE constexpr void put_iq1(std::uint16_t entry, float d, float shift, float* y) noexcept {
  for (unsigned i = 0; i < 8; ++i)
    y[i] = d * (static_cast<float>(static_cast<int>(static_cast<unsigned>(entry) >> 2 * i & 3u) - 1) + shift);
}

}  // namespace detail

/// 2.06 bits. Bytes: d; for each 32 weights, four entries [4], then four times seven signs and a 4-bit scale in a word.
struct iq2_xxs : one_half<0> {
  static constexpr const char* name = "iq2_xxs";
  static constexpr std::uint32_t ggml_id = 16;
  static constexpr std::size_t weights = 256, bytes = 66;
  static constexpr bool keeps_zero = false, needs_importance = true;

  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_at(block + scale);
    for (std::size_t j = 0; j < 8; ++j) {
      const std::byte* at = block + 2 + 8 * j;
      const std::uint32_t word = get_word32(at + 4);
      const float s = d * (0.5f + static_cast<float>(word >> 28)) * 0.25f;
      for (std::size_t l = 0; l < 4; ++l)
        detail::put_iq2(lattice_tables::iq2_xxs[byte_at(at, l)], s, even_signs(word >> 7 * l & 127u),
                        y + 32 * j + 8 * l);
    }
  }
};

/// 2.31 bits. Bytes: d; for each 8 weights, the entry and seven signs in nine and seven bits; scales of 16, 4 bits [8].
struct iq2_xs : one_half<0> {
  static constexpr const char* name = "iq2_xs";
  static constexpr std::uint32_t ggml_id = 17;
  static constexpr std::size_t weights = 256, bytes = 74;
  static constexpr bool keeps_zero = false, needs_importance = true;

  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_at(block + scale);
    for (std::size_t k = 0; k < 32; ++k) {
      const unsigned word = get_word16(block + 2 + 2 * k);
      const unsigned steps = byte_at(block + 66, k / 4) >> 4 * (k % 4 / 2) & 15u;
      const float s = d * (0.5f + static_cast<float>(steps)) * 0.25f;
      detail::put_iq2(lattice_tables::iq2_xs[word & 511u], s, even_signs(word >> 9), y + 8 * k);
    }
  }
};

/// 2.56 bits. Bytes: d; for each 8 weights, the low eight bits of the entry [32] and eight signs [32]; high two bits of
/// the entries [8]; scales of 16, 4 bits [8].
struct iq2_s : one_half<0> {
  static constexpr const char* name = "iq2_s";
  static constexpr std::uint32_t ggml_id = 22;
  static constexpr std::size_t weights = 256, bytes = 82;
  static constexpr bool keeps_zero = false;

  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_at(block + scale);
    for (std::size_t k = 0; k < 32; ++k) {
      const unsigned entry = byte_at(block + 2, k) | (byte_at(block + 66, k / 4) >> 2 * (k % 4) & 3u) << 8;
      const unsigned steps = byte_at(block + 74, k / 4) >> 4 * (k % 4 / 2) & 15u;
      const float s = d * (0.5f + static_cast<float>(steps)) * 0.25f;
      detail::put_iq2(lattice_tables::iq2_s[entry], s, byte_at(block + 34, k), y + 8 * k);
    }
  }
};

/// 3.06 bits. Bytes: d; for each 4 weights, an entry [64]; for each 32, four times seven signs and a 4-bit scale [8].
struct iq3_xxs : one_half<0> {
  static constexpr const char* name = "iq3_xxs";
  static constexpr std::uint32_t ggml_id = 18;
  static constexpr std::size_t weights = 256, bytes = 98;
  static constexpr bool keeps_zero = false;

  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_at(block + scale);
    for (std::size_t j = 0; j < 8; ++j) {
      const std::uint32_t word = get_word32(block + 66 + 4 * j);
      const float s = d * (0.5f + static_cast<float>(word >> 28)) * 0.5f;
      for (std::size_t l = 0; l < 8; ++l)
        detail::put_iq3_xxs(lattice_tables::iq3_xxs[byte_at(block + 2, 8 * j + l)], s,
                            even_signs(word >> 7 * (l / 2) & 127u) >> 4 * (l % 2), y + 32 * j + 4 * l);
    }
  }
};

/// 3.44 bits. Bytes: d; for each 4 weights, the low eight bits of the entry [64], and its ninth bit [8]; eight signs for
/// each 8 weights [32]; scales of 32, 4 bits [4].
struct iq3_s : one_half<0> {
  static constexpr const char* name = "iq3_s";
  static constexpr std::uint32_t ggml_id = 21;
  static constexpr std::size_t weights = 256, bytes = 110;
  static constexpr bool keeps_zero = false;

  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_at(block + scale);
    for (std::size_t k = 0; k < 64; ++k) {
      const unsigned entry = byte_at(block + 2, k) | (byte_at(block + 66, k / 8) >> k % 8 & 1u) << 8;
      const unsigned steps = byte_at(block + 106, k / 16) >> 4 * (k % 16 / 8) & 15u;
      const float s = d * static_cast<float>(1u + 2u * steps);
      detail::put_iq3_s(lattice_tables::iq3_s[entry], s, byte_at(block + 74, k / 2) >> 4 * (k % 2), y + 4 * k);
    }
  }
};

/// 1.56 bits. Bytes: d; for each 8 weights, the low eight bits of the entry [32]; for each 32, a word with four times
/// three high bits, the 3-bit scale and the sign of the shift [16].
struct iq1_s : one_half<0> {
  static constexpr const char* name = "iq1_s";
  static constexpr std::uint32_t ggml_id = 19;
  static constexpr std::size_t weights = 256, bytes = 50;
  static constexpr bool keeps_zero = false, needs_importance = true;

  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_at(block + scale);
    for (std::size_t k = 0; k < 32; ++k) {
      const unsigned word = get_word16(block + 34 + 2 * (k / 4));
      const unsigned entry = byte_at(block + 2, k) | (word >> 3 * (k % 4) & 7u) << 8;
      const float s = d * static_cast<float>(2u * (word >> 12 & 7u) + 1u);
      detail::put_iq1(lattice_tables::iq1_s[entry], s, (word & 0x8000u) != 0 ? -0.125f : 0.125f, y + 8 * k);
    }
  }
};

/// 1.75 bits. Bytes: for each 8 weights, the low eight bits of the entry [32], and four bits with its high three and the
/// sign of the shift [16]; four words, each with four 3-bit scales of 16 and four bits of d [8].
struct iq1_m {
  static constexpr const char* name = "iq1_m";
  static constexpr std::uint32_t ggml_id = 29;
  static constexpr std::size_t weights = 256, bytes = 56;
  static constexpr bool keeps_zero = false;

  static constexpr std::size_t scales = 48;

  [[nodiscard]] static constexpr std::uint16_t scale_bits(const std::byte* block) noexcept {
    unsigned bits = 0;
    for (std::size_t i = 0; i < 4; ++i) bits |= unsigned{get_word16(block + scales + 2 * i)} >> 12 << 4 * i;
    return static_cast<std::uint16_t>(bits);
  }
  [[nodiscard]] static constexpr bool scales_are_finite(const std::byte* block) noexcept {
    return is_finite_half(scale_bits(block));
  }
  static constexpr void decode(const std::byte* block, float* y) noexcept {
    const float d = half_to_float(scale_bits(block));
    for (std::size_t k = 0; k < 32; ++k) {
      const unsigned more = byte_at(block + 32, k / 2) >> 4 * (k % 2) & 15u;
      const unsigned entry = byte_at(block, k) | (more & 7u) << 8;
      const unsigned scale = unsigned{get_word16(block + scales + 2 * (k / 8))} >> 3 * (k % 8 / 2) & 7u;
      const float s = d * static_cast<float>(2u * scale + 1u);
      detail::put_iq1(lattice_tables::iq1_s[entry], s, (more & 8u) != 0 ? -0.125f : 0.125f, y + 8 * k);
    }
  }
};

PRECIS_IEEE_END
}  // namespace precis::kernel::blocks

#endif  // PRECIS_KERNEL_BLOCKS_LATTICE_BLOCKS
