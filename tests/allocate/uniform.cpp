#include <precis/allocate/uniform.hpp>

#include "allocate/tables.hpp"
#include "catch.hpp"
#include "refusal.hpp"

#include <string>
#include <vector>

using namespace precis;
using allocate::uniform;

TEST_CASE("uniform takes the largest entry that fits and notes the leftover bytes",
          "[allocate][uniform][worked-example]") {
  const cost_table t = tables::tiny();
  CHECK(uniform{.budget = at_most_bytes(349)}.solve(t).entries == std::vector<std::size_t>{0, 0, 0});
  CHECK(uniform{.budget = at_most_bytes(350)}.solve(t).entries == std::vector<std::size_t>{1, 1, 1});
  CHECK(uniform{.budget = at_most_bytes(699)}(t).notes ==
        std::vector<std::string>{"uniform 699B of hand: cost 6 nats, 350 bytes of 699, 349 bytes left"});
}

TEST_CASE("uniform skips entries that are not admissible for every unit", "[allocate][uniform][worked-example]") {
  cost_table t = tables::tiny();
  t.costs[1] = not_admitted;
  CHECK(uniform{.budget = at_most_bytes(699)}.solve(t).entries == std::vector<std::size_t>{0, 0, 0});
}

TEST_CASE("uniform prefers the lower cost of two entries with equal bytes", "[allocate][uniform][worked-example]") {
  const cost_table t = tables::by_hand({"a", "b", "c"}, {8, 8}, {5, 5, 9, 5, 5, 9}, {2, 1, 0, 3, 3, 0});
  CHECK(uniform{.budget = at_most_bytes(10)}.solve(t).entries == std::vector<std::size_t>{1, 1});
}

TEST_CASE("uniform refuses an infeasible budget and a table without a common entry", "[allocate][uniform][refusal]") {
  cost_table t = tables::tiny();
  CHECK_THAT(refusal([&] { (void)uniform{.budget = bits_per_weight(1)}.solve(t); }),
             ContainsSubstring("allocate::uniform: a budget of 1bpw, 87 bytes; expected at least 175B (2bpw)"));
  t.costs = {not_admitted, 1, 1, 1, not_admitted, 1, 1, 1, not_admitted};
  CHECK_THAT(refusal([&] { (void)uniform{}.solve(t); }),
             ContainsSubstring("no entry that is admissible for every unit"));
}
