#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/site.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/measure/kl_divergence.hpp>
#include <precis/measure/log_sum_exp.hpp>
#include <precis/measure/positions.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/misuse.hpp>
#include <precis/model/taps.hpp>
#include <precis/score/stream_parts.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace precis::score {
PRECIS_IEEE_BEGIN

/// Scores a block by the loss of dropping it: the block is replaced by the identity, and the result is compared with
/// the original model.
///
/// Shapes    batches of tokens. To drop a half, its output is set to zero; a matrix gets the score of its half.
///           Units outside of the layers (an embedding, the head) are unscored.
/// Unit      nats per prediction: the increase of the mean NLL (the perplexity grows by a factor of e^score), or
///           KL(original || without the block).
/// Sign      high = keep. With the NLL a score can be negative; KL is non-negative up to rounding.
/// Errors    nothing to predict; for the NLL, targets outside the vocabulary; logits that are not finite.
/// Cost      layers + 1 forward passes per batch; about half of that with resumable_model, which resumes after the
///           dropped block. Batches run on the executor; each thread holds the logits of one batch.
/// Source    IST-DASLab/EvoPress, its search that drops one block at a time.
/// @post     bit-identical with and without resumable_model, on any executor and for any split into batches that gives
///           the same logits.
/// @post     a block that is the identity scores 0.
struct drop_one {
  enum class quantity { nll, kl };
  quantity by = quantity::nll;
  unit_kind units = unit_kind::block;

  bool operator==(const drop_one&) const = default;

  template<tappable_model Model, executor Executor = sequential>
    requires weighted_model<Model> && token_model<Model>
  [[nodiscard]] scores operator()(const Model& model, std::span<const token_batch> batches, Executor&& run = {}) const {
    const stream_parts stream{model.layers(), units};
    const std::size_t parts = stream.count();
    // One matrix per batch, [parts + 1 x sequences]; in the last row nothing is dropped.
    std::vector<basic_matrix<double>> losses(batches.size());
    std::vector<std::size_t> counts(batches.size());
    run.for_each(batches.size(), [&](std::size_t b) {
      const std::vector<std::size_t> rows = predicted_rows(batches[b], b);
      counts[b] = rows.size();
      if (rows.empty()) return;
      losses[b] = basic_matrix<double>(parts + 1, batches[b].sequences);
      float_matrix original;  // logits with nothing dropped
      auto forward = forward_of(model, batches[b], rows);
      for (std::size_t i = parts + 1; i-- > 0;) {
        forward(i, [&](std::size_t n, std::span<const float> logits) {
          if (i == parts && by == quantity::kl) {
            original.cols = logits.size();
            original.values.insert(original.values.end(), logits.begin(), logits.end());
            ++original.rows;
          }
          losses[b](i, rows[n] / batches[b].tokens) += by == quantity::nll
                                                           ? nll_of(logits, batches[b].targets[rows[n]], b)
                                                           : measure::kl_of_logits(original.row(n), logits);
        });
      }
    });

    std::vector<double> sums(parts + 1);
    std::size_t count = 0;
    for (std::size_t b = 0; b < batches.size(); ++b) {
      count += counts[b];
      for (std::size_t s = 0; s < losses[b].cols; ++s)
        for (std::size_t i = 0; i <= parts; ++i) sums[i] += losses[b](i, s);
    }
    require_predictions(count, batches.size(), "score::drop_one",
                        by == quantity::nll ? "at least one target" : "at least one position");
    scores s{.model = {},
             .scorer = by == quantity::nll ? "drop_one nll" : "drop_one kl",
             .measure = by == quantity::nll ? "increase of the NLL, nats per token" : "KL, nats per token",
             .units = {},
             .values = {}};
    const auto score_of = [&](std::size_t i) {
      return (by == quantity::nll ? sums[i] - sums[parts] : sums[i]) / static_cast<double>(count);
    };
    stream.score_units(s, model.matrices(), score_of, "score::drop_one");
    check_finite(s, "score::drop_one");
    return s;
  }

  /// Chosen only if the overload above does not match: its error names the missing capability and how to add it.
  template<class Model, class Batches, class... Rest>
    requires(!(tappable_model<Model> && weighted_model<Model> && token_model<Model>))
  refused operator()(const Model&, const Batches&, Rest&&...) const {
    static_assert(tappable_model<Model>,
                  "precis: score::drop_one needs a tappable_model. Add layers(), logits(batch, positions, tap) and "
                  "loss(batch, tap) to the adaptor. See docs/models.md#tappable");
    static_assert(
        weighted_model<Model>,
        "precis: score::drop_one needs a weighted_model to know the units. Add matrices() and weights(i) to the "
        "adaptor. See docs/models.md#weighted");
    static_assert(
        token_model<Model>,
        "precis: score::drop_one needs a token_model: it reads the loss from logits and targets. Set batch_type "
        "to precis::token_batch in the adaptor. See docs/models.md#batches");
    return {};
  }

