#pragma once

#include <precis/allocate/solver/choice_problem.hpp>
#include <precis/allocate/solver/linked_table.hpp>
#include <precis/allocate/solver/solution.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/random.hpp>
#include <precis/kernel/ieee.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace precis::allocate {
PRECIS_IEEE_BEGIN

/// The data on which candidates are compared: whole sequences, except the last, of which only the first
/// `tokens_of_last` tokens count.
struct evaluation_sample {
  std::vector<std::size_t> sequences{};
  std::size_t tokens_of_last = 0;

  bool operator==(const evaluation_sample&) const = default;
};

/// Evolutionary search for the plan with the best end-to-end loss. Offspring of the best plan so far move bytes between
/// units and are selected in stages on growing samples of the data. Unlike all other allocators, it does not assume
/// that the errors of units add up.
///
/// The levels of a unit are its admissible entries in the order of their bytes. A swap lowers one unit by as few levels
/// as possible such that another unit can be raised by exactly the bytes that this frees, so the total size is
/// unchanged. An offspring is made by one to three swaps. All offspring of a generation differ from each other and from
/// their parent. The parent takes part in the last stage and is replaced only by a better candidate.
///
///     fitness(span of candidates, evaluation_sample) -> vector of losses, low = better
///     report(generation, solution so far) -> whether to continue; optional
///
/// A candidate is one entry per unit.
///
/// Shapes    a cost table. Only bytes and admissible entries matter; costs break ties between entries of equal bytes.
/// Unit      objective: that of the fitness, on the last sample drawn. A fitness that is not finite counts as infinite.
/// Errors    those of knapsack; stages that do not end with one survivor; samples larger than the data; a generation
///           without any finite fitness.
/// Cost      per generation: offspring x tokens of the first stage, plus survivors of each stage x tokens of the next.
///           If the last stage uses all tokens, the parent is not evaluated again.
/// Source    EvoPress (arXiv:2410.14649) and its code (IST-DASLab/EvoPress). For layer dropping, use a table with two
///           entries, "keep" and "drop".
/// Differs   a unit is never swapped with itself; the number of attempts is bounded; the parent joins in the last stage
///           whatever the numbers of survivors; levels may differ by any number of bytes; bytes that rounding down
///           leaves at the start are spent.
/// @post     if the last stage uses all tokens, the fitness of the best plan never rises.
/// @post     the plan never exceeds the budget and depends only on the seed, not on the executor of the fitness.
struct evolve {
  /// Which units may swap: units whose levels have equal sizes; units of equal role (their names without digits); or
  /// all. With `all`, units are raised and others lowered until the total fits, and most of the freed bytes must be
  /// used.
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
  std::size_t starts = 16;          ///< number of random starts, unless one entry everywhere takes exactly the budget
  std::size_t start_tokens = 2048;  ///< number of tokens on which the starts are compared
  std::vector<std::size_t> from{};  ///< [units] entries to start from instead, for example those of knapsack
  std::uint64_t seed = 0;

