#include <precis/allocate/greedy.hpp>
#include <precis/allocate/lagrangian.hpp>

#include "allocate/tables.hpp"
#include "catch.hpp"

#include <vector>

using namespace precis;
using allocate::greedy;
using allocate::solution;

TEST_CASE("greedy stops at 7.6 on the small example", "[allocate][greedy][worked-example]") {
  const solution s = greedy{.budget = at_most_bytes(350)}.solve(tables::tiny());
  CHECK(s.entries == std::vector<std::size_t>{2, 1, 0});  // (8, 4, 2)
  CHECK(s.cost == Approx(7.6).epsilon(1e-12));
  CHECK(s.bytes == 300);
  CHECK(s.bound == Approx(5.85).epsilon(1e-12));
  CHECK_FALSE(s.optimal);
}

TEST_CASE("greedy continues after a step that does not fit", "[allocate][greedy][worked-example]") {
  // The step of the large unit gains most per byte but needs 90 bytes; that of the small unit needs 10 and fits.
  const cost_table t = tables::by_hand({"low", "high"}, {8, 8}, {10, 100, 10, 20}, {90, 0, 5, 0});
  const solution s = greedy{.budget = at_most_bytes(50)}.solve(t);
  CHECK(s.entries == std::vector<std::size_t>{0, 1});
}

TEST_CASE("greedy @post: never better than knapsack, never worse than lagrangian", "[allocate][greedy][property]") {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const cost_table t = tables::random(seed);
    const auto [least, most] = tables::range(t);
    const budget b = at_most_bytes((least + most) / 2);
    const solution s = greedy{.budget = b}.solve(t);
    CHECK(s.bytes <= s.limit);
    CHECK(s.cost >= tables::exhaustive(t, s.limit).cost);
    CHECK(s.cost <= allocate::lagrangian{.budget = b}.solve(t).cost);
  }
}
