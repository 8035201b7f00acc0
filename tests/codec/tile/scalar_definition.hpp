#pragma once

#include <precis/codec/grid/matrix.hpp>

#include "codec/encoded.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

/// Formats with a fast path, and the scalar definition that it must reproduce.
namespace scalar_definition {

using namespace precis;
using codec::grid_format;
using codec::grid_rule;
using codec::scale_type;

/// A chooser without `for_tile`, so that encode_on_grids encodes group by group.
template<class Choose>
struct group_by_group {
  Choose choose;
  codec::grid operator()(const grid_format& f, weight_view values, std::size_t index) const {
    return choose(f, values, index);
  }
};

/// The packed bytes by the scalar definition.
template<class Choose>
std::vector<std::byte> encoded_by_definition(const grid_format& f, weight_view w, const Choose& choose) {
  std::vector<std::byte> packed(f.layout_of(w.rows, w.cols).bytes);
  codec::encode_on_grids(f, w, packed, group_by_group<Choose>{choose});
  return packed;
}

/// scale (code - zero point), weight by weight.
inline float_matrix decoded_by_definition(const grid_format& f, std::span<const std::byte> packed, std::size_t out,
                                          std::size_t in) {
  const auto grids = codec::read_grids(f, packed, out, in);
  float_matrix w(out, in);
  std::vector<std::uint8_t> codes(in);
  for (std::size_t r = 0; r < out; ++r) {
    codec::read_codes(f, packed, out, r, std::span<std::uint8_t>(codes));
    for (std::size_t c = 0; c < in; ++c) {
      const std::size_t k = f.group == codec::per_tensor || f.group >= in ? 0 : c / f.group;
      const codec::grid& g = grids[r * f.groups_per_row(in) + k];
      w(r, c) = g.scale * static_cast<float>(codes[c] - g.zero_point);
    }
  }
  return w;
}

inline bool same_bits(const float_matrix& a, const float_matrix& b) {
  return a.values.size() == b.values.size() && std::memcmp(a.values.data(), b.values.data(), a.values.size() * 4) == 0;
}

template<class F>
void for_each_tiled_format(const F& f) {
  for (const grid_rule rule : {grid_rule::affine, grid_rule::symmetric, grid_rule::symmetric_full})
    for (const unsigned bits : {2u, 3u, 4u, 5u, 6u, 7u, 8u})
      for (const std::size_t group :
           {std::size_t{32}, std::size_t{64}, std::size_t{96}, std::size_t{128}, codec::per_row, codec::per_tensor})
        for (const scale_type scales : {scale_type::float32, scale_type::float16})
          f(grid_format{.rule = rule, .code_bits = bits, .group = group, .scales = scales});
}

/// 35 rows, which are two tiles and a part of one, with zeros, ties and a group of one sign.
inline float_matrix hard_weights(std::size_t in, float unit) {
  float_matrix w = encoded::weights(35, in);
  for (float& x : w.values) x *= unit;
  for (std::size_t c = 0; c < 64; ++c) w(3, c) = 0;
  for (std::size_t c = 64; c < 96; ++c) w(5, c) = unit * static_cast<float>(static_cast<int>(c) - 79);  // ties
  for (std::size_t c = 0; c < 32; ++c) w(7, c) = c % 2 == 0 ? 0.f : -unit;                              // one sign only
  return w;
}

/// A copy of 35 rows with 1024 floats from one row to the next: such rows share cache sets, and encoding copies them.
inline float_matrix spread_rows(const float_matrix& w) {
  float_matrix spread(w.rows, 1024);
  for (std::size_t r = 0; r < w.rows; ++r) std::ranges::copy(w.row(r), spread.row(r).begin());
  return spread;
}

}  // namespace scalar_definition
