#include <precis/codec/blocks/encode_ternary.hpp>

#include "catch.hpp"

#include <cstddef>
#include <vector>

using namespace precis::kernel;

namespace {

template<class Block>
void check_round_trip(bool zeros) {
  std::vector<float> x(Block::weights), y(Block::weights);
  std::vector<std::byte> block(Block::bytes);
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = 0.375f * (zeros ? static_cast<float>(i * 7 % 11 % 3) - 1 : i * 7 % 11 % 2 == 0 ? 1.f : -1.f);
  precis::codec::blocks::encode(Block{}, x.data(), nullptr, block.data());
  Block::decode(block.data(), y.data());
  CAPTURE(Block::name);
  CHECK(y == x);
}

}  // namespace

TEST_CASE("ternary and binary blocks keep weights of their kind", "[codec][blocks][property]") {
  check_round_trip<blocks::tq1_0>(true);
  check_round_trip<blocks::tq2_0>(true);
  check_round_trip<blocks::q2_0>(true);
  check_round_trip<blocks::q1_0>(false);
}
