#include <precis/kernel/grouped_product.hpp>

#include <precis/kernel/dense.hpp>

#include "packed.hpp"

#include "catch.hpp"

#include <cmath>
#include <cstring>

using namespace precis;
using namespace precis::kernel;
using namespace packed_tests;

namespace {

/// The weights by the definition in the header, from the codes and grids of the codec.
std::vector<float> weights_of(const grid_format& f, const std::vector<std::byte>& packed, std::size_t out,
                              std::size_t in) {
  std::vector<float> w(out * in);
  codec::decode(f, packed, {w, out, in});
  if (!f.has_minimum()) return w;
  const auto grids = codec::read_grids(f, packed, out, in);
  std::vector<std::uint32_t> wide(in);
  std::vector<std::uint8_t> codes(in);
  for (std::size_t r = 0; r < out; ++r) {
    if (f.wide())
      codec::read_codes(f, packed, out, r, std::span(wide));
    else
      codec::read_codes(f, packed, out, r, std::span(codes));
    for (std::size_t c = 0; c < in; ++c) {
      const codec::grid& g = grids[r * f.groups_per_row(in) + c / f.group];
      w[r * in + c] = std::fma(static_cast<float>(f.wide() ? wide[c] : codes[c]), g.scale, g.minimum);
    }
  }
  return w;
}

void check(const grid_format& f, std::size_t out, std::size_t in) {
  CAPTURE(codec::to_string(f), out, in);
  const auto packed = packed_of(f, out, in);
  const auto w = weights_of(f, packed, out, in), x = normal(in, 5);
  std::vector<std::byte> bytes(w.size() * 4);
  std::memcpy(bytes.data(), w.data(), bytes.size());
  std::vector<float> expected(out);
  matvec<scalar_code_lanes>(dense_matrix{dense_type::float32, bytes.data(), out, in}, x, expected);
  const packed_grid m{f, packed.data(), out, in};
  for_every_lanes([&](auto lanes) {
    std::vector<float> y(out, -77.f);
    grouped_product<decltype(lanes)>(m, x, y);
    CHECK(same_bits(y, expected));
    if (out <= 16) return;
    std::fill(y.begin(), y.end(), -77.f);
    grouped_product<decltype(lanes)>(m, x, y, {16, out});
    for (std::size_t r = 0; r < out; ++r) CHECK(y[r] == (r < 16 ? -77.f : expected[r]));
  });
}

}  // namespace

TEST_CASE("grouped_product equals the dense product of the weights, for groups of any length", "[kernel][property]") {
  for (grid_format f : every_packed_format()) {
    if (f.group != 32) continue;  // each of the others once
    for (const std::size_t group : {1u, 5u, 16u, 20u, 48u, 160u}) {
      f.group = group;
      check(f, 21, 170);
    }
  }
  grid_format f{.rule = grid_rule::affine, .code_bits = 3, .group = 20, .scales = scale_type::float16};
  for (const std::size_t out : {1u, 15u, 16u, 32u, 33u})
    for (const std::size_t in : {21u, 32u, 33u, 64u, 100u}) check(f, out, in);
}
