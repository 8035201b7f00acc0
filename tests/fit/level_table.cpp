#include <precis/fit/level_table.hpp>

#include <precis/codec/grid/matrix.hpp>

#include "codec/encoded.hpp"

#include "catch.hpp"

#include <cstddef>
#include <vector>

using namespace precis;
using codec::grid_format;
using codec::grid_rule;

TEST_CASE("level table: the values of a matrix are its levels", "[fit][level_table][oracle]") {
  const float_matrix w = encoded::weights(17, 45);
  for (const grid_format& f : {grid_format{.rule = grid_rule::affine, .code_bits = 3, .group = 32},
                               grid_format{.rule = grid_rule::symmetric, .code_bits = 4, .group = codec::per_tensor},
                               grid_format{.rule = grid_rule::symmetric_full, .code_bits = 2},
                               grid_format{.rule = grid_rule::min_anchored, .code_bits = 3, .group = 8}}) {
    CAPTURE(to_string(f));
    REQUIRE(fit::has_levels(f));
    std::vector<std::byte> packed(f.layout_of(17, 45).bytes);
    codec::encode(f, w.view(), packed);
    const auto grids = codec::read_grids(f, packed, 17, 45);
    const fit::level_table t = fit::levels_of(f, grids, 17, 45);
    const float_matrix d = encoded::decoded(f, packed, 17, 45);
    std::vector<std::uint8_t> codes(45);
    for (std::size_t r = 0; r < 17; ++r) {
      codec::read_codes(f, packed, 17, r, std::span<std::uint8_t>(codes));
      for (std::size_t c = 0; c < 45; ++c) {
        const std::size_t at = t.at(c / t.length, r);
        CHECK(static_cast<double>(d(r, c)) ==
              Approx(static_cast<double>(t.step[at] * static_cast<float>(codes[c]) + t.offset[at])).margin(1e-6));
      }
    }
  }
}

TEST_CASE("level table: what has no levels to choose from", "[fit][level_table]") {
  CHECK_FALSE(fit::has_levels({.rule = grid_rule::affine, .code_bits = 16}));
  CHECK_FALSE(fit::has_levels({.rule = grid_rule::e4m3, .code_bits = 8}));
  CHECK_FALSE(fit::has_levels({.rule = grid_rule::min_anchored_floor, .code_bits = 4}));
  CHECK(fit::has_levels({.rule = grid_rule::e2m1, .code_bits = 4}));
}
