#pragma once

#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/batch.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/guard.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace precis {
PRECIS_IEEE_BEGIN

/// Remembers nothing between runs: what scorers that change units do unless the caller keeps their partial results. One
/// that remembers has the same two members, with the losses of each batch; their order is that of the batches.
struct no_memory {
  [[nodiscard]] const std::vector<nll>* known(std::size_t, std::size_t) const noexcept { return nullptr; }
  void finished(std::size_t, std::size_t, std::span<const nll>) const noexcept {}
};

/// What read_changes calls for every unit and version: the memory is told, and `use` receives the losses.
template<class Memory, class Use>
struct remembered_losses {
  Memory& memory;
  Use use;

  [[nodiscard]] const std::vector<nll>* known(std::size_t unit, std::size_t version) const {
    return memory.known(unit, version);
  }
  void operator()(std::size_t unit, std::size_t version, std::span<const nll> losses) const {
    if (memory.known(unit, version) == nullptr) memory.finished(unit, version, losses);
    use(unit, version, losses);
  }
};
template<class Memory, class Use>
remembered_losses(Memory&, Use) -> remembered_losses<Memory, Use>;

/// Reads a batch's loss from a whole forward pass, or from the residual stream entering the head. Other readings offer
/// the same two calls.
template<evaluable_model Model>
struct loss_reading {
  std::span<const batch_of<Model>> batches = {};

  [[nodiscard]] nll operator()(const Model& model, std::size_t batch) const { return model.loss(batches[batch]); }
  [[nodiscard]] nll operator()(const Model& model, std::size_t batch, activations_view<const float> last) const
    requires layered_model<Model>
  {
    return model.read_loss(batches[batch], last);
  }
};

/// Changes the weights of one unit at a time and reads the loss of every batch. Pruning sensitivity, perturbation and
/// measured costs share it.
///
///     change(unit, version)            overwrites the unit's weights, which are the original ones when it is called;
///                                      may return false for a version that does not exist
///     change.describe(version)         describes the change for messages: "pruned by 0.5"
///     done(index, version, losses)     receives the losses of that unit and version, one per batch; none if the
///                                      version does not exist, or could exist and has a loss that is not finite
///
///     done.known(index, version)       optional: a pointer to losses from an earlier run, of which `done` receives a copy
///                                      without a forward pass; nullptr if there are none
///
/// Returns the losses of the unchanged model. Units are visited layer by layer, not in the order given. The weights are
/// restored to the exact bits after each unit, even if an exception is thrown.
///
/// Threads  units run one after the other, because they share one set of weights; the batches of a version run on the
///          executor. Pass several batches to use several threads.
/// Errors   a loss that is not finite, by batch, unit and version, unless `change` returns a bool and the unchanged
///          model's loss is finite; nothing to predict; any error of `change` or `done`.
/// Cost     1 + versions x units forward passes of all batches. A layered_model resumes at the changed layer, from one
///          residual stream per batch: 1 + versions x sum over units of (1 - layer / layers), about half of that for
///          blocks. A unit with a matrix of before_layers takes a whole pass.
/// @post    bit-identical with and without layered_model, and on any executor.
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
  // The loss of batch b, computed from layer l on if the model is layered.
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
  constexpr bool may_not_exist = std::is_same_v<decltype(change(units[0], versions)), bool>;
  // Returns false where a loss that is not finite stands for a version that does not exist.
  const auto check = [&](std::span<const nll> losses, const std::string& what) {
    std::size_t predictions = 0;
    for (std::size_t b = 0; b < losses.size(); ++b) {
      predictions += losses[b].count;
      if (kernel::is_finite(losses[b].sum)) continue;
      const bool always = !kernel::is_finite(read_from(0, enter(b), b).sum);
      if (may_not_exist && !always) return false;
      refuse({.what = "the loss of batch " + std::to_string(b) + (always ? " of the unchanged model" : what) + " is " +
                      std::to_string(losses[b].sum),
              .where = where,
              .expected = "a finite loss"});
    }
    require_predictions(predictions, batches.size(), where);
    return true;
  };

  std::vector<activations> entering(batches.size());  // residual streams entering the current layer
  run.for_each(batches.size(), [&](std::size_t b) { entering[b] = enter(b); });
  const auto make_version = [&](const unit& u, std::size_t v) {
    const auto apply = [&] {
      if constexpr (may_not_exist) {
        return change(u, v);
      } else {
        change(u, v);
        return true;
      }
    };
#if defined(__cpp_exceptions)
    try {
      return apply();
    } catch (const error& e) {  // names the matrix; add the unit
      problem named = e.reason();
      named.where = where + ", unit " + u.name + ": " + named.where;
      refuse(std::move(named));
    }
#else
    return apply();
#endif
  };
  const auto visit = [&](std::size_t u, std::size_t layer, bool from_tokens = false) {
    weight_guard guard(model, units[u].matrices);
    for (std::size_t v = 0; v < versions; ++v) {
      if constexpr (requires { done.known(u, v); }) {
        if (const std::vector<nll>* const known = done.known(u, v)) {
          done(u, v, std::span<const nll>(*known));
          continue;
        }
      }
      std::vector<nll> losses;
      if (make_version(units[u], v))
        losses = each_batch([&](std::size_t b) { return read_from(layer, from_tokens ? enter(b) : entering[b], b); });
      guard.restore();
      if (!losses.empty() && !check(losses, " with unit " + units[u].name + " " + change.describe(v))) losses.clear();
      done(u, v, as_span(losses));
    }
  };
  std::size_t layer = 0;
  if constexpr (layered_model<Model>) {
    for (std::size_t u = 0; u < units.size(); ++u)
      if (units[u].layer == before_layers) visit(u, 0, true);
    for (const std::size_t layers = constant.layers(); layer < layers; ++layer) {
      for (std::size_t u = 0; u < units.size(); ++u)
        if (units[u].layer == layer) visit(u, layer);
      run.for_each(batches.size(), [&](std::size_t b) { constant.run_layer(layer, entering[b]); });
    }
  }
  for (std::size_t u = 0; u < units.size(); ++u)  // the head, or every unit of a model that is not layered
    if (units[u].layer >= layer && !(layered_model<Model> && units[u].layer == before_layers)) visit(u, layer);

  std::vector<nll> unchanged = each_batch([&](std::size_t b) { return read_from(layer, entering[b], b); });
  static_cast<void>(check(unchanged, " of the unchanged model"));
  return unchanged;
}

PRECIS_IEEE_END
}  // namespace precis
