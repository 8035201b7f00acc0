#include <precis/fit/block_levels.hpp>

#include <precis/core/random.hpp>

#include "catch.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

using namespace precis;

namespace {

/// Puts random codes into blocks with random scales: what the block decodes to must be step * level + offset.
template<class Block>
void check_block() {
  using of = fit::block_levels<Block>;
  const random_stream random(1, purpose(Block::name));
  for (std::uint64_t trial = 0; trial < 20; ++trial) {
    std::vector<std::byte> block(Block::bytes);
    for (std::size_t i = 0; i < block.size(); ++i)
      block[i] = static_cast<std::byte>(random.below(1000 * trial + i, 60));
    std::vector<std::uint8_t> codes(Block::weights);
    for (std::size_t i = 0; i < codes.size(); ++i)
      codes[i] =
          static_cast<std::uint8_t>(random.below(1000 * trial + 500 + i, static_cast<std::uint64_t>(of::top) + 1));
    fit::put_codes(Block{}, codes, block);
    const fit::level_table t = fit::levels_of(Block{}, block, 1, Block::weights);
    float decoded[Block::weights];
    Block::decode(block.data(), decoded);
    for (std::size_t i = 0; i < codes.size(); ++i) {
      const std::size_t at = t.at(i / t.length, 0);
      const float level = t.levels.empty() ? static_cast<float>(codes[i]) : t.levels[codes[i]];
      CHECK(static_cast<double>(decoded[i]) ==
            Approx(static_cast<double>(t.step[at] * level + t.offset[at])).epsilon(1e-5).margin(1e-30));
    }
  }
}

}  // namespace

TEST_CASE("block levels: codes that are put into a block decode to step * level + offset",
          "[fit][block_levels][oracle]") {
  namespace blocks = kernel::blocks;
  check_block<blocks::q2_k>();
  check_block<blocks::q3_k>();
  check_block<blocks::q4_k>();
  check_block<blocks::q5_k>();
  check_block<blocks::q6_k>();
  check_block<blocks::iq4_nl>();
  check_block<blocks::iq4_xs>();
  check_block<blocks::mxfp4>();
  check_block<blocks::nvfp4>();
  check_block<blocks::q2_0>();
  check_block<blocks::q4_0>();
  check_block<blocks::q4_1>();
  check_block<blocks::q5_0>();
  check_block<blocks::q5_1>();
  check_block<blocks::q8_0>();
  STATIC_REQUIRE_FALSE(fit::has_block_levels<blocks::iq3_s>);
}
