#include <precis/allocate/solver/choice_problem.hpp>

#include <precis/core/cost_table.hpp>

#include "allocate/tables.hpp"
#include "catch.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

using namespace precis;
namespace solver = precis::allocate::solver;

namespace {

solver::choice_problem<double, std::size_t> program(const cost_table& t) {
  return {t.units.size(), t.entries.size(), t.costs, t.bytes, 0};
}

}  // namespace

TEST_CASE("an entry is admissible if its value and its weight are finite", "[allocate][solver][worked-example]") {
  const std::vector<double> costs{1, not_admitted, -3, 2};
  const std::vector<std::size_t> bytes{10, 20, 30, 40};
  const solver::choice_problem<double, std::size_t> p{2, 2, costs, bytes, 50};
  CHECK(p.value(1, 0) == -3);
  CHECK(p.weight(1, 1) == 40);
  CHECK(p.admits(0, 0));
  CHECK_FALSE(p.admits(0, 1));
  const solver::choice_problem<std::size_t, double> inverse{2, 2, bytes, costs, 5};
  CHECK_FALSE(inverse.admits(0, 1));
  CHECK(inverse.admits(1, 1));
}

TEST_CASE("feasible_range: the fewest and the most bytes of admissible entries", "[allocate][solver][oracle]") {
  CHECK(solver::feasible_range(program(tables::tiny())) == std::pair<std::size_t, std::size_t>{175, 700});
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const cost_table t = tables::random(seed);
    CHECK(solver::feasible_range(program(t)) == tables::range(t));
  }
}

TEST_CASE("row_key depends on the row alone, not on its place", "[allocate][solver][property]") {
  const cost_table t = tables::by_hand({"a", "b"}, {8, 8, 8}, {1, 2, 1, 2, 2, 1}, {3, 4, 3, 4, 4, 3});
  const auto p = program(t);
  CHECK(solver::row_key(p, 0) == solver::row_key(p, 1));
  CHECK(solver::row_key(p, 0) != solver::row_key(p, 2));  // the same entries in another order
}
