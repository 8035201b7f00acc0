#include <precis/kernel/dense_product.hpp>

#include "packed.hpp"
#include "stored.hpp"

#include "catch.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

using namespace precis;
using namespace precis::kernel;
using namespace packed_tests;

TEST_CASE("dense_product by hand, into spaced results", "[kernel][dense_product][worked-example]") {
  // [1 2 3; 0 -1 4] times (1, 1, 1) and (2, 0, -1); two floats between the results are not touched.
  std::vector<float> values;
  const auto bytes = stored(dense_type::float16, {1, 2, 3, 0, -1, 4}, values);
  const std::vector<float> x{1, 1, 1, 2, 0, -1};
  std::vector<float> y(8, -77.f), workspace(dense_product_workspace(3));
  dense_product({dense_type::float16, bytes.data(), 2, 3}, {x.data(), 2, 3, 3, 1}, y, 4, workspace);
  CHECK(y == std::vector<float>{6, 3, -77, -77, -1, -4, -77, -77});
}

TEST_CASE("dense_product is the product in double, up to float rounding", "[kernel][dense_product][oracle]") {
  constexpr std::size_t out = 50, in = 530, vectors = 3;  // more than one piece of 512 columns, and a tail
  const auto w = normal(out * in, 1), x = normal(vectors * in, 2);
  std::vector<float> values, y(out * vectors), workspace(dense_product_workspace(in));
  const auto bytes = stored(dense_type::float32, w, values);
  dense_product({dense_type::float32, bytes.data(), out, in}, {x.data(), vectors, in, in, 1}, y, out, workspace);
  for (std::size_t n = 0; n < vectors; ++n)
    for (std::size_t r = 0; r < out; ++r) {
      double exact = 0, size = 0;
      for (std::size_t c = 0; c < in; ++c) {
        const double term = static_cast<double>(w[r * in + c]) * static_cast<double>(x[n * in + c]);
        exact += term;
        size += std::abs(term);
      }
      // Each lane adds 34 products and the tree adds four times: 38 roundings of partial sums below sum |w x|.
      REQUIRE(std::abs(static_cast<double>(y[n * out + r]) - exact) <= 38 * 0x1.0p-24 * size);
    }
}

TEST_CASE("dense_product @post: every vector's result equals that of matvec bit for bit",
          "[kernel][dense_product][property]") {
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
