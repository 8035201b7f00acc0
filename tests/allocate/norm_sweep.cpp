#include <precis/allocate/norm_sweep.hpp>

#include "allocate/tables.hpp"
#include "catch.hpp"
#include "refusal.hpp"

#include <string>
#include <vector>

using namespace precis;
using allocate::minimax;
using allocate::norm_sweep;
using allocate::solution;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("norm_sweep on the small example at 350 bytes: four bits everywhere for every power",
          "[allocate][norm_sweep][worked-example]") {
  for (const double p : {1.0, 1.5, 3.5})
    CHECK(norm_sweep{.budget = at_most_bytes(350), .powers = {p}}.solve(tables::tiny()).entries ==
          std::vector<std::size_t>{1, 1, 1});
  CHECK(norm_sweep{.budget = at_most_bytes(350)}(tables::tiny()).choices.front().codec == "four");
}

TEST_CASE("norm_sweep @post: the worst unit costs no less than with minimax, and equally much for large powers",
          "[allocate][norm_sweep][property]") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    cost_table t = tables::random(seed);
    for (double& c : t.costs) c += 3;  // no cost is negative
    const auto [least, most] = tables::range(t);
    const budget b = at_most_bytes((least + most) / 2);
    CAPTURE(seed);
    const solution sweep = norm_sweep{.budget = b}.solve(t), far = norm_sweep{.budget = b, .powers = {60}}.solve(t);
    CHECK(sweep.objective >= minimax{.budget = b}.solve(t).objective);
    CHECK(far.objective == minimax{.budget = b}.solve(t).objective);
    CHECK(far.optimal);
    CHECK(sweep.bytes <= sweep.limit);
    CHECK(sweep.cost >= allocate::knapsack{.budget = b}.solve(t).cost - 1e-9);
  }
}

TEST_CASE("norm_sweep @post: no unit can get a lower cost from the leftover bytes",
          "[allocate][norm_sweep][property]") {
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    cost_table t = tables::random(seed);
    for (double& c : t.costs) c += 3;
    const auto [least, most] = tables::range(t);
    for (const double p : {2.0, 90.0, 2000.0}) {
      const solution s = norm_sweep{.budget = at_most_bytes((2 * least + most) / 3), .powers = {p}}.solve(t);
      for (std::size_t u = 0; u < t.units.size(); ++u)
        for (std::size_t e = 0; e < t.entries.size(); ++e)
          if (t.costs_of(u)[e] < t.costs_of(u)[s.entries[u]])
            CHECK(s.bytes - t.bytes_of(u)[s.entries[u]] + t.bytes_of(u)[e] > s.limit);
    }
  }
}

TEST_CASE("norm_sweep refuses negative costs and invalid powers", "[allocate][norm_sweep][refusal]") {
  cost_table t = tables::tiny();
  CHECK_THAT(refusal([&] { (void)norm_sweep{.powers = {}}.solve(t); }), ContainsSubstring("no powers"));
  CHECK_THAT(refusal([&] { (void)norm_sweep{.powers = {1, -1}}.solve(t); }), ContainsSubstring("a power of -1"));
  t.costs[2] = -0.5;
  CHECK_THAT(refusal([&] { (void)norm_sweep{}.solve(t); }), ContainsSubstring("a cost of -0.5 for unit block.0"));
}
