#pragma once

#include <precis/kernel/blocks/lattice_blocks.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// The code books of ggml's IQ2 and IQ3, once the scales of a matrix are chosen.
namespace precis::fit {
PRECIS_IEEE_BEGIN

/// Weights of a row in units of eight: y = step * sign * point. A unit is one point of eight values, or two of four.
struct lattice_table {
  static constexpr std::size_t unit = 8;

  std::size_t rows = 0;
  std::size_t cols = 0;         ///< a multiple of 8
  std::size_t dimensions = 8;   ///< values per point: 8 or 4
  bool even_signs = false;      ///< whether the number of minus signs of a unit is even
  std::vector<float> points{};  ///< [entries x dimensions] positive
  std::vector<float> step{};    ///< [cols / 8 x rows] not negative

  [[nodiscard]] std::size_t entries() const noexcept { return points.size() / dimensions; }
  [[nodiscard]] std::size_t at(std::size_t of_unit, std::size_t row) const noexcept { return of_unit * rows + row; }
};

/// The entries and signs of one block of 256 weights.
struct lattice_codes {
  std::uint16_t entry[64] = {};  ///< of every point
  std::uint8_t signs[32] = {};   ///< of every unit; bit i: minus
};

/// How a block type holds points. Specializations have
///
///     dimensions, even_signs
///     book()                the entries of the code book
///     value(entry, i)       value i of an entry
///     read(block, step)     the steps of the 32 units of a block
///     put(codes, block)     stores entries and signs, and leaves the scales
template<class Block>
struct block_lattice {};

namespace detail {

using namespace kernel::blocks;

[[nodiscard]] constexpr float value_of_iq2(std::uint16_t entry, unsigned i) noexcept {
  return kernel::blocks::detail::iq2_level(static_cast<unsigned>(entry) >> 2 * i & 3u);
}
/// The scale of unit k among scales of 16 weights, four bits each, and the step that it stands for.
[[nodiscard]] inline float step_of_iq2(const std::byte* scales, std::size_t k, float d) noexcept {
  return d * (0.5f + static_cast<float>(byte_at(scales, k / 4) >> 4 * (k % 4 / 2) & 15u)) * 0.25f;
}
inline void keep_top_bits(std::uint32_t mask, std::uint32_t word, std::byte* at) noexcept {
  kernel::put_word32((kernel::get_word32(at) & mask) | word, at);
}

}  // namespace detail

template<>
struct block_lattice<kernel::blocks::iq2_xxs> {
  static constexpr std::size_t dimensions = 8;
  static constexpr bool even_signs = true;
  template<class = void>
  static constexpr auto book() noexcept {
    return std::span<const std::uint16_t>(kernel::blocks::lattice_tables::iq2_xxs);
  }
  static constexpr float value(std::uint16_t entry, unsigned i) noexcept { return detail::value_of_iq2(entry, i); }
  static void read(const std::byte* block, float* step) noexcept {
    const float d = detail::half_at(block + kernel::blocks::iq2_xxs::scale);
    for (std::size_t k = 0; k < 32; ++k) {
      const std::uint32_t word = kernel::get_word32(block + 2 + 8 * (k / 4) + 4);
      step[k] = d * (0.5f + static_cast<float>(word >> 28)) * 0.25f;
    }
  }
  static void put(const lattice_codes& c, std::byte* block) noexcept {
    for (std::size_t j = 0; j < 8; ++j) {
      std::uint32_t signs = 0;
      for (std::size_t l = 0; l < 4; ++l) {
        block[2 + 8 * j + l] = static_cast<std::byte>(c.entry[4 * j + l]);
        signs |= (std::uint32_t{c.signs[4 * j + l]} & 127u) << 7 * l;
      }
      detail::keep_top_bits(0xF000'0000u, signs, block + 2 + 8 * j + 4);
    }
  }
};

template<>
struct block_lattice<kernel::blocks::iq2_xs> {
  static constexpr std::size_t dimensions = 8;
  static constexpr bool even_signs = true;
  template<class = void>
  static constexpr auto book() noexcept {
    return std::span<const std::uint16_t>(kernel::blocks::lattice_tables::iq2_xs);
  }
  static constexpr float value(std::uint16_t entry, unsigned i) noexcept { return detail::value_of_iq2(entry, i); }
  static void read(const std::byte* block, float* step) noexcept {
    const float d = detail::half_at(block + kernel::blocks::iq2_xs::scale);
    for (std::size_t k = 0; k < 32; ++k) step[k] = detail::step_of_iq2(block + 66, k, d);
  }
  static void put(const lattice_codes& c, std::byte* block) noexcept {
    for (std::size_t k = 0; k < 32; ++k)
      kernel::put_word16(static_cast<std::uint16_t>(c.entry[k] | (c.signs[k] & 127u) << 9), block + 2 + 2 * k);
  }
};

template<>
struct block_lattice<kernel::blocks::iq2_s> {
  static constexpr std::size_t dimensions = 8;
  static constexpr bool even_signs = false;
  template<class = void>
  static constexpr auto book() noexcept {
    return std::span<const std::uint16_t>(kernel::blocks::lattice_tables::iq2_s);
  }
  static constexpr float value(std::uint16_t entry, unsigned i) noexcept { return detail::value_of_iq2(entry, i); }
  static void read(const std::byte* block, float* step) noexcept {
    const float d = detail::half_at(block + kernel::blocks::iq2_s::scale);
    for (std::size_t k = 0; k < 32; ++k) step[k] = detail::step_of_iq2(block + 74, k, d);
  }
  static void put(const lattice_codes& c, std::byte* block) noexcept {
    for (std::size_t k = 0; k < 32; ++k) {
      block[2 + k] = static_cast<std::byte>(c.entry[k] & 255u);
      block[34 + k] = static_cast<std::byte>(c.signs[k]);
    }
    for (std::size_t j = 0; j < 8; ++j) {
      unsigned high = 0;
      for (std::size_t l = 0; l < 4; ++l) high |= static_cast<unsigned>(c.entry[4 * j + l] >> 8) << 2 * l;
      block[66 + j] = static_cast<std::byte>(high);
    }
  }
};

template<>
struct block_lattice<kernel::blocks::iq3_xxs> {
  static constexpr std::size_t dimensions = 4;
  static constexpr bool even_signs = true;
  template<class = void>
  static constexpr auto book() noexcept {
    return std::span<const std::uint16_t>(kernel::blocks::lattice_tables::iq3_xxs);
  }
  static constexpr float value(std::uint16_t entry, unsigned i) noexcept {
    return kernel::blocks::detail::iq3_xxs_level(static_cast<unsigned>(entry) >> 3 * i & 7u);
  }
  static void read(const std::byte* block, float* step) noexcept {
    const float d = detail::half_at(block + kernel::blocks::iq3_xxs::scale);
    for (std::size_t k = 0; k < 32; ++k) {
      const std::uint32_t word = kernel::get_word32(block + 66 + 4 * (k / 4));
      step[k] = d * (0.5f + static_cast<float>(word >> 28)) * 0.5f;
    }
  }
  static void put(const lattice_codes& c, std::byte* block) noexcept {
    for (std::size_t k = 0; k < 64; ++k) block[2 + k] = static_cast<std::byte>(c.entry[k]);
    for (std::size_t j = 0; j < 8; ++j) {
      std::uint32_t signs = 0;
      for (std::size_t l = 0; l < 4; ++l) signs |= (std::uint32_t{c.signs[4 * j + l]} & 127u) << 7 * l;
      detail::keep_top_bits(0xF000'0000u, signs, block + 66 + 4 * j);
    }
  }
};

template<>
struct block_lattice<kernel::blocks::iq3_s> {
  static constexpr std::size_t dimensions = 4;
  static constexpr bool even_signs = false;
  template<class = void>
  static constexpr auto book() noexcept {
    return std::span<const std::uint16_t>(kernel::blocks::lattice_tables::iq3_s);
  }
  static constexpr float value(std::uint16_t entry, unsigned i) noexcept {
    return static_cast<float>(2u * (static_cast<unsigned>(entry) >> 3 * i & 7u) + 1u);
  }
  static void read(const std::byte* block, float* step) noexcept {
    const float d = detail::half_at(block + kernel::blocks::iq3_s::scale);
    for (std::size_t k = 0; k < 32; ++k)
      step[k] = d * static_cast<float>(1u + 2u * (detail::byte_at(block + 106, k / 8) >> 4 * (k % 8 / 4) & 15u));
  }
  static void put(const lattice_codes& c, std::byte* block) noexcept {
    for (std::size_t k = 0; k < 64; ++k) block[2 + k] = static_cast<std::byte>(c.entry[k] & 255u);
    for (std::size_t j = 0; j < 8; ++j) {
      unsigned high = 0;
      for (std::size_t l = 0; l < 8; ++l) high |= static_cast<unsigned>(c.entry[8 * j + l] >> 8) << l;
      block[66 + j] = static_cast<std::byte>(high);
    }
    for (std::size_t k = 0; k < 32; ++k) block[74 + k] = static_cast<std::byte>(c.signs[k]);
  }
};

template<class Block>
inline constexpr bool has_block_lattice = requires { block_lattice<Block>::dimensions; };

/// The points of a matrix of encoded blocks. Requires the blocks of an out x in matrix.
template<class Block>
[[nodiscard]] lattice_table lattice_of(Block, std::span<const std::byte> packed, std::size_t out, std::size_t in) {
  using of = block_lattice<Block>;
  lattice_table t{.rows = out, .cols = in, .dimensions = of::dimensions, .even_signs = of::even_signs};
  for (const std::uint16_t entry : of::book())
    for (unsigned i = 0; i < of::dimensions; ++i) t.points.push_back(of::value(entry, i));
  t.step.resize(in / lattice_table::unit * out);
  const std::byte* block = packed.data();
  float step[32];
  for (std::size_t r = 0; r < out; ++r)
    for (std::size_t b = 0; b < in / Block::weights; ++b, block += Block::bytes) {
      of::read(block, step);
      for (std::size_t k = 0; k < 32; ++k) t.step[t.at(b * 32 + k, r)] = step[k];
    }
  return t;
}

PRECIS_IEEE_END
}  // namespace precis::fit
