#pragma once

#include <precis/allocate/solver/choice_problem.hpp>
#include <precis/allocate/solver/linked_table.hpp>
#include <precis/allocate/solver/solution.hpp>
#include <precis/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::allocate {

/// What candidates are compared on: whole sequences, and of the last one its first `tokens_of_last` tokens.
struct evaluation_sample {
  std::vector<std::size_t> sequences;
  std::size_t tokens_of_last = 0;

  bool operator==(const evaluation_sample&) const = default;
};

/// Searches for the plan that does best end to end: offspring of the best plan so far give bytes from some units to others,
/// and are sieved on growing samples of the data. Errors of units need not add up, which all other allocators assume.
///
/// A level of a unit is one of its admissible entries, in the order of their bytes. A swap takes a unit down by as few levels
/// as let another one up by exactly the bytes set free, so the sum stays what it is, to the byte; an offspring is made of one
/// to three swaps. Offspring differ from each other and from their parent. The parent takes part in the last stage, and
/// loses only to somebody better.
///
///     fitness(span of candidates, evaluation_sample) -> vector of losses, low = better; a candidate is an entry a unit
///     report(generation, solution so far) -> whether to go on; optional
///
/// Shapes    a cost table, of which bytes and admissible entries count; its costs break ties between entries of equal bytes.
/// Unit      objective: the fitness's, on the last sample drawn.
///           One that is not finite loses.
/// Errors    as knapsack; stages that do not shrink to one survivor; samples larger than the data; nobody with a finite
///           fitness, by generation.
/// Cost      a generation: offspring x tokens of the first stage, survivors of each stage x tokens of the next. Where the last
///           stage takes all tokens, its parent is not run again.
/// Source    EvoPress (arXiv:2410.14649); methods C6. Layer dropping is a table of two entries a unit, "keep" and "drop".
/// Differs   a unit never trades with itself; attempts are bounded; the parent joins at the last stage whatever the counts;
///           sizes may differ from level to level; what rounding down leaves over at the start is filled up.
/// @post     where the last stage takes all tokens, the fitness of the best never rises.
/// @post     never above the budget; equal for equal seeds, whatever the fitness runs on.
struct evolve {
  /// Who may swap: units whose levels have equal sizes; units of one role (their names but for numbers); or everybody, where
  /// units are raised and others lowered until the sum fits, and most of what was freed must be used.
  enum class partners { equal_sizes, equal_roles, all };
  struct stage {
    std::size_t survivors;
    std::size_t tokens;
    bool operator==(const stage&) const = default;
  };

  precis::budget budget = bits_per_weight(4);
  std::size_t generations = 150;
  std::size_t offspring = 128;
  std::vector<stage> stages = {{16, 2048}, {4, 16384}, {1, 131072}};
  partners swap_with = partners::equal_sizes;
  std::size_t starts = 16;  ///< random ones to begin with, unless one format everywhere takes exactly the budget
  std::size_t start_tokens = 2048;     ///< they are compared on
  std::vector<std::size_t> from = {};  ///< entries [units] to begin with instead, for instance a knapsack's
  std::uint64_t seed = 0;

