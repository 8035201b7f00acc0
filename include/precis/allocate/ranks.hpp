#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/checks.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace precis::allocate {
PRECIS_IEEE_BEGIN

/// A matrix whose rank the allocators below choose.
struct rank_unit {
  std::string name = {};
  std::size_t out = 0, in = 0;
  std::vector<double>
      values;  ///< singular values, largest first: of W, or of W times a square root of the Gram matrix of its inputs
  double weight = 1;  ///< cost per squared error, >= 0: any score

  /// The break-even rank: the smallest rank whose factors hold at least as many numbers as the matrix.
  [[nodiscard]] std::size_t dense_from() const noexcept { return (out * in + out + in - 1) / (out + in); }
};

/// Refuses an empty matrix, singular values that ascend, are negative or not finite, and a weight that is negative or
/// not finite, and squares whose weighted sum overflows. `where` names the stage in messages.
template<class = void>
inline void check(std::span<const rank_unit> units, const std::string& where) {
  for (const rank_unit& u : units) {
    bool valid = u.out > 0 && u.in > 0 && u.values.size() == std::min(u.out, u.in) && u.weight >= 0 &&
                 kernel::is_finite(u.weight);
    double squares = 0;
    for (std::size_t r = 0; valid && r < u.values.size(); ++r) {
      valid = kernel::is_finite(u.values[r]) && u.values[r] >= 0 && (r == 0 || u.values[r] <= u.values[r - 1]);
      squares = math::fma(u.values[r], u.values[r], squares);
    }
    if (!valid)
      refuse({.what = "unit " + u.name + " of " + std::to_string(u.out) + " x " + std::to_string(u.in) + " with " +
                      std::to_string(u.values.size()) + " singular values and weight " + text::number(u.weight),
              .where = where,
              .expected = "min(out, in) finite values, largest first, and a weight of at least 0"});
    check_finite_value(std::max(u.weight, 1.0) * squares, "the weighted sum of squares of unit " + u.name, where,
                       "singular values whose squares do not overflow");
  }
}

/// The smallest rank of each unit that keeps all but a given share of its squared singular values.
///
/// Unit      lost: share of the sum of squares, in [0, 1).
/// Edges     a matrix of zeros gets rank 0.
/// Errors    units that `check` refuses; a share outside [0, 1).
/// Source    truncation by energy, the standard rule for singular values; docs/methods/eigenpruning.md.
struct ranks_by_energy {
  double lost = 0.01;

  template<class = void>
  [[nodiscard]] std::vector<std::size_t> operator()(std::span<const rank_unit> units) const {
    check(units, "allocate::ranks_by_energy");
    if (!(lost >= 0 && lost < 1))
      refuse({.what = "a lost share of " + text::number(lost),
              .where = "allocate::ranks_by_energy",
              .expected = "at least 0 and below 1"});
    std::vector<std::size_t> ranks;
    for (const rank_unit& u : units) {
      double all = 0, kept = 0;
      for (const double v : u.values) all = math::fma(v, v, all);
      std::size_t r = 0;
      while (r < u.values.size() && (kept < (1 - lost) * all)) {
        kept = math::fma(u.values[r], u.values[r], kept);
        ++r;
      }
      ranks.push_back(r);
    }
    return ranks;
  }
};

/// A singular value as a knapsack item: its gain is sigma^2 times the weight of the unit, its price is out + in
/// numbers.
struct rank_item {
  std::size_t unit = 0, value = 0;
  double gain = 0, price = 0;

  [[nodiscard]] double ratio() const noexcept { return gain / price; }
  bool operator==(const rank_item&) const = default;
};

/// All items in descending order of gain per price. Ties: the lower unit, then the larger singular value. The items of
/// each unit are in the order of its singular values, so any prefix is a choice of ranks.
///
/// Errors    units that `check` refuses.
template<class = void>
[[nodiscard]] inline std::vector<rank_item> rank_items(std::span<const rank_unit> units) {
  check(units, "allocate::rank_items");
  std::vector<rank_item> items;
  for (std::size_t u = 0; u < units.size(); ++u)
    for (std::size_t r = 0; r < units[u].values.size(); ++r)
      items.push_back({u, r, units[u].weight * units[u].values[r] * units[u].values[r],
                       static_cast<double>(units[u].out + units[u].in)});
  std::stable_sort(items.begin(), items.end(),
                   [](const rank_item& a, const rank_item& b) { return a.ratio() > b.ratio(); });
  return items;
}

/// Chooses ranks within a number of stored weights: takes items in descending order of gain per price until one does
/// not fit.
///
/// Unit      weights: total number of entries of all factors.
/// Errors    units that `check` refuses.
/// Cost      O(values log values).
/// Source    the greedy rule for a knapsack of items with diminishing gains; docs/methods/eigenpruning.md. It is
///           optimal except for the last item, and cannot keep a matrix dense: rank_costs with a knapsack is exact and
///           can.
/// @post     never more than `weights`; a larger bound never lowers a rank.
struct ranks {
  std::size_t weights = 0;

  template<class = void>
  [[nodiscard]] std::vector<std::size_t> operator()(std::span<const rank_unit> units) const {
    std::vector<std::size_t> chosen(units.size());
    std::size_t left = weights;
    for (const rank_item& item : rank_items(units)) {
      const std::size_t price = units[item.unit].out + units[item.unit].in;
      if (price > left) break;
      left -= price;
      ++chosen[item.unit];
    }
    return chosen;
  }
};

/// A cost table with every rank below break-even, and the dense matrix, for each unit: any allocator can then choose
/// ranks, and knapsack chooses them optimally.
///
/// Shapes    entries rank0, rank1, ..., dense; admissible are dense and the ranks whose factors are smaller than the
///           matrix.
/// Unit      cost: weight times the squared singular values beyond the rank; 0 for dense.
/// Errors    units that `check` refuses; no units.
/// Source    docs/methods/eigenpruning.md (ranks) and docs/methods/knapsack.md.
/// @post     dense never costs more than any rank.
template<class = void>
[[nodiscard]] inline cost_table rank_costs(std::span<const rank_unit> units, std::size_t bytes_per_number = 4) {
  check(units, "allocate::rank_costs");
  check_not_empty(units.size(), "units", "allocate::rank_costs");
  cost_table t{.maker = "rank_costs", .measure = "squared error", .entries = {}, .units = {}, .bytes = {}, .costs = {}};
  std::size_t most = 0;
  for (const rank_unit& u : units) most = std::max(most, u.dense_from());
  for (std::size_t r = 0; r < most; ++r) t.entries.push_back("rank" + std::to_string(r));
  t.entries.push_back("dense");
  for (std::size_t i = 0; i < units.size(); ++i) {
    const rank_unit& u = units[i];
    t.units.push_back({.name = u.name,
                       .layer = 0,
                       .kind = unit_kind::matrix,
                       .part = part::other,
                       .matrices = {i},
                       .weights = u.out * u.in});
    t.original_bytes += u.out * u.in * bytes_per_number;
    std::vector<double> tail(u.values.size() + 1);
    for (std::size_t r = u.values.size(); r-- > 0;) tail[r] = math::fma(u.values[r], u.values[r], tail[r + 1]);
    for (std::size_t r = 0; r < most; ++r) {
      t.bytes.push_back(r * (u.out + u.in) * bytes_per_number);
      t.costs.push_back(r < u.dense_from() ? u.weight * tail[std::min(r, u.values.size())] : not_admitted);
    }
    t.bytes.push_back(u.out * u.in * bytes_per_number);
    t.costs.push_back(0);
  }
  return t;
}

PRECIS_IEEE_END
}  // namespace precis::allocate
