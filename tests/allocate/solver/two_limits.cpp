#include <precis/allocate/knapsack.hpp>
#include <precis/allocate/solver/two_limits.hpp>

#include "allocate/timed_tables.hpp"
#include "catch.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

using namespace precis;

TEST_CASE("choose_within_both @post: the choice keeps both limits, and no feasible choice has a value below the bound",
          "[allocate][solver][property]") {
  std::size_t solved = 0, optimal = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    const cost_table t = tables::random_timed(seed);
    const auto bytes = tables::range(t), time = tables::time_range(t);
    for (const std::size_t part : {1u, 2u, 3u}) {
      const std::size_t most_bytes = bytes.first + (bytes.second - bytes.first) * part / 4;
      const std::size_t most_time = time.first + (time.second - time.first) * part / 4;
      const double best = tables::least_cost(t, most_bytes, most_time);
      const allocate::knapsack both{.budget = at_most_bytes(most_bytes),
                                    .also = at_most_nanoseconds(static_cast<double>(most_time))};
      if (best == not_admitted) {
        CHECK_THROWS_AS(both.solve(t), error);
        continue;
      }
      const allocate::solution s = both.solve(t);
      CHECK(s.bytes <= most_bytes);
      CHECK(s.nanoseconds <= most_time);
      CHECK(s.cost >= best);
      CHECK(s.bound <= best + 1e-9 * std::abs(best));
      if (s.optimal) CHECK(s.cost == best);
      ++solved;
      optimal += s.cost == best ? 1 : 0;
    }
  }
  CHECK(solved > 300);
  CHECK(optimal > solved * 3 / 4);  // not promised, but a heuristic that seldom finds the optimum is of no use
}
