#include <precis/kernel/grid_format.hpp>

#include "catch.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

using namespace precis::kernel;

namespace {

constexpr grid_format format(grid_rule rule, unsigned bits, std::size_t group = per_row,
                             scale_type scales = scale_type::float32) {
  return {.rule = rule, .code_bits = bits, .group = group, .scales = scales};
}

}  // namespace

TEST_CASE("layout_of: blocks, scales, zero points, tails", "[kernel][grid_format][worked-example]") {
  // 18 rows of 70 columns, 3 bits, groups of 32: 2 blocks of 3 words, 3 groups, a tail of 6 codes in 3 bytes per row.
  constexpr auto l = format(grid_rule::affine, 3, 32).layout_of(18, 70);
  CHECK(l.groups == 18 * 3);
  CHECK(l.row_words == 6);
  CHECK(l.scales == 18 * 6 * 4);
  CHECK(l.offsets == 432 + 54 * 4);
  CHECK(l.tails == 648 + 21);  // 54 zero points of 3 bits: 162 bits
  CHECK(l.tail_bytes == 3);
  CHECK(l.bytes == 669 + 18 * 3);

  constexpr auto minima = format(grid_rule::min_anchored, 3, 32, scale_type::float16).layout_of(18, 70);
  CHECK(minima.offsets == 432 + 54 * 2);
  CHECK(minima.tails == 540 + 54 * 2);
  CHECK(minima.bytes == 648 + 18 * 3);

  constexpr auto no_offsets = format(grid_rule::symmetric, 3, 32).layout_of(18, 70);
  CHECK(no_offsets.tails == no_offsets.offsets);
  CHECK(no_offsets.bytes == 648 + 18 * 3);
}

TEST_CASE("the size counts scales, zero points, codes and the padding of every row",
          "[kernel][grid_format][worked-example]") {
  using enum grid_rule;
  const auto bytes = [](std::size_t out, std::size_t in, const grid_format& f) { return f.layout_of(out, in).bytes; };
  // 3 rows of 7 four-bit codes take 4 bytes per row. Groups of 3: three per row, nine in total.
  CHECK(bytes(3, 7, format(symmetric, 4, 3)) == 9 * 4 + 3 * 4);
  CHECK(bytes(3, 7, format(affine, 4, 3)) == 9 * 4 + 5 + 3 * 4);  // nine 4-bit zero points: 36 bits
  CHECK(bytes(3, 7, format(affine, 4, 3, scale_type::float16)) == 9 * 2 + 5 + 3 * 4);
  CHECK(bytes(3, 7, format(min_anchored, 4, 3)) == 9 * 8 + 3 * 4);
  CHECK(bytes(3, 7, format(affine, 3, per_tensor)) == 4 + 1 + 3 * 3);
  CHECK(bytes(3, 7, format(affine, 24)) == 3 * 4 + 3 * 3 + 3 * 21);
  CHECK(bytes(0, 7, format(affine, 4)) == 0);
  CHECK(bytes(7, 0, format(affine, 4)) == 0);
  // 1000 weights of 4 bits and ten 16-bit scales. Groups of 128 take 4.125 and 4.15625 bits per weight.
  CHECK(bytes(1, 1000, format(symmetric, 4, 100, scale_type::float16)) * 8 == 4160);
  CHECK(bytes(64, 4096, format(symmetric, 4, 128, scale_type::float16)) * 8 == 4125 * 64 * 4096 / 1000);
  CHECK(bytes(64, 4096, format(affine, 4, 128, scale_type::float16)) * 100000 * 8 == 415625ull * 64 * 4096);
}

TEST_CASE("group_at: the scales of a tile are stored group by group, its rows side by side",
          "[kernel][grid_format][worked-example]") {
  // 18 rows of 3 groups: 48 scales of the first tile, then those of two rows.
  constexpr grid_format f = format(grid_rule::affine, 4, 32);
  CHECK(f.group_at(18, 70, 0, 0) == 0);
  CHECK(f.group_at(18, 70, 15, 0) == 15);
  CHECK(f.group_at(18, 70, 0, 1) == 16);
  CHECK(f.group_at(18, 70, 15, 2) == 47);
  CHECK(f.group_at(18, 70, 16, 0) == 48);
  CHECK(f.group_at(18, 70, 17, 0) == 49);
  CHECK(f.group_at(18, 70, 16, 1) == 50);
  CHECK(f.group_at(18, 70, 17, 2) == 53);
  CHECK(format(grid_rule::affine, 4, per_tensor).group_at(18, 70, 17, 0) == 0);
}

