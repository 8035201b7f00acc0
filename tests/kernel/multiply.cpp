#include <precis/kernel/multiply.hpp>

#include <precis/codec.hpp>

#include "packed.hpp"

#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace precis;
using namespace precis::kernel;
using namespace packed_tests;

namespace {

struct encoded {
  std::vector<std::byte> bytes;
  float_matrix decoded;
  packed_matrix view;
};
template<class Codec>
encoded encode(std::size_t out, std::size_t in) {
  auto w = normal(out * in, out + in);
  if (codec::packed_format_of<Codec>()->grid.is_power())
    for (float& x : w) x = std::abs(x);  // powers of two have no sign
  encoded e{std::vector<std::byte>(Codec::bytes(out, in)), float_matrix(out, in), {}};
  Codec::encode({w, out, in}, e.bytes);
  Codec::decode(e.bytes, e.decoded.view());
  e.view = {*codec::packed_format_of<Codec>(), e.bytes.data(), out, in};
  return e;
}

struct results {
  std::vector<float> y;
  bool inside = true;  ///< nothing was written beyond the workspace
};
template<class Value, class Formats = formats<>>
results product(const packed_matrix& m, const std::vector<float>& x, std::size_t n, row_range rows = {}) {
  std::vector<float> input(input_workspace<Value>(n, m.in)), workspace(multiply_workspace<Value>(m, n) + 16, 7.f);
  results r{std::vector<float>(n * m.out, -77.f), true};
  input_vectors<Value> vectors({x.data(), n, m.in, static_cast<std::ptrdiff_t>(m.in), 1}, input);
  multiply<Formats>(m, vectors, {r.y.data(), n, m.out, static_cast<std::ptrdiff_t>(m.out), 1},
                    std::span(workspace).first(workspace.size() - 16), rows);
  for (std::size_t i = workspace.size() - 16; i < workspace.size(); ++i) r.inside = r.inside && workspace[i] == 7.f;
  return r;
}

/// Every result against the product of the decoded weights in double. `tolerance` is relative to the sum of the
/// magnitudes of the terms.
template<class Value>
void check_values(const encoded& e, double tolerance) {
  const std::size_t out = e.view.out, in = e.view.in;
  for (const std::size_t n : {1u, 2u, 5u, 35u}) {
    const auto x = normal(n * in, 11);
    const results all = product<Value>(e.view, x, n);
    CHECK(all.inside);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t r = 0; r < out; ++r) {
        double sum = 0, size = 0;
        for (std::size_t c = 0; c < in; ++c) {
          const double term = static_cast<double>(e.decoded.view()(r, c)) * static_cast<double>(x[i * in + c]);
          sum += term;
          size += std::abs(term);
        }
        CHECK(std::abs(static_cast<double>(all.y[i * out + r]) - sum) <= tolerance * (size + 1e-6));
      }
      if (i > 2) continue;
      const std::vector<float> vector(x.begin() + static_cast<std::ptrdiff_t>(i * in),
                                      x.begin() + static_cast<std::ptrdiff_t>((i + 1) * in));
      CHECK(
          same_bits(product<Value>(e.view, vector, 1).y, {all.y.begin() + static_cast<std::ptrdiff_t>(i * out),
                                                          all.y.begin() + static_cast<std::ptrdiff_t>((i + 1) * out)}));
    }
    if (out <= 16) continue;
    const results part = product<Value>(e.view, x, n, {16, out});
    for (std::size_t i = 0; i < n * out; ++i) CHECK(part.y[i] == (i % out < 16 ? -77.f : all.y[i]));
  }
}

