#include <precis/codec/grid/matrix.hpp>

#include <precis/codec/affine.hpp>
#include <precis/codec/min_anchored.hpp>
#include <precis/codec/symmetric.hpp>
#include <precis/core/menu.hpp>

#include "codec/encoded.hpp"

#include "catch.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace precis;
using namespace encoded;
using codec::grid_format;
using codec::grid_rule;
using codec::scale_type;

namespace {

double rne(double v) {  // by the definition, not by the library's trick
  const double below = std::floor(v);
  const double rest = v - below;
  if (rest != 0.5) return rest < 0.5 ? below : below + 1;
  return std::fmod(below, 2.0) == 0 ? below : below + 1;
}

/// The distance between the two floats of a rule around v (docs/methods/scaled_float.md).
double spacing(grid_rule rule, double v) {
  const int mantissa = rule == grid_rule::e4m3 ? 3 : rule == grid_rule::e5m2 ? 2 : 1;
  const int least = rule == grid_rule::e4m3 ? -6 : rule == grid_rule::e5m2 ? -14 : 0;
  int exponent = least;
  if (v != 0) exponent = std::max(least, std::ilogb(v));
  return std::ldexp(1.0, exponent - mantissa);
}
double largest(grid_rule rule) { return rule == grid_rule::e4m3 ? 448 : rule == grid_rule::e5m2 ? 57344 : 6; }

/// The distance between the two decoded values around x.
double step_at(const grid_format& f, const codec::grid& g, float x) {
  const auto s = static_cast<double>(g.scale);
  return f.is_float() ? s * spacing(f.rule, static_cast<double>(x) / s) : s;
}

/// One decoded value, computed in double from the stored grid (docs/methods/affine.md, docs/methods/min_anchored.md).
float oracle(const grid_format& f, const codec::grid& g, float x, double& slack) {
  const double top = f.top_code();
  const double s = static_cast<double>(g.scale);
  slack = 0;
  if (f.has_minimum()) {
    if (s == 0) return g.minimum;
    const double q = (static_cast<double>(x) - static_cast<double>(g.minimum)) / s;
    const double u = std::clamp(f.rule == grid_rule::min_anchored ? rne(q) : std::floor(q), 0.0, top);
    return static_cast<float>(std::fma(u, s, static_cast<double>(g.minimum)));
  }
  const double q = static_cast<double>(x) / s;
  if (f.is_float()) {
    const double gap = spacing(f.rule, q), n = rne(q / gap);
    if (std::abs(std::abs(q / gap - std::floor(q / gap)) - 0.5) < 1e-5) slack = s * gap * 1.000001;
    return static_cast<float>(s * std::clamp(n * gap, -largest(f.rule), largest(f.rule)));
  }
  const double away = std::abs(std::abs(q - std::floor(q)) - 0.5);
  if (f.code_bits <= 8 && away < 1e-5 * std::max(1.0, std::abs(q)))
    slack = s * 1.000001 + 1e-6 * static_cast<double>(std::abs(x));  // the float quotient may cross the tie
  const double u = std::clamp(rne(q) + g.zero_point, 0.0, top);
  return static_cast<float>(s * (u - g.zero_point));
}

const codec::grid& grid_at(const grid_format& f, const std::vector<codec::grid>& grids, std::size_t r, std::size_t c,
                           std::size_t in) {
  return f.group == codec::per_tensor ? grids[0] : grids[r * f.groups_per_row(in) + (f.group >= in ? 0 : c / f.group)];
}

double ulp(float x) {
  const float size = std::abs(x);
  return static_cast<double>(std::nextafter(size, std::numeric_limits<float>::infinity())) - static_cast<double>(size);
}

}  // namespace

static_assert(matrix_codec<codec::affine<4, 32>> && matrix_codec<codec::symmetric<2>> &&
              matrix_codec<codec::min_anchored<24>>);

