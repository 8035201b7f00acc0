#include <precis/kernel/prepared_vector.hpp>

#include "packed.hpp"

#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

using namespace precis;
using namespace precis::kernel;
using namespace packed_tests;

TEST_CASE("as_floats: sums per segment, and the last segment padded with zeros",
          "[kernel][prepared_vector][worked-example]") {
  // 1 ... 70 in segments of 32: 1 + ... + 32 = 528, 33 + ... + 64 = 1552, 65 + ... + 70 = 405. All partial sums are
  // integers, so nothing is rounded.
  std::vector<float> x(70);
  for (std::size_t c = 0; c < 70; ++c) x[c] = static_cast<float>(c + 1);
  for_every_lanes([&](auto lanes) {
    std::vector<float> workspace(float_activation_workspace(70, 32));
    const float_activations a = as_floats<typename decltype(lanes)::floats>(x, 32, workspace);
    CHECK(a.values == x.data());
    CHECK((a.in == 70 && a.segment == 32));
    CHECK(std::vector<float>(a.sums, a.sums + 3) == std::vector<float>{528, 1552, 405});
    for (std::size_t c = 0; c < 32; ++c) CHECK(a.last_values[c] == (c < 6 ? x[64 + c] : 0.f));
  });
}

TEST_CASE("as_floats adds lanes 16 columns apart in order, then as a tree",
          "[kernel][prepared_vector][worked-example]") {
  // Floats above 2^24 are even, and 2^24 + 1 is rounded to 2^24. Lane 0 (columns 0 and 16) loses the 1; lanes 1 and 9
  // are added to 2 before lane 0 meets them. Added one by one, in order, all three would be lost.
  std::vector<float> x(32);
  x[0] = 0x1p24f, x[16] = 1, x[1] = 1, x[9] = 1;
  for_every_lanes([&](auto lanes) {
    std::vector<float> workspace(float_activation_workspace(32, 32));
    CHECK(as_floats<typename decltype(lanes)::floats>(x, 32, workspace).sums[0] == 0x1p24f + 2);
  });
}

TEST_CASE("as_bytes by hand: scale, codes with ties to even, and the sum of the codes",
          "[kernel][prepared_vector][worked-example]") {
  // The largest magnitude is 127, so the scale is 1. The second segment holds 0 only.
  std::vector<float> x(40, 0.f);
  x[0] = -127, x[1] = 2.5f, x[2] = 3.5f, x[3] = -0.5f, x[31] = 100.4f;
  for_every_lanes([&](auto lanes) {
    std::vector<float> workspace(byte_activation_workspace(40, 32));
    const byte_activations a = as_bytes<decltype(lanes)>(x, 32, workspace);
    CHECK(std::vector<float>(a.scales, a.scales + 2) == std::vector<float>{1, 0});
    CHECK(std::vector<float>(a.sums, a.sums + 2) == std::vector<float>{-127 + 2 + 4 + 0 + 100, 0});
    std::vector<int> expected(64);  // whole blocks
    expected[0] = -127, expected[1] = 2, expected[2] = 4, expected[31] = 100;
    CHECK(std::vector<int>(a.codes, a.codes + 64) == expected);
  });
}

TEST_CASE("as_bytes @post: all lanes give equal bits", "[kernel][prepared_vector][property]") {
  for (const std::size_t in : {1u, 32u, 45u, 300u, 4096u})
    for (const std::size_t segment : {32u, 96u, 128u}) {
      const auto x = normal(in, in);
      std::vector<float> scalar(byte_activation_workspace(in, segment));
      static_cast<void>(as_bytes<scalar_code_lanes>(x, segment, scalar));
      for_every_lanes([&](auto lanes) {
        std::vector<float> workspace(scalar.size());  // scales, sums and codes
        static_cast<void>(as_bytes<decltype(lanes)>(x, segment, workspace));
        CAPTURE(in, segment, decltype(lanes)::rows);
        CHECK(same_bits(workspace, scalar));
      });
    }
}

TEST_CASE("as_bytes @post: |x - scale code| <= scale / 2, and zeros stay zeros",
          "[kernel][prepared_vector][property]") {
  for (const std::size_t in : {1u, 31u, 32u, 33u, 128u, 200u}) {
    auto x = normal(in, in);
    x[in / 2] = 0;
    if (in == 200)
      for (std::size_t c = 64; c < 96; ++c) x[c] = 1e-33f;  // a segment that counts as zero
    for (const std::size_t segment : {32u, 128u}) {
      for_every_lanes([&](auto lanes) {
        std::vector<float> workspace(byte_activation_workspace(in, segment));
        const byte_activations a = as_bytes<decltype(lanes)>(x, segment, workspace);
        for (std::size_t c = 0; c < in; ++c) {
          const float scale = a.scales[c / segment];
          const double back = static_cast<double>(scale) * a.codes[c];
          // The factor 127 / max and the scale max / 127 are rounded once each, which amounts to 127 * 2^-23 of a step.
          REQUIRE(std::abs(back - static_cast<double>(x[c])) <=
                  static_cast<double>(scale) * (0.5 + 127 * 0x1.0p-22) + 1e-30);
          if (x[c] == 0) REQUIRE(a.codes[c] == 0);
        }
        for (std::size_t c = in; c < (in + 31) / 32 * 32; ++c) REQUIRE(a.codes[c] == 0);
      });
    }
  }
}

TEST_CASE("segment_of: groups of whole blocks, at most 128 columns", "[kernel][prepared_vector][worked-example]") {
  const auto of = [](std::size_t group, std::size_t in, unsigned bits = 4) {
    return segment_of({.rule = grid_rule::affine, .code_bits = bits, .group = group, .scales = scale_type::float32},
                      in);
  };
  CHECK(of(32, 4096) == 32);
  CHECK(of(64, 4096) == 64);
  CHECK(of(96, 4096) == 96);
  CHECK(of(128, 4096) == 128);
  CHECK(of(512, 4096) == 128);
  CHECK(of(per_row, 4096) == 128);
  CHECK(of(per_tensor, 4096) == 128);
  CHECK(of(48, 4096) == 0);  // half a block
  CHECK(of(160, 4096) == 0);
  CHECK(of(48, 40) == 128);  // one group for the row
  CHECK(of(32, 4096, 16) == 32);
}
