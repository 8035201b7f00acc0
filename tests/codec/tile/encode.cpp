#include <precis/codec/tile/encode.hpp>

#include <precis/codec/grid/matrix.hpp>

#include "codec/encoded.hpp"
#include "codec/tile/scalar_definition.hpp"
#include "kernel/packed.hpp"

#include "catch.hpp"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <vector>

using namespace precis;
using namespace encoded;
using namespace scalar_definition;

TEST_CASE("tiles are encoded to the bytes of the scalar definition", "[codec][tile][property]") {
  // Subnormal half scales and half scales of 0; scales that need real divisions; rows with a tail.
  for (const float unit : {1.f, 1e-7f, 1e3f, 1e-38f, 1e33f})
    for (const std::size_t in : {std::size_t{320}, std::size_t{300}}) {
      const float_matrix w = hard_weights(in, unit);
      for_each_tiled_format([&](const grid_format& f) {
        if (f.scales == scale_type::float16 && unit > 1e5f) return;  // refused
        CAPTURE(codec::to_string(f), unit, in);
        REQUIRE(bytes_of(f, w.view()) == encoded_by_definition(f, w.view(), codec::choose_nearest{}));
      });
    }
}

TEST_CASE("tiles are encoded on given grids, and codes out of range are clamped", "[codec][tile][property]") {
  const float_matrix w = hard_weights(320, 1);
  for_each_tiled_format([&](const grid_format& f) {
    CAPTURE(codec::to_string(f));
    for (const float factor : {0.37f, 0.0078125f, 1e-12f}) {  // the last gives quotients that need real divisions
      auto grids = codec::read_grids(f, bytes_of(f, w.view()), 35, 320);
      for (codec::grid& g : grids) g.scale = factor * g.scale;
      const codec::choose_given given{grids};
      std::vector<std::byte> packed(f.layout_of(35, 320).bytes);
      codec::encode_on_grids(f, w.view(), packed, given);
      REQUIRE(packed == encoded_by_definition(f, w.view(), given));
    }
  });
}

TEST_CASE("encoding a tile gives the same bytes with all lanes", "[codec][tile][property]") {
  const float_matrix w = hard_weights(320, 1);
  const float_matrix spread = spread_rows(w);
  for_each_tiled_format([&](const grid_format& f) {
    CAPTURE(codec::to_string(f));
    const auto l = f.layout_of(35, 320);
    const std::vector<std::byte> expected = encoded_by_definition(f, w.view(), codec::choose_nearest{});
    const auto grids = codec::read_grids(f, expected, 35, 320);
    packed_tests::for_every_lanes([&](auto lanes) {
      using code = decltype(lanes);
      if constexpr (code::rows > 1) {
        std::vector<std::byte> packed = expected;
        for (std::size_t first = 0; first < 32; first += 16)
          for (const float_matrix* rows : std::initializer_list<const float_matrix*>{&w, &spread}) {
            std::fill_n(packed.begin() + static_cast<std::ptrdiff_t>(first * l.row_words * 4), 64 * l.row_words,
                        std::byte{0});
            REQUIRE(codec::tile::encode_rows<code>(
                f, rows->view().row_range(first, 16).col_range(0, 320), first, {f, l, 320, first, packed.data()},
                [&](const codec::tile::group_batch& g, codec::tile::grid_batch& chosen) {
                  return f.group == codec::per_tensor ? codec::choose_given{grids}.for_tile(f, g, chosen)
                                                      : codec::choose_nearest{}.for_tile(f, g, chosen);
                }));
            REQUIRE(std::equal(packed.begin(),
                               packed.begin() + static_cast<std::ptrdiff_t>((first + 16) * l.row_words * 4),
                               expected.begin()));
          }
        REQUIRE(packed == expected);
      }
    });
  });
}

TEST_CASE("a weight of a tile that is not finite is refused by row and column", "[codec][tile][refusal]") {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    for_each_tiled_format([&](const grid_format& f) {
      if (f.code_bits != 4) return;
      float_matrix w = hard_weights(320, 1);
      w(17, 319) = bad;
      std::vector<std::byte> packed(f.layout_of(35, 320).bytes);
      const float_matrix spread = spread_rows(w);
      CHECK_THROWS_WITH(codec::encode(f, spread.view().col_range(0, 320), packed),
                        ContainsSubstring("row 17, column 319"));
      CHECK_THROWS_WITH(codec::encode(f, w.view(), packed), ContainsSubstring("row 17, column 319"));
      const std::vector<codec::grid> given(f.groups(35, 320), codec::grid{.scale = 1});
      CHECK_THROWS_WITH(codec::encode_on_grids(f, w.view(), packed, codec::choose_given{given}),
                        ContainsSubstring("row 17, column 319"));
    });
}