template<class Codec>
void check(std::size_t out, std::size_t in) {
  CAPTURE(Codec::name(), out, in);
  const encoded e = encode<Codec>(out, in);
  const bool factors = e.view.format.rank_percent != 0;
  check_values<float>(e, factors ? 1e-4 : 1e-6);
  check_values<std::int8_t>(e, 0.05);

  if (factors) return;
  std::vector<float> row(in);
  for (std::size_t r = 0; r < out; ++r) {
    decode_row(e.view, r, row);
    CHECK(std::ranges::equal(row, e.decoded.view().row(r)));
  }
}
/// The listed kernel, and the call for one vector, give the same bits as that of every format.
template<class Codec>
void check_listed(std::size_t out, std::size_t in) {
  CAPTURE(Codec::name(), out, in);
  const encoded e = encode<Codec>(out, in);
  const auto x = normal(in, 3);
  const auto expected = product<float>(e.view, x, 1).y;
  using listed = formats<*codec::packed_format_of<Codec>()>;
  CHECK(same_bits(product<float, listed>(e.view, x, 1).y, expected));
  CHECK(same_bits(product<std::int8_t, listed>(e.view, x, 1).y, product<std::int8_t>(e.view, x, 1).y));
  std::vector<float> y(out), workspace(vector_workspace(e.view));
  multiply<listed>(e.view, x, y, workspace);
  CHECK(same_bits(y, expected));
}
template<class... Codecs>
void check_all(std::size_t out, std::size_t in) {
  (check<Codecs>(out, in), ...);
}

constexpr auto half = codec::scale_type::float16;

}  // namespace

TEST_CASE("multiply multiplies every codec of the library", "[kernel][property]") {
  using namespace codec;
  for (const auto& [out, in] : {std::pair<std::size_t, std::size_t>{16, 64}, {37, 160}, {5, 32}}) {
    check_all<float32, float16, bfloat16, q4_0, q4_1, q5_0, q5_1, q8_0>(out, in);
    check_all<affine<4, 32, half>, symmetric<3, 64>, symmetric_full<8>, min_anchored<5, 32>, affine<16>, e4m3<32>,
              e2m1<per_tensor>, codec::log2<4, 32>>(out, in);
    check_all<affine<4, 20>, symmetric<3, 7, half>, min_anchored<5, 48>, affine<24, 40>, e5m2<10>>(out, in);
    check_all<codebook<4>, codebook_with_zero<3, per_row, half>>(out, in);
    check_all<codec::keep_of<2, 4, float16>, codec::keep_of<2, 4, affine<4, 32>>, codec::keep_of<3, 7, symmetric<4, 5>>,
              codec::keep_of<2, 4, codebook_with_zero<4>>, codec::bitmap<50, bfloat16>,
              codec::bitmap<50, symmetric<8, 32>>, codec::bitmap<30, codebook_with_zero<2>>>(out, in);
    check_all<codec::low_rank<50, float16>, codec::low_rank<50, affine<8, 32>>,
              codec::low_rank<100, codec::keep_of<3, 4, symmetric<8, 8>>>>(out, in);
  }
  check_all<affine<4, 20>, codebook<3>, codec::keep_of<2, 4, affine<4, 20>>, codec::low_rank<30, symmetric<8, 6>>>(33,
                                                                                                                   75);
  check_all<codec::keep_of<2, 4, q8_0>, codec::bitmap<50, q5_0>>(16, 64);
}

TEST_CASE("multiply with a list of formats gives the bits of multiply with every format", "[kernel][property]") {
  using namespace codec;
  check_listed<affine<4, 32, half>>(37, 160);
  check_listed<symmetric<3, 7>>(37, 160);
  check_listed<codec::low_rank<50, symmetric<4, 32>>>(37, 160);
}

TEST_CASE("multiplies tells whether a list has the kernel of a format", "[kernel][worked-example]") {
  using listed = formats<codec::affine<4, 32>::format, codec::float16::format>;
  CHECK(multiplies<listed>(codec::affine<4, 128, half>::format));
  CHECK(multiplies<listed>(codec::symmetric<4>::format));
  CHECK(multiplies<listed>(codec::bfloat16::format));
  CHECK_FALSE(multiplies<listed>(codec::affine<4, 20>::format));  // groups that end inside blocks have their own kernel
  CHECK_FALSE(multiplies<listed>(codec::affine<3, 32>::format));
  CHECK_FALSE(multiplies<listed>(codec::e2m1<32>::format));
  CHECK_FALSE(multiplies<listed>(codec::codebook<4>::format));
  CHECK(multiplies<formats<>>(codec::codebook<4>::format));
}
