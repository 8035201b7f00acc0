#pragma once

#include <precis/model/concepts.hpp>

#include <cstddef>
#include <span>

namespace precis {

/// Calls use(matrices, input) for the inputs of a model's matrices in one batch: `matrices` holds the indices of the
/// matrices that read `input`, [sequences x tokens x in].
///
/// Cost     one forward pass for an observable_model, which reports each distinct input once; otherwise one backward
///          pass, which reports the input of each matrix.
template<weighted_model Model, class Use>
  requires observable_model<Model> || differentiable_model<Model>
void each_input(const Model& model, const batch_of<Model>& batch, Use&& use) {
  if constexpr (observable_model<Model>)
    model.inputs(batch, [&](const linear_input& i) { use(i.matrices, i.input); });
  else
    static_cast<void>(model.backward(
        batch, [&](const linear_gradient& g) { use(std::span<const std::size_t>(&g.matrix, 1), g.input); }));
}

}  // namespace precis
