#include <precis/codec/float16.hpp>

#include <precis/core/menu.hpp>

#include "codec/encoded.hpp"

#include "catch.hpp"

#include <limits>
#include <vector>

using namespace precis;

namespace {
template<class Codec>
std::vector<std::byte> bytes(weight_view w) {
  std::vector<std::byte> packed(Codec::bytes(w.rows, w.cols));
  Codec::encode(w, packed);
  return packed;
}
template<class Codec>
float through(float x) {
  const std::vector<float> one{x};
  float_matrix back(1, 1);
  Codec::decode(bytes<Codec>({one, 1, 1}), back.view());
  return back(0, 0);
}
}  // namespace

TEST_CASE("halves are row-major, little-endian and rounded to even", "[codec][float16][worked-example]") {
  const std::vector<float> w{1.f, -2.f, 65504.f, 0x1.0p-24f};
  CHECK(bytes<codec::float16>({w, 2, 2}) == std::vector<std::byte>{std::byte{0x00}, std::byte{0x3c}, std::byte{0x00},
                                                                   std::byte{0xc0}, std::byte{0xff}, std::byte{0x7b},
                                                                   std::byte{0x01}, std::byte{0x00}});
  CHECK(bytes<codec::bfloat16>({std::span(w).first(2), 1, 2}) ==
        std::vector<std::byte>{std::byte{0x80}, std::byte{0x3f}, std::byte{0x00}, std::byte{0xc0}});
  CHECK(bytes<codec::float32>({std::span(w).first(1), 1, 1}) ==
        std::vector<std::byte>{std::byte{0x00}, std::byte{0x00}, std::byte{0x80}, std::byte{0x3f}});
  CHECK(through<codec::float16>(1.f + 0x1.0p-11f) == 1.f);              // a tie, to even
  CHECK(through<codec::float16>(1.f + 0x1.8p-10f) == 1.f + 0x1.0p-9f);  // a tie, to even
  CHECK(through<codec::bfloat16>(1.f + 0x1.0p-8f) == 1.f);
  CHECK(through<codec::float32>(0.1f) == 0.1f);
}

TEMPLATE_TEST_CASE("a second round trip changes nothing, with any strides, and zeros stay zero",
                   "[codec][float16][property]", codec::float16, codec::bfloat16, codec::float32) {
  static_assert(matrix_codec<TestType> && TestType::keeps_zero);
  const float_matrix w = encoded::weights(7, 20);
  float_matrix turned(20, 7), once(7, 20), twice(7, 20);
  codec::copy_values(w.view(), turned.view().transposed());
  const auto packed = bytes<TestType>(w.view());
  CHECK(bytes<TestType>(turned.view().transposed()) == packed);
  TestType::decode(packed, once.view());
  TestType::decode(bytes<TestType>(once.view()), twice.view());
  CHECK(once.values == twice.values);
  for (std::size_t i = 0; i < w.values.size(); ++i) {
    CHECK(std::abs(once.values[i] - w.values[i]) <= std::abs(w.values[i]) * 0x1.0p-8f + 0x1.0p-25f);
    if (w.values[i] == 0) CHECK(once.values[i] == 0);
  }
}

TEST_CASE("a weight out of range is refused by row and column", "[codec][float16][refusal]") {
  float_matrix w(2, 3, 1.f);
  w(1, 2) = 65520.f;  // rounds to infinity
  std::vector<std::byte> half(12), full(24);
  CHECK_THROWS_WITH(codec::float16::encode(w.view(), half),
                    ContainsSubstring("row 1, column 2") && ContainsSubstring("too large"));
  CHECK_NOTHROW(codec::bfloat16::encode(w.view(), half));
  w(1, 2) = std::numeric_limits<float>::max();
  CHECK_THROWS_WITH(codec::bfloat16::encode(w.view(), half), ContainsSubstring("row 1, column 2"));
  CHECK_NOTHROW(codec::float32::encode(w.view(), full));
  w(0, 1) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(codec::float16::encode(w.view(), half),
                    ContainsSubstring("row 0, column 1") && ContainsSubstring("NaN"));
  CHECK_THROWS_WITH(codec::float32::encode(w.view(), full), ContainsSubstring("row 0, column 1"));
  CHECK_THROWS_WITH(codec::float32::encode(w.view(), half), ContainsSubstring("expected 24 bytes"));
}
