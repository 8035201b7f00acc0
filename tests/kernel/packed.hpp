#pragma once

#include <precis/codec/grid/matrix.hpp>
#include <precis/core/random.hpp>
#include <precis/kernel/lanes.hpp>
#include <precis/kernel/lanes_avx2.hpp>
#include <precis/kernel/lanes_scalar.hpp>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

/// Matrices, formats and lanes for the tests of packed matrices.
namespace packed_tests {

using namespace precis;
using namespace precis::kernel;

/// Calls f(lanes) for every family of lanes that the compiler's flags allow. All are compared bit for bit with
/// `definition`, which is separate code without lanes. `.ci/run instruction_sets` compiles the tests for each instruction
/// set with its native lanes alone (PRECIS_NATIVE_LANES_ALONE).
template<class F>
void for_every_lanes(const F& f) {
  f(native_code_lanes{});
#if !defined(PRECIS_NATIVE_LANES_ALONE)
  if constexpr (!std::is_same_v<native_code_lanes, scalar_code_lanes>) f(scalar_code_lanes{});
#if defined(__AVX512BW__)
  f(avx2_code_lanes{});
#endif
#endif
}

inline std::vector<float> normal(std::size_t count, std::uint64_t seed) {
  const random_stream random(seed, purpose("matvec"));
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(random.normal(i));
  return values;
}

inline std::vector<std::byte> packed_of(const grid_format& f, std::size_t out, std::size_t in) {
  auto w = normal(out * in, out + in);
  if (f.is_power())
    for (float& x : w) x = x < -1 ? 0.f : std::exp(2 * x);
  std::vector<std::byte> packed(f.layout_of(out, in).bytes);
  codec::encode(f, {w, out, in}, packed);
  return packed;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// Every code width, rule, group and scale type that the kernels multiply.
inline std::vector<grid_format> every_packed_format() {
  std::vector<grid_format> all;
  for (const grid_rule rule : {grid_rule::affine, grid_rule::symmetric, grid_rule::min_anchored})
    for (const unsigned bits : {2u, 3u, 4u, 5u, 6u, 7u, 8u, 16u, 24u})
      for (const std::size_t group :
           {std::size_t{32}, std::size_t{64}, std::size_t{128}, std::size_t{256}, per_row, per_tensor})
        for (const scale_type scales : {scale_type::float32, scale_type::float16})
          all.push_back({.rule = rule, .code_bits = bits, .group = group, .scales = scales});
  for (const grid_rule rule : {grid_rule::e4m3, grid_rule::e5m2, grid_rule::e2m1})
    for (const std::size_t group : {std::size_t{32}, std::size_t{256}, per_row, per_tensor})
      for (const scale_type scales : {scale_type::float32, scale_type::float16})
        all.push_back({.rule = rule, .code_bits = rule == grid_rule::e2m1 ? 4u : 8u, .group = group, .scales = scales});
  for (const grid_rule rule : {grid_rule::log2, grid_rule::log_sqrt2})
    for (const unsigned bits : {3u, 4u})
      for (const std::size_t group : {std::size_t{32}, std::size_t{256}, per_row, per_tensor})
        all.push_back({.rule = rule, .code_bits = bits, .group = group, .scales = scale_type::float16});
  return all;
}

}  // namespace packed_tests
