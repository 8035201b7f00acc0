#pragma once

#include <precis/core/view.hpp>
#include <precis/model/concepts.hpp>

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace precis {

/// Copies weight matrices and puts the exact bytes back when it goes out of scope, also when an evaluation throws.
/// Never by subtracting a perturbation: (w + e) - e != w in floating point (methods A2).
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
  ~weight_guard() { restore(); }

  /// Puts the weights back now; the guard stays armed.
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
