#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/checks.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/core/select.hpp>
#include <precis/core/text.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/concepts.hpp>

#include <cstddef>
#include <cstdlib>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::prune {
PRECIS_IEEE_BEGIN

/// Global magnitude pruning: the share that each unit loses if all weights of the model compete in one selection.
/// Pruning a unit of one matrix by its share removes exactly the weights of the joint selection; `pack` prunes each
/// matrix of a larger unit by the share of the unit.
///
/// Shapes    units of the model's matrices; returns [units] the share that each loses.
/// Unit      share of a unit's weights.
/// Keys      |w|, or |w| divided by the rms of the unit's weights, which makes units of different scales comparable.
/// Ties      by unit, then as within a unit.
/// Errors    a sparsity outside [0, 1]; a cap that leaves too few weights to remove; weights that are not finite,
///           naming the matrix.
/// Cost      O(weights) expected per round, one more round per set of units that reaches the cap, and eight bytes
///           per weight.
/// Source    standard global magnitude pruning; the cap and its rounds are described in docs/methods/sparsity.md.
/// @post     the shares remove exactly floor(sparsity * weights + 1/2) weights in total, and no share exceeds the cap.
struct joint_shares {
  enum class key { magnitude, relative };

  double sparsity = 0.5;
  key by = key::magnitude;
  double most = 0.95;  ///< cap on the share of a unit; the excess is taken from the other units

  template<weighted_model Model>
  [[nodiscard]] std::vector<double> operator()(const Model& model, std::span<const unit> units) const {
    check_range(most, 0, 1, "a cap", "prune::joint_shares");
    std::vector<std::vector<float>> keys;
    std::size_t all = 0, most_removed = 0;
    std::vector<std::size_t> cap;
    for (const unit& u : units) {
      keys.push_back(keys_of(model, u));
      all += keys.back().size();
      cap.push_back(static_cast<std::size_t>(most * static_cast<double>(keys.back().size())));
      most_removed += cap.back();
    }
    std::size_t left = exact_count(sparsity, all);
    if (left > most_removed)
      refuse({.what = "a sparsity of " + text::number(sparsity) + " with at most " + text::number(most) + " per unit",
              .where = "prune::joint_shares",
              .expected = "a sparsity of at most " +
                          text::number(static_cast<double>(most_removed) / static_cast<double>(all))});

    std::vector<std::size_t> removed(units.size());
    std::vector<bool> full(units.size());
    for (bool again = true; again;) {
      again = false;
      const std::vector<std::size_t> counts = select(keys, full, left);
      for (std::size_t u = 0; u < units.size(); ++u) {
        if (full[u]) continue;
        removed[u] = counts[u];
        if (counts[u] <= cap[u]) continue;
        removed[u] = cap[u];
        full[u] = again = true;
        left -= cap[u];
      }
    }
    std::vector<double> shares;
    for (std::size_t u = 0; u < units.size(); ++u)
      shares.push_back(keys[u].empty() ? 0.0 : static_cast<double>(removed[u]) / static_cast<double>(keys[u].size()));
    return shares;
  }

 private:
  template<class Model>
  [[nodiscard]] std::vector<float> keys_of(const Model& model, const unit& u) const {
    std::vector<float> keys;
    double squares = 0;
    for (const std::size_t m : u.matrices) {
      const weight_view w = model.weights(m);
      for (std::size_t r = 0; r < w.rows; ++r)
        for (std::size_t c = 0; c < w.cols; ++c) {
          const float x = std::abs(w(r, c));
          if (!kernel::is_finite(x)) refuse_weight(w(r, c), model.matrices()[m].name, r, c, "prune::joint_shares");
          squares += static_cast<double>(x) * static_cast<double>(x);
          keys.push_back(x);
        }
    }
    if (by == key::relative && squares > 0) {
      const double rms = math::sqrt(squares / static_cast<double>(keys.size()));
      for (float& k : keys) k = static_cast<float>(static_cast<double>(k) / rms);
    }
    return keys;
  }

  /// The number of weights of each unit below its cap that are among the `count` smallest keys of all such units.
  template<class = void>
  [[nodiscard]] static std::vector<std::size_t> select(const std::vector<std::vector<float>>& keys,
                                                       const std::vector<bool>& full, std::size_t count) {
    std::vector<std::size_t> counts(keys.size());
    std::vector<float> all;
    for (std::size_t u = 0; u < keys.size(); ++u)
      if (!full[u]) all.insert(all.end(), keys[u].begin(), keys[u].end());
    count = std::min(count, all.size());
    if (count == 0) return counts;
    const auto at = all.begin() + static_cast<std::ptrdiff_t>(count - 1);
    std::nth_element(all.begin(), at, all.end());
    const float limit = *at;
    std::size_t ties =
        count - static_cast<std::size_t>(std::count_if(all.begin(), at, [&](float k) { return k < limit; }));
    for (std::size_t u = 0; u < keys.size(); ++u) {
      if (full[u]) continue;
      for (const float k : keys[u]) {
        if (k < limit) {
          ++counts[u];
        } else if (k == limit && ties > 0) {
          ++counts[u];
          --ties;
        }
      }
    }
    return counts;
  }
};

PRECIS_IEEE_END
}  // namespace precis::prune
