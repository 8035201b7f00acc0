#include <precis/kernel/dense.hpp>
#include <precis/kernel/half.hpp>

#include "packed.hpp"
#include "stored.hpp"

#include "catch.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

using namespace precis;
using namespace precis::kernel;
using namespace packed_tests;

namespace {

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