  /// `tokens` holds the length of each available sequence.
  template<class Fitness, class Report>
  [[nodiscard]] solution solve(const cost_table& t, std::span<const std::size_t> tokens, Fitness&& fitness,
                               Report&& report) const {
    const search<std::remove_reference_t<Fitness>> s(*this, t, tokens);
    candidate parent = s.first_parent(fitness);
    double best = std::numeric_limits<double>::quiet_NaN();
    evaluation_sample best_sample;  // the sample on which the parent has that loss
    for (std::size_t g = 0; g < generations; ++g) {
      std::vector<candidate> alive = s.offspring_of(parent, g);
      if (alive.empty()) break;  // no other candidate is feasible
      for (std::size_t i = 0; i < stages.size(); ++i) {
        const bool last = i + 1 == stages.size();
        if (!last && alive.size() <= stages[i].survivors) continue;  // nothing to select
        evaluation_sample sample = s.draw(g, i, stages[i].tokens);
        const bool parent_known = last && sample == best_sample;
        if (last && !parent_known) alive.insert(alive.begin(), parent);  // first, so that it wins ties
        std::vector<double> losses = s.judge(fitness, alive, sample);
        if (parent_known) {
          alive.insert(alive.begin(), parent);
          losses.insert(losses.begin(), best);
        }
        if (last) best_sample = std::move(sample);
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
    if (kernel::is_nan(best))
      best = s.finite(s.judge(fitness, {parent}, s.draw(0, 0, stages.back().tokens)).front(), 0);
    return s.as_solution(parent, best);
  }
  template<class Fitness>
  [[nodiscard]] solution solve(const cost_table& t, std::span<const std::size_t> tokens, Fitness&& fitness) const {
    return solve(t, tokens, fitness, [](std::size_t, const solution&) { return true; });
  }

  /// The plan of a solution from `solve`.
  template<class = void>
  [[nodiscard]] plan to_plan(const cost_table& t, const solution& s) const {
    return solver::to_plan(t, s, "evolve " + to_string(budget),
                           std::to_string(generations) + " generations, loss " + text::number(s.objective));
  }

 private:
  using candidate = std::vector<std::size_t>;  // levels [units]

  /// Sequential draws from a stream.
  struct dice {
    random_stream stream;
    std::uint64_t next = 0;
    dice(std::uint64_t seed, std::uint64_t stream_id) noexcept : stream(seed, stream_id) {}
    [[nodiscard]] std::size_t below(std::size_t n) noexcept {
      return static_cast<std::size_t>(stream.below(next++, n));
    }
  };

  struct level {
    std::size_t entry, bytes;
  };

  template<class Fitness>
  class search {
   public:
    search(const evolve& settings, const cost_table& t, std::span<const std::size_t> tokens)
        : settings_(settings), t_(t), tokens_(tokens), rows_(t, {}, where) {
      if (settings.budget.bounds() != resource::bytes)
        bad("a budget of " + to_string(settings.budget),
            "a budget in bytes: units swap entries of equal sizes; knapsack and others take times");
      limit_ = solver::limit_of(settings.budget, t, solver::feasible_range(rows_.problem(0)), where);
      check_settings();
      std::vector<std::vector<std::size_t>> sizes(t.units.size());
      std::vector<std::string> roles;
      for (std::size_t u = 0; u < t.units.size(); ++u) {
        levels_.push_back(levels_of(u));
        for (const level& l : levels_[u]) sizes[u].push_back(l.bytes);
        roles.push_back(role_of(t.units[u].name));
      }
      if (settings.swap_with == partners::equal_roles)
        group_by(roles);
      else
        group_by(sizes);
    }

    [[nodiscard]] solution as_solution(const candidate& c, double loss) const {
      solution s{.entries = entries_of(c), .limit = limit_};
      s.objective = loss;
      s.bound = -std::numeric_limits<double>::infinity();
      solver::add_up(s, t_);
      return s;
    }

    [[nodiscard]] candidate first_parent(Fitness& fitness) const {
      if (!settings_.from.empty()) return given_start();
      if (t_.units.empty()) return {};
      for (std::size_t e = 0; e < t_.entries.size(); ++e)
        if (candidate c = uniform(e); !c.empty() && bytes_of(c) == limit_) return c;
      std::vector<candidate> all;
      for (std::size_t i = 0; i < std::max<std::size_t>(1, settings_.starts); ++i) {
        dice d(settings_.seed, purpose("allocate::evolve start") + i);
        candidate c = rounded_down(d);
        if (std::find(all.begin(), all.end(), c) == all.end()) all.push_back(std::move(c));
      }
      if (all.size() == 1) return all.front();
      const evaluation_sample sample = draw(settings_.generations, 0, settings_.start_tokens);
      const std::vector<double> losses = judge(fitness, all, sample);
      return all[static_cast<std::size_t>(std::min_element(losses.begin(), losses.end()) - losses.begin())];
    }

    /// A new random sample of exactly `tokens` tokens without repetition. If these are all tokens, the sequences are in
    /// order.
    [[nodiscard]] evaluation_sample draw(std::size_t generation, std::size_t stage, std::size_t tokens) const {
      std::vector<std::size_t> order(tokens_.size());
      std::iota(order.begin(), order.end(), std::size_t{0});
      dice d(settings_.seed, purpose("allocate::evolve sample") + generation * (settings_.stages.size() + 1) + stage);
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

    /// The losses of candidates; one that is not finite counts as infinite, because low bit widths may break a
    /// candidate.
    [[nodiscard]] std::vector<double> judge(Fitness& fitness, const std::vector<candidate>& candidates,
                                            const evaluation_sample& sample) const {
      std::vector<std::vector<std::size_t>> entries;
      entries.reserve(candidates.size());
      for (const candidate& c : candidates) entries.push_back(entries_of(c));
      std::vector<double> losses = fitness(as_span(entries), sample);
      if (losses.size() != candidates.size())
        bad(std::to_string(losses.size()) + " losses for " + std::to_string(candidates.size()) + " candidates",
            "one loss per candidate");
      for (double& x : losses)
        if (!kernel::is_finite(x)) x = std::numeric_limits<double>::infinity();
      return losses;
    }
    [[nodiscard]] static double finite(double loss, std::size_t generation) {
      if (!kernel::is_finite(loss))
        bad("no candidate has a finite fitness in generation " + std::to_string(generation),
            "a start with a finite loss");
      return loss;
    }

    [[nodiscard]] std::vector<candidate> offspring_of(const candidate& parent, std::size_t generation) const {
      std::vector<candidate> out;
      if (parent.size() < 2) return out;    // no unit to swap with
      std::vector<candidate> seen{parent};  // sorted
      dice d(settings_.seed, purpose("allocate::evolve offspring") + generation);
      constexpr std::size_t attempts_each = 50;
      for (std::size_t tries = 0; out.size() < settings_.offspring && tries < attempts_each * settings_.offspring;
           ++tries) {
        const std::size_t swaps = 1 + std::min(d.below(3), d.below(3));
        candidate c = parent;
        const bool made = settings_.swap_with == partners::all ? shift(c, swaps, d) : swap_levels(c, swaps, d);
        if (!made) continue;
        const auto at = std::lower_bound(seen.begin(), seen.end(), c);
        if (at != seen.end() && *at == c) continue;
        seen.insert(at, c);
        out.push_back(std::move(c));
      }
      return out;
    }

   private:
    static constexpr const char* where = "allocate::evolve";

    [[noreturn]] static void bad(std::string what, std::string expected) {
      refuse({.what = std::move(what), .where = where, .expected = std::move(expected)});
    }

    /// Groups of units with equal keys, in the order of the keys.
    template<class Key>
    void group_by(const std::vector<Key>& keys) {
      std::vector<std::size_t> order(keys.size());
      std::iota(order.begin(), order.end(), std::size_t{0});
      std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return keys[a] < keys[b]; });
      group_of_.resize(keys.size());
      for (std::size_t i = 0; i < order.size(); ++i) {
        if (i == 0 || keys[order[i]] != keys[order[i - 1]]) groups_.emplace_back();
        group_of_[order[i]] = groups_.size() - 1;
        groups_.back().push_back(order[i]);
      }
    }

    void check_settings() const {
      std::size_t all = 0;
      for (const std::size_t n : tokens_) all += n;
      std::size_t before = settings_.offspring;
      if (settings_.offspring == 0 || settings_.stages.empty())
        bad("no offspring or no stages", "at least one of each");
      for (const stage& s : settings_.stages) {
        if (s.survivors == 0 || s.survivors > before)
          bad(std::to_string(s.survivors) + " survivors of " + std::to_string(before),
              "at least 1, and at most as many as enter the stage");
        if (s.tokens == 0 || s.tokens > all)
          bad("a stage of " + std::to_string(s.tokens) + " tokens",
              "1 to " + std::to_string(all) + ", the tokens of all sequences");
        before = s.survivors;
      }
      if (before != 1) bad(std::to_string(before) + " survivors of the last stage", "1");
      if (settings_.start_tokens == 0 || settings_.start_tokens > all)
        bad(std::to_string(settings_.start_tokens) + " tokens to compare the starts on",
            "1 to " + std::to_string(all) + ", the tokens of all sequences");
    }

    /// Admissible entries by bytes; among equal bytes, the one with the lowest cost, then the first.
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

    /// A name without its digits.
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
      if (settings_.from.size() != t_.units.size())
        bad("a start of " + std::to_string(settings_.from.size()) + " units",
            std::to_string(t_.units.size()) + " units");
      candidate c;
      for (std::size_t u = 0; u < settings_.from.size(); ++u) {
        const std::size_t e = settings_.from[u];
        if (e >= t_.entries.size() || !t_.admits(u, e))
          bad("a start with an entry that is not admissible for unit " + t_.units[u].name, "admissible entries");
        // Among entries of equal bytes only the best is a level; it stands for the others.
        const auto at = std::find_if(levels_[u].begin(), levels_[u].end(),
                                     [&](const level& l) { return l.bytes == t_.bytes_of(u)[e]; });
        c.push_back(static_cast<std::size_t>(at - levels_[u].begin()));
      }
      if (bytes_of(c) > limit_)
        bad("a start of " + std::to_string(bytes_of(c)) + " bytes", "at most " + std::to_string(limit_) + " bytes");
      return c;
    }

    /// The same entry for every unit; empty if it is not admissible for every unit.
    [[nodiscard]] candidate uniform(std::size_t entry) const {
      candidate c;
      for (std::size_t u = 0; u < t_.units.size(); ++u) {
        const auto at =
            std::find_if(levels_[u].begin(), levels_[u].end(), [&](const level& l) { return l.entry == entry; });
        if (at == levels_[u].end()) return {};
        c.push_back(static_cast<std::size_t>(at - levels_[u].begin()));
      }
      return c;
    }

    /// The smallest uniform choice that does not fit, with random units lowered until it fits and then raised to use
    /// the rest.
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

    /// Swaps within groups, which are drawn in proportion to their number of units. Returns false if a swap was not
    /// possible.
    [[nodiscard]] bool swap_levels(candidate& c, std::size_t swaps, dice& d) const {
      for (; swaps > 0; --swaps) {
        const std::vector<std::size_t>& group = groups_[group_of_[d.below(c.size())]];
        std::vector<std::size_t> able;
        for (const std::size_t u : group)
          if (c[u] > 0) able.push_back(u);
        if (able.empty()) return false;
        const std::size_t giver = able[d.below(able.size())];
        std::vector<std::pair<std::size_t, std::size_t>> takers;  // unit, level
        std::size_t new_level = c[giver];
        while (new_level > 0 && takers.empty()) {
          const std::size_t freed = levels_[giver][c[giver]].bytes - levels_[giver][--new_level].bytes;
          for (const std::size_t u : group) {
            if (u == giver) continue;
            for (std::size_t l = c[u] + 1; l < levels_[u].size(); ++l)
              if (levels_[u][l].bytes - levels_[u][c[u]].bytes == freed) takers.emplace_back(u, l);
          }
        }
        if (takers.empty()) return false;
        const auto [taker, level] = takers[d.below(takers.size())];
        c[giver] = new_level;
        c[taker] = level;
      }
      return true;
    }

    /// Raises random units and lowers others until the total fits. False if that takes too many changes or wastes too
    /// much.
    [[nodiscard]] bool shift(candidate& c, std::size_t raises, dice& d) const {
      constexpr std::size_t most_changes = 10;
      constexpr double least_use = 0.8;  // share of the freed bytes
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
        const std::size_t new_bytes = levels_[u][c[u]].bytes, old_bytes = levels_[u][before[u]].bytes;
        (new_bytes > old_bytes ? added : removed) +=
            new_bytes > old_bytes ? new_bytes - old_bytes : old_bytes - new_bytes;
      }
      return removed == 0 || static_cast<double>(added) >= least_use * static_cast<double>(removed);
    }

    const evolve& settings_;
    const cost_table& t_;
    std::span<const std::size_t> tokens_;
    solver::linked_table<> rows_;
    std::size_t limit_ = 0;
    std::vector<std::vector<level>> levels_;        // [units]
    std::vector<std::vector<std::size_t>> groups_;  // groups of units that may swap
    std::vector<std::size_t> group_of_;             // [units]
  };
};

PRECIS_IEEE_END
}  // namespace precis::allocate
