#pragma once

#include <precis/allocate/solver/choice_problem.hpp>
#include <precis/allocate/solver/core_search.hpp>
#include <precis/allocate/solver/relaxation.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/compensated_sum.hpp>
#include <precis/core/math.hpp>
#include <precis/kernel/ieee.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

namespace precis::allocate::solver {
PRECIS_IEEE_BEGIN

/// One entry per unit, and a proof of optimality or a bound.
struct selection {
  std::vector<std::uint32_t> entries{};  ///< [units]
  double value = 0;
  double weight = 0;
  double bound = 0;      ///< lower bound on the value of every choice within the limit
  bool optimal = false;  ///< proven optimal: bound == value
};

/// Limits of the exact search. If it exceeds them, the result has a bound instead of a proof.
struct search_limits {
  std::size_t states = std::size_t{1} << 16;    ///< kept at a time, 24 bytes each
  std::size_t examined = std::size_t{1} << 21;  ///< in total: tens of milliseconds
  bool operator==(const search_limits&) const = default;
};

namespace detail {

/// The greatest common divisor of the weight differences within units: the weights of any two choices differ by a
/// multiple.
template<class Value, std::unsigned_integral Weight>
[[nodiscard]] double weight_step(const choice_problem<Value, Weight>& p) noexcept {
  Weight step = 0;
  for (std::size_t u = 0; u < p.units && step != 1; ++u) {
    std::size_t at = 0;
    while (!p.admits(u, at)) ++at;
    const Weight from = p.weights[u * p.entries + at];
    for (std::size_t e = at + 1; e < p.entries; ++e) {
      if (!p.admits(u, e)) continue;
      const Weight to = p.weights[u * p.entries + e], difference = to > from ? to - from : from - to;
      if (step == 0 || difference % step != 0) step = std::gcd(step, difference);
    }
  }
  return static_cast<double>(std::max<Weight>(step, 1));
}

template<class Value, class Weight>
class chooser {
 public:
  explicit chooser(const choice_problem<Value, Weight>& p) : p_(p), hulls_(p), at_(relax(p, hulls_)) {
    if (at_.price > 0) settle_ties();
    for (std::size_t u = 0; u < p.units; ++u) entries_.push_back(hulls_.entry[at_.points[u]]);
  }

  [[nodiscard]] selection operator()(const search_limits& limits) {
    selection s{.entries = {}, .optimal = at_.price == 0 || at_.room == 0};
    double bound = 0;  // relative to the points, like all values here
    if (!s.optimal) {
      // No choice gains more than `most`. First, find a good one among the units nearest to the price.
      const double most = at_.price * at_.room;
      constexpr std::size_t near = 128, few_states = 512;
      const std::vector<member> members = nearest(near);
      const core_search<> sample = search(members, most, {few_states, limits.examined});
      changes_ = sample.changes();
      bound = sample.bound();
      const double gap = most + sample.value();
      s.optimal = (members.size() < near && sample.complete()) || gap <= 1e-13 * most;
      if (!s.optimal) {  // then search all units that can still improve it
        const core_search<> rest = search(undecided(gap), gap, limits);
        changes_ = rest.changes();
        bound = std::max(rest.bound(), -most);
        s.optimal = rest.complete();
      }
    }

    s.entries = entries_;
    for (const auto& [unit, entry] : changes_) s.entries[unit] = entry;
    compensated_sum value, weight, start;
    for (std::size_t u = 0; u < p_.units; ++u) {
      value.add(p_.value(u, s.entries[u]));
      weight.add(p_.weight(u, s.entries[u]));
      start.add(p_.value(u, entries_[u]));
    }
    s.value = value.value();
    s.weight = weight.value();
    s.bound = s.optimal ? s.value : std::min(s.value, start.value() + bound);
    return s;
  }

 private:
  using member = core_search<>::member;

  /// Units whose next step gains exactly the price take it if it still fits, the heaviest steps first.
  void settle_ties() {
    if constexpr (std::unsigned_integral<Weight>)
      at_.room -= math::fmod(at_.room, weight_step(p_));  // weights of choices differ by its multiples
    struct tie {
      double step;
      std::uint64_t key;
      std::size_t unit;
      [[nodiscard]] bool operator<(const tie& o) const noexcept {
        if (step != o.step) return step > o.step;
        return key != o.key ? key < o.key : unit < o.unit;
      }
    };
    std::vector<tie> ties;
    for (std::size_t u = 0; u < p_.units; ++u)
      if (const std::size_t i = at_.points[u]; hulls_.slope[i] == at_.price)
        ties.push_back({p_.weight(u, hulls_.entry[i + 1]) - p_.weight(u, hulls_.entry[i]), row_key(p_, u), u});
    std::sort(ties.begin(), ties.end());
    for (const tie& t : ties) {
      if (t.step > at_.room) continue;
      at_.room -= t.step;
      ++at_.points[t.unit];
    }
  }

