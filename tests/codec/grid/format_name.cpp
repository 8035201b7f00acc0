#include <precis/codec/grid/format_name.hpp>

#include <precis/codec/affine.hpp>
#include <precis/codec/min_anchored.hpp>
#include <precis/codec/symmetric.hpp>

#include "codec/encoded.hpp"

#include "catch.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

using namespace precis;
using codec::grid_format;
using codec::grid_rule;
using codec::parse_grid_format;
using codec::scale_type;

TEST_CASE("names are stable", "[codec][format_name][worked-example]") {
  CHECK(codec::affine<4, 32>::name() == "affine4.g32");
  CHECK(codec::affine<8>::name() == "affine8.row");
  CHECK(codec::symmetric<4, codec::per_tensor>::name() == "symmetric4.tensor");
  CHECK(codec::symmetric_full<4>::name() == "symmetric_full4.row");
  CHECK(codec::min_anchored<8>::name() == "min_anchored8.row");
  CHECK(codec::min_anchored_floor<8, 64>::name() == "min_anchored_floor8.g64");
  CHECK(codec::affine<3, 128, scale_type::float16>::name() == "affine3.g128.h");
}

TEST_CASE("parse_grid_format of names by hand", "[codec][format_name][worked-example]") {
  CHECK(parse_grid_format("affine4.g96.h") ==
        grid_format{.rule = grid_rule::affine, .code_bits = 4, .group = 96, .scales = scale_type::float16});
  CHECK(parse_grid_format("symmetric_full24.tensor") ==
        grid_format{.rule = grid_rule::symmetric_full, .code_bits = 24, .group = codec::per_tensor});
  CHECK(parse_grid_format("e2m1.row") == grid_format{.rule = grid_rule::e2m1, .code_bits = 4});
  CHECK(parse_grid_format("log_sqrt2_3.g32") == grid_format{.rule = grid_rule::log_sqrt2, .code_bits = 3, .group = 32});
}

TEST_CASE("parse_grid_format @post: parse_grid_format(to_string(f)) == f", "[codec][format_name][property]") {
  std::vector<grid_format> all = encoded::every_format();
  for (const grid_rule rule : {grid_rule::log2, grid_rule::log_sqrt2})
    for (const unsigned bits : {3u, 4u})
      for (const scale_type scales : {scale_type::float32, scale_type::float16})
        all.push_back({.rule = rule, .code_bits = bits, .group = 32, .scales = scales});
  for (const grid_format& f : all) {
    CAPTURE(to_string(f));
    CHECK(parse_grid_format(to_string(f)) == f);
  }
}

TEST_CASE("parse_grid_format @post: every other spelling gives nullopt", "[codec][format_name][property]") {
  for (const char* wrong : {"",
                            "affine",
                            "affine4",
                            "affine4.",
                            "affine4.g",
                            "affine4.g0",
                            "affine04.g32",
                            "affine4.g032",
                            "affine9.row",
                            "affine1.row",
                            "affine4.row.h.h",
                            "affine4.rows",
                            "affine4.g32x",
                            "q4_0",
                            "affine4.g99999999999999999999",
                            "affine4294967300.row",
                            "symmetric_4.row",
                            "e4m38.row",
                            "log2_5.g32",
                            "log2_8.row",
                            "log24.g32",
                            "log_sqrt2_2.row",
                            "log2.g32"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_grid_format(wrong).has_value());
  }
  // A space in place of or next to any character, and a capital letter.
  for (const std::string name : {"affine4.g32", "symmetric_full16.row", "min_anchored8.tensor.h", "e4m3.g64.h"}) {
    for (std::size_t i = 0; i < name.size(); ++i) {
      std::string other = name;
      other[i] = ' ';
      CHECK_FALSE(parse_grid_format(other).has_value());
    }
    CHECK_FALSE(parse_grid_format(name + ' ').has_value());
    CHECK_FALSE(parse_grid_format(' ' + name).has_value());
    CHECK_FALSE(parse_grid_format(std::string(name).replace(0, 1, 1, 'A')).has_value());
  }
}
