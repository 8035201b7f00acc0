#include <precis/kernel/segment_run.hpp>

#include "catch.hpp"

#include <cstddef>

using namespace precis::kernel;

TEST_CASE("a row of a run is found by its tile and its place in the tile", "[kernel][segment_run][worked-example]") {
  // Tiles 1000 bytes apart, rows 4 bytes apart: row 19 is row 3 of the second tile.
  static const std::byte bytes[1100]{};
  CHECK(detail::at_row(bytes, 0, 1000, 4) - bytes == 0);
  CHECK(detail::at_row(bytes, 15, 1000, 4) - bytes == 60);
  CHECK(detail::at_row(bytes, 16, 1000, 4) - bytes == 1000);
  CHECK(detail::at_row(bytes, 19, 1000, 4) - bytes == 1012);
}
