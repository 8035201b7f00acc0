// Products of packed matrices and vectors, compared with their limits: reading the same number of bytes (out of cache,
// or from the cache that holds the matrix) and the processor's integer dot products, interleaved in one run. Counters
// are medians of the ratios within one round.
//
//     bench_kernel_matvec                            all
//     bench_kernel_matvec --benchmark_filter=memory  out of cache
//
// Counters: gweights (10^9 weights per second), gbytes (10^9 packed bytes per second), of_read (relative to reading the
// same bytes), of_dot (relative to the dot products; with floats of_fma, relative to the multiply-adds), for one
// thread, or for each of two threads that take half of the rows. The time includes preparing the vector. undisturbed:
// the fraction of rounds in which no other hardware thread was active on the core.

#include <precis/kernel/dense_product.hpp>
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

/// Bytes that start at a 2 MiB page, as an engine would map its weights.
class pages {
 public:
  explicit pages(std::size_t count, std::byte set = {})
      : size_(count), data_(static_cast<std::byte*>(::operator new(count, std::align_val_t{std::size_t{1} << 21}))) {
    for (std::size_t i = 0; i < count; ++i) data_[i] = set | static_cast<std::byte>((i * 2654435761u >> 13) & 0x3Fu);
  }
  pages(const pages&) = delete;
  pages& operator=(const pages&) = delete;
  ~pages() { ::operator delete(data_, std::align_val_t{std::size_t{1} << 21}); }
  [[nodiscard]] const std::byte* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  std::size_t size_;
  std::byte* data_;
};

struct subject {
  grid_format format;
  std::size_t out;
  std::size_t in;
};

/// y = W x on `threads` threads with equal numbers of rows, repeated until about 30 million weights are read:
/// multiply(y, rows). For comparison, all threads also read the bytes that they multiply.
template<class F>
void rates(benchmark::State& state, const pages& matrix, std::size_t out, std::size_t in, std::size_t threads,
           F&& multiply) {
  std::vector<float> y(out);
  const double weights = static_cast<double>(out * in);
  const int repeats = static_cast<int>(1 + 3e7 / weights);
  const std::size_t each = (out / threads + tile_rows - 1) / tile_rows * tile_rows;
  std::vector<double> rate, of_read, of_dot, quiet;
  for (auto _ : state) {
    quiet.push_back(yardstick::undisturbed());
    const double time = yardstick::seconds(threads, [&](std::size_t t) {
      for (int i = 0; i < repeats; ++i) multiply(std::span(y), row_range{t * each, (t + 1) * each});
      benchmark::DoNotOptimize(y.data());
    });
    const double read = yardstick::seconds(threads, [&](std::size_t t) {
      const std::size_t size = matrix.size() / threads;
      for (int i = 0; i < repeats; ++i) yardstick::read(matrix.data() + t * size, size);
    });
    rate.push_back(weights * repeats / time);
    of_read.push_back(read / time);
    of_dot.push_back(rate.back() / static_cast<double>(threads) / yardstick::dot_peak());
    state.SetIterationTime(time / repeats);
  }
  state.counters["gweights"] = 1e-9 * yardstick::median(rate);
  state.counters["gbytes"] = 1e-9 * yardstick::median(rate) * static_cast<double>(matrix.size()) / weights;
  state.counters["of_read"] = yardstick::median(of_read);
  state.counters["of_dot"] = yardstick::median(of_dot);
  state.counters["undisturbed"] = yardstick::mean(quiet);
}

template<bool Bytes>
void matvec_rate(benchmark::State& state, subject s, std::size_t threads) {
  const pages packed(s.format.layout_of(s.out, s.in).bytes);
  const packed_grid m{s.format, packed.data(), s.out, s.in};
  const std::size_t segment = segment_of(s.format, s.in);
  std::vector<float> x(s.in);
  for (std::size_t i = 0; i < s.in; ++i) x[i] = static_cast<float>(i % 17) - 8.f;
  rates(state, packed, s.out, s.in, threads, [&](std::span<float> y, row_range rows) {
    thread_local std::vector<float> workspace;
    workspace.resize(float_activation_workspace(s.in, segment) + byte_activation_workspace(s.in, segment));
    if constexpr (Bytes)
      matvec(m, as_bytes(x, segment, workspace), y, rows);
    else
      matvec(m, as_floats(x, segment, workspace), y, rows);
  });
}

void dense_rate(benchmark::State& state, dense_type type, std::size_t out, std::size_t in, std::size_t threads) {
  const pages bytes(out * in * bytes_of(type), std::byte{0x20});  // no subnormal numbers, which are slower
  const std::vector<float> x(in, 0.5f);
  rates(state, bytes, out, in, threads,
        [&](std::span<float> y, row_range rows) { matvec(dense_matrix{type, bytes.data(), out, in}, x, y, rows); });
}

