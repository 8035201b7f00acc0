// Packed matrices times vectors, beside what bounds them: reading as many bytes (out of cache, and from where the matrix
// is in it) and the processor's integer dot products, all interleaved in one run. Medians of ratios within one round.
//
//     bench_kernel_matvec                            all
//     bench_kernel_matvec --benchmark_filter=memory  out of cache
//
// Counters: gweights (10^9 weights a second), gbytes (packed, a second), of_read (of the paired read of the same bytes), of_dot
// (of the paired dot products), for one thread. Making the activations is part of the time.

#include <precis/kernel/packed_product.hpp>

#include "yardstick.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <vector>

namespace {

using namespace precis::kernel;
using code = native_code_lanes;

/// Bytes that start at a page of 2 MiB, as an engine would map its weights.
class pages {
 public:
  explicit pages(std::size_t count)
      : size_(count), data_(static_cast<std::byte*>(::operator new (count, std::align_val_t{std::size_t{1} << 21}))) {
    for (std::size_t i = 0; i < count; ++i) data_[i] = static_cast<std::byte>((i * 2654435761u >> 13) & 0x3Fu);
  }
  pages(const pages&) = delete;
  pages& operator=(const pages&) = delete;
  ~pages() { ::operator delete (data_, std::align_val_t{std::size_t{1} << 21}); }
  [[nodiscard]] const std::byte* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  std::size_t size_;
  std::byte* data_;
};

/// Seconds that reading all of p takes: eight vectors at a time, each in a register of its own.
double read_seconds(const pages& p) {
  using words = code::words;
  constexpr std::size_t width = code::rows * 4, step = 8 * width;
  words result = code::load(p.data());
  const double time = yardstick::seconds([&] {
    words sum[8];
    detail::for_constants<8>([&](auto i) __attribute__((always_inline)) { sum[i] = code::load(p.data()); });
    for (const std::byte *at = p.data(), *end = at + p.size() / step * step; at != end; at += step)
      detail::for_constants<8>([&](auto i) __attribute__((always_inline)) {
        sum[i] = code::template merge<0, 0x0101'0101u>(sum[i], code::load(at + i * width));
      });
    detail::for_constants<8>([&](auto i) __attribute__((always_inline)) {
      result = code::template merge<0, 0x0101'0101u>(result, sum[i]);
    });
  });
  benchmark::DoNotOptimize(result);
  return time;
}

using factors = decltype(code::four(nullptr));
constexpr std::size_t dot_steps = 100'000, dot_chains = 10;

/// Ten chains of dot products, each in a register from beginning to end.
[[gnu::noinline]] code::words dots(code::words w, factors f) {
  code::products<4> a, b, c, d, e;  // of two chains each
  for (std::size_t i = 0; i < dot_steps; ++i) {
    a.add(quad<0>{}, w, f), a.add(quad<1>{}, w, f), b.add(quad<0>{}, w, f), b.add(quad<1>{}, w, f);
    c.add(quad<0>{}, w, f), c.add(quad<1>{}, w, f), d.add(quad<0>{}, w, f), d.add(quad<1>{}, w, f);
    e.add(quad<0>{}, w, f), e.add(quad<1>{}, w, f);
  }
  a.end_block(), b.end_block(), c.end_block(), d.end_block(), e.end_block();
  constexpr std::uint32_t ones = 0x0101'0101u;  // no pointers to the sums: g++ would keep them in memory
  const code::words ab = code::merge<0, ones>(a.sum(), b.sum()), cd = code::merge<0, ones>(c.sum(), d.sum());
  const code::words all = code::merge<0, ones>(code::merge<0, ones>(ab, cd), e.sum());
  return all;
}

/// Products of a code and a byte a second, in registers.
double dot_peak() {
  const std::vector<std::byte> bytes(code::rows * 4, std::byte{3});
  const std::int8_t x[4] = {1, 2, 3, 4};
  auto result = code::load(bytes.data());
  const double time = yardstick::seconds([&] { result = dots(result, code::four(x)); });
  benchmark::DoNotOptimize(result);
  return static_cast<double>(dot_chains * dot_steps * code::rows * 4) / time;
}

struct subject {
  grid_format format;
  std::size_t out;
  std::size_t in;
};

/// y = W x, repeated until about 30 million weights were read.
template<bool Bytes>
void matvec_rate(benchmark::State& state, subject s) {
  const pages packed(s.format.layout_of(s.out, s.in).bytes);
  const packed_grid m{s.format, packed.data(), s.out, s.in};
  const std::size_t segment = segment_of(s.format, s.in);
  std::vector<float> x(s.in), y(s.out);
  std::vector<float> workspace(float_activation_workspace(s.in, segment) + byte_activation_workspace(s.in, segment));
  for (std::size_t i = 0; i < s.in; ++i) x[i] = static_cast<float>(i % 17) - 8.f;
  const double weights = static_cast<double>(s.out * s.in);
  const int repeats = static_cast<int>(1 + 3e7 / weights);
  std::vector<double> rate, of_read, of_dot;
  for (auto _ : state) {
    const double time = yardstick::seconds([&] {
      for (int i = 0; i < repeats; ++i) {
        if constexpr (Bytes)
          matvec(m, as_bytes(x, segment, workspace), y);
        else
          matvec(m, as_floats(x, segment, workspace), y);
        benchmark::DoNotOptimize(y.data());
      }
    });
    double read = 0;
    for (int i = 0; i < repeats; ++i) read += read_seconds(packed);
    rate.push_back(weights * repeats / time);
    of_read.push_back(read / time);
    of_dot.push_back(rate.back() / dot_peak());
    state.SetIterationTime(time / repeats);
  }
  state.counters["gweights"] = 1e-9 * yardstick::median(rate);
  state.counters["gbytes"] = 1e-9 * yardstick::median(rate) * static_cast<double>(packed.size()) / weights;
  state.counters["of_read"] = yardstick::median(of_read);
  state.counters["of_dot"] = yardstick::median(of_dot);
}

/// Y = W X for 32 vectors.
void product_rate(benchmark::State& state, subject s) {
  constexpr std::size_t vectors = 32;
  const pages packed(s.format.layout_of(s.out, s.in).bytes);
  const packed_grid m{s.format, packed.data(), s.out, s.in};
  const std::size_t segment = segment_of(s.format, s.in), room = byte_activation_workspace(s.in, segment);
  std::vector<float> x(s.in), y(s.out * vectors), workspace(room * vectors);
  std::vector<float> gathered(packed_product_workspace(s.in, segment));
  std::vector<byte_activations> all;
  for (std::size_t i = 0; i < s.in; ++i) x[i] = static_cast<float>(i % 17) - 8.f;
  for (std::size_t n = 0; n < vectors; ++n)
    all.push_back(as_bytes(x, segment, std::span(workspace).subspan(n * room, room)));
  const double products = static_cast<double>(s.out * s.in * vectors);
  std::vector<double> rate, of_dot;
  for (auto _ : state) {
    const double time =
        yardstick::seconds([&] { packed_product(m, all, y, static_cast<std::ptrdiff_t>(s.out), gathered); });
    benchmark::DoNotOptimize(y.data());
    rate.push_back(products / time);
    of_dot.push_back(rate.back() / dot_peak());
    state.SetIterationTime(time);
  }
  state.counters["gflops"] = 2e-9 * yardstick::median(rate);
  state.counters["of_dot"] = yardstick::median(of_dot);
}

[[maybe_unused]] const bool registered = [] {
  const auto add = [](const std::string& name, auto&& run) {
    benchmark::RegisterBenchmark(name.c_str(), run)->UseManualTime()->Iterations(15)->Unit(benchmark::kMicrosecond);
  };
  struct place {
    const char* name;
    std::size_t out, in;
  };
  for (const place p :
       {place{"L2", 192, 4096}, place{"L3", 2048, 4096}, place{"memory", 32768, 4096}, place{"memory", 12192, 11008}})
    for (const unsigned bits : {2u, 3u, 4u, 5u, 6u, 8u})
      for (const std::size_t group : {std::size_t{32}, std::size_t{128}}) {
        if (p.in != 4096 && bits != 4) continue;
        const subject s{
            {.rule = grid_rule::symmetric_full, .code_bits = bits, .group = group, .scales = scale_type::float16},
            p.out,
            p.in};
        const std::string name = std::string(p.name) + "/" + std::to_string(p.in) + "/" + std::to_string(bits) +
                                 "bits.g" + std::to_string(group);
        add("matvec/bytes/" + name, [s](benchmark::State& state) { matvec_rate<true>(state, s); });
        add("matvec/floats/" + name, [s](benchmark::State& state) { matvec_rate<false>(state, s); });
      }
  for (const unsigned bits : {4u, 8u})
    for (const std::size_t group : {std::size_t{32}, std::size_t{128}})
      add("product/32/" + std::to_string(bits) + "bits.g" + std::to_string(group), [=](benchmark::State& state) {
        product_rate(
            state,
            {{.rule = grid_rule::symmetric_full, .code_bits = bits, .group = group, .scales = scale_type::float16},
             4096,
             4096});
      });
  return true;
}();

}  // namespace
