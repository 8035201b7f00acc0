#include <precis/codec/standard_menu.hpp>

#include <precis/codec/affine.hpp>
#include <precis/codec/scaled_float.hpp>
#include <precis/core/menu.hpp>

#include "encoded.hpp"

#include "catch.hpp"

#include <algorithm>
#include <vector>

using namespace precis;
using codec::standard;

TEST_CASE("every name of the standard menu is its own, and finds its entry", "[codec][standard_menu][property]") {
  std::vector<std::string> names = standard::names();
  REQUIRE(names.size() == standard::size);
  for (const char* known : {"affine4.g32", "symmetric8.tensor", "symmetric_full2.row", "min_anchored24.g128.h",
                            "e4m3.g32", "e5m2.tensor", "e2m1.row.h", "float16", "bfloat16", "float32"})
    CHECK(names[standard::index_of(known)] == known);
  std::ranges::sort(names);
  CHECK(std::ranges::adjacent_find(names) == names.end());
}

TEST_CASE("an entry of the standard menu stores what the codec type stores", "[codec][standard_menu][property]") {
  using typed =
      menu<codec::affine<4, 32>, codec::affine<16, codec::per_tensor, codec::scale_type::float16>, codec::e2m1<32>,
           codec::e4m3<64, codec::scale_type::float16>, codec::float16, codec::bfloat16, codec::float32>;
  const float_matrix w = encoded::weights(6, 70);
  for (std::size_t i = 0; i < typed::size; ++i) {
    const std::size_t at = standard::index_of(typed::names()[i]);
    REQUIRE(standard::bytes(at, 6, 70) == typed::bytes(i, 6, 70));
    std::vector<std::byte> a(typed::bytes(i, 6, 70)), b(a.size());
    typed::encode(i, w.view(), a);
    standard::encode(at, w.view(), b);
    CHECK(a == b);
    float_matrix x(6, 70), y(6, 70);
    typed::decode(i, a, x.view());
    standard::decode(at, b, y.view());
    CHECK(x.values == y.values);
  }
}

TEST_CASE("an unknown name is answered with how names are made", "[codec][standard_menu][refusal]") {
  CHECK_FALSE(standard::contains("affine9.row"));
  CHECK_THROWS_WITH(standard::index_of("affine9.row"),
                    ContainsSubstring("no codec called 'affine9.row'") && ContainsSubstring("affine4.g32"));
}
