#pragma once

#include <precis/codec/grid/matrix.hpp>
#include <precis/core/random.hpp>

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

/// Helpers that codec tests share.
namespace encoded {

using namespace precis;

inline std::vector<std::byte> bytes_of(const codec::grid_format& f, weight_view w) {
  std::vector<std::byte> packed(f.layout_of(w.rows, w.cols).bytes);
  codec::encode(f, w, packed);
  return packed;
}

inline float_matrix decoded(const codec::grid_format& f, std::span<const std::byte> packed, std::size_t out,
                            std::size_t in) {
  float_matrix m(out, in, -99.f);
  codec::decode(f, packed, m.view());
  return m;
}

/// The codes as published: stored codes plus `shift`.
inline std::vector<int> codes(const codec::grid_format& f, std::span<const std::byte> packed, std::size_t out,
                              std::size_t in, int shift = 0) {
  std::vector<int> all;
  std::vector<std::uint32_t> row(in);
  for (std::size_t r = 0; r < out; ++r) {
    codec::read_codes(f, packed, out, r, std::span<std::uint32_t>(row));
    for (const std::uint32_t c : row) all.push_back(static_cast<int>(c) + shift);
  }
  return all;
}

/// Normally distributed weights, of which a few are larger and some exactly zero.
inline float_matrix weights(std::size_t out, std::size_t in, std::uint64_t seed = 1) {
  const random_stream random(seed, purpose("weights"));
  float_matrix m(out, in);
  for (std::size_t i = 0; i < m.values.size(); ++i) {
    const double size = random.uniform(3 * i) < 0.02 ? 8.0 : random.uniform(3 * i) > 0.9 ? 0.0 : 1.0;
    m.values[i] = static_cast<float>(0.05 * size * random.normal(2 * i + 1));
  }
  return m;
}

/// The weights of the worked numbers in docs/methods/affine.md and docs/methods/min_anchored.md.
inline const std::vector<float> example_weights{-1.f, -0.3f, 0.f, 0.4f, 1.2f};

/// Every rule, width, granularity (groups of 8 and 5 leave tails) and scale type.
inline std::vector<codec::grid_format> every_format() {
  using namespace precis::codec;
  std::vector<grid_format> all;
  for (const grid_rule rule : {grid_rule::affine, grid_rule::symmetric, grid_rule::symmetric_full,
                               grid_rule::min_anchored, grid_rule::min_anchored_floor})
    for (const unsigned bits : {2u, 3u, 4u, 5u, 6u, 7u, 8u, 16u, 24u})
      for (const std::size_t group : {per_tensor, per_row, std::size_t{8}, std::size_t{5}, std::size_t{1}})
        for (const scale_type scale : {scale_type::float32, scale_type::float16})
          all.push_back({.rule = rule, .code_bits = bits, .group = group, .scales = scale});
  for (const grid_rule rule : {grid_rule::e4m3, grid_rule::e5m2, grid_rule::e2m1})
    for (const std::size_t group : {per_tensor, per_row, std::size_t{8}, std::size_t{5}, std::size_t{1}})
      for (const scale_type scale : {scale_type::float32, scale_type::float16})
        all.push_back({.rule = rule, .code_bits = rule == grid_rule::e2m1 ? 4u : 8u, .group = group, .scales = scale});
  return all;
}

}  // namespace encoded
