#include <precis/kernel/keep_of_product.hpp>

#include <precis/codec/affine.hpp>
#include <precis/codec/float16.hpp>
#include <precis/codec/scaled_float.hpp>
#include <precis/codec/sparse.hpp>
#include <precis/codec/symmetric.hpp>

#include "packed.hpp"

#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

using namespace precis;
using namespace precis::kernel;
using namespace packed_tests;

namespace {

template<class Lanes>
std::vector<float> by_kernel(const packed_keep_of_grid& m, const std::vector<float>& x, row_range rows = {}) {
  std::vector<float> y(m.values.out, -77.f);
  matvec<Lanes>(m, x, y, rows);
  return y;
}

template<class Packed>
void check_rows(const Packed& m, const float_matrix& decoded) {
  std::vector<float> row(decoded.cols);
  for (std::size_t r = 0; r < decoded.rows; ++r) {
    decode_row(m, r, row);
    CHECK(std::ranges::equal(row, decoded.view().row(r)));
  }
}

template<std::size_t Keep, std::size_t Group, class Values>
void check(std::size_t out, std::size_t in) {
  using codec_type = codec::keep_of<Keep, Group, Values>;
  CAPTURE(codec_type::name(), out, in);
  const auto w = normal(out * in, out + in), x = normal(in, 7);
  std::vector<std::byte> packed(codec_type::bytes(out, in));
  codec_type::encode({w, out, in}, packed);
  float_matrix decoded(out, in);
  codec_type::decode(packed, decoded.view());
  const std::size_t places = codec_type::place_bytes(out, in);
  const packed_keep_of_grid m{
      codec_type::columns, packed.data(), {Values::format, packed.data() + places, out, codec_type::kept(in)}, in};
  check_rows(m, decoded);
  const auto expected = by_kernel<scalar_code_lanes>(m, x);
  for (std::size_t r = 0; r < out; ++r) {
    double exact = 0, size = 0;
    for (std::size_t c = 0; c < in; ++c) {
      exact += static_cast<double>(decoded.view()(r, c)) * static_cast<double>(x[c]);
      size += std::abs(static_cast<double>(x[c]));
    }
    // Weights are below 6, codes times scales below 12; one rounding per weight of a lane, plus a few per segment.
    CAPTURE(r);
    CHECK(std::abs(static_cast<double>(expected[r]) - exact) <= 60 * 0x1.0p-24 * 12 * size);
  }
  for_every_lanes([&](auto lanes) {
    CHECK(same_bits(by_kernel<decltype(lanes)>(m, x), expected));
    if (out <= 16) return;
    const std::size_t last = out - 2;  // inside a tile
    const auto part = by_kernel<decltype(lanes)>(m, x, {16, last});
    for (std::size_t r = 0; r < out; ++r) CHECK(part[r] == (r < 16 || r >= last ? -77.f : expected[r]));
  });
}

}  // namespace

TEST_CASE("keep_of matvec: the product with the decoded matrix; @post: all lanes and ranges of rows give equal bits",
          "[kernel][keep_of][property]") {
  for (const auto& [out, in] :
       {std::pair<std::size_t, std::size_t>{16, 64}, {37, 300}, {3, 7}, {48, 515}, {1, 160}, {20, 2}}) {
    check<2, 4, codec::affine<4, 32>>(out, in);
    check<2, 4, codec::symmetric<8, codec::per_row, codec::scale_type::float16>>(out, in);
    check<4, 8, codec::affine<3, 64, codec::scale_type::float16>>(out, in);
    check<1, 3, codec::e4m3<codec::per_tensor>>(out, in);
    check<5, 100, codec::symmetric_full<16, 32>>(out, in);
    check<30, 200, codec::symmetric<5, 128>>(out, in);
    check<1, 256, codec::e2m1<32>>(out, in);
  }
}

TEST_CASE("keep_of matvec by hand", "[kernel][keep_of][worked-example]") {
  // Row 0 keeps 3 and -7 of its first four, 1 and 2 of its second; symmetric4 with scale 1.
  const std::vector<float> w{0, 3, 0, -7, 1, 0, 2, 0}, x{10, 20, 30, 40, 50, 60, 70, 80};
  using codec_type = codec::keep_of<2, 4, codec::symmetric<4, codec::per_row>>;
  std::vector<std::byte> packed(codec_type::bytes(1, 8));
  codec_type::encode({w, 1, 8}, packed);
  const packed_keep_of_grid m{
      codec_type::columns, packed.data(), {codec::symmetric<4>::format, packed.data() + 1, 1, 4}, 8};
  CHECK(by_kernel<native_code_lanes>(m, x) == std::vector<float>{60 - 280 + 50 + 140});
}

TEST_CASE("matvec of keep_of with dense values by hand", "[kernel][keep_of][worked-example]") {
  // Keeps 3 and -7 of the first four weights, 1 and 2 of the others.
  const std::vector<float> w{0, 3, 0, -7, 1, 0, 2, 0}, x{10, 20, 30, 40, 50, 60, 70, 80};
  std::vector<float> y(1);
  using codec_type = codec::keep_of<2, 4, codec::float16>;
  std::vector<std::byte> packed(codec_type::bytes(1, 8));
  codec_type::encode({w, 1, 8}, packed);
  matvec(packed_keep_of_dense{codec_type::columns, packed.data(), {dense_type::float16, packed.data() + 1, 1, 4}, 8}, x,
         y);
  CHECK(y == std::vector<float>{60 - 280 + 50 + 140});
}
