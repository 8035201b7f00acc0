#pragma once

#include <precis/core/as_span.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/math.hpp>
#include <precis/core/random.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/site.hpp>
#include <precis/core/text.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/misuse.hpp>
#include <precis/model/taps.hpp>
#include <precis/score/stream_parts.hpp>
#include <precis/score/taylor.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace precis::score {
PRECIS_IEEE_BEGIN

/// Scores a block by the variation of the loss when its input is perturbed by noise and its weights are not: TDMPQ as
/// the paper's prose describes it, with derivatives with respect to a layer's inputs.
///
/// The block reads x + size * rms(x) * xi instead of x. The rms is over all activations of the batch, and xi is
/// standard normal, drawn for (seed, layer, batch, pair, position). If x is all zeros, the deviation is `size`.
///
/// Shapes    any batches of the model. Units smaller than a block get their block's score. Units outside of the layers
///           (an embedding, the head) are unscored.
/// Unit      nats per prediction; the statistics are those of `taylor`.
/// Sign      high = keep. Only curvature can be negative.
/// Errors    invalid settings, as for taylor; losses that are not finite, by block and draw; nothing to predict.
/// Cost      1 + draws x blocks forward passes of all batches, about half with layered_model.
/// Source    Nanda, Balija, Sahoo, "CPTQuant", method TDMPQ.
/// Differs   The paper's equation perturbs weights. A perturbed residual stream also reaches all later blocks, so the
///           score reflects a block's depth more than its weights.
/// @post     bit-identical with and without layered_model, and on any executor.
struct input_taylor {
  taylor::statistic of = taylor::statistic::variation;
  double size = 0.01;
  std::size_t draws = 4;
  taylor::signs draw = taylor::signs::antithetic;
  std::uint64_t seed = 0;
  unit_kind units = unit_kind::block;

  bool operator==(const input_taylor&) const = default;

  template<weighted_model Model, executor Executor = sequential>
    requires tappable_model<Model>
  [[nodiscard]] scores operator()(const Model& model, std::span<const batch_of<Model>> batches,
                                  Executor&& run = {}) const {
    const taylor statistics{.of = of, .noise = {.size = size}, .draws = draws, .draw = draw};
    statistics.check();
    const std::size_t layers = model.layers();
    std::vector<unit> blocks = group_units(model.matrices(), unit_kind::block);
    std::erase_if(blocks, [&](const unit& u) { return u.layer >= layers; });
    perturbed_losses losses{
        .unchanged = std::vector<nll>(batches.size()),
        .changed = std::vector<std::vector<nll>>(blocks.size() * draws, std::vector<nll>(batches.size()))};
    run.for_each(batches.size(), [&](std::size_t b) {
      // The perturbed versions of all layers start from one residual stream, which advances through each layer once.
      std::vector<std::size_t> unit_of(layers, blocks.size());
      for (std::size_t u = 0; u < blocks.size(); ++u) unit_of[blocks[u].layer] = u;
      if constexpr (layered_model<Model>) {
        activations entering = model.enter(batches[b]);
        for (std::size_t l = 0; l < layers; ++l) {
          for (std::size_t v = 0; v < draws && unit_of[l] < blocks.size(); ++v) {
            activations noisy = entering;
            perturb(noisy.view(), l, b, v);
            for (std::size_t k = l; k < layers; ++k) model.run_layer(k, noisy);
            losses.changed[unit_of[l] * draws + v][b] = model.read_loss(batches[b], std::as_const(noisy).view());
          }
          model.run_layer(l, entering);
        }
        losses.unchanged[b] = model.read_loss(batches[b], std::as_const(entering).view());
      } else {
        for (std::size_t u = 0; u < blocks.size(); ++u)
          for (std::size_t v = 0; v < draws; ++v)
            losses.changed[u * draws + v][b] = model.loss(batches[b], [&](site at, activations_view<float> x) {
              if (at == site{site_kind::residual, blocks[u].layer}) perturb(x, blocks[u].layer, b, v);
            });
        losses.unchanged[b] = model.loss(batches[b], tap::none{});
      }
    });

    check(as_span(losses.unchanged), "the unchanged model");
    for (std::size_t i = 0; i < losses.changed.size(); ++i)
      check(as_span(losses.changed[i]),
            "unit " + blocks[i / draws].name + " with its input perturbed, draw " + std::to_string(i % draws));
    std::size_t samples = 0;
    for (const batch_of<Model>& b : batches) samples += taylor::samples_in(b);
    const scores of_blocks = statistics.combine(blocks, losses, samples);
    scores s{
        .model = {}, .scorer = "input_" + of_blocks.scorer, .measure = of_blocks.measure, .units = {}, .values = {}};
    std::vector<double> of_layers(layers);
    for (std::size_t u = 0; u < blocks.size(); ++u) of_layers[blocks[u].layer] = of_blocks.values[u];
    const stream_parts parts{layers, units};
    const auto score_of = [&](std::size_t part) { return of_layers[parts.halves() ? part / 2 : part]; };
    parts.score_units(s, model.matrices(), score_of, "score::input_taylor");
    return s;
  }

  /// Chosen only if the overload above does not match: its error names the missing capability and how to add it.
  template<class Model, class Batches, class... Rest>
    requires(!(weighted_model<Model> && tappable_model<Model>))
  refused operator()(const Model&, const Batches&, Rest&&...) const {
    static_assert(
        tappable_model<Model>,
        "precis: score::input_taylor needs a tappable_model: it perturbs what enters a block. Add loss(batch, "
        "tap) const to the adaptor, or use score::taylor, which perturbs weights. See docs/models.md#tappable");
    return {};
  }

  /// Chosen only if the model suits, and another argument does not.
  template<class Model, class Data, class... Rest>
    requires(weighted_model<std::remove_cvref_t<Model>> && tappable_model<std::remove_cvref_t<Model>> &&
             misuses<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>)
  refused operator()(Model&&, const Data&, Rest&&...) const {
    return explain_misuse<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>();
  }

 private:
  template<class = void>
  void perturb(activations_view<float> x, std::size_t layer, std::size_t batch, std::size_t version) const {
    const bool pairs = draw == taylor::signs::antithetic;
    double squares = 0;
    for (std::size_t s = 0; s < x.sequences; ++s)
      for (std::size_t t = 0; t < x.tokens; ++t)
        for (const float v : x(s, t)) squares += static_cast<double>(v) * static_cast<double>(v);
    const double rms = x.size() == 0 ? 0 : math::sqrt(squares / static_cast<double>(x.size()));
    const double deviation = (rms == 0 ? size : size * rms) * (pairs && version % 2 == 1 ? -1 : 1);
    const random_stream normal(seed,
                               purpose("score::input_taylor " + std::to_string(layer) + " " + std::to_string(batch)) +
                                   (pairs ? version / 2 : version));
    std::size_t i = 0;
    for (std::size_t s = 0; s < x.sequences; ++s)
      for (std::size_t t = 0; t < x.tokens; ++t)
        for (float& v : x(s, t)) v = static_cast<float>(static_cast<double>(v) + deviation * normal.normal(i++));
  }

  template<class = void>
  static void check(std::span<const nll> losses, const std::string& subject) {
    const nll all = total(losses);
    if (!kernel::is_finite(all.sum))
      refuse({.what = "the loss of " + subject + " is " + std::to_string(all.sum),
              .where = "score::input_taylor",
              .expected = "a finite loss"});
    require_predictions(all.count, losses.size(), "score::input_taylor");
  }
};

PRECIS_IEEE_END
}  // namespace precis::score
