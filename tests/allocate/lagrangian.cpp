#include <precis/allocate/lagrangian.hpp>

#include "allocate/tables.hpp"
#include "catch.hpp"

#include <vector>

using namespace precis;
using allocate::lagrangian;
using allocate::solution;

TEST_CASE("the price and the bound of the small example", "[allocate][lagrangian][worked-example]") {
  // 350 bytes: the price is (6 - 2.5) / 100 bytes, and 50 bytes are left below it: 7.6 - 0.035 x 50 = 5.85.
  const solution s = lagrangian{.budget = at_most_bytes(350)}.solve(tables::tiny());
  CHECK(s.entries == std::vector<std::size_t>{2, 1, 0});
  CHECK(s.cost == Approx(7.6).epsilon(1e-12));
  CHECK(s.bound == Approx(5.85).epsilon(1e-12));
  CHECK_FALSE(s.optimal);
  // 500 bytes: the steps that gain more than the price fill the budget exactly.
  const solution full = lagrangian{.budget = at_most_bytes(500)}.solve(tables::tiny());
  CHECK(full.cost == Approx(2.8).epsilon(1e-12));
  CHECK(full.bound == full.cost);
  CHECK(full.optimal);
}

TEST_CASE("lagrangian @post: bound <= knapsack's cost <= cost", "[allocate][lagrangian][property]") {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const cost_table t = tables::random(seed);
    const auto [least, most] = tables::range(t);
    for (const std::size_t limit : {least, (least + most) / 2, most}) {
      const solution s = lagrangian{.budget = at_most_bytes(limit)}.solve(t);
      const double best = tables::exhaustive(t, limit).cost;
      CAPTURE(seed, limit);
      CHECK(s.bytes <= limit);
      CHECK(s.cost >= best);
      CHECK(s.bound <= best + 1e-12);  // price x room is rounded
      if (s.optimal) CHECK(s.cost == best);
    }
  }
}