TEST_CASE("every format decodes to the values of the definition on the stored grids", "[codec][grid][oracle]") {
  const float_matrix w = weights(5, 19);
  for (const grid_format& f : every_format()) {
    CAPTURE(to_string(f));
    const auto packed = bytes_of(f, w.view());
    const auto grids = codec::read_grids(f, packed, 5, 19);
    const float_matrix d = decoded(f, packed, 5, 19);
    for (std::size_t r = 0; r < 5; ++r)
      for (std::size_t c = 0; c < 19; ++c) {
        double slack = 0;
        const float expected = oracle(f, grid_at(f, grids, r, c, 19), w(r, c), slack);
        if (slack == 0)
          REQUIRE(d(r, c) == expected);
        else
          REQUIRE(std::abs(static_cast<double>(d(r, c)) - static_cast<double>(expected)) <= slack);
      }
  }
}

TEST_CASE("no error exceeds half a step (floor: one step), at every width, group and tail", "[codec][grid][property]") {
  for (const std::size_t in : {1u, 7u, 8u, 40u, 41u}) {
    const float_matrix w = weights(4, in, in);
    for (const grid_format& f : every_format()) {
      CAPTURE(to_string(f), in);
      const auto packed = bytes_of(f, w.view());
      const auto grids = codec::read_grids(f, packed, 4, in);
      const float_matrix d = decoded(f, packed, 4, in);
      for (std::size_t r = 0; r < 4; ++r)
        for (std::size_t c = 0; c < in; ++c) {
          const codec::grid& g = grid_at(f, grids, r, c, in);
          const double step = step_at(f, g, w(r, c)) * (f.rule == grid_rule::min_anchored_floor ? 1.0 : 0.5);
          // Up to 8 bits, float32 scales are rounded to nearest, which adds up to 255 steps of 2^-24 each. The quotient
          // and the decoded value are rounded to float once each.
          const double bound = step * (1 + (f.wide() ? 1e-9 : 4 * 0x1.0p-16)) + ulp(d(r, c));
          REQUIRE(std::abs(static_cast<double>(d(r, c)) - static_cast<double>(w(r, c))) <= bound);
        }
    }
  }
}

TEST_CASE("decode_row @post: the bits that decode gives the row", "[codec][grid][property]") {
  for (const std::size_t in : {33u, 7u}) {
    const float_matrix w = weights(18, in, in);  // one whole tile and a part of one
    for (const grid_format& f : every_format()) {
      CAPTURE(to_string(f), in);
      const auto packed = bytes_of(f, w.view());
      const float_matrix all = decoded(f, packed, 18, in);
      for (const std::size_t r : {0u, 5u, 15u, 16u, 17u}) {
        std::vector<float> row(in);
        codec::decode_row(f, packed, 18, r, row);
        REQUIRE(std::ranges::equal(row, all.row(r)));
      }
    }
  }
}

TEST_CASE("zero decodes to exactly zero in every format that keeps zero", "[codec][grid][property]") {
  float_matrix w = weights(3, 33);
  for (std::size_t c = 0; c < 33; c += 2) w(1, c) = 0;
  for (const grid_format& f : every_format()) {
    if (!f.keeps_zero()) continue;
    CAPTURE(to_string(f));
    const float_matrix d = decoded(f, bytes_of(f, w.view()), 3, 33);
    for (std::size_t i = 0; i < w.values.size(); ++i)
      if (w.values[i] == 0) REQUIRE(d.values[i] == 0);
  }
  const auto decoded_with_4_bits =
      decoded(codec::min_anchored<4>::format, bytes_of(codec::min_anchored<4>::format, {example_weights, 1, 5}), 1, 5);
  CHECK(decoded_with_4_bits(0, 2) == Approx(0.026667).epsilon(1e-4));  // min_anchored does not keep zero
}

TEST_CASE("encoding decoded weights on the same grids changes nothing, bit for bit", "[codec][grid][property]") {
  const float_matrix w = weights(4, 43);
  for (const grid_format& f : every_format()) {
    if (f.rule == grid_rule::min_anchored_floor) continue;  // the floor of a rounded product may drop by one more code
    CAPTURE(to_string(f));
    const auto packed = bytes_of(f, w.view());
    const float_matrix once = decoded(f, packed, 4, 43);
    std::vector<std::byte> again(packed.size());
    const auto grids = codec::read_grids(f, packed, 4, 43);
    codec::encode_on_grids(f, once.view(), again, codec::choose_given{grids});
    REQUIRE(decoded(f, again, 4, 43).values == once.values);
    if (!f.wide()) REQUIRE(again == packed);
  }
}

