#pragma once

#include <precis/core/cost_table.hpp>
#include <precis/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace precis::allocate {

/// A matrix whose rank is to be chosen.
struct rank_unit {
  std::string name;
  std::size_t out = 0, in = 0;
  std::vector<double>
      values;         ///< singular values, largest first: of W, or of W times a root of its inputs' Gram matrix
  double weight = 1;  ///< what one unit of squared error costs: any score, >= 0

  /// The first rank whose factors take as much as the matrix itself.
  [[nodiscard]] std::size_t dense_from() const noexcept { return (out * in + out + in - 1) / (out + in); }
};

/// Refuses what no rank can be chosen for: empty extents, values that ascend or are not finite, a negative weight.
inline void check(std::span<const rank_unit> units, const std::string& where) {
  for (const rank_unit& u : units) {
    bool good =
        u.out > 0 && u.in > 0 && u.values.size() == std::min(u.out, u.in) && u.weight >= 0 && std::isfinite(u.weight);
    for (std::size_t r = 0; good && r < u.values.size(); ++r)
      good = std::isfinite(u.values[r]) && u.values[r] >= 0 && (r == 0 || u.values[r] <= u.values[r - 1]);
    if (!good)
      refuse({.what = "unit " + u.name + " of " + std::to_string(u.out) + " x " + std::to_string(u.in) + " with " +
                      std::to_string(u.values.size()) + " singular values and weight " + std::to_string(u.weight),
              .where = where,
              .expected = "min(out, in) finite values, largest first, and a weight of at least 0"});
  }
}

/// The smallest rank of each unit that keeps all but a share of its squared singular values.
///
/// Unit      lost: share of the sum of squares, in [0, 1). A matrix of zeros gets rank 0.
/// Errors    units that `check` refuses; a share outside [0, 1).
/// Source    methods C10 (energy).
struct ranks_by_energy {
  double lost = 0.01;

  [[nodiscard]] std::vector<std::size_t> operator()(std::span<const rank_unit> units) const {
    check(units, "allocate::ranks_by_energy");
    if (!(lost >= 0 && lost < 1))
      refuse({.what = "a lost share of " + std::to_string(lost),
              .where = "allocate::ranks_by_energy",
              .expected = "at least 0 and below 1"});
    std::vector<std::size_t> ranks;
    for (const rank_unit& u : units) {
      double all = 0, kept = 0;
      for (const double v : u.values) all = std::fma(v, v, all);
      std::size_t r = 0;
      while (r < u.values.size() && (kept < (1 - lost) * all)) {
        kept = std::fma(u.values[r], u.values[r], kept);
        ++r;
      }
      ranks.push_back(r);
    }
    return ranks;
  }
};

/// A singular value as something to buy: gain sigma^2 times the unit's weight, price out + in numbers.
struct rank_item {
  std::size_t unit = 0, value = 0;
  double gain = 0, price = 0;

  [[nodiscard]] double ratio() const noexcept { return gain / price; }
  bool operator==(const rank_item&) const = default;
};

/// All items, the best gain for its price first; ties go by unit, then by value. In this order each unit's items follow
/// each other, so any prefix is a choice of ranks.
[[nodiscard]] inline std::vector<rank_item> rank_items(std::span<const rank_unit> units) {
  check(units, "allocate::rank_items");
  std::vector<rank_item> items;
  for (std::size_t u = 0; u < units.size(); ++u)
    for (std::size_t r = 0; r < units[u].values.size(); ++r)
      items.push_back({u, r, units[u].weight * units[u].values[r] * units[u].values[r],
                       static_cast<double>(units[u].out + units[u].in)});
  std::ranges::stable_sort(items, [](const rank_item& a, const rank_item& b) { return a.ratio() > b.ratio(); });
  return items;
}

/// Ranks within a number of stored weights, greedily: items by gain for their price until one does not fit.
///
/// Unit      weights: numbers in all factors together.
/// Errors    units that `check` refuses.
/// Cost      O(values log values).
/// Source    methods C10. Optimal but for the last item; a matrix that would rather stay dense is beyond it: rank_costs and
///           a knapsack are exact and know both.
/// @post     never more than `weights`; a larger bound never lowers a rank.
struct ranks {
  std::size_t weights = 0;

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

/// Every unit at every rank below break-even, and dense, as a cost table: ranks for any allocator, exactly for a knapsack.
///
/// Shapes    entries rank0, rank1, ..., dense; a unit admits the ranks whose factors are smaller than the matrix, and dense.
/// Unit      cost: weight times the squared singular values beyond the rank; 0 for dense.
/// Errors    units that `check` refuses; no units.
/// Source    methods C10, C3.
/// @post     dense never costs more than a rank.
[[nodiscard]] inline cost_table rank_costs(std::span<const rank_unit> units, std::size_t bytes_per_number = 4) {
  check(units, "allocate::rank_costs");
  if (units.empty()) refuse({.what = "no units", .where = "allocate::rank_costs", .expected = "at least one"});
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
    for (std::size_t r = u.values.size(); r-- > 0;) tail[r] = std::fma(u.values[r], u.values[r], tail[r + 1]);
    for (std::size_t r = 0; r < most; ++r) {
      t.bytes.push_back(r * (u.out + u.in) * bytes_per_number);
      t.costs.push_back(r < u.dense_from() ? u.weight * tail[std::min(r, u.values.size())] : not_admitted);
    }
    t.bytes.push_back(u.out * u.in * bytes_per_number);
    t.costs.push_back(0);
  }
  return t;
}

}  // namespace precis::allocate
