#include <precis/kernel/matvec.hpp>

#include "packed.hpp"

#include "catch.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

using namespace precis;
using namespace precis::kernel;
using namespace packed_tests;

namespace {

/// The columns of one segment of x, and their byte codes.
struct segment_of_x {
  std::size_t first = 0;
  std::size_t count = 0;
  float sum = 0;    // of x, or of the codes
  float scale = 1;  // of bytes
  std::vector<int> codes;
};

/// The value of a stored code before scaling.
float value_of(const grid_format& f, std::uint32_t wide) {
  const auto code = static_cast<std::uint8_t>(wide);
  if (f.rule == grid_rule::e4m3) return float8_e4m3::decode(code);
  if (f.rule == grid_rule::e5m2) return float8_e5m2::decode(code);
  if (f.rule == grid_rule::e2m1) return float4_e2m1::decode(code);
  if (f.is_power() && code == (1u << f.code_bits) - 1) return 0;
  if (f.rule == grid_rule::log2) return std::exp2(-static_cast<float>(code));
  if (f.rule == grid_rule::log_sqrt2) return static_cast<float>(std::exp2(-0.5 * code));
  return static_cast<float>(wide);
}

std::vector<segment_of_x> parts_of(const std::vector<float>& x, std::size_t segment, bool bytes) {
  std::vector<segment_of_x> parts;
  for (std::size_t first = 0; first < x.size(); first += segment) {
    segment_of_x p{.first = first, .count = std::min(segment, x.size() - first), .sum = 0, .scale = 1, .codes = {}};
    if (bytes) {
      float top = 0;
      for (std::size_t c = 0; c < p.count; ++c) top = std::max(top, std::abs(x[first + c]));
      const float factor = top < 1e-30f ? 0.f : 127.f / top;
      p.scale = top < 1e-30f ? 0.f : top / 127.f;
      int sum = 0;
      for (std::size_t c = 0; c < p.count; ++c) {
        // The product of two floats is exact in double; it is rounded to the nearest integer, ties to even.
        p.codes.push_back(
            static_cast<int>(std::nearbyint(static_cast<double>(x[first + c]) * static_cast<double>(factor))));
        sum += p.codes.back();
      }
      p.sum = static_cast<float>(sum);
    } else {
      float lane[16] = {};
      for (std::size_t c = 0; c < segment; ++c) lane[c % 16] += c < p.count ? x[first + c] : 0.f;
      for (std::size_t half : {8u, 4u, 2u, 1u})
        for (std::size_t l = 0; l < half; ++l) lane[l] += lane[l + half];
      p.sum = lane[0];
    }
    parts.push_back(p);
  }
  return parts;
}

/// y by the definition in the header, from the codes and grids that the codec decodes.
std::vector<float> definition(const grid_format& f, std::span<const std::byte> packed, std::size_t out,
                              const std::vector<float>& x, bool bytes) {
  const std::size_t in = x.size(), segment = segment_of(f, in);
  const auto grids = codec::read_grids(f, packed, out, in);
  const auto parts = parts_of(x, segment, bytes);
  std::vector<float> y(out);
  std::vector<std::uint32_t> codes(in);
  for (std::size_t r = 0; r < out; ++r) {
    codec::read_codes(f, packed, out, r, std::span<std::uint32_t>(codes));
    float total = 0;
    for (const segment_of_x& p : parts) {
      const std::size_t group =
          f.group == per_tensor ? 0 : r * f.groups_per_row(in) + (f.group >= in ? 0 : p.first / f.group);
      const codec::grid& g = grids[group];
      float product = 0, zero_point = static_cast<float>(g.zero_point);
      if (bytes && f.rule == grid_rule::e2m1) zero_point = 6;
      if (bytes && !f.wide() && (!f.is_float() || f.rule == grid_rule::e2m1)) {
        double sum = 0;  // exact: at most 128 products of 15 bits
        for (std::size_t c = 0; c < p.count; ++c)
          sum += (static_cast<double>(value_of(f, codes[p.first + c])) + (f.is_float() ? 6 : 0)) * p.codes[c];
        product = static_cast<float>(sum);
      } else {
        float lane[4] = {};
        for (std::size_t c = 0; c < p.count; ++c)
          lane[c % 4] = std::fma(value_of(f, codes[p.first + c]),
                                 bytes ? static_cast<float>(p.codes[c]) : x[p.first + c], lane[c % 4]);
        // Columns beyond the last count as zeros: fma(0, 0, lane) equals lane, except for the sign of a zero.
        product = (lane[0] + lane[1]) + (lane[2] + lane[3]);
      }
      if (!f.has_minimum()) product = std::fma(-zero_point, p.sum, product);
      const float scale = bytes ? g.scale * p.scale : g.scale;
      total = std::fma(scale, product, total);
      if (f.has_minimum()) total = std::fma(g.minimum, bytes ? p.sum * p.scale : p.sum, total);
    }
    y[r] = total;
  }
  return y;
}

template<class Lanes>
std::vector<float> by_kernel(const grid_format& f, std::span<const std::byte> packed, std::size_t out,
                             const std::vector<float>& x, bool bytes, row_range rows = {}) {
  const std::size_t segment = segment_of(f, x.size());
  std::vector<float> y(out, -77.f);
  const packed_grid m{f, packed.data(), out, x.size()};
  if (bytes) {
    std::vector<float> workspace(byte_activation_workspace(x.size(), segment));
    matvec<Lanes>(m, as_bytes<Lanes>(x, segment, workspace), y, rows);
  } else {
    std::vector<float> workspace(float_activation_workspace(x.size(), segment));
    matvec<Lanes>(m, as_floats<typename Lanes::floats>(x, segment, workspace), y, rows);
  }
  return y;
}

constexpr grid_format listed(unsigned bits, grid_rule rule = grid_rule::symmetric) {
  return {.rule = rule, .code_bits = bits};
}

}  // namespace

