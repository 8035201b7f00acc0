#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/linear_algebra/symmetric_eigenproblem.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace precis::score::canonical {
PRECIS_IEEE_BEGIN

using linear_algebra::eigen_system;
using linear_algebra::eigenvalues;
using linear_algebra::eigenvectors;
using linear_algebra::matrix;

using linear_algebra::add;
using linear_algebra::dot;
using linear_algebra::lanes;

inline constexpr std::size_t column_block = 192;

/// X^T X, both triangles.
template<class = void>
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

namespace detail {

/// X T for an upper triangular T.
template<class = void>
[[nodiscard]] inline matrix times_triangle(matrix_view<const double> x, const matrix& t, std::span<double> workspace) {
  matrix y(x.rows, t.cols);
  for (std::size_t j = 0; j < t.cols; j += column_block) {
    const std::size_t width = std::min(column_block, t.cols - j);
    kernel::product<lanes>(x.col_range(0, j + width), t.view().row_range(0, j + width).col_range(j, width),
                           y.view().col_range(j, width), workspace);
  }
  return y;
}

/// The upper triangular T with T^T G T = I, from the upper triangle of G; no value if G is not numerically positive
/// definite. T is the inverse of the Cholesky factor R of G: for X with X^T X = G, the columns of X T are orthonormal.
template<class = void>
[[nodiscard]] inline std::optional<matrix> whitening_triangle(matrix g, std::span<double> workspace) {
  const std::size_t n = g.rows;
  constexpr std::size_t block = 32;
  matrix minus(block, n);  // the columns of R above a block, negated and transposed
  for (std::size_t j0 = 0; j0 < n; j0 += block) {
    const std::size_t j1 = std::min(n, j0 + block);
    for (std::size_t i = 0; i < j0; ++i)
      for (std::size_t j = j0; j < j1; ++j) minus(j - j0, i) = -g(i, j);
    const matrix_view<double> rows = g.view().row_range(j0, j1 - j0).col_range(j0, n - j0);
    kernel::product_add<lanes>(minus.view().row_range(0, j1 - j0).col_range(0, j0),
                               g.view().row_range(0, j0).col_range(j0, n - j0), rows, workspace);
    for (std::size_t i = j0; i < j1; ++i) {
      double* const row = g.row(i).data();
      for (std::size_t k = j0; k < i; ++k) add(-g(k, i), g.row(k).data() + i, row + i, n - i);
      if (!(row[i] > 0)) return std::nullopt;
      const double root = math::sqrt(row[i]);
      row[i] = root;
      for (std::size_t j = i + 1; j < n; ++j) row[j] /= root;
    }
  }
  // R T = I, solved from the last block of rows up: T_ii = R_ii^-1,  T_i,rest = -T_ii (R_i,rest T_rest,rest).
  matrix t(n, n), sum(block, n), corner(block, block);
  for (std::size_t blocks = (n + block - 1) / block; blocks-- > 0;) {
    const std::size_t i0 = blocks * block, i1 = std::min(n, i0 + block), height = i1 - i0, rest = n - i1;
    for (std::size_t i = i1; i-- > i0;) {
      t(i, i) = 1.0 / g(i, i);
      for (std::size_t j = i + 1; j < i1; ++j) {
        double s = 0;
        for (std::size_t k = i + 1; k <= j; ++k) s = math::fma(g(i, k), t(k, j), s);
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

/// An upper bound of the squared condition number of X: bounds of |G|_2 and |G^-1|_2 by traces, together at most size^2
/// times too large.
template<class = void>
[[nodiscard]] inline double squared_condition_bound(const matrix& g, const matrix& t) noexcept {
  double trace = 0, inverse = 0;
  for (std::size_t i = 0; i < g.rows; ++i) {
    trace += g(i, i);
    inverse += dot(t.row(i).data() + i, t.row(i).data() + i, t.cols - i);
  }
  return trace * inverse;
}

/// |Q^T Q z - z| for one vector z of signs: an estimate of |Q^T Q - I|_F, the deviation from orthonormal columns.
template<class = void>
[[nodiscard]] inline double orthogonality_error(const matrix& q) {
  std::vector<double> z(q.cols), back(q.cols);
  for (std::size_t j = 0; j < q.cols; ++j) back[j] = -(z[j] = (j * 0x9e3779b97f4a7c15u >> 63) != 0 ? 1.0 : -1.0);
  for (std::size_t i = 0; i < q.rows; ++i)
    add(dot(q.row(i).data(), z.data(), q.cols), q.row(i).data(), back.data(), q.cols);
  return math::sqrt(dot(back.data(), back.data(), q.cols));
}

}  // namespace detail

/// The directions of a layer's activations that are compared.
struct directions {
  double tolerance = 1e-6;  ///< drop directions with singular values <= tolerance x the largest as rounding noise
  double variance = 1;      ///< keep the leading directions with this share of the variance; 1 = all (SVCCA: 0.99)
  std::size_t most = 0;     ///< keep at most this many leading directions; 0 = no limit (SVCCA's notebook: 20)
  bool operator==(const directions&) const = default;
};

/// The space spanned by a layer's centred activations.
struct subspace {
  matrix basis = {};  ///< [rows x rank], orthonormal columns
  matrix coordinates =
      {};  ///< [rank x features]; basis x coordinates = the centred activations if no direction is dropped
  std::size_t features = 0;
  double variance_kept = 1;  ///< share of the variance in the kept directions

  [[nodiscard]] std::size_t rank() const noexcept { return basis.cols; }
};

/// Columns minus their means, in double. The first row is subtracted first, so that a constant column becomes exactly
/// zero.
///
/// Errors   an activation that is not finite, by row and feature; `name` is the site in the message.
template<class = void>
[[nodiscard]] inline matrix centred(matrix_view<const float> x, const std::string& name) {
  matrix out(x.rows, x.cols);
  std::vector<double> mean(x.cols);
  for (std::size_t r = 0; r < x.rows; ++r)
    for (std::size_t c = 0; c < x.cols; ++c) {
      const double v = x(r, c);
      if (!kernel::is_finite(v))
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

/// An orthonormal basis of the centred columns of x and, on request, the coordinates of x in it.
///
/// Shapes    x [rows x features]
/// Errors    activations that are not finite. Constant activations have rank 0.
/// Cost      4 rows features^2 operations in products: X^T X = R^T R and X R^-1, twice if one pass leaves the columns
///           more than 1e-12 from orthonormal. Eigenvectors of X^T X (about 9 features^3) only if directions are
///           dropped.
/// Source    Yamamoto, Nakatsukasa, Yanagisawa, Fukaya 2015, "Roundoff error analysis of the CholeskyQR2 algorithm".
/// Differs   SVCCA takes an SVD of X. This gives the same bits on every machine and runs several times faster than
///           Eigen's QR and SVD (benchmarks/score/cca).
template<class = void>
[[nodiscard]] inline subspace span_of(matrix_view<const float> x, const directions& keep, bool with_coordinates,
                                      const std::string& name, std::span<double> workspace) {
  const matrix centre = centred(x, name);
  const std::size_t n = x.cols;
  subspace s{.basis = matrix(x.rows, 0), .coordinates = matrix(0, n), .features = n};
  matrix g = gram(centre.view(), workspace);
  double total = 0;
  for (std::size_t i = 0; i < n; ++i) total += g(i, i);
  if (!(total > 0)) return s;

  const auto orthonormalise = [&](matrix y) {  // second pass if the first was not accurate enough
    if (detail::orthogonality_error(y) > 1e-12)
      if (const auto t = detail::whitening_triangle(gram(y.view(), workspace), workspace))
        y = detail::times_triangle(y.view(), *t, workspace);
    return y;
  };
  const double least = keep.tolerance * keep.tolerance;  // of squared singular values
  const bool keep_all = !(keep.variance < 1) && (keep.most == 0 || keep.most >= n);
  bool full_rank = false;
  std::optional<matrix> t;
  if (keep_all && x.rows > n) {
    t = detail::whitening_triangle(g, workspace);
    full_rank = t && detail::squared_condition_bound(g, *t) * least < 1;
    if (t && !full_rank) {  // the bound is coarse: compute the eigenvalues
      const std::vector<double> squares = eigenvalues(g, workspace);
      full_rank = squares.back() > least * squares.front();
    }
  }
  if (t && full_rank) {
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
    kernel::product<lanes>(centre.view(), squares.vectors.view().row_range(0, rank).transposed(), y.view(), workspace);
    for (std::size_t j = 0; j < rank; ++j) {
      const double scale = 1.0 / math::sqrt(squares.values[j]);
      for (std::size_t i = 0; i < x.rows; ++i) y(i, j) *= scale;
    }
    s.basis = orthonormalise(std::move(y));
  }
  if (with_coordinates) {
    s.coordinates = matrix(s.rank(), n);
    kernel::product<lanes>(s.basis.view().transposed(), centre.view(), s.coordinates.view(), workspace);
  }
  return s;
}

PRECIS_IEEE_END
}  // namespace precis::score::canonical
