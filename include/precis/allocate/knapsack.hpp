#pragma once

#include <precis/allocate/solver/multiple_choice.hpp>
#include <precis/allocate/solver/solution.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>

namespace precis::allocate {

/// The entries of least total cost within a budget: the integer program, exactly.
///
///     min sum d(u, e_u)   subject to   sum bytes(u, e_u) <= budget,   one entry e_u a unit
///
/// Unit     cost: the table's measure. Bytes are the table's, all of them: never over budget, by the byte.
/// Ties     of equal cost the fewest bytes; then by what is in the units' rows, not where they stand.
/// Errors   what `check` refuses; a budget below what the smallest admissible entries take, with the range; `linked`
///          names that are no units, or units linked that share no admissible entry.
/// Cost     O(units x entries) and a search over the few undecided units: 1,000 units x 6 entries in a millisecond. Where
///          `limits` end the search first, the solution says so: optimal is false, and gap() is what may be left.
/// @post    the optimum never rises as the budget grows, and does not depend on the order of the units.
/// Source   methods C3; CPTQuant's "integer programming", HAWQ's integer linear program.
struct knapsack {
  precis::budget budget = bits_per_weight(4);
  linked_units linked = {};
  search_limits limits = {};

  [[nodiscard]] solution solve(const cost_table& t) const {
    const linked_table rows(t, linked, "allocate::knapsack");
    const std::size_t limit = limit_of(budget, t, feasible_bytes(rows.problem(0)), "allocate::knapsack");
    const selection chosen = choose(rows.problem(limit), limits);
    solution s{.entries = rows.expand(chosen.entries), .limit = limit, .optimal = chosen.optimal};
    add_up(s, t);
    s.objective = s.cost;
    s.bound = s.optimal ? s.cost : chosen.bound;
    return s;
  }

  [[nodiscard]] plan operator()(const cost_table& t) const { return to_plan(t, solve(t)); }

  /// The plan of a solution found here.
  [[nodiscard]] plan to_plan(const cost_table& t, const solution& s) const {
    return allocate::to_plan(t, s, "knapsack " + to_string(budget), certificate(s));
  }
};

/// The fewest bytes whose predicted cost is at most `cost`: the integer program the other way round.
///
/// Unit     cost: the table's measure. The objective of its solution is bytes.
/// Ties     of equal bytes the least cost.
/// Errors   as knapsack; a cost below the least that the table has, or NaN.
/// @post    a knapsack with one byte less cannot stay within `cost`.
/// Source   methods C3.
struct smallest {
  double cost = 0;
  linked_units linked = {};
  search_limits limits = {};

  [[nodiscard]] solution solve(const cost_table& t) const {
    const linked_table rows(t, linked, "allocate::smallest");
    const choice_problem<std::size_t, double> all = rows.inverse(cost);
    compensated_sum least;
    double span = 0;
    for (std::size_t u = 0; u < all.units; ++u) {
      double low = not_admitted, largest = 0;
      for (std::size_t e = 0; e < all.entries; ++e) {
        if (!all.admits(u, e)) continue;
        low = std::min(low, all.weight(u, e));
        largest = std::max(largest, std::abs(all.weight(u, e)));
      }
      least.add(low);
      span += largest;
    }
    if (!(least.value() <= cost))
      refuse({.what = "a cost of at most " + text::number(cost),
              .where = "allocate::smallest",
              .expected = "at least " + text::number(least.value()) + ", the least this table can reach"});

    // Costs are rounded up where they are added: ask for a little more first, so that what adds up to `cost` itself is
    // found, and for less if the true sum is above.
    solution s;
    for (double limit = cost + 1e-12 * span;;) {
      choice_problem<std::size_t, double> p = all;
      p.limit = limit;
      const selection chosen = choose(p, limits);
      s.entries = rows.expand(chosen.entries);
      s.optimal = chosen.optimal;
      add_up(s, t);
      s.objective = static_cast<double>(s.bytes);
      s.bound = s.optimal ? s.objective : std::ceil(chosen.bound);
      if (s.cost <= cost) return s;
      const double less = limit > cost ? cost : std::min(limit - (s.cost - cost), std::nextafter(limit, -not_admitted));
      limit = std::max(less, least.value());
    }
  }

  [[nodiscard]] plan operator()(const cost_table& t) const {
    const solution s = solve(t);
    return to_plan(t, s, "smallest " + text::number(cost), certificate(s));
  }
};

}  // namespace precis::allocate
