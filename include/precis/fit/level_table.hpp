#pragma once

#include <precis/codec/grid/format_name.hpp>
#include <precis/codec/grid/group.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace precis::fit {
PRECIS_IEEE_BEGIN

/// The values that each weight of a matrix may take once the scales of a format are fixed:
///
///     value = step * level(code) + offset,    with one step and one offset per row and group of `length` columns
///
/// The levels are the codes themselves, 0 ... top, or a list in ascending order.
struct level_table {
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t length = 0;       ///< columns per group; the last group of a row may be shorter
  float top = 0;                ///< the largest code
  std::vector<float> levels{};  ///< of all codes; empty: level(code) = code
  std::vector<float> step{};    ///< [groups x rows] of any sign; 0: the value is the offset
  std::vector<float> offset{};  ///< [groups x rows]

  [[nodiscard]] std::size_t groups() const noexcept { return length == 0 ? 0 : (cols + length - 1) / length; }
  [[nodiscard]] std::size_t at(std::size_t group, std::size_t row) const noexcept { return group * rows + row; }
  void resize() {
    step.assign(groups() * rows, 0.f);
    offset.assign(groups() * rows, 0.f);
  }
};

/// Whether a format's codes can be chosen one by one on fixed grids: integers of up to 8 bits that are rounded to nearest,
/// and 4-bit floats.
[[nodiscard]] constexpr bool has_levels(const codec::grid_format& f) noexcept {
  if (f.rule == codec::grid_rule::min_anchored_floor || f.wide()) return false;
  return !f.is_float() || f.rule == codec::grid_rule::e2m1;
}

/// The levels of a matrix on the grids of codec::read_grids. Requires has_levels(f) and the grids of an out x in matrix.
template<class = void>
[[nodiscard]] inline level_table levels_of(const codec::grid_format& f, std::span<const codec::grid> grids,
                                           std::size_t out, std::size_t in) {
  const bool per_matrix = f.group == codec::per_tensor;
  level_table t{.rows = out, .cols = in, .length = per_matrix ? in : std::min(f.group, in)};
  t.top = static_cast<float>(f.top_code());
  if (f.is_float())
    kernel::with_float(f, [&](auto small) {
      for (unsigned code = 15; code > 8; --code) t.levels.push_back(small.decode(static_cast<std::uint8_t>(code)));
      for (unsigned code = 0; code < 8; ++code) t.levels.push_back(small.decode(static_cast<std::uint8_t>(code)));
      t.top = 14;
    });
  t.resize();
  const std::size_t groups = t.groups();
  for (std::size_t r = 0; r < out; ++r)
    for (std::size_t k = 0; k < groups; ++k) {
      const codec::grid& g = grids[per_matrix ? 0 : r * groups + k];
      t.step[t.at(k, r)] = g.scale;
      if (f.has_minimum())
        t.offset[t.at(k, r)] = g.minimum;
      else if (!f.is_float())
        t.offset[t.at(k, r)] = -g.scale * static_cast<float>(g.zero_point);
    }
  return t;
}

PRECIS_IEEE_END
}  // namespace precis::fit