  /// `tokens` is the length of every sequence there is to draw from.
  template<class Fitness, class Report>
  [[nodiscard]] solution solve(const cost_table& t, std::span<const std::size_t> tokens, Fitness&& fitness,
                               Report&& report) const {
    const search s(*this, t, tokens);
    candidate parent = s.first_parent(fitness);
    double best = std::numeric_limits<double>::quiet_NaN();
    evaluation_sample known;  // where the parent has that loss
    for (std::size_t g = 0; g < generations; ++g) {
      std::vector<candidate> alive = s.offspring_of(parent, g);
      if (alive.empty()) break;  // nothing else is allowed
      for (std::size_t i = 0; i < stages.size(); ++i) {
        const bool last = i + 1 == stages.size();
        if (!last && alive.size() <= stages[i].survivors) continue;  // nobody to sieve out
        evaluation_sample sample = s.draw(g, i, stages[i].tokens);
        const bool again = last && sample == known;               // the parent was asked that before
        if (last && !again) alive.insert(alive.begin(), parent);  // first, so that ties are its
        std::vector<double> losses = s.judge(fitness, alive, sample);
        if (again) {
          alive.insert(alive.begin(), parent);
          losses.insert(losses.begin(), best);
        }
        if (last) known = std::move(sample);
        std::vector<std::size_t> order(alive.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::stable_sort(order.begin(), order.end(),
                         [&](std::size_t a, std::size_t b) { return losses[a] < losses[b]; });
        if (last) best = s.finite(losses[order.front()], g);
        std::vector<candidate> survivors;
        for (std::size_t k = 0; k < std::min(stages[i].survivors, order.size()); ++k)
          survivors.push_back(std::move(alive[order[k]]));
        alive = std::move(survivors);
      }
      parent = std::move(alive.front());
      if (!report(g, s.as_solution(parent, best))) break;
    }
    if (std::isnan(best)) best = s.finite(s.judge(fitness, {parent}, s.draw(0, 0, stages.back().tokens)).front(), 0);
    return s.as_solution(parent, best);
  }
  template<class Fitness>
  [[nodiscard]] solution solve(const cost_table& t, std::span<const std::size_t> tokens, Fitness&& fitness) const {
    return solve(t, tokens, fitness, [](std::size_t, const solution&) { return true; });
  }

  /// The plan of a solution found here.
  [[nodiscard]] plan to_plan(const cost_table& t, const solution& s) const {
    return solver::to_plan(t, s, "evolve " + to_string(budget),
                           std::to_string(generations) + " generations, loss " + text::number(s.objective));
  }

 private:
  using candidate = std::vector<std::size_t>;  // levels [units]

  /// Draws one after the other.
  struct dice {
    random_stream stream;
    std::uint64_t next = 0;
    dice(std::uint64_t seed, std::uint64_t what) noexcept : stream(seed, what) {}
    [[nodiscard]] std::size_t below(std::size_t n) noexcept {
      return static_cast<std::size_t>(stream.below(next++, n));
    }
  };

  struct level {
    std::size_t entry, bytes;
  };

  class search {
   public:
    search(const evolve& how, const cost_table& t, std::span<const std::size_t> tokens)
        : how_(how), t_(t), tokens_(tokens), whole_(t, {}, where) {
      limit_ = solver::limit_of(how.budget, t, solver::feasible_bytes(whole_.problem(0)), where);
      check_settings();
      std::map<std::vector<std::size_t>, std::vector<std::size_t>> by_size;
      std::map<std::string, std::vector<std::size_t>> by_role;
      for (std::size_t u = 0; u < t.units.size(); ++u) {
        levels_.push_back(levels_of(u));
        std::vector<std::size_t> sizes;
        for (const level& l : levels_[u]) sizes.push_back(l.bytes);
        by_size[std::move(sizes)].push_back(u);
        by_role[role_of(t.units[u].name)].push_back(u);
      }
      group_of_.resize(t.units.size());
      const auto take = [&](const auto& groups) {
        for (const auto& [key, units] : groups) {
          for (const std::size_t u : units) group_of_[u] = groups_.size();
          groups_.push_back(units);
        }
      };
      if (how.swap_with == partners::equal_roles)
        take(by_role);
      else
        take(by_size);
    }

    [[nodiscard]] solution as_solution(const candidate& c, double loss) const {
      solution s{.entries = entries_of(c), .limit = limit_};
      s.objective = loss;
      s.bound = -std::numeric_limits<double>::infinity();
      solver::add_up(s, t_);
      return s;
    }

    template<class Fitness>
    [[nodiscard]] candidate first_parent(Fitness& fitness) const {
      if (!how_.from.empty()) return given_start();
      if (t_.units.empty()) return {};
      for (std::size_t e = 0; e < t_.entries.size(); ++e)
        if (candidate c = uniform(e); !c.empty() && bytes_of(c) == limit_) return c;
      std::vector<candidate> all;
      for (std::size_t i = 0; i < std::max<std::size_t>(1, how_.starts); ++i) {
        dice d(how_.seed, purpose("allocate::evolve start") + i);
        candidate c = rounded_down(d);
        if (std::ranges::find(all, c) == all.end()) all.push_back(std::move(c));
      }
      if (all.size() == 1) return all.front();
      const evaluation_sample sample = draw(how_.generations, 0, how_.start_tokens);
      const std::vector<double> losses = judge(fitness, all, sample);
      return all[static_cast<std::size_t>(std::ranges::min_element(losses) - losses.begin())];
    }

    /// A fresh random sample of exactly so many tokens, without repetition; of all there are, the sequences in order.
    [[nodiscard]] evaluation_sample draw(std::size_t generation, std::size_t stage, std::size_t tokens) const {
      std::vector<std::size_t> order(tokens_.size());
      std::iota(order.begin(), order.end(), std::size_t{0});
      dice d(how_.seed, purpose("allocate::evolve sample") + generation * (how_.stages.size() + 1) + stage);
      evaluation_sample s;
      const bool all = tokens == std::accumulate(tokens_.begin(), tokens_.end(), std::size_t{0});
      for (std::size_t i = 0; tokens > 0 && i < order.size(); ++i) {
        if (!all) std::swap(order[i], order[i + d.below(order.size() - i)]);
        s.sequences.push_back(order[i]);
        s.tokens_of_last = std::min(tokens, tokens_[order[i]]);
        tokens -= s.tokens_of_last;
      }
      return s;
    }

    /// A loss that is not finite is as bad as can be: low bits break some candidates, and that is what the sieve is for.
    template<class Fitness>
    [[nodiscard]] std::vector<double> judge(Fitness& fitness, const std::vector<candidate>& candidates,
                                            const evaluation_sample& sample) const {
      std::vector<std::vector<std::size_t>> entries;
      entries.reserve(candidates.size());
      for (const candidate& c : candidates) entries.push_back(entries_of(c));
      std::vector<double> losses = std::invoke(fitness, std::span<const std::vector<std::size_t>>(entries), sample);
      if (losses.size() != candidates.size())
        bad(std::to_string(losses.size()) + " losses of " + std::to_string(candidates.size()) + " candidates",
            "one each");
      for (double& x : losses)
        if (!std::isfinite(x)) x = std::numeric_limits<double>::infinity();
      return losses;
    }
    [[nodiscard]] static double finite(double loss, std::size_t generation) {
      if (!std::isfinite(loss))
        bad("nobody with a finite fitness in generation " + std::to_string(generation),
            "a start that the model survives");
      return loss;
    }

    [[nodiscard]] std::vector<candidate> offspring_of(const candidate& parent, std::size_t generation) const {
      std::vector<candidate> out;
      if (parent.size() < 2) return out;  // nobody to trade with
      std::set<candidate> seen{parent};
      dice d(how_.seed, purpose("allocate::evolve offspring") + generation);
      constexpr std::size_t attempts_each = 50;
      for (std::size_t tries = 0; out.size() < how_.offspring && tries < attempts_each * how_.offspring; ++tries) {
        const std::size_t swaps = 1 + std::min(d.below(3), d.below(3));
        candidate c = parent;
        const bool made = how_.swap_with == partners::all ? shift(c, swaps, d) : swap_levels(c, swaps, d);
        if (made && seen.insert(c).second) out.push_back(std::move(c));
      }
      return out;
    }

   private:
    static constexpr const char* where = "allocate::evolve";

    [[noreturn]] static void bad(std::string what, std::string expected) {
      refuse({.what = std::move(what), .where = where, .expected = std::move(expected)});
    }

    void check_settings() const {
      std::size_t all = 0;
      for (const std::size_t n : tokens_) all += n;
      std::size_t before = how_.offspring;
      if (how_.offspring == 0 || how_.stages.empty()) bad("no offspring or no stages", "at least one of each");
      for (const stage& s : how_.stages) {
        if (s.survivors == 0 || s.survivors > before)
          bad(std::to_string(s.survivors) + " survivors of " + std::to_string(before), "1 to as many as there were");
        if (s.tokens == 0 || s.tokens > all)
          bad("a stage of " + std::to_string(s.tokens) + " tokens",
              "1 to " + std::to_string(all) + ", the tokens of all sequences");
        before = s.survivors;
      }
      if (before != 1) bad(std::to_string(before) + " survivors of the last stage", "1");
      if (how_.start_tokens == 0 || how_.start_tokens > all)
        bad(std::to_string(how_.start_tokens) + " tokens to choose a start by",
            "1 to " + std::to_string(all) + ", the tokens of all sequences");
    }

    /// Admissible entries by bytes; of equal bytes the one with the lowest cost, then the first.
    [[nodiscard]] std::vector<level> levels_of(std::size_t u) const {
      std::vector<std::size_t> order;
      for (std::size_t e = 0; e < t_.entries.size(); ++e)
        if (t_.admits(u, e)) order.push_back(e);
      std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return std::pair(t_.bytes_of(u)[a], t_.costs_of(u)[a]) < std::pair(t_.bytes_of(u)[b], t_.costs_of(u)[b]);
      });
      std::vector<level> levels;
      for (const std::size_t e : order)
        if (levels.empty() || levels.back().bytes != t_.bytes_of(u)[e]) levels.push_back({e, t_.bytes_of(u)[e]});
      return levels;
    }

