#pragma once

#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/measure/gram.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/misuse.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace precis::score {
PRECIS_IEEE_BEGIN

/// Scores a unit by the relative error of its matrices' outputs when all units are compressed in the same way:
///
///     S = sum over the unit's matrices of tr(dW G dW') / tr(W G W')     (NMSE)
///
/// compress(matrix_info, mutable_weight_view) overwrites a copy of a matrix, for example by pruning, or by encoding and
/// decoding it. cost::reconstruction computes such errors for each entry of a menu, as costs.
///
/// Unit      share of the squared outputs, summed over the unit's matrices.
/// Sign      high = keep; never negative.
/// Edges     a matrix that no data reached adds 0, with a note; a table whose rows are looked up counts each row once.
/// Errors    those of measure::gather_grams; a matrix whose outputs are all zero but not after compression, by name.
/// Cost      that of measure::gather_grams, and out * in^2 multiply-adds in double per matrix.
/// Source    IST-DASLab/EvoPress, its estimator of layer errors.
/// Differs   EvoPress scores single linear layers; here the errors of a unit's matrices are summed.
/// @post     every score is 0 if compress changes nothing.
/// @post     scaling a matrix and its compressed version by k != 0 changes no score.
struct reconstruction_error {
  unit_kind units = unit_kind::block;

  bool operator==(const reconstruction_error&) const = default;

  /// With the inputs of the model's matrices in these batches.
  template<weighted_model Model, class Compress, executor Executor = sequential>
    requires(observable_model<Model> || differentiable_model<Model>) &&
            std::invocable<Compress&, const matrix_info&, mutable_weight_view>
  [[nodiscard]] scores operator()(const Model& model, std::span<const batch_of<Model>> batches, Compress&& compress,
                                  Executor&& run = {}) const {
    const measure::input_grams grams = measure::gather_grams(model, batches, run);
    scores s = fill(model, [&](std::size_t m) -> const basic_matrix<double>& { return grams[m].sum; }, compress);
    s.notes = grams.notes(model.matrices());
    return s;
  }

  /// From the weights alone: G is the identity.
  template<weighted_model Model, class Compress>
    requires std::invocable<Compress&, const matrix_info&, mutable_weight_view>
  [[nodiscard]] scores from_weights(const Model& model, Compress&& compress) const {
    const basic_matrix<double> identity;
    return fill(model, [&](std::size_t) -> const basic_matrix<double>& { return identity; }, compress);
  }

  /// Chosen only if the overload above does not match: its error names the missing capability and how to add it.
  template<class Model, class Batches, class... Rest>
    requires(!(observable_model<Model> || differentiable_model<Model>))
  refused operator()(const Model&, const Batches&, Rest&&...) const {
    static_assert(
        observable_model<Model> || differentiable_model<Model>,
        "precis: score::reconstruction_error needs an observable_model. Add void inputs(batch, sink) const to "
        "the adaptor, or use from_weights(model, compress), which needs no data. See docs/models.md#observable");
    return {};
  }

  /// Chosen only if the model suits, and the batches or the executor do not.
  template<class Model, class Data, class Compress, class... Rest>
    requires((observable_model<std::remove_cvref_t<Model>> || differentiable_model<std::remove_cvref_t<Model>>) &&
             std::invocable<Compress&, const matrix_info&, mutable_weight_view> &&
             misuses<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>)
  refused operator()(Model&&, const Data&, Compress&&, Rest&&...) const {
    return explain_misuse<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>();
  }

 private:
  template<class Model, class Grams, class Compress>
  [[nodiscard]] scores fill(const Model& model, const Grams& gram_of_matrix, Compress& compress) const {
    const std::span<const matrix_info> matrices = model.matrices();
    scores s{.model = {},
             .scorer = "reconstruction_error",
             .measure = "share of the squared outputs",
             .units = group_units(matrices, units),
             .values = {}};
    for (const unit& u : s.units) {
      double sum = 0;
      for (const std::size_t m : u.matrices) {
        const weight_view w = model.weights(m);
        float_matrix copy(w.rows, w.cols);
        for (std::size_t r = 0; r < w.rows; ++r)
          for (std::size_t c = 0; c < w.cols; ++c) copy(r, c) = w(r, c);
        compress(matrices[m], copy.view());
        const basic_matrix<double>& g = gram_of_matrix(m);
        sum += measure::relative_output_error(measure::squared_output_error(w, copy.view(), g),
                                              measure::squared_outputs(w, g), matrices[m].name,
                                              "score::reconstruction_error");
      }
      s.values.push_back(sum);
    }
    check_finite(s, "score::reconstruction_error");
    return s;
  }
};

PRECIS_IEEE_END
}  // namespace precis::score
