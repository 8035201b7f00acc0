#pragma once

#include <precis/core/error.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/linear_algebra/symmetric_eigenproblem.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace precis::score::canonical {

using linear_algebra::eigen_system;
using linear_algebra::eigenvalues;
using linear_algebra::eigenvectors;
using linear_algebra::matrix;

namespace detail {

using linear_algebra::detail::add;
using linear_algebra::detail::dot;
using linear_algebra::detail::lanes;

inline constexpr std::size_t column_block = 192;

/// c += a b
inline void multiply_add(matrix_view<const double> a, matrix_view<const double> b, matrix_view<double> c,
                         std::span<double> workspace) {
  kernel::product_add<lanes>(a, b, c, workspace);
}

/// X^T X, both triangles.
[[nodiscard]] inline matrix gram(matrix_view<const double> x, std::span<double> workspace) {
  matrix g(x.cols, x.cols);
  for (std::size_t j = 0; j < x.cols; j += column_block) {
    const std::size_t width = std::min(column_block, x.cols - j);
    kernel::product<lanes>(x.col_range(0, j + width).transposed(), x.col_range(j, width),
                           g.view().row_range(0, j + width).col_range(j, width), workspace);
  }
  for (std::size_t i = 0; i < x.cols; ++i)
    for (std::size_t j = i + 1; j < x.cols; ++j) g(j, i) = g(i, j);
  return g;
}

/// X T for an upper triangular T.
[[nodiscard]] inline matrix times_triangle(matrix_view<const double> x, const matrix& t, std::span<double> workspace) {
  matrix y(x.rows, t.cols);
  for (std::size_t j = 0; j < t.cols; j += column_block) {
    const std::size_t width = std::min(column_block, t.cols - j);
    kernel::product<lanes>(x.col_range(0, j + width), t.view().row_range(0, j + width).col_range(j, width),
                           y.view().col_range(j, width), workspace);
  }
  return y;
}

/// The upper triangular T with T^T G T = I, from G's upper triangle; nothing where G is not positive definite in floating
/// point. T is the inverse of G's Cholesky factor R: columns of X with X^T X = G become orthonormal as X T.
[[nodiscard]] inline std::optional<matrix> whitening_triangle(matrix g, std::span<double> workspace) {
  const std::size_t n = g.rows;
  constexpr std::size_t block = 32;
  matrix minus(block, n);  // a block's columns of R above it, negated and turned
  for (std::size_t j0 = 0; j0 < n; j0 += block) {
    const std::size_t j1 = std::min(n, j0 + block);
    for (std::size_t i = 0; i < j0; ++i)
      for (std::size_t j = j0; j < j1; ++j) minus(j - j0, i) = -g(i, j);
    const matrix_view<double> rows = g.view().row_range(j0, j1 - j0).col_range(j0, n - j0);
    multiply_add(minus.view().row_range(0, j1 - j0).col_range(0, j0), g.view().row_range(0, j0).col_range(j0, n - j0),
                 rows, workspace);
    for (std::size_t i = j0; i < j1; ++i) {
      double* const row = g.row(i).data();
      for (std::size_t k = j0; k < i; ++k) add(-g(k, i), g.row(k).data() + i, row + i, n - i);
      if (!(row[i] > 0)) return std::nullopt;
      const double root = std::sqrt(row[i]);
      row[i] = root;
      for (std::size_t j = i + 1; j < n; ++j) row[j] /= root;
    }
  }
  // R T = I, rows of T from the last block up: T_ii = R_ii^-1,  T_i,rest = -T_ii (R_i,rest T_rest,rest).
  matrix t(n, n), sum(block, n), corner(block, block);
  for (std::size_t blocks = (n + block - 1) / block; blocks-- > 0;) {
    const std::size_t i0 = blocks * block, i1 = std::min(n, i0 + block), height = i1 - i0, rest = n - i1;
    for (std::size_t i = i1; i-- > i0;) {
      t(i, i) = 1.0 / g(i, i);
      for (std::size_t j = i + 1; j < i1; ++j) {
        double s = 0;
        for (std::size_t k = i + 1; k <= j; ++k) s = std::fma(g(i, k), t(k, j), s);
        t(i, j) = -s * t(i, i);
      }
    }
    if (rest == 0) continue;
    const matrix_view<double> right = sum.view().row_range(0, height).col_range(0, rest);
    kernel::product<lanes>(g.view().row_range(i0, height).col_range(i1, rest),
                           t.view().row_range(i1, rest).col_range(i1, rest), right, workspace);
    for (std::size_t i = 0; i < height; ++i)
      for (std::size_t j = 0; j < height; ++j) corner(i, j) = -t(i0 + i, i0 + j);
    kernel::product<lanes>(corner.view().row_range(0, height).col_range(0, height), right,
                           t.view().row_range(i0, height).col_range(i1, rest), workspace);
  }
  return t;
}

/// Upper bound of |G^-1|_2 = 1 / smallest eigenvalue, times that of |G|_2: the squared condition of X, at most `size`
/// squared times too large.
[[nodiscard]] inline double squared_condition_bound(const matrix& g, const matrix& t) noexcept {
  double trace = 0, inverse = 0;
  for (std::size_t i = 0; i < g.rows; ++i) {
    trace += g(i, i);
    inverse += dot(t.row(i).data() + i, t.row(i).data() + i, t.cols - i);
  }
  return trace * inverse;
}

/// |Q^T Q z - z| for one vector z of signs: how far the columns of Q are from orthonormal, about their Frobenius norm.
[[nodiscard]] inline double orthogonality_error(const matrix& q) {
  std::vector<double> z(q.cols), back(q.cols);
  for (std::size_t j = 0; j < q.cols; ++j) back[j] = -(z[j] = (j * 0x9e3779b97f4a7c15u >> 63) != 0 ? 1.0 : -1.0);
  for (std::size_t i = 0; i < q.rows; ++i)
    add(dot(q.row(i).data(), z.data(), q.cols), q.row(i).data(), back.data(), q.cols);
  return std::sqrt(dot(back.data(), back.data(), q.cols));
}

}  // namespace detail

