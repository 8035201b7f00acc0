#include <precis/kernel/code_planes.hpp>

#include "catch.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

using namespace precis::kernel;

TEST_CASE("planes_of: the widest plane first, with the lowest bits", "[kernel][code_planes][worked-example]") {
  const code_planes five = planes_of(5);  // bits 0 to 3 in words 0 to 3, bit 4 in word 4
  REQUIRE(five.count == 2);
  CHECK((five.at[0].low == 0 && five.at[0].width == 4 && five.at[0].word == 0));
  CHECK((five.at[1].low == 4 && five.at[1].width == 1 && five.at[1].word == 4));
  CHECK(planes_of(7).count == 3);   // 4 + 2 + 1
  CHECK(planes_of(16).count == 2);  // 8 + 8
}

TEST_CASE("pack_block of 4-bit codes by hand", "[kernel][code_planes][worked-example]") {
  // Word v holds columns 8 v ... 8 v + 7: byte j has column 8 v + j in its low nibble and column 8 v + 4 + j in its
  // high one.
  std::array<std::uint8_t, 32> codes{};
  for (unsigned c = 0; c < 8; ++c) codes[c] = static_cast<std::uint8_t>(c + 1);
  codes[31] = 15;
  std::uint32_t words[4];
  pack_block(codes.data(), 4, words);
  CHECK(words[0] == 0x84736251u);
  CHECK(words[1] == 0);
  CHECK(words[3] == 0xF0000000u);
}

TEST_CASE("pack_row and unpack_row give back the codes of every width", "[kernel][code_planes][property]") {
  constexpr std::size_t blocks = 3, rows = 5, lane = 2;
  for (const unsigned bits : {2u, 3u, 4u, 5u, 6u, 7u, 8u, 16u, 24u}) {
    std::vector<std::uint32_t> codes(blocks * block_columns), back(codes.size());
    for (std::size_t i = 0; i < codes.size(); ++i)
      codes[i] = static_cast<std::uint32_t>(i * 2654435761u) >> 3 & ((1u << bits) - 1u);
    std::vector<std::byte> tile(blocks * bits * rows * 4, std::byte{0x55});
    pack_row(codes.data(), bits, blocks, tile.data(), rows, lane);
    unpack_row(tile.data(), rows, lane, bits, blocks, back.data());
    CAPTURE(bits);
    CHECK(back == codes);
    for (std::size_t i = 0; i < tile.size(); ++i)
      if (i / 4 % rows != lane) REQUIRE(tile[i] == std::byte{0x55});
    if (bits > 8) continue;
    const std::vector<std::uint8_t> bytes(codes.begin(),
                                          codes.end());  // bytes are packed by other code, to the same words
    std::vector<std::byte> from_bytes(tile.size(), std::byte{0x55});
    pack_row(bytes.data(), bits, blocks, from_bytes.data(), rows, lane);
    CHECK(from_bytes == tile);
  }
}

TEST_CASE("code_at reads a stream of codes", "[kernel][code_planes][worked-example]") {
  // The 3-bit codes 5, 2, 7, 1 from the lowest bit up: 001 111 010 101 = 0x3D5.
  const std::byte stream[] = {std::byte{0xD5}, std::byte{0x03}};
  CHECK(packed_bytes(4, 3) == 2);
  CHECK(code_at<3>(stream, 0) == 5);
  CHECK(code_at<3>(stream, 1) == 2);
  CHECK(code_at<3>(stream, 2) == 7);
  CHECK(code_at<3>(stream, 3) == 1);
}

TEST_CASE("words are little-endian", "[kernel][code_planes][worked-example]") {
  std::byte bytes[4];
  put_word32(0x04030201u, bytes);
  for (unsigned i = 0; i < 4; ++i) CHECK(bytes[i] == static_cast<std::byte>(i + 1));
  CHECK(get_word32(bytes) == 0x04030201u);
  CHECK(get_word16(bytes) == 0x0201u);
  put_word16(0x0605u, bytes);
  CHECK((bytes[0] == std::byte{5} && bytes[1] == std::byte{6}));
}
