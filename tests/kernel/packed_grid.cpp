#include <precis/kernel/packed_grid.hpp>

#include "catch.hpp"

#include <cstddef>

using namespace precis::kernel;

TEST_CASE("piece_of splits rows into ranges that start at tiles and cover every row once", "[kernel][property]") {
  for (const std::size_t out : {1u, 16u, 17u, 100u, 4096u})
    for (const std::size_t pieces : {1u, 2u, 3u, 7u, 300u}) {
      std::size_t next = 0;
      for (std::size_t i = 0; i < pieces; ++i) {
        const row_range piece = piece_of(out, i, pieces);
        CHECK(piece.first == next);
        CHECK((piece.first % 16 == 0 || piece.first == out));
        CHECK(piece.last <= out);
        next = piece.last;
      }
      CHECK(next == out);
    }
}

TEST_CASE("row_range ends at the last row", "[kernel][packed_grid][worked-example]") {
  CHECK(row_range{}.end(40) == 40);
  CHECK(row_range{.first = 16, .last = 32}.end(40) == 32);
  CHECK(row_range{.first = 32, .last = 48}.end(40) == 40);
  CHECK(row_range{}.end(0) == 0);
}

TEST_CASE("stored_float reads little-endian floats and halves", "[kernel][packed_grid][worked-example]") {
  // -2.5 = -1.25 * 2^1. float: sign 1, exponent 128, fraction 0.25: 0xC0200000. half: exponent 16: 0xC100.
  const std::byte number[] = {std::byte{0x00}, std::byte{0x00}, std::byte{0x20}, std::byte{0xC0}};
  const std::byte half[] = {std::byte{0x00}, std::byte{0xC1}};
  CHECK(stored_float(number, scale_type::float32) == -2.5f);
  CHECK(stored_float(half, scale_type::float16) == -2.5f);
}
