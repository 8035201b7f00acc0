#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/linear_algebra/cholesky.hpp>
#include <precis/measure/gram.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::fit {
PRECIS_IEEE_BEGIN

/// What all matrices that read one input share when their columns are rounded one after another: the order of the
/// columns, and the factor U that says how the error of a column is made up for by the columns after it.
///
///     H = G + ridge I,  H^-1 = U'U (U upper triangular),  rows and columns of H in `order`
struct compensation {
  std::vector<std::size_t> order{};  ///< [in] columns in the order in which they are rounded
  float_matrix factor{};  ///< [in x in] U; empty: no compensation is possible, or there is nothing to compensate
  double ridge = 0;       ///< what is added to the diagonal of G, in its unit
  double damping = 0;     ///< the ridge as a share of the mean diagonal element of G

  [[nodiscard]] bool usable() const noexcept { return factor.rows != 0; }
};

/// How a Gram matrix becomes a compensation.
struct compensation_options {
  double damping = 0.1;      ///< added to the diagonal, as a share of its mean; the paper's scripts: 0.01
  bool by_magnitude = true;  ///< columns of large inputs first ("act-order"); else from left to right
  std::size_t unit = 1;      ///< adjacent columns that stay together; formats that code several weights as one need it
};

/// The factor of a Gram matrix. An input that is always zero receives no error of other inputs. If H cannot be
/// factored, the damping grows tenfold up to 1; then, or if all inputs are zero, the result is not usable.
///
/// Errors   a Gram matrix with an element that is not finite, or without columns; a damping that is not positive.
/// Cost     n^3 / 2 multiply-adds in double. The executor distributes blocks.
/// Source   docs/methods/gptq.md: Frantar et al. 2022, arXiv:2210.17323, section 3.3.
/// Differs  The paper factors the explicit inverse of H. With J the reversal of indices, J H J = L L', and U = J L^-1 J:
///          one factorization and one triangular inverse. Its scripts set the diagonal of inputs that are always zero to
///          1 and their weights to 0; here the weights are rounded to the nearest code, and no output changes.
template<executor Executor = sequential>
[[nodiscard]] compensation compensate(const basic_matrix<double>& gram, const compensation_options& o = {},
                                      Executor&& run = {}) {
  const std::size_t n = gram.rows;
  const auto bad = [](std::string what, std::string expected) {
    refuse({.what = std::move(what), .where = "fit::compensate", .expected = std::move(expected)});
  };
  if (n == 0 || gram.cols != n) bad("a Gram matrix without columns", "one row and column per input");
  if (!(o.damping > 0) || !kernel::is_finite(o.damping))
    bad("damping " + std::to_string(o.damping), "a positive number; 0.1 suits most");
  for (std::size_t i = 0; i < n * n; ++i)
    if (!kernel::is_finite(gram.values[i]))
      bad("element " + std::to_string(i / n) + ", " + std::to_string(i % n) + " of the Gram matrix is not finite",
          "the Gram matrix of finite inputs");
  double mean = 0;
  for (std::size_t i = 0; i < n; ++i) mean += gram(i, i);
  mean /= static_cast<double>(n);
  compensation c;
  for (std::size_t i = 0; i < n; ++i) c.order.push_back(i);
  if (!(mean > 0)) return c;
  if (o.by_magnitude) {
    std::vector<double> size((n + o.unit - 1) / o.unit);
    for (std::size_t i = 0; i < n; ++i) size[i / o.unit] += gram(i, i);
    std::sort(c.order.begin(), c.order.end(), [&](std::size_t a, std::size_t b) {
      const std::size_t x = a / o.unit, y = b / o.unit;
      return x != y && size[x] != size[y] ? size[x] > size[y] : a < b;
    });
  }
  for (double damping = o.damping; damping <= std::max(1.0, o.damping); damping *= 10) {
    basic_matrix<double> h(n, n);  // in reversed order
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j <= i; ++j) h(i, j) = gram(c.order[n - 1 - i], c.order[n - 1 - j]);
    for (std::size_t i = 0; i < n; ++i) h(i, i) += damping * mean;
    if (!linear_algebra::cholesky(h, run)) continue;
    linear_algebra::invert_lower(h, run);
    c.factor = float_matrix(n, n);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = i; j < n; ++j) c.factor(i, j) = static_cast<float>(h(n - 1 - i, n - 1 - j));
    c.damping = damping;
    c.ridge = damping * mean;
    break;
  }
  return c;
}

/// tr((W - Wc) H (W - Wc)'): what compensated rounding makes small.
template<class = void>
[[nodiscard]] inline double compensated_error(weight_view original, weight_view compressed,
                                              const basic_matrix<double>& gram, double ridge) {
  double squares = 0;
  for (std::size_t r = 0; r < original.rows; ++r)
    for (std::size_t c = 0; c < original.cols; ++c) {
      const double d = static_cast<double>(original(r, c)) - static_cast<double>(compressed(r, c));
      squares += d * d;
    }
  return measure::squared_output_error(original, compressed, gram) + ridge * squares;
}

/// The weights whose outputs on the inputs of a partly compressed model come nearest to those of `original` on the
/// inputs of the original model:  W + share W C H^-1,  C = sum over tokens of (x - y) y'.
///
/// x [in] are the inputs in the original model, y [in] those in the compressed one, and H is of y. Rounding these
/// weights under H makes up for errors of the layers before.
///
/// Requires  cross [in x in]; a usable compensation.
/// Cost      two products out x in x in in float.
/// Source    docs/methods/gptq.md: the asymmetric term of GPTAQ (Li et al. 2025, arXiv:2504.02692), in closed form for
///           the whole matrix.
/// Differs   GPTAQ adds the part of the term that falls on later columns while it rounds; solving for the target first is
///           the same minimum, and leaves rounding as it is.
template<executor Executor = sequential>
[[nodiscard]] float_matrix corrected_target(weight_view original, const basic_matrix<double>& cross,
                                            const compensation& c, double share = 1, Executor&& run = {}) {
  const std::size_t n = original.cols;
  PRECIS_EXPECTS(cross.rows == n && cross.cols == n && c.factor.rows == n, "moments of this matrix's inputs");
  float_matrix by(n, n), target(original.rows, n);  // C with its columns in the order of rounding
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) by(i, j) = static_cast<float>(cross(i, c.order[j]));
  constexpr std::size_t rows_at_a_time = 64;
  run.for_each((original.rows + rows_at_a_time - 1) / rows_at_a_time, [&](std::size_t part) {
    const std::size_t first = part * rows_at_a_time, rows = std::min(rows_at_a_time, original.rows - first);
    std::vector<float> workspace(kernel::product_workspace);
    float_matrix w(rows, n), a(rows, n), b(rows, n);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t i = 0; i < n; ++i) w(r, i) = original(first + r, i);
    const auto multiply = [&](const float_matrix& left, weight_view right, float_matrix& to) {
      kernel::product<>(left.view(), right, to.view(), as_writable_span(workspace));
    };
    multiply(w, std::as_const(by).view(), a);
    multiply(a, c.factor.view().transposed(), b);
    multiply(b, c.factor.view(), a);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t i = 0; i < n; ++i)
        target(first + r, c.order[i]) = w(r, c.order[i]) + static_cast<float>(share) * a(r, i);
    }
  });
  return target;
}

PRECIS_IEEE_END
}  // namespace precis::fit
