#pragma once

#include <precis/allocate/solver/relaxation.hpp>
#include <precis/allocate/solver/solution.hpp>

#include <cstddef>

namespace precis::allocate {

/// Every unit takes the entry of least cost + price x bytes, at the smallest price that keeps the budget.
///
/// Unit     price: cost a byte.
/// Ties     the entry of fewer bytes.
/// Errors   as knapsack.
/// Cost     O(units x entries): the price is one of the hulls' slopes and is selected, not searched for.
/// @post    bound <= knapsack's cost <= cost.
/// Source   methods C4. Feasible, optimal only where the bound is met.
struct lagrangian {
  precis::budget budget = bits_per_weight(4);
  linked_units linked = {};

  [[nodiscard]] solution solve(const cost_table& t) const {
    const linked_table rows(t, linked, "allocate::lagrangian");
    const std::size_t limit = limit_of(budget, t, feasible_bytes(rows.problem(0)), "allocate::lagrangian");
    const auto p = rows.problem(limit);
    const hulls h(p);
    const relaxation r = relax(p, h);
    std::vector<std::uint32_t> entries;
    for (const std::uint32_t point : r.points) entries.push_back(h.entry[point]);
    solution s{.entries = rows.expand(entries), .limit = limit};
    add_up(s, t);
    s.objective = s.cost;
    s.bound = s.cost - r.price * r.room;
    s.optimal = s.bound == s.objective;
    return s;
  }

  [[nodiscard]] plan operator()(const cost_table& t) const { return to_plan(t, solve(t)); }

  /// The plan of a solution found here.
  [[nodiscard]] plan to_plan(const cost_table& t, const solution& s) const {
    return allocate::to_plan(t, s, "lagrangian " + to_string(budget), certificate(s));
  }
};

}  // namespace precis::allocate
