#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/core/select.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

namespace precis::prune {
PRECIS_IEEE_BEGIN

/// Sets in every row the weights with the smallest |w| times the norm of their input to zero, in place.
///
/// Shapes   w [out x in]; squares [in]: summed or mean squares of every input, the diagonal of a Gram matrix.
/// Unit     sparsity: share of the weights of a row, 0 to 1; exactly floor(s in + 0.5) are removed. Scaling all squares
///          by one factor changes nothing.
/// Ties     the lower column is removed first.
/// Errors   a sparsity outside [0, 1]; squares that are negative, not finite, or not one per column; weights that are not
///          finite, by row and column. In that case nothing is changed.
/// Cost     O(weights) expected.
/// Source   docs/methods/magnitude_pruning.md: Sun et al. 2023, arXiv:2306.11695, equation 1.
/// @post    equal squares: the weights that prune::magnitude removes from every row.
struct wanda {
  double sparsity = 0.5;

  /// Returns the number of weights removed.
  template<class = void>
  std::size_t operator()(mutable_weight_view w, std::span<const double> squares) const {
    const std::size_t count = exact_count(sparsity, w.cols);
    if (squares.size() != w.cols)
      refuse({.what = std::to_string(squares.size()) + " squared inputs for rows of " + std::to_string(w.cols),
              .where = "prune::wanda",
              .expected = "one per column"});
    std::vector<double> norms(w.cols), keys(w.cols);
    for (std::size_t c = 0; c < w.cols; ++c) {
      if (!(squares[c] >= 0) || !kernel::is_finite(squares[c]))
        refuse({.what = "squared input " + std::to_string(c) + " is negative or not finite",
                .where = "prune::wanda",
                .expected = "sums of squares"});
      norms[c] = math::sqrt(squares[c]);
    }
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c)
        if (!kernel::is_finite(w(r, c))) refuse_weight(w(r, c), "the matrix", r, c, "prune::wanda");
    for (std::size_t r = 0; r < w.rows; ++r) {
      for (std::size_t c = 0; c < w.cols; ++c) keys[c] = static_cast<double>(std::abs(w(r, c))) * norms[c];
      for (const std::size_t c : indices_of_smallest(std::span<const double>(keys), count)) w(r, c) = 0;
    }
    return count * w.rows;
  }
};

PRECIS_IEEE_END
}  // namespace precis::prune
