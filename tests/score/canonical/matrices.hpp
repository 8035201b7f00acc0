#pragma once

#include <precis/core/random.hpp>
#include <precis/score/canonical/correlation.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

// Matrices for the tests of canonical correlations, and plain code for products of them.
namespace canonical_tests {

using precis::float_matrix;
using precis::score::canonical::correlations;
using precis::score::canonical::cross_product;
using precis::score::canonical::directions;
using precis::score::canonical::matrix;
using precis::score::canonical::subspace;

inline std::vector<double> workspace() { return std::vector<double>(precis::kernel::product_workspace); }

/// Normal numbers.
inline matrix random(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  const precis::random_stream draw(seed, precis::purpose("canonical tests"));
  matrix m(rows, cols);
  for (std::size_t i = 0; i < m.values.size(); ++i) m.values[i] = draw.normal(i);
  return m;
}

inline float_matrix floats(const matrix& m) {
  float_matrix f(m.rows, m.cols);
  std::ranges::transform(m.values, f.values.begin(), [](double v) { return static_cast<float>(v); });
  return f;
}

inline matrix times(const matrix& a, const matrix& b) {
  matrix c(a.rows, b.cols);
  for (std::size_t i = 0; i < a.rows; ++i)
    for (std::size_t j = 0; j < b.cols; ++j)
      for (std::size_t k = 0; k < a.cols; ++k) c(i, j) += a(i, k) * b(k, j);
  return c;
}
inline matrix transposed(const matrix& a) {
  matrix t(a.cols, a.rows);
  for (std::size_t i = 0; i < a.rows; ++i)
    for (std::size_t j = 0; j < a.cols; ++j) t(j, i) = a(i, j);
  return t;
}
inline double largest_difference(const matrix& a, const matrix& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) worst = std::max(worst, std::abs(a.values[i] - b.values[i]));
  return worst;
}
inline matrix identity(std::size_t n) {
  matrix m(n, n);
  for (std::size_t i = 0; i < n; ++i) m(i, i) = 1;
  return m;
}

inline subspace span_of(const float_matrix& x, const directions& keep = {}) {
  std::vector<double> work = workspace();
  return precis::score::canonical::span_of(x.view(), keep, true, "x", work);
}
inline std::vector<double> correlations_of(const float_matrix& x, const float_matrix& y) {
  std::vector<double> work = workspace();
  return correlations(cross_product(span_of(x), span_of(y), work), work);
}

// Three layers of two features, eight rows. The expected values in the tests come from an implementation in NumPy.
inline const float_matrix X(8, 2, std::vector<float>{1, 2, 2, 1, 3, 5, 4, 3, 5, 6, 6, 4, 7, 8, 8, 5});
inline const float_matrix Y(8, 2, std::vector<float>{2, 1, 1, 3, 4, 2, 3, 5, 6, 4, 5, 7, 8, 6, 6, 9});
inline const float_matrix Z(8, 2, std::vector<float>{1, -1, -1, 1, 1, 1, -1, -1, 1, -1, -1, 1, 1, 1, -1, -1});

}  // namespace canonical_tests
