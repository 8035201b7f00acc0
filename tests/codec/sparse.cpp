#include <precis/codec/sparse.hpp>

#include <precis/codec/affine.hpp>
#include <precis/codec/float16.hpp>
#include <precis/core/menu.hpp>

#include "codec/encoded.hpp"

#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using namespace precis;
using namespace encoded;

namespace {

template<class Codec>
std::vector<std::byte> packed_by(weight_view w) {
  std::vector<std::byte> packed(Codec::bytes(w.rows, w.cols));
  Codec::encode(w, packed);
  return packed;
}
template<class Codec>
std::vector<float> round_trip(weight_view w) {
  const auto packed = packed_by<Codec>(w);
  float_matrix d(w.rows, w.cols, -9.f);
  Codec::decode(packed, d.view());
  return d.values;
}

using half_of_four = codec::keep_of<2, 4, codec::float32>;

}  // namespace

TEST_CASE("2:4 by hand: of equal weights the earlier is dropped, and zeros fill the lowest positions",
          "[codec][sparse][worked-example]") {
  // (.5, .5, .2, .5) loses indices 2 and 0.
  const std::vector<float> w{.5f, .5f, .2f, .5f, 0, -3, 0, 0, 7, 0, 0, 1};
  CHECK(round_trip<half_of_four>({w, 1, 12}) == std::vector<float>{0, .5f, 0, .5f, 0, -3, 0, 0, 7, 0, 0, 1});
  // Positions 1, 3; 0 (a zero), 1; 0, 3, with two bits each, lowest bits first.
  const auto packed = packed_by<half_of_four>({w, 1, 12});
  REQUIRE(packed.size() == 2 + 6 * 4);
  CHECK(packed[0] == std::byte{1 | 3 << 2 | 0 << 4 | 1 << 6});
  CHECK(packed[1] == std::byte{0 | 3 << 2});
}

TEST_CASE("sparse sizes: position bits, bitmap and values, with tails", "[codec][sparse][worked-example]") {
  // 2 of 4 takes four position bits per group. A tail of 3 keeps ceil(2 * 3 / 4) = 2 weights, a tail of 1 keeps 1.
  CHECK(half_of_four::kept(8) == 4);
  CHECK(half_of_four::kept(7) == 4);
  CHECK(half_of_four::kept(5) == 3);
  static_assert(half_of_four::bytes(3, 8) == 3 * 1 + 3 * 4 * 4);
  static_assert(codec::keep_of<4, 8, codec::float16>::bytes(2, 16) == 2 * 3 + 2 * 8 * 2);  // three bits each
  static_assert(codec::keep_of<2, 4, codec::affine<4, 32>>::bytes(2, 64) == 2 * 8 + codec::affine<4, 32>::bytes(2, 32));
  // 30 % of 3 x 11 = 33 weights are ceil(9.9) = 10; the bitmap takes two bytes per row.
  static_assert(codec::bitmap<30, codec::float32>::bytes(3, 11) == 3 * 2 + 10 * 4);
  CHECK(codec::keep_of<2, 4, codec::affine<4, 32>>::name() == "keep2of4.affine4.g32");
  CHECK(codec::bitmap<30, codec::float16>::name() == "bitmap30.float16");
  static_assert(matrix_codec<half_of_four> && matrix_codec<codec::bitmap<50, codec::affine<8>>>);
}

TEST_CASE("sparse @post: a matrix that is sparse already is unchanged, and the smallest weights are dropped",
          "[codec][sparse][property]") {
  for (const std::size_t in : {1u, 3u, 4u, 6u, 63u, 64u}) {
    const float_matrix w = weights(5, in, in);
    const auto check = [&](const std::vector<float>& once, auto again) {
      REQUIRE(again({once, 5, in}) == once);  // sparse already
      float dropped = 0;
      for (std::size_t i = 0; i < once.size(); ++i) {
        CHECK((once[i] == w.values[i] || once[i] == 0));
        if (once[i] == 0) dropped = std::max(dropped, std::abs(w.values[i]));
      }
      return dropped;
    };
    check(round_trip<half_of_four>(w.view()), [](weight_view v) { return round_trip<half_of_four>(v); });
    check(round_trip<codec::keep_of<1, 16, codec::float32>>(w.view()),
          [](weight_view v) { return round_trip<codec::keep_of<1, 16, codec::float32>>(v); });
    using some = codec::bitmap<40, codec::float32>;
    const auto once = round_trip<some>(w.view());
    const float dropped = check(once, [](weight_view v) { return round_trip<some>(v); });
    std::size_t larger = 0;
    for (const float x : w.values) larger += std::abs(x) > dropped;
    CHECK(larger <= some::kept(5, in));
  }
}

