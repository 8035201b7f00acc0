// Encoding, decoding, clip search and error scan, compared with scalar loops that do the same work and with upper bounds
// for both. All three run interleaved in one thread; counters are medians of the ratios within one round.
//
//     bench_codec_encode                                 all
//     bench_codec_encode --benchmark_filter=decode       decoding only
//
// Counters:
//     gbytes          10^9 bytes of float32 read or written per second
//     times_scalar    speed relative to a scalar loop below; q4_0 and q8_0 follow ggml's reference quantizers
//     of_limit        speed relative to the upper bound that the benchmark's name ends with:
//         copy    reads the float32 and writes as many bytes as the codec
//         write   writes the float32
//         read    reads the float32
//         hand    reads, scales, rounds and clamps to bytes

#include <precis/codec/standard_menu.hpp>
#include <precis/core/random.hpp>
#include <precis/cost/error_scan.hpp>
#include <precis/fit/clip_search.hpp>
#include <precis/kernel/prepared_vector.hpp>

#include "yardstick.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace {

using namespace precis;
using codec::tile::for_constants;
using kernel::native_code_lanes;
using kernel::native_lanes;
using vector = native_lanes::vector;
constexpr std::size_t width = native_lanes::width;

struct shape {
  const char* name;
  std::size_t out, in;
};
constexpr shape near_cache{"L1", 16, 256}, cache{"L2", 32, 1024}, memory{"memory", 4096, 4096};

const float_matrix& weights(shape s) {
  static float_matrix w;
  if (w.rows == s.out && w.cols == s.in) return w;
  const random_stream random(1, purpose("benchmark"));
  w = float_matrix(s.out, s.in);
  for (std::size_t i = 0; i < w.values.size(); ++i)
    w.values[i] = i < 65536 ? static_cast<float>(0.02 * random.normal(i)) : w.values[i - 65536];
  return w;
}

/// Measures the limit, the subject and the scalar loop, round by round.
template<class Subject, class Scalar, class Limit>
void compare(benchmark::State& state, double bytes, const Subject& subject, const Scalar& scalar, const Limit& limit) {
  const int repeats = static_cast<int>(1 + 3e6 / bytes);
  const auto seconds = [repeats](const auto& f) {
    return yardstick::seconds([&] {
             for (int i = 0; i < repeats; ++i) {
               f();
               benchmark::ClobberMemory();
             }
           }) /
           repeats;
  };
  std::vector<double> rate, times, share, quiet;
  for (auto _ : state) {
    quiet.push_back(yardstick::undisturbed());
    const double least = seconds(limit), time = seconds(subject), slow = seconds(scalar);
    rate.push_back(bytes / time);
    times.push_back(slow / time);
    share.push_back(least / time);
    state.SetIterationTime(time);
  }
  state.counters["gbytes"] = 1e-9 * yardstick::median(rate);
  state.counters["times_scalar"] = yardstick::median(times);
  state.counters["of_limit"] = yardstick::median(share);
  state.counters["undisturbed"] = yardstick::mean(quiet);
}

// Limits.

void read(std::span<const float> x) {
  vector sum[8];
  for (vector& s : sum) s = native_lanes::zero();
  for (std::size_t i = 0; i + 8 * width <= x.size(); i += 8 * width)
    for_constants<8>([&](auto k) __attribute__((always_inline)) {
      sum[k] = native_lanes::add(sum[k], native_lanes::load(x.data() + i + k * width));
    });
  float result[width];
  for (std::size_t k = 1; k < 8; ++k) sum[0] = native_lanes::add(sum[0], sum[k]);
  native_lanes::store(result, sum[0]);
  benchmark::DoNotOptimize(result);
}
void write(std::span<float> x) {
  const vector ones = native_lanes::all(1.f);
  for (std::size_t i = 0; i + width <= x.size(); i += width) native_lanes::store(x.data() + i, ones);
}
/// Writes one vector of bytes per `each` vectors that are read.
void copy(std::span<const float> x, std::span<std::byte> bytes) {
  const std::size_t vectors = x.size() / width, lines = std::max<std::size_t>(1, bytes.size() / (4 * width));
  const std::size_t each = std::max<std::size_t>(1, vectors / lines);
  vector sum = native_lanes::zero(), other = sum;
  std::size_t at = 0;
  for (std::size_t i = 0; i < lines; ++i) {
    for (std::size_t k = 0; k < each && at < vectors; ++k, ++at) {
      sum = native_lanes::add(other, native_lanes::load(x.data() + at * width));
      std::swap(sum, other);
    }
    native_lanes::store(reinterpret_cast<float*>(bytes.data()) + i * width, sum);
  }
}
void hand(std::span<const float> x, std::span<std::byte> bytes) {
  const vector by = native_lanes::all(99.f), magic = native_lanes::all(0x1.8p23f);
  const vector lo = native_lanes::all(-127.f), hi = native_lanes::all(127.f);
  for (std::size_t i = 0; i + width <= x.size(); i += width) {
    const vector q = native_lanes::multiply(native_lanes::load(x.data() + i), by);
    const vector code = native_lanes::add(native_lanes::smaller(native_lanes::larger(q, lo), hi), magic);
    native_code_lanes::store_low_bytes(reinterpret_cast<std::int8_t*>(bytes.data()) + i, code);
  }
}

