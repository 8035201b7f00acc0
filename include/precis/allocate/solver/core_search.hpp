#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/math.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

namespace precis::allocate::solver {
PRECIS_IEEE_BEGIN

/// An exact dynamic program in integers over the few undecided units. All weights and values are relative to a start
/// near the optimum: the points of the relaxation.
///
/// Units are added one by one, the ones whose steps are nearest to the price of the relaxation first. A state is the
/// change of weight and value so far. A state is kept if no lighter one has as good a value, and if its bound allows
/// an improvement. The bound lets all remaining units move in fractions: spare weight gains at most the rate of the
/// best next step up, and excess weight costs at least the rate of the cheapest step down.
///
/// Contract the caller passes the undecided units and their admissible options, then calls `run` once. `changes`,
///          `value`, `bound` and `complete` describe the best choice that was found.
template<class = void>
class core_search {
 public:
  struct option {  // relative to the point of the unit
    double weight, value;
    std::uint32_t unit, entry;
  };
  struct member {
    std::uint32_t unit;
    double up;              // value gained per weight by the next step up the hull; 0 = none
    double down;            // value lost per weight by the step down; infinity = none
    double distance;        // between the price and the nearer of the two
    std::uint64_t key = 0;  // row_key

    [[nodiscard]] bool operator<(const member& o) const noexcept {
      if (distance != o.distance) return distance < o.distance;
      return key != o.key ? key < o.key : unit < o.unit;
    }
  };

  /// The options of members[i] are [first[i], first[i + 1]). Weights and values are scaled such that their sums have 48
  /// bits; weights are rounded up and the room is rounded down.
  core_search(std::vector<member> members, const std::vector<std::size_t>& first, const std::vector<option>& options,
              double price, double room)
      : members_(std::move(members)) {
    double values = 0, weights = room;
    for (std::size_t i = 0; i < members_.size(); ++i) {
      double value = 0, weight = 0;
      for (std::size_t o = first[i]; o < first[i + 1]; ++o) {
        value = std::max(value, std::abs(options[o].value));
        weight = std::max(weight, std::abs(options[o].weight));
      }
      values += value;
      weights += weight;
    }
    const auto exponent = [](double x) { return 48 - (x > 0 ? math::ilogb(x) + 1 : 0); };
    value_exponent_ = exponent(values);
    const int weight_exponent = exponent(weights);
    std::int64_t divisor = 0;
    for (std::size_t i = 0; i < members_.size(); ++i) {
      first_.push_back(steps_.size());
      for (std::size_t o = first[i]; o < first[i + 1]; ++o) {
        const double weight = math::ceil(math::ldexp(options[o].weight, weight_exponent));
        const double value = math::nearbyint(math::ldexp(options[o].value, value_exponent_));
        steps_.push_back({static_cast<std::int64_t>(weight), static_cast<std::int64_t>(value),
                          static_cast<std::uint32_t>(i), options[o].unit, options[o].entry});
        divisor = std::gcd(divisor, steps_.back().weight);
      }
    }
    first_.push_back(steps_.size());
    divisor_ = std::max<std::int64_t>(divisor, 1);
    room_ = static_cast<std::int64_t>(math::floor(math::ldexp(room, weight_exponent)));
    room_ -= room_ % divisor_;  // every sum of steps is a multiple of it

    // The best gain and the least loss of the members not added yet, clamped to their side of the price despite
    // rounding.
    const std::size_t count = members_.size();
    up_.assign(count + 1, 0.0);
    down_.assign(count + 1, std::numeric_limits<double>::infinity());
    for (std::size_t i = count; i-- > 0;) {
      up_[i] = std::max(up_[i + 1], std::min(members_[i].up, price));
      down_[i] = std::min(down_[i + 1], std::max(members_[i].down, price));
    }
    for (double& x : up_) x = math::ldexp(x, value_exponent_ - weight_exponent);
    for (double& x : down_) x = math::ldexp(x, value_exponent_ - weight_exponent);
  }

