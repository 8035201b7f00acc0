#include <precis/kernel/blocks/block_type.hpp>

#include <precis/kernel/packed_format.hpp>

#include "catch.hpp"

#include <cstddef>

using namespace precis::kernel;

TEST_CASE("the name of a block type is the name of a format", "[kernel][blocks]") {
  for (std::size_t i = 0; i < block_types; ++i) {
    const auto type = static_cast<block_type>(i);
    CHECK(parse_format(layout_of(type).name) == packed_format(type));
    CHECK(packed_format(type).bytes(3, 512) == 3 * 512 / layout_of(type).weights * layout_of(type).bytes);
  }
  for (const char* wrong : {"keep2of4.q4_k", "bitmap50.q4_k", "rank50.q4_k", "q4_K", "q4_k.row"})
    CHECK_FALSE(parse_format(wrong));
}
