#pragma once

#include <precis/allocate/knapsack.hpp>
#include <precis/allocate/minimax.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace precis::allocate {

/// Between the smallest sum and the smallest worst unit: minimises the sum of cost^p for every p of a list, and keeps the
/// solution whose worst unit costs least; of equally good ones, the one with the smallest sum.
///
/// Shapes   a table whose costs are errors: none is negative.
/// Unit     objective: the worst unit's cost, in the table's measure.
/// Errors   as knapsack; a negative cost, by unit; no powers, or one that is not positive and finite.
/// Cost     two knapsacks a power.
/// Source   exllamav2's quantization search; methods C7.
/// Differs  there each sum is annealed with random seeds, and leftover bits are given out in the order of the units; here each
///          is solved exactly, and what high powers leave over goes where it lowers the sum of costs most.
/// @post    no unit can be given less cost with the bytes left, all others where they are.
/// @post    the worst unit costs no less than minimax's, and for large powers as much.
struct norm_sweep {
  precis::budget budget = bits_per_weight(4);
  std::vector<double> powers = {1, 1.5, 2, 2.5, 3, 3.5};
  linked_units linked = {};

  [[nodiscard]] solution solve(const cost_table& t) const {
    check(t, where);
    if (powers.empty()) bad("no powers", "at least one, such as 1, 2 and 3.5");
    for (const double p : powers)
      if (!(p > 0) || !std::isfinite(p)) bad("a power of " + text::number(p), "a positive, finite one");
    double largest = 0;
    for (std::size_t u = 0; u < t.units.size(); ++u)
      for (std::size_t e = 0; e < t.entries.size(); ++e) {
        if (!t.admits(u, e)) continue;
        if (t.costs_of(u)[e] < 0)
          bad("a cost of " + text::number(t.costs_of(u)[e]) + " of unit " + t.units[u].name, "errors, none negative");
        largest = std::max(largest, t.costs_of(u)[e]);
      }
    solution best;
    double best_sum = 0;
    for (std::size_t i = 0; i < powers.size(); ++i) {
      cost_table raised = t;  // relative to the largest, so that no power overflows
      for (double& c : raised.costs)
        if (c < not_admitted && largest > 0) c = std::pow(c / largest, powers[i]);
      const knapsack within{.budget = budget, .linked = linked};
      const solution least = within.solve(raised);
      // Small costs vanish in high powers, and what they could have is left over: once more, nobody worse off.
      cost_table better = t;
      for (std::size_t u = 0; u < t.units.size(); ++u)
        for (std::size_t e = 0; e < t.entries.size(); ++e)
          if (t.costs_of(u)[e] > t.costs_of(u)[least.entries[u]]) better.costs[u * t.entries.size() + e] = not_admitted;
      solution s = within.solve(better);
      s.objective = 0;
      for (std::size_t u = 0; u < t.units.size(); ++u) s.objective = std::max(s.objective, t.costs_of(u)[s.entries[u]]);
      add_up(s, t);
      if (i != 0 && (s.objective > best.objective || (s.objective == best.objective && s.cost >= best_sum))) continue;
      best_sum = s.cost;
      best = std::move(s);
    }
    best.bound = minimax{.budget = budget, .linked = linked}.solve(t).objective;
    best.optimal = best.objective == best.bound;
    return best;
  }

  [[nodiscard]] plan operator()(const cost_table& t) const { return to_plan(t, solve(t)); }

  /// The plan of a solution found here.
  [[nodiscard]] plan to_plan(const cost_table& t, const solution& s) const {
    return allocate::to_plan(t, s, "norm_sweep " + to_string(budget), "no unit above " + text::number(s.objective));
  }

 private:
  static constexpr const char* where = "allocate::norm_sweep";
  [[noreturn]] static void bad(std::string what, std::string expected) {
    refuse({.what = std::move(what), .where = where, .expected = std::move(expected)});
  }
};

}  // namespace precis::allocate
