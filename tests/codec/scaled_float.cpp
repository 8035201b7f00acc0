#include <precis/codec/scaled_float.hpp>

#include <precis/core/menu.hpp>

#include "codec/encoded.hpp"

#include "catch.hpp"

#include <cmath>
#include <limits>
#include <vector>

using namespace precis;
using namespace encoded;

TEST_CASE("scaled e2m1 of eight weights, by hand", "[codec][scaled_float][worked-example]") {
  const std::vector<float> x{-.9f, -.31f, 0.f, .07f, .22f, .5f, 1.1f, 1.8f};
  const auto f = codec::e2m1<>::format;
  const auto packed = bytes_of(f, {x, 1, 8});
  CHECK(codec::read_grids(f, packed, 1, 8)[0].scale == Approx(0.3));
  const std::vector<float> expected{-.9f, -.3f, 0.f, 0.f, .15f, .45f, 1.2f, 1.8f};
  const auto d = decoded(f, packed, 1, 8).values;
  for (std::size_t i = 0; i < 8; ++i) CHECK(d[i] == Approx(expected[i]).margin(1e-7));
  // Codes 0 ... 7 stand for 0, .5, 1, 1.5, 2, 3, 4, 6; bit 3 is the sign.
  CHECK(codes(f, packed, 1, 8) == std::vector<int>{8 + 5, 8 + 2, 0, 0, 1, 3, 6, 7});
}

TEST_CASE("every code of every scaled float decodes and encodes to itself", "[codec][scaled_float][oracle]") {
  // The largest float is among the weights, so the scale is 1 and nothing is rounded.
  const auto check = [](auto small, const codec::grid_format& f) {
    using kind = decltype(small);
    std::vector<float> all;
    std::vector<int> expected;
    for (unsigned c = 0; c < 1u << kind::bits; ++c)
      if ((c & kind::all_ones) <= kind::top) {
        all.push_back(kind::decode(static_cast<std::uint8_t>(c)));
        expected.push_back(static_cast<int>(c));
      }
    const auto packed = bytes_of(f, {all, 1, all.size()});
    CHECK(codes(f, packed, 1, all.size()) == expected);
    const auto d = decoded(f, packed, 1, all.size()).values;
    CHECK(d == all);
    for (std::size_t i = 0; i < all.size(); ++i)
      CHECK(std::signbit(d[i]) == std::signbit(all[i]));  // -0 keeps its sign
  };
  check(kernel::float8_e4m3{}, codec::e4m3<>::format);
  check(kernel::float8_e5m2{}, codec::e5m2<>::format);
  check(kernel::float4_e2m1{}, codec::e2m1<>::format);
}

TEST_CASE("scaled floats @post: decoded(-x) == -decoded(x)", "[codec][scaled_float][property]") {
  const float_matrix w = weights(3, 70);
  float_matrix minus = w;
  for (float& x : minus.values) x = -x;
  for (const auto& f :
       {codec::e4m3<32>::format, codec::e5m2<>::format, codec::e2m1<16, codec::scale_type::float16>::format}) {
    const auto d = decoded(f, bytes_of(f, w.view()), 3, 70).values;
    const auto m = decoded(f, bytes_of(f, minus.view()), 3, 70).values;
    for (std::size_t i = 0; i < d.size(); ++i) CHECK(m[i] == -d[i]);
  }
}

TEST_CASE("scaled floats: names and exact sizes", "[codec][scaled_float][worked-example]") {
  CHECK(codec::e4m3<32>::name() == "e4m3.g32");
  CHECK(codec::e5m2<codec::per_tensor>::name() == "e5m2.tensor");
  CHECK(codec::e2m1<codec::per_row, codec::scale_type::float16>::name() == "e2m1.row.h");
  static_assert(codec::e2m1<16, codec::scale_type::float16>::bytes(3, 64) == 3 * 32 + 3 * 4 * 2);
  static_assert(codec::e4m3<>::bytes(3, 7) == 3 * 7 + 3 * 4);
  static_assert(matrix_codec<codec::e4m3<32>> && matrix_codec<codec::e5m2<32>> && matrix_codec<codec::e2m1<32>>);
}
