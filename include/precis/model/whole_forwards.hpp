#pragma once

#include <precis/model/concepts.hpp>

#include <cstddef>
#include <span>
#include <utility>

namespace precis {

/// Adapts a model so that only whole forward passes are available, without resuming or running single layers. Tests and
/// benchmarks compare the fast paths with it. A mutable_model that is not const stays mutable.
template<tappable_model Model>
struct whole_forwards {
  using batch_type = batch_of<Model>;
  Model* model;

  explicit whole_forwards(Model& m) noexcept : model(&m) {}

  [[nodiscard]] std::size_t layers() const { return model->layers(); }
  template<class Tap>
  [[nodiscard]] float_matrix logits(const batch_type& b, positions which, Tap&& tap) const {
    return model->logits(b, which, tap);
  }
  template<class Tap>
  [[nodiscard]] nll loss(const batch_type& b, Tap&& tap) const {
    return model->loss(b, tap);
  }
  [[nodiscard]] nll loss(const batch_type& b) const
    requires evaluable_model<Model>
  {
    return model->loss(b);
  }
  [[nodiscard]] std::span<const matrix_info> matrices() const
    requires weighted_model<Model>
  {
    return model->matrices();
  }
  [[nodiscard]] weight_view weights(std::size_t i) const
    requires weighted_model<Model>
  {
    return std::as_const(*model).weights(i);
  }
  [[nodiscard]] mutable_weight_view weights(std::size_t i)
    requires mutable_model<Model>
  {
    return model->weights(i);
  }
};

}  // namespace precis
