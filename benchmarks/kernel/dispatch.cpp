// Run-time dispatch: products of 4096 x 4096 matrices by a translation unit that is compiled without -march=native, compared
// with one that has it and with a loop over floats, interleaved in one run.
//
// Counters are medians of ratios within one round: dispatch and baseline (the kernels without dispatch), relative to the
// native build's time; of_loop, the time of the dispatched product, and baseline_of_loop, that without dispatch, relative to
// the loop over floats.

#include <precis/kernel/multiply.hpp>

#include "dispatch/subjects.hpp"
#include "yardstick.hpp"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace {

namespace kernel = precis::kernel;
using subjects::format_of;
using subjects::product;
using formats = kernel::formats<format_of(2), format_of(3), format_of(4), format_of(8), format_of(32)>;

template<class Value>
void native(const product& p) {
  const kernel::packed_matrix m{format_of(p.bits), p.packed, p.out, p.in};
  const std::size_t input = kernel::input_workspace<Value>(1, p.in);
  kernel::input_vectors<Value> x({p.x.data(), 1, p.in, 0, 1}, p.workspace.first(input));
  kernel::multiply<formats>(m, x, {p.y.data(), 1, p.out, 0, 1}, p.workspace.subspan(input));
}

void ratios(benchmark::State& state, unsigned bits, bool bytes) {
  constexpr std::size_t n = 4096;
  std::vector<float> x(n), y(n), workspace(1 << 17), w(n * n);
  for (std::size_t i = 0; i < n; ++i) x[i] = 0.001f * static_cast<float>((i * 7919 + 31) % 2003) - 1.f;
  for (std::size_t i = 0; i < n * n; ++i) w[i] = static_cast<float>((i * 2654435761u >> 13) % 15) - 7.f;
  std::vector<std::byte> packed(bits == 32 ? 1 : format_of(bits).bytes(n, n));
  for (std::size_t i = 0; i < packed.size(); ++i) packed[i] = static_cast<std::byte>((i * 2654435761u >> 13) & 0x3Fu);
  const auto* const floats = reinterpret_cast<const std::byte*>(w.data());
  const product p{bits, bytes, bits == 32 ? floats : packed.data(), n, n, x, y, workspace};
  product loop = p;
  loop.packed = floats;

  const auto milliseconds = [](auto&& f, int repeats) {
    f();  // brings the matrix into the caches that hold it
    return 1e3 * yardstick::seconds([&] {
             for (int i = 0; i < repeats; ++i) f();
           }) /
           repeats;
  };
  std::vector<double> dispatch, baseline, of_loop, baseline_of_loop, times;
  for (auto _ : state) {
    const double as_native = milliseconds([&] { bytes ? native<std::int8_t>(p) : native<float>(p); }, 8);
    const double dispatched = milliseconds([&] { subjects::by_dispatch(p); }, 8);
    const double plain = milliseconds([&] { subjects::by_baseline(p); }, 1);
    const double of_floats = milliseconds([&] { subjects::by_float_loop(loop); }, 1);
    times.push_back(as_native);
    dispatch.push_back(dispatched / as_native);
    baseline.push_back(plain / as_native);
    of_loop.push_back(dispatched / of_floats);
    baseline_of_loop.push_back(plain / of_floats);
    state.SetIterationTime(1e-3 * dispatched);
  }
  state.SetLabel(subjects::level_name());
  state.counters["native_ms"] = yardstick::median(times);
  state.counters["dispatch"] = yardstick::median(dispatch);
  state.counters["baseline"] = yardstick::median(baseline);
  state.counters["of_loop"] = yardstick::median(of_loop);
  state.counters["baseline_of_loop"] = yardstick::median(baseline_of_loop);
}

[[maybe_unused]] const bool registered = [] {
  for (const bool bytes : {false, true})
    for (const unsigned bits : {2u, 3u, 4u, 8u, 32u}) {
      if (bytes && bits == 32) continue;
      const std::string name = std::string(bytes ? "bytes/" : "floats/") + std::to_string(bits) + "bits";
      benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { ratios(state, bits, bytes); })
          ->UseManualTime()
          ->Iterations(15)
          ->Unit(benchmark::kMicrosecond);
    }
  return true;
}();

}  // namespace
