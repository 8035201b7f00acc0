#pragma once

#include <precis/allocate/solver/relaxation.hpp>
#include <precis/allocate/solver/solution.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace precis::allocate {

/// From the smallest entries up: always the step along a unit's lower hull that saves the most cost a byte and still
/// fits; a unit whose step does not fit stays where it is, the others go on.
///
/// Ties     by what is in the units' rows.
/// Errors   as knapsack.
/// Cost     O(units x entries x log).
/// @post    never better than knapsack, never worse than lagrangian.
/// Source   methods C4. Feasible, optimal only where the Lagrangian bound is met.
struct greedy {
  precis::budget budget = bits_per_weight(4);
  linked_units linked = {};

  [[nodiscard]] solution solve(const cost_table& t) const {
    const linked_table rows(t, linked, "allocate::greedy");
    const std::size_t limit = limit_of(budget, t, feasible_bytes(rows.problem(0)), "allocate::greedy");
    const auto p = rows.problem(limit);
    const hulls h(p);
    struct step {
      double slope;
      std::uint64_t key;
      std::size_t unit, point;
    };
    std::vector<step> steps;
    std::vector<std::size_t> at(p.units);
    double room = p.limit;
    for (std::size_t u = 0; u < p.units; ++u) {
      at[u] = h.first[u];
      room -= p.weight(u, h.entry[at[u]]);
      const std::uint64_t key = detail::row_key(p, u);
      for (std::size_t i = at[u]; !h.is_last(i, u); ++i) steps.push_back({h.slope[i], key, u, i});
    }
    std::ranges::stable_sort(
        steps, [](const step& a, const step& b) { return a.slope != b.slope ? a.slope > b.slope : a.key < b.key; });
    for (const step& s : steps) {
      const double more = p.weight(s.unit, h.entry[s.point + 1]) - p.weight(s.unit, h.entry[s.point]);
      if (at[s.unit] != s.point || more > room) continue;
      at[s.unit] = s.point + 1;
      room -= more;
    }

    std::vector<std::uint32_t> entries, relaxed;
    const relaxation r = relax(p, h);
    for (const std::size_t point : at) entries.push_back(h.entry[point]);
    for (const std::uint32_t point : r.points) relaxed.push_back(h.entry[point]);
    solution base{.entries = rows.expand(relaxed)}, s{.entries = rows.expand(entries), .limit = limit};
    add_up(base, t);
    add_up(s, t);
    s.objective = s.cost;
    s.bound = std::min(s.cost, base.cost - r.price * r.room);
    s.optimal = s.bound == s.objective;
    return s;
  }

  [[nodiscard]] plan operator()(const cost_table& t) const { return to_plan(t, solve(t)); }

  /// The plan of a solution found here.
  [[nodiscard]] plan to_plan(const cost_table& t, const solution& s) const {
    return allocate::to_plan(t, s, "greedy " + to_string(budget), certificate(s));
  }
};

}  // namespace precis::allocate
