#include <precis/allocate/solver/multiple_choice.hpp>

#include <precis/core/cost_table.hpp>
#include <precis/core/random.hpp>

#include "allocate/tables.hpp"
#include "catch.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

using namespace precis;
namespace solver = precis::allocate::solver;

namespace {

solver::choice_problem<double, std::size_t> program(const cost_table& t, std::size_t limit) {
  return {t.units.size(), t.entries.size(), t.costs, t.bytes, static_cast<double>(limit)};
}

}  // namespace

TEST_CASE("choose: the small example at 350 bytes", "[allocate][solver][worked-example]") {
  const cost_table t = tables::tiny();
  const solver::selection s = solver::choose(program(t, 350));
  CHECK(s.entries == std::vector<std::uint32_t>{1, 1, 1});
  CHECK(s.value == 6);
  CHECK(s.weight == 350);
  CHECK(s.bound == s.value);
  CHECK(s.optimal);
}

TEST_CASE("choose equals trying every combination, and takes the least weight of equal values",
          "[allocate][solver][oracle]") {
  for (std::uint64_t seed = 5000; seed < 5500; ++seed) {
    const cost_table t = tables::random(seed);
    const auto [least, most] = tables::range(t);
    for (const std::size_t limit : {least, (3 * least + most) / 4, (least + most) / 2, most}) {
      const solver::selection s = solver::choose(program(t, limit));
      const tables::optimum best = tables::exhaustive(t, limit);
      CAPTURE(seed, limit);
      REQUIRE(s.optimal);
      REQUIRE(s.value == best.cost);
      REQUIRE(s.weight == static_cast<double>(best.bytes));
    }
  }
}

TEST_CASE("choose: values and weights may change places", "[allocate][solver][oracle]") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const cost_table t = tables::random(seed);
    const auto [least, most] = tables::range(t);
    const double cost = tables::exhaustive(t, (least + most) / 2).cost;
    const solver::selection s = solver::choose(
        solver::choice_problem<std::size_t, double>{t.units.size(), t.entries.size(), t.bytes, t.costs, cost});
    CAPTURE(seed);
    CHECK(s.value == static_cast<double>(tables::exhaustive(t, 0, cost).fewest));
    CHECK(s.weight <= cost);
  }
}

TEST_CASE("choose: limits of the search cost the proof, not the bound or the limit", "[allocate][solver][property]") {
  std::size_t unproven = 0;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const random_stream draw(seed, purpose("choose"));
    cost_table t = tables::by_hand({"a", "b", "c"}, std::vector<std::size_t>(30, 1), {}, {});
    for (std::size_t u = 0; u < 30; ++u) {
      const auto size = static_cast<std::size_t>(10000 + draw.below(2 * u, 90000));
      for (const std::size_t width : {2u, 3u, 5u}) {  // all gain almost equally per byte
        t.bytes.push_back(size * width);
        t.costs.push_back(-static_cast<double>(size * width) * (1 + 1e-3 * draw.uniform(1000 + 3 * u + width)));
      }
    }
    const std::size_t limit = (tables::range(t).first + tables::range(t).second) / 2;
    const solver::selection full = solver::choose(program(t, limit));
    const solver::selection cut = solver::choose(program(t, limit), {.states = 2, .examined = 64});
    CAPTURE(seed);
    CHECK(cut.weight <= static_cast<double>(limit));
    CHECK(cut.value >= full.bound);
    CHECK(cut.bound <= full.value);
    unproven += cut.optimal ? 0u : 1u;
  }
  CHECK(unproven > 0);
}

TEST_CASE("choose: no units, and a limit that only the lightest entries meet", "[allocate][solver][worked-example]") {
  const cost_table none = tables::by_hand({"a"}, {}, {}, {});
  CHECK(solver::choose(program(none, 0)).optimal);
  CHECK(solver::choose(program(none, 0)).entries.empty());
  const cost_table t = tables::tiny();
  const solver::selection s = solver::choose(program(t, 175));
  CHECK(s.entries == std::vector<std::uint32_t>{0, 0, 0});
  CHECK(s.optimal);
}
