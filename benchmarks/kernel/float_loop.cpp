// The product of a 4096 x 4096 matrix of every kind of format with one vector, relative to the loop over floats that it
// replaces. Compiled for any processor of its kind (x86-64: SSE2), without run-time dispatch: the slowest build there is.
//
//     bench_kernel_float_loop                            every format
//     bench_kernel_float_loop --benchmark_filter=e4m3    some
//
// Counters are medians of ratios within one round: floats, the time with a vector of floats relative to that of the loop;
// bytes, the same with a vector of bytes, where the format has such a product. One thread; times include preparing the
// vector.

#include <precis/codec.hpp>
#include <precis/core/random.hpp>
#include <precis/kernel/multiply.hpp>

#include "yardstick.hpp"

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace {

using namespace precis;

constexpr std::size_t size = 4096;

[[nodiscard]] float_matrix normal(std::size_t out, std::size_t in, bool positive = false) {
  float_matrix m(out, in);
  const random_stream draw(1, purpose("benchmark weights"));
  for (std::size_t i = 0; i < m.values.size(); ++i) {
    const auto x = static_cast<float>(0.02 * draw.normal(i));
    m.values[i] = positive ? std::abs(x) : x;
  }
  return m;
}
const float_matrix& weights() {
  static const float_matrix w = normal(size, size);
  return w;
}

template<class Codec>
[[nodiscard]] std::vector<std::byte> packed_of(const float_matrix& w) {
  std::vector<std::byte> bytes(Codec::bytes(w.rows, w.cols));
  Codec::encode(w.view(), bytes);
  return bytes;
}
/// Both factors are random: finding those of a matrix takes minutes, and products take the same time.
template<std::size_t Percent, class Inner>
struct random_factors {
  static constexpr auto format = kernel::low_rank(Percent, *codec::packed_format_of<Inner>());
  [[nodiscard]] static std::vector<std::byte> packed() {
    const std::size_t rank = format.rank(size, size);
    std::vector<std::byte> bytes = packed_of<Inner>(normal(size, rank));
    const std::vector<std::byte> right = packed_of<Inner>(normal(rank, size));
    bytes.insert(bytes.end(), right.begin(), right.end());
    return bytes;
  }
};
template<class Codec>
struct encoded {
  static constexpr auto format = *codec::packed_format_of<Codec>();
  [[nodiscard]] static std::vector<std::byte> packed() {
    if (format.codes == kernel::code_kind::grid && format.grid.is_power())  // no negative numbers
      return packed_of<Codec>(normal(size, size, true));
    return packed_of<Codec>(weights());
  }
};

[[gnu::noinline]] void float_loop(const float* w, const float* x, float* y) {
  for (std::size_t r = 0; r < size; ++r, w += size) {
    float sum = 0;
    for (std::size_t c = 0; c < size; ++c) sum += w[c] * x[c];
    y[r] = sum;
  }
}

template<class Value>
void product(const kernel::packed_matrix& m, const float* x, float* y, std::span<float> workspace) {
  const std::size_t input = kernel::input_workspace<Value>(1, m.in);
  kernel::input_vectors<Value> vectors({x, 1, m.in, 0, 1}, workspace.first(input));
  kernel::multiply(m, vectors, {y, 1, m.out, 0, 1}, workspace.subspan(input));
}

template<class Subject>
void relative(benchmark::State& state) {
  constexpr kernel::packed_format f = Subject::format;
  const std::vector<std::byte> bytes = Subject::packed();
  const kernel::packed_matrix m{f, bytes.data(), size, size};
  std::vector<float> x(size), y(size), workspace(1 << 18);
  const random_stream draw(2, purpose("benchmark vector"));
  for (std::size_t i = 0; i < size; ++i) x[i] = static_cast<float>(draw.normal(i));
  const auto milliseconds = [&](auto&& run) {
    const double time = 1e3 * yardstick::seconds(run);
    benchmark::DoNotOptimize(y.data());
    return time;
  };
  const bool has_bytes =
      f.kept == kernel::kept_weights::all && (f.codes == kernel::code_kind::grid || f.codes == kernel::code_kind::ggml);
  std::vector<double> floats, of_bytes;
  for (auto _ : state) {
    const double loop = milliseconds([&] { float_loop(weights().values.data(), x.data(), y.data()); });
    const double time = milliseconds([&] { product<float>(m, x.data(), y.data(), workspace); });
    floats.push_back(time / loop);
    if (has_bytes)
      of_bytes.push_back(milliseconds([&] { product<std::int8_t>(m, x.data(), y.data(), workspace); }) / loop);
    state.SetIterationTime(1e-3 * time);
  }
  state.counters["floats"] = yardstick::median(floats);
  if (has_bytes) state.counters["bytes"] = yardstick::median(of_bytes);
}

template<class Subject>
void add(const std::string& name) {
  benchmark::RegisterBenchmark(name.c_str(), relative<Subject>)
      ->UseManualTime()
      ->Iterations(9)
      ->Unit(benchmark::kMillisecond);
}
template<class... Codecs>
void add_all() {
  (add<encoded<Codecs>>(Codecs::name()), ...);
}

[[maybe_unused]] const bool registered = [] {
  using namespace codec;
  constexpr scale_type half = scale_type::float16;
  using affine4 = affine<4, 64, half>;
  add_all<float32, float16, bfloat16>();
  add_all<symmetric<2, 64, half>, symmetric<3, 64, half>, symmetric<4, 64, half>, symmetric<5, 64, half>,
          symmetric<6, 64, half>, symmetric<7, 64, half>, symmetric<8, 64, half>, symmetric<16>, symmetric<24>>();
  add_all<affine<4, 32, half>, affine4, affine<4>, affine<4, per_tensor>, affine<8, 64, half>, affine<16>,
          min_anchored<4, 64, half>>();
  add_all<symmetric<4, 20>, affine<4, 20, half>, affine<4, 48, half>, affine<2, 7, half>, affine<8, 48, half>,
          min_anchored<4, 48, half>, affine<16, 48>, e4m3<48, half>, e2m1<48, half>, codec::log2<4, 48, half>>();
  add_all<e4m3<64, half>, e4m3<per_row>, e5m2<64, half>, e2m1<64, half>, codec::log2<3, 64, half>,
          codec::log2<4, 64, half>, log_sqrt2<4, 64, half>>();
  add_all<codebook<2>, codebook<3>, codebook<4>, codebook<5>, codebook<6>, codebook<8>, codebook<4, per_row, half>,
          codebook<8, per_row>>();
  add_all<keep_of<2, 4, float16>, keep_of<2, 4, affine4>, keep_of<2, 4, symmetric<8, 64, half>>,
          keep_of<2, 4, e4m3<64, half>>, keep_of<2, 4, affine<4, 48, half>>, keep_of<2, 4, codebook_with_zero<4>>,
          keep_of<6, 8, affine4>, bitmap<20, float16>, bitmap<50, float16>, bitmap<80, float16>, bitmap<50, float32>,
          bitmap<50, affine4>, bitmap<50, e4m3<64, half>>, bitmap<50, codebook_with_zero<4>>>();
  add_all<q4_0, q4_1, q5_0, q5_1, q8_0>();
  add<random_factors<33, float16>>("rank33.float16");
  add<random_factors<50, affine4>>("rank50.affine4.g64.h");
  add<random_factors<50, e4m3<64, half>>>("rank50.e4m3.g64.h");
  return true;
}();

}  // namespace
