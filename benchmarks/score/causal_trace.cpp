// Causal tracing of one fact on one thread with three algorithms: as published (one whole forward of the clean run and
// all noisy runs per token and layer), without the clean run, and resumed from the corrupted run's cache. The tables
// must be equal bit for bit; otherwise the benchmark reports an error.
//
// A random GPT-2 of 12 layers, 16 tokens with the subject at tokens 3 to 5, ten noisy runs, vocabulary 4096. The answer
// is the first choice of the clean run.
//
// Counters, for one fact and one restoration:
//   published_s, whole_s   processor seconds of the first two algorithms, each timed once
//   x_published, x_whole   their times relative to the resumed algorithm
//   work                   block positions (rows x positions, summed over blocks) of the resumed algorithm
//   x_work_published, x_work_whole   the same of the first two, relative to it
//   gflops                 floating-point operations per second in the products of the resumed algorithm
//   peak                   the same relative to the fused multiply-add peak, measured just before
//   effect                 the largest indirect effect, which shows that the tables are not constant

#include <engine/model/transformer.hpp>
#include <engine/model/weights.hpp>

#include <precis/core/random.hpp>
#include <precis/kernel/lanes.hpp>
#include <precis/model/whole_forwards.hpp>
#include <precis/score/causal_trace.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace precis;

namespace {

/// Processor time of this process, which excludes other processes.
double seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// Peak floating-point operations per second of independent chains of fused multiply-adds in registers: the best of
/// several attempts, in processor time (yardstick.hpp uses wall-clock time).
double fma_peak() {
  using lanes = kernel::native_lanes;
  constexpr int steps = 1 << 20;
  const float small[lanes::width] = {1e-9f};
  const auto factor = lanes::load(small);
  double best = 0;
  for (int attempt = 0; attempt < 10; ++attempt) {
    auto a = factor, b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a;
    const double start = seconds();
    for (int step = 0; step < steps; ++step) {
      a = lanes::fma(a, factor, a), b = lanes::fma(b, factor, b), c = lanes::fma(c, factor, c);
      d = lanes::fma(d, factor, d), e = lanes::fma(e, factor, e), f = lanes::fma(f, factor, f);
      g = lanes::fma(g, factor, g), h = lanes::fma(h, factor, h), i = lanes::fma(i, factor, i);
      j = lanes::fma(j, factor, j);
    }
    for (auto* x : {&a, &b, &c, &d, &e, &f, &g, &h, &i, &j}) benchmark::DoNotOptimize(*x);
    best = std::max(best, 2.0 * 10 * lanes::width * steps / (seconds() - start));
  }
  return best;
}

engine::transformer random_gpt2(std::size_t width) {
  engine::weights w = engine::zeros({.architecture = engine::architecture::gpt2,
                                     .layers = 12,
                                     .width = width,
                                     .heads = width / 64,
                                     .kv_heads = width / 64,
                                     .hidden = 4 * width,
                                     .vocabulary = 4096,
                                     .context = 64});
  std::uint64_t stream = 0;
  for (engine::tensor<float>& t : engine::tensors(w)) {
    const random_stream draw(1, purpose("benchmark weights") + stream++);
    const bool scale =
        t.name.ends_with("ln_1.weight") || t.name.ends_with("ln_2.weight") || t.name.ends_with("ln_f.weight");
    const double deviation = t.shape.size() == 1       ? 0.02
                             : t.name.starts_with("w") ? 0.1
                                                       : 0.6 / std::sqrt(static_cast<double>(width));
    for (std::size_t i = 0; i < t.values.size(); ++i)
      t.values[i] = static_cast<float>(deviation * draw.normal(i)) + (scale ? 1.f : 0.f);
  }
  return engine::transformer(std::move(w));
}

/// The engine, which counts the multiply-adds of its products.
struct counting {
  using batch_type = token_batch;
  using cache_type = engine::cache;
  static constexpr bool causal = true;
  const engine::transformer* model;
  mutable double operations = 0;

  [[nodiscard]] std::size_t layers() const { return model->layers(); }
  template<class Tap>
  [[nodiscard]] float_matrix logits(const token_batch& b, positions which, Tap&& tap) const {
    whole(b, which == positions::all ? b.ids.size() : b.sequences);
    return model->logits(b, which, tap);
  }
  template<class Tap>
  [[nodiscard]] nll loss(const token_batch& b, Tap&& tap) const {
    return model->loss(b, tap);
  }
  template<class Tap>
  float_matrix capture(const token_batch& b, cache_type& cache, Tap&& tap) const {
    whole(b, b.sequences);
    return model->capture(b, cache, tap);
  }
  template<class Tap>
  void run_layer(const layer_run& run, const cache_type& cache, activations_view<float> x, Tap&& tap) const {
    block(x.sequences, run.first_token, x.tokens, run.outputs == positions::last ? 1 : x.tokens);
    model->run_layer(run, cache, x, tap);
  }
  [[nodiscard]] float_matrix read_out(matrix_view<const float> last) const {
    head(last.rows);
    return model->read_out(last);
  }

 private:
  /// Keys and values of `tokens` positions; queries, attention, output map and MLP of the last `asking` positions.
  void block(std::size_t rows, std::size_t first, std::size_t tokens, std::size_t asking) const {
    const auto d = static_cast<double>(model->shape().width);
    double seen = 0;
    for (std::size_t t = first + tokens - asking; t < first + tokens; ++t) seen += static_cast<double>(t + 1);
    operations += 2 * static_cast<double>(rows) *
                  (2 * d * d * static_cast<double>(tokens) + 10 * d * d * static_cast<double>(asking) + 2 * d * seen);
  }
  void head(std::size_t rows) const {
    operations += 2 * static_cast<double>(rows * model->shape().width * model->shape().vocabulary);
  }
  void whole(const token_batch& b, std::size_t rows_read) const {
    for (std::size_t l = 0; l < layers(); ++l) block(b.sequences, 0, b.tokens, b.tokens);
    head(rows_read);
  }
};
static_assert(resumable_model<counting>);

/// One fact, its noise and the model.
struct question {
  engine::transformer model;
  score::fact fact{.name = "random", .prompt = {}, .subject_begin = 3, .subject_end = 6, .answer = 0};
  activations noise;

