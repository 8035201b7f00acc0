#include <precis/codec/standard_menu.hpp>

#include <precis/codec/affine.hpp>
#include <precis/codec/scaled_float.hpp>
#include <precis/core/menu.hpp>

#include "codec/encoded.hpp"

#include "catch.hpp"

#include <algorithm>
#include <vector>

using namespace precis;
using codec::standard;

TEST_CASE("names of the standard menu are unique and find their entries", "[codec][standard_menu][property]") {
  std::vector<std::string> names = standard::names();
  REQUIRE(names.size() == standard::size);
  for (const char* known : {"affine4.g32", "symmetric8.tensor", "symmetric_full2.row", "min_anchored24.g128.h",
                            "e4m3.g32", "e5m2.tensor", "e2m1.row.h", "q4_0", "q8_0", "float16", "bfloat16", "float32",
                            "codebook4.tensor", "keep2of4.symmetric4.g32", "bitmap50.float16"})
    CHECK(names[standard::index_of(known)] == known);
  std::ranges::sort(names);
  CHECK(std::ranges::adjacent_find(names) == names.end());
}

TEST_CASE("an entry of the standard menu stores the bytes of the codec type", "[codec][standard_menu][property]") {
  using typed =
      menu<codec::affine<4, 32>, codec::affine<16, codec::per_tensor, codec::scale_type::float16>, codec::e2m1<32>,
           codec::e4m3<64, codec::scale_type::float16>, codec::float16, codec::bfloat16, codec::float32, codec::q4_0,
           codec::q4_1, codec::q5_0, codec::q5_1, codec::q8_0, codec::codebook<3, codec::per_row>,
           codec::keep_of<2, 4, codec::symmetric<4, 32>>, codec::bitmap<50, codec::float16>>;
  const float_matrix w = encoded::weights(6, 96);
  for (std::size_t i = 0; i < typed::size; ++i) {
    const std::size_t at = standard::index_of(typed::names()[i]);
    REQUIRE(standard::bytes(at, 6, 96) == typed::bytes(i, 6, 96));
    std::vector<std::byte> a(typed::bytes(i, 6, 96)), b(a.size());
    typed::encode(i, w.view(), a);
    standard::encode(at, w.view(), b);
    CHECK(a == b);
    float_matrix x(6, 96), y(6, 96);
    typed::decode(i, a, x.view());
    standard::decode(at, b, y.view());
    CHECK(x.values == y.values);
  }
}

TEST_CASE("sizes are those stated in docs/compressed-folder.md", "[codec][standard_menu][worked-example]") {
  const auto bytes = [](const char* name, std::size_t out, std::size_t in) {
    return standard::bytes(standard::index_of(name), out, in);
  };
  CHECK(bytes("affine3.g32.h", 7, 70) == 4 * 7 * 2 * 3 + 2 * 21 + (21 * 3 + 7) / 8 + 7 * 3);  // 6 columns: 18 bits
  CHECK(bytes("symmetric4.row", 7, 70) == 4 * 7 * 2 * 4 + 4 * 7 + 7 * 3);
  CHECK(bytes("min_anchored5.tensor", 7, 70) == 4 * 7 * 2 * 5 + 4 + 4 + 7 * 4);
  CHECK(bytes("e4m3.g64", 7, 70) == 4 * 7 * 2 * 8 + 4 * 14 + 7 * 6);
  CHECK(bytes("e2m1.row.h", 7, 70) == 4 * 7 * 2 * 4 + 2 * 7 + 7 * 3);
  CHECK(bytes("q5_1", 7, 64) == 7 * 2 * 24);
  CHECK(bytes("codebook2.tensor", 7, 70) == 4 * 7 * 2 * 2 + 4 * 4 + 7 * 2);
  CHECK(bytes("codebook3.row", 7, 70) == 4 * 7 * 2 * 3 + 4 * 8 * 7 + 7 * 3);
  CHECK(bytes("codebook4.tensor", 7, 70) == 4 * 7 * 2 * 4 + 4 * 16 + 7 * 3);
  // Two of every four of 70 columns and one of the last two are kept: 35.
  const std::size_t places = 4 * 7 * 1 * 2 + 7 * 1;  // 2-bit codes: a block, and 3 codes in a byte
  CHECK(bytes("keep2of4.float16", 7, 70) == places + 2 * 7 * 35);
  CHECK(bytes("keep2of4.symmetric8.g32", 7, 70) == places + bytes("symmetric8.g32", 7, 35));
  CHECK(bytes("bitmap50.float16", 7, 70) == 7 * 9 + 2 * 245);
  CHECK(bytes("bitmap50.symmetric4.g32", 7, 71) == 7 * 9 + bytes("symmetric4.g32", 1, 249));
}

TEST_CASE("the format of an entry is the one that its name stands for", "[codec][standard_menu][property]") {
  for (std::size_t i = 0; i < standard::size; ++i)
    CHECK(codec::parse_grid_format(standard::name(i)) == standard::format(i));
}

TEST_CASE("keeps_zero of an entry is that of its codec", "[codec][standard_menu][property]") {
  for (const char* name : {"float16", "bfloat16", "float32", "q4_0", "q5_0", "q8_0", "affine4.g32", "keep2of4.float16",
                           "bitmap50.float16"})
    CHECK(standard::keeps_zero(standard::index_of(name)));
  for (const char* name : {"q4_1", "q5_1", "min_anchored4.row", "codebook4.tensor"})
    CHECK_FALSE(standard::keeps_zero(standard::index_of(name)));
}

TEST_CASE("an unknown name is refused with the grammar of names", "[codec][standard_menu][refusal]") {
  CHECK_FALSE(standard::contains("affine9.row"));
  CHECK_THROWS_WITH(standard::index_of("affine9.row"),
                    ContainsSubstring("no codec called 'affine9.row'") && ContainsSubstring("affine4.g32"));
}