    /// A name without its numbers.
    [[nodiscard]] static std::string role_of(const std::string& name) {
      std::string role;
      for (const char c : name)
        if (c < '0' || c > '9') role += c;
      return role;
    }

    [[nodiscard]] std::vector<std::size_t> entries_of(const candidate& c) const {
      std::vector<std::size_t> entries;
      entries.reserve(c.size());
      for (std::size_t u = 0; u < c.size(); ++u) entries.push_back(levels_[u][c[u]].entry);
      return entries;
    }
    [[nodiscard]] std::size_t bytes_of(const candidate& c) const {
      std::size_t sum = 0;
      for (std::size_t u = 0; u < c.size(); ++u) sum += levels_[u][c[u]].bytes;
      return sum;
    }

    [[nodiscard]] candidate given_start() const {
      if (how_.from.size() != t_.units.size())
        bad("a start of " + std::to_string(how_.from.size()) + " units", std::to_string(t_.units.size()));
      candidate c;
      for (std::size_t u = 0; u < how_.from.size(); ++u) {
        const std::size_t e = how_.from[u];
        if (e >= t_.entries.size() || !t_.admits(u, e))
          bad("a start with an entry that unit " + t_.units[u].name + " must not take", "an admissible one");
        // Of several entries with equal bytes only the best is a level: that one stands for them.
        const auto at = std::ranges::find(levels_[u], t_.bytes_of(u)[e], &level::bytes);
        c.push_back(static_cast<std::size_t>(at - levels_[u].begin()));
      }
      if (bytes_of(c) > limit_)
        bad("a start of " + std::to_string(bytes_of(c)) + " bytes", "at most " + std::to_string(limit_));
      return c;
    }

