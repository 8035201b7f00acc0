#pragma once

#include <precis/codec/blocks/block_matrix.hpp>
#include <precis/fit/level_table.hpp>
#include <precis/kernel/blocks/block_type.hpp>
#include <precis/kernel/blocks/small_blocks.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/packed_format.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// The levels of ggml's blocks, once their scales are chosen, and codes put back into blocks.
namespace precis::fit {
PRECIS_IEEE_BEGIN

/// How a block type's codes map to values. Specializations have
///
///     length                        weights per step
///     top                           the largest code, or index of a level
///     read(block, step, offset)     the steps and offsets of a block, weights / length of each
///     put(codes, block)             stores the codes, or indices of levels, and leaves the scales
///     levels()                      values of the codes in ascending order, where they are not 0, 1, 2, ...
template<class Block>
struct block_levels {};

namespace detail {

using kernel::blocks::byte_at;
using kernel::blocks::half_at;

/// Scales d s and minima dmin m of 4 and 5 bits.
template<class Block, unsigned Top>
struct levels_with_minima {
  static constexpr std::size_t length = 32;
  static constexpr float top = Top;
  static void read(const std::byte* block, float* step, float* offset) noexcept {
    const float d = half_at(block + Block::scale), dmin = half_at(block + Block::minimum);
    for (std::size_t j = 0; j < 8; ++j) {
      const auto both = kernel::blocks::scale_and_minimum::of(block + Block::scales, j);
      step[j] = d * static_cast<float>(both.scale);
      offset[j] = -(dmin * static_cast<float>(both.minimum));
    }
  }
  static void put(const std::uint8_t* codes, std::byte* block) noexcept {
    codec::blocks::put_codes(Block{}, codes, block);
  }
};

/// The fifteen values of e2m1, doubled; minus zero is left out.
struct e2m1_levels {
  static constexpr float top = 14;
  static std::vector<float> levels() { return {-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12}; }
  [[nodiscard]] static constexpr unsigned code(std::uint8_t level) noexcept {
    return level < 7 ? 15u - level : level - 7u;
  }
};
[[nodiscard]] inline std::vector<float> levels_of_iq4() {
  return {std::begin(kernel::blocks::iq4_levels), std::end(kernel::blocks::iq4_levels)};
}
/// Sixteen codes and the sixteen after them, as low and high halves of bytes.
inline void put_halves(const std::uint8_t* codes, std::size_t half, std::byte* to) noexcept {
  for (std::size_t j = 0; j < half; ++j) to[j] = static_cast<std::byte>(codes[j] | codes[half + j] << 4);
}

}  // namespace detail

template<>
struct block_levels<kernel::blocks::q2_k> {
  static constexpr std::size_t length = 16;
  static constexpr float top = 3;
  static void read(const std::byte* block, float* step, float* offset) noexcept {
    using type = kernel::blocks::q2_k;
    const float d = detail::half_at(block + type::scale), dmin = detail::half_at(block + type::minimum);
    for (std::size_t j = 0; j < 16; ++j) {
      const unsigned both = detail::byte_at(block, j);
      step[j] = d * static_cast<float>(both & 15u);
      offset[j] = -(dmin * static_cast<float>(both >> 4));
    }
  }
  static void put(const std::uint8_t* codes, std::byte* block) noexcept {
    codec::blocks::put_codes(kernel::blocks::q2_k{}, codes, block);
  }
};
template<>
struct block_levels<kernel::blocks::q3_k> {
  static constexpr std::size_t length = 16;
  static constexpr float top = 7;
  static void read(const std::byte* block, float* step, float* offset) noexcept {
    using type = kernel::blocks::q3_k;
    const float d = detail::half_at(block + type::scale);
    for (std::size_t j = 0; j < 16; ++j) {
      step[j] = d * static_cast<float>(type::scale_of(block + type::scales, j));
      offset[j] = -4 * step[j];
    }
  }
  static void put(const std::uint8_t* codes, std::byte* block) noexcept {
    codec::blocks::put_codes(kernel::blocks::q3_k{}, codes, block);
  }
};
template<>
struct block_levels<kernel::blocks::q4_k> : detail::levels_with_minima<kernel::blocks::q4_k, 15> {};
template<>
struct block_levels<kernel::blocks::q5_k> : detail::levels_with_minima<kernel::blocks::q5_k, 31> {};
template<>
struct block_levels<kernel::blocks::q6_k> {
  static constexpr std::size_t length = 16;
  static constexpr float top = 63;
  static void read(const std::byte* block, float* step, float* offset) noexcept {
    using type = kernel::blocks::q6_k;
    const float d = detail::half_at(block + type::scale);
    for (std::size_t j = 0; j < 16; ++j) {
      step[j] = d * static_cast<float>(static_cast<std::int8_t>(detail::byte_at(block + type::scales, j)));
      offset[j] = -32 * step[j];
    }
  }
  static void put(const std::uint8_t* codes, std::byte* block) noexcept {
    codec::blocks::put_codes(kernel::blocks::q6_k{}, codes, block);
  }
};
template<>
struct block_levels<kernel::blocks::iq4_nl> {
  static constexpr std::size_t length = 32;
  static constexpr float top = 15;
  static std::vector<float> levels() { return detail::levels_of_iq4(); }
  static void read(const std::byte* block, float* step, float* offset) noexcept {
    step[0] = detail::half_at(block + kernel::blocks::iq4_nl::scale);
    offset[0] = 0;
  }
  static void put(const std::uint8_t* codes, std::byte* block) noexcept {
    detail::put_halves(codes, 16, block + kernel::blocks::iq4_nl::codes);
  }
};
template<>
struct block_levels<kernel::blocks::iq4_xs> {
  static constexpr std::size_t length = 32;
  static constexpr float top = 15;
  static std::vector<float> levels() { return detail::levels_of_iq4(); }
  static void read(const std::byte* block, float* step, float* offset) noexcept {
    using type = kernel::blocks::iq4_xs;
    const float d = detail::half_at(block + type::scale);
    for (std::size_t j = 0; j < 8; ++j) {
      step[j] = d * static_cast<float>(type::scale_of(block, j));
      offset[j] = 0;
    }
  }
  static void put(const std::uint8_t* codes, std::byte* block) noexcept {
    for (std::size_t j = 0; j < 8; ++j)
      detail::put_halves(codes + 32 * j, 16, block + kernel::blocks::iq4_xs::codes + 16 * j);
  }
};
template<>
struct block_levels<kernel::blocks::mxfp4> : detail::e2m1_levels {
  static constexpr std::size_t length = 32;
  static void read(const std::byte* block, float* step, float* offset) noexcept {
    using type = kernel::blocks::mxfp4;
    step[0] = type::half_scale(detail::byte_at(block, type::exponent));
    offset[0] = 0;
  }
  static void put(const std::uint8_t* codes, std::byte* block) noexcept {
    for (std::size_t j = 0; j < 16; ++j)
      block[kernel::blocks::mxfp4::codes + j] = static_cast<std::byte>(code(codes[j]) | code(codes[16 + j]) << 4);
  }
};
template<>
struct block_levels<kernel::blocks::nvfp4> : detail::e2m1_levels {
  static constexpr std::size_t length = 16;
  static void read(const std::byte* block, float* step, float* offset) noexcept {
    using type = kernel::blocks::nvfp4;
    for (std::size_t s = 0; s < 4; ++s) {
      step[s] = type::half_scale(detail::byte_at(block + type::scales, s));
      offset[s] = 0;
    }
  }
  static void put(const std::uint8_t* codes, std::byte* block) noexcept {
    for (std::size_t i = 0; i < 32; ++i) {
      const std::uint8_t* c = codes + 16 * (i / 8) + i % 8;
      block[kernel::blocks::nvfp4::codes + i] = static_cast<std::byte>(code(c[0]) | code(c[8]) << 4);
    }
  }
};
template<>
struct block_levels<kernel::blocks::q2_0> {
  static constexpr std::size_t length = 64;
  static constexpr float top = 3;
  static void read(const std::byte* block, float* step, float* offset) noexcept {
    step[0] = detail::half_at(block + kernel::blocks::q2_0::scale);
    offset[0] = -step[0];
  }
  static void put(const std::uint8_t* codes, std::byte* block) noexcept {
    for (std::size_t i = 0; i < 16; ++i) {
      const std::uint8_t* c = codes + 4 * i;
      block[kernel::blocks::q2_0::codes + i] = static_cast<std::byte>(c[0] | c[1] << 2 | c[2] << 4 | c[3] << 6);
    }
  }
};
template<kernel::ggml_type Type, std::uint32_t Id>
struct block_levels<kernel::blocks::small_block<Type, Id>> {
  static constexpr kernel::ggml_layout layout = kernel::layout_of(Type);
  static constexpr std::size_t length = 32;
  static constexpr float top = static_cast<float>((1u << layout.bits) - 1u);
  static void read(const std::byte* block, float* step, float* offset) noexcept {
    step[0] = detail::half_at(block);
    offset[0] =
        layout.has_minimum ? detail::half_at(block + 2) : -step[0] * static_cast<float>(1u << (layout.bits - 1));
  }
  static void put(const std::uint8_t* codes, std::byte* block) noexcept {
    std::uint8_t stored[32];
    for (std::size_t j = 0; j < 32; ++j)  // codes of 8 bits are signed
      stored[j] = layout.bits == 8 ? static_cast<std::uint8_t>(codes[j] ^ 0x80u) : codes[j];
    kernel::blocks::small_block<Type, Id>::put_codes(stored, block);
  }
};

/// Whether the codes of a block type are values times a step, rather than indices of whole groups of weights.
template<class Block>
inline constexpr bool has_block_levels = requires { block_levels<Block>::length; };

/// Calls body(block type) with the struct of a format of blocks; returns false for other formats, and for blocks without
/// levels of their own.
template<class Body>
bool with_level_block(const kernel::packed_format& f, Body&& body) {
  if (f.rank_percent != 0 || f.kept != kernel::kept_weights::all) return false;
  if (f.codes == kernel::code_kind::ggml) {
    switch (f.ggml) {
      case kernel::ggml_type::q4_0: body(kernel::blocks::q4_0{}); return true;
      case kernel::ggml_type::q4_1: body(kernel::blocks::q4_1{}); return true;
      case kernel::ggml_type::q5_0: body(kernel::blocks::q5_0{}); return true;
      case kernel::ggml_type::q5_1: body(kernel::blocks::q5_1{}); return true;
      case kernel::ggml_type::q8_0: body(kernel::blocks::q8_0{}); return true;
    }
    return false;
  }
  if (f.codes != kernel::code_kind::block) return false;
  return kernel::with_block(f.block, [&]<class Block>(Block b) {
    if constexpr (has_block_levels<Block>) body(b);
    return has_block_levels<Block>;
  });
}

/// The levels of a matrix of encoded blocks. Requires the blocks of an out x in matrix.
template<class Block>
[[nodiscard]] level_table levels_of(Block, std::span<const std::byte> packed, std::size_t out, std::size_t in) {
  using of = block_levels<Block>;
  level_table t{.rows = out, .cols = in, .length = of::length, .top = of::top};
  if constexpr (requires { of::levels(); }) t.levels = of::levels();
  t.resize();
  constexpr std::size_t groups = Block::weights / of::length;
  const std::byte* block = packed.data();
  float step[groups], offset[groups];
  for (std::size_t r = 0; r < out; ++r)
    for (std::size_t b = 0; b < in / Block::weights; ++b, block += Block::bytes) {
      of::read(block, step, offset);
      for (std::size_t k = 0; k < groups; ++k) {
        t.step[t.at(b * groups + k, r)] = step[k];
        t.offset[t.at(b * groups + k, r)] = offset[k];
      }
    }
  return t;
}

/// Puts codes into the blocks of a matrix, whose scales stay. Requires [out x in] codes.
template<class Block>
void put_codes(Block, std::span<const std::uint8_t> codes, std::span<std::byte> packed) {
  std::byte* block = packed.data();
  for (std::size_t at = 0; at < codes.size(); at += Block::weights, block += Block::bytes)
    block_levels<Block>::put(codes.data() + at, block);
}

PRECIS_IEEE_END
}  // namespace precis::fit