/// Which directions of a layer's activations are compared.
struct directions {
  double tolerance = 1e-6;  ///< directions with a singular value of at most tolerance x the largest are rounding
  double variance = 1;      ///< the leading ones that hold this share of the variance; 1 = all (SVCCA: 0.99)
  std::size_t most = 0;     ///< at most so many, the leading ones; 0 = no bound (SVCCA's notebook: 20)
  bool operator==(const directions&) const = default;
};

/// The space that a layer's centred activations span.
struct subspace {
  matrix basis;        ///< [rows x rank], orthonormal columns
  matrix coordinates;  ///< [rank x features]: basis x coordinates = the centred activations, where all of them is kept
  std::size_t features = 0;
  double variance_kept = 1;  ///< share of the variance that the kept directions hold

  [[nodiscard]] std::size_t rank() const noexcept { return basis.cols; }
};

/// Columns minus their means, in double. The first row is taken off first: a constant column becomes exactly zero.
///
/// Errors   an activation that is not finite, by row and feature; `name` says whose.
[[nodiscard]] inline matrix centred(matrix_view<const float> x, const std::string& name) {
  matrix out(x.rows, x.cols);
  std::vector<double> mean(x.cols);
  for (std::size_t r = 0; r < x.rows; ++r)
    for (std::size_t c = 0; c < x.cols; ++c) {
      const double v = x(r, c);
      if (!std::isfinite(v))
        refuse({.what = name + " is " + std::to_string(v) + " at row " + std::to_string(r) + ", feature " +
                        std::to_string(c),
                .where = "score::cca",
                .expected = "finite activations"});
      out(r, c) = v - static_cast<double>(x(0, c));
      mean[c] += out(r, c);
    }
  for (double& m : mean) m /= static_cast<double>(x.rows);
  for (std::size_t r = 0; r < x.rows; ++r)
    for (std::size_t c = 0; c < x.cols; ++c) out(r, c) -= mean[c];
  return out;
}

