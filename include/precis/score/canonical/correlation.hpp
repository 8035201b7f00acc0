#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/score/canonical/orthonormal.hpp>

#include <cstddef>
#include <cstdlib>
#include <span>
#include <vector>

namespace precis::score::canonical {
PRECIS_IEEE_BEGIN

/// The product of two bases, a.basis^T b.basis, from which all measures below follow.
///
/// Shapes    [a.rank() x b.rank()]
/// Requires  the same number of rows in both.
template<class = void>
[[nodiscard]] inline matrix cross_product(const subspace& a, const subspace& b, std::span<double> workspace) {
  PRECIS_EXPECTS(a.basis.rows == b.basis.rows, "the same rows in both layers");
  matrix c(a.rank(), b.rank());
  kernel::product<lanes>(a.basis.view().transposed(), b.basis.view(), c.view(), workspace);
  return c;
}

/// The canonical correlations, in descending order: the singular values of the cross product, clamped to [0, 1].
///
/// Shapes    min(rows, cols) values
/// Cost      rank^3 operations for C^T C and 4/3 rank^3 for its eigenvalues. These are squares: a correlation below
///           1e-8 is indistinguishable from 0, and larger ones are accurate to about 1e-16 / correlation.
template<class = void>
[[nodiscard]] inline std::vector<double> correlations(const matrix& cross, std::span<double> workspace) {
  const matrix_view<const double> thin = cross.rows < cross.cols ? cross.view().transposed() : cross.view();
  std::vector<double> values = eigenvalues(gram(thin, workspace), workspace);
  for (double& v : values) v = math::sqrt(std::clamp(v, 0.0, 1.0));
  return values;
}

/// The sum of the squared correlations, without computing the correlations.
template<class = void>
[[nodiscard]] inline double squared_correlations(const matrix& cross) noexcept {
  return dot(cross.values.data(), cross.values.data(), cross.values.size());
}

/// PWCCA: the mean of the correlations, weighted by the projections of a's features on its canonical variates.
struct projection_weighted {
  double mean = 0;
  std::vector<double> correlations{};  ///< in descending order
  std::vector<double> weights{};       ///< their sum is 1
};

/// The projection-weighted correlation of a and b. Not symmetric.
///
/// Requires  a.coordinates; cross = cross_product(a, b).
/// Source    Morcos et al. 2018, arXiv:1806.05759.
template<class = void>
[[nodiscard]] inline projection_weighted projection_weighted_correlation(const subspace& a, const matrix& cross,
                                                                         std::span<double> workspace) {
  PRECIS_EXPECTS(a.coordinates.rows == a.rank() && cross.rows == a.rank(), "coordinates of the first layer");
  const eigen_system squares = eigenvectors(gram(cross.view().transposed(), workspace), workspace);
  const std::size_t count = std::min(cross.rows, cross.cols);
  matrix variates(count, a.features);  // row k: inner products of variate k with every feature
  kernel::product<lanes>(squares.vectors.view().row_range(0, count), a.coordinates.view(), variates.view(), workspace);
  projection_weighted p;
  double total = 0;
  for (std::size_t k = 0; k < count; ++k) {
    double sum = 0;
    for (const double v : variates.row(k)) sum += std::abs(v);
    p.correlations.push_back(math::sqrt(std::clamp(squares.values[k], 0.0, 1.0)));
    p.weights.push_back(sum);
    total += sum;
  }
  for (std::size_t k = 0; k < count; ++k) {
    p.weights[k] /= total;
    p.mean = math::fma(p.weights[k], p.correlations[k], p.mean);
  }
  return p;
}

PRECIS_IEEE_END
}  // namespace precis::score::canonical