  /// Chosen only if the model suits, and another argument does not.
  template<class Model, class Data, class... Rest>
    requires(tappable_model<std::remove_cvref_t<Model>> && weighted_model<std::remove_cvref_t<Model>> &&
             token_model<std::remove_cvref_t<Model>> &&
             misuses<reads_weights, std::span<const token_batch>, Model, Data, Rest...>)
  refused operator()(Model&&, const Data&, Rest&&...) const {
    return explain_misuse<reads_weights, std::span<const token_batch>, Model, Data, Rest...>();
  }

 private:
  /// The rows (sequence * tokens + token) of the predictions that count.
  template<class = void>
  [[nodiscard]] std::vector<std::size_t> predicted_rows(const token_batch& batch, std::size_t b) const {
    if (by == quantity::nll && batch.targets.size() != batch.ids.size())
      refuse({.what = std::to_string(batch.targets.size()) + " targets for " + std::to_string(batch.ids.size()) +
                      " tokens in batch " + std::to_string(b),
              .where = "score::drop_one",
              .expected = "a target or no_target per token; quantity::kl needs none"});
    std::vector<std::size_t> rows;
    for (std::size_t r = 0; r < batch.sequences * batch.tokens; ++r)
      if (measure::predicts(batch, r)) rows.push_back(r);
    return rows;
  }

  template<class = void>
  [[nodiscard]] static double nll_of(std::span<const float> logits, token target, std::size_t b) {
    if (target < 0 || static_cast<std::size_t>(target) >= logits.size())
      refuse({.what = "target " + std::to_string(target) + " of batch " + std::to_string(b),
              .where = "score::drop_one",
              .expected = "a token below " + std::to_string(logits.size())});
    return measure::log_sum_exp(logits) - static_cast<double>(logits[static_cast<std::size_t>(target)]);
  }

  template<class = void>
  static void clear(activations_view<float> x) {
    for (std::size_t s = 0; s < x.sequences; ++s)
      for (std::size_t t = 0; t < x.tokens; ++t)
        for (float& value : x(s, t)) value = 0.f;
  }

  /// Returns a function (i, use) that runs the batch without part i and calls use(n, logits) for the n-th of `rows`. If
  /// i is the number of parts, nothing is dropped; this must be the first run.
  template<class Model>
  [[nodiscard]] auto forward_of(const Model& model, const token_batch& batch, std::span<const std::size_t> rows) const {
    const bool only_last =
        std::all_of(rows.begin(), rows.end(), [&](std::size_t r) { return r % batch.tokens + 1 == batch.tokens; });
    const positions outputs = only_last ? positions::last : positions::all;
    const bool halves = units != unit_kind::block;
    const auto half = [](std::size_t i) { return site{i % 2 == 0 ? site_kind::attention : site_kind::mlp, i / 2}; };
    if constexpr (resumable_model<Model>) {
      return [&model, &batch, rows, outputs, halves, half, cache = typename Model::cache_type()](std::size_t i,
                                                                                                 auto&& use) mutable {
        const std::size_t layers = model.layers(), parts = halves ? 2 * layers : layers;
        if (i == parts) static_cast<void>(model.capture(batch, cache, tap::none{}));
        std::vector<std::size_t> all(batch.sequences);
        for (std::size_t s = 0; s < all.size(); ++s) all[s] = s;
        const std::size_t start = i == parts ? layers : halves ? i / 2 : i;
        activations stream = tap::copy_of(cache.residual(start));
        const auto drop = [&](site at, activations_view<float> x) {
          if (i < parts && halves && at == half(i)) clear(x);
        };
        for (std::size_t l = halves ? start : start + 1; l < layers; ++l)
          model.run_layer(
              {.layer = l, .first_token = 0, .sequences = all, .outputs = l + 1 == layers ? outputs : positions::all},
              cache, stream.view(), drop);
        constexpr std::size_t at_a_time = 64;
        for (std::size_t n = 0; n < rows.size(); n += at_a_time) {
          const std::size_t count = std::min(at_a_time, rows.size() - n);
          float_matrix residuals(count, stream.features);
          for (std::size_t k = 0; k < count; ++k)
            copy_span(stream.view()(rows[n + k] / batch.tokens, rows[n + k] % batch.tokens), residuals.row(k));
          const float_matrix logits = model.read_out(std::as_const(residuals).view());
          for (std::size_t k = 0; k < count; ++k) use(n + k, logits.row(k));
        }
      };
    } else {
      return [&model, &batch, rows, outputs, halves, half](std::size_t i, auto&& use) {
        activations before;
        const auto drop = [&](site at, activations_view<float> x) {
          if (halves) {
            if (at == half(i)) clear(x);
          } else if (at.kind == site_kind::residual && at.layer == i) {
            before = tap::copy_of(x);
          } else if (at.kind == site_kind::residual && at.layer == i + 1) {
            tap::assign(x, before.view());
          }
        };
        const float_matrix logits = model.logits(batch, outputs, tap::reference(drop));
        for (std::size_t n = 0; n < rows.size(); ++n)
          use(n, logits.row(outputs == positions::last ? rows[n] / batch.tokens : rows[n]));
      };
    }
  }
};

PRECIS_IEEE_END
}  // namespace precis::score