/// An orthonormal basis of the centred columns of x, and how x is made of it.
///
/// Shapes    x [rows x features]
/// Errors    activations that are not finite. Constant activations have rank 0.
/// Cost      4 rows features^2 operations, all in products: X^T X = R^T R and X R^-1, twice where one pass leaves the
///           columns further than 1e-12 from orthonormal. Eigenvectors of X^T X (about 9 features^3) only where some
///           directions are dropped.
/// Source    the two passes: Yamamoto, Nakatsukasa, Yanagisawa, Fukaya 2015, "Roundoff error analysis of the CholeskyQR2
///           algorithm"; the ranks: methods A6, B4, B5.
/// Differs   methods A9 wants Eigen's QR and SVD. This needs no library, gives the same bits everywhere, compiles in a
///           fifth of the time and runs several times faster (benchmarks/score/cca).
[[nodiscard]] inline subspace span_of(matrix_view<const float> x, const directions& keep, bool with_coordinates,
                                      const std::string& name, std::span<double> workspace) {
  const matrix centre = centred(x, name);
  const std::size_t n = x.cols;
  subspace s{.basis = matrix(x.rows, 0), .coordinates = matrix(0, n), .features = n};
  matrix g = detail::gram(centre.view(), workspace);
  double total = 0;
  for (std::size_t i = 0; i < n; ++i) total += g(i, i);
  if (!(total > 0)) return s;

  const auto orthonormalise = [&](matrix y) {  // a second pass, where the first was not enough
    if (detail::orthogonality_error(y) > 1e-12)
      if (const auto t = detail::whitening_triangle(detail::gram(y.view(), workspace), workspace))
        y = detail::times_triangle(y.view(), *t, workspace);
    return y;
  };
  const double least = keep.tolerance * keep.tolerance;  // of squared singular values
  const bool all = !(keep.variance < 1) && (keep.most == 0 || keep.most >= n);
  bool full = false;
  std::optional<matrix> t;
  if (all && x.rows > n) {
    t = detail::whitening_triangle(g, workspace);
    full = t && detail::squared_condition_bound(g, *t) * least < 1;
    if (t && !full) {  // the bound is coarse
      const std::vector<double> squares = eigenvalues(g, workspace);
      full = squares.back() > least * squares.front();
    }
  }
  if (full) {
    s.basis = orthonormalise(detail::times_triangle(centre.view(), *t, workspace));
  } else {
    const eigen_system squares = eigenvectors(std::move(g), workspace);
    std::size_t rank = 0;
    double sum = 0;
    while (rank < n && squares.values[rank] > least * squares.values[0] && (keep.most == 0 || rank < keep.most) &&
           !(keep.variance < 1 && sum >= keep.variance * total))
      sum += squares.values[rank++];
    s.variance_kept = std::min(1.0, sum / total);
    matrix y(x.rows, rank);
    kernel::product<detail::lanes>(centre.view(), squares.vectors.view().row_range(0, rank).transposed(), y.view(),
                                   workspace);
    for (std::size_t j = 0; j < rank; ++j) {
      const double scale = 1.0 / std::sqrt(squares.values[j]);
      for (std::size_t i = 0; i < x.rows; ++i) y(i, j) *= scale;
    }
    s.basis = orthonormalise(std::move(y));
  }
  if (with_coordinates) {
    s.coordinates = matrix(s.rank(), n);
    kernel::product<detail::lanes>(s.basis.view().transposed(), centre.view(), s.coordinates.view(), workspace);
  }
  return s;
}

}  // namespace precis::score::canonical
