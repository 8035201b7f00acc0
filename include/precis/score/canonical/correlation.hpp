#pragma once

#include <precis/core/error.hpp>
#include <precis/core/view.hpp>
#include <precis/score/canonical/orthonormal.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace precis::score::canonical {

/// basis^T basis: what all the measures below are made of.
///
/// Shapes    [a.rank() x b.rank()]
/// Requires  the same number of rows in both.
[[nodiscard]] inline matrix cross_product(const subspace& a, const subspace& b, std::span<double> workspace) {
  PRECIS_EXPECTS(a.basis.rows == b.basis.rows, "the same rows in both layers");
  matrix c(a.rank(), b.rank());
  kernel::product<detail::lanes>(a.basis.view().transposed(), b.basis.view(), c.view(), workspace);
  return c;
}

/// The canonical correlations, largest first: singular values of the cross product, in [0, 1].
///
/// Shapes    min(rows, cols) values
/// Cost      rank^3 operations for C^T C and 4/3 rank^3 for its eigenvalues. Those are squares, so a correlation below
///           1e-8 cannot be told from 0; larger ones are exact to about 1e-16 / correlation.
[[nodiscard]] inline std::vector<double> correlations(const matrix& cross, std::span<double> workspace) {
  const matrix_view<const double> thin = cross.rows < cross.cols ? cross.view().transposed() : cross.view();
  std::vector<double> values = eigenvalues(detail::gram(thin, workspace), workspace);
  for (double& v : values) v = std::sqrt(std::clamp(v, 0.0, 1.0));
  return values;
}

/// Sum of the squared correlations, without finding any of them.
[[nodiscard]] inline double squared_correlations(const matrix& cross) noexcept {
  return detail::dot(cross.values.data(), cross.values.data(), cross.values.size());
}

/// PWCCA: the correlations' mean, each weighted by how much of a's activations its canonical variate in a accounts for.
///
/// Requires  a.coordinates; cross = cross_product(a, b). Not symmetric in a and b.
struct projection_weighted {
  double mean = 0;
  std::vector<double> correlations;  ///< largest first
  std::vector<double> weights;       ///< sum 1
};
[[nodiscard]] inline projection_weighted projection_weighted_correlation(const subspace& a, const matrix& cross,
                                                                         std::span<double> workspace) {
  PRECIS_EXPECTS(a.coordinates.rows == a.rank() && cross.rows == a.rank(), "coordinates of the first layer");
  const eigen_system squares = eigenvectors(detail::gram(cross.view().transposed(), workspace), workspace);
  const std::size_t count = std::min(cross.rows, cross.cols);
  matrix variates(count, a.features);  // row k: inner products of variate k with every feature
  kernel::product<detail::lanes>(squares.vectors.view().row_range(0, count), a.coordinates.view(), variates.view(),
                                 workspace);
  projection_weighted p;
  double total = 0;
  for (std::size_t k = 0; k < count; ++k) {
    double sum = 0;
    for (const double v : variates.row(k)) sum += std::abs(v);
    p.correlations.push_back(std::sqrt(std::clamp(squares.values[k], 0.0, 1.0)));
    p.weights.push_back(sum);
    total += sum;
  }
  for (std::size_t k = 0; k < count; ++k) {
    p.weights[k] /= total;
    p.mean = std::fma(p.weights[k], p.correlations[k], p.mean);
  }
  return p;
}

}  // namespace precis::score::canonical
