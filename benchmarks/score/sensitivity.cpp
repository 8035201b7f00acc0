// Scores and costs that change one unit at a time, with whole forwards and resumed at the changed layer
// (layered_model), alternating in one run. Both must give the same bits; otherwise the benchmark reports an error.
//
// A random GPT-2 of 12 layers, width 256, vocabulary 4096; four batches of one sequence of 128 tokens; blocks as units.
//
// Counters:
//   forwards_whole, forwards   the number of forwards of all batches: block runs divided by blocks x batches
//   expected                   the number of resumed forwards by formula, 1 + versions (L + 1) / 2
//   x_blocks, x_time           block runs and time (median of pairs) of whole forwards relative to resumed ones
// For methods without a forward per unit:
//   x_time                     the time of the (resumed) measurement that they approximate, relative to theirs.
//                              Measured costs grow with the length of the text and reconstruction hardly does; 512
//                              tokens are very few

#include <yardstick.hpp>

#include <engine/model/transformer.hpp>
#include <engine/model/weights.hpp>

#include <precis/codec/affine.hpp>
#include <precis/core/menu.hpp>
#include <precis/core/random.hpp>
#include <precis/cost/measured.hpp>
#include <precis/cost/reconstruction.hpp>
#include <precis/score/first_order_taylor.hpp>
#include <precis/score/pruning_sensitivity.hpp>
#include <precis/score/taylor.hpp>

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace precis;

namespace {

using formats = menu<codec::affine<2, 32>, codec::affine<3, 32>, codec::affine<4, 32>, codec::affine<8, 32>>;

engine::transformer random_gpt2() {
  constexpr std::size_t width = 256;
  engine::weights w = engine::zeros({.architecture = engine::architecture::gpt2,
                                     .layers = 12,
                                     .width = width,
                                     .heads = 4,
                                     .kv_heads = 4,
                                     .hidden = 4 * width,
                                     .vocabulary = 4096,
                                     .context = 128});
  std::uint64_t stream = 0;
  for (engine::tensor<float>& t : engine::tensors(w)) {
    const random_stream draw(1, purpose("benchmark weights") + stream++);
    const bool scale = t.shape.size() == 1 && t.name.ends_with("weight");
    const double deviation = t.shape.size() == 1 ? 0.02 : 0.6 / std::sqrt(static_cast<double>(width));
    for (std::size_t i = 0; i < t.values.size(); ++i)
      t.values[i] = static_cast<float>(deviation * draw.normal(i)) + (scale ? 1.f : 0.f);
  }
  return engine::transformer(std::move(w));
}

engine::transformer& model() {
  static engine::transformer m = random_gpt2();
  return m;
}

std::span<const token_batch> batches() {
  static const std::vector<token_batch> all = [] {
    std::vector<token_batch> made;
    for (std::uint64_t b = 0; b < 4; ++b) {
      const random_stream draw(b, purpose("benchmark text"));
      std::vector<token> ids;
      for (std::size_t i = 0; i < 129; ++i) ids.push_back(static_cast<token>(draw.below(i, 4096)));
      made.push_back(next_token_batch(1, ids));
    }
    return made;
  }();
  return all;
}

/// The engine with whole forwards only, counting the blocks it runs.
struct counting {
  using batch_type = token_batch;
  mutable std::size_t blocks = 0;

  [[nodiscard]] std::span<const matrix_info> matrices() const { return model().matrices(); }
  [[nodiscard]] weight_view weights(std::size_t i) const { return std::as_const(model()).weights(i); }
  [[nodiscard]] mutable_weight_view weights(std::size_t i) { return model().weights(i); }
  [[nodiscard]] nll loss(const token_batch& b) const {
    blocks += model().layers();
    return model().loss(b);
  }
};
static_assert(evaluable_model<counting> && mutable_model<counting> && !layered_model<counting>);

/// The same as a layered_model.
struct counting_layers : counting {
  [[nodiscard]] std::size_t layers() const { return model().layers(); }
  [[nodiscard]] activations enter(const token_batch& b) const { return model().enter(b); }
  void run_layer(std::size_t l, activations& x) const {
    ++blocks;
    model().run_layer(l, x);
  }
  [[nodiscard]] nll read_loss(const token_batch& b, activations_view<const float> x) const {
    return model().read_loss(b, x);
  }
  [[nodiscard]] float_matrix read_out(matrix_view<const float> x) const { return model().read_out(x); }
};
static_assert(layered_model<counting_layers>);

template<class Method>
void both_ways(benchmark::State& state, const Method& method, std::size_t versions) {
  std::vector<double> ratios;
  std::size_t whole_blocks = 0, blocks = 0;
  for (auto _ : state) {
    counting whole;
    counting_layers layered;
    decltype(method(whole, batches())) a, b;
    const double whole_time = yardstick::seconds([&] { a = method(whole, batches()); });
    const double resumed_time = yardstick::seconds([&] { b = method(layered, batches()); });
    if (!(a == b)) {
      state.SkipWithError("whole and resumed forwards disagree");
      return;
    }
    ratios.push_back(whole_time / resumed_time);
    whole_blocks = whole.blocks;
    blocks = layered.blocks;
  }
  const auto count = [](std::size_t n) { return static_cast<double>(n); };
  const double one = count(model().layers() * batches().size());
  state.counters["forwards_whole"] = count(whole_blocks) / one;
  state.counters["forwards"] = count(blocks) / one;
  state.counters["expected"] = 1 + count(versions) * (count(model().layers()) + 1) / 2;
  state.counters["x_blocks"] = count(whole_blocks) / count(blocks);
  state.counters["x_time"] = yardstick::median(ratios);
}

template<class Long, class Short>
void against(benchmark::State& state, const Long& long_way, const Short& short_way) {
  std::vector<double> ratios;
  for (auto _ : state) {
    const double slow = yardstick::seconds([&] { benchmark::DoNotOptimize(long_way(model(), batches())); });
    const double fast = yardstick::seconds([&] { benchmark::DoNotOptimize(short_way(model(), batches())); });
    ratios.push_back(slow / fast);
  }
  state.counters["x_time"] = yardstick::median(ratios);
}

void pruning_sensitivity(benchmark::State& s) { both_ways(s, score::pruning_sensitivity{.sparsities = {0.3, 0.5}}, 2); }
void taylor(benchmark::State& s) { both_ways(s, score::taylor{}, 4); }
void measured(benchmark::State& s) { both_ways(s, cost::measured<formats>{}, formats::size); }
void first_order_taylor(benchmark::State& s) { against(s, score::taylor{}, score::first_order_taylor{}); }
void reconstruction(benchmark::State& s) { against(s, cost::measured<formats>{}, cost::reconstruction<formats>{}); }

BENCHMARK(pruning_sensitivity)->Unit(benchmark::kMillisecond)->Iterations(5);
BENCHMARK(taylor)->Unit(benchmark::kMillisecond)->Iterations(5);
BENCHMARK(measured)->Unit(benchmark::kMillisecond)->Iterations(5);
BENCHMARK(first_order_taylor)->Unit(benchmark::kMillisecond)->Iterations(5);
BENCHMARK(reconstruction)->Unit(benchmark::kMillisecond)->Iterations(5);

}  // namespace
