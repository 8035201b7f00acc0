#include <precis/codec/grid/storage.hpp>

#include "catch.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

using namespace precis;
using codec::grid;
using codec::grid_format;
using codec::grid_rule;
using codec::scale_type;

TEST_CASE("store_scale: two or four bytes, little-endian", "[codec][storage][worked-example]") {
  // 1.5: exponent 127 and 15, fraction one half: 0x3FC00000 and 0x3E00. load_scale reads them back.
  std::vector<std::byte> bytes(5, std::byte{0x55});
  codec::store_scale(1.5f, scale_type::float32, bytes.data());
  CHECK(bytes == std::vector<std::byte>{std::byte{0}, std::byte{0}, std::byte{0xC0}, std::byte{0x3F}, std::byte{0x55}});
  CHECK(codec::load_scale(scale_type::float32, bytes.data()) == 1.5f);
  codec::store_scale(1.5f, scale_type::float16, bytes.data() + 1);
  CHECK(bytes == std::vector<std::byte>{std::byte{0}, std::byte{0}, std::byte{0x3E}, std::byte{0x3F}, std::byte{0x55}});
  CHECK(codec::load_scale(scale_type::float16, bytes.data() + 1) == 1.5f);
}

TEST_CASE("store_row_codes: words between those of the other rows of the tile, and a tail",
          "[codec][storage][worked-example]") {
  // 18 rows of 34 codes of 4 bits: 4 words per row, a tail of one byte. Row 17 is the second of the two rows of the
  // second tile, which starts after 16 * 4 words; its word v is the tile's word 2 v + 1.
  constexpr grid_format f{.rule = grid_rule::symmetric, .code_bits = 4};
  constexpr auto l = f.layout_of(18, 34);
  std::vector<std::uint8_t> codes(34), back(34);
  codes[0] = 1, codes[4] = 2, codes[24] = 3, codes[32] = 4, codes[33] = 5;
  std::vector<std::byte> packed(l.bytes), expected(l.bytes);
  codec::store_row_codes<std::uint8_t>(l, 4, 18, 17, codes, packed);
  expected[256 + 1 * 4] = std::byte{0x21};            // word 0: columns 0 and 4
  expected[256 + 7 * 4] = std::byte{0x03};            // word 3: column 24
  expected[18 * 16 + 18 * 4 + 17] = std::byte{0x54};  // after blocks and scales: the tail of row 17
  CHECK(packed == expected);
  codec::load_row_codes<std::uint8_t>(l, 4, 18, 17, packed, back);
  CHECK(back == codes);
}

TEST_CASE("load_row_codes gives back what store_row_codes stored, in any width", "[codec][storage][property]") {
  for (const unsigned bits : {2u, 3u, 4u, 5u, 6u, 7u, 8u, 16u, 24u})
    for (const std::size_t in : {1u, 31u, 32u, 75u}) {
      CAPTURE(bits, in);
      const auto l = grid_format{.rule = grid_rule::affine, .code_bits = bits}.layout_of(19, in);
      const auto code = [&](std::size_t r, std::size_t c) {
        return static_cast<std::uint32_t>((r * in + c + 1) * 2654435761u) >> 5 & ((1u << bits) - 1u);
      };
      std::vector<std::byte> packed(l.bytes);
      std::vector<std::uint32_t> row(in);
      for (std::size_t r = 0; r < 19; ++r) {
        for (std::size_t c = 0; c < in; ++c) row[c] = code(r, c);
        codec::store_row_codes<std::uint32_t>(l, bits, 19, r, row, packed);
      }
      for (std::size_t r = 0; r < 19; ++r) {  // only now: no row has overwritten another
        codec::load_row_codes<std::uint32_t>(l, bits, 19, r, packed, row);
        for (std::size_t c = 0; c < in; ++c) REQUIRE(row[c] == code(r, c));
      }
    }
}

TEST_CASE("store_grids: group by group, the rows of a tile side by side", "[codec][storage][worked-example]") {
  // Two rows of three groups of one weight. Zero points of 4 bits, in the order of the scales: 1 4 2 5 3 6.
  constexpr grid_format f{.rule = grid_rule::affine, .code_bits = 4, .group = 1, .scales = scale_type::float16};
  constexpr auto l = f.layout_of(2, 3);
  std::vector<grid> grids, back(6);
  for (int i = 1; i <= 6; ++i) grids.push_back({.scale = static_cast<float>(i), .minimum = 0, .zero_point = i});
  std::vector<std::byte> packed(l.bytes);
  codec::store_grids(f, grids, 2, {f, l, 3, 0, packed.data()});
  std::vector<float> scales;
  for (std::size_t i = 0; i < 6; ++i)
    scales.push_back(codec::load_scale(scale_type::float16, &packed[l.scales + 2 * i]));
  CHECK(scales == std::vector<float>{1, 4, 2, 5, 3, 6});
  CHECK(packed[l.offsets] == std::byte{0x41});
  CHECK(packed[l.offsets + 1] == std::byte{0x52});
  CHECK(packed[l.offsets + 2] == std::byte{0x63});
  codec::load_grids(f, {f, l, 3, 0, packed.data()}, 2, back);
  CHECK(back == grids);
}

TEST_CASE("load_grids: minima are stored like scales, and symmetric formats have a constant zero point",
          "[codec][storage][worked-example]") {
  constexpr grid_format anchored{.rule = grid_rule::min_anchored, .code_bits = 4};
  constexpr auto l = anchored.layout_of(2, 32);
  const std::vector<grid> grids{{.scale = 2, .minimum = -3}, {.scale = 4, .minimum = 0.5f}};
  std::vector<grid> back(2);
  std::vector<std::byte> packed(l.bytes);
  codec::store_grids(anchored, grids, 2, {anchored, l, 32, 0, packed.data()});
  CHECK(codec::load_scale(scale_type::float32, &packed[l.offsets]) == -3);
  CHECK(codec::load_scale(scale_type::float32, &packed[l.offsets + 4]) == 0.5f);
  codec::load_grids(anchored, {anchored, l, 32, 0, packed.data()}, 2, back);
  CHECK(back == grids);

  // One grid for the matrix. The codes -7 ... 7 are stored as 0 ... 14.
  constexpr grid_format whole{.rule = grid_rule::symmetric, .code_bits = 4, .group = codec::per_tensor};
  const grid only{.scale = 0.25f, .minimum = 0, .zero_point = 7};
  grid read;
  packed.assign(whole.layout_of(2, 32).bytes, std::byte{0});
  codec::store_grids(whole, {&only, 1}, 1, {whole, whole.layout_of(2, 32), 32, 0, packed.data()});
  codec::load_grids(whole, {whole, whole.layout_of(2, 32), 32, 0, packed.data()}, 1, {&read, 1});
  CHECK(read == only);
}
