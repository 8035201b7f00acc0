#include <precis/kernel/expanded_product.hpp>

#include <precis/codec/affine.hpp>
#include <precis/codec/float16.hpp>
#include <precis/codec/scaled_float.hpp>
#include <precis/codec/sparse.hpp>
#include <precis/codec/symmetric.hpp>
#include <precis/kernel/bitmap_product.hpp>
#include <precis/kernel/keep_of_product.hpp>

#include "packed.hpp"

#include "catch.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

using namespace precis;
using namespace precis::kernel;
using namespace packed_tests;

namespace {

template<class Packed>
void check_rows(const Packed& m, const float_matrix& decoded) {
  std::vector<float> row(decoded.cols);
  for (std::size_t r = 0; r < decoded.rows; ++r) {
    decode_row(m, r, row);
    CHECK(std::ranges::equal(row, decoded.view().row(r)));
  }
}

/// A matrix encoded by a codec, and the products of the decoded matrix and x, computed as a dense matrix.
template<class Codec>
struct expanded {
  static constexpr std::size_t vectors = 11;  // more than are multiplied at a time
  std::vector<std::vector<float>> x, expected;
  std::vector<std::byte> packed;
  float_matrix decoded;

  expanded(std::size_t out, std::size_t in) : packed(Codec::bytes(out, in)), decoded(out, in) {
    const auto w = normal(out * in, out + in);
    Codec::encode({w, out, in}, packed);
    Codec::decode(packed, decoded.view());
    std::vector<std::byte> dense(out * in * 4);
    codec::float32::encode(decoded.view(), dense);
    for (std::size_t n = 0; n < vectors; ++n) {
      x.push_back(normal(in, 7 + n));
      expected.emplace_back(out);
      matvec<scalar_code_lanes>(dense_matrix{dense_type::float32, dense.data(), out, in}, x[n], expected[n]);
    }
  }

  template<class Packed>
  void check(const Packed& m) const {
    const std::size_t out = decoded.rows;
    const std::vector<std::span<const float>> all(x.begin(), x.end());
    for_every_lanes([&](auto lanes) {
      std::vector<float> y(out, -77.f), part(out, -77.f);
      matvec<decltype(lanes)>(m, x[0], y);
      CHECK(same_bits(y, expected[0]));
      matvec<decltype(lanes)>(m, x[0], part, {out / 2, out});
      for (std::size_t r = 0; r < out; ++r) CHECK(part[r] == (r < out / 2 ? -77.f : expected[0][r]));
      for (const std::size_t count : {std::size_t{2}, vectors}) {
        std::vector<float> several(count * (out + 3), -77.f);
        packed_product<decltype(lanes)>(m, std::span(all).first(count), several, static_cast<std::ptrdiff_t>(out + 3));
        for (std::size_t n = 0; n < count; ++n) {
          const auto at = several.begin() + static_cast<std::ptrdiff_t>(n * (out + 3));
          CHECK(same_bits({at, at + static_cast<std::ptrdiff_t>(out)}, expected[n]));
          CHECK(at[static_cast<std::ptrdiff_t>(out)] == -77.f);
        }
      }
    });
    check_rows(m, decoded);
  }
};

template<class Values>
auto values_at(const std::byte* at, std::size_t out, std::size_t in) {
  if constexpr (std::is_same_v<decltype(Values::format), const dense_type>)
    return dense_matrix{Values::format, at, out, in};
  else
    return packed_grid{Values::format, at, out, in};
}

template<unsigned Kept_percent, class Values>
void check_bitmap(std::size_t out, std::size_t in) {
  using codec_type = codec::bitmap<Kept_percent, Values>;
  CAPTURE(codec_type::name(), out, in);
  const expanded<codec_type> e(out, in);
  const auto values = values_at<Values>(e.packed.data() + out * ((in + 7) / 8), 1, codec_type::kept(out, in));
  e.check(packed_bitmap<std::remove_const_t<decltype(values)>>{e.packed.data(), values, out, in});
}

template<std::size_t Keep, std::size_t Group, class Values>
void check_kept_dense(std::size_t out, std::size_t in) {
  using codec_type = codec::keep_of<Keep, Group, Values>;
  CAPTURE(codec_type::name(), out, in);
  const expanded<codec_type> e(out, in);
  const auto values = values_at<Values>(e.packed.data() + codec_type::place_bytes(out, in), out, codec_type::kept(in));
  e.check(packed_keep_of_dense{codec_type::columns, e.packed.data(), values, in});
}

}  // namespace

TEST_CASE("expanded formats @post: all lanes and ranges of rows give the bits of the dense product of each vector",
          "[kernel][sparse][property]") {
  for (const auto& [out, in] : {std::pair<std::size_t, std::size_t>{16, 64},
                                {37, 300},
                                {3, 7},
                                {5, 17},
                                {1, 169},
                                {33, 515},
                                {20, 2},
                                {2, 0}}) {
    check_bitmap<30, codec::float32>(out, in);
    check_bitmap<50, codec::float16>(out, in);
    check_bitmap<99, codec::bfloat16>(out, in);
    check_bitmap<50, codec::affine<4, 32>>(out, in);
    check_bitmap<1, codec::affine<2, 20, scale_type::float16>>(out, in);
    check_bitmap<70, codec::affine<3, 64, scale_type::float16>>(out, in);
    check_bitmap<40, codec::affine<16, per_row>>(out, in);
    check_bitmap<60, codec::affine<24, 32>>(out, in);
    check_bitmap<30, codec::symmetric<5, per_tensor>>(out, in);
    check_bitmap<90, codec::symmetric<8, 100>>(out, in);
    check_bitmap<50, codec::symmetric_full<6, 128, scale_type::float16>>(out, in);
    check_bitmap<20, codec::symmetric_full<7, 33>>(out, in);
    check_bitmap<50, codec::e4m3<64>>(out, in);
    check_bitmap<50, codec::e5m2<per_tensor>>(out, in);
    check_bitmap<50, codec::e2m1<32>>(out, in);
    check_kept_dense<2, 4, codec::float32>(out, in);
    check_kept_dense<2, 4, codec::float16>(out, in);
    check_kept_dense<1, 3, codec::bfloat16>(out, in);
    check_kept_dense<3, 8, codec::float16>(out, in);
    check_kept_dense<5, 100, codec::float32>(out, in);
    check_kept_dense<30, 200, codec::bfloat16>(out, in);
    check_kept_dense<255, 256, codec::float16>(out, in);
  }
}
