#include <precis/codec/blocks/encode_iq4.hpp>

#include "catch.hpp"

#include <cstddef>
#include <vector>

using namespace precis::kernel;

TEST_CASE("iq4_nl keeps levels times a half, and a row is its blocks", "[codec][blocks][property]") {
  std::vector<float> x(288), y(288);
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = 0.125f * static_cast<float>(blocks::iq4_levels[i % 32 == 5 ? 0 : i * 3 % 16]);
  std::vector<std::byte> row(9 * blocks::iq4_nl::bytes), single(row.size());
  precis::codec::blocks::encode_row(blocks::iq4_nl{}, x.data(), x.size(), nullptr, row.data());
  for (std::size_t b = 0; b < 9; ++b) {
    std::byte* const block = &single[b * blocks::iq4_nl::bytes];
    precis::codec::blocks::encode(blocks::iq4_nl{}, &x[32 * b], nullptr, block);
    blocks::iq4_nl::decode(block, &y[32 * b]);
  }
  CHECK(row == single);
  CHECK(y == x);
}
