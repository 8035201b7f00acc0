#include <precis/allocate/evolve.hpp>

#include <precis/allocate/knapsack.hpp>
#include <precis/core/random.hpp>

#include "allocate/tables.hpp"
#include "catch.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

using namespace precis;
using allocate::evaluation_sample;
using allocate::evolve;
using allocate::solution;
using Catch::Matchers::ContainsSubstring;
using candidates = std::span<const std::vector<std::size_t>>;

namespace {

/// Units of 8 weights and formats of 2 to 6 bits; costs are a_u 4^-bits, or random.
cost_table widths(std::size_t units, std::uint64_t seed, bool convex = true) {
  const random_stream random(seed, purpose("evolve widths"));
  std::vector<std::size_t> bytes;
  std::vector<double> costs;
  for (std::size_t u = 0; u < units; ++u)
    for (std::size_t bits = 2; bits <= 6; ++bits) {
      bytes.push_back(bits);
      costs.push_back(convex ? std::exp(4 * random.uniform(u)) * std::pow(4.0, -static_cast<double>(bits))
                             : random.uniform(100 + 5 * u + bits));
    }
  return tables::by_hand({"two", "three", "four", "five", "six"}, std::vector<std::size_t>(units, 8), bytes, costs);
}

/// A separable fitness: the sum of the costs of a table.
struct separable {
  const cost_table& t;
  std::vector<double> operator()(candidates all, const evaluation_sample&) const {
    std::vector<double> losses;
    for (const std::vector<std::size_t>& c : all) {
      double sum = 0;
      for (std::size_t u = 0; u < c.size(); ++u) sum += t.costs_of(u)[c[u]];
      losses.push_back(sum);
    }
    return losses;
  }
};

evolve small(std::size_t bytes) {
  return {
      .budget = at_most_bytes(bytes), .generations = 12, .stages = {{16, 20}, {4, 50}, {1, 100}}, .start_tokens = 20};
}
const std::vector<std::size_t> sequences(30, 10);  // tokens per sequence

}  // namespace

TEST_CASE("with convex separable costs, evolve finds the optimum of the integer program",
          "[allocate][evolve][oracle]") {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    const cost_table t = widths(8, seed);
    const solution s = small(32).solve(t, sequences, separable{t});  // starts with 4 bits everywhere
    CAPTURE(seed);
    CHECK(s.bytes == 32);
    CHECK(s.cost == Approx(allocate::knapsack{.budget = at_most_bytes(32)}.solve(t).cost).epsilon(1e-12));
    CHECK(s.objective == Approx(s.cost));
    CHECK_FALSE(s.optimal);
  }
}

TEST_CASE("every candidate takes exactly the bytes of its parent", "[allocate][evolve][property]") {
  for (const auto swap_with : {evolve::partners::equal_sizes, evolve::partners::equal_roles}) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      const cost_table t = widths(9, seed, false);
      evolve how = small(33 + seed % 5);  // mostly not a uniform width
      how.swap_with = swap_with;
      how.seed = seed;
      const separable inner{t};
      std::map<std::size_t, std::size_t> sums;
      const auto fitness = [&](candidates all, const evaluation_sample& sample) {
        for (std::size_t i = 0; i < all.size(); ++i) {
          std::size_t sum = 0;
          for (std::size_t u = 0; u < all[i].size(); ++u) sum += t.bytes_of(u)[all[i][u]];
          ++sums[sum];
          for (std::size_t j = 0; j < i; ++j) CHECK(all[i] != all[j]);
        }
        return inner(all, sample);
      };
      const solution s = how.solve(t, sequences, fitness);
      CAPTURE(seed);
      REQUIRE(sums.size() == 1);  // starts are raised up to the budget, because steps are one byte here
      CHECK(sums.begin()->first == s.limit);
      CHECK(s.bytes == s.limit);
    }
  }
}

