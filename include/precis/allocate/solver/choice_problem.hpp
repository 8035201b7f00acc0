#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/kernel/ieee.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

namespace precis::allocate::solver {
PRECIS_IEEE_BEGIN

/// The multiple-choice knapsack problem: choose one entry per unit such that the sum of values is minimal and the sum
/// of weights is at most `limit`.
///
///     min sum value(u, e_u)   subject to   sum weight(u, e_u) <= limit
///
/// Values are costs and weights are bytes or nanoseconds, or vice versa. Sums of integers must stay below 2^53, where they are
/// exact in double.
template<class Value, class Weight>
struct choice_problem {
  std::size_t units = 0;
  std::size_t entries = 0;
  std::span<const Value> values = {};    ///< [units x entries]; infinite = not admissible
  std::span<const Weight> weights = {};  ///< [units x entries]; infinite = not admissible
  double limit = 0;

  [[nodiscard]] double value(std::size_t unit, std::size_t entry) const noexcept {
    return static_cast<double>(values[unit * entries + entry]);
  }
  [[nodiscard]] double weight(std::size_t unit, std::size_t entry) const noexcept {
    return static_cast<double>(weights[unit * entries + entry]);
  }
  [[nodiscard]] bool admits(std::size_t unit, std::size_t entry) const noexcept {
    constexpr double never = std::numeric_limits<double>::infinity();
    return value(unit, entry) < never && weight(unit, entry) < never;
  }
};

/// A hash of a unit's row. It breaks ties between units, so that the result does not depend on their order.
template<class Value, class Weight>
[[nodiscard]] std::uint64_t row_key(const choice_problem<Value, Weight>& p, std::size_t unit) noexcept {
  std::uint64_t key = 0;
  const auto add = [&](double x) {
    key = std::rotl((key ^ kernel::bit_cast<std::uint64_t>(x)) * 0x9E3779B97F4A7C15ull, 29);
  };
  for (std::size_t e = 0; e < p.entries; ++e) {
    add(p.weight(unit, e));
    add(p.value(unit, e));
  }
  return key;
}

/// The least and the most weight that a choice of admissible entries can have. Requires one admissible entry per unit.
template<class Value>
[[nodiscard]] std::pair<std::size_t, std::size_t> feasible_range(const choice_problem<Value, std::size_t>& p) noexcept {
  std::size_t least = 0, most = 0;
  for (std::size_t u = 0; u < p.units; ++u) {
    std::size_t low = std::numeric_limits<std::size_t>::max(), high = 0;
    for (std::size_t e = 0; e < p.entries; ++e) {
      if (!p.admits(u, e)) continue;
      low = std::min(low, p.weights[u * p.entries + e]);
      high = std::max(high, p.weights[u * p.entries + e]);
    }
    least += low;
    most += high;
  }
  return {least, most};
}

PRECIS_IEEE_END
}  // namespace precis::allocate::solver
