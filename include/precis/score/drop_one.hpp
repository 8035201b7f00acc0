#pragma once

#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/site.hpp>
#include <precis/measure/kl_divergence.hpp>
#include <precis/measure/positions.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/taps.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::score {

/// Scores a block by what its absence costs: the model with this one block replaced by the identity.
///
/// Shapes    batches of tokens. Without a half, its output is zero; a matrix gets the score of its half.
/// Unit      nats per prediction: increase of the mean NLL (perplexity becomes perplexity x e^score), or KL(whole || without).
/// Sign      high = keep. The NLL may fall, so that score may be negative; KL is not, but for rounding.
/// Errors    nothing to predict; for the NLL, targets outside the vocabulary; logits that are not finite.
/// Cost      for every batch, layers + 1 forwards; with resumable_model half of the blocks, starting behind the dropped
///           one. Batches run on the executor; logits of one batch in memory for each thread.
/// Source    IST-DASLab/EvoPress (drop one block); methods B14.
/// @post     equal with and without resumable_model, on any executor and for any split into batches that gives the same
///           logits, bit for bit.
/// @post     a block that is the identity scores 0.
struct drop_one {
  enum class measure { nll, kl };
  measure by = measure::nll;
  unit_kind units = unit_kind::block;

  bool operator==(const drop_one&) const = default;

  template<tappable_model Model, executor Executor = sequential>
    requires weighted_model<Model> && token_model<Model>
  [[nodiscard]] scores operator()(const Model& model, std::span<const token_batch> batches, Executor&& run = {}) const {
    const std::size_t parts = model.layers() * (units == unit_kind::block ? 1 : 2);
    std::vector<basic_matrix<double>> losses(
        batches.size());  // [parts + 1 x sequences], the last row with nothing dropped
    std::vector<std::size_t> counts(batches.size());
    run.for_each(batches.size(), [&](std::size_t b) {
      const std::vector<std::size_t> rows = predicted_rows(batches[b], b);
      counts[b] = rows.size();
      if (rows.empty()) return;
      losses[b] = basic_matrix<double>(parts + 1, batches[b].sequences);
      float_matrix whole;  // logits with nothing dropped
      auto forward = forward_of(model, batches[b], rows);
      for (std::size_t i = parts + 1; i-- > 0;) {
        forward(i, [&](std::size_t n, std::span<const float> logits) {
          if (i == parts && by == measure::kl) {
            whole.cols = logits.size();
            whole.values.insert(whole.values.end(), logits.begin(), logits.end());
            ++whole.rows;
          }
          losses[b](i, rows[n] / batches[b].tokens) += by == measure::nll
                                                           ? nll_of(logits, batches[b].targets[rows[n]], b)
                                                           : precis::measure::kl_of_logits(whole.row(n), logits);
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
    if (count == 0)
      refuse({.what = "nothing to predict in " + std::to_string(batches.size()) + " batches",
              .where = "score::drop_one",
              .expected = by == measure::nll ? "at least one target" : "at least one position"});
    scores s{.model = {},
             .scorer = by == measure::nll ? "drop_one nll" : "drop_one kl",
             .measure = by == measure::nll ? "increase of the NLL, nats per token" : "KL, nats per token",
             .units = group_units(model.matrices(), units),
             .values = {}};
    for (const unit& u : s.units) {
      if (u.layer >= model.layers())
        refuse({.what = "unit " + u.name + " is in layer " + std::to_string(u.layer),
                .where = "score::drop_one",
                .expected = "one of the model's " + std::to_string(model.layers()) + " layers"});
      const std::size_t i = u.kind == unit_kind::block ? u.layer : 2 * u.layer + (u.part == part::attention ? 0 : 1);
      s.values.push_back((by == measure::nll ? sums[i] - sums[parts] : sums[i]) / static_cast<double>(count));
    }
    check_finite(s, "score::drop_one");
    return s;
  }

  /// Chosen only when the overload above is not: says why, and what to do about it.
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

 private:
  /// Rows (sequence * tokens + token) whose predictions count.
  [[nodiscard]] std::vector<std::size_t> predicted_rows(const token_batch& batch, std::size_t b) const {
    if (by == measure::nll && batch.targets.size() != batch.ids.size())
      refuse({.what = std::to_string(batch.targets.size()) + " targets for " + std::to_string(batch.ids.size()) +
                      " tokens in batch " + std::to_string(b),
              .where = "score::drop_one",
              .expected = "a target, or no_target, for every token; measure::kl needs none"});
    std::vector<std::size_t> rows;
    for (std::size_t r = 0; r < batch.sequences * batch.tokens; ++r)
      if (precis::measure::predicts(batch, r)) rows.push_back(r);
    return rows;
  }

  [[nodiscard]] static double nll_of(std::span<const float> logits, token target, std::size_t b) {
    if (target < 0 || static_cast<std::size_t>(target) >= logits.size())
      refuse({.what = "target " + std::to_string(target) + " of batch " + std::to_string(b),
              .where = "score::drop_one",
              .expected = "a token below " + std::to_string(logits.size())});
    return precis::measure::log_sum_exp(logits) - static_cast<double>(logits[static_cast<std::size_t>(target)]);
  }

  static void clear(activations_view<float> x) {
    for (std::size_t s = 0; s < x.sequences; ++s)
      for (std::size_t t = 0; t < x.tokens; ++t) std::ranges::fill(x(s, t), 0.f);
  }

  /// A function (i, use): runs the batch without part i, with everything if there is no such part, and calls
  /// use(n, logits) for the n-th of `rows`. Everything has to be run first.
  template<class Model>
  [[nodiscard]] auto forward_of(const Model& model, const token_batch& batch, std::span<const std::size_t> rows) const {
    const bool last = std::ranges::all_of(rows, [&](std::size_t r) { return r % batch.tokens + 1 == batch.tokens; });
    const positions outputs = last ? positions::last : positions::all;
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
        const activations_view<const float> entering = cache.residual(start);
        activations stream(entering.sequences, entering.tokens, entering.features);
        for (std::size_t s = 0; s < stream.sequences; ++s)
          for (std::size_t t = 0; t < stream.tokens; ++t)
            std::ranges::copy(entering(s, t), stream.view()(s, t).begin());
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
          float_matrix some(count, stream.features);
          for (std::size_t k = 0; k < count; ++k)
            std::ranges::copy(stream.view()(rows[n + k] / batch.tokens, rows[n + k] % batch.tokens),
                              some.row(k).begin());
          const float_matrix logits = model.read_out(std::as_const(some).view());
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
            before = activations(x.sequences, x.tokens, x.features);
            for (std::size_t s = 0; s < x.sequences; ++s)
              for (std::size_t t = 0; t < x.tokens; ++t) std::ranges::copy(x(s, t), before.view()(s, t).begin());
          } else if (at.kind == site_kind::residual && at.layer == i + 1) {
            for (std::size_t s = 0; s < x.sequences; ++s)
              for (std::size_t t = 0; t < x.tokens; ++t) std::ranges::copy(before.view()(s, t), x(s, t).begin());
          }
        };
        const float_matrix logits = model.logits(batch, outputs, drop);
        for (std::size_t n = 0; n < rows.size(); ++n)
          use(n, logits.row(outputs == positions::last ? rows[n] / batch.tokens : rows[n]));
      };
    }
  }
};

}  // namespace precis::score
