#include <precis/codec/blocks/searches.hpp>

#include "catch.hpp"

#include <cstddef>

using namespace precis::codec::blocks;

TEST_CASE("searches find the scale of weights that lie on a grid", "[codec][blocks][property]") {
  sub_blocks<2, 16> b;
  for (std::size_t i = 0; i < 16; ++i)
    for (std::size_t s = 0; s < 2; ++s) {
      b.x[i][s] = 0.25f * static_cast<float>(s + 1) * (static_cast<float>(i % 8) - 4);
      b.w[i][s] = 1;
    }
  search_symmetric(b, 4);
  for (std::size_t s = 0; s < 2; ++s) {
    CHECK(b.scale[s] == 0.25f * static_cast<float>(s + 1));
    for (std::size_t i = 0; i < 16; ++i) CHECK(b.code[i][s] == static_cast<float>(i % 8));
  }
  search_affine(b, 7, {.first = -0.9f, .step = 0.05f, .steps = 36});
  for (std::size_t s = 0; s < 2; ++s)
    for (std::size_t i = 0; i < 16; ++i)
      CHECK(b.scale[s] * b.code[i][s] - b.minimum[s] == Approx(b.x[i][s]).margin(1e-6));
}

TEST_CASE("search_scales: codes of scales that are multiples of one, and of zeros", "[codec][blocks][property]") {
  const float x[8] = {0, 0.5f, 1, 1.5f, 2, 2.5f, 3, 7.5f}, w[8] = {1, 1, 1, 1, 1, 1, 1, 1}, zeros[8] = {};
  float code[8];
  CHECK(search_scales<8>(x, w, 15, code) == 0.5f);
  for (std::size_t i = 0; i < 8; ++i) CHECK(0.5f * code[i] == x[i]);
  CHECK(search_scales<8>(zeros, w, 15, code) == 0);
}
