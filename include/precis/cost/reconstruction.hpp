#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/cost/entry.hpp>
#include <precis/fit/nearest.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/measure/gram.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/misuse.hpp>
#include <precis/pack.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace precis::cost {
PRECIS_IEEE_BEGIN

/// The cost of every unit in every entry, computed from the change of each matrix's own outputs. It needs one forward
/// pass, which gathers the Gram matrices, for any number of entries.
///
///     relative   C = sum over the unit's matrices of tr(dW G dW') / tr(W G W')     (NMSE)
///     absolute   C = sum over the unit's matrices of tr(dW G dW')
///
/// Shapes    Gram matrices G of measure::gather_grams; without them G is the identity, and the cost depends on the
///           weights alone.
/// Unit      share of the squared outputs, or squared outputs summed over tokens. Not nats: errors of early and late
///           layers count equally.
/// Edges     a matrix that no data reached, such as that of an expert to which no token was routed, costs 0, with a
///           note; a table whose rows are looked up counts each row once. An entry that cannot hold a unit's weights is
///           not admissible for it, with a note.
/// Errors    entries that are not in the menu; Gram matrices of a different model; relative errors of a matrix whose
///           outputs are all zero, by name; weights that are not finite, by matrix.
/// Cost      out * in^2 / 2 multiply-adds in double per matrix and entry. The entries of a matrix run on the executor.
/// Source    docs/methods/measured_costs.md: the layer error estimator of EvoPress (Sieberling et al. 2024,
///           arXiv:2410.14649).
/// @post     the table is the same on every executor, bit for bit.
template<codec_menu Menu, class Fit = fit::nearest>
struct reconstruction {
  enum class scale { relative, absolute };

  std::vector<std::string> entries{};  ///< names of menu entries; empty: the whole menu
  scale by = scale::relative;
  unit_kind units = unit_kind::block;
  std::size_t original_bits = 32;  ///< bits per weight of the original file
  Fit fit = {};

  /// Costs on the inputs that the model's matrices receive in these batches.
  template<weighted_model Model, executor Executor = sequential>
    requires observable_model<Model> || differentiable_model<Model>
  [[nodiscard]] cost_table operator()(const Model& model, std::span<const batch_of<Model>> batches,
                                      Executor&& run = {}) const {
    return from_grams(model, measure::gather_grams(model, batches, run), run);
  }

  /// Costs on Gram matrices that were gathered before.
  template<weighted_model Model, executor Executor = sequential>
  [[nodiscard]] cost_table from_grams(const Model& model, const measure::input_grams& grams,
                                      Executor&& run = {}) const {
    const std::span<const matrix_info> matrices = model.matrices();
    if (grams.index.size() != matrices.size())
      bad("Gram matrices for " + std::to_string(grams.index.size()) + " matrices",
          std::to_string(matrices.size()) + ", the model's");
    for (std::size_t m = 0; m < matrices.size(); ++m)
      if ((grams[m].sum.rows != matrices[m].in || grams[m].sum.cols != matrices[m].in) &&
          (grams[m].sum.rows != 0 || grams[m].tokens != 0))
        bad("a Gram matrix of " + std::to_string(grams[m].sum.rows) + " inputs for " + matrices[m].name,
            std::to_string(matrices[m].in));
    cost_table t = fill(model, [&](std::size_t m) -> const basic_matrix<double>& { return grams[m].sum; }, run);
    std::size_t tokens = 0;
    for (const measure::gram& g : grams.distinct) tokens = std::max(tokens, g.tokens);
    if (!matrices.empty()) t.maker += " on " + std::to_string(tokens) + " tokens";
    for (std::string& note : grams.notes(matrices)) t.notes.push_back(std::move(note));
    return t;
  }

  /// Costs from the weights alone.
  template<weighted_model Model, executor Executor = sequential>
  [[nodiscard]] cost_table from_weights(const Model& model, Executor&& run = {}) const {
    const basic_matrix<double> identity;
    cost_table t = fill(model, [&](std::size_t) -> const basic_matrix<double>& { return identity; }, run);
    t.maker += " of weights";
    return t;
  }

  /// Chosen only if the overload above is not viable: explains which capability is missing and how to add it.
  template<class Model, class Batches, class... Rest>
    requires(!(observable_model<Model> || differentiable_model<Model>))
  refused operator()(const Model&, const Batches&, Rest&&...) const {
    static_assert(observable_model<Model> || differentiable_model<Model>,
                  "precis: cost::reconstruction needs an observable_model. Add void inputs(batch, sink) const to the "
                  "adaptor, or use from_weights(model), which needs no data. See docs/models.md#observable");
    return {};
  }

  /// Chosen only if the model suits, and another argument does not.
  template<class Model, class Data, class... Rest>
    requires(weighted_model<std::remove_cvref_t<Model>> &&
             (observable_model<std::remove_cvref_t<Model>> || differentiable_model<std::remove_cvref_t<Model>>) &&
             misuses<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>)
  refused operator()(Model&&, const Data&, Rest&&...) const {
    return explain_misuse<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>();
  }

 private:
  [[noreturn]] static void bad(std::string what, std::string expected) {
    refuse({.what = std::move(what), .where = "cost::reconstruction", .expected = std::move(expected)});
  }

  template<class Model, class Grams, class Executor>
  [[nodiscard]] cost_table fill(const Model& model, const Grams& gram_of_matrix, Executor&& run) const {
    const std::span<const matrix_info> matrices = model.matrices();
    cost_table t = blank_table<Menu>(matrices, units, entries, original_bits, "cost::reconstruction");
    t.maker = by == scale::relative ? "reconstruction relative" : "reconstruction absolute";
    t.measure = by == scale::relative ? "share of the squared outputs" : "squared outputs";

    std::vector<std::size_t> index;
    for (const std::string& each : t.entries) index.push_back(Menu::index_of(each));
    for (std::size_t u = 0; u < t.units.size(); ++u)
      for (const std::size_t m : t.units[u].matrices) {
        const matrix_info& info = matrices[m];
        const weight_view w = model.weights(m);
        const double signal = by == scale::relative ? measure::squared_outputs(w, gram_of_matrix(m)) : 0;
        run.for_each(index.size(), [&](std::size_t e) {
          float_matrix decoded(info.out, info.in);
          const double moved = round_trip_if_held<Menu>(w, info, index[e], fit, decoded.view())
                                   ? measure::squared_output_error(w, decoded.view(), gram_of_matrix(m))
                                   : not_admitted;
          if (!kernel::is_finite(moved)) {  // decoded as infinity
            t.costs[u * index.size() + e] = not_admitted;
            return;
          }
          t.costs[u * index.size() + e] +=
              by == scale::relative ? measure::relative_output_error(moved, signal, info.name, "cost::reconstruction")
                                    : moved;
        });
      }
    t.notes = note_not_admitted(t);
    check(t, "cost::reconstruction");
    return t;
  }
};

PRECIS_IEEE_END
}  // namespace precis::cost
