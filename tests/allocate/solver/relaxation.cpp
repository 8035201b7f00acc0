#include <precis/allocate/solver/relaxation.hpp>

#include <precis/core/cost_table.hpp>

#include "allocate/tables.hpp"
#include "catch.hpp"

#include <algorithm>
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

TEST_CASE("hulls: dominated entries and entries above the hull are left out", "[allocate][solver][worked-example]") {
  // (10, 9), (20, 8), (30, 3), (40, 4), (50, 1): the second lies above the line from the first to the third, the fourth
  // is dominated by the third. Slopes are 6 / 20 and 2 / 20.
  const cost_table t = tables::by_hand({"a", "b", "c", "d", "e"}, {8}, {10, 20, 30, 40, 50}, {9, 8, 3, 4, 1});
  const solver::hulls h(program(t, 100));
  CHECK(h.units() == 1);
  CHECK(h.entry == std::vector<std::uint32_t>{0, 2, 4});
  CHECK(h.slope == std::vector<double>{6.0 / 20, 2.0 / 20, 0});
  CHECK_FALSE(h.is_last(1, 0));
  CHECK(h.is_last(2, 0));
}

TEST_CASE("hulls: of two equal points the lower entry is kept", "[allocate][solver][worked-example]") {
  const cost_table t = tables::by_hand({"a", "b", "c"}, {8}, {10, 10, 10}, {5, 4, 4});
  CHECK(solver::hulls(program(t, 10)).entry == std::vector<std::uint32_t>{1});
}

TEST_CASE("hulls contain the best entry for every price", "[allocate][solver][oracle]") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const cost_table t = tables::random(seed, 5, 6);
    const auto p = program(t, 0);
    const solver::hulls h(p);
    for (std::size_t u = 0; u < p.units; ++u) {
      REQUIRE(h.first[u] < h.first[u + 1]);
      for (std::size_t i = h.first[u]; i + 1 < h.first[u + 1]; ++i) {
        CHECK(p.weight(u, h.entry[i]) < p.weight(u, h.entry[i + 1]));
        CHECK(p.value(u, h.entry[i]) > p.value(u, h.entry[i + 1]));
        CHECK(h.slope[i] > h.slope[i + 1]);
      }
      for (const double price : {0.0, 0.03125, 0.125, 0.5, 2.0, 64.0}) {  // products are exact
        double best = std::numeric_limits<double>::infinity(), on_hull = best;
        for (std::size_t e = 0; e < p.entries; ++e)
          if (p.admits(u, e)) best = std::min(best, p.value(u, e) + price * p.weight(u, e));
        for (std::size_t i = h.first[u]; i < h.first[u + 1]; ++i)
          on_hull = std::min(on_hull, p.value(u, h.entry[i]) + price * p.weight(u, h.entry[i]));
        CHECK(on_hull == best);
      }
    }
  }
}

TEST_CASE("relax: the price and the points of the small example", "[allocate][solver][worked-example]") {
  // Steps in bytes and gain per byte: 25: 0.28, 50: 0.036; 50: 0.13, 100: 0.013; 100: 0.035, 200: 0.011. Above the
  // lightest entries there are 175 bytes: 25 + 50 + 50 fit, the next 100 do not, so the price is 0.035 and 50 bytes are
  // left.
  const cost_table t = tables::tiny();
  const auto p = program(t, 350);
  const solver::hulls h(p);
  const solver::relaxation r = solver::relax(p, h);
  CHECK(r.price == 3.5 / 100);
  CHECK(r.room == 50);
  CHECK(r.points == std::vector<std::uint32_t>{2, 4, 6});  // entries 2, 1 and 0
}

TEST_CASE("relax: a limit that does not bind has price 0", "[allocate][solver][worked-example]") {
  const cost_table t = tables::tiny();
  const auto p = program(t, 1000);
  const solver::hulls h(p);
  const solver::relaxation r = solver::relax(p, h);
  CHECK(r.price == 0);
  CHECK(r.room == 300);
  CHECK(r.points == std::vector<std::uint32_t>{2, 5, 8});
}

TEST_CASE("relax: no choice within the limit is below value - price * room", "[allocate][solver][oracle]") {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const cost_table t = tables::random(seed);
    const auto [least, most] = tables::range(t);
    for (const std::size_t limit : {least, (2 * least + most) / 3, (least + most) / 2, most}) {
      const auto p = program(t, limit);
      const solver::hulls h(p);
      const solver::relaxation r = solver::relax(p, h);
      double value = 0, weight = 0;
      for (std::size_t u = 0; u < p.units; ++u) {
        value += p.value(u, h.entry[r.points[u]]);
        weight += p.weight(u, h.entry[r.points[u]]);
        CHECK(h.slope[r.points[u]] <= r.price);
        if (r.points[u] > h.first[u]) CHECK(h.slope[r.points[u] - 1] > r.price);
      }
      CAPTURE(seed, limit);
      CHECK(r.room == static_cast<double>(limit) - weight);
      CHECK(r.room >= 0);
      const double best = tables::exhaustive(t, limit).cost;
      CHECK(value >= best);
      CHECK(value - r.price * r.room <= best + 1e-12);  // the price is a rounded quotient of numbers below 500
    }
  }
}
