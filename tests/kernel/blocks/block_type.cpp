#include <precis/kernel/blocks/block_type.hpp>

#include <precis/kernel/packed_format.hpp>

#include "catch.hpp"

#include <cstddef>
#include <vector>

using namespace precis::kernel;

TEST_CASE("block types as values agree with their structs", "[kernel][blocks]") {
  for (std::size_t i = 0; i < block_types; ++i) {
    const auto type = static_cast<block_type>(i);
    with_block(type, [&]<class Block>(Block) {
      CHECK(type_of<Block>() == type);
      CHECK(layout_of(type).name == Block::name);
      CHECK(layout_of(type).ggml_id == Block::ggml_id);
    });
    CHECK(parse_format(layout_of(type).name) == packed_format(type));
    CHECK(packed_format(type).bytes(3, 512) == 3 * 512 / layout_of(type).weights * layout_of(type).bytes);
  }
  for (const char* wrong : {"keep2of4.q4_k", "bitmap50.q4_k", "rank50.q4_k", "q4_K", "q4_k.row"})
    CHECK_FALSE(parse_format(wrong));
  // An mxfp4 exponent of 253 overflows with code 7.
  std::vector<std::byte> block(17, std::byte{0x77});
  block[0] = std::byte{253};
  CHECK_FALSE(scales_are_finite(packed_blocks{block_type::mxfp4, block.data(), 1, 32}));
  block[0] = std::byte{252};
  CHECK(scales_are_finite(packed_blocks{block_type::mxfp4, block.data(), 1, 32}));
}
