// Matrices in every kind of format times 1, 8 and 32 vectors, multiplied as in the packed engine, compared with the
// same matrix in float16 and with reading the packed bytes, interleaved in one run. 2048 x 2048 weights exceed the L2
// cache in float16. Results are medians of the ratios within one round.
//
// Counters: gweights (10^9 weights per second and vector), of_float16 (speed relative to float16), of_read (speed
// relative to the paired read of the packed bytes), undisturbed (fraction of rounds that were not preempted).

#include <engine/model/scratch_arena.hpp>
#include <engine/model/thread_team.hpp>
#include <engine/packed/stored_matrix.hpp>

#include <precis/codec.hpp>
#include <precis/core/random.hpp>

#include "yardstick.hpp"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <string>
#include <vector>

namespace {

using namespace precis;

constexpr std::size_t size = 2048;

const float_matrix& weights() {
  static const float_matrix w = [] {
    float_matrix m(size, size);
    const random_stream draw(1, purpose("benchmark weights"));
    for (std::size_t i = 0; i < m.values.size(); ++i) m.values[i] = static_cast<float>(0.02 * draw.normal(i));
    return m;
  }();
  return w;
}

template<class Codec>
std::vector<std::byte> packed() {
  std::vector<std::byte> bytes(Codec::bytes(size, size));
  Codec::encode(weights().view(), bytes);
  return bytes;
}

template<class Codec>
engine::stored_matrix stored() {
  return *engine::stored_matrix::of(Codec::name(), packed<Codec>(), size, size);
}

template<class Codec>
void multiplied(benchmark::State& state) {
  const auto vectors = static_cast<std::size_t>(state.range(0));
  const engine::stored_matrix subject = stored<Codec>(), plain = stored<codec::float16>();
  const std::vector<std::byte> bytes = packed<Codec>();
  const float_matrix x = [vectors] {
    float_matrix m(vectors, size);
    for (std::size_t i = 0; i < m.values.size(); ++i) m.values[i] = static_cast<float>(i % 17) - 8.f;
    return m;
  }();
  float_matrix y(vectors, size);
  engine::thread_team alone(1);
  const auto seconds = [&](const engine::stored_matrix& m) {
    return yardstick::seconds([&] {
      engine::scratch_arena memory;
      engine::input_rows rows(x.view(), engine::activation_type::float32, memory);
      engine::multiply(m, rows, y.view(), alone);
      benchmark::DoNotOptimize(y.values.data());
    });
  };
  std::vector<double> rate, of_plain, of_read, quiet;
  for (auto _ : state) {
    quiet.push_back(yardstick::undisturbed());
    const double time = seconds(subject), float16 = seconds(plain);
    const double read = yardstick::seconds([&] { yardstick::read(bytes.data(), bytes.size()); });
    rate.push_back(static_cast<double>(size * size * vectors) / time);
    of_plain.push_back(float16 / time);
    of_read.push_back(read / time);
    state.SetIterationTime(time);
  }
  state.counters["gweights"] = 1e-9 * yardstick::median(rate);
  state.counters["of_float16"] = yardstick::median(of_plain);
  state.counters["of_read"] = yardstick::median(of_read);
  state.counters["undisturbed"] = yardstick::mean(quiet);
}

template<class... Codecs>
bool add() {
  const auto one = []<class Codec>(Codec) {
    benchmark::RegisterBenchmark(("format/" + Codec::name()).c_str(), multiplied<Codec>)
        ->ArgName("vectors")
        ->Arg(1)
        ->Arg(8)
        ->Arg(32)
        ->UseManualTime()
        ->Iterations(15)
        ->Unit(benchmark::kMicrosecond);
  };
  (one(Codecs{}), ...);
  return true;
}

[[maybe_unused]] const bool registered =
    add<codec::float32, codec::float16, codec::symmetric<4, 32>, codec::affine<4, 32>, codec::affine<16>,
        codec::codebook<4>, codec::keep_of<2, 4, codec::float16>, codec::keep_of<2, 4, codec::affine<4, 32>>,
        codec::bitmap<50, codec::float16>, codec::bitmap<50, codec::affine<4, 32>>>();

}  // namespace
