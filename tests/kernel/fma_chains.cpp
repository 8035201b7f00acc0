#include <precis/kernel/fma_chains.hpp>
#include <precis/kernel/lanes_sse.hpp>
#include <precis/kernel/minifloat.hpp>

#include <precis/core/random.hpp>

#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

using namespace precis;
using namespace precis::kernel;

#if PRECIS_SSE2  // the only lanes without fma

namespace {

using lanes = sse_lanes;

/// Numbers of one kind: normally distributed, of few bits (whose sums often lie halfway between two floats), of very different
/// sizes, or so small that products are subnormal.
enum class kind { normal, few_bits, wide, tiny };
float number(const random_stream& draw, std::uint64_t i, kind of) {
  const auto x = static_cast<float>(draw.normal(i));
  const auto power = static_cast<int>(40 * draw.uniform(i + 1'000'000));
  if (of == kind::few_bits) return std::ldexp(std::round(x * 4), power % 20 - 10);
  if (of == kind::wide) return std::ldexp(x, power - 20);
  if (of == kind::tiny) return std::ldexp(x, -50 - power);
  return x;
}
std::vector<float> numbers(std::size_t count, std::uint64_t seed, kind of) {
  const random_stream draw(seed, purpose("chains"));
  std::vector<float> all(count);
  for (std::size_t i = 0; i < count; ++i) all[i] = number(draw, i, of);
  return all;
}
bool same(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

/// (lane[0] + lane[1]) + (lane[2] + lane[3]) of one row of codes, by std::fma.
template<unsigned Bits, class Value>
float by_fma(const std::vector<std::uint8_t>& codes, const std::vector<float>& x, Value&& value) {
  float lane[4] = {};
  for (std::size_t c = 0; c < codes.size(); ++c) lane[c % 4] = std::fma(value(codes[c]), x[c], lane[c % 4]);
  return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

/// How many of `trials` segments of 128 columns of codes of `Float` the checks accept. All of these have the bits of fma.
template<class Float, auto Check>
int accepted(int trials, kind of, int exponent) {
  constexpr unsigned bits = Float::bits;
  constexpr std::size_t columns = 4 * block_columns;
  const auto value = [](std::size_t code) { return Float::decode(static_cast<std::uint8_t>(code)); };
  const auto table =
      kernel::detail::levels_of<bits>([&](std::size_t code) { return static_cast<double>(value(code)); });
  int count = 0;
  for (int t = 0; t < trials; ++t) {
    const auto x = numbers(columns, static_cast<std::uint64_t>(t), of);
    std::vector<double> twice(2 * columns);
    lanes::store_twice(x.data(), columns, twice.data());
    const random_stream draw(static_cast<std::uint64_t>(t), purpose("codes"));
    std::vector<std::byte> tile(columns / block_columns * bits * kernel::detail::word_stride);
    std::vector<std::uint8_t> codes[4];
    for (std::size_t r = 0; r < 4; ++r) {
      for (std::size_t c = 0; c < columns; ++c) {
        auto code = static_cast<std::uint8_t>(draw.uniform(r * columns + c) * (1u << bits));
        if (!std::isfinite(value(code))) code = 1;
        codes[r].push_back(code);
      }
      pack_row(codes[r].data(), bits, columns / block_columns, tile.data(), tile_rows, r);
    }
    lanes::vector product;
    if (!kernel::detail::add_level_chains<sse_code_lanes, bits, Check, false>(
            tile.data(), columns / block_columns, twice.data(), table.data(), 0, exponent, product))
      continue;
    ++count;
    float found[4];
    lanes::store(found, product);
    for (std::size_t r = 0; r < 4; ++r) CHECK(same(found[r], by_fma<bits>(codes[r], x, value)));
  }
  return count;
}

}  // namespace

TEST_CASE("products of four vectors have the bits of fma, whatever the checks find", "[oracle]") {
  constexpr std::size_t steps = 8;
  for (const kind of_w : {kind::normal, kind::few_bits, kind::wide, kind::tiny})
    for (const kind of_x : {kind::normal, kind::few_bits, kind::wide, kind::tiny})
      for (std::uint64_t t = 0; t < 50; ++t) {
        const auto w = numbers(16 * steps, t, of_w), x = numbers(16 * steps, t + 1000, of_x),
                   start = numbers(16, t, of_w);
        std::vector<double> of_x_twice(8 * steps);
        lanes::store_twice(x.data(), 4 * steps, of_x_twice.data());
        float sums[16], sums_of_same[16];
        std::copy(start.begin(), start.end(), sums);
        std::copy(start.begin(), start.end(), sums_of_same);
        kernel::detail::add_products<lanes, lanes::ties_and_tiny, false>(w.data(), 16, x.data(), 16, 4, steps, sums, 4);
        kernel::detail::add_products<lanes, lanes::ties_and_tiny, true>(w.data(), 16, of_x_twice.data(), 8, 2, steps,
                                                                        sums_of_same, 4);
        for (std::size_t l = 0; l < 16; ++l) {
          float expected = start[l], expected_of_same = start[l];
          for (std::size_t s = 0; s < steps; ++s) {
            expected = std::fma(w[16 * s + l], x[16 * s + l], expected);
            expected_of_same = std::fma(w[16 * s + l], x[4 * s + l / 4], expected_of_same);
          }
          CHECK(same(sums[l], expected));
          CHECK(same(sums_of_same[l], expected_of_same));
        }
      }
}

TEST_CASE("chains that are accepted have the bits of fma", "[oracle]") {
  constexpr int trials = 40;
  CHECK(accepted<float8_e4m3, lanes::small>(trials, kind::normal, 12) == trials);
  CHECK(accepted<float8_e5m2, lanes::small>(trials, kind::normal, 20) == trials);
  CHECK(accepted<float4_e2m1, lanes::small>(trials, kind::normal, 6) == trials);
  CHECK(accepted<falling_power<3, 1>, lanes::small>(trials, kind::normal, 3) == trials);
  CHECK(accepted<falling_power<4, 2>, lanes::mixed>(trials, kind::normal, 3) > trials / 2);
  (void)accepted<float8_e4m3, lanes::small>(trials, kind::wide, 31);
  (void)accepted<float8_e4m3, lanes::ties>(trials, kind::few_bits, 0);
  (void)accepted<falling_power<4, 2>, lanes::mixed>(trials, kind::wide, 22);
}

TEST_CASE("a small sum before a product that lies halfway between two floats is found", "[worked-example]") {
  // 9/8 * 0x800004 = 0x900004.8: halfway between 0x900004, which is even, and 0x900005. With 2^-60 it lies above the middle.
  const float w[16] = {1, 1, 1, 1}, next_w[16] = {1.125f, 1.125f, 1.125f, 1.125f};
  const float small = std::ldexp(1.f, -60), large = 8388612.f;
  const double x = static_cast<double>(small), next_x = static_cast<double>(large);
  lanes::chains<lanes::small> chain;
  const auto add = [&](const float* weights, const double& v) {
    const double twice[2] = {v, v};
    chain.add<0, true>(lanes::load(weights), twice);
  };
  add(w, x);
  add(next_w, next_x);
  CHECK(same(std::fma(1.125f, large, small), 9437189.f));
  CHECK_FALSE(chain.exact(24));
  float rounded_twice[4];
  lanes::store(rounded_twice, chain.sum<0>());
  CHECK(same(rounded_twice[0], 9437188.f));
}

#endif
