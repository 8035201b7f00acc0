// How fast weights are encoded and decoded, beside the memory's own limit: a memcpy of as many bytes as the faster side
// of the codec moves (float32 in or out). Rates are bytes of float32 per second, one thread.
//
//     bench_codec_encode --benchmark_repetitions=5 --benchmark_report_aggregates_only

#include <precis/codec/standard_menu.hpp>
#include <precis/core/random.hpp>
#include <precis/fit/clip_search.hpp>

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

namespace {

using namespace precis;
using codec::standard;

constexpr std::size_t out = 1024,
                      in = 1024;  // 4 MiB of float32: a matrix of a small model, out of the second-level cache

const float_matrix& weights() {
  static const float_matrix w = [] {
    const random_stream random(1, purpose("benchmark"));
    float_matrix m(out, in);
    for (std::size_t i = 0; i < m.values.size(); ++i) m.values[i] = static_cast<float>(0.02 * random.normal(i));
    return m;
  }();
  return w;
}

void rate(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                          static_cast<std::int64_t>(out * in * sizeof(float)));
}

void copy_limit(benchmark::State& state) {
  float_matrix to(out, in);
  for (auto _ : state) {
    std::memcpy(to.values.data(), weights().values.data(), out * in * sizeof(float));
    benchmark::ClobberMemory();
  }
  rate(state);
}

void encode(benchmark::State& state, const std::string& name, bool transposed) {
  const std::size_t entry = standard::index_of(name);
  std::vector<std::byte> packed(standard::bytes(entry, out, in));
  const weight_view w = transposed ? weights().view().transposed() : weights().view();
  for (auto _ : state) {
    standard::encode(entry, w, packed);
    benchmark::ClobberMemory();
  }
  rate(state);
}

void decode(benchmark::State& state, const std::string& name, bool transposed) {
  const std::size_t entry = standard::index_of(name);
  std::vector<std::byte> packed(standard::bytes(entry, out, in));
  standard::encode(entry, weights().view(), packed);
  float_matrix into(out, in);
  const mutable_weight_view w = transposed ? into.view().transposed() : into.view();
  for (auto _ : state) {
    standard::decode(entry, packed, w);
    benchmark::ClobberMemory();
  }
  rate(state);
}

void clip_search(benchmark::State& state) {
  const auto format = standard::format(standard::index_of("affine4.g32"));
  const weight_view few = weights().view().row_range(0, 64);
  std::vector<std::byte> packed(format->layout_of(few.rows, few.cols).bytes);
  for (auto _ : state) {
    fit::clip_search{.power = 2}(*format, few, packed);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                          static_cast<std::int64_t>(few.size() * sizeof(float)));
}

[[maybe_unused]] const bool registered = [] {
  benchmark::RegisterBenchmark("memcpy", copy_limit);
  for (const char* name :
       {"affine2.row", "affine3.g32", "affine4.g32", "affine4.g128", "affine4.row", "affine8.row", "affine8.tensor",
        "symmetric4.g32", "affine16.row", "affine24.row", "min_anchored4.row", "float16", "bfloat16", "float32"}) {
    benchmark::RegisterBenchmark(("encode/" + std::string(name)).c_str(), encode, name, false);
    benchmark::RegisterBenchmark(("decode/" + std::string(name)).c_str(), decode, name, false);
  }
  benchmark::RegisterBenchmark("encode_transposed/affine4.g32", encode, "affine4.g32", true);
  benchmark::RegisterBenchmark("decode_transposed/affine4.g32", decode, "affine4.g32", true);
  benchmark::RegisterBenchmark("clip_search_power_2/affine4.g32", clip_search);
  return true;
}();

}  // namespace