  explicit question(std::size_t width) : model(random_gpt2(width)) {
    const random_stream draw(1, purpose("benchmark prompt"));
    for (std::size_t i = 0; i < 16; ++i) fact.prompt.push_back(static_cast<token>(draw.below(i, 4096)));
    const float_matrix z = model.logits(prompts(1, fact.prompt), positions::last);
    fact.answer = static_cast<token>(std::ranges::max_element(z.values) - z.values.begin());
    const score::corruption rule;
    noise = score::draw_noise(rule, score::noise_scale(rule, model, std::span(&fact, 1)), 3, width);
  }

  static const question& of(std::size_t width) {
    static std::map<std::size_t, question> all;
    return all.try_emplace(width, width).first->second;
  }

  template<class Model>
  [[nodiscard]] score::fact_trace trace(const Model& m, score::restoration what) const {
    return score::trace_fact(m, fact, noise.view(), score::corruption::mode::add, std::span(&what, 1));
  }

  /// The published algorithm: every batch carries the clean run as row 0 and restores from it, and computes the logits
  /// of all positions although only the last are read.
  [[nodiscard]] basic_matrix<double> as_published(score::restoration what, std::size_t& work) const {
    const std::size_t runs = noise.sequences, tokens = fact.prompt.size(), layers = model.layers();
    std::vector<token> repeated;
    for (std::size_t k = 0; k <= runs; ++k) repeated.insert(repeated.end(), fact.prompt.begin(), fact.prompt.end());
    const token_batch batch = prompts(runs + 1, std::move(repeated));
    const std::size_t shift = what.kind == site_kind::residual ? 1 : 0;
    basic_matrix<double> table(tokens, layers);
    for (std::size_t l = 0; l < layers; ++l)
      for (std::size_t t = 0; t < tokens; ++t) {
        const auto [first, last] = score::restored_layers(l, what.window, layers);
        const auto tap = [&, first = first, last = last](site at, activations_view<float> x) {
          if (at.kind == site_kind::embedding)
            tap::add_noise{at, fact.subject_begin, noise.view()}(at, x.sequence_range(1, runs));
          if (at.kind != what.kind || at.layer < first + shift || at.layer >= last + shift) return;
          for (std::size_t k = 1; k <= runs; ++k) std::ranges::copy(x(0, t), x(k, t).begin());
        };
        const float_matrix logits = model.logits(batch, positions::all, tap);
        std::vector<score::answer_prediction> seen;
        for (std::size_t k = 1; k <= runs; ++k)
          seen.push_back(score::predict_answer(logits.row((k + 1) * tokens - 1), fact.answer));
        table(t, l) = score::average(seen).probability;
        work += layers * (runs + 1) * tokens;
      }
    return table;
  }
};

void causal_trace(benchmark::State& state, std::size_t width, score::restoration what) {
  const question& q = question::of(width);

  std::size_t published_work = 0;
  double start = seconds();
  const basic_matrix<double> published = q.as_published(what, published_work);
  const double published_time = seconds() - start;

  start = seconds();
  const score::fact_trace whole = q.trace(whole_forwards(q.model), what);
  const double whole_time = seconds() - start;

  const counting counted{&q.model};
  const score::fact_trace resumed = q.trace(counted, what);
  if (!resumed.known || resumed.tables != whole.tables || resumed.tables[0].probability != published) {
    state.SkipWithError("the algorithms disagree");
    return;
  }
  const double peak = fma_peak();
  start = seconds();
  for (auto _ : state) benchmark::DoNotOptimize(q.trace(q.model, what));
  const double time = (seconds() - start) / static_cast<double>(state.iterations());

  const auto count = [](std::size_t n) { return static_cast<double>(n); };
  state.counters["published_s"] = published_time;
  state.counters["whole_s"] = whole_time;
  state.counters["x_published"] = published_time / time;
  state.counters["x_whole"] = whole_time / time;
  state.counters["work"] = count(resumed.block_positions);
  state.counters["x_work_published"] = count(published_work) / count(resumed.block_positions);
  state.counters["x_work_whole"] = count(whole.block_positions) / count(resumed.block_positions);
  state.counters["gflops"] = counted.operations / time * 1e-9;
  state.counters["peak"] = counted.operations / time / peak;
  state.counters["effect"] = *std::ranges::max_element(resumed.tables[0].probability.values) - resumed.corrupted;
}

const bool registered = [] {
  const std::pair<const char*, score::restoration> cases[] = {{"hidden", {site_kind::residual, 1}},
                                                              {"attention:1", {site_kind::attention, 1}},
                                                              {"mlp:1", {site_kind::mlp, 1}},
                                                              {"attention:10", {site_kind::attention, 10}},
                                                              {"mlp:10", {site_kind::mlp, 10}}};
  for (const std::size_t width : {256u, 768u})
    for (const auto& [name, what] : cases)
      benchmark::RegisterBenchmark(("causal_trace/" + std::to_string(width) + "/" + name).c_str(),
                                   [width, what = what](benchmark::State& s) { causal_trace(s, width, what); })
          ->Unit(benchmark::kMillisecond)
          ->MinTime(2);
  return true;
}();

}  // namespace