  /// Starts from a known choice, given as the (unit, entry) pairs that differ from the points.
  void start_from(const std::vector<std::pair<std::uint32_t, std::uint32_t>>& changes) {
    std::int64_t value = 0, weight = 0;
    for (const auto& [unit, entry] : changes) {
      const auto at = std::find_if(steps_.begin(), steps_.end(),
                                   [&, u = unit, e = entry](const step& s) { return s.unit == u && s.entry == e; });
      if (at == steps_.end()) return;
      value += at->value;
      weight += at->weight;
    }
    if (weight > room_) return;
    best_value_ = value;
    best_weight_ = weight;
    known_ = changes;
  }

  /// Searches with at most `most_states` states at a time, dropping those with the worst bounds, and stops after
  /// examining about `most_examined` states.
  void run(std::size_t most_states, std::size_t most_examined) {
    std::vector<state> states{{0, 0, none}}, next;
    struct head {
      std::size_t at;
      std::int64_t weight, value;
      std::uint32_t step;
    };
    std::vector<head> heads;
    std::size_t complete_at = 256, examined = 0;
    for (std::size_t i = 0; i < members_.size() && !states.empty(); ++i) {
      if (examined > most_examined) {
        for (const state& s : states) dropped_ = std::min(dropped_, bound(s.weight, s.value, room_, i));
        return;
      }
      heads.assign(1, {0, 0, 0, none});
      for (std::size_t s = first_[i]; s < first_[i + 1]; ++s)
        heads.push_back({0, steps_[s].weight, steps_[s].value, static_cast<std::uint32_t>(s)});
      next.clear();
      std::int64_t least = std::numeric_limits<std::int64_t>::max();
      for (;;) {
        // Merges by weight, then value, then position.
        head* chosen = nullptr;
        std::int64_t weight = 0, value = 0;
        for (head& h : heads) {
          if (h.at == states.size()) continue;
          const std::int64_t w = states[h.at].weight + h.weight, v = states[h.at].value + h.value;
          if (chosen != nullptr && (w > weight || (w == weight && v >= value))) continue;
          chosen = &h;
          weight = w;
          value = v;
        }
        if (chosen == nullptr) break;
        ++examined;
        const std::uint32_t from = states[chosen->at++].path;
        if (value >= least) continue;
        least = value;
        const bool best = better(weight, value);
        if (!best && !promising(weight, value, i + 1)) continue;
        const std::uint32_t path_to = chosen->step == none ? from : extend(from, chosen->step);
        if (best) improve(weight, value, path_to);
        next.push_back({weight, value, path_to});
      }
      states.swap(next);
      if (states.size() >= complete_at) {
        complete_each(states, i + 1);
        complete_at *= 4;
      }
      if (states.size() > most_states) thin(states, most_states, i + 1);
    }
  }

  /// The best choice, as the (unit, entry) pairs that differ from the points.
  [[nodiscard]] std::vector<std::pair<std::uint32_t, std::uint32_t>> changes() const {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> result = known_;
    for (std::uint32_t t = best_; t != none; t = paths_[t].from)
      result.emplace_back(steps_[paths_[t].step].unit, steps_[paths_[t].step].entry);
    return result;
  }
  /// The value of the best choice, and a lower bound on the value of every choice, relative to the points.
  [[nodiscard]] double value() const noexcept {
    return math::ldexp(static_cast<double>(best_value_), -value_exponent_);
  }
  [[nodiscard]] double bound() const noexcept {
    return math::ldexp(std::min(dropped_, static_cast<double>(best_value_)), -value_exponent_);
  }
  /// Whether the best choice is proven optimal: no dropped state could have led to a better one.
  [[nodiscard]] bool complete() const noexcept { return dropped_ > static_cast<double>(best_value_) - 0.5; }

 private:
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
  struct step {
    std::int64_t weight, value;
    std::uint32_t member, unit, entry;
  };
  struct state {
    std::int64_t weight, value;
    std::uint32_t path;
  };
  struct path {
    std::uint32_t from, step;
  };

