#pragma once

#include "jobs/calibration.hpp"
#include "jobs/rounding.hpp"
#include "jobs/run_options.hpp"

#include <engine/model/transformer.hpp>

#include <precis/core/aligned_bytes.hpp>
#include <precis/core/view.hpp>
#include <precis/measure/statistics.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace program {

struct session;

/// One input of a layer while a model is rounded layer by layer.
struct layer_input {
  std::vector<std::size_t> matrices;
  precis::measure::input_statistics of_compressed;
  precis::basic_matrix<double> cross;  ///< sum over tokens of (x - y) y'; empty: tokens do not correspond
};

/// The inputs of a layer on one window, as the model reports them.
struct captured_input {
  std::vector<std::size_t> matrices;
  precis::activations values;
};
/// A packed matrix whose codes signed rounding may improve.
struct tunable_matrix {
  std::size_t matrix, entry;
  std::span<std::byte> bytes;
};

/// A model that is rounded layer by layer: the residuals of every window in the original and in the packed model.
class layer_by_layer {
 public:
  layer_by_layer(const session& s, const calibration& c, const rounding_options& how, const run_options& o);

  /// Runs a layer of the original on all windows and keeps its inputs; the original's residuals then leave the layer.
  /// @return the matrices that read each input, in the order of the layer's computation.
  [[nodiscard]] std::vector<std::vector<std::size_t>> enter(std::size_t layer);
  /// Gathers one input of the layer in the packed model as it is now, whose earlier matrices make up for errors already.
  [[nodiscard]] layer_input gather(std::size_t layer, const std::vector<std::size_t>& readers);
  /// Replaces a matrix of the packed model.
  void replace(std::size_t matrix, std::size_t entry, std::span<const std::byte> bytes);
  /// fit::signed_rounding of matrices of the layer that was entered, towards the outputs of the original on its own
  /// inputs; the packed model has the result. Says first what it will take.
  /// @return the matrices that it changed.
  std::vector<std::size_t> tune(std::size_t layer, std::span<const tunable_matrix> matrices);
  /// The packed model's residuals leave the layer, with its matrices as they are now.
  void leave(std::size_t layer);

 private:
  const engine::transformer& original_;
  engine::transformer packed_;
  rounding_options how_;
  worker_pool pool_;
  chatter chat_;
  std::unique_ptr<progress> bar_;  ///< of signed rounding
  std::vector<precis::activations> of_original_, of_packed_;
  std::vector<std::vector<captured_input>> of_layer_;  ///< [windows] inputs of the current layer in the original
};

}  // namespace program
