#include <engine/model/recurrence.hpp>

#include "catch.hpp"

#include <cstddef>
#include <vector>

TEST_CASE("every step is visited backwards with the state before it", "[engine][recurrence]") {
  for (std::size_t steps = 0; steps < 40; ++steps) {
    std::vector<std::vector<float>> before;
    std::vector<float> state(3, 0.f);
    const auto advance = [](std::size_t t, float* s) {
      for (std::size_t i = 0; i < 3; ++i) s[i] = s[i] * 0.5f + static_cast<float>(t * 3 + i + 1);
    };
    for (std::size_t t = 0; t < steps; ++t) {
      before.push_back(state);
      advance(t, state.data());
    }
    std::size_t next = steps, computed = 0;
    engine::walk_back(
        steps, 3,
        [&](std::size_t t, float* s) {
          advance(t, s);
          ++computed;
        },
        [&](std::size_t t, const float* s) {
          REQUIRE(t + 1 == next);
          next = t;
          CHECK(std::vector<float>(s, s + 3) == before[t]);
        });
    CHECK(next == 0);
    CHECK(computed <= 2 * steps);
  }
}
