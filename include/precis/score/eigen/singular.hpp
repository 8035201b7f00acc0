#pragma once

#include <precis/core/error.hpp>
#include <precis/core/text.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/product.hpp>
#include <precis/score/canonical/symmetric.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::score {

/// A matrix, or the rows or columns of one head of it, whose singular values stand for themselves.
struct matrix_slice {
  std::string name;        ///< "h.3.attn.c_attn key", "h.3.attn.c_attn key head 2"
  std::string component;   ///< "key": slices of one component may share a pool
  std::size_t matrix = 0;  ///< index into the model's matrices()
  std::size_t first_row = 0, rows = 0;
  std::size_t first_col = 0, cols = 0;

  template<class T>
  [[nodiscard]] matrix_view<T> of(matrix_view<T> whole) const noexcept {
    return whole.row_range(first_row, rows).col_range(first_col, cols);
  }
  bool operator==(const matrix_slice&) const = default;
};

/// A whole matrix as one slice.
[[nodiscard]] inline matrix_slice whole_matrix(std::span<const matrix_info> matrices, std::size_t m,
                                               std::string component) {
  return {.name = matrices[m].name,
          .component = std::move(component),
          .matrix = m,
          .first_row = 0,
          .rows = matrices[m].out,
          .first_col = 0,
          .cols = matrices[m].in};
}

/// Refuses a slice that is empty or not inside its matrix.
inline void check(const matrix_slice& s, std::span<const matrix_info> matrices, const std::string& where) {
  if (s.matrix < matrices.size() && s.rows > 0 && s.cols > 0 && s.first_row + s.rows <= matrices[s.matrix].out &&
      s.first_col + s.cols <= matrices[s.matrix].in)
    return;
  refuse({.what = "slice '" + s.name + "' of " + std::to_string(s.rows) + " x " + std::to_string(s.cols),
          .where = where,
          .expected = "rows and columns inside a matrix of the model"});
}

/// A matrix as a sum of rank-one parts, sigma_r u_r v_r^T = left_r^T right_r, the largest singular value first.
///
/// The side with fewer dimensions has unit vectors, u or v; the other has sigma times unit vectors. So the parts add up to
/// the matrix to rounding, also where singular values are tiny or equal.
struct singular_parts {
  std::vector<double> values;  ///< [r] sigma
  basic_matrix<double> left;   ///< [r x out]
  basic_matrix<double> right;  ///< [r x in]

  [[nodiscard]] std::size_t size() const noexcept { return values.size(); }

  /// Ranges [first, last] of values that are equal to a relative gap of 1e-8: their parts could be chosen otherwise, only
  /// their sum is the matrix's own.
  [[nodiscard]] std::vector<std::pair<std::size_t, std::size_t>> clusters() const {
    std::vector<std::pair<std::size_t, std::size_t>> found;
    for (std::size_t first = 0, last = 0; first < size(); first = last + 1) {
      last = first;
      while (last + 1 < size() && values[last] - values[last + 1] <= 1e-8 * values[last]) ++last;
      if (last > first) found.emplace_back(first, last);
    }
    return found;
  }
};

/// The thin singular value decomposition, from the eigenvectors of the smaller Gram matrix in double.
///
/// Shapes    w [out x in]; r = min(out, in).
/// Errors    weights that are not finite; no convergence.
/// Cost      2 out in r operations for the Gram matrix and as many for the other side, 9 r^3 for the eigenvectors.
/// Differs   a singular value below 1e-8 of the largest has few right digits; its part is as small, and right.
[[nodiscard]] inline singular_parts decompose(weight_view w, const std::string& name) {
  using lanes = kernel::native_double_lanes;
  basic_matrix<double> a(w.rows, w.cols);
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t c = 0; c < w.cols; ++c) {
      a(r, c) = static_cast<double>(w(r, c));
      if (!std::isfinite(a(r, c)))
        refuse({.what = "the weight of " + name + " in row " + std::to_string(r) + ", column " + std::to_string(c) +
                        " is not finite",
                .where = "score::decompose",
                .expected = "finite weights"});
    }
  const bool wide = w.rows <= w.cols;
  const std::size_t n = std::min(w.rows, w.cols);
  std::vector<double> workspace(kernel::product_workspace);
  basic_matrix<double> squares(n, n);
  const auto view = std::as_const(a).view();
  if (wide)
    kernel::product<lanes>(view, view.transposed(), squares.view(), workspace);
  else
    kernel::product<lanes>(view.transposed(), view, squares.view(), workspace);
  canonical::eigen_system found = canonical::eigenvectors(std::move(squares), workspace);
  singular_parts out;
  basic_matrix<double> other(n, wide ? w.cols : w.rows);  // u^T W, or (W v)^T
  kernel::product<lanes>(std::as_const(found.vectors).view(), wide ? view : view.transposed(), other.view(), workspace);
  for (std::size_t r = 0; r < n; ++r) {
    double square = 0;
    for (const double x : other.row(r)) square = std::fma(x, x, square);
    out.values.push_back(std::sqrt(square));
  }
  out.left = wide ? std::move(found.vectors) : other;
  out.right = wide ? std::move(other) : std::move(found.vectors);
  return out;
}

}  // namespace precis::score
