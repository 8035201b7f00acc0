#pragma once

#include "allocate/tables.hpp"

#include <precis/core/cost_table.hpp>
#include <precis/core/random.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

/// Cost tables with times, and the optimum of small ones by exhaustive search.
namespace tables {

/// The small example of docs/methods/knapsack.md: 3 bits are smaller than 4, and slower than both 4 and 8.
inline precis::cost_table timed() {
  precis::cost_table t = by_hand({"three", "four", "eight"}, {80, 80}, {30, 40, 80, 30, 40, 80}, {5, 2, 0, 9, 3, 0});
  t.nanoseconds = {87, 35, 61, 87, 35, 61};
  return t;
}

/// A random table with times. Some are not known, but none of the first entry.
inline precis::cost_table random_timed(std::uint64_t seed) {
  precis::cost_table t = random(seed, 6);
  const precis::random_stream stream(seed, precis::purpose("times"));
  for (std::size_t c = 0; c < t.bytes.size(); ++c) {
    const bool known = c % t.entries.size() == 0 || stream.below(2 * c, 5) != 0;
    t.nanoseconds.push_back(known ? 10 + static_cast<std::size_t>(stream.below(2 * c + 1, 50)) : precis::not_timed);
  }
  return t;
}

inline bool usable(const precis::cost_table& t, std::size_t u, std::size_t e) {
  return t.admits(u, e) && t.nanoseconds_of(u)[e] != precis::not_timed;
}

/// The least and the most time of usable entries.
inline std::pair<std::size_t, std::size_t> time_range(const precis::cost_table& t) {
  std::pair<std::size_t, std::size_t> sum{0, 0};
  for (std::size_t u = 0; u < t.units.size(); ++u) {
    std::size_t low = std::numeric_limits<std::size_t>::max(), high = 0;
    for (std::size_t e = 0; e < t.entries.size(); ++e) {
      if (!usable(t, u, e)) continue;
      low = std::min(low, t.nanoseconds_of(u)[e]);
      high = std::max(high, t.nanoseconds_of(u)[e]);
    }
    sum.first += low;
    sum.second += high;
  }
  return sum;
}

/// The least cost within both limits, by trying every combination; infinite if none fits.
inline double least_cost(const precis::cost_table& t, std::size_t bytes, std::size_t nanoseconds) {
  std::size_t combinations = 1;
  for (std::size_t u = 0; u < t.units.size(); ++u) combinations *= t.entries.size();
  double best = precis::not_admitted;
  for (std::size_t c = 0; c < combinations; ++c) {
    std::size_t rest = c, size = 0, time = 0;
    double cost = 0;
    for (std::size_t u = 0; u < t.units.size(); ++u, rest /= t.entries.size()) {
      const std::size_t e = rest % t.entries.size();
      if (!usable(t, u, e)) cost = precis::not_admitted;
      size += t.bytes_of(u)[e];
      time += usable(t, u, e) ? t.nanoseconds_of(u)[e] : 0;
      cost += t.costs_of(u)[e];
    }
    if (size <= bytes && time <= nanoseconds) best = std::min(best, cost);
  }
  return best;
}

}  // namespace tables