    /// One entry everywhere; nothing where some unit must not take it.
    [[nodiscard]] candidate uniform(std::size_t entry) const {
      candidate c;
      for (std::size_t u = 0; u < t_.units.size(); ++u) {
        const auto at = std::ranges::find(levels_[u], entry, &level::entry);
        if (at == levels_[u].end()) return {};
        c.push_back(static_cast<std::size_t>(at - levels_[u].begin()));
      }
      return c;
    }

    /// The smallest entry everywhere that does not fit, lowered unit by unit at random until it does, and filled up.
    [[nodiscard]] candidate rounded_down(dice& d) const {
      candidate c;
      std::size_t sum = std::numeric_limits<std::size_t>::max();
      for (std::size_t e = 0; e < t_.entries.size(); ++e)
        if (candidate one = uniform(e); !one.empty())
          if (const std::size_t bytes = bytes_of(one); bytes > limit_ && bytes < sum) {
            sum = bytes;
            c = std::move(one);
          }
      if (c.empty()) {
        for (const std::vector<level>& l : levels_) c.push_back(l.size() - 1);
        sum = bytes_of(c);
      }
      while (sum > limit_) {
        const std::vector<std::size_t> able = units_that([&](std::size_t u) { return c[u] > 0; });
        lower(c, able[d.below(able.size())], sum);
      }
      std::vector<std::size_t> order(c.size());
      std::iota(order.begin(), order.end(), std::size_t{0});
      for (std::size_t k = order.size(); k > 1; --k) std::swap(order[k - 1], order[d.below(k)]);
      for (const std::size_t u : order)
        while (c[u] + 1 < levels_[u].size() && sum + step_up(c, u) <= limit_) raise(c, u, sum);
      return c;
    }