// Scalar loops, which compilers may vectorize.

void scalar_encode(unsigned bits, std::span<const float> x, std::byte* to) {
  if (bits == 8)
    for (std::size_t first = 0; first < x.size(); first += 32, to += 34) {
      float top = 0;
      for (std::size_t i = 0; i < 32; ++i) top = std::max(top, std::abs(x[first + i]));
      const float d = top / 127, by = d != 0 ? 1 / d : 0;
      const std::uint16_t half = kernel::float_to_half(d);
      std::memcpy(to, &half, 2);
      for (std::size_t i = 0; i < 32; ++i)
        to[2 + i] = static_cast<std::byte>(static_cast<std::int8_t>(std::round(x[first + i] * by)));
    }
  else
    for (std::size_t first = 0; first < x.size(); first += 32, to += 18) {
      float top = 0, largest = 0;
      for (std::size_t i = 0; i < 32; ++i)
        if (top < std::abs(x[first + i])) top = std::abs(x[first + i]), largest = x[first + i];
      const float d = largest / -8, by = d != 0 ? 1 / d : 0;
      const std::uint16_t half = kernel::float_to_half(d);
      std::memcpy(to, &half, 2);
      for (std::size_t i = 0; i < 16; ++i) {
        const int low = std::min(15, static_cast<int>(x[first + i] * by + 8.5f));
        const int high = std::min(15, static_cast<int>(x[first + 16 + i] * by + 8.5f));
        to[2 + i] = static_cast<std::byte>(low | high << 4);
      }
    }
}
void scalar_decode(unsigned bits, const std::byte* from, std::span<float> x) {
  for (std::size_t first = 0; first < x.size(); first += 32, from += bits == 8 ? 34 : 18) {
    std::uint16_t half;
    std::memcpy(&half, from, 2);
    const float d = kernel::half_to_float(half);
    if (bits == 8)
      for (std::size_t i = 0; i < 32; ++i) x[first + i] = d * static_cast<float>(static_cast<std::int8_t>(from[2 + i]));
    else
      for (std::size_t i = 0; i < 16; ++i) {
        x[first + i] = d * static_cast<float>((static_cast<int>(from[2 + i]) & 15) - 8);
        x[first + 16 + i] = d * static_cast<float>((static_cast<int>(from[2 + i]) >> 4) - 8);
      }
  }
}
double scalar_error(float scale, const float* x, std::size_t count, float lo, float hi) {
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const float code = std::clamp(std::nearbyint(x[i] / scale), lo, hi);
    const auto e = static_cast<double>(scale * code - x[i]);
    sum += e * e;
  }
  return sum;
}
/// The errors of 80 symmetric 4-bit grids per 32 weights.
double scalar_search(std::span<const float> x) {
  double all = 0;
  for (std::size_t first = 0; first < x.size(); first += 32) {
    float top = 0;
    for (std::size_t i = 0; i < 32; ++i) top = std::max(top, std::abs(x[first + i]));
    double best = 1e300;
    for (int i = 0; i < 80; ++i)
      best = std::min(best, scalar_error(top * (1.f - 0.01f * static_cast<float>(i)) / 7, &x[first], 32, -7, 7));
    all += best;
  }
  return all;
}

// Subjects.

codec::grid_format format_of(const std::string& name) { return *codec::parse_grid_format(name); }

void encode(benchmark::State& state, const std::string& name, shape s, bool given, bool by_hand) {
  const codec::grid_format f = format_of(name);
  const float_matrix& w = weights(s);
  std::vector<std::byte> packed(f.layout_of(s.out, s.in).bytes), other(w.values.size() * 2);
  codec::encode(f, w.view(), packed);
  const auto grids = codec::read_grids(f, packed, s.out, s.in);
  compare(
      state, static_cast<double>(w.values.size() * 4),
      [&] {
        if (given)
          codec::encode_on_grids(f, w.view(), packed, codec::choose_given{grids});
        else
          codec::encode(f, w.view(), packed);
      },
      [&] { scalar_encode(f.code_bits, w.values, other.data()); },
      [&] {
        if (by_hand)
          hand(w.values, other);
        else
          copy(w.values, std::span(other).first(packed.size()));
      });
}

