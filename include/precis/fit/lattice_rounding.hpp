#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/view.hpp>
#include <precis/fit/compensation.hpp>
#include <precis/fit/lattice_levels.hpp>
#include <precis/fit/rounding_tile.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace precis::fit {
PRECIS_IEEE_BEGIN

/// The entries and signs that rounding chose, row by row.
struct lattice_rounded {
  std::vector<std::uint16_t> entries{};  ///< [rows x cols / dimensions]
  std::vector<std::uint8_t> signs{};     ///< [rows x cols / 8]
  double error = 0;                      ///< tr((T - V) H (T - V)')
};

namespace detail {

/// The entry whose point is nearest to `size` (weighted by `weight`), for each of up to rounding_rows rows: the largest
/// 2 sum w x g - step sum w g^2. Cost: one multiply-add per entry, dimension and row.
template<class = void>
inline void nearest_points(const lattice_table& t, const float* weight, const float (*size)[rounding_rows],
                           const float* step, float* entry) noexcept {
  constexpr std::size_t T = rounding_rows;
  float best[T], weighted[8][T];
  for (std::size_t i = 0; i < t.dimensions; ++i)
    for (std::size_t r = 0; r < T; ++r) weighted[i][r] = 2 * weight[i] * size[i][r];
  for (std::size_t r = 0; r < T; ++r) {
    best[r] = -std::numeric_limits<float>::infinity();
    entry[r] = 0;
  }
  const float* point = t.points.data();
  for (std::size_t e = 0; e < t.entries(); ++e, point += t.dimensions) {
    float norm = 0, score[T] = {};
    for (std::size_t i = 0; i < t.dimensions; ++i) norm += weight[i] * point[i] * point[i];
    for (std::size_t i = 0; i < t.dimensions; ++i) {
      const float g = point[i];
      for (std::size_t r = 0; r < T; ++r) score[r] += weighted[i][r] * g;
    }
    const auto index = static_cast<float>(e);
    for (std::size_t r = 0; r < T; ++r) {
      const float s = score[r] - step[r] * norm;
      const bool better = s > best[r];
      best[r] = better ? s : best[r];
      entry[r] = better ? index : entry[r];
    }
  }
}

/// Where the number of minus signs is odd, the weight that costs least changes its sign.
template<class = void>
inline void make_even(const float* weight, float (*size)[rounding_rows], unsigned* signs) noexcept {
  for (std::size_t r = 0; r < rounding_rows; ++r) {
    unsigned minus = 0, least = 0;
    float cost = std::numeric_limits<float>::infinity();
    for (unsigned i = 0; i < lattice_table::unit; ++i) {
      minus += signs[r] >> i & 1u;
      const float c = weight[i] * size[i][r] * size[i][r];
      least = c < cost ? i : least;
      cost = c < cost ? c : cost;
    }
    if (minus % 2 == 0) continue;
    signs[r] ^= 1u << least;
    size[least][r] = -size[least][r];
  }
}

/// Rounds the eight columns from j on (in the order of rounding) and pushes their errors into the rest of the block.
template<class = void>
[[nodiscard]] double round_unit(rounding_tile<>& tile, const lattice_table& table, std::size_t j, std::size_t end,
                                lattice_rounded& to) noexcept {
  constexpr std::size_t T = rounding_rows, unit = lattice_table::unit;
  const compensation& by = tile.by;
  const std::size_t k = by.order[j] / unit;
  float weight[unit], step[T] = {}, size[unit][T], entry[unit][T];
  unsigned signs[T] = {};
  for (std::size_t i = 0; i < unit; ++i) weight[i] = 1 / (by.factor(j + i, j + i) * by.factor(j + i, j + i));
  for (std::size_t r = 0; r < tile.rows; ++r) step[r] = table.step[table.at(k, tile.first + r)];
  for (std::size_t i = 0; i < unit; ++i)
    for (std::size_t r = 0; r < T; ++r) {
      const float x = tile.wanted(j + i)[r];
      size[i][r] = x < 0 ? -x : x;
      signs[r] |= (x < 0 ? 1u : 0u) << i;
    }
  if (table.even_signs) make_even(weight, size, signs);
  const std::size_t points = unit / table.dimensions;
  for (std::size_t p = 0; p < points; ++p)
    nearest_points(table, weight + p * table.dimensions, size + p * table.dimensions, step, entry[p]);
  double squares = 0;
  for (std::size_t i = 0; i < unit; ++i) {
    const std::size_t p = i / table.dimensions, within = i % table.dimensions;
    const float* const wanted = tile.wanted(j + i);
    float* const e = tile.error(j + i);
    const float by_diagonal = 1 / by.factor(j + i, j + i);
    for (std::size_t r = 0; r < T; ++r) {
      const float value = step[r] * table.points[static_cast<std::size_t>(entry[p][r]) * table.dimensions + within];
      e[r] = ((signs[r] >> i & 1u) != 0 ? -value - wanted[r] : value - wanted[r]) * by_diagonal;
    }
    tile.push(j + i, end);
    squares += tile.squares(j + i);
  }
  for (std::size_t r = 0; r < tile.rows; ++r) {
    const std::size_t at = (tile.first + r) * (table.cols / unit) + k;
    to.signs[at] = static_cast<std::uint8_t>(signs[r]);
    for (std::size_t p = 0; p < points; ++p) to.entries[at * points + p] = static_cast<std::uint16_t>(entry[p][r]);
  }
  return squares;
}

}  // namespace detail

/// Rounds eight columns at a time to points of a code book; the error of each column is made up for by those after it
/// (block LDLQ). Every entry of the book is tried.
///
/// Requires a usable compensation whose order keeps units of eight columns together (compensation_options::unit).
/// Cost     out * in * entries multiply-adds for the search, and out * in^2 / 2.
/// Source   docs/methods/gptq.md: Tseng et al. 2024, arXiv:2402.04396 (QuIP#), section 4.1, block LDLQ.
/// Differs  Inside a unit, the point is nearest under the diagonal of the conditional moments alone.
/// @post    error = tr((T - V) H (T - V)') up to rounding; bit-identical on any executor.
template<executor Executor = sequential>
[[nodiscard]] lattice_rounded round_to_lattice(weight_view target, const lattice_table& table, const compensation& by,
                                               Executor&& run = {}) {
  PRECIS_EXPECTS(by.usable() && by.order.size() == table.cols, "a compensation of this matrix's inputs");
  lattice_rounded result{.entries = std::vector<std::uint16_t>(table.rows * table.cols / table.dimensions),
                         .signs = std::vector<std::uint8_t>(table.rows * table.cols / lattice_table::unit)};
  result.error = detail::round_in_tiles(
      target, by, lattice_table::unit, run,
      [&](auto& tile, std::size_t j, std::size_t end) { return detail::round_unit(tile, table, j, end, result); });
  return result;
}

/// Puts entries and signs into the blocks of a matrix, whose scales stay.
template<class Block>
void put_points(Block, const lattice_rounded& from, std::span<std::byte> packed) {
  using of = block_lattice<Block>;
  constexpr std::size_t points = Block::weights / of::dimensions;
  std::byte* block = packed.data();
  for (std::size_t b = 0; b < packed.size() / Block::bytes; ++b, block += Block::bytes) {
    lattice_codes c;
    std::copy_n(from.entries.data() + b * points, points, c.entry);
    std::copy_n(from.signs.data() + b * 32, 32, c.signs);
    of::put(c, block);
  }
}

PRECIS_IEEE_END
}  // namespace precis::fit
