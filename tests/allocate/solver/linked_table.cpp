#include <precis/allocate/solver/linked_table.hpp>

#include "allocate/tables.hpp"
#include "catch.hpp"
#include "refusal.hpp"

#include <cstddef>
#include <vector>

using namespace precis;
namespace solver = precis::allocate::solver;

TEST_CASE("without links every unit is a row", "[allocate][solver][worked-example]") {
  const cost_table t = tables::tiny();
  const solver::linked_table rows(t, {}, "here");
  const auto p = rows.problem(350);
  CHECK((p.units == 3 && p.entries == 3 && p.limit == 350));
  CHECK(p.value(2, 1) == 2.5);
  CHECK(p.weight(2, 1) == 200);
  CHECK(rows.expand(std::vector<unsigned>{2, 0, 1}) == std::vector<std::size_t>{2, 0, 1});
}

TEST_CASE("linked units are one row with summed costs and bytes", "[allocate][solver][worked-example]") {
  const cost_table t = tables::tiny();
  const solver::linked_table rows(t, {{"block.2", "block.0"}}, "here");
  const auto p = rows.problem(350);
  REQUIRE(p.units == 2);
  CHECK((p.value(0, 0) == 9 + 6 && p.weight(0, 0) == 25 + 100));
  CHECK((p.value(1, 2) == 0.2 && p.weight(1, 2) == 200));
  CHECK(rows.expand(std::vector<unsigned>{2, 1}) == std::vector<std::size_t>{2, 1, 2});
  const auto inverse = rows.inverse(7.5);
  CHECK((inverse.limit == 7.5 && inverse.value(0, 0) == 125 && inverse.weight(0, 0) == 15));
}

TEST_CASE("groups that share a unit are merged", "[allocate][solver][property]") {
  const cost_table t = tables::by_hand({"a"}, {8, 8, 8, 8, 8}, {1, 2, 4, 8, 16}, {1, 1, 1, 1, 1});
  const solver::linked_table rows(t, {{"block.4", "block.1"}, {"block.3"}, {"block.0", "block.4"}}, "here");
  const auto p = rows.problem(100);
  REQUIRE(p.units == 3);
  CHECK(p.weight(0, 0) == 1 + 2 + 16);
  CHECK(rows.expand(std::vector<unsigned>{7, 8, 9}) == std::vector<std::size_t>{7, 7, 8, 9, 7});
}

TEST_CASE("an entry of a row is admissible if it is for all of its units", "[allocate][solver][worked-example]") {
  cost_table t = tables::tiny();
  t.costs[1] = not_admitted;  // block.0 in the second entry
  t.costs[5] = not_admitted;  // block.1 in the third
  const solver::linked_table rows(t, {{"block.0", "block.1"}}, "here");
  const auto p = rows.problem(700);
  CHECK(p.admits(0, 0));
  CHECK_FALSE(p.admits(0, 1));
  CHECK_FALSE(p.admits(0, 2));
}

TEST_CASE("links that cannot hold are refused", "[allocate][solver][refusal]") {
  cost_table t = tables::tiny();
  const auto says = [&] {
    return refusal([&] { const solver::linked_table rows(t, {{"block.0", "block.1"}}, "here"); });
  };
  CHECK(refusal([&] { const solver::linked_table rows(t, {{"block.0", "head"}}, "here"); }) ==
        "here: unit 'head' is linked but not in the table; expected names of units in the table");
  t.costs[1] = t.costs[2] = t.costs[3] = not_admitted;
  CHECK(says() ==
        "here: unit block.0 and the units linked to it have no common admissible entry; expected an entry that is "
        "admissible for all of them");
  t.entries.clear();
  CHECK(says() == "here: no entries; expected at least one");  // as `check` refuses it
}
