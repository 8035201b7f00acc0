#pragma once

#include <precis/kernel/constants.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/lanes.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <thread>
#include <vector>

/// Reference measurements that benchmarks take in the same run as their subject: ratios vary less between machines and
/// over time than times do.
namespace yardstick {

/// Seconds of processor time that f() takes on this thread. Time spent in other processes does not count.
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

/// Runs f(0), ..., f(threads - 1) concurrently, one per thread, and returns the seconds of the slowest.
template<class F>
[[nodiscard]] double seconds(std::size_t threads, F&& f) {
  std::vector<double> took(threads);
  std::vector<std::thread> others;
  for (std::size_t t = 1; t < threads; ++t) others.emplace_back([&, t] { took[t] = seconds([&] { f(t); }); });
  took[0] = seconds([&] { f(std::size_t{0}); });
  for (std::thread& other : others) other.join();
  return *std::max_element(took.begin(), took.end());
}

[[nodiscard]] inline double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Seconds of `steps` steps of ten independent chains of fused multiply-adds in registers. If Beside, each step has
/// seven additional instructions, which a core that issues four instructions per cycle executes at no cost.
template<bool Beside>
[[nodiscard]] double fma_seconds(std::size_t steps) {
  using lanes = precis::kernel::native_lanes;
  using precis::kernel::for_constants;
  constexpr std::size_t chains = 10;
  float values[(chains + 1) * lanes::width];
  for (std::size_t i = 0; i < (chains + 1) * lanes::width; ++i) values[i] = 1e-9f * static_cast<float>(i + 1);
  benchmark::DoNotOptimize(values);
  const double time = seconds([&] {
    typename lanes::vector sum[chains];
    for_constants<chains>([&](auto c) { sum[c] = lanes::load(values + c * lanes::width); });
    const typename lanes::vector factor = lanes::load(values + chains * lanes::width);
    for (std::size_t step = 0; step < steps; ++step)
      for_constants<chains>([&](auto c) {
        sum[c] = lanes::fma(sum[c], factor, sum[c]);
        if constexpr (Beside && c < 7) asm volatile("nop");
      });
    for_constants<chains>([&](auto c) { lanes::store(values + c * lanes::width, sum[c]); });
  });
  benchmark::DoNotOptimize(values);
  return time;
}

/// Peak floating-point operations per second of one core at this moment, in float multiply-adds. Takes about two
/// milliseconds.
[[nodiscard]] inline double fma_peak() {
  constexpr std::size_t steps = 200'000;
  return 2.0 * 10 * precis::kernel::native_lanes::width * steps / fma_seconds<false>(steps);
}

/// Waits at most half a second until no other hardware thread is active on this core, and returns 1 if so. The other
/// hardware thread, often of another virtual machine, takes issue slots: multiply-adds alone keep their speed, but
/// additional instructions slow them down.
[[nodiscard]] inline double undisturbed() {
  constexpr std::size_t steps = 20'000;
  for (int attempt = 0; attempt < 100; ++attempt) {
    const double alone = fma_seconds<false>(steps), beside = fma_seconds<true>(steps),
                 again = fma_seconds<false>(steps);
    const auto as_long = [alone](double t) { return t > 0.98 * alone && t < 1.02 * alone; };
    if (as_long(beside) && as_long(again)) return 1;
    std::this_thread::sleep_for(std::chrono::milliseconds(4));
  }
  return 0;
}

[[nodiscard]] inline double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

/// Reads `size` bytes from p on, eight vectors at a time, each into a separate register.
inline void read(const std::byte* p, std::size_t size) {
  using code = precis::kernel::native_code_lanes;
  using precis::kernel::for_constants;
  constexpr std::size_t width = code::rows * 4, step = 8 * width;
  constexpr std::uint32_t ones = 0x0101'0101u;
  typename code::words sum[8];
  for_constants<8>([&](auto i) PRECIS_INLINE_LAMBDA { sum[i] = code::load(p); });
  for (const std::byte* const end = p + size / step * step; p != end; p += step)
    for_constants<8>([&](auto i) PRECIS_INLINE_LAMBDA {
      sum[i] = code::template merge<0, ones>(sum[i], code::load(p + i * width));
    });
  typename code::words result = sum[0];
  for_constants<7>([&](auto i)
                       PRECIS_INLINE_LAMBDA { result = code::template merge<0, ones << 1>(result, sum[i + 1]); });
  benchmark::DoNotOptimize(result);
}

/// Ten chains of dot products, each of which stays in a register.
template<class Code, class Factors>
[[gnu::noinline]] typename Code::words dots(typename Code::words w, Factors f, std::size_t steps) {
  using precis::kernel::quad;
  typename Code::template products<4> a, b, c, d, e;  // two chains each
  for (std::size_t i = 0; i < steps; ++i) {
    a.add(quad<0>{}, w, f), a.add(quad<1>{}, w, f), b.add(quad<0>{}, w, f), b.add(quad<1>{}, w, f);
    c.add(quad<0>{}, w, f), c.add(quad<1>{}, w, f), d.add(quad<0>{}, w, f), d.add(quad<1>{}, w, f);
    e.add(quad<0>{}, w, f), e.add(quad<1>{}, w, f);
  }
  a.end_block(), b.end_block(), c.end_block(), d.end_block(), e.end_block();
  constexpr std::uint32_t ones = 0x0101'0101u;  // no pointers to the sums: g++ would keep them in memory
  const auto ab = Code::template merge<0, ones>(a.sum(), b.sum());
  const auto cd = Code::template merge<0, ones << 1>(c.sum(), d.sum());
  return Code::template merge<0, ones << 2>(Code::template merge<0, ones << 3>(ab, cd), e.sum());
}

/// Products of a code and a byte per second, in registers.
[[nodiscard]] inline double dot_peak() {
  using code = precis::kernel::native_code_lanes;
  constexpr std::size_t steps = 100'000, chains = 10;
  const std::vector<std::byte> bytes(code::rows * 4, std::byte{3});
  const std::int8_t x[4] = {1, 2, 3, 4};
  auto result = code::load(bytes.data());
  const double time = seconds([&] { result = dots<code>(result, code::broadcast_quad(x), steps); });
  benchmark::DoNotOptimize(result);
  return static_cast<double>(chains * steps * code::rows * 4) / time;
}

}  // namespace yardstick
