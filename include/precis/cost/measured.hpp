#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/cost/entry.hpp>
#include <precis/fit/nearest.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/measure/kl_divergence.hpp>
#include <precis/measure/positions.hpp>
#include <precis/model/changes.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/misuse.hpp>
#include <precis/model/taps.hpp>
#include <precis/pack.hpp>

#include <concepts>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace precis::cost {
PRECIS_IEEE_BEGIN

/// The measurements of one unit: the mean loss of the model with this unit in each entry. A stopped run resumes from
/// such rows.
struct measured_row {
  std::string unit{};
  std::vector<double> losses{};  ///< [entries], nats per prediction

  bool operator==(const measured_row&) const = default;
};

/// Computes KL(original || changed) over the predictions of a batch. Keeps the original model's logits of all
/// predictions.
template<evaluable_model Model>
  requires layered_model<Model> || tappable_model<Model>
class divergence_reading {
 public:
  template<executor Executor>
  divergence_reading(const Model& model, std::span<const batch_of<Model>> batches, Executor&& run)
      : batches_(batches), original_(batches.size()), norms_(batches.size()) {
    run.for_each(batches.size(), [&](std::size_t b) {
      const float_matrix all = logits(model, b);
      std::vector<float> predicted;
      for (std::size_t r = 0; r < all.rows; ++r) {
        if (!measure::predicts(batches_[b], r)) continue;
        predicted.insert(predicted.end(), all.row(r).begin(), all.row(r).end());
        norms_[b].push_back(measure::log_sum_exp(all.row(r)));
      }
      original_[b] = float_matrix(norms_[b].size(), all.cols, std::move(predicted));
    });
  }

  [[nodiscard]] nll operator()(const Model& model, std::size_t b) const {
    return compare(logits(model, b), b, no_limit);
  }
  /// The same over the first `count` predictions only.
  [[nodiscard]] nll first(const Model& model, std::size_t b, std::size_t count) const {
    return compare(logits(model, b), b, count);
  }
  [[nodiscard]] nll first(const Model& model, std::size_t b, std::size_t count,
                          activations_view<const float> last) const
    requires layered_model<Model>
  {
    return compare(model.read_out(last.as_matrix()), b, count);
  }
  [[nodiscard]] std::size_t predictions(std::size_t b) const noexcept { return original_[b].rows; }
  [[nodiscard]] nll operator()(const Model& model, std::size_t b, activations_view<const float> last) const
    requires layered_model<Model>
  {
    return compare(model.read_out(last.as_matrix()), b, no_limit);
  }

 private:
  [[nodiscard]] float_matrix logits(const Model& model, std::size_t b) const {
    if constexpr (layered_model<Model>) {
      activations x = model.enter(batches_[b]);
      for (std::size_t l = 0; l < model.layers(); ++l) model.run_layer(l, x);
      return model.read_out(std::as_const(x).view().as_matrix());
    } else {
      return model.logits(batches_[b], positions::all, tap::none{});
    }
  }
  static constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();

  [[nodiscard]] nll compare(const float_matrix& changed, std::size_t b, std::size_t limit) const {
    nll sum;
    for (std::size_t r = 0; r < changed.rows && sum.count < limit; ++r) {
      if (!measure::predicts(batches_[b], r)) continue;
      const std::span<const float> now = changed.row(r);
      sum += {.sum = measure::kl_of_logits(original_[b].row(sum.count), norms_[b][sum.count], now,
                                           measure::log_sum_exp(now)),
              .count = 1};
    }
    return sum;
  }

  std::span<const batch_of<Model>> batches_;
  std::vector<float_matrix> original_;
  std::vector<std::vector<double>> norms_;  ///< log_sum_exp of each row of original_
};

