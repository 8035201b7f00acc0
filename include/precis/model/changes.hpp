#pragma once

#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/model/batch.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/guard.hpp>

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis {

/// Reads a batch's loss off a whole forward, or off the residual entering the head. Other readings have the same two calls.
template<evaluable_model Model>
struct loss_reading {
  std::span<const batch_of<Model>> batches;

  [[nodiscard]] nll operator()(const Model& model, std::size_t batch) const { return model.loss(batches[batch]); }
  [[nodiscard]] nll operator()(const Model& model, std::size_t batch, activations_view<const float> last) const
    requires layered_model<Model>
  {
    return model.read_loss(batches[batch], last);
  }
};

/// Changes the weights of one unit at a time and reads every batch's loss. What pruning, perturbation and measured costs share.
///
///     change(unit, version)            overwrites the unit's weights, which are the original ones when it is called
///     change.describe(version)         what happened to the unit, for messages: "pruned by 0.5"
///     done(index, version, losses)     takes the losses of that unit and version, one a batch
///
/// Returns the losses of the unchanged model. Units come layer by layer, not in their own order. The weights are the
/// original ones, to the bit, after every unit and whatever is thrown.
///
/// Threads  units follow each other, because there is one set of weights; the batches of a version run on the executor. Give
///          several batches to use several threads.
/// Errors   a loss that is not finite, by batch, unit and version; nothing to predict; whatever change and done refuse.
/// Cost     1 + versions x units forwards of all batches. A layered_model begins at the changed layer, with the residual
///          that enters it, one a batch: 1 + versions x sum over units of (1 - layer / layers), half of it for blocks.
/// @post    equal with and without layered_model, and on any executor, bit for bit.
/// Source   methods A2 (resume, mutation), B6.
template<evaluable_model Model, class Read, class Change, class Done, executor Executor = sequential>
  requires mutable_model<Model>
std::vector<nll> read_changes(Model& model, std::span<const batch_of<Model>> batches, std::span<const unit> units,
                              std::size_t versions, const Read& read, Change&& change, Done&& done,
                              const std::string& where, Executor&& run = {}) {
  const Model& constant = model;
  const auto each_batch = [&](auto&& body) {
    std::vector<nll> losses(batches.size());
    run.for_each(batches.size(), [&](std::size_t b) { losses[b] = body(b); });
    return losses;
  };
  /// The loss of batch b, from layer l on where the model can start there.
  const auto read_from = [&](std::size_t l, activations entering, std::size_t b) {
    if constexpr (layered_model<Model>) {
      for (; l < constant.layers(); ++l) constant.run_layer(l, entering);
      return read(constant, b, std::as_const(entering).view());
    } else {
      return read(constant, b);
    }
  };
  const auto enter = [&](std::size_t b) {
    if constexpr (layered_model<Model>) return constant.enter(batches[b]);
    return activations{};
  };
  const auto check = [&](std::span<const nll> losses, const std::string& what) {
    std::size_t predictions = 0;
    for (std::size_t b = 0; b < losses.size(); ++b) {
      predictions += losses[b].count;
      if (std::isfinite(losses[b].sum)) continue;
      const bool always = !std::isfinite(read_from(0, enter(b), b).sum);
      refuse({.what = "the loss of batch " + std::to_string(b) + (always ? " of the unchanged model" : what) + " is " +
                      std::to_string(losses[b].sum),
              .where = where,
              .expected = "a finite loss"});
    }
    if (predictions == 0)
      refuse({.what = "nothing to predict in " + std::to_string(batches.size()) + " batches",
              .where = where,
              .expected = "at least one target"});
  };

  std::vector<activations> entering(batches.size());  // the layer that the units below are in
  run.for_each(batches.size(), [&](std::size_t b) { entering[b] = enter(b); });
  const auto make_version = [&](const unit& u, std::size_t v) {
#if defined(__cpp_exceptions)
    try {
      change(u, v);
    } catch (const error& e) {  // it knows its matrix, not whose it is
      problem named = e.reason();
      named.where = where + ", unit " + u.name + ": " + named.where;
      refuse(std::move(named));
    }
#else
    change(u, v);
#endif
  };
  const auto measure = [&](std::size_t u, std::size_t layer) {
    weight_guard guard(model, units[u].matrices);
    for (std::size_t v = 0; v < versions; ++v) {
      make_version(units[u], v);
      const std::vector<nll> losses = each_batch([&](std::size_t b) { return read_from(layer, entering[b], b); });
      guard.restore();
      check(losses, " with unit " + units[u].name + " " + change.describe(v));
      done(u, v, std::span<const nll>(losses));
    }
  };
  std::size_t layer = 0;
  if constexpr (layered_model<Model>) {
    for (const std::size_t layers = constant.layers(); layer < layers; ++layer) {
      for (std::size_t u = 0; u < units.size(); ++u)
        if (units[u].layer == layer) measure(u, layer);
      run.for_each(batches.size(), [&](std::size_t b) { constant.run_layer(layer, entering[b]); });
    }
  }
  for (std::size_t u = 0; u < units.size(); ++u)  // what is left: the head, or all of a model that is not layered
    if (units[u].layer >= layer) measure(u, layer);

  std::vector<nll> unchanged = each_batch([&](std::size_t b) { return read_from(layer, entering[b], b); });
  check(unchanged, " of the unchanged model");
  return unchanged;
}

/// The loss of several batches together: sums merge, in order (methods A4).
[[nodiscard]] inline nll total(std::span<const nll> losses) noexcept {
  nll sum;
  for (const nll& loss : losses) sum += loss;
  return sum;
}

}  // namespace precis