TEST_CASE("strided and transposed weights give the bytes of a contiguous copy, and decode into any strides",
          "[codec][grid][property]") {
  const float_matrix w = weights(9, 21);
  float_matrix turned(21, 9);
  for (std::size_t r = 0; r < 9; ++r)
    for (std::size_t c = 0; c < 21; ++c) turned(c, r) = w(r, c);
  std::vector<float> wide(9 * 50, 7.f);
  const mutable_weight_view spread(wide.data(), 9, 21, 50, 2);
  codec::copy_values(w.view(), spread);

  for (const grid_format& f : every_format()) {
    CAPTURE(to_string(f));
    const auto packed = bytes_of(f, w.view());
    REQUIRE(bytes_of(f, turned.view().transposed()) == packed);
    REQUIRE(bytes_of(f, spread) == packed);
    const float_matrix dense = decoded(f, packed, 9, 21);
    float_matrix into(21, 9);
    codec::decode(f, packed, into.view().transposed());
    for (std::size_t r = 0; r < 9; ++r)
      for (std::size_t c = 0; c < 21; ++c) REQUIRE(into(c, r) == dense(r, c));
  }
}

TEST_CASE("the layout is the documented one, to the bit", "[codec][grid][worked-example]") {
  // Two rows of three weights with 2 bits in groups of two: (0, 3), (2), (2, -1), (4). Scales 1, 2/3, 1, 4/3.
  const std::vector<float> w{0, 3, 2, 2, -1, 4};
  const grid_format f{.rule = grid_rule::affine, .code_bits = 2, .group = 2, .scales = scale_type::float32};
  const auto packed = bytes_of(f, {w, 2, 3});
  REQUIRE(packed.size() == 4 * 4 + 1 + 2);
  const auto float_at = [&](std::size_t at) {
    std::uint32_t bits = 0;
    for (unsigned i = 0; i < 4; ++i) bits |= static_cast<std::uint32_t>(packed[at + i]) << (8 * i);
    return std::bit_cast<float>(bits);
  };
  // One tile of two rows stores the first groups of both rows, then the second groups.
  CHECK(float_at(0) == 1.f);
  CHECK(float_at(4) == 1.f);
  CHECK(float_at(8) == 2.f / 3.f);
  CHECK(float_at(12) == 4.f / 3.f);
  // Zero points 0, 1, 0, 0: 1 << 2. Row 0: codes 0, 3, 3: 3 * 4 + 3 * 16. Row 1: codes 3, 0, 3.
  CHECK(packed[16] == std::byte{0x04});
  CHECK(packed[17] == std::byte{0x3c});
  CHECK(packed[18] == std::byte{0x33});

  // 18 rows of 34 weights, 3 bits, zero points 0: a tile of sixteen rows and one of two, with one block and tails of
  // two codes. Row r, column c holds (r + c) mod 8. Every row contains 0 and 7, so all scales are 1.
  std::vector<float> wide(18 * 34);
  for (std::size_t r = 0; r < 18; ++r)
    for (std::size_t c = 0; c < 34; ++c) wide[r * 34 + c] = static_cast<float>((r + c) % 8);
  const auto tiles = bytes_of(codec::affine<3>::format, {wide, 18, 34});
  REQUIRE(tiles.size() == 18 * 12 + 18 * 4 + 7 + 18);  // blocks, scales, 54 bits of zero points, tails
  const auto word_at = [&](std::size_t at) {
    std::uint32_t bits = 0;
    for (unsigned i = 0; i < 4; ++i) bits |= static_cast<std::uint32_t>(tiles[at + i]) << (8 * i);
    return bits;
  };
  // Row 0, word 0: the low two bits of columns 0 ... 15. Byte 0 holds columns 0, 4, 8, 12: 0, 0, 0, 0; byte 1 columns
  // 1, 5, 9, 13: 1, 1, 1, 1 = 0x55; then 0xaa and 0xff. Word 2: the high bits; byte 0 holds columns 0, 4, ..., 28.
  CHECK(word_at(0) == 0xffaa5500);
  CHECK(word_at(1 * 64) == 0xffaa5500);
  CHECK(word_at(2 * 64) == 0xaaaaaaaa);
  CHECK(word_at(1 * 4) == 0x00ffaa55);           // row 1 is next to it
  CHECK(word_at(2 * 64 + 1 * 4) == 0x55aaaaaa);  // column 3 of row 1 is 4
  CHECK(word_at(3 * 64) == 0xffaa5500);          // row 16 starts the second tile, two rows wide
  CHECK(word_at(3 * 64 + 2 * 2 * 4) == 0xaaaaaaaa);
  CHECK(tiles[18 * 12 + 18 * 4 + 7] == std::byte{0 + (1 << 3)});       // tail of row 0: columns 32 and 33 hold 0, 1
  CHECK(tiles[18 * 12 + 18 * 4 + 7 + 17] == std::byte{1 + (2 << 3)});  // of row 17: 1, 2
}

