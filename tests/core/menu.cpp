#include <precis/core/menu.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

using namespace precis;

namespace {

/// A test codec that stores the floats unchanged.
struct plain {
  static std::string name() { return "plain"; }
  static constexpr std::size_t bytes(std::size_t out, std::size_t in) { return 4 * out * in; }
  static void encode(weight_view w, std::span<std::byte> packed) {
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c) std::memcpy(&packed[4 * (r * w.cols + c)], &w(r, c), 4);
  }
  static void decode(std::span<const std::byte> packed, mutable_weight_view w) {
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c) std::memcpy(&w(r, c), &packed[4 * (r * w.cols + c)], 4);
  }
};

/// A test codec with steps of 1/4, one byte per weight.
struct quarters {
  static std::string name() { return "quarters"; }
  static constexpr std::size_t bytes(std::size_t out, std::size_t in) { return out * in; }
  static void encode(weight_view w, std::span<std::byte> packed) {
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c)
        packed[r * w.cols + c] = std::bit_cast<std::byte>(static_cast<std::int8_t>(std::nearbyint(w(r, c) * 4.f)));
  }
  static void decode(std::span<const std::byte> packed, mutable_weight_view w) {
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c)
        w(r, c) = static_cast<float>(std::bit_cast<std::int8_t>(packed[r * w.cols + c])) / 4.f;
  }
};

struct no_decode {
  static std::string name() { return "no_decode"; }
  static constexpr std::size_t bytes(std::size_t, std::size_t) { return 0; }
  static void encode(weight_view, std::span<std::byte>) {}
};

using formats = menu<plain, quarters>;
static_assert(matrix_codec<plain> && matrix_codec<quarters> && !matrix_codec<no_decode> && !matrix_codec<int>);

}  // namespace

TEST_CASE("a menu lists its codecs in order", "[core][menu][worked-example]") {
  STATIC_REQUIRE(formats::size == 2);
  CHECK(formats::names() == std::array<std::string, 2>{"plain", "quarters"});
  CHECK(formats::index_of("plain") == 0);
  CHECK(formats::index_of("quarters") == 1);
  CHECK(formats::contains("quarters"));
  CHECK_FALSE(formats::contains("quarter"));
}

TEST_CASE("sizes are those of the codec, known at compile time", "[core][menu][worked-example]") {
  STATIC_REQUIRE(formats::bytes(0, 3, 5) == 60);
  STATIC_REQUIRE(formats::bytes(1, 3, 5) == 15);
}

TEST_CASE("the index selects the codec that encodes and decodes", "[core][menu][property]") {
  const std::vector<float> values{1.f, -0.3f, 2.1f, 0.f, -4.f, 0.125f};
  const weight_view w(values, 2, 3);
  for (std::size_t entry = 0; entry < formats::size; ++entry) {
    std::vector<std::byte> packed(formats::bytes(entry, 2, 3));
    formats::encode(entry, w, packed);
    float_matrix decoded(2, 3);
    formats::decode(entry, packed, decoded.view());
    if (entry == 0) CHECK(decoded.values == values);
    if (entry == 1) CHECK(decoded.values == std::vector<float>{1.f, -0.25f, 2.f, 0.f, -4.f, 0.f});  // half to even
  }
}

TEST_CASE("strided weights encode to the same bytes as a dense copy", "[core][menu][property]") {
  const std::vector<float> stored{1.f, 4.f, 2.f, 5.f, 3.f, 6.f};  // in x out
  const std::vector<float> copy{1.f, 2.f, 3.f, 4.f, 5.f, 6.f};
  std::vector<std::byte> from_view(6), from_copy(6);
  formats::encode(1, weight_view(stored, 3, 2).transposed(), from_view);
  formats::encode(1, weight_view(copy, 2, 3), from_copy);
  CHECK(from_view == from_copy);
}

TEST_CASE("a codec that is not in the menu is refused, and the message lists the menu", "[core][menu][refusal]") {
  CHECK(refusal([] { (void)formats::index_of("affine4"); }) ==
        "menu: no codec called 'affine4'; expected one of plain, quarters");
}