TEST_CASE("matvec @post: all lanes give equal bits, those of the definition", "[kernel][matvec][property]") {
  struct shape {
    std::size_t out, in;
  };
  // One tile, three tiles, two and a half; fewer rows than a tile; column tails shorter and longer than a block.
  for (const shape s : {shape{16, 128}, shape{48, 256}, shape{40, 160}, shape{3, 37}, shape{33, 300}, shape{1, 1},
                        shape{18, 223}, shape{17, 700}})
    for (const grid_format& f : every_packed_format()) {
      const auto packed = packed_of(f, s.out, s.in);
      const auto x = normal(s.in, 7);
      for (const bool bytes : {false, true}) {
        const auto expected = definition(f, packed, s.out, x, bytes);
        for_every_lanes([&](auto lanes) {
          CAPTURE(codec::to_string(f), s.out, s.in, bytes, decltype(lanes)::rows);
          REQUIRE(same_bits(by_kernel<decltype(lanes)>(f, packed, s.out, x, bytes), expected));
        });
      }
    }
}

TEST_CASE("matvec @post: all lanes give equal bits, those of the definition, for every small shape",
          "[kernel][matvec][property]") {
  // Every number of rows up to two tiles and every column up to two blocks, then those around the segments' ends: every
  // length of a tail, alone and after whole blocks. Buffers have exactly the bytes that the format implies.
  const grid_format formats[] = {
      {.rule = grid_rule::affine, .code_bits = 3, .group = 32, .scales = scale_type::float16},
      {.rule = grid_rule::symmetric, .code_bits = 4, .group = per_row, .scales = scale_type::float32},
      {.rule = grid_rule::min_anchored, .code_bits = 5, .group = 64, .scales = scale_type::float16},
      {.rule = grid_rule::affine, .code_bits = 7, .group = per_tensor, .scales = scale_type::float32},
      {.rule = grid_rule::e4m3, .code_bits = 8, .group = 32, .scales = scale_type::float32},
      {.rule = grid_rule::e2m1, .code_bits = 4, .group = 128, .scales = scale_type::float16}};
  std::vector<std::size_t> columns;
  for (std::size_t in = 1; in <= 70; ++in) columns.push_back(in);
  for (std::size_t in = 126; in <= 162; ++in) columns.push_back(in);
  for (const grid_format& f : formats)
    for (const std::size_t in : columns) {
      const auto x = normal(in, 7);
      for (std::size_t out = 1; out <= 33; ++out) {
        if (in > 70 && out % 4 != 1) continue;
        const auto packed = packed_of(f, out, in);
        for (const bool bytes : {false, true}) {
          const auto expected = definition(f, packed, out, x, bytes);
          for_every_lanes([&](auto lanes) {
            if (same_bits(by_kernel<decltype(lanes)>(f, packed, out, x, bytes), expected)) return;
            CAPTURE(codec::to_string(f), out, in, bytes, decltype(lanes)::rows);
            FAIL();
          });
        }
      }
    }
}

TEST_CASE("matvec @post: all lanes give equal bits, those of the definition, for numbers of very different sizes",
          "[kernel][matvec][property]") {
  // Lanes without an instruction for fma add such products one by one.
  for (const std::size_t in : {std::size_t{128}, std::size_t{45}, std::size_t{300}})
    for (const grid_format& f : every_packed_format()) {
      const auto packed = packed_of(f, 20, in);
      auto x = normal(in, 7);
      for (std::size_t c = 0; c < in; ++c) x[c] = std::ldexp(x[c], static_cast<int>(c * 37 % 181) - 90);
      const auto expected = definition(f, packed, 20, x, false);
      for_every_lanes([&](auto lanes) {
        CAPTURE(codec::to_string(f), in, decltype(lanes)::rows);
        REQUIRE(same_bits(by_kernel<decltype(lanes)>(f, packed, 20, x, false), expected));
      });
    }
}

