#pragma once

#include <precis/allocate/solver/choice_problem.hpp>
#include <precis/allocate/solver/multiple_choice.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/compensated_sum.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace precis::allocate::solver {

/// The multiple-choice knapsack problem with a second limit, on other weights:
///
///     min sum value(u, e_u)   subject to   sum weight(u, e_u) <= limit,   sum second(u, e_u) <= second_limit
///
/// Method   (1) Find the choice of least value and the one of least second weight within the first limit; if the former
///          keeps the second limit, it is the optimum, and if the latter does not, there is no feasible choice. (2) Give
///          the second weight a price: the price at which the two cost the same, and the best choice within the first
///          limit at that price, which replaces one of the two; repeat until none is better. Each price yields a lower
///          bound. (3) Improve the best feasible choice by single changes.
/// Shapes   second: [units x entries].
/// Requires that the lightest entries keep the first limit, and at least one admissible entry per unit.
/// Unit     those of the problem.
/// Errors   calls infeasible(least second weight within the first limit), which must not return.
/// Cost     about ten to thirty times that of `choose`.
/// Source   docs/methods/knapsack.md, "Two budgets".
/// @post    the choice keeps both limits, and no feasible choice has a value below the bound.
template<class Infeasible>
[[nodiscard]] selection choose_within_both(const choice_problem<double, std::size_t>& p,
                                           std::span<const std::size_t> second, double second_limit,
                                           const search_limits& limits, Infeasible&& infeasible) {
  struct point {
    std::vector<std::uint32_t> entries;
    double value = 0, second = 0, weight = 0;
  };
  const auto place = [&](const std::vector<std::uint32_t>& entries) {
    point at{.entries = entries};
    compensated_sum value;
    for (std::size_t u = 0; u < p.units; ++u) {
      const std::size_t cell = u * p.entries + at.entries[u];
      value.add(p.values[cell]);
      at.second += static_cast<double>(second[cell]);
      at.weight += static_cast<double>(p.weights[cell]);
    }
    at.value = value.value();
    return at;
  };
  std::vector<double> priced(p.values.size());
  const auto best_at = [&](double value, double price) {
    for (std::size_t c = 0; c < priced.size(); ++c)
      priced[c] =
          !kernel::is_finite(p.values[c]) ? p.values[c] : value * p.values[c] + price * static_cast<double>(second[c]);
    return choose(choice_problem<double, std::size_t>{p.units, p.entries, priced, p.weights, p.limit}, limits);
  };

  selection cheapest = choose(p, limits);
  point low = place(cheapest.entries);
  if (low.second <= second_limit) return cheapest;
  point high = place(best_at(0, 1).entries);
  if (high.second > second_limit) infeasible(high.second);

  double bound = cheapest.bound;
  point best = high;
  constexpr int most_prices = 60;
  for (int i = 0; i < most_prices && high.value > low.value; ++i) {
    const double price = (high.value - low.value) / (low.second - high.second);
    const selection s = best_at(1, price);
    bound = std::max(bound, s.bound - price * second_limit);
    point middle = place(s.entries);
    const double line = low.value + price * low.second;
    if (middle.value + price * middle.second >= line - 1e-12 * std::abs(line)) break;
    if (middle.second > second_limit) {
      low = std::move(middle);
      continue;
    }
    if (middle.value < best.value) best = middle;
    high = std::move(middle);
  }
  if (high.value <= best.value) best = high;

  for (bool improved = true; improved;) {
    improved = false;
    std::size_t unit = 0, entry = 0;
    double most = 0;
    for (std::size_t u = 0; u < p.units; ++u)
      for (std::size_t e = 0; e < p.entries; ++e) {
        const std::size_t from = u * p.entries + best.entries[u], to = u * p.entries + e;
        const double gain = p.values[from] - p.values[to];
        if (!(gain > most) ||
            best.weight - static_cast<double>(p.weights[from]) + static_cast<double>(p.weights[to]) > p.limit ||
            best.second - static_cast<double>(second[from]) + static_cast<double>(second[to]) > second_limit)
          continue;
        most = gain;
        unit = u;
        entry = e;
        improved = true;
      }
    if (!improved) break;
    best.entries[unit] = static_cast<std::uint32_t>(entry);
    best = place(std::move(best.entries));
  }

  selection result{.entries = best.entries, .value = best.value, .weight = best.weight};
  result.bound = std::min(bound, best.value);
  result.optimal = result.bound == best.value;
  return result;
}

}  // namespace precis::allocate::solver
