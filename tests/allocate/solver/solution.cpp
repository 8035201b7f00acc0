#include <precis/allocate/solver/solution.hpp>

#include "allocate/tables.hpp"
#include "catch.hpp"
#include "refusal.hpp"

#include <string>
#include <type_traits>
#include <vector>

using namespace precis;
namespace solver = precis::allocate::solver;

TEST_CASE("limit_of: a budget in bytes", "[allocate][solver][worked-example]") {
  const cost_table t = tables::tiny();  // 700 weights, 2800 bytes as float32
  for (const budget& b : {bits_per_weight(4), at_most_bytes(350), percent_of_original(12.5)})
    CHECK(solver::limit_of(b, t, {175, 700}, "here") == 350);
}

TEST_CASE("limit_of refuses a budget below the feasible range, and a percentage of nothing",
          "[allocate][solver][refusal]") {
  cost_table t = tables::tiny();
  CHECK(refusal([&] { (void)solver::limit_of(bits_per_weight(1.5), t, {175, 700}, "here"); }) ==
        "here: a budget of 1.5bpw, 131 bytes; expected at least 175B (2bpw), the size of the smallest admissible "
        "entries; the largest take 700B (8bpw)");
  t.original_bytes = 0;
  CHECK(refusal([&] { (void)solver::limit_of(percent_of_original(50), t, {175, 700}, "here"); }) ==
        "here: a budget of 50%, but the cost table has no original size; expected original_bytes in the table, or a "
        "budget in bytes or bits per weight");
}

TEST_CASE("add_up sets cost and bytes", "[allocate][solver][worked-example]") {
  solver::solution s{.entries = {2, 1, 0}};
  solver::add_up(s, tables::tiny());
  CHECK(s.bytes == 100 + 100 + 100);
  CHECK(s.cost == Approx(0.1 + 1.5 + 6).epsilon(1e-15));
}

TEST_CASE("a certificate says optimal, or how far the optimum can be", "[allocate][solver][worked-example]") {
  CHECK(solver::certificate({.objective = 5, .bound = 5, .optimal = true}) == "optimal");
  CHECK(solver::certificate({.objective = 5, .bound = 4.5}) == "at most 0.5 above the optimum");
}

TEST_CASE("to_plan names every entry and the allocator", "[allocate][solver][worked-example]") {
  const cost_table t = tables::tiny();
  solver::solution s{.entries = {2, 1, 0}, .limit = 350};
  solver::add_up(s, t);
  const plan p = solver::to_plan(t, s, "by hand", "a remark");
  CHECK(p.model == "8c1f");
  CHECK(p.units == unit_kind::block);
  REQUIRE(p.choices.size() == 3);
  CHECK(p.choices[0] == choice{.unit = "block.0", .codec = "eight", .sparsity = 0, .rank = 0});
  CHECK(p.choices[2].codec == "two");
  CHECK(p.notes == std::vector<std::string>{"by hand of hand: cost 7.6 nats, 300 bytes of 350, a remark"});
  s.limit = 0;
  CHECK(solver::to_plan(t, s, "by hand", "no limit").notes.front() ==
        "by hand of hand: cost 7.6 nats, 300 bytes, no limit");
}

TEST_CASE("users find the solution in precis::allocate", "[allocate][solver][property]") {
  STATIC_REQUIRE(std::is_same_v<allocate::solution, solver::solution>);
}
