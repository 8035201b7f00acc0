// Products of packed matrices and vectors, compared with their limits: reading the same number of bytes (out of cache,
// or from the cache that holds the matrix) and the processor's integer dot products, interleaved in one run. Counters
// are medians of the ratios within one round.
//
//     bench_kernel_matvec                            all
//     bench_kernel_matvec --benchmark_filter=memory  out of cache
//     bench_kernel_matvec --benchmark_filter=shape   shapes that end inside a block or a tile, beside the next larger ones
//                                                    that do not: time, and per_weight, relative to these
//
// Counters: gweights (10^9 weights per second), gbytes (10^9 packed bytes per second), of_read (relative to reading the
// same bytes), of_dot (relative to the dot products; with floats of_fma, relative to the multiply-adds), for one
// thread, or for each of two threads that take half of the rows. The time includes preparing the vector. undisturbed:
// the fraction of rounds in which no other hardware thread was active on the core.

#include <precis/kernel/codebook_product.hpp>
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

struct shape {
  std::size_t out, in;
};
enum class work { matvec, product };  ///< of one vector, of eight

/// The time of one product of a matrix that fits the cache: prepared(packed bytes, shape) returns a function that
/// multiplies.
template<class F>
void shape_rate(benchmark::State& state, shape s, std::size_t (*bytes)(shape), F&& prepared) {
  const auto up = [](std::size_t n, std::size_t to) { return (n + to - 1) / to * to; };
  const shape neighbour{up(s.out, tile_rows), up(s.in, block_columns)};
  const pages packed(bytes(s)), packed_neighbour(bytes(neighbour));
  auto odd = prepared(packed, s);
  auto even = prepared(packed_neighbour, neighbour);
  const auto weights = [](shape of) { return static_cast<double>(of.out * of.in); };
  const int repeats = static_cast<int>(1 + 3e6 / weights(s));
  std::vector<double> time, ratio, quiet;
  for (auto _ : state) {
    quiet.push_back(yardstick::undisturbed());
    const auto seconds = [&](auto& multiply) {
      return yardstick::seconds([&] {
        for (int i = 0; i < repeats; ++i) multiply();
      });
    };
    time.push_back(seconds(odd));
    ratio.push_back(time.back() / seconds(even));
    state.SetIterationTime(time.back() / repeats);
  }
  state.counters["gweights"] = 1e-9 * weights(s) * repeats / yardstick::median(time);
  state.counters["time"] = yardstick::median(ratio);
  state.counters["per_weight"] = yardstick::median(ratio) * weights(neighbour) / weights(s);
  state.counters["undisturbed"] = yardstick::mean(quiet);
}

/// Vectors, prepared, and room for their products.
template<bool Bytes>
struct prepared_vectors {
  using activations = std::conditional_t<Bytes, byte_activations, float_activations>;
  std::vector<float> x, y, workspace, gathered;
  std::vector<activations> all;

  prepared_vectors(shape s, std::size_t segment, std::size_t count)
      : x(s.in), y(s.out * count), gathered(packed_product_workspace(s.in, segment)) {
    for (std::size_t i = 0; i < s.in; ++i) x[i] = static_cast<float>(i % 17) - 8.f;
    const std::size_t each =
        Bytes ? byte_activation_workspace(s.in, segment) : float_activation_workspace(s.in, segment);
    workspace.resize(each * count);
    for (std::size_t n = 0; n < count; ++n) {
      const auto part = std::span(workspace).subspan(n * each, each);
      if constexpr (Bytes)
        all.push_back(as_bytes(x, segment, part));
      else
        all.push_back(as_floats(x, segment, part));
    }
  }
};