/// The cost of every unit in every entry, measured as the loss of the whole model with only that unit packed and
/// decoded.
///
///     nll   C = NLL(unit in entry) - NLL(original)      may be negative
///     kl    C = KL(original || unit in entry)           never negative; needs no targets
///
/// One table serves every budget, because allocators only add its numbers.
///
/// Shapes    any batches that the model accepts.
/// Unit      nats per prediction.
/// Edges     a unit that changes no loss in any entry costs 0, with a note: no data reached it, such as an expert to
///           which no token was routed, or every entry keeps its weights. An entry that cannot hold a unit's weights,
///           or leaves a loss that is not finite, is not admissible for it, with a note.
/// Errors    entries that are not in the menu, before any work; those of read_changes: losses of the unchanged model
///           that are not finite, and batches without predictions; weights that are not finite, by unit and matrix;
///           known rows of other units or entries.
/// Cost      that of read_changes: 1 + entries x units forward passes of all batches, about half with layered_model.
///           Each matrix is encoded and decoded once per entry. kl keeps the original's logits of all predictions in
///           memory and needs one more forward pass.
/// Source    docs/methods/measured_costs.md. kl: the divergence score of auto_quantize in
///           github.com/NVIDIA/Model-Optimizer.
/// Differs   allocators add the costs of different units as if they did not interact. This holds for small errors and
///           is not checked here.
/// @post     the table is the same, bit for bit, with and without layered_model, on every executor, and if resumed from
///           any of its rows.
/// @post     every weight has its original bits after the call, even if the call was refused.
template<codec_menu Menu, class Fit = fit::nearest>
struct measured {
  enum class loss { nll, kl };

  std::vector<std::string> entries{};  ///< names of menu entries; empty: the whole menu
  loss by = loss::nll;
  unit_kind units = unit_kind::block;
  std::size_t original_bits = 32;  ///< bits per weight of the original file
  Fit fit = {};

  template<mutable_model Model, executor Executor = sequential>
    requires evaluable_model<Model>
  [[nodiscard]] cost_table operator()(Model& model, std::span<const batch_of<Model>> batches,
                                      Executor&& run = {}) const {
    return resume(model, batches, {}, [](const measured_row&) {}, run);
  }

  /// Resumes a run: units with a `known` row are not measured again. Calls done(row) after each unit; a program that
  /// saves these rows can stop (for instance by an exception from `done`) and resume later. Rows arrive layer by layer,
  /// not in the order of the units.
  template<mutable_model Model, class Done, executor Executor = sequential>
    requires evaluable_model<Model> && std::invocable<Done&, const measured_row&>
  [[nodiscard]] cost_table resume(Model& model, std::span<const batch_of<Model>> batches,
                                  std::span<const measured_row> known, Done&& done, Executor&& run = {}) const {
    cost_table table = blank_table<Menu>(model.matrices(), units, entries, original_bits, name);
    table.maker = by == loss::nll ? "measured nll" : "measured kl";
    table.measure = by == loss::nll ? "increase of the loss (nats)" : "divergence from the original (nats)";
    std::vector<unit> remaining;
    std::vector<std::size_t> index;
    for (std::size_t u = 0; u < table.units.size(); ++u) {
      const auto row = std::find_if(known.begin(), known.end(),
                                    [&](const measured_row& r) { return r.unit == table.units[u].name; });
      if (row == known.end()) {
        remaining.push_back(table.units[u]);
        index.push_back(u);
      } else {
        put(*row, u, table);
      }
    }
    for (const measured_row& row : known)
      if (std::none_of(table.units.begin(), table.units.end(), [&](const unit& u) { return u.name == row.unit; }))
        bad("a row of unit " + row.unit + ", which this model does not have", "rows of this model's units");

    measured_row row;
    const auto collect = [&](std::size_t u, std::size_t e, std::span<const nll> losses) {
      if (e == 0) row = {.unit = remaining[u].name, .losses = {}};
      row.losses.push_back(losses.empty() ? not_admitted : total(losses).mean());
      if (row.losses.size() < table.entries.size()) return;
      put(row, index[u], table);
      done(std::as_const(row));
    };
    const round_trip_of_unit<Model> change{*this, model, table.entries};
    const auto measure = [&](const auto& reading) {
      const nll before =
          total(read_changes(model, batches, remaining, table.entries.size(), reading, change, collect, name, run));
      for (double& c : table.costs) c -= before.mean();
      table.notes = note_unchanged(table.units, [&](std::size_t u) {
        const std::span<const double> costs = table.costs_of(u);
        return std::all_of(costs.begin(), costs.end(), [](double c) { return c == 0; });
      });
      for (std::string& note : note_not_admitted(table)) table.notes.push_back(std::move(note));
      table.maker += " on " + std::to_string(before.count) + " predictions";
    };
    if (by == loss::nll) {
      measure(loss_reading<Model>{batches});
    } else if constexpr (layered_model<Model> || tappable_model<Model>) {
      measure(divergence_reading<Model>(std::as_const(model), batches, run));
    } else {
      bad("the divergence of a model without logits", "loss::nll, or a tappable_model or layered_model");
    }
    check(table, name);
    return table;
  }

