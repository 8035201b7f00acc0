#pragma once

#include <precis/allocate/knapsack.hpp>
#include <precis/allocate/minimax.hpp>
#include <precis/allocate/solver/linked_table.hpp>
#include <precis/allocate/solver/solution.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/checks.hpp>
#include <precis/core/math.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace precis::allocate {
PRECIS_IEEE_BEGIN

/// A compromise between the least total cost and the least cost of the worst unit: minimises the sum of cost^p for each
/// p in a list, and keeps the solution whose worst unit costs least. Ties: the least total cost.
///
/// Shapes   a table whose costs are errors, so none is negative.
/// Unit     objective: the cost of the worst unit, in the unit of the table.
/// Errors   those of knapsack; a negative cost, naming the unit; no powers, or a power that is not positive and finite.
/// Cost     two knapsacks per power.
/// Source   the quantization search of exllamav2 (turboderp-org/exllamav2).
/// Differs  exllamav2 minimises each sum by simulated annealing with random seeds and spends leftover bits in unit
///          order. Here each sum is minimised exactly, and leftover bytes go where they reduce the total cost most.
/// @post    no unit can get a lower cost from the leftover bytes while all others keep their entries.
/// @post    the worst unit costs at least as much as with minimax, and exactly as much for large powers.
struct norm_sweep {
  precis::budget budget = bits_per_weight(4);
  std::vector<double> powers = {1, 1.5, 2, 2.5, 3, 3.5};
  linked_units linked = {};

  template<class = void>
  [[nodiscard]] solution solve(const cost_table& t) const {
    check(t, where);
    check_not_empty(powers.size(), "powers", where);
    for (const double p : powers)
      if (!(p > 0) || !kernel::is_finite(p)) bad("a power of " + text::number(p), "positive, finite powers");
    double largest = 0;
    for (std::size_t u = 0; u < t.units.size(); ++u)
      for (std::size_t e = 0; e < t.entries.size(); ++e) {
        if (!t.admits(u, e)) continue;
        if (t.costs_of(u)[e] < 0)
          bad("a cost of " + text::number(t.costs_of(u)[e]) + " for unit " + t.units[u].name, "costs of at least 0");
        largest = std::max(largest, t.costs_of(u)[e]);
      }
    solution best;
    double best_sum = 0;
    for (std::size_t i = 0; i < powers.size(); ++i) {
      cost_table raised = t;  // relative to the largest cost, so that no power overflows
      for (double& c : raised.costs)
        if (c < not_admitted && largest > 0) c = math::pow(c / largest, powers[i]);
      const knapsack within{.budget = budget, .linked = linked};
      const solution least = within.solve(raised);
      // Small costs vanish in high powers, which leaves bytes unspent: solve again and let no unit get worse.
      cost_table no_worse = t;
      for (std::size_t u = 0; u < t.units.size(); ++u)
        for (std::size_t e = 0; e < t.entries.size(); ++e)
          if (t.costs_of(u)[e] > t.costs_of(u)[least.entries[u]])
            no_worse.costs[u * t.entries.size() + e] = not_admitted;
      solution s = within.solve(no_worse);
      s.objective = 0;
      for (std::size_t u = 0; u < t.units.size(); ++u) s.objective = std::max(s.objective, t.costs_of(u)[s.entries[u]]);
      solver::add_up(s, t);
      if (i != 0 && (s.objective > best.objective || (s.objective == best.objective && s.cost >= best_sum))) continue;
      best_sum = s.cost;
      best = std::move(s);
    }
    best.bound = minimax{.budget = budget, .linked = linked}.solve(t).objective;
    best.optimal = best.objective == best.bound;
    return best;
  }

  template<class = void>
  [[nodiscard]] plan operator()(const cost_table& t) const {
    return to_plan(t, solve(t));
  }

  /// The plan of a solution found here.
  template<class = void>
  [[nodiscard]] plan to_plan(const cost_table& t, const solution& s) const {
    return solver::to_plan(t, s, "norm_sweep " + to_string(budget), "no unit above " + text::number(s.objective));
  }

 private:
  static constexpr const char* where = "allocate::norm_sweep";
  template<class = void>
  [[noreturn]] static void bad(std::string what, std::string expected) {
    refuse({.what = std::move(what), .where = where, .expected = std::move(expected)});
  }
};

PRECIS_IEEE_END
}  // namespace precis::allocate
