#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/linear_algebra/symmetric_eigenproblem.hpp>

#include <cstddef>
#include <cstdlib>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace precis::linear_algebra {
PRECIS_IEEE_BEGIN

/// The singular value decomposition of W, as a sum of rank-one parts, largest first:  W = sum of left_r right_r^T,
/// left_r right_r^T = sigma_r u_r v_r^T.
///
/// The vectors of the shorter side (`right` if in <= out) have length one, those of the other side length sigma:
/// nothing is divided by a singular value, so the parts of tiny and zero singular values are as exact as the others.
struct singular_system {
  std::vector<double> values{};  ///< [count] singular values, count = min(out, in), largest first
  matrix left = {};              ///< [count x out]
  matrix right = {};             ///< [count x in]

  [[nodiscard]] std::size_t count() const noexcept { return values.size(); }
};

namespace detail {

/// Rotates parts so that they are orthogonal on both sides: `units` have length one, `scaled` are the matrix times
/// `units`. Returns the eigenvectors that define the rotation, and the squared lengths, largest first.
template<class = void>
inline eigen_system separate(matrix_view<double> units, matrix_view<double> scaled, std::span<double> workspace) {
  const std::size_t n = scaled.rows;
  matrix g(n, n);
  for (std::size_t j = 0; j < n; j += 192) {  // the upper triangle
    const std::size_t wide = std::min<std::size_t>(192, n - j);
    kernel::product<lanes>(scaled.row_range(0, j + wide), scaled.row_range(j, wide).transposed(),
                           g.view().row_range(0, j + wide).col_range(j, wide), workspace);
  }
  eigen_system squares = eigenvectors(std::move(g), workspace);
  for (const matrix_view<double> side : {units, scaled}) {
    if (side.empty()) continue;
    matrix turned(n, side.cols);
    kernel::product<lanes>(squares.vectors.view(), side, turned.view(), workspace);
    for (std::size_t r = 0; r < n; ++r) copy_span(turned.row(r), side.row(r));
  }
  return squares;
}

}  // namespace detail

/// Computes the singular values of W and their parts.
///
/// Shapes    w [out x in], any strides.
/// Sign      the entry of u_r of largest magnitude is positive (the first, if several).
/// Errors    a weight that is not finite, reported with its row, its column and `name`.
/// Cost      with s = min(out, in), l = max(out, in): 3 s^2 l operations in products and about 9 s^3 for the
///           eigenvectors of the smaller of W W^T and W^T W.
/// Source    Golub and Van Loan 2013, ISBN 978-1-4214-0794-4, section 8.6.3 (through the symmetric problem).
/// Differs   Squaring mixes parts whose singular values are below about 1e-8 of the largest. They are separated again
///           on their own, so that every value is accurate to about 1e-15 of the largest. Compared with Eigen's BDCSVD,
///           this is faster, compiles in a fraction of the time and gives the same bits everywhere
///           (benchmarks/score/eigen_attribution).
/// @post     |W - sum of parts|_F <= 1e-12 |W|_F, and the squares of the values sum to |W|_F^2 within 1e-12 of it.
template<class = void>
[[nodiscard]] inline singular_system singular_values(weight_view w, const std::string& name = "the matrix") {
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t c = 0; c < w.cols; ++c)
      if (!kernel::is_finite(w(r, c)))
        refuse({.what = name + " holds " + std::to_string(w(r, c)) + " at [" + std::to_string(r) + ", " +
                        std::to_string(c) + "]",
                .where = "linear_algebra::singular_values",
                .expected = "finite weights"});
  const bool tall = w.rows >= w.cols;
  const weight_view long_by_short = tall ? w : w.transposed();
  const std::size_t n = long_by_short.cols, length = long_by_short.rows;
  matrix units(n, n), scaled(n, length);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < length; ++j) scaled(i, j) = static_cast<double>(long_by_short(j, i));
  }

  std::vector<double> workspace(kernel::product_workspace);
  constexpr double blurred = 1e-7;  // relative to the largest; rounding of the squares affects values below 1e-8
  for (std::size_t first = 0; first < n;) {
    const std::size_t count = n - first;
    eigen_system found = detail::separate(first == 0 ? matrix_view<double>{} : units.view().row_range(first, count),
                                          scaled.view().row_range(first, count), as_writable_span(workspace));
    if (first == 0) units = std::move(found.vectors);
    const std::vector<double>& squares = found.values;
    const double least = std::max(0.0, squares.front()) * blurred * blurred;
    std::size_t next = first + 1;
    while (next < n && squares[next - first] > least) ++next;
    if (first == 0 && squares.front() <= 0) break;  // all zeros
    first = next;
    if (first < n) {  // if W is rank-deficient, only rounding errors are left
      double rest = 0, all = 0;
      for (std::size_t r = 0; r < n; ++r) {
        const double square = dot(scaled.row(r).data(), scaled.row(r).data(), length);
        all += square;
        if (r >= first) rest += square;
      }
      const double eps = static_cast<double>(length) * std::numeric_limits<double>::epsilon();
      if (rest <= eps * eps * all) break;
    }
  }

  std::vector<double> lengths(n);
  for (std::size_t r = 0; r < n; ++r) lengths[r] = math::sqrt(dot(scaled.row(r).data(), scaled.row(r).data(), length));
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return lengths[a] > lengths[b]; });

  singular_system s{.values = {}, .left = matrix(n, w.rows), .right = matrix(n, w.cols)};
  for (std::size_t r = 0; r < n; ++r) {
    const std::size_t from = order[r];
    s.values.push_back(lengths[from]);
    const std::span<double> unit = units.row(from), part = scaled.row(from), u = tall ? part : unit;
    std::size_t at = 0;
    for (std::size_t i = 1; i < u.size(); ++i)
      if (std::abs(u[i]) > std::abs(u[at])) at = i;
    const double sign = !u.empty() && u[at] < 0 ? -1.0 : 1.0;
    const auto turn = [&](double v) { return sign * v; };
    const std::span<double> other = tall ? unit : part;
    std::transform(u.begin(), u.end(), s.left.row(r).begin(), turn);
    std::transform(other.begin(), other.end(), s.right.row(r).begin(), turn);
  }
  return s;
}

/// For every value, the index of the first value of its cluster. Adjacent values belong to one cluster if they differ
/// by at most `gap` times the larger one. Only the sum of a cluster's parts is unique, not the parts.
///
/// Requires  values in descending order.
template<class = void>
[[nodiscard]] inline std::vector<std::size_t> clusters(std::span<const double> values, double gap = 1e-8) {
  std::vector<std::size_t> first(values.size());
  for (std::size_t r = 1; r < values.size(); ++r)
    first[r] = values[r - 1] - values[r] <= gap * values[r - 1] ? first[r - 1] : r;
  return first;
}

PRECIS_IEEE_END
}  // namespace precis::linear_algebra
