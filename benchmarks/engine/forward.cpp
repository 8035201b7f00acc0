// The fraction of a forward pass that is not matrix products: 8 sequences of 256 tokens, a GPT-2 of 12 layers, width
// 256 and vocabulary 4096. Each round runs in turn: the pass; only its products, on buffers of the same shapes
// (including those of attention); Eigen's product on the shapes of the linear maps; the FMA peak.
//
// Counters: medians over the rounds. rest = 1 - products / pass; of_eigen: linear maps, Eigen's time / ours.

#include <engine/model/attention.hpp>
#include <engine/model/block.hpp>
#include <engine/model/transformer.hpp>

#include <precis/kernel/float_product.hpp>

#include "yardstick.hpp"

#include <benchmark/benchmark.h>
#include <Eigen/Core>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace {

using precis::kernel::strided;

const engine::config shape{.architecture = engine::architecture::gpt2,
                           .layers = 12,
                           .width = 256,
                           .heads = 8,
                           .kv_heads = 8,
                           .hidden = 1024,
                           .vocabulary = 4096,
                           .context = 256};
constexpr std::size_t sequences = 8, tokens = 256, rows = sequences * tokens;

struct map_shape {
  std::size_t in, out;
};
constexpr map_shape maps[] = {{256, 256}, {256, 256}, {256, 256}, {256, 256}, {256, 1024}, {1024, 256}};

engine::transformer random_model() {
  engine::weights w = engine::zeros(shape);
  std::uint64_t state = 1;
  for (engine::tensor<float>& t : engine::tensors(w))
    for (float& x : t.values) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      x = 0.05f * static_cast<float>(static_cast<std::int32_t>(state >> 32)) * 0x1p-31f;
    }
  for (engine::block& b : w.blocks)
    for (engine::norm* n : {&b.attention_norm, &b.mlp_norm})
      for (float& x : n->scale) x += 1.f;
  return engine::transformer(std::move(w));
}

precis::token_batch random_batch() {
  precis::token_batch b{.sequences = sequences, .tokens = tokens, .ids = {}, .targets = {}};
  for (std::size_t i = 0; i < rows; ++i) {
    b.ids.push_back(static_cast<precis::token>(i * 7919 % shape.vocabulary));
    b.targets.push_back(static_cast<precis::token>(i * 104729 % shape.vocabulary));
  }
  return b;
}

/// Buffers for the matrix products of one pass.
struct products {
  std::vector<float> in = std::vector<float>(rows * 1024, 0.5f), out = in;
  std::vector<float> weights = std::vector<float>(1024 * 4096, 0.25f), bias = std::vector<float>(4096);
  std::vector<float> workspace = std::vector<float>(precis::kernel::product_workspace);
  std::vector<float> scores = std::vector<float>(tokens * tokens);

  void linear(std::size_t n, map_shape s, bool out_major) {
    const auto i = static_cast<std::ptrdiff_t>(s.in), o = static_cast<std::ptrdiff_t>(s.out);
    precis::kernel::product_onto({bias.data(), n, s.out, 0, 1}, {in.data(), n, s.in, i, 1},
                                 out_major ? strided<const float>{weights.data(), s.in, s.out, 1, i}
                                           : strided<const float>{weights.data(), s.in, s.out, o, 1},
                                 {out.data(), n, s.out, o, 1}, workspace);
  }
  void linear_maps() {  // in chunks of 512 rows, as in the engine
    for (std::size_t l = 0; l < shape.layers; ++l)
      for (std::size_t r = 0; r < rows; r += 512)
        for (const map_shape& m : maps) linear(512, m, false);
  }
  void eigen_linear_maps() {
    using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const auto n = static_cast<Eigen::Index>(rows);
    for (std::size_t l = 0; l < shape.layers; ++l)
      for (const map_shape& m : maps) {
        const auto i = static_cast<Eigen::Index>(m.in), o = static_cast<Eigen::Index>(m.out);
        Eigen::Map<matrix>(out.data(), n, o).noalias() =
            Eigen::Map<const matrix>(in.data(), n, i) * Eigen::Map<const matrix>(weights.data(), i, o);
      }
  }
  /// The products of engine::attend: scores in blocks of 64 queries, values in tiles of 8 and a triangle.
  void attention() {
    const std::size_t width = shape.head_width();
    const auto stride = static_cast<std::ptrdiff_t>(3 * shape.width), wide = static_cast<std::ptrdiff_t>(tokens);
    for (std::size_t n = 0; n < shape.layers * sequences * shape.heads; ++n) {
      const float* const q = in.data() + n % shape.heads * width;
      for (std::size_t q0 = 0; q0 < tokens; q0 += 64) {
        precis::kernel::product({q, 64, width, stride, 1}, {q, width, q0 + 64, 1, stride},
                                {scores.data(), 64, q0 + 64, wide, 1}, workspace);
        for (std::size_t t = q0; t < q0 + 64; t += 8) {
          precis::kernel::product({scores.data(), 8, t + 1, wide, 1}, {q, t + 1, width, stride, 1},
                                  {out.data(), 8, width, stride, 1}, workspace);
          for (std::size_t r = 1; r < 8; ++r)
            precis::kernel::product_add({scores.data(), 1, r, wide, 1}, {q, r, width, stride, 1},
                                        {out.data(), 1, width, stride, 1}, workspace);
        }
      }
    }
  }
  void head() {
    for (std::size_t s = 0; s < sequences; ++s) linear(tokens, {shape.width, shape.vocabulary}, true);
  }
};

