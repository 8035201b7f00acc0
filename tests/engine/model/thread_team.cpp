#include <engine/model/thread_team.hpp>

#include "catch.hpp"
#include "no_threads.hpp"

#include <atomic>
#include <cstddef>
#include <vector>

TEST_CASE("a team runs every piece once, call after call", "[engine][thread_team][property]") {
  engine::thread_team team(GENERATE(1u, 2u, 5u));
  CHECK(team.refused() == 0);
  for (int call = 0; call < 20; ++call) {
    std::vector<std::atomic<int>> runs(17);
    team.run(runs.size(), [&](std::size_t i) { ++runs[i]; });
    for (const std::atomic<int>& r : runs) REQUIRE(r == 1);
  }
}

#ifdef PRECIS_CAN_REFUSE_THREADS
TEST_CASE("a team does without threads that the system refuses, and ends", "[engine][thread_team][property]") {
  const test::no_threads refused;
  engine::thread_team team(4);
  CHECK(team.size() == 1);
  CHECK(team.refused() == 3);
  std::size_t sum = 0;
  team.run(5, [&](std::size_t i) { sum += i; });
  CHECK(sum == 10);
}
#endif