TEST_CASE("top_code and fixed_zero_point of the rules", "[kernel][grid_format][worked-example]") {
  CHECK(format(grid_rule::affine, 4).top_code() == 15);
  CHECK(format(grid_rule::affine, 24).top_code() == 16777215);
  CHECK(format(grid_rule::affine, 4).fixed_zero_point() == 0);
  // symmetric: -7 ... 7 are stored as 0 ... 14; symmetric_full: -8 ... 7 as 0 ... 15.
  CHECK(format(grid_rule::symmetric, 4).top_code() == 14);
  CHECK(format(grid_rule::symmetric, 4).fixed_zero_point() == 7);
  CHECK(format(grid_rule::symmetric_full, 4).top_code() == 15);
  CHECK(format(grid_rule::symmetric_full, 4).fixed_zero_point() == 8);
}

TEST_CASE("with_float calls f with the float type of a format, and not at all for integers",
          "[kernel][grid_format][worked-example]") {
  // The code 1 is the smallest number above 0; of falling powers, the second one: 2^-1 or 2^-1/2.
  const auto value_of_one = [](const grid_format& f) {
    float value = -1;
    with_float(f, [&](auto kind) { value = kind.decode(1); });
    return value;
  };
  CHECK(value_of_one(format(grid_rule::e4m3, 8)) == 0x1p-9f);
  CHECK(value_of_one(format(grid_rule::e5m2, 8)) == 0x1p-16f);
  CHECK(value_of_one(format(grid_rule::e2m1, 4)) == 0.5f);
  CHECK(value_of_one(format(grid_rule::log2, 3)) == 0.5f);
  CHECK(value_of_one(format(grid_rule::log_sqrt2, 4)) == Approx(0.70710678));
  CHECK(value_of_one(format(grid_rule::affine, 4)) == -1.f);
}

TEST_CASE("unpack_block_of finds blocks in tiles and codes in tails", "[kernel][grid_format][worked-example]") {
  // 17 rows of 35 columns, 4 bits: the second tile holds row 16 alone; tails of 3 codes.
  constexpr std::size_t out = 17, in = 35;
  constexpr grid_format f = format(grid_rule::symmetric, 4);
  constexpr auto l = f.layout_of(out, in);
  std::vector<std::byte> data(l.bytes);
  // Row 2: word 1 (columns 8 ... 15) starts after the words 0 of sixteen rows. Bits 4 to 7 of its byte 1 are column 13.
  data[64 + 2 * 4 + 1] = std::byte{0x90};
  // Row 16: words one after another, after the 16 rows of 4 words.
  data[16 * 16 + 3 * 4] = std::byte{0x05};  // word 3, byte 0: column 24
  data[l.tails + 2 * 2] = std::byte{0x21};  // row 2: columns 32 and 33
  data[l.tails + 2 * 2 + 1] = std::byte{0x03};

  std::vector<std::uint8_t> codes(32), expected(32);
  expected[13] = 9;
  CHECK(unpack_block_of(data.data(), l, 4, out, in, 2, 0, codes.data()) == 32);
  CHECK(codes == expected);
  expected[13] = 0, expected[24] = 5;
  CHECK(unpack_block_of(data.data(), l, 4, out, in, 16, 0, codes.data()) == 32);
  CHECK(codes == expected);
  CHECK(unpack_block_of(data.data(), l, 4, out, in, 2, 1, codes.data()) == 3);
  CHECK((codes[0] == 1 && codes[1] == 2 && codes[2] == 3));
}

TEST_CASE("unpack_block_of reads tails of wide codes", "[kernel][grid_format][worked-example]") {
  // One row of two columns with 16 bits: a scale, then two little-endian codes.
  constexpr auto l = format(grid_rule::symmetric, 16).layout_of(1, 2);
  REQUIRE(l.bytes == 4 + 4);
  std::vector<std::byte> data(l.bytes);
  data[4] = std::byte{0x34}, data[5] = std::byte{0x12}, data[7] = std::byte{0xFF};
  std::uint32_t codes[2];
  CHECK(unpack_block_of(data.data(), l, 16, 1, 2, 0, 0, codes) == 2);
  CHECK(codes[0] == 0x1234);
  CHECK(codes[1] == 0xFF00);
}
