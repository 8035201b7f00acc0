#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/view.hpp>
#include <precis/fit/compensation.hpp>
#include <precis/fit/level_table.hpp>
#include <precis/fit/rounding_tile.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace precis::fit {
PRECIS_IEEE_BEGIN

/// The codes and values that rounding chose, row by row.
struct rounded_matrix {
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::vector<std::uint8_t> codes{};  ///< [rows x cols]
  float_matrix values{};              ///< [rows x cols]
  double error = 0;  ///< tr((T - V) H (T - V)') of target T and values V, by the sum of squares of the rounding errors
};

namespace detail {

/// Rounds the same column of up to rounding_rows rows: x becomes the values, `codes` their codes.
template<class = void>
inline void round_column(const level_table& t, const float* step, const float* offset, const float* inverse, float* x,
                         float* codes) noexcept {
  constexpr std::size_t rows = rounding_rows;
  constexpr float shift = 0x1.8p23f;  // adding it rounds to an integer
  if (t.levels.empty()) {
    const float top = t.top;
    for (std::size_t r = 0; r < rows; ++r) {
      float q = (x[r] - offset[r]) * inverse[r];
      q = q > 0.f ? q : 0.f;
      q = q < top ? q : top;
      q = (q + shift) - shift;
      codes[r] = q;
      x[r] = step[r] * q + offset[r];
    }
    return;
  }
  float level[rows];
  for (std::size_t r = 0; r < rows; ++r) {
    codes[r] = 0;
    level[r] = t.levels[0];
  }
  for (std::size_t i = 1; i < t.levels.size(); ++i) {
    const float middle = 0.5f * (t.levels[i - 1] + t.levels[i]), next = t.levels[i];
    for (std::size_t r = 0; r < rows; ++r) {
      const bool above = (x[r] - offset[r]) * inverse[r] >= middle;
      codes[r] = above ? static_cast<float>(i) : codes[r];
      level[r] = above ? next : level[r];
    }
  }
  for (std::size_t r = 0; r < rows; ++r) x[r] = step[r] * level[r] + offset[r];
}

/// Rounds column j (in the order of rounding) of a tile and pushes its error into the columns of its block.
template<class = void>
[[nodiscard]] double round_and_push(rounding_tile<>& tile, const level_table& table, std::size_t j, std::size_t end,
                                    rounded_matrix& to) noexcept {
  constexpr std::size_t T = rounding_rows;
  const compensation& by = tile.by;
  const std::size_t column = by.order[j], group = column / table.length;
  float step[T] = {}, offset[T] = {}, inverse[T] = {}, x[T], codes[T];
  for (std::size_t r = 0; r < tile.rows; ++r) {
    step[r] = table.step[table.at(group, tile.first + r)];
    offset[r] = table.offset[table.at(group, tile.first + r)];
    inverse[r] = step[r] != 0.f ? 1.f / step[r] : 0.f;
  }
  const float* const wanted = tile.wanted(j);
  std::copy_n(wanted, T, x);
  round_column(table, step, offset, inverse, x, codes);
  float* const e = tile.error(j);
  const float by_diagonal = by.usable() ? 1.f / by.factor(j, j) : 0.f;
  for (std::size_t r = 0; r < T; ++r) e[r] = (x[r] - wanted[r]) * by_diagonal;
  for (std::size_t r = 0; r < tile.rows; ++r) {
    to.values(tile.first + r, column) = x[r];
    to.codes[(tile.first + r) * table.cols + column] = static_cast<std::uint8_t>(codes[r]);
  }
  if (by.usable()) tile.push(j, end);
  return tile.squares(j);
}

}  // namespace detail

/// Rounds column after column; the error of each is made up for by the columns after it. Without a usable compensation,
/// every weight goes to the nearest level.
///
/// Shapes   target [out x in], any strides.
/// Requires a table and a compensation of the same numbers of columns; no more than 256 codes.
/// Errors   none.
/// Cost     out * in^2 / 2 multiply-adds in float, nearly all in products of blocks of 128 columns; the executor
///          distributes tiles of 64 rows.
/// Source   docs/methods/gptq.md: Frantar et al. 2022, arXiv:2210.17323, algorithm 1, with grids that are fixed beforehand;
///          the same rounding as LDLQ (Chee et al. 2023, arXiv:2307.13304).
/// @post    error = tr((T - V) H (T - V)') up to rounding; bit-identical on any executor.
/// @post    H diagonal, or no compensation: every weight goes to the nearest level.
template<executor Executor = sequential>
[[nodiscard]] rounded_matrix round_compensated(weight_view target, const level_table& table, const compensation& by,
                                               Executor&& run = {}) {
  PRECIS_EXPECTS(target.rows == table.rows && target.cols == table.cols, "levels of this matrix");
  PRECIS_EXPECTS(by.order.size() == table.cols, "a compensation of this matrix's inputs");
  rounded_matrix result{.rows = table.rows,
                        .cols = table.cols,
                        .codes = std::vector<std::uint8_t>(table.rows * table.cols),
                        .values = float_matrix(table.rows, table.cols)};
  result.error = detail::round_in_tiles(target, by, 1, run, [&](auto& tile, std::size_t j, std::size_t end) {
    return detail::round_and_push(tile, table, j, end, result);
  });
  return result;
}

PRECIS_IEEE_END
}  // namespace precis::fit