TEST_CASE("evolve @post: the plan never exceeds the budget, for any sizes, and depends only on the seed",
          "[allocate][evolve][property]") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const cost_table t = tables::random(seed);
    const auto [least, most] = tables::range(t);
    for (const auto swap_with : {evolve::partners::equal_sizes, evolve::partners::equal_roles, evolve::partners::all}) {
      evolve how{.budget = at_most_bytes((least + most) / 2),
                 .generations = 4,
                 .offspring = 6,
                 .stages = {{2, 10}, {1, 30}},
                 .swap_with = swap_with,
                 .starts = 4,
                 .start_tokens = 10,
                 .seed = seed};
      const solution s = how.solve(t, sequences, separable{t});
      CAPTURE(seed);
      CHECK(s.bytes <= s.limit);
      for (std::size_t u = 0; u < t.units.size(); ++u) CHECK(t.admits(u, s.entries[u]));
      CHECK(how.solve(t, sequences, separable{t}).entries == s.entries);
    }
  }
}

TEST_CASE("evolve @post: if the last stage uses all tokens, the fitness of the best plan never rises",
          "[allocate][evolve][property]") {
  const cost_table t = widths(12, 3, false);
  evolve how = small(48);
  how.stages = {{4, 300}, {1, 300}};  // all tokens
  how.from = std::vector<std::size_t>{2, 2, 2, 2, 2, 2, 1, 3, 1, 3, 0, 4};
  double before = separable{t}(std::vector<std::vector<std::size_t>>{how.from}, {}).front();
  std::size_t generations = 0;
  const solution s = how.solve(t, sequences, separable{t}, [&](std::size_t g, const solution& now) {
    CHECK(g == generations++);
    CHECK(now.objective <= before);
    CHECK(now.bytes == 48);
    before = now.objective;
    return g < 6;
  });
  CHECK(generations == 7);  // stopped
  CHECK(s.objective == before);
  CHECK(how.to_plan(t, s).choices.size() == 12);
}

TEST_CASE("samples are new, exact and without repetition", "[allocate][evolve][property]") {
  const cost_table t = widths(8, 1);
  const std::vector<std::size_t> uneven{3, 8, 1, 5, 9, 4};
  evolve how = small(32);
  how.stages = {{3, 7}, {1, 21}};
  std::vector<evaluation_sample> seen;
  const separable inner{t};
  static_cast<void>(how.solve(t, uneven, [&](candidates all, const evaluation_sample& s) {
    seen.push_back(s);
    std::size_t tokens = s.tokens_of_last;
    for (std::size_t i = 0; i + 1 < s.sequences.size(); ++i) tokens += uneven[s.sequences[i]];
    CHECK(tokens == (seen.size() % 2 == 1 ? 7u : 21u));
    CHECK(s.tokens_of_last >= 1);
    CHECK(s.tokens_of_last <= uneven[s.sequences.back()]);
    auto once = s.sequences;
    std::ranges::sort(once);
    CHECK(std::ranges::adjacent_find(once) == once.end());
    CHECK(all.size() == (seen.size() % 2 == 1 ? 128u : 4u));  // survivors and the parent
    return inner(all, s);
  }));
  CHECK(seen.size() == 24);
  CHECK(std::ranges::count(seen, seen.front()) < 24);
}

TEST_CASE("if only one plan is feasible, evolve returns it", "[allocate][evolve][worked-example]") {
  const cost_table one = tables::by_hand({"four"}, {8, 8}, {4, 4}, {1, 2});
  CHECK(small(8).solve(one, sequences, separable{one}).entries == std::vector<std::size_t>{0, 0});
  const cost_table none = tables::by_hand({"four"}, {}, {}, {});
  CHECK(small(8).solve(none, sequences, separable{none}).entries.empty());
  CHECK(small(8).solve(one, sequences, separable{one}).objective == 3);  // it is evaluated all the same
  const cost_table t = widths(3, 1);  // the largest entries fit everywhere, so no unit can be raised
  CHECK(small(100).solve(t, sequences, separable{t}).entries == std::vector<std::size_t>{4, 4, 4});
}

