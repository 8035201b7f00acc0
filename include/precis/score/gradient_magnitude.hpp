#pragma once

#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/scores.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/misuse.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace precis::score {
PRECIS_IEEE_BEGIN

/// Adds the weight gradient of one linear map, the product of its transposed output gradients and its inputs, to `into`
/// [out x in].
///
/// Cost     tokens * out * in multiply-adds in float, and one addition per weight in double.
template<class = void>
inline void add_weight_gradient(const linear_gradient& g, basic_matrix<double>& into) {
  float_matrix sum(g.output_gradient.features, g.input.features);
  std::vector<float> workspace(kernel::product_workspace);
  for (std::size_t s = 0; s < g.input.sequences; ++s)
    kernel::product_add(g.output_gradient.sequence_range(s, 1).as_matrix().transposed(),
                        g.input.sequence_range(s, 1).as_matrix(), sum.view(), as_writable_span(workspace));
  for (std::size_t i = 0; i < sum.values.size(); ++i) into.values[i] += static_cast<double>(sum.values[i]);
}

/// Scores a unit by the squared Frobenius norm of the loss gradient with respect to its weights: a baseline.
///
/// Shapes    any batches of the model.
/// Unit      squared nats per token and unit of weight, summed over the unit's weights.
/// Sign      high = keep; never negative.
/// Edges     a matrix that no data reached adds 0, with a note; a table that is only looked up is unscored. One that is
///           looked up and multiplied counts with the gradients that the model reports.
/// Errors    no batches, or batches without targets; a gradient that is not finite, by matrix.
/// Cost      one backward pass per batch; one double per weight in memory.
/// Source    Scarlatescu, Mehta, "Information-Aware Compression Schemes Using Causal Tracing", a baseline there.
/// Differs   The paper does not say whether gradients are averaged before or after squaring; `squares` selects either.
struct gradient_magnitude {
  enum class order {
    mean_then_square,  ///< squared gradient of the mean NLL over all batches
    square_then_mean,  ///< mean of each batch's squared gradient; with one sample per batch the empirical Fisher trace
  };
  order squares = order::mean_then_square;
  unit_kind units = unit_kind::block;

  bool operator==(const gradient_magnitude&) const = default;

  template<differentiable_model Model>
  [[nodiscard]] scores operator()(const Model& model, std::span<const batch_of<Model>> batches) const {
    const std::span<const matrix_info> matrices = model.matrices();
    const of_matrices each = norms_of(model, batches);
    scores s{
        .model = {},
        .scorer = squares == order::mean_then_square ? "gradient_magnitude" : "gradient_magnitude square_then_mean",
        .measure = "squared norm of the gradient",
        .units = group_units(matrices, units),
        .values = {}};
    for (const unit& u : s.units) {
      double sum = 0;
      for (const std::size_t i : u.matrices) sum += each.squares[i];
      s.values.push_back(sum);
    }
    report_unreached(s, matrices, each.reached);
    return s;
  }

  /// What the scores are sums of: the squared norms of the gradients, and whether data reached the matrices.
  struct of_matrices {
    std::vector<double> squares;  ///< [matrices]
    std::vector<bool> reached;    ///< [matrices]
  };
  template<differentiable_model Model>
  [[nodiscard]] of_matrices norms_of(const Model& model, std::span<const batch_of<Model>> batches) const {
    const std::span<const matrix_info> matrices = model.matrices();
    std::vector<basic_matrix<double>> gradients;
    std::vector<bool> reached(matrices.size());
    const auto clear = [&] {
      gradients.clear();
      for (const matrix_info& m : matrices) gradients.emplace_back(m.out, m.in);
    };
    std::vector<double> norms(matrices.size());
    const auto add_norms = [&](nll loss, double weight) {
      if (loss.count == 0)
        refuse({.what = "no targets", .where = "score::gradient_magnitude", .expected = "at least one target"});
      const double each = 1.0 / static_cast<double>(loss.count);
      for (std::size_t i = 0; i < matrices.size(); ++i) {
        double sum = 0;
        for (const double g : gradients[i].values) sum += (g * each) * (g * each);
        if (!kernel::is_finite(sum))
          refuse({.what = "the gradient of " + matrices[i].name + " is not finite",
                  .where = "score::gradient_magnitude",
                  .expected = "finite gradients"});
        norms[i] += sum * weight;
      }
    };

    clear();
    nll total;
    const auto sink = [&](const linear_gradient& g) {
      if (g.input.rows() != 0) reached[g.matrix] = true;
      add_weight_gradient(g, gradients[g.matrix]);
    };
    for (const batch_of<Model>& batch : batches) {
      const nll loss = model.backward(batch, sink);
      if (squares == order::square_then_mean) {
        add_norms(loss, 1.0 / static_cast<double>(batches.size()));
        clear();
      }
      total += loss;
    }
    if (squares == order::mean_then_square || batches.empty()) add_norms(total, 1.0);
    return {.squares = std::move(norms), .reached = std::move(reached)};
  }

  /// Chosen only if the overload above does not match: its error names the missing capability and how to add it.
  template<class Model, class Batches>
    requires(!differentiable_model<Model>)
  refused operator()(const Model&, const Batches&) const {
    static_assert(
        differentiable_model<Model>,
        "precis: score::gradient_magnitude needs a differentiable_model. Add nll backward(batch, sink) to the "
        "adaptor, or use score::weight_magnitude, which needs only weights. See docs/models.md#differentiable");
    return {};
  }

  /// Chosen only if the model suits, and another argument does not.
  template<class Model, class Data, class... Rest>
    requires(differentiable_model<std::remove_cvref_t<Model>> &&
             misuses<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>)
  refused operator()(Model&&, const Data&, Rest&&...) const {
    return explain_misuse<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>();
  }
};

PRECIS_IEEE_END
}  // namespace precis::score
