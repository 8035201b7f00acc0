#pragma once

#include <precis/allocate/solver/choice_problem.hpp>
#include <precis/allocate/solver/linked_table.hpp>
#include <precis/allocate/solver/relaxation.hpp>
#include <precis/allocate/solver/solution.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>

namespace precis::allocate {
PRECIS_IEEE_BEGIN

/// Each unit takes the entry that minimises cost + price x bytes (or time, like the budget), at the smallest price whose choice fits the budget.
///
/// Unit     price: cost per byte or per nanosecond.
/// Ties     the entry with fewer bytes, or less time.
/// Errors   those of knapsack.
/// Cost     O(units x entries): the price is one of the slopes of the convex hulls, found by selection.
/// Source   Lagrangian relaxation of the multiple-choice knapsack problem; docs/methods/knapsack.md. The result is
///          feasible, and proven optimal only if it meets the bound.
/// @post    bound <= knapsack's cost <= cost.
struct lagrangian {
  precis::budget budget = bits_per_weight(4);
  linked_units linked = {};

  template<class = void>
  [[nodiscard]] solution solve(const cost_table& t) const {
    const solver::linked_table<> rows(t, linked, "allocate::lagrangian", budget.bounds());
    const std::size_t limit =
        solver::limit_of(budget, t, solver::feasible_range(rows.problem(0)), "allocate::lagrangian");
    const auto p = rows.problem(limit);
    const solver::hulls h(p);
    const solver::relaxation r = solver::relax(p, h);
    std::vector<std::uint32_t> entries;
    entries.reserve(r.points.size());
    for (const std::uint32_t point : r.points) entries.push_back(h.entry[point]);
    solution s{.entries = rows.expand(entries), .limit = limit, .limited = budget.bounds()};
    solver::add_up(s, t);
    s.objective = s.cost;
    s.bound = s.cost - r.price * r.room;
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
    return solver::to_plan(t, s, "lagrangian " + to_string(budget), solver::certificate(s));
  }
};

PRECIS_IEEE_END
}  // namespace precis::allocate