    template<class Able>
    [[nodiscard]] std::vector<std::size_t> units_that(Able&& able) const {
      std::vector<std::size_t> units;
      for (std::size_t u = 0; u < levels_.size(); ++u)
        if (able(u)) units.push_back(u);
      return units;
    }
    [[nodiscard]] std::size_t step_up(const candidate& c, std::size_t u) const {
      return levels_[u][c[u] + 1].bytes - levels_[u][c[u]].bytes;
    }
    void raise(candidate& c, std::size_t u, std::size_t& sum) const {
      sum += step_up(c, u);
      ++c[u];
    }
    void lower(candidate& c, std::size_t u, std::size_t& sum) const {
      --c[u];
      sum -= step_up(c, u);
    }

    /// Some swaps within groups, which are drawn in proportion to their units. False where one was not possible.
    [[nodiscard]] bool swap_levels(candidate& c, std::size_t swaps, dice& d) const {
      for (; swaps > 0; --swaps) {
        const std::vector<std::size_t>& group = groups_[group_of_[d.below(c.size())]];
        std::vector<std::size_t> able;
        for (const std::size_t u : group)
          if (c[u] > 0) able.push_back(u);
        if (able.empty()) return false;
        const std::size_t giver = able[d.below(able.size())];
        std::vector<std::pair<std::size_t, std::size_t>> takers;  // unit, level
        std::size_t to = c[giver];
        while (to > 0 && takers.empty()) {
          const std::size_t freed = levels_[giver][c[giver]].bytes - levels_[giver][--to].bytes;
          for (const std::size_t u : group) {
            if (u == giver) continue;
            for (std::size_t l = c[u] + 1; l < levels_[u].size(); ++l)
              if (levels_[u][l].bytes - levels_[u][c[u]].bytes == freed) takers.emplace_back(u, l);
          }
        }
        if (takers.empty()) return false;
        const auto [taker, level] = takers[d.below(takers.size())];
        c[giver] = to;
        c[taker] = level;
      }
      return true;
    }

    /// Some raises anywhere, and others down until the sum fits. False where that took too much.
    [[nodiscard]] bool shift(candidate& c, std::size_t raises, dice& d) const {
      constexpr std::size_t most_changes = 10;
      constexpr double least_use = 0.8;  // of the bytes set free
      const candidate before = c;
      std::size_t sum = bytes_of(c), changes = 0;
      for (; raises > 0; --raises, ++changes) {
        const std::vector<std::size_t> able = units_that([&](std::size_t u) { return c[u] + 1 < levels_[u].size(); });
        if (able.empty()) return false;
        raise(c, able[d.below(able.size())], sum);
      }
      for (; sum > limit_; ++changes) {
        const std::vector<std::size_t> able = units_that([&](std::size_t u) { return c[u] > 0 && c[u] <= before[u]; });
        if (able.empty() || changes == most_changes) return false;
        lower(c, able[d.below(able.size())], sum);
      }
      std::size_t added = 0, removed = 0;
      for (std::size_t u = 0; u < c.size(); ++u) {
        const std::size_t now = levels_[u][c[u]].bytes, then = levels_[u][before[u]].bytes;
        (now > then ? added : removed) += now > then ? now - then : then - now;
      }
      return removed == 0 || static_cast<double>(added) >= least_use * static_cast<double>(removed);
    }

    const evolve& how_;
    const cost_table& t_;
    std::span<const std::size_t> tokens_;
    solver::linked_table whole_;
    std::size_t limit_ = 0;
    std::vector<std::vector<level>> levels_;        // [units]
    std::vector<std::vector<std::size_t>> groups_;  // of units that swap
    std::vector<std::size_t> group_of_;             // [units]
  };
};

}  // namespace precis::allocate
