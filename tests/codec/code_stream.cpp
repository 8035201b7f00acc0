#include <precis/codec/code_stream.hpp>

#include <precis/core/random.hpp>

#include "catch.hpp"

#include <cstdint>
#include <vector>

using namespace precis;

namespace {
template<class Code>
std::vector<std::byte> packed(const std::vector<Code>& codes, unsigned width) {
  std::vector<std::byte> stream(codec::packed_bytes(codes.size(), width), std::byte{0xFF});
  codec::pack_codes(std::span<const Code>(codes), width, std::span<std::byte>(stream));
  return stream;
}
std::vector<std::byte> bytes(std::initializer_list<unsigned> values) {
  std::vector<std::byte> out;
  for (const unsigned v : values) out.push_back(static_cast<std::byte>(v));
  return out;
}

// The definition bit by bit: stream bit i * width + k is bit k of code i.
template<class Code>
std::vector<std::byte> by_definition(const std::vector<Code>& codes, unsigned width) {
  std::vector<std::byte> stream((codes.size() * width + 7) / 8, std::byte{0});
  for (std::size_t i = 0; i < codes.size(); ++i)
    for (unsigned k = 0; k < width; ++k)
      if ((codes[i] >> k & 1u) != 0) {
        const std::size_t bit = i * width + k;
        stream[bit / 8] |= static_cast<std::byte>(1u << (bit % 8));
      }
  return stream;
}

template<class Code>
void round_trips(unsigned width) {
  const random_stream random(7, purpose("packing"));
  for (std::size_t count = 0; count <= 70; ++count) {
    std::vector<Code> codes(count);
    for (std::size_t i = 0; i < count; ++i) codes[i] = static_cast<Code>(random.below(100 * count + i, 1ull << width));
    const std::vector<std::byte> stream = packed(codes, width);
    REQUIRE(stream == by_definition(codes, width));
    std::vector<Code> back(count);
    codec::unpack_codes(std::span<const std::byte>(stream), width, std::span<Code>(back));
    REQUIRE(back == codes);
  }
}
}  // namespace

TEST_CASE("codes are packed to the bytes worked out by hand", "[codec][code_stream][worked-example]") {
  CHECK(packed<std::uint8_t>({5, 2, 7, 0, 3, 6, 1, 4}, 3) == bytes({0xd5, 0x31, 0x87}));
  CHECK(packed<std::uint32_t>({5, 2, 7, 0, 3, 6, 1, 4}, 3) == bytes({0xd5, 0x31, 0x87}));
  CHECK(packed<std::uint32_t>({0x123456, 0xABCDEF}, 24) == bytes({0x56, 0x34, 0x12, 0xef, 0xcd, 0xab}));
}

TEST_CASE("packing matches the bit-by-bit definition, and unpacking inverts it, for every width and length",
          "[codec][code_stream][oracle]") {
  const unsigned width = GENERATE(range(1u, 25u));
  CAPTURE(width);
  if (width <= 8) round_trips<std::uint8_t>(width);
  if (width <= 16) round_trips<std::uint16_t>(width);
  round_trips<std::uint32_t>(width);
}

TEST_CASE("bits above the width are dropped and do not reach the next code", "[codec][code_stream][property]") {
  CHECK(packed<std::uint8_t>({0xFF, 0, 0xFF, 0, 0xFF, 0, 0xFF, 0}, 4) == bytes({0x0F, 0x0F, 0x0F, 0x0F}));
  CHECK(packed<std::uint32_t>({0xFFFFFFFF, 0}, 4) == bytes({0x0F}));
}

TEST_CASE("the size of a stream is a constant expression and does not overflow", "[codec][code_stream][property]") {
  static_assert(codec::packed_bytes(0, 3) == 0);
  static_assert(codec::packed_bytes(1, 3) == 1);
  static_assert(codec::packed_bytes(8, 3) == 3);
  static_assert(codec::packed_bytes(9, 3) == 4);
  static_assert(codec::packed_bytes(std::size_t{1} << 61, 24) == std::size_t{3} << 61);
  constexpr auto at_compile_time = [] {
    constexpr std::uint8_t codes[]{5, 2, 7, 0, 3, 6, 1, 4};
    std::byte stream[3]{};
    codec::pack_codes(std::span<const std::uint8_t>(codes), 3, std::span<std::byte>(stream));
    return stream[0] == std::byte{0xd5} && stream[1] == std::byte{0x31} && stream[2] == std::byte{0x87};
  };
  static_assert(at_compile_time());
  SUCCEED();
}
