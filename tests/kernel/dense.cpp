#include <precis/kernel/dense.hpp>
#include <precis/kernel/dense_product.hpp>
#include <precis/kernel/half.hpp>

#include "packed.hpp"

#include "catch.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

using namespace precis;
using namespace precis::kernel;
using namespace packed_tests;

namespace {

/// The bytes of w in one type, and the values that they represent.
std::vector<std::byte> stored(dense_type type, const std::vector<float>& w, std::vector<float>& values) {
  std::vector<std::byte> bytes(w.size() * bytes_of(type));
  values.resize(w.size());
  for (std::size_t i = 0; i < w.size(); ++i) {
    std::uint32_t bits = std::bit_cast<std::uint32_t>(w[i]);
    if (type == dense_type::float16) bits = float_to_half(w[i]);
    if (type == dense_type::bfloat16) bits = float_to_bfloat16(w[i]);
    values[i] = type == dense_type::float32   ? w[i]
                : type == dense_type::float16 ? half_to_float(static_cast<std::uint16_t>(bits))
                                              : bfloat16_to_float(static_cast<std::uint16_t>(bits));
    for (std::size_t b = 0; b < bytes_of(type); ++b)
      bytes[i * bytes_of(type) + b] = static_cast<std::byte>(bits >> (8 * b) & 0xFF);
  }
  return bytes;
}

float definition(const float* w, const std::vector<float>& x) {
  float lane[16] = {};
  for (std::size_t c = 0; c < x.size(); ++c) lane[c % 16] = std::fma(w[c], x[c], lane[c % 16]);
  for (const std::size_t half : {8u, 4u, 2u, 1u})
    for (std::size_t l = 0; l < half; ++l) lane[l] += lane[l + half];
  return lane[0];
}

}  // namespace

TEST_CASE("dense matvec @post: all lanes give equal bits, those of the definition", "[kernel][dense][property]") {
  struct shape {
    std::size_t out, in;
  };
  for (const dense_type type : {dense_type::float32, dense_type::float16, dense_type::bfloat16})
    for (const shape s : {shape{1, 1}, shape{3, 15}, shape{4, 16}, shape{9, 100}, shape{17, 64}}) {
      const auto x = normal(s.in, 3);
      std::vector<float> values;
      const auto bytes = stored(type, normal(s.out * s.in, 4), values);
      for_every_lanes([&](auto lanes) {
        std::vector<float> y(s.out), part(s.out, -77.f);
        matvec<decltype(lanes)>(dense_matrix{type, bytes.data(), s.out, s.in}, x, y);
        const row_range rows{s.out / 3, s.out - s.out / 4};
        matvec<decltype(lanes)>(dense_matrix{type, bytes.data(), s.out, s.in}, x, part, rows);
        for (std::size_t r = 0; r < s.out; ++r) {
          CAPTURE(static_cast<int>(type), s.out, s.in, r, decltype(lanes)::rows);
          REQUIRE(std::bit_cast<std::uint32_t>(y[r]) ==
                  std::bit_cast<std::uint32_t>(definition(values.data() + r * s.in, x)));
          REQUIRE(part[r] == (r >= rows.first && r < rows.last ? y[r] : -77.f));
        }
      });
    }
}

TEST_CASE("dense_product @post: every vector's result equals that of matvec bit for bit", "[kernel][dense][property]") {
  struct shape {
    std::size_t out, in, vectors;
  };
  for (const dense_type type : {dense_type::float32, dense_type::float16, dense_type::bfloat16})
    for (const shape s : {shape{1, 1, 1}, shape{3, 15, 2}, shape{5, 0, 3}, shape{49, 100, 5}, shape{100, 528, 9},
                          shape{97, 1040, 33}}) {
      // Also with gaps between the elements of a vector.
      const std::size_t step = s.vectors == 5 ? 2 : 1;
      const auto x = normal(s.vectors * s.in * step + 1, 3);
      std::vector<float> values;
      const auto bytes = stored(type, normal(s.out * s.in, 4), values);
      const dense_matrix m{type, bytes.data(), s.out, s.in};
      const auto row_stride = static_cast<std::ptrdiff_t>(s.in * step),
                 y_stride = static_cast<std::ptrdiff_t>(s.out + 3);
      const strided<const float> vectors{x.data(), s.vectors, s.in, row_stride, static_cast<std::ptrdiff_t>(step)};
      std::vector<float> workspace(dense_product_workspace(s.in)), y(s.vectors * (s.out + 3)), part(y.size());
      for_every_lanes([&](auto lanes) {
        using code = decltype(lanes);
        if (code::rows == 1 && s.vectors == 33) return;  // scalar lanes are slow, and 9 vectors cover every case
        std::ranges::fill(y, -77.f);
        std::ranges::fill(part, -77.f);
        dense_product<code>(m, vectors, y, y_stride, workspace);
        const row_range rows{s.out / 3, s.out - s.out / 4};
        dense_product<code>(m, vectors, part, y_stride, workspace, rows);
        for (std::size_t n = 0; n < s.vectors; ++n) {
          std::vector<float> one(s.in), expected(s.out);
          for (std::size_t c = 0; c < s.in; ++c) one[c] = *vectors.at(n, c);
          matvec<scalar_code_lanes>(m, one, expected);
          for (std::size_t r = 0; r < s.out + 3; ++r) {
            CAPTURE(static_cast<int>(type), s.out, s.in, n, r, code::rows);
            const float got = y[n * (s.out + 3) + r], of_range = part[n * (s.out + 3) + r];
            if (r >= s.out)
              REQUIRE(got == -77.f);
            else
              REQUIRE(std::bit_cast<std::uint32_t>(got) == std::bit_cast<std::uint32_t>(expected[r]));
            REQUIRE(of_range == (r >= rows.first && r < rows.last ? got : -77.f));
          }
        }
      });
    }
}

TEST_CASE("every 16-bit number is multiplied as what it stands for", "[kernel][dense][property]") {
  // One column: y[r] is the number itself times one.
  for (const dense_type type : {dense_type::float16, dense_type::bfloat16}) {
    std::vector<std::byte> all(2 * 65536);
    for (std::uint32_t h = 0; h < 65536; ++h) {
      all[2 * h] = static_cast<std::byte>(h & 0xFF);
      all[2 * h + 1] = static_cast<std::byte>(h >> 8);
    }
    const std::vector<float> one{1.f};
    for_every_lanes([&](auto lanes) {
      std::vector<float> y(65536);
      matvec<decltype(lanes)>(dense_matrix{type, all.data(), 65536, 1}, one, y);
      for (std::uint32_t h = 0; h < 65536; ++h) {
        const auto half = static_cast<std::uint16_t>(h);
        const float value = type == dense_type::float16 ? half_to_float(half) : bfloat16_to_float(half);
        if (y[h] != value && !(std::isnan(value) && std::isnan(y[h]))) FAIL("number " << h);
      }
    });
  }
}
