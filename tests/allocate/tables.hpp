#pragma once

#include <precis/core/cost_table.hpp>
#include <precis/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

/// Cost tables for tests of allocators, by hand or random, and the optimum of small ones by exhaustive search.
namespace tables {

/// A table with units block.0, block.1, ... of the given numbers of weights, and the given bytes and costs.
inline precis::cost_table by_hand(std::vector<std::string> entries, std::vector<std::size_t> weights,
                                  std::vector<std::size_t> bytes, std::vector<double> costs) {
  precis::cost_table t{.model = "8c1f",
                       .maker = "hand",
                       .measure = "nats",
                       .original_bytes = 0,
                       .entries = std::move(entries),
                       .units = {},
                       .bytes = std::move(bytes),
                       .costs = std::move(costs)};
  for (std::size_t u = 0; u < weights.size(); ++u) {
    t.units.push_back({.name = "block." + std::to_string(u),
                       .layer = u,
                       .kind = precis::unit_kind::block,
                       .part = precis::part::other,
                       .matrices = {u},
                       .weights = weights[u]});
    t.original_bytes += 4 * weights[u];
  }
  return t;
}

/// The small example of docs/methods/knapsack.md: units of 100, 200 and 400 weights at 2, 4 and 8 bits per weight.
inline precis::cost_table tiny() {
  return by_hand({"two", "four", "eight"}, {100, 200, 400}, {25, 50, 100, 50, 100, 200, 100, 200, 400},
                 {9, 2, .1, 8, 1.5, .2, 6, 2.5, .3});
}

/// A random table of integers, so that every sum is exact. Some entries tie, some dominate others, some are not
/// admissible, and some costs are negative.
inline precis::cost_table random(std::uint64_t seed, std::size_t most_units = 7, std::size_t most_entries = 4) {
  const precis::random_stream stream(seed, precis::purpose("tables"));
  std::uint64_t i = 0;
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(stream.below(i++, n)); };
  const std::size_t units = 1 + below(most_units), entries = 1 + below(most_entries);
  const std::size_t sizes = below(2) == 0 ? 5 : 60, costs = below(2) == 0 ? 4 : 40;
  std::vector<std::string> names;
  for (std::size_t e = 0; e < entries; ++e) names.push_back("e" + std::to_string(e));
  precis::cost_table t = by_hand(std::move(names), std::vector<std::size_t>(units, 8), {}, {});
  for (std::size_t c = 0; c < units * entries; ++c) {
    t.bytes.push_back(8 * (1 + below(sizes)));
    const double cost = static_cast<double>(below(costs)) - 3;
    t.costs.push_back(c % entries != 0 && below(6) == 0 ? precis::not_admitted : cost);
  }
  return t;
}

struct optimum {
  double cost = std::numeric_limits<double>::infinity();
  std::size_t bytes = 0;
  double largest = std::numeric_limits<double>::infinity();      // the smallest possible largest cost of a unit
  std::size_t fewest = std::numeric_limits<std::size_t>::max();  // fewest bytes at a total cost of at most `allowed`
};

/// Tries every combination.
inline optimum exhaustive(const precis::cost_table& t, std::size_t limit, double allowed = 0) {
  std::size_t combinations = 1;
  for (std::size_t u = 0; u < t.units.size(); ++u) combinations *= t.entries.size();
  optimum best;
  for (std::size_t c = 0; c < combinations; ++c) {
    std::size_t rest = c, bytes = 0;
    double cost = 0, largest = -std::numeric_limits<double>::infinity();
    for (std::size_t u = 0; u < t.units.size(); ++u, rest /= t.entries.size()) {
      const std::size_t e = rest % t.entries.size();
      bytes += t.bytes_of(u)[e];
      cost += t.costs_of(u)[e];
      largest = std::max(largest, t.costs_of(u)[e]);
    }
    if (cost <= allowed) best.fewest = std::min(best.fewest, bytes);
    if (bytes > limit) continue;
    best.largest = std::min(best.largest, largest);
    if (cost < best.cost || (cost == best.cost && bytes < best.bytes)) {
      best.cost = cost;
      best.bytes = bytes;
    }
  }
  return best;
}

/// The fewest and the most bytes of admissible entries.
inline std::pair<std::size_t, std::size_t> range(const precis::cost_table& t) {
  std::pair<std::size_t, std::size_t> sum{0, 0};
  for (std::size_t u = 0; u < t.units.size(); ++u) {
    std::size_t low = std::numeric_limits<std::size_t>::max(), high = 0;
    for (std::size_t e = 0; e < t.entries.size(); ++e)
      if (t.admits(u, e)) {
        low = std::min(low, t.bytes_of(u)[e]);
        high = std::max(high, t.bytes_of(u)[e]);
      }
    sum.first += low;
    sum.second += high;
  }
  return sum;
}

}  // namespace tables
