#include <precis/codec/blocks/encode_fp4.hpp>

#include "catch.hpp"

#include <cstddef>
#include <vector>

using namespace precis::kernel;

namespace {

template<class Block>
std::vector<float> round_trip(const std::vector<float>& x) {
  std::vector<std::byte> block(Block::bytes);
  std::vector<float> y(Block::weights);
  precis::codec::blocks::encode(Block{}, x.data(), nullptr, block.data());
  Block::decode(block.data(), y.data());
  return y;
}

}  // namespace

TEST_CASE("mxfp4 and nvfp4 keep values of e2m1 times a power of two", "[codec][blocks][property]") {
  const float values[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  for (const float scale : {0x1p-6f, 1.f, 0x1p5f}) {
    std::vector<float> x(64);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = (i % 3 == 0 ? -1.f : 1.f) * scale * values[(i * 5 + 7) % 8];
    const std::vector<float> half(x.begin(), x.begin() + 32);
    CHECK(round_trip<blocks::mxfp4>(half) == half);
    CHECK(round_trip<blocks::nvfp4>(x) == x);
  }
}
