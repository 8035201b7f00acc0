#include <precis/kernel/blocks/every_block.hpp>

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
      CHECK(layout_of(type).weights == Block::weights);
      CHECK(layout_of(type).bytes == Block::bytes);
      CHECK(layout_of(type).needs_importance == requires { Block::needs_importance; });
    });
  }
}

TEST_CASE("an mxfp4 exponent of 253 overflows with code 7", "[kernel][blocks]") {
  std::vector<std::byte> block(17, std::byte{0x77});
  block[0] = std::byte{253};
  CHECK_FALSE(scales_are_finite(packed_blocks{block_type::mxfp4, block.data(), 1, 32}));
  block[0] = std::byte{252};
  CHECK(scales_are_finite(packed_blocks{block_type::mxfp4, block.data(), 1, 32}));
}