template<grid_format Format, bool Bytes>
void grid_shape(benchmark::State& state, shape s, work what) {
  const auto bytes = [](shape of) { return Format.layout_of(of.out, of.in).bytes; };
  shape_rate(state, s, bytes, [&](const pages& packed, shape of) {
    const packed_grid m{Format, packed.data(), of.out, of.in};
    const std::size_t segment = segment_of(Format, of.in);
    return [=, v = prepared_vectors<Bytes>(of, segment, what == work::matvec ? 1 : 8)]() mutable {
      const auto stride = static_cast<std::ptrdiff_t>(of.out);
      using codes = detail::listed_code<Format>;
      if (what == work::matvec)
        matvec<Format>(m, v.all[0], v.y);
      else if constexpr (Bytes)
        packed_product<native_code_lanes, codes>(m, v.all, v.y, stride, v.gathered);
      else
        packed_product<native_code_lanes, codes>(m, v.all, v.y, stride);
      benchmark::DoNotOptimize(v.y.data());
    };
  });
}
void codebook_shape(benchmark::State& state, shape s, work what) {
  static constexpr codebook_format format{.code_bits = 4, .per_row = false, .levels = scale_type::float32};
  const auto bytes = [](shape of) { return format.layout_of(of.out, of.in).bytes; };
  shape_rate(state, s, bytes, [&](const pages& packed, shape of) {
    const packed_codebook m{format, packed.data(), of.out, of.in};
    return [=, v = prepared_vectors<false>(of, codebook_segment, what == work::matvec ? 1 : 8)]() mutable {
      if (what == work::matvec)
        matvec<native_code_lanes, 4>(m, v.all[0], v.y);
      else
        packed_product<native_code_lanes, 4>(m, v.all, v.y, static_cast<std::ptrdiff_t>(of.out));
      benchmark::DoNotOptimize(v.y.data());
    };
  });
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
  const auto add_rule = [&](place p, grid_rule rule, unsigned bits, std::size_t group, std::size_t threads) {
    const subject s{{.rule = rule, .code_bits = bits, .group = group, .scales = scale_type::float16}, p.out, p.in};
    const std::string codes = rule == grid_rule::e4m3     ? "e4m3"
                              : rule == grid_rule::e5m2   ? "e5m2"
                              : rule == grid_rule::affine ? std::string("affine") + std::to_string(bits)
                                                          : std::to_string(bits) + "bits";
    const std::string name = std::string(p.name) + "/" + std::to_string(p.in) + "/" + codes + ".g" +
                             std::to_string(group) + "/" + std::to_string(threads) + "T";
    add("matvec/bytes/" + name, [=](benchmark::State& state) { matvec_rate<true>(state, s, threads); });
    add("matvec/floats/" + name, [=](benchmark::State& state) { matvec_rate<false>(state, s, threads); });
  };
  const auto add_grid = [&](place p, unsigned bits, std::size_t group, std::size_t threads) {
    add_rule(p, grid_rule::symmetric_full, bits, group, threads);
  };
  for (const std::size_t group : {std::size_t{32}, std::size_t{64}, std::size_t{128}})
    for (const place p : {place{"L2", 192, 4096}, place{"L3", 2048, 4096}}) add_grid(p, 4, group, 1);
  for (const grid_rule rule : {grid_rule::e4m3, grid_rule::e5m2}) add_rule({"L2", 96, 4096}, rule, 8, 32, 1);
  add_rule({"L2", 192, 4096}, grid_rule::affine, 3, 32, 1);
  for (const std::size_t threads : {std::size_t{1}, std::size_t{2}})
    for (const place& p : memory) {
      for (const unsigned bits : {2u, 3u, 4u, 5u, 6u, 8u})
        for (const std::size_t group : {std::size_t{32}, std::size_t{64}}) add_grid(p, bits, group, threads);
      for (const grid_rule rule : {grid_rule::e4m3, grid_rule::e5m2}) add_rule(p, rule, 8, 32, threads);
      add_rule(p, grid_rule::affine, 3, 32, threads);
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
  const auto add_shapes = [&]<grid_format Format>(const std::string& name, detail::listed<Format>) {
    for (const shape s : {shape{64, 172}, shape{64, 70}, shape{33, 160}, shape{17, 33}, shape{50, 1000},
                          shape{500, 500}, shape{31, 31}, shape{47, 95}, shape{1000, 17}})
      for (const work what : {work::matvec, work::product}) {
        const std::string of = std::string(what == work::matvec ? "shape/matvec/" : "shape/product/8/");
        const std::string size = std::string("/") + std::to_string(s.out) + "x" + std::to_string(s.in);
        add(of + "bytes/" + name + size, [=](benchmark::State& state) { grid_shape<Format, true>(state, s, what); });
        add(of + "floats/" + name + size, [=](benchmark::State& state) { grid_shape<Format, false>(state, s, what); });
        if (Format.group == 32 && Format.code_bits == 4)
          add(of + "codebook4" + size, [=](benchmark::State& state) { codebook_shape(state, s, what); });
      }
  };
  constexpr auto half = scale_type::float16;
  constexpr auto of = [](grid_rule rule, unsigned bits, std::size_t group) {
    return grid_format{.rule = rule, .code_bits = bits, .group = group, .scales = half};
  };
  add_shapes("affine3.g32", detail::listed<of(grid_rule::affine, 3, 32)>{});
  add_shapes("symmetric4.g32", detail::listed<of(grid_rule::symmetric, 4, 32)>{});
  add_shapes("symmetric4.row", detail::listed<of(grid_rule::symmetric, 4, per_row)>{});
  add_shapes("symmetric8.tensor", detail::listed<of(grid_rule::symmetric, 8, per_tensor)>{});
  add_shapes("e4m3.g32", detail::listed<of(grid_rule::e4m3, 8, 32)>{});
  return true;
}();

}  // namespace