  [[nodiscard]] member member_of(std::size_t u) const noexcept {
    const std::size_t i = at_.points[u];
    const double up = hulls_.slope[i];
    const double down = i > hulls_.first[u] ? hulls_.slope[i - 1] : std::numeric_limits<double>::infinity();
    return {static_cast<std::uint32_t>(u), up, down, std::min(at_.price - up, down - at_.price)};
  }
  template<class Iterator>
  void give_keys(Iterator from, Iterator to) const {
    for (; from != to; ++from) from->key = row_key(p_, from->unit);
  }

  /// The `count` units whose steps are nearest to the price, or all units with more than one hull point if there are
  /// fewer.
  [[nodiscard]] std::vector<member> nearest(std::size_t count) const {
    std::vector<member> members;
    for (std::size_t u = 0; u < p_.units; ++u)
      if (hulls_.first[u] + 1 < hulls_.first[u + 1]) members.push_back(member_of(u));
    if (members.size() <= count) return members;
    const auto middle = members.begin() + static_cast<std::ptrdiff_t>(count);
    std::nth_element(members.begin(), middle, members.end());  // by distance only: keys are not computed yet
    const double farthest = middle->distance;
    const auto tied =
        std::partition(members.begin(), members.end(), [&](const member& m) { return m.distance < farthest; });
    const auto rest = std::partition(tied, members.end(), [&](const member& m) { return m.distance == farthest; });
    give_keys(tied, rest);
    std::nth_element(tied, middle, rest);
    members.resize(count);
    return members;
  }

  /// The loss of choosing entry e for unit u if weight costs the price, minus the possible rounding error.
  [[nodiscard]] double loss(std::size_t u, std::size_t e) const noexcept {
    const double value = p_.value(u, e) - p_.value(u, entries_[u]);
    const double price = at_.price * (p_.weight(u, e) - p_.weight(u, entries_[u]));
    return value + price - 1e-15 * (std::abs(value) + std::abs(price));
  }
  /// Whether entry e can be part of a better choice: its loss does not exceed the gap between incumbent and bound.
  [[nodiscard]] bool could_be(std::size_t u, std::size_t e, double gap) const noexcept {
    return p_.admits(u, e) && e != entries_[u] && !(loss(u, e) > gap * (1 + 1e-9) + 1e-12 * at_.price * at_.room);
  }
  [[nodiscard]] std::vector<member> undecided(double gap) const {
    std::vector<member> members;
    for (std::size_t u = 0; u < p_.units; ++u)
      for (std::size_t e = 0; e < p_.entries; ++e)
        if (could_be(u, e, gap)) {
          members.push_back(member_of(u));
          break;
        }
    return members;
  }

  [[nodiscard]] core_search<> search(std::vector<member> members, double gap, const search_limits& limits) const {
    give_keys(members.begin(), members.end());
    std::sort(members.begin(), members.end());
    std::vector<std::size_t> first{0};
    std::vector<core_search<>::option> options;
    std::size_t kept = 0;
    for (const member& m : members) {
      const double value = p_.value(m.unit, entries_[m.unit]), weight = p_.weight(m.unit, entries_[m.unit]);
      for (std::size_t e = 0; e < p_.entries; ++e) {
        if (!could_be(m.unit, e, gap)) continue;
        const double more_value = p_.value(m.unit, e) - value, more_weight = p_.weight(m.unit, e) - weight;
        if (more_value >= 0 && more_weight >= 0) continue;
        options.push_back({more_weight, more_value, m.unit, static_cast<std::uint32_t>(e)});
      }
      if (options.size() == first.back()) continue;
      first.push_back(options.size());
      members[kept++] = m;
    }
    members.resize(kept);
    core_search<> core(std::move(members), first, options, at_.price, at_.room);
    core.start_from(changes_);
    core.run(limits.states, limits.examined);
    return core;
  }

  choice_problem<Value, Weight> p_;
  hulls hulls_;
  relaxation at_;
  std::vector<std::uint32_t> entries_;                            // [units] entries of the points
  std::vector<std::pair<std::uint32_t, std::uint32_t>> changes_;  // the incumbent: unit, entry
};

}  // namespace detail

/// Solves the multiple-choice knapsack problem: the choice with the least value within the limit, and among those the
/// one with the least weight. The result is proven optimal, or has a bound on the gap.
///
/// Method   (1) Solve the linear relaxation. (2) Find an incumbent among the units nearest to its price. (3) Discard
///          every entry whose loss exceeds the gap between incumbent and bound. (4) Run an exact dynamic program on the
///          rest.
/// Unit     values and weights as given. Differences below 2^-48 of the total change of the undecided units count as
///          zero.
/// Ties     among equal values and weights: broken by the units' rows, and by their order only between equal rows.
/// Requires that the lightest entries fit, and at least one admissible entry per unit.
/// Cost     O(units x entries) plus the search, which involves tens of units on most tables however large they are.
/// Source   Lagrangian reduction and core search as in exact multiple-choice knapsack codes; docs/methods/knapsack.md.
template<class Value, class Weight>
[[nodiscard]] selection choose(const choice_problem<Value, Weight>& p, const search_limits& limits = {}) {
  return detail::chooser<Value, Weight>(p)(limits);
}

PRECIS_IEEE_END
}  // namespace precis::allocate::solver

namespace precis::allocate {
using solver::search_limits;
}
