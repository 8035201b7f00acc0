#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/site.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/taps.hpp>
#include <precis/score/causal/corruption.hpp>
#include <precis/score/causal/fact.hpp>
#include <precis/score/causal/restoration.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::score {
PRECIS_IEEE_BEGIN

namespace detail {

/// A tap that corrupts the subject: run k receives noise sequence k.
struct corrupt {
  corruption::mode how;
  std::size_t first_token;
  activations_view<const float> noise = {};

  template<class = void>
  void operator()(site at, activations_view<float> x) const {
    if (at.kind != site_kind::embedding) return;
    if (how == corruption::mode::add) {
      tap::add_noise{at, first_token, noise}(at, x);
      return;
    }
    for (std::size_t k = 0; k < x.sequences; ++k)
      for (std::size_t t = 0; t < noise.tokens; ++t) copy_span(noise(k, t), x(k, first_token + t));
  }
};

/// The clean activations of one fact at each site that can be restored.
class clean_states {
 public:
  explicit clean_states(std::size_t layers) : layers_(layers), values_(3 * layers) {}

  template<class = void>
  void operator()(site at, activations_view<float> x) {
    if (at.kind == site_kind::embedding || (at.kind == site_kind::residual && at.layer == 0)) return;
    const std::size_t slot = index(at.kind, at.kind == site_kind::residual ? at.layer - 1 : at.layer);
    activations& copy = values_[slot] = activations(1, x.tokens, x.features);
    for (std::size_t t = 0; t < x.tokens; ++t) copy_span(x(0, t), copy.view()(0, t));
  }
  /// The clean output of block `layer` (residual), or of its attention or MLP.
  template<class = void>
  [[nodiscard]] std::span<const float> at(site_kind kind, std::size_t layer, std::size_t t) const {
    return values_[index(kind, layer)].view()(0, t);
  }

 private:
  [[nodiscard]] std::size_t index(site_kind kind, std::size_t layer) const noexcept {
    const std::size_t which = kind == site_kind::residual ? 0 : kind == site_kind::attention ? 1 : 2;
    return which * layers_ + layer;
  }
  std::size_t layers_;
  std::vector<activations> values_;
};

/// The definition: one full forward pass per token and layer. resumed_restoration must equal it bit for bit.
template<tappable_model Model>
void restore_by_full_runs(const Model& model, const token_batch& noisy, const corrupt& noise, const clean_states& clean,
                          token answer, restoration_table& table, std::size_t& work) {
  const std::size_t layers = model.layers();
  for (std::size_t l = 0; l < layers; ++l)
    for (std::size_t t = 0; t < noisy.tokens; ++t) {
      const auto [first, last] = restored_layers(l, table.what.window, layers);
      const auto tap = [&, first = first, last = last](site at, activations_view<float> x) {
        noise(at, x);
        if (at.kind != table.what.kind) return;
        const std::size_t shift = at.kind == site_kind::residual ? 1 : 0;  // a block's output enters the next layer
        if (at.layer < first + shift || at.layer >= last + shift) return;
        for (std::size_t k = 0; k < x.sequences; ++k) copy_span(clean.at(at.kind, at.layer - shift, t), x(k, t));
      };
      const float_matrix logits = model.logits(noisy, positions::last, precis::tap::reference(tap));
      std::vector<answer_prediction> runs;
      for (std::size_t k = 0; k < logits.rows; ++k) runs.push_back(predict_answer(logits.row(k), answer));
      const mean_prediction m = average(as_span(runs));
      table.probability(t, l) = m.probability;
      table.recovery(t, l) = m.recovery;
      work += layers * noisy.sequences * noisy.tokens;
    }
}

/// Computes the same numbers from the corrupted run's cache. It runs only the layers after the first restored one, the
/// positions from the restored one on and, in the last layer, the last position; all layers' restorations share one
/// run.
///
/// For one token t, a *state* is a run that differs from the corrupted one from the first layer of its window on. All
/// states advance layer by layer in one call. Windows that start at the same layer share a state until the first of
/// them ends, where the state forks.
template<resumable_model Model>
class resumed_restoration {
 public:
  resumed_restoration(const Model& model, const typename Model::cache_type& cache, const clean_states& clean,
                      std::size_t runs, std::size_t subject_begin, token answer)
      : model_(model),
        cache_(cache),
        clean_(clean),
        runs_(runs),
        subject_(subject_begin),
        answer_(answer),
        layers_(model.layers()),
        tokens_(cache.residual(0).tokens),
        features_(cache.residual(0).features) {}

