#pragma once

#include <precis/allocate/solver/choice_problem.hpp>
#include <precis/allocate/solver/linked_table.hpp>
#include <precis/allocate/solver/relaxation.hpp>
#include <precis/allocate/solver/solution.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace precis::allocate {
PRECIS_IEEE_BEGIN

/// Starts from the smallest entries and repeatedly takes the step along a unit's lower convex hull that saves the most
/// cost per byte, or per nanosecond if the budget is a time. A unit whose next step does not fit keeps its entry; the others go on.
///
/// Unit     cost: that of the table.
/// Ties     broken by the contents of the units' rows, not by their order.
/// Errors   those of knapsack.
/// Cost     O(steps log steps), with at most units x (entries - 1) steps.
/// Source   the standard greedy heuristic for the multiple-choice knapsack problem; docs/methods/knapsack.md. The
///          result is feasible, and proven optimal only if it meets the Lagrangian bound.
/// @post    the cost is never below that of knapsack and never above that of lagrangian.
struct greedy {
  precis::budget budget = bits_per_weight(4);
  linked_units linked = {};

  template<class = void>
  [[nodiscard]] solution solve(const cost_table& t) const {
    const solver::linked_table<> rows(t, linked, "allocate::greedy", budget.bounds());
    const std::size_t limit = solver::limit_of(budget, t, solver::feasible_range(rows.problem(0)), "allocate::greedy");
    const auto p = rows.problem(limit);
    const solver::hulls hull(p);
    struct step {
      double slope;
      std::uint64_t key;
      std::size_t unit, point;
    };
    std::vector<step> steps;
    std::vector<std::size_t> at(p.units);
    double room = p.limit;
    for (std::size_t u = 0; u < p.units; ++u) {
      at[u] = hull.first[u];
      room -= p.weight(u, hull.entry[at[u]]);
      const std::uint64_t key = solver::row_key(p, u);
      for (std::size_t i = at[u]; !hull.is_last(i, u); ++i) steps.push_back({hull.slope[i], key, u, i});
    }
    std::stable_sort(steps.begin(), steps.end(), [](const step& a, const step& b) {
      return a.slope != b.slope ? a.slope > b.slope : a.key < b.key;
    });
    for (const step& s : steps) {
      const double more = p.weight(s.unit, hull.entry[s.point + 1]) - p.weight(s.unit, hull.entry[s.point]);
      if (at[s.unit] != s.point || more > room) continue;
      at[s.unit] = s.point + 1;
      room -= more;
    }

    std::vector<std::uint32_t> entries, relaxed;
    const solver::relaxation r = solver::relax(p, hull);
    for (const std::size_t point : at) entries.push_back(hull.entry[point]);
    for (const std::uint32_t point : r.points) relaxed.push_back(hull.entry[point]);
    solution base{.entries = rows.expand(relaxed)},
        s{.entries = rows.expand(entries), .limit = limit, .limited = budget.bounds()};
    solver::add_up(base, t);
    solver::add_up(s, t);
    s.objective = s.cost;
    s.bound = std::min(s.cost, base.cost - r.price * r.room);
    s.optimal = s.bound == s.objective;
    return s;
  }

  template<class = void>
  [[nodiscard]] plan operator()(const cost_table& t) const {
    return to_plan(t, solve(t));
  }

  /// The plan of a solution found here.
  template<class = void>
  [[nodiscard]] plan to_plan(const cost_table& t, const solution& s) const {
    return solver::to_plan(t, s, "greedy " + to_string(budget), solver::certificate(s));
  }
};

PRECIS_IEEE_END
}  // namespace precis::allocate