void forward(benchmark::State& state, bool with_loss) {
  const engine::transformer model = random_model();
  const precis::token_batch batch = random_batch();
  products p;
  p.out.resize(tokens * shape.vocabulary);
  std::vector<double> passes, rest, of_eigen, gflops, of_peak;
  double linear_operations = 0;
  for (const map_shape& m : maps) linear_operations += 2.0 * static_cast<double>(shape.layers * rows * m.in * m.out);

  for (auto _ : state) {
    const double peak = yardstick::fma_peak();
    const double pass = yardstick::seconds([&] {
      if (with_loss)
        benchmark::DoNotOptimize(model.loss(batch));
      else
        benchmark::DoNotOptimize(model.logits(batch, precis::positions::last));
    });
    const double linear = yardstick::seconds([&] { p.linear_maps(); });
    const double attention = yardstick::seconds([&] { p.attention(); });
    const double head = with_loss ? yardstick::seconds([&] { p.head(); }) : 0.0;
    const double eigen = yardstick::seconds([&] { p.eigen_linear_maps(); });
    state.SetIterationTime(pass);
    passes.push_back(pass);
    rest.push_back(1 - (linear + attention + head) / pass);
    of_eigen.push_back(eigen / linear);
    gflops.push_back(linear_operations / linear * 1e-9);
    of_peak.push_back(linear_operations / linear / peak);
  }
  state.counters["rest"] = yardstick::median(rest);
  state.counters["maps_of_eigen"] = yardstick::median(of_eigen);
  state.counters["maps_gflops"] = yardstick::median(gflops);
  state.counters["maps_of_peak"] = yardstick::median(of_peak);
}
BENCHMARK_CAPTURE(forward, blocks, false)->UseManualTime()->Iterations(15)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(forward, loss, true)->UseManualTime()->Iterations(15)->Unit(benchmark::kMillisecond);

/// The inner loop of causal tracing: one layer, 100 rows continued from a cache of 11 sequences of 16 tokens.
void run_layer(benchmark::State& state) {
  const engine::transformer model = random_model();
  engine::cache cache;
  std::vector<precis::token> ids(11 * 16);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<precis::token>(i * 7919 % shape.vocabulary);
  const auto no_tap = [](precis::site, precis::activations_view<float>) {};
  benchmark::DoNotOptimize(model.capture(precis::prompts(11, ids), cache, no_tap));
  const auto count = static_cast<std::size_t>(state.range(0));
  precis::activations residual(100, count, shape.width);
  std::vector<std::size_t> sequence_of_row(100);
  for (std::size_t i = 0; i < 100; ++i) sequence_of_row[i] = i % 11;
  double operations = 0;
  for (const map_shape& m : maps) operations += 2.0 * static_cast<double>(100 * count * m.in * m.out);

  std::vector<double> of_peak;
  for (auto _ : state) {
    for (std::size_t i = 0; i < 100; ++i)
      for (std::size_t t = 0; t < count; ++t)
        std::ranges::copy(cache.residual(3)(sequence_of_row[i], 16 - count + t), residual.view()(i, t).begin());
    const double peak = yardstick::fma_peak();
    const double time = yardstick::seconds([&] {
      model.run_layer({.layer = 3, .first_token = 16 - count, .sequences = sequence_of_row}, cache, residual.view());
    });
    state.SetIterationTime(time);
    of_peak.push_back(operations / time / peak);
  }
  state.counters["of_peak"] = yardstick::median(of_peak);
}
BENCHMARK(run_layer)->ArgName("tokens")->Arg(1)->Arg(4)->Arg(8)->Arg(16)->UseManualTime()->Iterations(41)->Unit(
    benchmark::kMicrosecond);

}  // namespace
