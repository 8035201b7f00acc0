#include <precis/allocate/minimax.hpp>

#include "allocate/tables.hpp"
#include "catch.hpp"
#include "refusal.hpp"

#include <string>
#include <vector>

using namespace precis;
using allocate::minimax;
using allocate::solution;

TEST_CASE("thresholds of the small example at two budgets", "[allocate][minimax][worked-example]") {
  const solution s = minimax{.budget = at_most_bytes(350)}.solve(tables::tiny());
  CHECK(s.objective == 2.5);
  CHECK(s.entries == std::vector<std::size_t>{1, 1, 1});
  const solution less = minimax{.budget = at_most_bytes(250)}.solve(tables::tiny());
  CHECK(less.objective == 6.0);
  CHECK(less.entries == std::vector<std::size_t>{1, 1, 0});
  CHECK(minimax{.budget = at_most_bytes(250)}(tables::tiny()).notes ==
        std::vector<std::string>{"minimax 250B of hand: cost 9.5 nats, 250 bytes of 250, no unit above 6"});
}

TEST_CASE("minimax @post: no choice within the budget has a smaller largest cost", "[allocate][minimax][oracle]") {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const cost_table t = tables::random(seed);
    const auto [least, most] = tables::range(t);
    for (const std::size_t limit : {least, (least + most) / 2, most}) {
      const solution s = minimax{.budget = at_most_bytes(limit)}.solve(t);
      CAPTURE(seed, limit);
      CHECK(s.objective == tables::exhaustive(t, limit).largest);
      CHECK(s.bytes <= limit);
      for (std::size_t u = 0; u < t.units.size(); ++u) CHECK(t.costs_of(u)[s.entries[u]] <= s.objective);
    }
  }
}

TEST_CASE("minimax refuses a budget below the smallest entries", "[allocate][minimax][refusal]") {
  CHECK_THAT(refusal([] { (void)minimax{.budget = at_most_bytes(174)}.solve(tables::tiny()); }),
             ContainsSubstring("allocate::minimax: a budget of 174B"));
}