void decode(benchmark::State& state, const std::string& name, shape s) {
  const codec::grid_format f = format_of(name);
  const float_matrix& w = weights(s);
  std::vector<std::byte> packed(f.layout_of(s.out, s.in).bytes), other(w.values.size() * 2);
  codec::encode(f, w.view(), packed);
  scalar_encode(f.code_bits, w.values, other.data());
  std::vector<float> buffer(w.values.size() + 16);  // rows start at cache lines, as in an engine
  const std::size_t start = (64 - reinterpret_cast<std::uintptr_t>(buffer.data()) % 64) % 64 / 4;
  const std::span<float> to = std::span(buffer).subspan(start, w.values.size());
  compare(
      state, static_cast<double>(to.size() * 4), [&] { codec::decode(f, packed, {to, s.out, s.in}); },
      [&] { scalar_decode(f.code_bits, other.data(), to); }, [&] { write(to); });
}

void clip_search(benchmark::State& state, const std::string& name, double power) {
  const codec::grid_format f = format_of(name);
  const float_matrix& w = weights(cache);
  std::vector<std::byte> packed(f.layout_of(w.rows, w.cols).bytes);
  compare(
      state, static_cast<double>(w.values.size() * 4), [&] { fit::clip_search{.power = power}(f, w.view(), packed); },
      [&] { benchmark::DoNotOptimize(scalar_search(w.values)); }, [&] { read(w.values); });
}

void error_scan(benchmark::State& state, shape s, const std::vector<std::string>& names) {
  const float_matrix& w = weights(s);
  std::vector<std::size_t> entries;
  for (const std::string& name : names) entries.push_back(codec::standard::index_of(name));
  const matrix_info info{"w", 0, part::mlp, s.out, s.in};
  compare(
      state, static_cast<double>(w.values.size() * 4),
      [&] { benchmark::DoNotOptimize(cost::scan_errors<codec::standard>(w.view(), info, entries)); },
      [&] {
        for (std::size_t at = 0; at < w.values.size(); at += 32)
          benchmark::DoNotOptimize(scalar_error(0.01f, w.values.data() + at, 32, -8, 7));
      },
      [&] { read(w.values); });
}

void activations(benchmark::State& state, std::size_t segment) {
  const std::span<const float> x = weights(near_cache).values;
  std::vector<float> workspace(kernel::byte_activation_workspace(x.size(), segment));
  std::vector<std::byte> other(x.size() * 2);
  compare(
      state, static_cast<double>(x.size() * 4),
      [&] { benchmark::DoNotOptimize(kernel::as_bytes(x, segment, workspace).codes); },
      [&] { scalar_encode(8, x, other.data()); }, [&] { read(x); });
}

[[maybe_unused]] const bool registered = [] {
  const auto add = [](const std::string& name, auto&& run) {
    benchmark::RegisterBenchmark(name.c_str(), run)->UseManualTime()->Iterations(15)->Unit(benchmark::kMicrosecond);
  };
  const std::vector<std::string> six_widths{"affine2.g32", "affine3.g32", "affine4.g32",
                                            "affine5.g32", "affine6.g32", "affine8.g32"};
  for (const shape s : {cache, memory}) {
    const std::string at = std::string("/") + s.name + "/";
    for (const char* name : {"symmetric4.g32", "symmetric4.g128", "affine4.g32", "symmetric8.g32", "affine8.row"}) {
      add("encode" + at + name + "/copy", [=](auto& state) { encode(state, name, s, false, false); });
      if (s.in == cache.in)
        add("encode" + at + name + "/hand", [=](auto& state) { encode(state, name, s, false, true); });
    }
    for (const char* name : {"symmetric8.row", "symmetric8.tensor"})
      add("given" + at + name + "/hand", [=](auto& state) { encode(state, name, s, true, true); });
    add("error_scan" + at + "one/read", [=](auto& state) { error_scan(state, s, {"affine4.g32"}); });
    add("error_scan" + at + "six/read", [=](auto& state) { error_scan(state, s, six_widths); });
  }
  for (const shape s : {near_cache, cache, memory})
    for (const char* name : {"symmetric4.g32", "affine4.g32", "symmetric8.g32", "affine8.row"})
      add(std::string("decode/") + s.name + "/" + name + "/write", [=](auto& state) { decode(state, name, s); });
  for (const char* name : {"symmetric4.g32", "affine4.g32", "symmetric8.g32"}) {
    add(std::string("clip_search/squares/") + name + "/read", [=](auto& state) { clip_search(state, name, 2); });
    add(std::string("clip_search/default/") + name + "/read", [=](auto& state) { clip_search(state, name, 2.4); });
  }
  for (const std::size_t segment : {std::size_t{32}, std::size_t{128}})
    add("activations/L1/" + std::to_string(segment) + "/read", [=](auto& state) { activations(state, segment); });
  return true;
}();

}  // namespace
