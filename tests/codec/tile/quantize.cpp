#include <precis/codec/tile/quantize.hpp>

#include <precis/codec/grid/matrix.hpp>
#include <precis/core/random.hpp>

#include "catch.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

using namespace precis;
using codec::grid_format;
using codec::grid_rule;

TEST_CASE("quotients of tiles are those of divisions", "[codec][tile][oracle]") {
  // 8 bits, quotients next to ties: n + 1/2 times the scale, and the floats beside it, for scales of every magnitude.
  const grid_format f{.rule = grid_rule::affine, .code_bits = 8, .group = 256};
  const random_stream random(3, purpose("scales"));
  for (std::uint64_t round = 0; round < 400; ++round) {
    float_matrix w(16, 256);
    std::vector<codec::grid> grids(16);
    for (std::size_t r = 0; r < 16; ++r) {
      const auto scale = static_cast<float>(std::exp(40 * random.uniform(round * 16 + r) - 20));
      grids[r] = {.scale = scale, .zero_point = 128};
      for (std::size_t c = 0; c < 256; ++c) {
        const float tie = (static_cast<float>(c) - 128.5f) * scale;
        w(r, c) = std::bit_cast<float>(std::bit_cast<std::uint32_t>(tie) + static_cast<std::uint32_t>(round % 5) - 2u);
      }
    }
    std::vector<std::byte> packed(f.layout_of(16, 256).bytes);
    codec::encode_on_grids(f, w.view(), packed, codec::choose_given{grids});
    std::vector<std::uint8_t> codes(256);
    bool same = true;
    for (std::size_t r = 0; r < 16; ++r) {
      codec::read_codes(f, packed, 16, r, std::span<std::uint8_t>(codes));
      for (std::size_t c = 0; c < 256; ++c) {
        const float q = std::clamp(w(r, c) / grids[r].scale, -128.f, 127.f);
        same = same && codes[c] == static_cast<int>(std::nearbyint(q)) + 128;
      }
    }
    REQUIRE(same);
  }
}
