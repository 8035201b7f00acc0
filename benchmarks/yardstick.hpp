#pragma once

#include <precis/kernel/lanes.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <ctime>
#include <vector>

/// What every benchmark measures beside its subject, in the same run: machines and minutes differ, ratios less.
namespace yardstick {

/// Seconds of processor time that f() takes on this thread: what other jobs on the machine take does not count.
template<class F>
[[nodiscard]] double seconds(F&& f) {
  const auto now = [] {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  };
  const double start = now();
  f();
  return now() - start;
}

[[nodiscard]] inline double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Floating-point operations a second of ten independent chains of fused multiply-adds in registers: the most this
/// processor does in float, on one core, at this moment. About two milliseconds.
[[nodiscard]] inline double fma_peak() {
  using lanes = precis::kernel::native_lanes;
  constexpr int steps = 200'000;
  const float small[lanes::width] = {1e-9f};
  auto a = lanes::load(small), b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a;
  const auto factor = a;
  const double time = seconds([&] {
    for (int step = 0; step < steps; ++step) {
      for (auto* x : {&a, &b, &c, &d, &e, &f, &g, &h, &i, &j}) *x = lanes::fma(*x, factor, *x);
      benchmark::DoNotOptimize(step);
    }
  });
  float sink[lanes::width];
  for (const auto* x : {&a, &b, &c, &d, &e, &f, &g, &h, &i, &j}) {
    lanes::store(sink, *x);
    benchmark::DoNotOptimize(sink);
  }
  return 2.0 * 10 * lanes::width * steps / time;
}

}  // namespace yardstick
