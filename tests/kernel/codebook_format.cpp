#include <precis/kernel/codebook_format.hpp>

#include "catch.hpp"

using namespace precis::kernel;

TEST_CASE("codebook_format: one set of levels for the matrix, between blocks and tails",
          "[kernel][codebook_format][worked-example]") {
  // 18 rows of 70 columns with 3 bits: two blocks of 3 words and a tail of 6 codes in 3 bytes per row; 8 levels.
  constexpr codebook_format f{.code_bits = 3};
  CHECK(f.level_count() == 8);
  constexpr auto l = f.layout_of(18, 70);
  CHECK(l.row_words == 6);
  CHECK(l.scales == 18 * 6 * 4);
  CHECK(l.tails == 432 + 8 * 4);
  CHECK(l.tail_bytes == 3);
  CHECK(l.bytes == 464 + 18 * 3);
  CHECK(codebook_format{.code_bits = 3, .levels = scale_type::float16}.layout_of(18, 70).bytes == 432 + 8 * 2 + 54);
}

TEST_CASE("codebook_format: one set of levels per row", "[kernel][codebook_format][worked-example]") {
  // 5 rows of 64 columns with 2 bits: 4 words per row, no tail; 4 levels of 2 bytes per row.
  constexpr auto l = codebook_format{.code_bits = 2, .per_row = true, .levels = scale_type::float16}.layout_of(5, 64);
  CHECK(l.groups == 5);
  CHECK(l.scales == 5 * 4 * 4);
  CHECK(l.tails == 80 + 5 * 4 * 2);
  CHECK(l.bytes == 120);
}

TEST_CASE("codebook_format: an empty matrix takes no bytes", "[kernel][codebook_format][worked-example]") {
  for (const bool each_row : {false, true}) {
    const codebook_format f{.code_bits = 8, .per_row = each_row};
    CHECK(f.layout_of(0, 64).bytes == 0);
    CHECK(f.layout_of(64, 0).bytes == 0);
  }
}
