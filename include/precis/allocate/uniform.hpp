#pragma once

#include <precis/allocate/solver/solution.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace precis::allocate {
PRECIS_IEEE_BEGIN

/// Gives every unit the same entry, the largest that fits the budget, in bytes or in time: the baseline for all other
/// allocators.
///
/// Unit     objective: minus the bytes.
/// Ties     the lower cost, then the lower entry.
/// Errors   a table that `check` refuses; no entry that is admissible for every unit; a budget that no such entry fits,
///          with the feasible range.
/// Cost     O(units x entries).
/// Source   none: common practice.
struct uniform {
  precis::budget budget = bits_per_weight(4);

  template<class = void>
  [[nodiscard]] solution solve(const cost_table& t) const {
    check(t, "allocate::uniform");
    const bool timed = budget.bounds() == resource::nanoseconds;
    const auto amount = [&](const solution& s) { return timed ? s.nanoseconds : s.bytes; };
    if (timed && !t.has_times())
      refuse({.what = "a budget in time, but the cost table has no times",
              .where = "allocate::uniform",
              .expected = "nanoseconds in the table (cost::product_times, precis cost --time), or a budget in bytes"});
    constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
    std::vector<solution> all;
    std::pair<std::size_t, std::size_t> range{none, 0};
    for (std::size_t e = 0; e < t.entries.size(); ++e) {
      solution s{.entries = std::vector<std::size_t>(t.units.size(), e)};
      bool admitted = true;
      for (std::size_t u = 0; u < t.units.size(); ++u) {
        admitted = admitted && t.admits(u, e);
        if (timed) admitted = admitted && t.nanoseconds_of(u)[e] != not_timed;
      }
      if (!admitted) continue;
      solver::add_up(s, t);
      range = {std::min(range.first, amount(s)), std::max(range.second, amount(s))};
      all.push_back(std::move(s));
    }
    if (all.empty())
      refuse({.what = "no entry that is admissible for every unit",
              .where = "allocate::uniform",
              .expected = "such an entry, or an allocator that mixes entries"});
    const std::size_t limit = solver::limit_of(budget, t, range, "allocate::uniform");
    const solution* best = nullptr;
    for (const solution& s : all)
      if (amount(s) <= limit &&
          (best == nullptr || s.bytes > best->bytes || (s.bytes == best->bytes && s.cost < best->cost)))
        best = &s;
    solution s = *best;
    s.limit = limit;
    s.limited = budget.bounds();
    s.objective = -static_cast<double>(s.bytes);
    s.bound = s.objective;
    s.optimal = true;
    return s;
  }

  template<class = void>
  [[nodiscard]] plan operator()(const cost_table& t) const {
    const solution s = solve(t);
    return solver::to_plan(t, s, "uniform " + to_string(budget),
                           s.limited == resource::bytes ? std::to_string(s.limit - s.bytes) + " bytes left"
                                                        : std::to_string(s.limit - s.nanoseconds) + " ns left");
  }
};

PRECIS_IEEE_END
}  // namespace precis::allocate