TEST_CASE("groups of zeros, of equal weights and of negligible weights", "[codec][grid][worked-example]") {
  for (const grid_format& f : every_format()) {
    CAPTURE(to_string(f));
    const std::vector<float> zeros(6, 0.f), tiny(6, 9e-31f);
    CHECK(decoded(f, bytes_of(f, {zeros, 2, 3}), 2, 3).values == zeros);
    const auto near_zero = decoded(f, bytes_of(f, {tiny, 2, 3}), 2, 3).values;
    if (f.keeps_zero()) CHECK(near_zero == zeros);
    if (f.scales == scale_type::float32) {
      for (const float value : {5.f, -5.f, 0.1f, 3e38f}) {
        const std::vector<float> same(6, value);
        const auto d = decoded(f, bytes_of(f, {same, 2, 3}), 2, 3).values;
        // symmetric_full does not reach its ends: it misses them by half a step, max / (2^b - 1).
        const double miss = f.rule == grid_rule::symmetric_full ? std::abs(value) / ((1u << f.code_bits) - 1.0) : 0.0;
        for (const float x : d)
          CHECK(std::abs(static_cast<double>(x) - static_cast<double>(value)) <= miss * 1.001 + 2 * ulp(value));
        if (!f.keeps_zero()) CHECK(d == same);
      }
    }
  }
  // Published quantizers decode a constant 5 to about 1 (EvoPress) and (0.2, 1.0) at 4 bits to (0.2, 0.4667) (GPTQ).
  CHECK(codec::spanning_grid(codec::affine<4>::format, {.lo = 5, .hi = 5}).scale == 5.f / 15.f);
  const std::vector<float> positive{0.2f, 1.f};
  const auto d = decoded(codec::symmetric<4>::format, bytes_of(codec::symmetric<4>::format, {positive, 1, 2}), 1, 2);
  CHECK(d(0, 1) == Approx(1.0));
  CHECK(d(0, 0) == Approx(1.0 / 7));
}

TEST_CASE("ranges that overflow float and the largest floats decode to finite values", "[codec][grid][property]") {
  const float big = std::numeric_limits<float>::max();
  const std::vector<float> w{-big, big, 0.f, big / 3};
  for (const grid_format& f : every_format()) {
    if (f.scales == scale_type::float16) continue;
    CAPTURE(to_string(f));
    const auto packed = bytes_of(f, {w, 1, 4});
    const auto d = decoded(f, packed, 1, 4).values;
    for (std::size_t i = 0; i < 4; ++i) {
      REQUIRE(std::isfinite(d[i]));
      const auto grids = codec::read_grids(f, packed, 1, 4);
      const double step = step_at(f, grid_at(f, grids, 0, i, 4), w[i]);
      CHECK(std::abs(static_cast<double>(d[i]) - static_cast<double>(w[i])) <= step * 1.01);
    }
  }
}

