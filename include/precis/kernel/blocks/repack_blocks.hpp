#if !defined(PRECIS_KERNEL_BLOCKS_REPACK_BLOCKS)
#define PRECIS_KERNEL_BLOCKS_REPACK_BLOCKS

#include <precis/kernel/blocks/block_type.hpp>
#include <precis/kernel/blocks/every_block.hpp>
#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>

/// Blocks of q4_k, q5_k and q6_k in the layout of grid_format, which is multiplied several times faster.
namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// The grid_format that holds the same values as a block type, or nullopt. Scales of sub-blocks are products of two
/// numbers of few bits, exact in float32, so that no bit is lost; storing them takes 1.5 bits per weight more.
[[nodiscard]] constexpr std::optional<grid_format> grid_of(block_type type) noexcept {
  const auto format = [](grid_rule rule, unsigned bits, std::size_t group) {
    return grid_format{.rule = rule, .code_bits = bits, .group = group, .scales = scale_type::float32};
  };
  switch (type) {
    case block_type::q4_k: return format(grid_rule::min_anchored, 4, 32);
    case block_type::q5_k: return format(grid_rule::min_anchored, 5, 32);
    case block_type::q6_k: return format(grid_rule::symmetric_full, 6, 16);
    default: return std::nullopt;
  }
}

namespace detail {

/// A block as its codes, and the scales (and minima) of its sub-blocks.
struct block_parts {
  std::uint8_t codes[256] = {};
  float scales[16] = {}, minima[16] = {};
};
PRECIS_INLINE void take_apart(blocks::q6_k, const std::byte* block, block_parts& p) noexcept {
  using type = blocks::q6_k;
  const float d = blocks::half_at(block + type::scale);
  for (std::size_t j = 0; j < 16; ++j) {
    p.scales[j] = d * static_cast<float>(static_cast<std::int8_t>(blocks::byte_at(block + type::scales, j)));
    const std::size_t half = j / 8, quarter = j % 8 / 2;
    for (std::size_t i = 0; i < 16; ++i) {
      const std::size_t lane = 16 * (j % 2) + i;
      const unsigned four =
          blocks::byte_at(block + type::codes, 64 * half + 32 * (quarter % 2) + lane) >> 4 * (quarter / 2) & 15u;
      const unsigned two = blocks::byte_at(block + type::top, 32 * half + lane) >> 2 * quarter & 3u;
      p.codes[16 * j + i] = static_cast<std::uint8_t>(four | two << 4);
    }
  }
}
template<class Block>
PRECIS_INLINE void take_apart(Block, const std::byte* block, block_parts& p) noexcept {  // q4_k, q5_k
  const float d = blocks::half_at(block + Block::scale), dmin = blocks::half_at(block + Block::minimum);
  for (std::size_t j = 0; j < 8; ++j) {
    const blocks::scale_and_minimum both = blocks::scale_and_minimum::of(block + Block::scales, j);
    p.scales[j] = d * static_cast<float>(both.scale);
    p.minima[j] = -(dmin * static_cast<float>(both.minimum));
    for (std::size_t i = 0; i < 32; ++i) {
      unsigned code = blocks::byte_at(block + Block::codes, 32 * (j / 2) + i) >> 4 * (j % 2) & 15u;
      if constexpr (requires { Block::fifth; }) code |= (blocks::byte_at(block + Block::fifth, i) >> j & 1u) << 4;
      p.codes[32 * j + i] = static_cast<std::uint8_t>(code);
    }
  }
}

}  // namespace detail

/// Converts rows of blocks to the layout of grid_of(type): once, when a model is loaded.
///
/// Requires  grid_of(m.type); m.in a multiple of 256; `packed` of grid_of(type)->layout_of(out, in).bytes bytes that do
///           not overlap the blocks.
/// Errors    none: noexcept, no allocation.
/// @post     every weight decodes to the same bits as before, if the scales are finite.
template<class = void>
void repack_blocks(const packed_blocks& m, std::byte* packed) noexcept {
  const grid_format f = *grid_of(m.type);
  const grid_format::layout to = f.layout_of(m.out, m.in);
  const std::size_t blocks_per_row = m.in / 256, groups = 256 / f.group;
  const auto repack = [&]<class Block>(Block block) {
    const std::byte* from = m.data;
    for (std::size_t row = 0; row < m.out; ++row) {
      const std::size_t lane = row % tile_rows, first = row - lane;
      const std::size_t rows = m.out - first < tile_rows ? m.out - first : tile_rows;
      std::byte* tile = packed + first * to.row_words * 4;
      for (std::size_t b = 0; b < blocks_per_row; ++b, from += Block::bytes) {
        detail::block_parts p;
        detail::take_apart(block, from, p);
        pack_row(p.codes, f.code_bits, 256 / block_columns, tile, rows, lane);
        tile += 256 / block_columns * f.code_bits * rows * 4;
        for (std::size_t k = 0; k < groups; ++k) {
          const std::size_t at = 4 * f.group_at(m.out, m.in, row, b * groups + k);
          put_word32(kernel::bit_cast<std::uint32_t>(p.scales[k]), packed + to.scales + at);
          if (f.has_minimum()) put_word32(kernel::bit_cast<std::uint32_t>(p.minima[k]), packed + to.offsets + at);
        }
      }
    }
  };
  if (m.type == block_type::q4_k) return repack(blocks::q4_k{});
  if (m.type == block_type::q5_k) return repack(blocks::q5_k{});
  repack(blocks::q6_k{});
}

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_BLOCKS_REPACK_BLOCKS
