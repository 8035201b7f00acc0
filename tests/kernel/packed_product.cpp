#include <precis/kernel/packed_product.hpp>

#include "packed.hpp"

#include "catch.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

using namespace precis;
using namespace precis::kernel;
using namespace packed_tests;

TEST_CASE("packed_product @post: every vector's result equals that of matvec bit for bit",
          "[kernel][packed_product][property]") {
  struct shape {
    std::size_t out, in, vectors;
  };
  // Pairs of tiles and a single one, row and column tails; fewer than, exactly and more than 32 vectors.
  for (const shape s : {shape{48, 256, 3}, shape{16, 128, 32}, shape{40, 160, 1}, shape{35, 45, 37}, shape{17, 223, 5},
                        shape{21, 31, 4}})
    for (const grid_format& f : every_packed_format()) {
      const auto packed = packed_of(f, s.out, s.in);
      const packed_grid m{f, packed.data(), s.out, s.in};
      const std::size_t segment = segment_of(f, s.in), vector_workspace = byte_activation_workspace(s.in, segment);
      const auto x = normal(s.in * s.vectors, 11);
      for_every_lanes([&](auto lanes) {
        using code = decltype(lanes);
        std::vector<float> workspace(vector_workspace * s.vectors), gathered(packed_product_workspace(s.in, segment));
        std::vector<byte_activations> vectors;
        for (std::size_t n = 0; n < s.vectors; ++n)
          vectors.push_back(as_bytes<code>(std::span(x).subspan(n * s.in, s.in), segment,
                                           std::span(workspace).subspan(n * vector_workspace, vector_workspace)));
        const std::size_t stride = s.out + 3;
        std::vector<float> y(stride * s.vectors, -77.f), one(s.out);
        const auto wrong = [&](const auto& of_one) {  // results that differ from matvec's, and writes beyond them
          std::size_t count = 0;
          for (std::size_t n = 0; n < s.vectors; ++n) {
            matvec<code>(m, of_one[n], one);
            count += std::memcmp(one.data(), &y[n * stride], s.out * sizeof(float)) != 0;
            count += static_cast<std::size_t>(std::count(&y[n * stride + s.out], &y[n * stride] + stride, -77.f)) != 3;
          }
          return count;
        };
        CAPTURE(codec::to_string(f), s.out, s.in, code::rows);
        packed_product<code>(m, vectors, y, static_cast<std::ptrdiff_t>(stride), gathered);
        REQUIRE(wrong(vectors) == 0);

        std::vector<float> sums(float_activation_workspace(s.in, segment) * s.vectors);
        std::vector<float_activations> floats;
        for (std::size_t n = 0; n < s.vectors; ++n)
          floats.push_back(as_floats(std::span(x).subspan(n * s.in, s.in), segment,
                                     std::span(sums).subspan(n * float_activation_workspace(s.in, segment))));
        std::ranges::fill(y, -77.f);
        packed_product<code>(m, floats, y, static_cast<std::ptrdiff_t>(stride));
        REQUIRE(wrong(floats) == 0);
      });
    }
}

TEST_CASE("packed_product writes only the rows of its range", "[kernel][packed_product][property]") {
  const grid_format f{.rule = grid_rule::affine, .code_bits = 4, .group = 32, .scales = scale_type::float16};
  constexpr std::size_t out = 80, in = 64;
  const auto packed = packed_of(f, out, in);
  const auto x = normal(in, 2);
  std::vector<float> workspace(byte_activation_workspace(in, 32)), gathered(packed_product_workspace(in, 32));
  const byte_activations bytes = as_bytes(x, 32, workspace);
  const packed_grid m{f, packed.data(), out, in};
  std::vector<float> whole(out), part(out, -77.f);
  const auto check = [&](const auto& product) {
    product(whole, row_range{});
    for (const row_range rows : {row_range{16, 64}, row_range{16, 21}, row_range{0, 45}}) {  // two end inside a tile
      std::ranges::fill(part, -77.f);
      product(part, rows);
      for (std::size_t r = 0; r < out; ++r) CHECK(part[r] == (r >= rows.first && r < rows.last ? whole[r] : -77.f));
    }
  };
  check([&](std::span<float> y, row_range rows) { packed_product(m, std::span(&bytes, 1), y, out, gathered, rows); });
  std::vector<float> sums(float_activation_workspace(in, 32));
  const float_activations floats = as_floats(x, 32, sums);
  check([&](std::span<float> y, row_range rows) { packed_product(m, std::span(&floats, 1), y, out, rows); });
}
