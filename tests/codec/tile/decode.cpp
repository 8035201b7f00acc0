#include <precis/codec/tile/decode.hpp>

#include <precis/codec/grid/matrix.hpp>

#include "codec/encoded.hpp"
#include "codec/tile/scalar_definition.hpp"
#include "kernel/packed.hpp"

#include "catch.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

using namespace precis;
using namespace encoded;
using namespace scalar_definition;

TEST_CASE("tiles are decoded to the weights of the scalar definition", "[codec][tile][property]") {
  for (const float unit : {1.f, 1e-7f, 1e3f, 1e-38f, 1e33f})
    for (const std::size_t in : {std::size_t{320}, std::size_t{300}}) {
      const float_matrix w = hard_weights(in, unit);
      for_each_tiled_format([&](const grid_format& f) {
        if (f.scales == scale_type::float16 && unit > 1e5f) return;  // refused
        CAPTURE(codec::to_string(f), unit, in);
        const std::vector<std::byte> packed = encoded_by_definition(f, w.view(), codec::choose_nearest{});
        REQUIRE(same_bits(decoded(f, packed, 35, in), decoded_by_definition(f, packed, 35, in)));
      });
    }
}

TEST_CASE("decoding a tile gives the same weights with all lanes", "[codec][tile][property]") {
  const float_matrix w = hard_weights(320, 1);
  for_each_tiled_format([&](const grid_format& f) {
    CAPTURE(codec::to_string(f));
    const auto l = f.layout_of(35, 320);
    const std::vector<std::byte> packed = encoded_by_definition(f, w.view(), codec::choose_nearest{});
    const float_matrix expected = decoded_by_definition(f, packed, 35, 320);
    const auto grids = codec::read_grids(f, packed, 35, 320);
    packed_tests::for_every_lanes([&](auto lanes) {
      using code = decltype(lanes);
      if constexpr (code::rows > 1) {
        float_matrix back = expected;
        for (std::size_t first = 0; first < 32; first += 16) {
          for (std::size_t r = first; r < first + 16; ++r)
            for (float& x : back.row(r)) x = -99;
          codec::tile::decode_rows<code>(f, {f, l, 320, first, packed.data()}, grids[0],
                                         back.view().row_range(first, 16));
          alignas(64) static float streamed[16 * 320];
          std::fill(std::begin(streamed), std::end(streamed), -99.f);
          codec::tile::decode_rows<code, true>(f, {f, l, 320, first, packed.data()}, grids[0], {streamed, 16, 320});
          REQUIRE(std::memcmp(streamed, expected.row(first).data(), sizeof streamed) == 0);
        }
        REQUIRE(same_bits(back, expected));
      }
    });
  });
}

TEST_CASE("a large matrix is decoded with non-temporal stores, whether or not its rows start at cache lines",
          "[codec][tile]") {
  constexpr std::size_t out = 2050, in = 4096;  // 32 MiB, and two rows that do not fill a tile
  const grid_format f = *codec::parse_grid_format("affine4.g32");
  const float_matrix w = hard_weights(in, 3);
  std::vector<std::byte> packed(f.layout_of(out, in).bytes);
  {
    float_matrix repeated(out, in);
    for (std::size_t r = 0; r < out; ++r) std::copy_n(w.row(r % w.rows).data(), in, repeated.row(r).data());
    codec::encode(f, repeated.view(), packed);
  }
  std::vector<float> buffer(out * in + 32);
  const std::size_t line = (64 - reinterpret_cast<std::uintptr_t>(buffer.data()) % 64) % 64 / 4;
  std::vector<float> row(in);
  for (const std::size_t start : {line, line + 1}) {
    std::fill(buffer.begin(), buffer.end(), -99.f);
    codec::decode(f, packed, {std::span(buffer).subspan(start, out * in), out, in});
    for (std::size_t r = 0; r < out; ++r) {
      codec::decode_row(f, packed, out, r, row);
      REQUIRE(std::memcmp(row.data(), &buffer[start + r * in], in * sizeof(float)) == 0);
    }
    for (std::size_t i = 0; i < buffer.size(); ++i)
      if (i < start || i >= start + out * in) REQUIRE(buffer[i] == -99.f);
  }
}
