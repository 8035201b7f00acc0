#if !defined(PRECIS_KERNEL_BLOCKS_BLOCK_TYPE)
#define PRECIS_KERNEL_BLOCKS_BLOCK_TYPE

#include <precis/kernel/blocks/fp4_blocks.hpp>
#include <precis/kernel/blocks/iq4_blocks.hpp>
#include <precis/kernel/blocks/k_blocks.hpp>
#include <precis/kernel/blocks/lattice_blocks.hpp>
#include <precis/kernel/blocks/ternary_blocks.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

/// The block types of this folder as values, for formats that are known at run time.
namespace precis::kernel {
PRECIS_IEEE_BEGIN

enum class block_type : std::uint8_t {
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs,
  iq3_s,
  iq3_xxs,
  iq2_s,
  iq2_xs,
  iq2_xxs,
  iq1_s,
  iq1_m,
  mxfp4,
  nvfp4,
  tq1_0,
  tq2_0,
  q1_0,
  q2_0
};
inline constexpr std::size_t block_types = 20;

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

/// What a block type's struct states, as a value.
struct block_layout {
  std::string_view name;
  std::uint32_t ggml_id = 0;      ///< the number of the type in a GGUF file
  std::size_t weights = 0;        ///< per block
  std::size_t bytes = 0;          ///< per block
  bool needs_importance = false;  ///< whether ggml encodes the type with importance only
};
[[nodiscard]] constexpr block_layout layout_of(block_type type) noexcept {
  return with_block(
      type, []<class Block>(Block) {
    return block_layout{Block::name, Block::ggml_id, Block::weights, Block::bytes, requires {Block::needs_importance; }
};
});
}
/// The value of a struct.
template<class Block>
[[nodiscard]] constexpr block_type type_of() noexcept {
  std::size_t i = 0;
  while (layout_of(static_cast<block_type>(i)).ggml_id != Block::ggml_id) ++i;
  return static_cast<block_type>(i);
}

/// A non-owning view of rows of blocks. Requires `in` a multiple of the block's weights.
struct packed_blocks {
  block_type type = block_type::q4_k;
  const std::byte* data = nullptr;
  std::size_t out = 0;
  std::size_t in = 0;
};

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

#endif  // PRECIS_KERNEL_BLOCKS_BLOCK_TYPE