  /// Chosen only if the overload above is not viable: explains which capability is missing and how to add it.
  template<class Model, class Batches, class... Rest>
    requires(!(mutable_model<Model> && evaluable_model<Model>))
  refused operator()(const Model&, const Batches&, Rest&&...) const {
    static_assert(
        evaluable_model<Model>,
        "precis: cost::measured needs an evaluable_model. Add nll loss(const batch_type&) const to the adaptor, "
        "or use cost::reconstruction, which needs no loss. See docs/models.md#evaluable");
    static_assert(
        mutable_model<Model>,
        "precis: cost::measured needs a mutable_model: it packs and restores weights. Add mutable_weight_view "
        "weights(i) to the adaptor, and pass a model that is not const. See docs/models.md#mutable");
    return {};
  }

  /// Chosen only if the model suits, and another argument does not.
  template<class Model, class Data, class... Rest>
    requires(mutable_model<std::remove_cvref_t<Model>> && evaluable_model<std::remove_cvref_t<Model>> &&
             misuses<changes_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>)
  refused operator()(Model&&, const Data&, Rest&&...) const {
    return explain_misuse<changes_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data,
                          Rest...>();
  }

 private:
  static constexpr const char* name = "cost::measured";

  [[noreturn]] static void bad(std::string what, std::string expected) {
    refuse({.what = std::move(what), .where = name, .expected = std::move(expected)});
  }

  static void put(const measured_row& row, std::size_t u, cost_table& t) {
    if (row.losses.size() != t.entries.size())
      bad("a row of " + std::to_string(row.losses.size()) + " losses for unit " + row.unit,
          std::to_string(t.entries.size()) + ", one per entry");
    for (std::size_t e = 0; e < row.losses.size(); ++e) {
      if (!kernel::is_finite(row.losses[e]) && row.losses[e] != not_admitted)
        bad("a loss of unit " + row.unit + " that is not finite", "finite losses");
      t.costs[u * t.entries.size() + e] = row.losses[e];
    }
  }

  /// The change that read_changes applies: a unit, packed and decoded in an entry.
  template<class Model>
  struct round_trip_of_unit {
    const measured& how;
    Model& model;
    const std::vector<std::string>& names;

    [[nodiscard]] bool operator()(const unit& u, std::size_t version) const {
      const std::size_t entry = Menu::index_of(names[version]);
      return std::all_of(u.matrices.begin(), u.matrices.end(), [&](std::size_t m) {
        return round_trip_if_held<Menu>(model.weights(m), model.matrices()[m], entry, how.fit, model.weights(m));
      });
    }
    [[nodiscard]] std::string describe(std::size_t version) const { return "in " + names[version]; }
  };
};

PRECIS_IEEE_END
}  // namespace precis::cost
