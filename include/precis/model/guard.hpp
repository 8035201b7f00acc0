#pragma once

#include <precis/core/view.hpp>
#include <precis/model/concepts.hpp>

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace precis {

/// Copies weight matrices and restores their exact bytes at the end of its scope, even if an evaluation throws. It
/// keeps a copy instead of subtracting the perturbation, because (w + e) - e != w in floating point. A releasing_model
/// hears which matrices it has back.
template<mutable_model Model>
class weight_guard {
 public:
  weight_guard(Model& model, std::span<const std::size_t> matrices) : model_(&model) {
    saved_.reserve(matrices.size());
    for (const std::size_t i : matrices) {
      const mutable_weight_view w = model.weights(i);
      std::vector<float> bytes;
      bytes.reserve(w.size());
      for (std::size_t r = 0; r < w.rows; ++r)
        for (std::size_t c = 0; c < w.cols; ++c) bytes.push_back(w(r, c));
      saved_.emplace_back(i, std::move(bytes));
    }
  }
  weight_guard(const weight_guard&) = delete;
  weight_guard& operator=(const weight_guard&) = delete;
  ~weight_guard() {
    restore();
    if constexpr (releasing_model<Model>)
      for (const auto& [i, bytes] : saved_) model_->release(i);
  }

  /// Restores the weights now; the guard remains active.
  void restore() noexcept {
    for (const auto& [i, bytes] : saved_) {
      const mutable_weight_view w = model_->weights(i);
      for (std::size_t r = 0, k = 0; r < w.rows; ++r)
        for (std::size_t c = 0; c < w.cols; ++c, ++k) w(r, c) = bytes[k];
    }
  }

 private:
  Model* model_;
  std::vector<std::pair<std::size_t, std::vector<float>>> saved_;
};

}  // namespace precis
