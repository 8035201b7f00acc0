#include <precis/core/clock.hpp>

#include "catch.hpp"

TEST_CASE("core/clock declares a monotonic clock and durations", "[core][clock][property]") {
  using std::chrono::steady_clock;
  const steady_clock::time_point start = steady_clock::now();
  const std::chrono::duration<double, std::nano> passed = steady_clock::now() - start;
  CHECK(passed.count() >= 0);
  CHECK(std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::milliseconds(3)).count() == 3000);
  static_assert(steady_clock::is_steady);
}
