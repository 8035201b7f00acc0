#include <precis/fit/lattice_levels.hpp>

#include <precis/core/random.hpp>

#include "catch.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

using namespace precis;

namespace {

template<class Block>
void check_block() {
  using of = fit::block_lattice<Block>;
  constexpr std::size_t points = Block::weights / of::dimensions;
  const random_stream random(1, purpose(Block::name));
  for (std::uint64_t trial = 0; trial < 10; ++trial) {
    std::vector<std::byte> block(Block::bytes);
    for (std::size_t i = 0; i < block.size(); ++i)
      block[i] = static_cast<std::byte>(random.below(1000 * trial + i, 60));
    fit::lattice_codes c;
    for (std::size_t i = 0; i < points; ++i)
      c.entry[i] = static_cast<std::uint16_t>(random.below(1000 * trial + 300 + i, of::book().size()));
    for (std::size_t k = 0; k < 32; ++k) {
      const auto seven = static_cast<unsigned>(random.below(1000 * trial + 400 + k, 128));
      c.signs[k] = static_cast<std::uint8_t>(of::even_signs ? kernel::blocks::even_signs(seven) : 2 * seven + 1);
    }
    of::put(c, block.data());
    const fit::lattice_table t = fit::lattice_of(Block{}, block, 1, Block::weights);
    REQUIRE(t.entries() == of::book().size());
    float decoded[Block::weights];
    Block::decode(block.data(), decoded);
    for (std::size_t i = 0; i < Block::weights; ++i) {
      const float size = t.step[i / 8] * t.points[c.entry[i / of::dimensions] * of::dimensions + i % of::dimensions];
      CHECK(decoded[i] == Approx((c.signs[i / 8] >> i % 8 & 1) != 0 ? -size : size));
    }
  }
}

}  // namespace

TEST_CASE("lattice levels: entries and signs that are put into a block decode to step * sign * point",
          "[fit][lattice_levels][oracle]") {
  namespace blocks = kernel::blocks;
  check_block<blocks::iq2_xxs>();
  check_block<blocks::iq2_xs>();
  check_block<blocks::iq2_s>();
  check_block<blocks::iq3_xxs>();
  check_block<blocks::iq3_s>();
}
