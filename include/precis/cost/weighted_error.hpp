#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/text.hpp>
#include <precis/cost/entry.hpp>
#include <precis/cost/error_scan.hpp>
#include <precis/fit/nearest.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/misuse.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::cost {
PRECIS_IEEE_BEGIN

/// The cost of every unit in every entry, computed from one score per unit and the error of its weights. It needs no
/// data and no forward pass.
///
///     relative   C(u, e) = S^(u) sum over the unit's matrices of |W - decoded|^2 / |W|^2     (NMSE with G = I)
///     absolute   C(u, e) = S^(u) sum over the unit's matrices of |W - decoded|^2
///     S^ = floor + (1 - floor) minmax(S), so scores may have any sign and magnitude; without the floor, errors of the
///     lowest unit would be free
///
/// Unit      score-weighted shares of squared weights, or score-weighted squared weights. Not nats.
/// Sign      scores are high = keep: a high score makes every error of the unit expensive.
/// Edges     units without a score weigh as much as the highest score, with a note. An entry that cannot hold a unit's
///           weights is not admissible for it, with a note.
/// Errors    entries that are not in the menu; scores that are not finite or belong to other units than the model's; a
///           floor outside (0, 1]; a nonzero relative error of a matrix of zeros; weights that are not finite.
/// Cost      `scan_errors` for every matrix: each weight is read once for all integer formats.
/// @post     S -> a S + b with a > 0 changes nothing (up to rounding); the table is the same on every executor, bit for
///           bit.
/// Source    docs/methods/weighted_error.md. CPTQuant needs such a table and states no objective; the error is
///           EvoPress's layer error estimator with the identity as Gram matrix.
template<codec_menu Menu, class Fit = fit::nearest>
struct weighted_error {
  enum class scale { relative, absolute };

  std::vector<std::string> entries{};  ///< names of menu entries; empty: the whole menu
  scale by = scale::relative;
  double floor = 1e-3;             ///< the weight of the lowest score
  std::size_t original_bits = 32;  ///< bits per weight of the original file
  Fit fit = {};                    ///< fit::nearest is the fastest: its errors need no packed copy

  template<weighted_model Model, executor Executor = sequential>
  [[nodiscard]] cost_table operator()(const Model& model, const scores& s, Executor&& run = {}) const {
    const std::string where = "cost::weighted_error";
    const std::span<const matrix_info> matrices = model.matrices();
    check_finite(s, where);
    if (!(floor > 0 && floor <= 1))
      refuse({.what = "a floor of " + text::number(floor), .where = where, .expected = "above 0, at most 1"});
    const std::vector<unit> units = all_units(s);
    if (!s.units.empty() && units != group_units(matrices, kind_of(as_span(s.units))))
      refuse({.what = "the units of the scores differ from those of this model",
              .where = where,
              .expected = "scores of all units of this model, in its order"});
    if (s.units.empty() && !matrices.empty())
      refuse({.what = "no scores", .where = where, .expected = "one score per unit"});

    cost_table t = blank_table<Menu>(matrices, units, entries, original_bits, where);
    t.model = s.model;
    t.maker = std::string("weighted_error ") + (by == scale::relative ? "relative" : "absolute") + " of " + s.scorer;
    t.measure = by == scale::relative ? "scored share of squared weights" : "scored squared weights";
    check(t, where);

    std::vector<std::size_t> index;
    for (const std::string& name : t.entries) index.push_back(Menu::index_of(name));
    const std::vector<double> scaled = normalise::minmax(as_span(s.values));
    std::vector<double> share;
    for (std::size_t u = 0, scored = 0; u < units.size(); ++u) {
      const bool has_score = scored < s.units.size() && s.units[scored].name == units[u].name;
      share.push_back(has_score ? scaled[scored++] : 1);
    }
    t.notes = s.notes;
    if (!s.unscored.empty()) t.notes.push_back("no score, so the weight of the highest: " + list_of_names(s.unscored));
    for (std::size_t u = 0; u < t.units.size(); ++u)
      for (const std::size_t m : t.units[u].matrices) {
        const scanned_errors errors = scan_errors<Menu>(model.weights(m), matrices[m], index, run, fit);
        for (std::size_t e = 0; e < index.size(); ++e) {
          double error = errors.squares[e];
          if (by == scale::relative && error > 0) {
            if (errors.signal == 0)
              refuse({.what = "the relative error of " + matrices[m].name + ", all zeros, in " + t.entries[e],
                      .where = where,
                      .expected = "nonzero weights, a codec that keeps zero, or absolute errors"});
            error /= errors.signal;
          }
          t.costs[u * index.size() + e] += (floor + (1 - floor) * share[u]) * error;
        }
      }
    for (std::string& note : note_not_admitted(t)) t.notes.push_back(std::move(note));
    check(t, where);
    return t;
  }

  /// Chosen only if the overload above is not viable: explains which capability is missing and how to add it.
  template<class Model, class... Rest>
    requires(!weighted_model<Model>)
  refused operator()(const Model&, const scores&, Rest&&...) const {
    static_assert(weighted_model<Model>,
                  "precis: cost::weighted_error needs a weighted_model. Add matrices() and weights(i) to the adaptor. "
                  "See docs/models.md#weighted");
    return {};
  }

  /// Chosen only if the model suits, and the executor is none.
  template<weighted_model Model, class Executor>
    requires(!executor<Executor>)
  refused operator()(const Model&, const scores&, Executor&&) const {
    return explain_misuse<reads_weights, const scores&, const Model&, scores, Executor>();
  }
};

PRECIS_IEEE_END
}  // namespace precis::cost
