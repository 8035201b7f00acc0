#include <precis/kernel/packed_format.hpp>

#include "catch.hpp"

using namespace precis::kernel;

TEST_CASE("parse_format of names by hand", "[kernel][worked-example]") {
  constexpr grid_format four{.rule = grid_rule::affine, .code_bits = 4, .group = 32, .scales = scale_type::float16};
  CHECK(parse_format("affine4.g32.h") == packed_format(four));
  CHECK(parse_format("float16") == packed_format(dense_type::float16));
  CHECK(parse_format("q5_1") == packed_format(ggml_type::q5_1));
  constexpr codebook_format book{.code_bits = 3, .per_row = true, .levels = scale_type::float32};
  CHECK(parse_format("codebook3.row") == packed_format(book));
  CHECK(parse_format("codebook_with_zero3.row") == packed_format(book));
  CHECK(parse_format("keep2of4.affine4.g32.h") == keep_of({.keep = 2, .group = 4}, four));
  CHECK(parse_format("bitmap7.codebook3.row") == bitmap(7, book));
  CHECK(parse_format("rank50.keep2of4.float16") == low_rank(50, keep_of({.keep = 2, .group = 4}, dense_type::float16)));
  static_assert(parse_format("e4m3.g96").has_value());  // names of constants are read by the compiler
}

TEST_CASE("parse_format refuses every other spelling", "[kernel]") {
  for (const char* wrong : {"",
                            "affine",
                            "affine1.row",
                            "affine9.row",
                            "affine04.row",
                            "affine4",
                            "affine4.g",
                            "affine4.g0",
                            "affine4.g032",
                            "affine4.g32.x",
                            "affine4.g32.hh",
                            "Affine4.g32",
                            " float16",
                            "float16 ",
                            "float1",
                            "float",
                            "q4_2",
                            "q4_0.row",
                            "codebook",
                            "codebook1.row",
                            "codebook9.row",
                            "codebook4",
                            "codebook4.g32",
                            "codebook_with_zero",
                            "keep2of4",
                            "keep2of4.",
                            "keep4of4.float16",
                            "keep0of4.float16",
                            "keep1of2.float16",
                            "keep1of257.float16",
                            "bitmap0.float16",
                            "bitmap100.float16",
                            "bitmap50",
                            "bitmap50.min_anchored4.row",
                            "keep2of4.min_anchored4.row",
                            "rank0.float16",
                            "rank101.float16",
                            "rank50",
                            "rank50.rank50.float16",
                            "keep2of4.keep2of4.float16",
                            "bitmap50.keep2of4.float16",
                            "affine4.g18446744073709551615",
                            "affine4.g18446744073709551616",
                            "affine4.g99999999999999999999999",
                            "rank99999999999.float16",
                            "log2_5.row",
                            "e4m3"})
    CHECK_FALSE(parse_format(wrong).has_value());
}

TEST_CASE("the size of a packed matrix by hand", "[kernel][worked-example]") {
  const packed_format four = *parse_format("symmetric4.g32.h");
  CHECK(four.bytes(16, 64) == 16 * (64 / 2 + 2 * 2));
  CHECK(parse_format("rank50.symmetric4.g32.h")->bytes(16, 64) == four.bytes(16, 8) + four.bytes(8, 64));
  CHECK(parse_format("bitmap50.float16")->bytes(16, 64) == 16 * 64 / 8 + 16 * 64 / 2 * 2);
  CHECK(parse_format("keep2of4.float16")->bytes(16, 64) == 16 * 64 / 2 * 2 / 8 + 16 * 64 / 2 * 2);
  CHECK(parse_format("q8_0")->bytes(3, 64) == 3 * 2 * 34);
  CHECK(parse_format("rank50.float16")->bytes(0, 64) == 0);
}
