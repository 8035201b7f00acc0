#if !defined(PRECIS_KERNEL_BLOCKS_EVERY_BLOCK)
#define PRECIS_KERNEL_BLOCKS_EVERY_BLOCK

#include <precis/kernel/blocks/block_type.hpp>
#include <precis/kernel/blocks/fp4_blocks.hpp>
#include <precis/kernel/blocks/iq4_blocks.hpp>
#include <precis/kernel/blocks/k_blocks.hpp>
#include <precis/kernel/blocks/lattice_blocks.hpp>
#include <precis/kernel/blocks/ternary_blocks.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>

/// From a block type to the struct that decodes it, and back.
namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// Calls body(an object of the struct that decodes `type`).
template<class Body>
PRECIS_INLINE constexpr auto with_block(block_type type, Body&& body) {
  switch (type) {
    case block_type::q2_k: return body(blocks::q2_k{});
    case block_type::q3_k: return body(blocks::q3_k{});
    case block_type::q4_k: return body(blocks::q4_k{});
    case block_type::q5_k: return body(blocks::q5_k{});
    case block_type::q6_k: return body(blocks::q6_k{});
    case block_type::iq4_nl: return body(blocks::iq4_nl{});
    case block_type::iq4_xs: return body(blocks::iq4_xs{});
    case block_type::iq3_s: return body(blocks::iq3_s{});
    case block_type::iq3_xxs: return body(blocks::iq3_xxs{});
    case block_type::iq2_s: return body(blocks::iq2_s{});
    case block_type::iq2_xs: return body(blocks::iq2_xs{});
    case block_type::iq2_xxs: return body(blocks::iq2_xxs{});
    case block_type::iq1_s: return body(blocks::iq1_s{});
    case block_type::iq1_m: return body(blocks::iq1_m{});
    case block_type::mxfp4: return body(blocks::mxfp4{});
    case block_type::nvfp4: return body(blocks::nvfp4{});
    case block_type::tq1_0: return body(blocks::tq1_0{});
    case block_type::tq2_0: return body(blocks::tq2_0{});
    case block_type::q1_0: return body(blocks::q1_0{});
    case block_type::q2_0: break;
  }
  return body(blocks::q2_0{});
}

/// The value of a struct.
template<class Block>
[[nodiscard]] constexpr block_type type_of() noexcept {
  std::size_t i = 0;
  while (layout_of(static_cast<block_type>(i)).ggml_id != Block::ggml_id) ++i;
  return static_cast<block_type>(i);
}

/// Decodes row `row` of blocks of the struct Block. Requires x of `in` elements.
template<class Block>
PRECIS_INLINE void decode_blocks(const packed_blocks& m, std::size_t row, float* x) noexcept {
  const std::byte* from = m.data + row * (m.in / Block::weights) * Block::bytes;
  for (std::size_t c = 0; c < m.in; c += Block::weights, from += Block::bytes) Block::decode(from, x + c);
}

/// Whether no block holds a scale that is infinite or NaN, so that all weights are finite. For mxfp4, whose largest
/// scales overflow with some codes only, false if there is any of those.
template<class = void>
[[nodiscard]] bool scales_are_finite(const packed_blocks& m) noexcept {
  return with_block(m.type, [&]<class Block>(Block) {
    const std::size_t count = m.out * (m.in / Block::weights);
    for (std::size_t i = 0; i < count; ++i) {
      const std::byte* const block = m.data + i * Block::bytes;
      if (!Block::scales_are_finite(block)) return false;
      if constexpr (requires { Block::exponent; })
        if (blocks::byte_at(block, Block::exponent) > 252) return false;
    }
    return true;
  });
}

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_BLOCKS_EVERY_BLOCK
