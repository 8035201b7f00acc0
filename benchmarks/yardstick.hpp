#pragma once

#include <precis/kernel/lanes.hpp>
#include <precis/kernel/product.hpp>

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
  using precis::kernel::detail::unrolled;
  constexpr std::size_t chains = 10, steps = 200'000;
  float values[(chains + 1) * lanes::width];
  for (std::size_t i = 0; i < (chains + 1) * lanes::width; ++i) values[i] = 1e-9f * static_cast<float>(i + 1);
  benchmark::DoNotOptimize(values);
  const double time = seconds([&] {
    typename lanes::vector sum[chains];
    unrolled<chains>([&](auto c) { sum[c] = lanes::load(values + c * lanes::width); });
    const typename lanes::vector factor = lanes::load(values + chains * lanes::width);
    for (std::size_t step = 0; step < steps; ++step)
      unrolled<chains>([&](auto c) { sum[c] = lanes::fma(sum[c], factor, sum[c]); });
    unrolled<chains>([&](auto c) { lanes::store(values + c * lanes::width, sum[c]); });
  });
  benchmark::DoNotOptimize(values);
  return 2.0 * chains * lanes::width * steps / time;
}

}  // namespace yardstick
