#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/checks.hpp>
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

/// The rule that selects which of n weights a sparsity s removes.
enum class removal {
  exact,           ///< exactly floor(s n + 0.5), the smallest by (|w|, position)
  quantile_strict  ///< all but |w| > quantile_linear(|w|, s), as in CPTQuant Eqs. 6-7: removes one too many, or more
};

/// Sets the smallest weights to zero, in place.
///
/// Shapes   one matrix, or several whose weights compete (position: matrix, row, column).
/// Unit     sparsity: share of the weights, 0 to 1. Weights that are already zero are removed first.
/// Errors   a sparsity outside [0, 1]; weights that are not finite, naming matrix, row and column. In that case
///          nothing is changed.
/// Cost     O(weights) expected, and four bytes of temporary memory per weight.
/// Source   the standard magnitude baseline; docs/methods/magnitude_pruning.md shows why a threshold removes the wrong
///          number.
struct magnitude {
  double sparsity = 0.5;
  removal rule = removal::exact;

  /// Returns the number of weights removed.
  template<class = void>
  std::size_t operator()(mutable_weight_view w) const {
    return (*this)(std::span<const mutable_weight_view>(&w, 1));
  }

  /// Prunes every row separately, as Wanda does. Returns the number of weights removed.
  template<class = void>
  std::size_t each_row(mutable_weight_view w) const {
    std::size_t removed = 0;
    for (std::size_t r = 0; r < w.rows; ++r) removed += (*this)(w.row_range(r, 1));
    return removed;
  }

  /// Prunes all matrices jointly: their weights compete. Returns the number of weights removed.
  template<class = void>
  std::size_t operator()(std::span<const mutable_weight_view> matrices) const {
    std::vector<float> keys;
    std::size_t n = 0;
    for (const mutable_weight_view& w : matrices) n += w.size();
    keys.reserve(n);
    for (std::size_t m = 0; m < matrices.size(); ++m)
      for (std::size_t r = 0; r < matrices[m].rows; ++r)
        for (std::size_t c = 0; c < matrices[m].cols; ++c) {
          const float key = std::abs(matrices[m](r, c));
          if (!kernel::is_finite(key))
            refuse_weight(matrices[m](r, c), "matrix " + std::to_string(m), r, c, "prune::magnitude");
          keys.push_back(key);
        }
    const std::size_t exact = exact_count(sparsity, n);
    if (n == 0) return 0;

    // Removes all keys below `limit` and the first `ties` keys equal to it: the same set as a stable sort.
    float limit = 0;
    std::size_t ties = n;
    if (rule == removal::quantile_strict) {
      const double level = quantile_linear(std::span<const float>(keys), sparsity);
      limit = static_cast<float>(level);
      // |w| <= level in double if and only if |w| <= the largest float not above level.
      if (static_cast<double>(limit) > level) limit = math::nextafter(limit, 0.f);
    } else {
      if (exact == 0) return 0;
      const auto at = keys.begin() + static_cast<std::ptrdiff_t>(exact - 1);
      std::nth_element(keys.begin(), at, keys.end());
      limit = *at;
      ties = exact - static_cast<std::size_t>(std::count_if(keys.begin(), at, [&](float key) { return key < limit; }));
    }

    std::size_t removed = 0;
    for (const mutable_weight_view& w : matrices)
      for (std::size_t r = 0; r < w.rows; ++r)
        for (std::size_t c = 0; c < w.cols; ++c) {
          const float key = std::abs(w(r, c));
          if (key > limit) continue;
          if (key == limit) {
            if (ties == 0) continue;
            --ties;
          }
          w(r, c) = 0;
          ++removed;
        }
    return removed;
  }
};

/// Keeps the `keep` largest of every `group` consecutive weights of a row (2:4 is {.keep = 2, .group = 4}) and sets the
/// others to zero, in place.
///
/// Edges    a tail of t < group weights keeps ceil(keep t / group).
/// Ties     the lower index is removed first.
/// Errors   keep > group or group == 0; weights that are not finite, naming row and column. In that case nothing
///          changes.
/// Cost     O(weights x log group).
/// Source   N:M sparsity as sparse tensor cores define it; docs/methods/sparse.md.
/// Differs  the code of SparseGPT and Wanda counts the weights removed; here, as for hardware, `keep` counts those
///          kept.
struct magnitude_in_groups {
  std::size_t keep = 2;
  std::size_t group = 4;

  /// Returns the number of weights removed.
  template<class = void>
  std::size_t operator()(mutable_weight_view w) const {
    if (group == 0 || keep > group)
      refuse({.what = "keep " + std::to_string(keep) + " of " + std::to_string(group),
              .where = "prune::magnitude_in_groups",
              .expected = "a group of at least one weight, and keep <= group"});
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c)
        if (!kernel::is_finite(w(r, c))) refuse_weight(w(r, c), "the matrix", r, c, "prune::magnitude_in_groups");
    std::size_t removed = 0;
    std::vector<float> keys;
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t first = 0; first < w.cols; first += group) {
        const std::size_t count = std::min(group, w.cols - first);
        keys.resize(count);
        for (std::size_t i = 0; i < count; ++i) keys[i] = std::abs(w(r, first + i));
        const std::size_t kept = (keep * count + group - 1) / group;
        for (const std::size_t i : indices_of_smallest(std::span<const float>(keys), count - kept)) {
          w(r, first + i) = 0;
          ++removed;
        }
      }
    return removed;
  }
};

PRECIS_IEEE_END
}  // namespace precis::prune
