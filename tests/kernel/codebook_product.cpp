#include <precis/kernel/codebook_product.hpp>

#include <precis/codec/codebook.hpp>

#include "packed.hpp"

#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

using namespace precis;
using namespace precis::kernel;
using namespace packed_tests;

namespace {

/// y by the definition in the header, from the decoded matrix.
std::vector<float> definition(const float_matrix& w, const std::vector<float>& x) {
  std::vector<float> y(w.rows);
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t first = 0; first < x.size(); first += codebook_segment) {
      float lane[4] = {};
      for (std::size_t c = first; c < std::min(x.size(), first + codebook_segment); ++c)
        lane[c % 4] = std::fma(w.view()(r, c), x[c], lane[c % 4]);
      y[r] += (lane[0] + lane[1]) + (lane[2] + lane[3]);
    }
  return y;
}

template<class Lanes>
std::vector<float> by_kernel(const packed_codebook& m, const std::vector<float>& x, row_range rows = {}) {
  std::vector<float> workspace(float_activation_workspace(x.size(), codebook_segment)), y(m.out, -77.f);
  matvec<Lanes>(m, as_floats<typename Lanes::floats>(x, codebook_segment, workspace), y, rows);
  return y;
}

template<class Codec>
void check(std::size_t out, std::size_t in) {
  CAPTURE(Codec::name(), out, in);
  const auto w = normal(out * in, out + in), x = normal(in, 7);
  std::vector<std::byte> packed(Codec::bytes(out, in));
  Codec::encode({w, out, in}, packed);
  float_matrix decoded(out, in);
  Codec::decode(packed, decoded.view());
  const auto expected = definition(decoded, x);
  const packed_codebook m{Codec::format, packed.data(), out, in};
  std::vector<float> row(in);
  for (std::size_t r = 0; r < out; ++r) {
    decode_row(m, r, row);
    CHECK(std::ranges::equal(row, decoded.view().row(r)));
  }
  for_every_lanes([&](auto lanes) {
    CHECK(same_bits(by_kernel<decltype(lanes)>(m, x), expected));
    if (out <= 16) return;
    const std::size_t last = out - 2;  // inside a tile
    const auto part = by_kernel<decltype(lanes)>(m, x, {16, last});
    for (std::size_t r = 0; r < out; ++r) CHECK(part[r] == (r < 16 || r >= last ? -77.f : expected[r]));
  });
  const std::size_t vectors = 11, stride = out + 3;  // more than share a lookup
  std::vector<std::vector<float>> several, workspaces;
  std::vector<float_activations> all;
  for (std::size_t n = 0; n < vectors; ++n) {
    several.push_back(normal(in, 7 + n));
    workspaces.emplace_back(float_activation_workspace(in, codebook_segment));
    all.push_back(as_floats<scalar_lanes>(several[n], codebook_segment, workspaces[n]));
  }
  for_every_lanes([&](auto lanes) {
    std::vector<float> y(vectors * stride, -77.f);
    const std::size_t first = out > 16 ? 16 : 0;
    packed_product<decltype(lanes)>(m, all, y, static_cast<std::ptrdiff_t>(stride), {first, out});
    for (std::size_t n = 0; n < vectors; ++n) {
      const auto of_one = by_kernel<scalar_code_lanes>(m, several[n]);
      for (std::size_t r = 0; r < stride; ++r) CHECK(y[n * stride + r] == (r < first || r >= out ? -77.f : of_one[r]));
    }
  });
}

}  // namespace

TEST_CASE("codebook matvec @post: all lanes, ranges of rows and several vectors give the bits of the definition",
          "[kernel][codebook][property]") {
  using enum scale_type;
  for (const auto& [out, in] : {std::pair<std::size_t, std::size_t>{16, 32}, {37, 300}, {3, 7}, {48, 128}, {1, 160}}) {
    check<codec::codebook<2>>(out, in);
    check<codec::codebook<3, per_tensor, float16>>(out, in);
    check<codec::codebook<4>>(out, in);
    check<codec::codebook<5, per_row>>(out, in);
    check<codec::codebook_with_zero<6, per_row, float16>>(out, in);
    check<codec::codebook<7>>(out, in);
    check<codec::codebook<8, per_row>>(out, in);
    check<codec::codebook<4, per_row>>(out, in);
  }
}
