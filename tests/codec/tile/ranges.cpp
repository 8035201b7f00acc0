#include <precis/codec/tile/ranges.hpp>

#include <precis/codec/grid/group.hpp>
#include <precis/codec/tile/quantize.hpp>

#include "codec/encoded.hpp"
#include "codec/tile/scalar_definition.hpp"

#include "catch.hpp"

#include <cmath>
#include <limits>

using namespace precis;
using namespace scalar_definition;

TEST_CASE("ranges and spanning grids of a tile are those of its groups", "[codec][tile][property]") {
  using lanes = kernel::native_lanes;
  const float_matrix w = hard_weights(96, 1);
  for_each_tiled_format([&](const grid_format& f) {
    CAPTURE(codec::to_string(f));
    codec::tile::group_batch g{.weights = w.values.data(), .stride = 96, .columns = 32, .count = 3};
    REQUIRE(codec::tile::find_ranges<lanes>(f, g));
    for (const double factor : {1.0, 0.75}) {
      codec::tile::grid_batch grids;
      codec::tile::spanning_grids(f, g.lo, g.hi, 48, grids, factor);
      REQUIRE(codec::tile::reciprocal_is_exact(f, g, grids));
      for (std::size_t k = 0; k < 3; ++k)
        for (std::size_t r = 0; r < 16; ++r) {
          const codec::extent range = codec::extent_of(w.view().row_range(r, 1).col_range(32 * k, 32));
          const codec::grid expected = codec::spanning_grid(f, {.lo = factor * range.lo, .hi = factor * range.hi});
          REQUIRE(grids.scale[16 * k + r] == expected.scale);
          REQUIRE(grids.zero_point[16 * k + r] == static_cast<float>(expected.zero_point));
        }
    }
  });
}

TEST_CASE("ranges @post: false if and only if a weight is not finite", "[codec][tile][property]") {
  for (const grid_rule rule : {grid_rule::affine, grid_rule::symmetric})
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()})
      for (const std::size_t at : {0u, 31u, 700u, 16u * 64 - 1}) {
        float_matrix w(16, 64);
        const grid_format f{.rule = rule, .code_bits = 4, .group = 32};
        codec::tile::group_batch g{.weights = w.values.data(), .stride = 64, .columns = 32, .count = 2};
        CHECK(codec::tile::find_ranges<kernel::native_lanes>(f, g));
        w.values[at] = bad;
        CHECK_FALSE(codec::tile::find_ranges<kernel::native_lanes>(f, g));
      }
}

TEST_CASE("transposed and copied rows hold the same weights", "[codec][tile][property]") {
  using lanes = kernel::native_lanes;
  const float_matrix w = hard_weights(96, 1);
  std::vector<float> transposed(96 * 16), copy(16 * codec::tile::batch_columns);
  codec::tile::transpose_rows<lanes>(w.values.data(), 96, 96, transposed.data());
  codec::tile::copy_rows<lanes>(w.values.data(), 96, 96, copy.data());
  for (std::size_t r = 0; r < 16; ++r)
    for (std::size_t c = 0; c < 96; ++c) {
      REQUIRE(transposed[c * 16 + r] == w(r, c));
      REQUIRE(copy[r * codec::tile::batch_columns + c] == w(r, c));
    }
}

TEST_CASE("rows a multiple of 4 KiB apart share cache sets", "[codec][tile]") {
  CHECK(codec::tile::rows_share_cache_sets(1024));
  CHECK_FALSE(codec::tile::rows_share_cache_sets(320));
}