TEST_CASE("layers are dropped with two entries per unit", "[allocate][evolve][worked-example]") {
  // Two of six modules must be dropped. Dropping 1 and 4 jointly costs least, although singly 0 and 2 cost least.
  const cost_table t = tables::by_hand({"drop", "keep"}, std::vector<std::size_t>(6, 8),
                                       {0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1}, std::vector<double>(12, 0.0));
  const auto fitness = [](candidates all, const evaluation_sample&) {
    std::vector<double> losses;
    for (const auto& c : all) {
      double loss = c[1] == 0 && c[4] == 0 ? 0 : 5;
      for (const std::size_t u : {0u, 2u}) loss -= c[u] == 0 ? 1 : 0;
      losses.push_back(loss + 2);
    }
    return losses;
  };
  evolve how = small(4);
  how.offspring = 16;
  const solution s = how.solve(t, sequences, fitness);
  CHECK(s.entries == std::vector<std::size_t>{1, 0, 1, 1, 0, 1});
}

TEST_CASE("known losses are not evaluated again, and stages that drop no candidate are skipped",
          "[allocate][evolve][property]") {
  const cost_table t = widths(8, 1);
  evolve how = small(32);
  how.offspring = 6;
  how.stages = {{6, 20}, {2, 50}, {1, 300}};
  std::vector<std::size_t> evaluated;
  std::vector<std::size_t> tokens;
  const auto fitness = [&](candidates all, const evaluation_sample& sample) {
    evaluated.push_back(all.size());
    tokens.push_back(sample.sequences.size());
    return separable{t}(all, sample);
  };
  how.generations = 3;
  (void)how.solve(t, sequences, fitness);
  CHECK(evaluated ==
        std::vector<std::size_t>{6, 3, 6, 2, 6, 2});  // the first stage keeps six of six; the parent is evaluated once
  CHECK(tokens == std::vector<std::size_t>{5, 30, 5, 30, 5, 30});
}

TEST_CASE("a candidate that breaks the model loses", "[allocate][evolve][property]") {
  const cost_table t = widths(8, 1);
  const auto fitness = [&](candidates all, const evaluation_sample& sample) {
    std::vector<double> losses = separable{t}(all, sample);
    for (std::size_t i = 0; i < all.size(); ++i)
      if (std::ranges::count(all[i], 0u) > 0)  // two bits anywhere; NaN is not ordered
        losses[i] = i % 2 == 0 ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
    return losses;
  };
  const solution s = small(32).solve(t, sequences, fitness);
  CHECK(std::ranges::count(s.entries, 0u) == 0);
  CHECK(s.cost < separable{t}(std::vector<std::vector<std::size_t>>{std::vector<std::size_t>(8, 2)}, {}).front());
}

TEST_CASE("evolve refuses invalid settings and fitnesses", "[allocate][evolve][refusal]") {
  const cost_table t = widths(8, 1);
  const auto says = [&](auto&& change, const char* what) {
    evolve how = small(32);
    change(how);
    CHECK_THAT(refusal([&] { (void)how.solve(t, sequences, separable{t}); }), ContainsSubstring(what));
  };
  says([](evolve& e) { e.budget = at_most_bytes(15); }, "a budget of 15B");
  says([](evolve& e) { e.stages.back().tokens = 301; }, "a stage of 301 tokens");
  says([](evolve& e) { e.start_tokens = 301; }, "301 tokens to compare the starts on");
  says([](evolve& e) { e.stages.back().survivors = 2; }, "2 survivors of the last stage");
  says([](evolve& e) { e.stages[1].survivors = 17; }, "17 survivors of 16");
  says([](evolve& e) { e.stages.clear(); }, "no stages");
  says([](evolve& e) { e.offspring = 0; }, "no offspring");
  says([](evolve& e) { e.from = {4, 4, 4, 4, 4, 4, 4, 4}; }, "a start of 48 bytes");
  says([](evolve& e) { e.from = {0}; }, "a start of 1 units");
  CHECK_THAT(refusal([&] {
               (void)small(32).solve(t, sequences, [](candidates all, const evaluation_sample&) {
                 return std::vector<double>(all.size(), std::numeric_limits<double>::quiet_NaN());
               });
             }),
             ContainsSubstring("no candidate has a finite fitness in generation 0"));
  CHECK_THAT(refusal([&] {
               (void)small(32).solve(t, sequences,
                                     [](candidates, const evaluation_sample&) { return std::vector<double>{}; });
             }),
             ContainsSubstring("0 losses for 128 candidates"));
}
