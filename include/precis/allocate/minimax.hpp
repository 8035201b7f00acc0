#pragma once

#include <precis/allocate/solver/choice_problem.hpp>
#include <precis/allocate/solver/linked_table.hpp>
#include <precis/allocate/solver/solution.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace precis::allocate {
PRECIS_IEEE_BEGIN

/// Minimises the largest cost of a unit within a budget: finds the smallest threshold such that the smallest entries
/// with a cost at most the threshold fit the budget.
///
/// Unit     threshold, which is the objective: the cost of the worst unit, in the unit of the table.
/// Ties     among entries of equal bytes (or time, like the budget), the lower cost, then the lower entry.
/// Errors   those of knapsack.
/// Cost     O(units x entries x log(units x entries)).
/// Source   the KL-divergence searcher of NVIDIA/Model-Optimizer.
/// Differs  the threshold is searched among the costs of the table; there it is bisected over the reals, and the last
///          probe is returned even if it exceeds the budget.
/// @post    no choice within the budget has a smaller largest cost.
struct minimax {
  precis::budget budget = bits_per_weight(4);
  linked_units linked = {};

  template<class = void>
  [[nodiscard]] solution solve(const cost_table& t) const {
    const solver::linked_table<> rows(t, linked, "allocate::minimax", budget.bounds());
    const std::size_t limit = solver::limit_of(budget, t, solver::feasible_range(rows.problem(0)), "allocate::minimax");
    const auto p = rows.problem(limit);
    std::vector<std::size_t> entries(p.units);
    const auto fits = [&](double threshold) {  // stores the choice in `entries`
      std::size_t room = limit;
      for (std::size_t u = 0; u < p.units; ++u) {
        const std::span<const double> costs = p.values.subspan(u * p.entries, p.entries);
        const std::span<const std::size_t> amounts = p.weights.subspan(u * p.entries, p.entries);
        std::size_t best = p.entries;
        for (std::size_t e = 0; e < p.entries; ++e)
          if (costs[e] <= threshold && (best == p.entries || amounts[e] < amounts[best] ||
                                        (amounts[e] == amounts[best] && costs[e] < costs[best])))
            best = e;
        if (best == p.entries || amounts[best] > room) return false;
        room -= amounts[best];
        entries[u] = best;
      }
      return true;
    };

    std::vector<double> thresholds;
    for (const double c : p.values)
      if (c < not_admitted) thresholds.push_back(c);
    std::sort(thresholds.begin(), thresholds.end());
    thresholds.erase(std::unique(thresholds.begin(), thresholds.end()), thresholds.end());
    std::size_t low = 0, high = thresholds.empty() ? 0 : thresholds.size() - 1;  // the highest one fits
    while (low < high) {
      const std::size_t middle = low + (high - low) / 2;
      if (fits(thresholds[middle]))
        high = middle;
      else
        low = middle + 1;
    }
    solution s{.entries = {}, .limit = limit, .optimal = true, .limited = budget.bounds()};
    if (!thresholds.empty()) {
      (void)fits(thresholds[low]);
      s.objective = s.bound = thresholds[low];
    }
    s.entries = rows.expand(entries);
    solver::add_up(s, t);
    return s;
  }

  template<class = void>
  [[nodiscard]] plan operator()(const cost_table& t) const {
    return to_plan(t, solve(t));
  }

  /// The plan of a solution found here.
  template<class = void>
  [[nodiscard]] plan to_plan(const cost_table& t, const solution& s) const {
    return solver::to_plan(t, s, "minimax " + to_string(budget), "no unit above " + text::number(s.objective));
  }
};

PRECIS_IEEE_END
}  // namespace precis::allocate
