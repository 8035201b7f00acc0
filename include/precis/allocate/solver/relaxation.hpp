#pragma once

#include <precis/allocate/solver/choice_problem.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/compensated_sum.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace precis::allocate::solver {
PRECIS_IEEE_BEGIN

/// The lower convex hull of each unit's (weight, value) points, from the lightest entry on. Along a hull weights rise,
/// values fall, and the value gained per weight falls.
///
/// Shapes   the points of unit u are [first[u], first[u + 1]); there is at least one if any entry is admissible.
/// Ties     of two equal points, the lower entry.
/// Cost     O(units x entries) if the entries of all units have the same order by weight, else O(units x entries^2).
struct hulls {
  std::vector<std::uint32_t> first{};  ///< [units + 1]
  std::vector<std::uint32_t> entry{};  ///< [points]
  std::vector<double> slope{};  ///< [points] value gained per weight by the step to the next point; 0 at the last

  template<class Value, class Weight>
  explicit hulls(const choice_problem<Value, Weight>& p)
      : first(p.units + 1), entry(p.units * p.entries), slope(p.units * p.entries) {
    struct point {
      double weight, value;
      std::uint32_t entry;
      [[nodiscard]] bool before(const point& o) const noexcept {
        if (weight != o.weight) return weight < o.weight;
        return value != o.value ? value < o.value : entry < o.entry;
      }
    };
    std::vector<point> sorted(p.entries), hull(p.entries);
    std::vector<std::uint32_t> order(p.entries);  // the order of the previous unit, usually the same
    for (std::size_t e = 0; e < p.entries; ++e) order[e] = static_cast<std::uint32_t>(e);
    std::uint32_t end = 0;
    for (std::size_t u = 0; u < p.units; ++u) {
      for (std::size_t i = 0; i < p.entries; ++i) {
        const std::uint32_t e = order[i];
        const point next{p.admits(u, e) ? p.weight(u, e) : std::numeric_limits<double>::infinity(), p.value(u, e), e};
        std::size_t at = i;
        for (; at > 0 && next.before(sorted[at - 1]); --at) sorted[at] = sorted[at - 1];
        sorted[at] = next;
      }
      first[u] = end;
      std::size_t size = 0;
      double* const slopes = slope.data() + end;
      double least = std::numeric_limits<double>::infinity();
      for (std::size_t i = 0; i < p.entries; ++i) {
        const point& next = sorted[i];
        order[i] = next.entry;
        if (next.weight == std::numeric_limits<double>::infinity() || !(next.value < least)) continue;  // dominated
        least = next.value;
        double gain = 0;
        while (size > 0) {
          // Compares rounded quotients, as all later steps do, so that rounding cannot make them disagree about the
          // hull.
          gain = (hull[size - 1].value - next.value) / (next.weight - hull[size - 1].weight);
          gain = std::clamp(gain, std::numeric_limits<double>::denorm_min(), std::numeric_limits<double>::max());
          if (size == 1 || gain < slopes[size - 2]) break;
          --size;
        }
        if (size > 0) slopes[size - 1] = gain;
        slopes[size] = 0;
        hull[size++] = next;
      }
      for (std::size_t i = 0; i < size; ++i) entry[end + i] = hull[i].entry;
      end += static_cast<std::uint32_t>(size);
    }
    first[p.units] = end;
    entry.resize(end);
    slope.resize(end);
  }

  [[nodiscard]] std::size_t units() const noexcept { return first.size() - 1; }
  [[nodiscard]] bool is_last(std::size_t point, std::size_t unit) const noexcept {
    return point + 1 == first[unit + 1];
  }
};

/// The linear relaxation: each unit moves up its hull as long as a step gains more than `price` per weight.
///
/// At this price each unit's point minimises value + price * weight. Let D(u, e) >= 0 be the excess of entry e over
/// that minimum. Then every choice within the limit has value >= value of the points + sum D - price * room.
struct relaxation {
  double price = 0;                     ///< value per weight; 0 = the limit does not bind
  double room = 0;                      ///< limit minus the weight of the points
  std::vector<std::uint32_t> points{};  ///< [units] indices into hulls
};

namespace detail {

struct hull_step {
  double slope;
  double weight;
};

/// The critical price: the steps that gain more per weight fit into `room`, but not together with those that gain
/// exactly this much. Requires that all steps together do not fit. Cost O(steps), by selection.
template<class = void>
[[nodiscard]] inline double critical_price(std::vector<hull_step>& steps, double room) {
  std::size_t begin = 0, end = steps.size();
  const auto at = [&](std::size_t i) { return steps[i].slope; };
  for (std::uint64_t round = 1;; ++round) {
    // The median of nine evenly spaced samples, because the order of the units may have any pattern.
    double sample[9];
    for (std::size_t i = 0; i < 9; ++i)
      sample[i] = at(begin + (end - begin) * i / 9 + ((end - begin) / 9) * static_cast<std::size_t>(round % 3) / 3);
    std::nth_element(sample, sample + 4, sample + 9);
    const double pivot = sample[4];
    std::size_t above = begin, below = end, i = begin;  // [begin, above) > pivot, [above, i) ==, [below, end) <
    double over = 0, equal = 0;
    while (i < below) {
      const hull_step s = steps[i];
      if (s.slope > pivot) {
        over += s.weight;
        steps[i++] = steps[above];
        steps[above++] = s;
      } else if (s.slope < pivot) {
        steps[i] = steps[--below];
        steps[below] = s;
      } else {
        equal += s.weight;
        ++i;
      }
    }
    if (over > room) {
      end = above;
    } else if (over + equal > room || below == end) {
      return pivot;
    } else {
      room -= over + equal;
      begin = below;
    }
  }
}

}  // namespace detail

/// Solves the linear relaxation. Requires that the lightest entries fit into the limit.
///
/// Ties     units whose next step gains exactly `price` do not take it.
/// Cost     O(units x entries).
/// Source   Lagrangian relaxation of the multiple-choice knapsack problem; docs/methods/knapsack.md.
template<class Value, class Weight>
[[nodiscard]] relaxation relax(const choice_problem<Value, Weight>& p, const hulls& h) {
  relaxation r;
  r.points.resize(p.units);
  std::vector<detail::hull_step> steps;
  steps.reserve(h.slope.size());
  compensated_sum lightest, heaviest;
  for (std::size_t u = 0; u < p.units; ++u) {
    double weight = p.weight(u, h.entry[h.first[u]]);
    lightest.add(weight);
    for (std::size_t i = h.first[u]; !h.is_last(i, u); ++i) {
      const double next = p.weight(u, h.entry[i + 1]);
      steps.push_back({h.slope[i], next - weight});
      weight = next;
    }
    heaviest.add(weight);
  }
  if (heaviest.value() > p.limit) r.price = detail::critical_price(steps, p.limit - lightest.value());
  compensated_sum room;
  room.add(p.limit);
  for (std::size_t u = 0; u < p.units; ++u) {
    std::uint32_t i = h.first[u];
    while (h.slope[i] > r.price) ++i;
    r.points[u] = i;
    room.add(-p.weight(u, h.entry[i]));
  }
  r.room = room.value();
  return r;
}

PRECIS_IEEE_END
}  // namespace precis::allocate::solver
