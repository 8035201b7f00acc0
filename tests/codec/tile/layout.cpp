#include <precis/codec/tile/layout.hpp>

#include "catch.hpp"

using namespace precis;
using codec::parse_grid_format;

TEST_CASE("tiles support integer codes of up to a byte in groups of whole blocks", "[codec][tile][worked-example]") {
  const bool vectors = kernel::native_code_lanes::rows > 1;  // never without vector lanes
  for (const char* name : {"affine4.g32", "symmetric8.g64.h", "symmetric_full2.row", "affine3.tensor"})
    CHECK(codec::tile::supports(*parse_grid_format(name), 320) == vectors);
  CHECK(codec::tile::supports(*parse_grid_format("affine4.g1000"), 320) == vectors);  // one group per row
  for (const char* name : {"affine16.row", "min_anchored4.g32", "e4m3.g32", "affine4.g48"})
    CHECK_FALSE(codec::tile::supports(*parse_grid_format(name), 320));
  CHECK_FALSE(codec::tile::supports(*parse_grid_format("affine4.g32"), 300));  // rows with a tail
  CHECK_FALSE(codec::tile::supports(*parse_grid_format("affine4.g32"), 0));
}