  /// `untouched` is the corrupted run's own prediction, the result of restoring a position that the noise does not
  /// affect.
  void operator()(restoration_table& table, mean_prediction untouched, std::size_t& work) {
    what_ = table.what;
    work_ = &work;
    windows_.clear();
    for (std::size_t l = 0; l < layers_; ++l) windows_.push_back(restored_layers(l, what_.window, layers_));
    prepare_starts();

    // In a causal model the noise does not affect positions before the subject, so restoring them changes nothing.
    const std::size_t first = Model::causal ? subject_ : 0;
    for (std::size_t t = 0; t < first; ++t)
      for (std::size_t l = 0; l < layers_; ++l) {
        table.probability(t, l) = untouched.probability;
        table.recovery(t, l) = untouched.recovery;
      }
    for (std::size_t t = first; t < tokens_; ++t) restore(t, table, untouched);
  }

 private:
  struct state {
    std::size_t first = 0;  ///< first restored layer
    std::size_t end = 0;    ///< one past the last restored layer; 0 while the window is open
  };

  /// Windows of attention and MLP sites start inside a layer. Within a layer's remaining sites positions do not
  /// interact, so one run of each start layer with *every* position restored gives the start state of each position.
  void prepare_starts() {
    starts_.assign(layers_, activations{});
    if (what_.kind == site_kind::residual) return;
    const std::size_t begin = Model::causal ? subject_ : 0;
    std::vector<std::size_t> all(runs_);
    for (std::size_t k = 0; k < runs_; ++k) all[k] = k;
    for (std::size_t l = 0; l < layers_; ++l) {
      if (std::none_of(windows_.begin(), windows_.end(), [&](const auto& w) { return w.first == l; })) continue;
      activations& start = starts_[l] = activations(runs_, tokens_ - begin, features_);
      copy_tokens(cache_.residual(l), begin, start.view());
      const auto tap = [&](site at, activations_view<float> x) {
        if (at.kind != what_.kind) return;
        for (std::size_t k = 0; k < x.sequences; ++k)
          for (std::size_t t = 0; t < x.tokens; ++t)
            copy_span(clean_.at(what_.kind, l, tokens_ - x.tokens + t), x(k, t));
      };
      model_.run_layer({.layer = l, .first_token = begin, .sequences = all, .outputs = positions::all}, cache_,
                       start.view(), tap);
      *work_ += runs_ * (tokens_ - begin);
    }
  }

  /// Restores one token, at all layers.
  void restore(std::size_t t, restoration_table& table, mean_prediction untouched) {
    const std::size_t begin = Model::causal ? t : 0;
    const std::size_t width = tokens_ - begin;
    // Noisy runs are independent; process as many at a time as fit the buffer.
    constexpr std::size_t buffer_floats = std::size_t{1} << 24;
    const std::size_t per_run = layers_ * width * features_;
    const std::size_t chunk = std::clamp<std::size_t>(buffer_floats / std::max<std::size_t>(per_run, 1), 1, runs_);

    std::vector<std::vector<answer_prediction>> seen(layers_);  // [layers][runs]
    for (std::size_t k0 = 0; k0 < runs_; k0 += chunk) follow(t, begin, k0, std::min(chunk, runs_ - k0), seen);
    for (std::size_t l = 0; l < layers_; ++l) {
      const mean_prediction m = seen[l].empty() ? untouched : average(as_span(seen[l]));
      table.probability(t, l) = m.probability;
      table.recovery(t, l) = m.recovery;
    }
  }

