#pragma once

#include <engine/model/math.hpp>
#include <engine/model/rows.hpp>
#include <engine/model/scratch_arena.hpp>
#include <engine/packed/packed_transformer.hpp>

#include <precis/core/view.hpp>

#include <cstddef>
#include <span>

/// What a packed model does with rows of activations, one per token.
namespace engine::packed_rows {

/// Uninitialized rows, one after the other.
[[nodiscard]] inline precis::matrix_view<float> take_rows(scratch_arena& memory, std::size_t rows, std::size_t width) {
  return dense_rows(memory.take(rows * width), rows, width);
}

/// Computes y = W x + b for every row.
inline void apply(const stored_matrix& matrix, std::span<const float> bias, input_rows& x, precis::matrix_view<float> y,
                  thread_team& threads) {
  multiply(matrix, x, y, threads);
  for (std::size_t n = 0; n < y.rows && !bias.empty(); ++n)
    for (std::size_t i = 0; i < y.cols; ++i) y(n, i) += bias[i];
}
inline void apply(const packed_block& b, linear block::* map, input_rows& x, precis::matrix_view<float> y,
                  thread_team& threads) {
  apply(b.of(map), (b.rest.*map).bias, x, y, threads);
}

/// x = x + y
inline void add(precis::matrix_view<float> x, precis::matrix_view<const float> y) noexcept {
  for (std::size_t n = 0; n < y.rows; ++n)
    for (std::size_t i = 0; i < y.cols; ++i) x(n, i) += y(n, i);
}

/// x = x * by
inline void scale(precis::matrix_view<float> x, float by) noexcept {
  if (by == 1) return;
  for (std::size_t n = 0; n < x.rows; ++n)
    for (float& f : x.row(n)) f *= by;
}

/// Normalizes the first features of every row of x.
inline void normalize_rows(const norm& by, precis::matrix_view<const float> x, float epsilon,
                           precis::matrix_view<float> to) noexcept {
  for (std::size_t n = 0; n < to.rows; ++n) normalize(by, x.row(n).first(to.cols), epsilon, to.row(n).data());
}

}  // namespace engine::packed_rows
