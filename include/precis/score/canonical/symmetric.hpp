#pragma once

#include <precis/core/error.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/lanes.hpp>
#include <precis/kernel/product.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

/// The little linear algebra that comparing subspaces takes, in double, with one order of addition.
namespace precis::score::canonical {

using matrix = basic_matrix<double>;

namespace detail {

using lanes = kernel::native_double_lanes;

/// Dot products have eight running sums, whatever the width of the vectors, added as a tree in the end.
inline constexpr std::size_t sums = 8;
inline constexpr std::size_t vectors = sums / lanes::width;
static_assert(sums % lanes::width == 0);

struct running_sums {
  lanes::vector of[vectors];

  running_sums() noexcept {
    for (lanes::vector& v : of) v = lanes::zero();
  }
  [[nodiscard]] double total() const noexcept {
    double s[sums];
    for (std::size_t v = 0; v < vectors; ++v) lanes::store(s + v * lanes::width, of[v]);
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
  }
};

/// The first n elements of the vector at p, n of any size.
[[nodiscard]] inline lanes::vector load_up_to(const double* p, std::size_t n) noexcept {
  return n >= lanes::width ? lanes::load(p) : n == 0 ? lanes::zero() : lanes::load_part(p, n);
}
inline void store_up_to(double* p, lanes::vector x, std::size_t n) noexcept {
  if (n >= lanes::width)
    lanes::store(p, x);
  else if (n != 0)
    lanes::store_part(p, x, n);
}

/// sum of a[i] b[i]
[[nodiscard]] inline double dot(const double* a, const double* b, std::size_t n) noexcept {
  running_sums s;
  for (std::size_t i = 0; i < n; i += sums)
    for (std::size_t v = 0; v < vectors; ++v) {
      const std::size_t at = i + v * lanes::width, left = at < n ? n - at : 0;
      s.of[v] = lanes::fma(load_up_to(a + at, left), load_up_to(b + at, left), s.of[v]);
    }
  return s.total();
}

/// y += factor x
inline void add(double factor, const double* x, double* y, std::size_t n) noexcept {
  const lanes::vector f = lanes::broadcast(&factor);
  std::size_t i = 0;
  for (; i + lanes::width <= n; i += lanes::width)
    lanes::store(y + i, lanes::fma(f, lanes::load(x + i), lanes::load(y + i)));
  for (; i < n; ++i) y[i] = std::fma(factor, x[i], y[i]);
}

/// y += factors[0] rows[0] + factors[1] rows[1] + ..., one after the other.
inline void add_rows(std::span<const double> factors, matrix_view<const double> rows, double* y) noexcept {
  const std::size_t n = rows.cols;
  std::size_t i = 0;
  for (; i + lanes::width <= n; i += lanes::width) {
    const double* from = rows.data + i;
    lanes::vector sum = lanes::load(y + i);
    for (const double& factor : factors) {
      sum = lanes::fma(lanes::broadcast(&factor), lanes::load(from), sum);
      from += rows.row_stride;
    }
    lanes::store(y + i, sum);
  }
  for (; i < n; ++i)
    for (std::size_t j = 0; j < factors.size(); ++j) y[i] = std::fma(factors[j], rows(j, i), y[i]);
}

/// y = A x for the symmetric A whose upper triangle is stored: every element is read once and used twice.
inline void multiply_symmetric(matrix_view<const double> a, const double* x, double* y) noexcept {
  const std::size_t n = a.rows;
  std::fill_n(y, n, 0.0);
  constexpr std::size_t height = 4;
  std::size_t i = 0;
  for (; i + height <= n; i += height) {
    const double* rows[height];
    lanes::vector factors[height];
    running_sums s[height];
    for (std::size_t r = 0; r < height; ++r) {
      rows[r] = a.data + static_cast<std::ptrdiff_t>(i + r) * a.row_stride;
      factors[r] = lanes::broadcast(x + i + r);
    }
    double corner[height] = {};
    for (std::size_t r = 0; r < height; ++r) {
      corner[r] = std::fma(rows[r][i + r], x[i + r], corner[r]);
      for (std::size_t c = r + 1; c < height; ++c) {
        corner[r] = std::fma(rows[r][i + c], x[i + c], corner[r]);
        corner[c] = std::fma(rows[r][i + c], x[i + r], corner[c]);
      }
    }
    const auto step = [&](std::size_t at, std::size_t v, auto load, auto store) __attribute__((always_inline)) {
      const lanes::vector in = load(x + at);
      lanes::vector out = load(y + at);
      for (std::size_t r = 0; r < height; ++r) {
        const lanes::vector element = load(rows[r] + at);
        s[r].of[v] = lanes::fma(element, in, s[r].of[v]);
        out = lanes::fma(element, factors[r], out);
      }
      store(y + at, out);
    };
    std::size_t j = i + height;
    for (; j + sums <= n; j += sums)
      for (std::size_t v = 0; v < vectors; ++v)
        step(
            j + v * lanes::width, v, [](const double* p) { return lanes::load(p); },
            [](double* p, lanes::vector o) { lanes::store(p, o); });
    for (std::size_t v = 0; v < vectors && j + v * lanes::width < n; ++v) {
      const std::size_t left = n - j - v * lanes::width;
      step(
          j + v * lanes::width, v, [left](const double* p) { return load_up_to(p, left); },
          [left](double* p, lanes::vector o) { store_up_to(p, o, left); });
    }
    for (std::size_t r = 0; r < height; ++r) y[i + r] += corner[r] + s[r].total();
  }
  for (; i < n; ++i) {  // the last corner, fewer than `height` rows
    const double* row = a.data + static_cast<std::ptrdiff_t>(i) * a.row_stride;
    y[i] = std::fma(row[i], x[i], y[i]);
    for (std::size_t c = i + 1; c < n; ++c) {
      y[i] = std::fma(row[c], x[c], y[i]);
      y[c] = std::fma(row[c], x[i], y[c]);
    }
  }
}

/// A = H_0 H_1 ... T ... H_1 H_0 with H_k = I - scale[k] v_k v_k^T.
struct tridiagonal {
  std::vector<double> diagonal;  ///< [n]
  std::vector<double> beside;    ///< [n], beside[k] is T(k, k + 1); the last one is 0
  matrix reflections;            ///< row k is v_k, zero up to k, 1 at k + 1; only if asked for
  std::vector<double> scale;     ///< [n]
};

/// Reduces a symmetric matrix, of which the upper triangle is read and overwritten. Reflections are applied to the rest
/// of the matrix a few at a time, as one product; half of the work is one symmetric product a column.
[[nodiscard]] inline tridiagonal tridiagonalise(matrix& a, bool keep_reflections, std::span<double> workspace) {
  const std::size_t n = a.rows;
  constexpr std::size_t panel = 16;
  tridiagonal t{.diagonal = std::vector<double>(n),
                .beside = std::vector<double>(n),
                .reflections = keep_reflections ? matrix(n, n) : matrix(),
                .scale = std::vector<double>(n)};
  // Rows 2j: v_j, rows 2j + 1: w_j. The matrix so far is A - sum v_j w_j^T + w_j v_j^T; `swapped` has -w_j, -v_j.
  matrix pairs(2 * panel, n), swapped(2 * panel, n);
  std::vector<double> factors(2 * panel);
  for (std::size_t k0 = 0; k0 < n; k0 += panel) {
    const std::size_t k1 = std::min(n, k0 + panel);
    for (std::size_t k = k0; k < k1; ++k) {
      double* const row = a.row(k).data();
      const std::size_t before = 2 * (k - k0), rest = n - k - 1;
      for (std::size_t j = 0; j < before; ++j) factors[j] = swapped(j, k);
      add_rows(std::span(factors).first(before), pairs.view().row_range(0, before).col_range(k, n - k), row + k);
      t.diagonal[k] = row[k];
      double* const v = pairs.row(before).data();
      double* const w = pairs.row(before + 1).data();
      std::fill_n(v, n, 0.0);
      std::fill_n(w, n, 0.0);
      if (rest != 0) {
        double* const x = row + k + 1;
        const double below = rest > 1 ? dot(x + 1, x + 1, rest - 1) : 0.0;
        if (below == 0) {
          t.beside[k] = x[0];
        } else {
          const double length = -std::copysign(std::sqrt(std::fma(x[0], x[0], below)), x[0]);
          t.beside[k] = length;
          t.scale[k] = (length - x[0]) / length;
          const double factor = 1.0 / (x[0] - length);
          v[k + 1] = 1;
          for (std::size_t i = 1; i < rest; ++i) v[k + 1 + i] = x[i] * factor;
          double* const image = w + k + 1;
          multiply_symmetric({a.row(k + 1).data() + k + 1, rest, rest, static_cast<std::ptrdiff_t>(n), 1}, v + k + 1,
                             image);
          for (std::size_t j = 0; j < before; ++j) factors[j] = dot(pairs.row(j).data() + k + 1, v + k + 1, rest);
          add_rows(std::span(factors).first(before), swapped.view().row_range(0, before).col_range(k + 1, rest), image);
          for (std::size_t i = 0; i < rest; ++i) image[i] *= t.scale[k];
          add(-0.5 * t.scale[k] * dot(image, v + k + 1, rest), v + k + 1, image, rest);
        }
      }
      for (std::size_t i = 0; i < n; ++i) {
        swapped(before, i) = -w[i];
        swapped(before + 1, i) = -v[i];
      }
      if (keep_reflections) std::copy_n(v, n, t.reflections.row(k).begin());
    }
    constexpr std::size_t block = 96;
    for (std::size_t i = k1; i < n; i += block) {
      const std::size_t height = std::min(block, n - i), count = 2 * (k1 - k0);
      const matrix_view<double> part(a.row(i).data() + i, height, n - i, static_cast<std::ptrdiff_t>(n), 1);
      kernel::product_add<lanes>(pairs.view().row_range(0, count).col_range(i, height).transposed(),
                                 swapped.view().row_range(0, count).col_range(i, n - i), part, workspace);
    }
  }
  return t;
}

/// Diagonalises T by implicit QR steps with Wilkinson's shift; calls rotate(k, c, s) for every rotation of the
/// coordinates k and k + 1. The diagonal becomes the eigenvalues, in no order.
template<class Rotate>
void diagonalise(tridiagonal& t, Rotate&& rotate) {
  std::vector<double>&d = t.diagonal, &e = t.beside;
  if (d.empty()) return;
  constexpr double eps = std::numeric_limits<double>::epsilon();
  double largest = 0;
  for (std::size_t k = 0; k < d.size(); ++k) largest = std::max({largest, std::abs(d[k]), std::abs(e[k])});
  const auto negligible = [&](std::size_t k) {
    return std::abs(e[k]) <= eps * (std::abs(d[k]) + std::abs(d[k + 1])) || std::abs(e[k]) <= eps * eps * largest;
  };
  std::size_t steps_left = 60 * d.size();
  for (std::size_t last = d.size() - 1; last > 0;) {
    if (negligible(last - 1)) {
      --last;
      continue;
    }
    std::size_t first = last - 1;
    while (first > 0 && !negligible(first - 1)) --first;
    if (steps_left-- == 0)
      refuse({.what = "an eigenvalue that does not converge",
              .where = "score::canonical",
              .expected = "finite numbers of moderate size"});
    const double half = 0.5 * (d[last - 1] - d[last]), beside = e[last - 1];
    const double root = std::sqrt(std::fma(half, half, beside * beside));
    const double shift = std::fma(-beside, beside / (half + std::copysign(root, half)), d[last]);
    double x = d[first] - shift, z = e[first];
    for (std::size_t k = first; k < last; ++k) {
      const double length = std::sqrt(std::fma(x, x, z * z));
      const double inverse = length > 0 ? 1.0 / length : 0.0;
      const double c = length > 0 ? x * inverse : 1.0, s = z * inverse;
      if (k > first) e[k - 1] = length;
      const double cross = 2 * c * s * e[k], near = d[k], far = d[k + 1];
      const double cc = c * c, ss = s * s;  // fused by name, or compilers choose
      d[k] = std::fma(cc, near, std::fma(ss, far, cross));
      d[k + 1] = std::fma(ss, near, std::fma(cc, far, -cross));
      e[k] = std::fma(c * s, far - near, (c - s) * (c + s) * e[k]);
      if (k + 1 < last) {
        x = e[k];
        z = s * e[k + 1];
        e[k + 1] *= c;
      }
      rotate(k, c, s);
    }
  }
}

}  // namespace detail

/// Eigenvalues of a symmetric matrix, largest first, and unit eigenvectors as rows.
struct eigen_system {
  std::vector<double> values;  ///< [n]
  matrix vectors;              ///< [n x n], row i belongs to values[i]; of sign unspecified
};

/// Eigenvalues alone, largest first. Reads the upper triangle.
///
/// Errors   no convergence (numbers that are not finite).
/// Cost     4/3 n^3 operations, half of them bound by memory.
/// Source   Golub and Van Loan 2013, ISBN 978-1-4214-0794-4, sections 8.3.1 and 8.3.5.
[[nodiscard]] inline std::vector<double> eigenvalues(matrix a, std::span<double> workspace) {
  PRECIS_EXPECTS(a.rows == a.cols, "a symmetric matrix is square");
  detail::tridiagonal t = detail::tridiagonalise(a, false, workspace);
  detail::diagonalise(t, [](std::size_t, double, double) {});
  std::sort(t.diagonal.begin(), t.diagonal.end(), std::greater<>{});
  return std::move(t.diagonal);
}

/// Eigenvalues and eigenvectors. Reads the upper triangle. Cost: about 9 n^3 operations.
[[nodiscard]] inline eigen_system eigenvectors(matrix a, std::span<double> workspace) {
  PRECIS_EXPECTS(a.rows == a.cols, "a symmetric matrix is square");
  const std::size_t n = a.rows;
  detail::tridiagonal t = detail::tridiagonalise(a, true, workspace);
  matrix z(n, n);
  for (std::size_t i = 0; i < n; ++i) z(i, i) = 1;
  detail::diagonalise(t, [&](std::size_t k, double c, double s) {
    double *const p = z.row(k).data(), *const q = z.row(k + 1).data();
    for (std::size_t i = 0; i < n; ++i) {
      const double first = p[i], second = q[i];
      p[i] = std::fma(c, first, s * second);
      q[i] = std::fma(c, second, -(s * first));
    }
  });
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t i, std::size_t j) { return t.diagonal[i] > t.diagonal[j]; });
  eigen_system result{.values = {}, .vectors = matrix(n, n)};
  for (std::size_t i = 0; i < n; ++i) {
    result.values.push_back(t.diagonal[order[i]]);
    double* const to = result.vectors.row(i).data();
    std::ranges::copy(z.row(order[i]), to);
    for (std::size_t k = n; k-- > 0;) {
      if (t.scale[k] == 0) continue;
      const double* const v = t.reflections.row(k).data() + k + 1;
      detail::add(-t.scale[k] * detail::dot(v, to + k + 1, n - k - 1), v, to + k + 1, n - k - 1);
    }
  }
  return result;
}

}  // namespace precis::score::canonical