TEST_CASE("every group of a 2:4 matrix keeps its two largest", "[codec][sparse][oracle]") {
  const float_matrix w = weights(7, 40);
  const auto d = round_trip<half_of_four>(w.view());
  for (std::size_t first = 0; first < d.size(); first += 4) {
    std::vector<float> sizes;
    double best = 0, have = 0;
    for (std::size_t i = first; i < first + 4; ++i) {
      sizes.push_back(std::abs(w.values[i]));
      have += std::abs(static_cast<double>(d[i]));
    }
    std::ranges::sort(sizes);
    best = static_cast<double>(sizes[2]) + static_cast<double>(sizes[3]);
    CHECK(have == Approx(best));
  }
}

TEST_CASE("kept weights decode as with their codec, with any strides", "[codec][sparse][property]") {
  const float_matrix w = weights(6, 64);
  using sparse = codec::keep_of<2, 4, codec::affine<4, 32>>;
  const auto kept = round_trip<half_of_four>(w.view());
  float_matrix compact(6, 32);
  std::vector<std::size_t> places;
  for (std::size_t r = 0; r < 6; ++r) {
    std::size_t at = 0;
    for (std::size_t c = 0; c < 64; ++c)
      if (kept[r * 64 + c] != 0) compact(r, at++) = kept[r * 64 + c];
  }
  const auto values = round_trip<codec::affine<4, 32>>(compact.view());
  const auto d = round_trip<sparse>(w.view());
  for (std::size_t r = 0; r < 6; ++r) {
    std::size_t at = 0;
    bool full = true;  // a group with fewer than two nonzero weights stores a zero
    for (std::size_t c = 0; c < 64; c += 4)
      full = full && std::count(&kept[r * 64 + c], &kept[r * 64 + c] + 4, 0.f) == 2;
    if (!full) continue;
    for (std::size_t c = 0; c < 64; ++c) CHECK(d[r * 64 + c] == (kept[r * 64 + c] != 0 ? values[r * 32 + at++] : 0.f));
  }
  float_matrix turned(64, 6);
  codec::copy_values(w.view().transposed(), turned.view());
  CHECK(packed_by<sparse>(turned.view().transposed()) == packed_by<sparse>(w.view()));
  using marked = codec::bitmap<25, codec::float16>;
  CHECK(packed_by<marked>(turned.view().transposed()) == packed_by<marked>(w.view()));
}

TEST_CASE("sparse codecs refuse weights that are not finite, wrong sizes and invalid bytes",
          "[codec][sparse][refusal]") {
  float_matrix w = weights(2, 12);
  std::vector<std::byte> packed = packed_by<half_of_four>(w.view());
  float_matrix into(2, 12);
  packed.pop_back();
  CHECK_THROWS_WITH(half_of_four::decode(packed, into.view()), ContainsSubstring("expected 52 bytes"));
  using three = codec::keep_of<1, 3, codec::float32>;
  auto wrong = packed_by<three>(w.view());
  wrong[0] = std::byte{0xff};
  CHECK_THROWS_WITH(three::decode(wrong, into.view()), ContainsSubstring("position 3 in a group of 3, row 0"));
  using marked = codec::bitmap<50, codec::float32>;
  auto many = packed_by<marked>(w.view());
  many[0] = many[1] = std::byte{0xff};
  CHECK_THROWS_WITH(marked::decode(many, into.view()), ContainsSubstring("weights kept"));
  w(1, 3) = std::numeric_limits<float>::quiet_NaN();
  packed.resize(half_of_four::bytes(2, 12));
  CHECK_THROWS_WITH(half_of_four::encode(w.view(), packed), ContainsSubstring("row 1, column 3"));
}
