#include <precis/kernel/keep_of_format.hpp>

#include "catch.hpp"

using precis::kernel::keep_of_format;

TEST_CASE("keep_of_format: weights kept and bits per place by hand", "[kernel][keep_of][worked-example]") {
  constexpr keep_of_format two_of_four{.keep = 2, .group = 4};
  CHECK(two_of_four.count(64) == 32);
  CHECK(two_of_four.count(5) == 3);  // 2 of 4, then ceil(2 * 1 / 4) of the last column
  CHECK(two_of_four.count(0) == 0);
  CHECK(two_of_four.place_bits() == 2);
  CHECK(keep_of_format{.keep = 1, .group = 5}.place_bits() == 3);
  CHECK(keep_of_format{.keep = 1, .group = 256}.place_bits() == 8);
}

TEST_CASE("keep_of_format: places take no scale", "[kernel][keep_of][worked-example]") {
  // 3 rows of 80 columns keep 40 places of 2 bits each: one block of 2 words and a tail of 8 places in 2 bytes per row.
  const auto l = keep_of_format{.keep = 2, .group = 4}.layout_of_places(3, 80);
  CHECK(l.row_words == 2);
  CHECK(l.tails == 3 * 2 * 4);
  CHECK(l.bytes == 3 * 2 * 4 + 3 * 2);
}