/// Y = W X for 32 vectors.
void product_rate(benchmark::State& state, subject s) {
  constexpr std::size_t vectors = 32;
  const pages packed(s.format.layout_of(s.out, s.in).bytes);
  const packed_grid m{s.format, packed.data(), s.out, s.in};
  const std::size_t segment = segment_of(s.format, s.in), vector_workspace = byte_activation_workspace(s.in, segment);
  std::vector<float> x(s.in), y(s.out * vectors), workspace(vector_workspace * vectors);
  std::vector<float> gathered(packed_product_workspace(s.in, segment));
  std::vector<byte_activations> all;
  for (std::size_t i = 0; i < s.in; ++i) x[i] = static_cast<float>(i % 17) - 8.f;
  for (std::size_t n = 0; n < vectors; ++n)
    all.push_back(as_bytes(x, segment, std::span(workspace).subspan(n * vector_workspace, vector_workspace)));
  const double products = static_cast<double>(s.out * s.in * vectors);
  std::vector<double> rate, of_dot, quiet;
  for (auto _ : state) {
    quiet.push_back(yardstick::undisturbed());
    const double time =
        yardstick::seconds([&] { packed_product(m, all, y, static_cast<std::ptrdiff_t>(s.out), gathered); });
    benchmark::DoNotOptimize(y.data());
    rate.push_back(products / time);
    of_dot.push_back(rate.back() / yardstick::dot_peak());
    state.SetIterationTime(time);
  }
  state.counters["gflops"] = 2e-9 * yardstick::median(rate);
  state.counters["of_dot"] = yardstick::median(of_dot);
  state.counters["undisturbed"] = yardstick::mean(quiet);
}

/// The same for dense matrices.
void dense_product_rate(benchmark::State& state, dense_type type) {
  constexpr std::size_t vectors = 32, in = 4096, out = 4096;
  const pages bytes(out * in * bytes_of(type), std::byte{0x20});
  std::vector<float> x(vectors * in, 0.5f), y(vectors * out), workspace(dense_product_workspace(in));
  std::vector<double> rate, of_fma, quiet;
  for (auto _ : state) {
    quiet.push_back(yardstick::undisturbed());
    const double time = yardstick::seconds(
        [&] { dense_product({type, bytes.data(), out, in}, {x.data(), vectors, in, in, 1}, y, out, workspace); });
    benchmark::DoNotOptimize(y.data());
    rate.push_back(2.0 * vectors * in * out / time);
    of_fma.push_back(rate.back() / yardstick::fma_peak());
    state.SetIterationTime(time);
  }
  state.counters["gflops"] = 1e-9 * yardstick::median(rate);
  state.counters["of_fma"] = yardstick::median(of_fma);
  state.counters["undisturbed"] = yardstick::mean(quiet);
}

[[maybe_unused]] const bool registered = [] {
  const auto add = [](const std::string& name, auto&& run) {
    benchmark::RegisterBenchmark(name.c_str(), run)->UseManualTime()->Iterations(15)->Unit(benchmark::kMicrosecond);
  };
  struct place {
    const char* name;
    std::size_t out, in;
  };
  const place memory[] = {{"memory", 32768, 4096}, {"memory", 12192, 11008}};
  const auto add_grid = [&](place p, unsigned bits, std::size_t group, std::size_t threads) {
    const subject s{
        {.rule = grid_rule::symmetric_full, .code_bits = bits, .group = group, .scales = scale_type::float16},
        p.out,
        p.in};
    const std::string name = std::string(p.name) + "/" + std::to_string(p.in) + "/" + std::to_string(bits) + "bits.g" +
                             std::to_string(group) + "/" + std::to_string(threads) + "T";
    add("matvec/bytes/" + name, [=](benchmark::State& state) { matvec_rate<true>(state, s, threads); });
    add("matvec/floats/" + name, [=](benchmark::State& state) { matvec_rate<false>(state, s, threads); });
  };
  for (const std::size_t group : {std::size_t{32}, std::size_t{64}, std::size_t{128}})
    for (const place p : {place{"L2", 192, 4096}, place{"L3", 2048, 4096}}) add_grid(p, 4, group, 1);
  for (const std::size_t threads : {std::size_t{1}, std::size_t{2}})
    for (const place& p : memory) {
      for (const unsigned bits : {2u, 3u, 4u, 5u, 6u, 8u})
        for (const std::size_t group : {std::size_t{32}, std::size_t{64}}) add_grid(p, bits, group, threads);
      for (const dense_type type : {dense_type::float16, dense_type::bfloat16})
        add(std::string("matvec/") + (type == dense_type::float16 ? "float16" : "bfloat16") + "/memory/" +
                std::to_string(p.in) + "/" + std::to_string(threads) + "T",
            [=](benchmark::State& state) { dense_rate(state, type, p.out, p.in, threads); });
    }
  for (const dense_type type : {dense_type::float32, dense_type::float16})
    add(type == dense_type::float32 ? "product/32/float32" : "product/32/float16",
        [=](benchmark::State& state) { dense_product_rate(state, type); });
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
