#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/math.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

/// The Cholesky factor of a symmetric positive definite matrix and the inverse of a triangular one, in blocks, so that
/// nearly all work is products.
namespace precis::linear_algebra {
PRECIS_IEEE_BEGIN

namespace detail {

inline constexpr std::size_t triangle_block = 64;

/// The factor of a small diagonal block, in place; entries above the diagonal are not read. @return whether every pivot
/// is positive.
template<class = void>
[[nodiscard]] inline bool factor_block(matrix_view<double> a) noexcept {
  for (std::size_t j = 0; j < a.rows; ++j) {
    double pivot = a(j, j);
    for (std::size_t k = 0; k < j; ++k) pivot -= a(j, k) * a(j, k);
    if (!(pivot > 0) || !kernel::is_finite(pivot)) return false;
    const double root = math::sqrt(pivot);
    a(j, j) = root;
    for (std::size_t i = j + 1; i < a.rows; ++i) {
      double sum = a(i, j);
      for (std::size_t k = 0; k < j; ++k) sum -= a(i, k) * a(j, k);
      a(i, j) = sum / root;
    }
  }
  return true;
}

/// The inverse of a small lower triangular matrix, with zeros above the diagonal.
template<class = void>
inline void invert_block(matrix_view<const double> l, matrix_view<double> inverse) noexcept {
  for (std::size_t j = 0; j < l.rows; ++j) {
    for (std::size_t i = 0; i < j; ++i) inverse(i, j) = 0;
    inverse(j, j) = 1 / l(j, j);
    for (std::size_t i = j + 1; i < l.rows; ++i) {
      double sum = 0;
      for (std::size_t k = j; k < i; ++k) sum -= l(i, k) * inverse(k, j);
      inverse(i, j) = sum / l(i, i);
    }
  }
}

/// to = -from.
template<class = void>
inline void copy_negated(matrix_view<const double> from, matrix_view<double> to) noexcept {
  for (std::size_t i = 0; i < from.rows; ++i)
    for (std::size_t j = 0; j < from.cols; ++j) to(i, j) = -from(i, j);
}

}  // namespace detail

/// Replaces a symmetric matrix by its lower Cholesky factor: A = L L'. Reads the lower triangle; sets the upper one to
/// zero.
///
/// Requires  a square matrix.
/// Cost      n^3 / 6 multiply-adds in double, in products of blocks. The executor distributes rows.
/// Source    Golub and Van Loan, Matrix Computations, algorithm 4.2.3 (block Cholesky, left-looking).
/// @return   whether the matrix is positive definite; if not, its content is undefined.
/// @post     bit-identical on any executor.
template<executor Executor = sequential>
[[nodiscard]] bool cholesky(basic_matrix<double>& a, Executor&& run = {}) {
  PRECIS_EXPECTS(a.rows == a.cols, "a square matrix");
  using double_lanes = kernel::native_double_lanes;
  constexpr std::size_t block = detail::triangle_block, rows_at_a_time = 2 * block;
  const std::size_t n = a.rows;
  basic_matrix<double> minus(block, n), inverse(block, block);
  for (std::size_t j = 0; j < n; j += block) {
    const std::size_t width = std::min(block, n - j);
    const auto left = minus.view().row_range(0, width).col_range(0, j);
    detail::copy_negated(a.view().row_range(j, width).col_range(0, j), left);
    const auto column = a.view().col_range(j, width);
    const auto subtract = [&](std::size_t first, std::size_t height) {
      std::vector<double> workspace(kernel::product_workspace);
      kernel::product_add<double_lanes>(std::as_const(a).view().row_range(first, height).col_range(0, j),
                                        matrix_view<const double>(left).transposed(), column.row_range(first, height),
                                        as_writable_span(workspace));
    };
    if (j > 0) subtract(j, width);
    if (!detail::factor_block(column.row_range(j, width))) return false;
    const auto of_block = inverse.view().row_range(0, width).col_range(0, width);
    detail::invert_block(matrix_view<const double>(column.row_range(j, width)), of_block);
    const std::size_t below = j + width, rest = n - below;
    run.for_each((rest + rows_at_a_time - 1) / rows_at_a_time, [&](std::size_t part) {
      const std::size_t first = below + part * rows_at_a_time, height = std::min(rows_at_a_time, n - first);
      if (j > 0) subtract(first, height);
      basic_matrix<double> copy(height, width);
      std::vector<double> workspace(kernel::product_workspace);
      for (std::size_t i = 0; i < height; ++i)
        for (std::size_t k = 0; k < width; ++k) copy(i, k) = column(first + i, k);
      kernel::product<double_lanes>(std::as_const(copy).view(), matrix_view<const double>(of_block).transposed(),
                                    column.row_range(first, height), as_writable_span(workspace));
    });
  }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = i + 1; k < n; ++k) a(i, k) = 0;
  return true;
}

/// Replaces a lower triangular matrix by its inverse. Entries above the diagonal must be zero, and stay so.
///
/// Requires  a square matrix without a zero on its diagonal.
/// Cost      n^3 / 3 multiply-adds in double, in products of blocks. The executor distributes columns.
template<executor Executor = sequential>
void invert_lower(basic_matrix<double>& l, Executor&& run = {}) {
  PRECIS_EXPECTS(l.rows == l.cols, "a square matrix");
  using double_lanes = kernel::native_double_lanes;
  constexpr std::size_t block = detail::triangle_block, columns_at_a_time = 2 * block;
  const std::size_t n = l.rows;
  basic_matrix<double> inverse(block, block), minus(block, block), of_row(block, n);
  for (std::size_t i = 0; i < n; i += block) {
    const std::size_t height = std::min(block, n - i);
    const auto corner = l.view().row_range(i, height).col_range(i, height);
    const auto inverted = inverse.view().row_range(0, height).col_range(0, height);
    const auto negative = minus.view().row_range(0, height).col_range(0, height);
    detail::invert_block(matrix_view<const double>(corner), inverted);
    detail::copy_negated(matrix_view<const double>(inverted), negative);
    // Rows above are inverted already: X_i = -inverse(L_ii) L_i X_above. X_above is triangular: columns from j0 on start
    // at row j0.
    run.for_each((i + columns_at_a_time - 1) / columns_at_a_time, [&](std::size_t part) {
      const std::size_t j0 = part * columns_at_a_time, columns = std::min(columns_at_a_time, i - j0);
      std::vector<double> workspace(kernel::product_workspace);
      kernel::product<double_lanes>(std::as_const(l).view().row_range(i, height).col_range(j0, i - j0),
                                    std::as_const(l).view().row_range(j0, i - j0).col_range(j0, columns),
                                    of_row.view().row_range(0, height).col_range(j0, columns),
                                    as_writable_span(workspace));
    });
    std::vector<double> workspace(kernel::product_workspace);
    kernel::product<double_lanes>(matrix_view<const double>(negative),
                                  std::as_const(of_row).view().row_range(0, height).col_range(0, i),
                                  l.view().row_range(i, height).col_range(0, i), as_writable_span(workspace));
    for (std::size_t r = 0; r < height; ++r)
      for (std::size_t c = 0; c < height; ++c) corner(r, c) = inverted(r, c);
  }
}

PRECIS_IEEE_END
}  // namespace precis::linear_algebra