TEST_CASE("matvec of floats is the product with the decoded matrix, up to float rounding", "[kernel][matvec][oracle]") {
  constexpr std::size_t out = 20, in = 700;
  const auto x = normal(in, 3);
  for (const grid_format& f : every_packed_format()) {
    const auto packed = packed_of(f, out, in);
    std::vector<float> w(out * in);
    codec::decode(f, packed, {w.data(), out, in, in, 1});
    const auto grids = codec::read_grids(f, packed, out, in);
    const auto y = by_kernel<native_code_lanes>(f, packed, out, x, false);
    for (std::size_t r = 0; r < out; ++r) {
      double exact = 0, size = 0;
      for (std::size_t c = 0; c < in; ++c) {
        exact += static_cast<double>(w[r * in + c]) * static_cast<double>(x[c]);
        const auto& g = grids[f.group == per_tensor ? 0 : r * f.groups_per_row(in) + (f.group >= in ? 0 : c / f.group)];
        size += std::abs(static_cast<double>(x[c])) *
                (static_cast<double>(g.scale) * (f.is_float() ? 57344 : f.top_code()) +
                 std::abs(static_cast<double>(g.minimum)));
      }
      // 32 terms per lane and the tree, the product of the zero point, then a sum over at most 22 segments: 60
      // roundings of partial sums that are below sum |scale code x|.
      CAPTURE(codec::to_string(f), r);
      REQUIRE(std::abs(static_cast<double>(y[r]) - exact) <= 60 * 0x1.0p-24 * size);
    }
  }
}

TEST_CASE("matvec with bytes: a product of integers by hand", "[kernel][matvec][worked-example]") {
  // symmetric4.g32, one group: the largest weight 7 gives scale 1, the largest |x| 127 gives scale 1, so nothing is
  // rounded.
  std::vector<float> w(2 * 32, 0.f), x(32, 0.f);
  w[0] = 7, w[1] = -3, w[31] = 2;
  w[32] = -7, w[40] = 5;
  x[0] = 127, x[1] = -10, x[8] = 3, x[31] = 50;
  const grid_format f{.rule = grid_rule::symmetric, .code_bits = 4, .group = 32, .scales = scale_type::float32};
  std::vector<std::byte> packed(f.layout_of(2, 32).bytes);
  codec::encode(f, {w, 2, 32}, packed);
  for_every_lanes([&](auto lanes) {
    for (const bool bytes : {false, true}) {
      const auto y = by_kernel<decltype(lanes)>(f, packed, 2, x, bytes);
      CHECK(y[0] == 7 * 127 + 3 * 10 + 2 * 50);
      CHECK(y[1] == -7 * 127 + 5 * 3);
    }
  });
}

TEST_CASE("matvec @post: any range of rows gives the same bits as the whole, and only these rows are written",
          "[kernel][matvec][property]") {
  constexpr std::size_t out = 90, in = 96;
  const auto x = normal(in, 5);
  const grid_format f{.rule = grid_rule::affine, .code_bits = 4, .group = 32, .scales = scale_type::float16};
  const auto packed = packed_of(f, out, in);
  for_every_lanes([&](auto lanes) {
    for (const bool bytes : {false, true}) {
      const auto whole = by_kernel<decltype(lanes)>(f, packed, out, x, bytes);
      for (const row_range rows :
           {row_range{0, 16}, row_range{16, 64}, row_range{48, 90}, row_range{80, 1000}, row_range{}, row_range{0, 5},
            row_range{32, 57}, row_range{80, 83}}) {  // the last three end inside a tile
        const auto part = by_kernel<decltype(lanes)>(f, packed, out, x, bytes, rows);
        CAPTURE(decltype(lanes)::rows, bytes, rows.first, rows.last);
        for (std::size_t r = 0; r < out; ++r) REQUIRE(part[r] == (r >= rows.first && r < rows.last ? whole[r] : -77.f));
      }
    }
  });
}

TEST_CASE("matvec of listed formats @post: equal bit for bit to the matvec of all formats",
          "[kernel][matvec][property]") {
  constexpr std::size_t out = 40, in = 100;
  const auto x = normal(in, 11);
  const auto multiply = [](const packed_grid& m, const auto& activations, std::span<float> y) {
    matvec<listed(2), listed(4, grid_rule::e2m1), listed(16), listed(24), listed(3), listed(4), listed(5),
           listed(8, grid_rule::e5m2), listed(6), listed(7), listed(8, grid_rule::e4m3), listed(8),
           listed(3, grid_rule::log2), listed(4, grid_rule::log2), listed(3, grid_rule::log_sqrt2),
           listed(4, grid_rule::log_sqrt2)>(m, activations, y);
  };
  for (const grid_format& f : every_packed_format()) {
    CAPTURE(codec::to_string(f));
    const auto packed = packed_of(f, out, in);
    const packed_grid m{f, packed.data(), out, in};
    const std::size_t segment = segment_of(f, in);
    std::vector<float> floating(float_activation_workspace(in, segment)), bytes(byte_activation_workspace(in, segment));
    std::vector<float> y(out, -77.f);
    multiply(m, as_floats(x, segment, floating), y);
    CHECK(same_bits(y, by_kernel<native_code_lanes>(f, packed, out, x, false)));
    multiply(m, as_bytes(x, segment, bytes), y);
    CHECK(same_bits(y, by_kernel<native_code_lanes>(f, packed, out, x, true)));
  }
}
