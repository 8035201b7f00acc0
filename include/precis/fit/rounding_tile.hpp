#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/view.hpp>
#include <precis/fit/compensation.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace precis::fit::detail {
PRECIS_IEEE_BEGIN

/// Rows that are rounded side by side, a vector register or a few.
inline constexpr std::size_t rounding_rows = 64;
/// Columns whose errors are pushed into all later columns at once.
inline constexpr std::size_t rounding_block = 128;

/// What is left to round of one tile of rows: columns in the order of rounding, to which the errors of earlier columns
/// are added, at once within a block and by one product for the columns after it.
template<class = void>
struct rounding_tile {
  const compensation& by;
  std::size_t first, rows;      ///< the tile's rows in the matrix
  std::vector<float> w{};       ///< [in x rounding_rows]
  std::vector<float> errors{};  ///< [rounding_block x rounding_rows] value - wanted, by the factor's diagonal
  std::vector<float> workspace{};

  void load(weight_view target) {
    w.assign(target.cols * rounding_rows, 0.f);
    errors.resize(rounding_block * rounding_rows);
    workspace.resize(kernel::product_workspace);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t j = 0; j < target.cols; ++j) w[j * rounding_rows + r] = target(first + r, by.order[j]);
  }
  [[nodiscard]] float* wanted(std::size_t j) noexcept { return &w[j * rounding_rows]; }
  [[nodiscard]] float* error(std::size_t j) noexcept { return &errors[j % rounding_block * rounding_rows]; }

  /// The sum of the squared errors of column j.
  [[nodiscard]] double squares(std::size_t j) noexcept {
    const float* const e = error(j);
    double sum = 0;
    for (std::size_t r = 0; r < rows; ++r) sum += static_cast<double>(e[r]) * static_cast<double>(e[r]);
    return sum;
  }
  /// Adds the error of column j to the columns after it that are before `end`.
  void push(std::size_t j, std::size_t end) noexcept {
    const float* const u = by.factor.row(j).data();
    const float* const e = error(j);
    for (std::size_t k = j + 1; k < end; ++k) {
      const float factor = u[k];
      float* const later = wanted(k);
      for (std::size_t r = 0; r < rounding_rows; ++r) later[r] += factor * e[r];
    }
  }
  /// Adds the errors of the columns from `block` to `end` to all columns after them.
  void push_block(std::size_t block, std::size_t end) noexcept {
    constexpr std::size_t T = rounding_rows;
    const std::size_t rest = w.size() / T - end;
    if (rest == 0) return;
    kernel::product_add<>(by.factor.view().row_range(block, end - block).col_range(end, rest).transposed(),
                          weight_view(std::span<const float>(errors.data(), (end - block) * T), end - block, T),
                          mutable_weight_view(std::span<float>(wanted(end), rest * T), rest, T),
                          as_writable_span(workspace));
  }
};

/// Calls round(tile, j, end) for every `unit` columns from j on; the columns of their block end at `end`. Returns the sum
/// of what the calls return, the squares of their errors. The executor distributes tiles of 64 rows.
template<class Round, executor Executor>
[[nodiscard]] double round_in_tiles(weight_view target, const compensation& by, std::size_t unit, Executor&& run,
                                    const Round& round) {
  const std::size_t tiles = (target.rows + rounding_rows - 1) / rounding_rows;
  std::vector<double> errors(tiles);
  run.for_each(tiles, [&](std::size_t i) {
    const std::size_t first = i * rounding_rows;
    rounding_tile<> tile{.by = by, .first = first, .rows = std::min(rounding_rows, target.rows - first)};
    tile.load(target);
    for (std::size_t block = 0; block < target.cols; block += rounding_block) {
      const std::size_t end = std::min(block + rounding_block, target.cols);
      for (std::size_t j = block; j < end; j += unit) errors[i] += round(tile, j, end);
      if (by.usable()) tile.push_block(block, end);
    }
  });
  double sum = 0;
  for (const double e : errors) sum += e;
  return sum;
}

PRECIS_IEEE_END
}  // namespace precis::fit::detail