  /// A lower bound on the value that a state reaches within `room` by moving members [next, end) in fractions. Sums
  /// have 48 bits, so near the best value the rounding error is below 0.1.
  [[nodiscard]] double bound(std::int64_t weight, std::int64_t value, std::int64_t room,
                             std::size_t next) const noexcept {
    const auto left = static_cast<double>(room - weight);
    return static_cast<double>(value) - (left >= 0 ? up_[next] : down_[next]) * left;
  }
  [[nodiscard]] bool promising(std::int64_t weight, std::int64_t value, std::size_t next) const noexcept {
    const auto best = static_cast<double>(best_value_);
    const double b = bound(weight, value, room_, next);
    if (b < best - 0.5) return true;
    return b < best + 0.5 &&
           bound(weight, value, best_weight_ - divisor_, next) < best + 0.5;  // equally good and lighter
  }

  [[nodiscard]] bool better(std::int64_t weight, std::int64_t value) const noexcept {
    return weight <= room_ && (value < best_value_ || (value == best_value_ && weight < best_weight_));
  }
  std::uint32_t extend(std::uint32_t from, std::uint32_t step_index) {
    paths_.push_back({from, step_index});
    return static_cast<std::uint32_t>(paths_.size() - 1);
  }
  void improve(std::int64_t weight, std::int64_t value, std::uint32_t path_to) {
    best_value_ = value;
    best_weight_ = weight;
    best_ = path_to;
    known_.clear();
  }

  /// A heuristic that completes every state with one step of a member not added yet, trying those that leave the least
  /// room. A better incumbent prunes the rest of the search, most of all if all units gain equally per weight.
  void complete_each(std::vector<state>& states, std::size_t next) {
    if (by_weight_.empty()) {
      by_weight_.resize(steps_.size());
      std::iota(by_weight_.begin(), by_weight_.end(), 0u);
      std::stable_sort(by_weight_.begin(), by_weight_.end(),
                       [&](std::uint32_t a, std::uint32_t b) { return steps_[a].weight < steps_[b].weight; });
    }
    constexpr std::size_t tries = 8;
    for (const state& s : states) {
      auto at = std::upper_bound(by_weight_.begin(), by_weight_.end(), room_ - s.weight,
                                 [&](auto room, std::uint32_t i) { return room < steps_[i].weight; });
      for (std::size_t i = 0; i < tries && at != by_weight_.begin(); ++i) {
        const step& last = steps_[*--at];
        if (last.member < next || !better(s.weight + last.weight, s.value + last.value)) continue;
        improve(s.weight + last.weight, s.value + last.value, extend(s.path, *at));
      }
    }
    std::erase_if(states, [&](const state& s) { return !promising(s.weight, s.value, next); });
  }

  /// Drops the states with the worst bounds until fewer than `most` are left.
  void thin(std::vector<state>& states, std::size_t most, std::size_t next) {
    std::vector<double> bounds;
    bounds.reserve(states.size());
    for (const state& s : states) bounds.push_back(bound(s.weight, s.value, room_, next));
    std::vector<double> order = bounds;
    const auto middle = order.begin() + static_cast<std::ptrdiff_t>(most);
    std::nth_element(order.begin(), middle, order.end());
    dropped_ = std::min(dropped_, *middle);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < states.size(); ++i)
      if (bounds[i] < *middle) states[kept++] = states[i];
    states.resize(kept);
  }

  std::vector<member> members_;
  std::vector<step> steps_;
  std::vector<std::size_t> first_;
  std::vector<double> up_, down_;  // [members + 1]
  std::vector<path> paths_;
  std::vector<std::uint32_t> by_weight_;  // indices into steps_
  std::int64_t room_ = 0, divisor_ = 1;
  std::int64_t best_value_ = 0, best_weight_ = 0;
  std::uint32_t best_ = none;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> known_;
  double dropped_ = std::numeric_limits<double>::infinity();
  int value_exponent_ = 0;
};

PRECIS_IEEE_END
}  // namespace precis::allocate::solver