  void follow(std::size_t t, std::size_t begin, std::size_t k0, std::size_t runs,
              std::vector<std::vector<answer_prediction>>& seen) {
    const std::size_t width = tokens_ - begin;
    const bool at_last = t + 1 == tokens_;
    std::vector<state> states;
    activations rows(layers_ * runs, width, features_);  // state i has rows [i * runs, (i + 1) * runs)
    std::vector<std::size_t> origin(layers_ * runs);
    for (std::size_t i = 0; i < origin.size(); ++i) origin[i] = k0 + i % runs;

    for (std::size_t layer = 0; layer < layers_; ++layer) {
      close_windows(layer, states, rows, runs, width);
      const std::size_t last_layer = layers_ - 1;
      if (!states.empty()) {
        const std::size_t active = states.size() * runs;
        const positions outputs = layer == last_layer ? positions::last : positions::all;
        const auto tap = [&](site at, activations_view<float> x) {
          if (at.kind != what_.kind || at.kind == site_kind::residual) return;
          if (x.tokens != width && !at_last) return;  // only the last position is computed, and t is not the last
          for (std::size_t i = 0; i < states.size(); ++i)
            if (states[i].end == 0)
              for (std::size_t k = 0; k < runs; ++k)
                copy_span(clean_.at(at.kind, layer, t), x(i * runs + k, x.tokens == width ? t - begin : 0));
        };
        model_.run_layer(
            {.layer = layer, .first_token = begin, .sequences = std::span(origin).first(active), .outputs = outputs},
            cache_, rows.view().sequence_range(0, active), tap);
        *work_ += active * (outputs == positions::last ? 1 : width);
        if (what_.kind == site_kind::residual)
          for (std::size_t i = 0; i < states.size(); ++i)
            if (states[i].end == 0) put_clean(rows, i * runs, runs, t - begin, layer, t);
      }
      // A window that starts in the last layer affects the answer only at the last position.
      const bool matters = layer != last_layer || at_last;
      if (matters && std::any_of(windows_.begin(), windows_.end(), [&](const auto& w) { return w.first == layer; })) {
        const std::size_t slot = states.size() * runs;
        const activations_view<float> fresh = rows.view().sequence_range(slot, runs);
        copy_tokens(cache_.residual(layer + 1).sequence_range(k0, runs), begin, fresh);
        if (what_.kind == site_kind::residual)
          put_clean(rows, slot, runs, t - begin, layer, t);
        else
          for (std::size_t k = 0; k < runs; ++k) {
            const activations& start = starts_[layer];
            copy_span(start.view()(k0 + k, t - (tokens_ - start.tokens)), fresh(k, t - begin));
          }
        states.push_back({.first = layer, .end = 0});
      }
    }
    close_windows(layers_, states, rows, runs, width);
    if (states.empty()) return;

    const float* last = rows.values.data() + (width - 1) * features_;
    const float_matrix logits =
        model_.read_out({last, states.size() * runs, features_, static_cast<std::ptrdiff_t>(width * features_), 1});
    for (std::size_t i = 0; i < states.size(); ++i)
      for (std::size_t l = 0; l < layers_; ++l)
        if (windows_[l].first == states[i].first && windows_[l].end == states[i].end)
          for (std::size_t k = 0; k < runs; ++k) seen[l].push_back(predict_answer(logits.row(i * runs + k), answer_));
  }

  /// Closes the windows that end at `layer`, and forks a state that other windows still share.
  void close_windows(std::size_t layer, std::vector<state>& states, activations& rows, std::size_t runs,
                     std::size_t width) {
    const std::size_t open = states.size();
    for (std::size_t i = 0; i < open; ++i) {
      if (states[i].end != 0) continue;
      bool ends = false, continues = false;
      for (const auto& [first, end] : windows_)
        if (first == states[i].first) (end == layer ? ends : continues) |= end >= layer;
      if (!ends) continue;
      if (!continues) {
        states[i].end = layer;
        continue;
      }
      const std::size_t size = runs * width * features_;
      std::copy_n(rows.values.begin() + static_cast<std::ptrdiff_t>(i * size), size,
                  rows.values.begin() + static_cast<std::ptrdiff_t>(states.size() * size));
      states.push_back({.first = states[i].first, .end = layer});
    }
  }

  void put_clean(activations& rows, std::size_t slot, std::size_t runs, std::size_t column, std::size_t layer,
                 std::size_t t) {
    for (std::size_t k = 0; k < runs; ++k)
      copy_span(clean_.at(site_kind::residual, layer, t), rows.view()(slot + k, column));
  }

  static void copy_tokens(activations_view<const float> from, std::size_t begin, activations_view<float> to) {
    for (std::size_t k = 0; k < to.sequences; ++k)
      for (std::size_t t = 0; t < to.tokens; ++t) copy_span(from(k, begin + t), to(k, t));
  }

  const Model& model_;
  const typename Model::cache_type& cache_;
  const clean_states& clean_;
  std::size_t runs_;
  std::size_t subject_;
  token answer_;
  std::size_t layers_;
  std::size_t tokens_;
  std::size_t features_;
  restoration what_;
  std::size_t* work_ = nullptr;
  std::vector<layer_range> windows_;  // [layers], the window centred on each
  std::vector<activations> starts_;   // [layers], stream after a start layer with every position restored
};

}  // namespace detail

