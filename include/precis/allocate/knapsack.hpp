#pragma once

#include <precis/allocate/solver/choice_problem.hpp>
#include <precis/allocate/solver/linked_table.hpp>
#include <precis/allocate/solver/multiple_choice.hpp>
#include <precis/allocate/solver/solution.hpp>
#include <precis/allocate/solver/two_limits.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/compensated_sum.hpp>
#include <precis/core/math.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdlib>
#include <optional>
#include <string>

namespace precis::allocate {
PRECIS_IEEE_BEGIN

/// The choice with the least total cost within a budget: an exact solution of the integer program
///
///     min sum d(u, e_u)   subject to   sum bytes(u, e_u) <= budget,   one entry e_u per unit
///
/// With a budget in time, nanoseconds(u, e_u) stand in place of the bytes. `also` adds a second budget, of the other
/// resource: then the method is the Lagrangian bisection of solver::choose_within_both, feasible and with a bound, but
/// seldom proven optimal.
///
/// Unit     cost: that of the table. Bytes and times are those of the table, so the plan never exceeds the budget by a
///          byte or a nanosecond.
/// Ties     the fewest bytes; then broken by the contents of the units' rows, not by their order.
/// Errors   a table that `check` refuses; a budget below the size of the smallest admissible entries, with the feasible
///          range; a linked name that is not a unit; linked units without a common admissible entry.
/// Cost     O(units x entries) plus a search over the few undecided units: 1,000 units x 6 entries take a millisecond.
///          If the search reaches `limits`, `optimal` is false and gap() bounds the distance to the optimum.
/// Source   CPTQuant (Nanda, Balija, Sahoo), which names integer programming without a formula; HAWQ's integer linear
///          program (Zhen-Dong/HAWQ); docs/methods/knapsack.md.
/// @post    the optimum never rises as the budget grows, and does not depend on the order of the units.
struct knapsack {
  precis::budget budget = bits_per_weight(4);
  linked_units linked = {};
  search_limits limits = {};
  std::optional<precis::budget> also = {};  ///< a time if `budget` is a size, and vice versa

  template<class = void>
  [[nodiscard]] solution solve(const cost_table& t) const {
    const solver::linked_table<> rows(t, linked, where, budget.bounds());
    const std::size_t limit = solver::limit_of(budget, t, solver::feasible_range(rows.problem(0)), where);
    const solver::selection chosen =
        also ? within_both(t, rows, *also, limit) : solver::choose(rows.problem(limit), limits);
    solution s{
        .entries = rows.expand(chosen.entries), .limit = limit, .optimal = chosen.optimal, .limited = budget.bounds()};
    solver::add_up(s, t);
    s.objective = s.cost;
    s.bound = s.optimal ? s.cost : chosen.bound;
    return s;
  }

  template<class = void>
  [[nodiscard]] plan operator()(const cost_table& t) const {
    return to_plan(t, solve(t));
  }

  /// The plan of a solution found here.
  template<class = void>
  [[nodiscard]] plan to_plan(const cost_table& t, const solution& s) const {
    return solver::to_plan(t, s, "knapsack " + to_string(budget) + (also ? " and " + to_string(*also) : ""),
                           solver::certificate(s));
  }

 private:
  static constexpr const char* where = "allocate::knapsack";

  template<class = void>
  [[nodiscard]] solver::selection within_both(const cost_table& t, const solver::linked_table<>& rows,
                                              const precis::budget& second, std::size_t limit) const {
    if (second.bounds() == budget.bounds())
      refuse({.what = "the budgets " + to_string(budget) + " and " + to_string(second),
              .where = where,
              .expected = "a size and a time"});
    const solver::linked_table<> others(t, linked, where, second.bounds());
    const std::size_t other = solver::limit_of(second, t, solver::feasible_range(others.problem(0)), where);
    const bool timed = budget.bounds() == resource::nanoseconds;
    solver::choice_problem<double, std::size_t> p = rows.problem(limit);
    if (!timed) p.values = others.problem(0).values;  // entries whose time is not known are not admissible
    p.limit = static_cast<double>(solver::limit_of(budget, t, solver::feasible_range(p), where));
    return solver::choose_within_both(
        p, others.problem(0).weights, static_cast<double>(other), limits, [&](double least) {
          refuse({.what = "a budget of " + to_string(budget) + " and " + to_string(second),
                  .where = where,
                  .expected = "a larger one: within the first, the least of the second is " + text::number(least) +
                              (timed ? " bytes" : "ns per token")});
        });
  }
};

/// The choice with the fewest bytes, or the least time, whose predicted cost is at most `cost`: the inverse of knapsack.
///
/// Unit     cost: that of the table. The objective of the solution is in bytes or nanoseconds.
/// Ties     the least cost.
/// Errors   those of knapsack; a cost below the least that the table allows, or NaN.
/// Cost     that of knapsack, usually twice.
/// Source   the integer program of knapsack with objective and constraint exchanged.
/// @post    a knapsack with one byte less cannot stay within `cost`.
struct smallest {
  double cost = 0;
  linked_units linked = {};
  search_limits limits = {};
  resource of = resource::bytes;  ///< what is minimised

  template<class = void>
  [[nodiscard]] solution solve(const cost_table& t) const {
    const solver::linked_table<> rows(t, linked, "allocate::smallest", of);
    const solver::choice_problem<std::size_t, double> all = rows.inverse(cost);
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
              .expected = "at least " + text::number(least.value()) + ", the least cost that this table allows"});

    // The search rounds costs up. So first allow a little more, to find choices that cost exactly `cost`; if the exact
    // sum is then too large, tighten the limit.
    solution s;
    for (double limit = cost + 1e-12 * span;;) {
      solver::choice_problem<std::size_t, double> p = all;
      p.limit = limit;
      const solver::selection chosen = solver::choose(p, limits);
      s.entries = rows.expand(chosen.entries);
      s.optimal = chosen.optimal;
      solver::add_up(s, t);
      s.objective = static_cast<double>(of == resource::bytes ? s.bytes : s.nanoseconds);
      s.bound = s.optimal ? s.objective : math::ceil(chosen.bound);
      if (s.cost <= cost) return s;
      const double tighter =
          limit > cost ? cost : std::min(limit - (s.cost - cost), math::nextafter(limit, -not_admitted));
      limit = std::max(tighter, least.value());
    }
  }

  template<class = void>
  [[nodiscard]] plan operator()(const cost_table& t) const {
    const solution s = solve(t);
    return solver::to_plan(t, s, (of == resource::bytes ? "smallest " : "fastest ") + text::number(cost),
                           solver::certificate(s));
  }
};

PRECIS_IEEE_END
}  // namespace precis::allocate
