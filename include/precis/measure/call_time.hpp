#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/clock.hpp>
#include <precis/core/error.hpp>

#include <cstddef>
#include <limits>
#include <string>

namespace precis::measure {

/// The time of one call: the fastest of several rounds of calls. Other work on the machine only adds to a round, so the
/// fastest one is the closest to the call's own time. The first call is not timed.
///
///     double ns = call_time{}([&](std::size_t i) { multiply(copies[i % copies.size()], x, y, workspace); });
///
/// Unit     nanoseconds of a monotonic clock, which depend on the machine and on what else it does: no two runs agree.
/// Errors   no rounds; rounds of no duration.
/// Cost     rounds x round_nanoseconds, or one call per round if that takes longer.
/// Source   none.
struct call_time {
  std::size_t rounds = 7;
  double round_nanoseconds = 1e6;  ///< a round has as many calls as fit, at least one

  bool operator==(const call_time&) const = default;

  /// Calls call(i) with i counting up from 0. `Clock` has a static member now(), like std::chrono::steady_clock.
  template<class Clock = std::chrono::steady_clock, class Call>
  [[nodiscard]] double operator()(Call&& call) const {
    if (rounds == 0 || !(round_nanoseconds > 0))
      refuse({.what = std::to_string(rounds) + " rounds of " + std::to_string(round_nanoseconds) + " ns",
              .where = "measure::call_time",
              .expected = "at least one round of a positive duration"});
    std::size_t made = 0;
    const auto time_of = [&](std::size_t calls) {
      const auto began = Clock::now();
      for (std::size_t i = 0; i < calls; ++i) call(made++);
      return std::chrono::duration<double, std::nano>(Clock::now() - began).count();
    };
    static_cast<void>(time_of(1));
    // The length of a round is estimated from growing trials, because a single call may be shorter than a tick.
    std::size_t calls = 1;
    double fastest = std::numeric_limits<double>::infinity();
    for (double spent = time_of(calls); spent < round_nanoseconds / 2; spent = time_of(calls)) {
      fastest = std::min(fastest, spent / static_cast<double>(calls));
      calls *= 2;
    }
    for (std::size_t r = 0; r < rounds; ++r) fastest = std::min(fastest, time_of(calls) / static_cast<double>(calls));
    return fastest;
  }
};

}  // namespace precis::measure