TEST_CASE("quotients at exact halves are rounded to the even code", "[codec][grid][worked-example]") {
  // All scales are 1: x = 0.5, 1.5, 2.5 and their negatives.
  const std::vector<float> w{-7.f, -2.5f, -1.5f, -0.5f, 0.5f, 1.5f, 2.5f, 7.f};
  CHECK(codes(codec::symmetric<4>::format, bytes_of(codec::symmetric<4>::format, {w, 1, 8}), 1, 8, -7) ==
        std::vector<int>{-7, -2, -2, 0, 0, 2, 2, 7});
  // With an odd affine zero point, x / s is rounded before z is added (GPTQ); rounding the sum would give 4, 6, 6, 8,
  // ...
  const std::vector<float> ties{-7.f, -2.5f, -1.5f, -0.5f, 0.5f, 1.5f, 2.5f, 8.f};
  CHECK(codes(codec::affine<4>::format, bytes_of(codec::affine<4>::format, {ties, 1, 8}), 1, 8) ==
        std::vector<int>{0, 5, 5, 7, 7, 9, 9, 15});
}

TEST_CASE("half scales are rounded up before they are used, and take two bytes", "[codec][grid][property]") {
  const float_matrix w = weights(4, 64);
  for (const unsigned bits : {2u, 4u, 8u, 16u}) {
    const grid_format f{.rule = grid_rule::symmetric, .code_bits = bits, .group = 16, .scales = scale_type::float16};
    const auto packed = bytes_of(f, w.view());
    const auto grids = codec::read_grids(f, packed, 4, 64);
    const double q_max = (1u << (bits - 1)) - 1.0;
    for (std::size_t k = 0; k < grids.size(); ++k) {
      const double wanted = [&] {
        double largest = 0;
        for (std::size_t i = 0; i < 16; ++i)
          largest = std::max(largest, std::abs(static_cast<double>(w.values[16 * k + i])));
        return largest / q_max;
      }();
      const double have = static_cast<double>(grids[k].scale);
      CHECK(have >= wanted);
      CHECK(have <= wanted * (1 + 0x1.0p-10) + 0x1.0p-24);
    }
  }
}

TEST_CASE("weights that are not finite are refused by row and column", "[codec][grid][refusal]") {
  const float bad = GENERATE(std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN(),
                             std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity());
  float_matrix w = weights(4, 21);
  w(2, 17) = bad;
  for (const grid_format& f : every_format()) {
    std::vector<std::byte> packed(f.layout_of(4, 21).bytes);
    REQUIRE_THROWS_WITH(codec::encode(f, w.view(), packed),
                        ContainsSubstring("row 2, column 17") && ContainsSubstring(to_string(f)));
    const std::vector<codec::grid> grids(f.groups(4, 21));
    REQUIRE_THROWS_WITH(codec::encode_on_grids(f, w.view(), packed, codec::choose_given{grids}),
                        ContainsSubstring("row 2, column 17"));
  }
}

TEST_CASE("half scales that overflow and buffers of the wrong size are refused", "[codec][grid][refusal]") {
  const std::vector<float> big{1e6f, 0.f};
  std::vector<std::byte> packed(codec::symmetric<4, 2, scale_type::float16>::bytes(1, 2));
  REQUIRE_THROWS_WITH((codec::symmetric<4, 2, scale_type::float16>::encode({big, 1, 2}, packed)),
                      ContainsSubstring("65504"));
  std::vector<std::byte> anchored(codec::min_anchored<4, 2, scale_type::float16>::bytes(1, 2));
  REQUIRE_THROWS_WITH((codec::min_anchored<4, 2, scale_type::float16>::encode({big, 1, 2}, anchored)),
                      ContainsSubstring("65504"));

  std::vector<std::byte> odd(3);
  REQUIRE_THROWS_WITH((codec::symmetric<4, 2>::encode({big, 1, 2}, odd)),
                      ContainsSubstring("3 bytes") && ContainsSubstring("expected 5 bytes"));
  float_matrix into(1, 2);
  REQUIRE_THROWS_WITH((codec::symmetric<4, 2>::decode(odd, into.view())), ContainsSubstring("expected 5 bytes"));
}
