#include <precis/measure/call_time.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <chrono>
#include <cstddef>

using namespace precis;
using measure::call_time;

namespace {

/// A clock that only the calls advance, so that the test does not depend on the machine.
struct by_hand {
  static inline std::chrono::nanoseconds passed{0};
  [[nodiscard]] static std::chrono::time_point<std::chrono::steady_clock> now() {
    return std::chrono::time_point<std::chrono::steady_clock>(passed);
  }
};

}  // namespace

TEST_CASE("the time of a call is that of the fastest round", "[measure][call_time][worked-example]") {
  std::size_t calls = 0;
  // 100 ns each; the first call takes a page fault of 5 us, and every third one waits for another program.
  const double ns = call_time{.rounds = 6, .round_nanoseconds = 150}.operator()<by_hand>([&](std::size_t i) {
    CHECK(i == calls++);
    by_hand::passed += std::chrono::nanoseconds(i == 0 ? 5000 : i % 3 == 0 ? 400 : 100);
  });
  CHECK(ns == 100);
  CHECK(calls == 8);  // the first one, one trial, and six rounds of one call
}

TEST_CASE("rounds are as long as asked for", "[measure][call_time][worked-example]") {
  std::size_t calls = 0;
  const double ns = call_time{.rounds = 2, .round_nanoseconds = 1000}.operator()<by_hand>([&](std::size_t) {
    ++calls;
    by_hand::passed += std::chrono::nanoseconds(10);
  });
  CHECK(ns == 10);
  // The first one; trials of 1, 2, 4, 8, 16, 32 and 64 calls, of which the last takes at least half of a round; 2 x 64.
  CHECK(calls == 1 + 127 + 128);
}

TEST_CASE("no rounds, and rounds of no duration, are refused", "[measure][call_time][refusal]") {
  const auto nothing = [](std::size_t) {};
  CHECK_THAT(refusal([&] { (void)call_time{.rounds = 0}(nothing); }), ContainsSubstring("0 rounds"));
  CHECK_THAT(refusal([&] { (void)call_time{.round_nanoseconds = 0}(nothing); }),
             ContainsSubstring("at least one round of a positive duration"));
}
