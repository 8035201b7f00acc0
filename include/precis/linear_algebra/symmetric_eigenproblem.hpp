#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>
#include <precis/linear_algebra/vectors.hpp>

#include <cstddef>
#include <cstdlib>
#include <limits>
#include <span>
#include <utility>
#include <vector>

/// Symmetric eigenproblems in double, for scores and low-rank formats. The order of every addition is fixed, so results
/// do not depend on the instruction set or the compiler.
namespace precis::linear_algebra {
PRECIS_IEEE_BEGIN

using matrix = basic_matrix<double>;

namespace detail {

/// y += factors[0] rows[0] + factors[1] rows[1] + ..., in this order.
template<class = void>
inline void add_rows(std::span<const double> factors, matrix_view<const double> rows, double* y) noexcept {
  const std::size_t n = rows.cols;
  const std::size_t whole = n - n % lanes::width;
  for (std::size_t i = 0; i < whole; i += lanes::width) {
    const double* from = rows.data + i;
    lanes::vector sum = lanes::load(y + i);
    for (const double& factor : factors) {
      sum = lanes::fma(lanes::broadcast(&factor), lanes::load(from), sum);
      from += rows.row_stride;
    }
    lanes::store(y + i, sum);
  }
  for (std::size_t i = whole; i < n; ++i)
    for (std::size_t j = 0; j < factors.size(); ++j) y[i] = math::fma(factors[j], rows(j, i), y[i]);
}

/// y = A x for a symmetric A of which the upper triangle is stored: every element is read once and used twice.
template<class = void>
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
      corner[r] = math::fma(rows[r][i + r], x[i + r], corner[r]);
      for (std::size_t c = r + 1; c < height; ++c) {
        corner[r] = math::fma(rows[r][i + c], x[i + c], corner[r]);
        corner[c] = math::fma(rows[r][i + c], x[i + r], corner[c]);
      }
    }
    const auto step = [&](std::size_t at, std::size_t v, auto load, auto store) PRECIS_INLINE_LAMBDA {
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
  for (; i < n; ++i) {  // the last rows, fewer than `height`
    const double* row = a.data + static_cast<std::ptrdiff_t>(i) * a.row_stride;
    y[i] = math::fma(row[i], x[i], y[i]);
    for (std::size_t c = i + 1; c < n; ++c) {
      y[i] = math::fma(row[c], x[c], y[i]);
      y[c] = math::fma(row[c], x[i], y[c]);
    }
  }
}

/// A = H_0 H_1 ... T ... H_1 H_0 with H_k = I - scale[k] v_k v_k^T.
struct tridiagonal {
  std::vector<double> diagonal{};  ///< [n]
  std::vector<double> beside{};    ///< [n], beside[k] = T(k, k + 1); the last one is 0
  matrix reflections = {};         ///< row k is v_k: zero up to k, 1 at k + 1; empty unless requested
  std::vector<double> scale{};     ///< [n]
};

/// Reduces a symmetric matrix to tridiagonal form; its upper triangle is read and overwritten. Reflections are applied
/// to the rest of the matrix in panels, as one product; half of the work is one symmetric matrix-vector product per
/// column.
template<class = void>
[[nodiscard]] inline tridiagonal tridiagonalise(matrix& a, bool keep_reflections, std::span<double> workspace) {
  const std::size_t n = a.rows;
  constexpr std::size_t panel = 16;
  tridiagonal t{.diagonal = std::vector<double>(n),
                .beside = std::vector<double>(n),
                .reflections = keep_reflections ? matrix(n, n) : matrix(),
                .scale = std::vector<double>(n)};
  // Row 2j is v_j, row 2j + 1 is w_j; the reduced matrix is A - sum (v_j w_j^T + w_j v_j^T). The rows of `swapped` are
  // -w_j and -v_j.
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
          const double length = -math::copysign(math::sqrt(math::fma(x[0], x[0], below)), x[0]);
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

/// Diagonalises T by implicit QR steps with Wilkinson's shift and calls rotate(k, c, s) for every rotation of the
/// coordinates k and k + 1. The diagonal becomes the eigenvalues, unordered.
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
      refuse({.what = "an eigenvalue did not converge",
              .where = "linear_algebra::eigenvalues",
              .expected = "finite elements whose squares do not overflow"});
    const double half = 0.5 * (d[last - 1] - d[last]), beside = e[last - 1];
    const double root = math::sqrt(math::fma(half, half, beside * beside));
    const double shift = math::fma(-beside, beside / (half + math::copysign(root, half)), d[last]);
    double x = d[first] - shift, z = e[first];
    for (std::size_t k = first; k < last; ++k) {
      const double length = math::sqrt(math::fma(x, x, z * z));
      const double inverse = length > 0 ? 1.0 / length : 0.0;
      const double c = length > 0 ? x * inverse : 1.0, s = z * inverse;
      if (k > first) e[k - 1] = length;
      const double cross = 2 * c * s * e[k], near = d[k], far = d[k + 1];
      const double cc = c * c, ss = s * s;  // named, so that compilers do not choose what to fuse
      d[k] = math::fma(cc, near, math::fma(ss, far, cross));
      d[k + 1] = math::fma(ss, near, math::fma(cc, far, -cross));
      e[k] = math::fma(c * s, far - near, (c - s) * (c + s) * e[k]);
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
  std::vector<double> values{};  ///< [n]
  matrix vectors = {};           ///< [n x n], row i belongs to values[i]; its sign is unspecified
};

/// Computes the eigenvalues, largest first. Reads the upper triangle.
///
/// Errors   no convergence, which happens if elements are not finite or their squares overflow.
/// Cost     4/3 n^3 operations, half of them limited by memory bandwidth.
/// Source   Golub and Van Loan 2013, ISBN 978-1-4214-0794-4, sections 8.3.1 and 8.3.5.
template<class = void>
[[nodiscard]] inline std::vector<double> eigenvalues(matrix a, std::span<double> workspace) {
  PRECIS_EXPECTS(a.rows == a.cols, "a symmetric matrix is square");
  detail::tridiagonal t = detail::tridiagonalise(a, false, workspace);
  detail::diagonalise(t, [](std::size_t, double, double) {});
  std::sort(t.diagonal.begin(), t.diagonal.end(), [](double x, double y) { return x > y; });
  return std::move(t.diagonal);
}

namespace detail {

/// Collects the rotations that diagonalise T and applies them to the identity, several sweeps at a time.
///
/// Rows are split into panels of a few vectors, so that a panel stays in a cache. `fused` sweeps pass over a panel at
/// the same time, each one row behind the previous one, so a row is loaded and stored once for all of them.
class rotated {
 public:
  template<class = void>
  explicit rotated(std::size_t n)
      : n_(n), rows_(n + 2 * fused), panels_((n + width - 1) / width), values_(panels_ * rows_ * width) {
    for (std::size_t i = 0; i < n; ++i) at(i / width, i)[i % width] = 1;
  }

  template<class = void>
  void operator()(std::size_t k, double c, double s) {
    if (sweeps_.empty() || k != sweeps_.back().end) {
      if (sweeps_.size() == most) apply();
      sweeps_.push_back({k, k, turns_.size()});
    }
    turns_.push_back({c, s});
    ++sweeps_.back().end;
  }

  /// Copies row k of the rotated identity.
  template<class = void>
  void copy_row(std::size_t k, std::span<double> to) {
    apply();
    for (std::size_t p = 0; p < panels_; ++p)
      std::copy_n(at(p, k), std::min(width, n_ - p * width), to.data() + p * width);
  }

 private:
  static constexpr std::size_t fused = 4, most = 4 * fused, each = 2, width = each * lanes::width;
  struct turn {
    double c, s;
  };
  struct sweep {
    std::size_t first, end, turns;  ///< rotations first ... end - 1, from turns_[turns] on
  };
  struct coefficients {
    double c = 1, s = 0, minus_s = 0;
  };

  [[nodiscard]] double* at(std::size_t panel, std::size_t row) noexcept {
    return values_.data() + (panel * rows_ + fused + row) * width;  // with `fused` rows of zeros before and after
  }

  template<class = void>
  void apply() {
    struct group {
      std::size_t first, steps, from;
    };
    std::vector<group> groups;
    std::vector<coefficients> steps;  // [groups][steps][fused]
    for (std::size_t g = 0; g < sweeps_.size(); g += fused) {
      const std::span<const sweep> part = as_span(sweeps_).subspan(g, std::min(fused, sweeps_.size() - g));
      std::size_t first = part.front().first, end = part.front().end;
      for (const sweep& w : part) {
        first = std::min(first, w.first);
        end = std::max(end, w.end);
      }
      groups.push_back({first, end - first + fused - 1, steps.size()});
      steps.resize(steps.size() + groups.back().steps * fused);
      for (std::size_t j = 0; j < part.size(); ++j)
        for (std::size_t k = part[j].first; k < part[j].end; ++k) {
          const turn t = turns_[part[j].turns + k - part[j].first];
          steps[groups.back().from + (k - first + j) * fused + j] = {t.c, t.s, -t.s};
        }
    }
    for (std::size_t p = 0; p < panels_; ++p)
      for (const group& g : groups) pass(at(p, g.first), steps.data() + g.from, g.steps);
    sweeps_.clear();
    turns_.clear();
  }

  /// In step `step`, sweep j rotates rows step - j and step - j + 1; row[j] is row step - j + 1.
  template<class = void>
  static void pass(double* rows, const coefficients* turns, std::size_t steps) noexcept {
    using kernel::for_constants;
    lanes::vector row[fused + 1][each];
    for_constants<fused>([&](auto j) PRECIS_INLINE_LAMBDA {
      for_constants<each>([&](auto v) PRECIS_INLINE_LAMBDA {
        row[j + 1][v] = lanes::load(rows - static_cast<std::ptrdiff_t>(j * width) + v * lanes::width);
      });
    });
    for (std::size_t step = 0; step < steps; ++step, turns += fused, rows += width) {
      for_constants<each>([&](auto v)
                              PRECIS_INLINE_LAMBDA { row[0][v] = lanes::load(rows + width + v * lanes::width); });
      for_constants<fused>([&](auto j) PRECIS_INLINE_LAMBDA {
        const lanes::vector c = lanes::broadcast(&turns[j].c), s = lanes::broadcast(&turns[j].s),
                            minus_s = lanes::broadcast(&turns[j].minus_s);
        for_constants<each>([&](auto v) PRECIS_INLINE_LAMBDA {
          const lanes::vector near = row[j + 1][v], far = row[j][v];
          row[j + 1][v] = lanes::fma(c, near, lanes::fma(s, far, lanes::zero()));
          row[j][v] = lanes::fma(c, far, lanes::fma(minus_s, near, lanes::zero()));
        });
      });
      for_constants<each>([&](auto v) PRECIS_INLINE_LAMBDA {
        lanes::store(rows - static_cast<std::ptrdiff_t>((fused - 1) * width) + v * lanes::width, row[fused][v]);
      });
      for_constants<fused>([&](auto j) PRECIS_INLINE_LAMBDA {
        for_constants<each>([&](auto v) PRECIS_INLINE_LAMBDA { row[fused - j][v] = row[fused - j - 1][v]; });
      });
    }
    for_constants<fused>([&](auto j) PRECIS_INLINE_LAMBDA {
      for_constants<each>([&](auto v) PRECIS_INLINE_LAMBDA {
        lanes::store(rows - static_cast<std::ptrdiff_t>(j * width) + v * lanes::width, row[j + 1][v]);
      });
    });
  }

  std::size_t n_, rows_, panels_;
  std::vector<double> values_;  ///< [panels x rows x width]
  std::vector<sweep> sweeps_;
  std::vector<turn> turns_;
};

/// Replaces every row x of `rows` by H_0 H_1 ... x. Blocks of reflections are applied in compact WY form, I - V T V^T.
template<class = void>
inline void reflect_rows(const tridiagonal& t, matrix& rows, std::span<double> workspace) {
  constexpr std::size_t block = 48;
  const std::size_t n = rows.cols;
  matrix angles(block, block), triangle(block, block), along(rows.rows, block), across(rows.rows, block);
  for (std::size_t blocks = (n + block - 1) / block; blocks-- > 0;) {
    const std::size_t k0 = blocks * block, count = std::min(block, n - k0), rest = n - k0 - 1;
    if (rest == 0) continue;
    const matrix_view<const double> v = t.reflections.view().row_range(k0, count).col_range(k0 + 1, rest);
    const matrix_view<double> x = rows.view().col_range(k0 + 1, rest);
    const auto corner = [&](matrix& m) { return m.view().row_range(0, count).col_range(0, count); };
    kernel::product<lanes>(v, v.transposed(), corner(angles), workspace);
    for (std::size_t j = 0; j < count; ++j)  // the negative transpose of T, which is lower triangular
      for (std::size_t i = 0; i < count; ++i) {
        triangle(j, i) = i == j ? -t.scale[k0 + j] : 0.0;
        if (i >= j) continue;
        double sum = 0;
        for (std::size_t l = i; l < j; ++l) sum = math::fma(triangle(l, i), angles(l, j), sum);
        triangle(j, i) = -t.scale[k0 + j] * sum;
      }
    kernel::product<lanes>(x, v.transposed(), along.view().col_range(0, count), workspace);
    kernel::product<lanes>(along.view().col_range(0, count), corner(triangle), across.view().col_range(0, count),
                           workspace);
    kernel::product_add<lanes>(across.view().col_range(0, count), v, x, workspace);
  }
}

}  // namespace detail

/// Computes eigenvalues and eigenvectors. Reads the upper triangle.
///
/// Errors   as `eigenvalues`.
/// Cost     about 9 n^3 operations.
/// Source   as `eigenvalues`.
template<class = void>
[[nodiscard]] inline eigen_system eigenvectors(matrix a, std::span<double> workspace) {
  PRECIS_EXPECTS(a.rows == a.cols, "a symmetric matrix is square");
  const std::size_t n = a.rows;
  detail::tridiagonal t = detail::tridiagonalise(a, true, workspace);
  detail::rotated z(n);
  detail::diagonalise(t, z);
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t i, std::size_t j) { return t.diagonal[i] > t.diagonal[j]; });
  eigen_system result{.values = {}, .vectors = matrix(n, n)};
  for (std::size_t i = 0; i < n; ++i) {
    result.values.push_back(t.diagonal[order[i]]);
    z.copy_row(order[i], result.vectors.row(i));
  }
  detail::reflect_rows(t, result.vectors, workspace);
  return result;
}

PRECIS_IEEE_END
}  // namespace precis::linear_algebra