/// Traces one fact: corrupts its subject with noise, then restores one site at a time and measures how far the answer
/// recovers.
///
/// Shapes    noise [runs x subject tokens x features], already scaled; tables [tokens x layers].
/// Unit      probability of the answer at the last position; recovery in [0, 1].
/// Errors    a subject outside the prompt; an answer outside the vocabulary; noise of the wrong shape; a window of 0. A
///           fact whose answer is not the first choice of the clean run is returned with known == false and without
///           tables.
/// Cost      tokens x layers forward passes of `runs` rows per restoration; with resumable_model about
///           (1 - subject_begin / tokens)^2 / 4 of that. Memory: layers x runs x tokens x features floats for the
///           cache, and at most 64 MiB for the resumed runs.
/// Source    Meng et al. 2022, "Locating and Editing Factual Associations in GPT", arXiv:2202.05262, section 2.
/// @post     bit-identical with and without resumable_model.
template<tappable_model Model>
  requires token_model<Model>
[[nodiscard]] fact_trace trace_fact(const Model& model, const fact& f, activations_view<const float> noise,
                                    corruption::mode how, std::span<const restoration> restorations) {
  check(f);
  if (noise.sequences == 0 || noise.tokens != f.subject_end - f.subject_begin)
    refuse({.what =
                "noise for " + std::to_string(noise.sequences) + " runs of " + std::to_string(noise.tokens) + " tokens",
            .where = "score::causal_trace, fact '" + f.name + "'",
            .expected = "at least one run of " + std::to_string(f.subject_end - f.subject_begin) + " subject tokens"});
  for (const restoration& r : restorations)
    if (r.window == 0 || r.kind == site_kind::embedding)
      refuse({.what = "a restoration of " + std::string(to_string(r.kind)) + " with window " + std::to_string(r.window),
              .where = "score::causal_trace",
              .expected = "residual, attention or mlp, and a window of at least 1"});

  const std::size_t layers = model.layers();
  const std::size_t tokens = f.prompt.size();
  const std::size_t runs = noise.sequences;
  fact_trace trace{
      .name = f.name, .tokens = tokens, .subject_begin = f.subject_begin, .subject_end = f.subject_end, .tables = {}};

  detail::clean_states clean(layers);
  std::size_t features = 0;
  const auto record = [&](site at, activations_view<float> x) {
    features = x.features;
    clean(at, x);
  };
  const float_matrix clean_logits = model.logits(prompts(1, f.prompt), positions::last, tap::reference(record));
  trace.block_positions += layers * tokens;
  if (f.answer < 0 || static_cast<std::size_t>(f.answer) >= clean_logits.cols)
    refuse({.what = "answer token " + std::to_string(f.answer) + " of fact '" + f.name + "'",
            .where = "score::causal_trace",
            .expected = "a token in the vocabulary, 0 to " + std::to_string(clean_logits.cols - 1)});
  if (noise.features != features)
    refuse({.what = "noise with " + std::to_string(noise.features) + " features",
            .where = "score::causal_trace, fact '" + f.name + "'",
            .expected = std::to_string(features) + ", the width of the token embeddings"});
  const answer_prediction predicted = predict_answer(clean_logits.row(0), f.answer);
  trace.clean = predicted.probability;
  trace.known = predicted.first_choice;
  if (!trace.known) return trace;

  std::vector<token> repeated;
  for (std::size_t k = 0; k < runs; ++k) repeated.insert(repeated.end(), f.prompt.begin(), f.prompt.end());
  const token_batch noisy = prompts(runs, std::move(repeated));
  const detail::corrupt corrupt{how, f.subject_begin, noise};
  const auto finish = [&](const float_matrix& logits, auto&& restore) {
    std::vector<answer_prediction> each;
    for (std::size_t k = 0; k < runs; ++k) each.push_back(predict_answer(logits.row(k), f.answer));
    const mean_prediction untouched = average(as_span(each));
    trace.corrupted = untouched.probability;
    trace.corrupted_recovery = untouched.recovery;
    trace.block_positions += layers * runs * tokens;
    for (const restoration& r : restorations) {
      trace.tables.push_back({r, basic_matrix<double>(tokens, layers), basic_matrix<double>(tokens, layers)});
      restore(trace.tables.back(), untouched);
    }
  };
  if constexpr (resumable_model<Model>) {
    typename Model::cache_type cache;
    const float_matrix logits = model.capture(noisy, cache, tap::reference(corrupt));
    detail::resumed_restoration<Model> restore(model, cache, clean, runs, f.subject_begin, f.answer);
    finish(logits, [&](restoration_table& table, mean_prediction untouched) {
      restore(table, untouched, trace.block_positions);
    });
  } else {
    finish(model.logits(noisy, positions::last, tap::reference(corrupt)),
           [&](restoration_table& table, mean_prediction) {
             detail::restore_by_full_runs(model, noisy, corrupt, clean, f.answer, table, trace.block_positions);
           });
  }
  return trace;
}

PRECIS_IEEE_END
}  // namespace precis::score
