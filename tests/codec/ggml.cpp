#include <precis/codec/ggml.hpp>

#include <precis/core/menu.hpp>

#include "codec/encoded.hpp"

#include "catch.hpp"

#include <array>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

using namespace precis;

TEST_CASE("ggml codecs work in a menu, and strided weights give the bytes of a contiguous copy",
          "[codec][ggml][property]") {
  using formats = menu<codec::q4_0, codec::q4_1, codec::q5_0, codec::q5_1, codec::q8_0>;
  CHECK(formats::names() == std::array<std::string, 5>{"q4_0", "q4_1", "q5_0", "q5_1", "q8_0"});
  static_assert(codec::q4_0::bytes(1, 4096) * 8 == 4096 * 45 / 10 && codec::q8_0::bytes(2, 32) == 68);
  const float_matrix w = encoded::weights(4, 64);
  float_matrix turned(64, 4);
  codec::copy_values(w.view(), turned.view().transposed());
  for (std::size_t e = 0; e < formats::size; ++e) {
    std::vector<std::byte> dense(formats::bytes(e, 4, 64)), strided(dense.size());
    formats::encode(e, w.view(), dense);
    formats::encode(e, turned.view().transposed(), strided);
    REQUIRE(dense == strided);
    std::vector<float> back(64 * 4), again(4 * 64);
    formats::decode(e, dense, {back.data(), 4, 64, 1, 4});
    formats::decode(e, dense, {again.data(), 4, 64, 64, 1});
    for (std::size_t r = 0; r < 4; ++r)
      for (std::size_t c = 0; c < 64; ++c) REQUIRE(back[c * 4 + r] == again[r * 64 + c]);
  }
}

TEST_CASE("ggml codecs refuse rows that are not whole blocks, halves that overflow, and weights that are not finite",
          "[codec][ggml][refusal]") {
  std::vector<float> w(2 * 48, 1.f);
  std::vector<std::byte> packed(codec::q5_1::bytes(2, 48));
  REQUIRE_THROWS_WITH(codec::q5_1::encode({w.data(), 2, 48, 48, 1}, packed),
                      ContainsSubstring("rows of 48 weights") && ContainsSubstring("affine5.g32.h"));
  std::vector<std::byte> two(codec::q4_1::bytes(2, 32));
  w[40] = 2e6f;
  REQUIRE_THROWS_WITH(codec::q4_1::encode({w.data(), 2, 32, 32, 1}, two),
                      ContainsSubstring("row 1, column 0") && ContainsSubstring("65504"));
  w[40] = std::numeric_limits<float>::quiet_NaN();
  REQUIRE_THROWS_WITH(codec::q4_1::encode({w.data(), 2, 32, 32, 1}, two), ContainsSubstring("row 1, column 8"));
  two.pop_back();
  REQUIRE_THROWS_WITH(codec::q4_1::decode(two, {w.data(), 2, 32, 32, 1}), ContainsSubstring("expected 40 bytes"));
}
