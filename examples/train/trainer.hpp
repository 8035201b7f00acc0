#pragma once

#include "adamw.hpp"

#include <engine/model/transformer.hpp>

#include <precis/core/executor.hpp>
#include <precis/model/batch.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace train {

/// The parameters that, together with the text, determine the result of a training run.
struct recipe {
  engine::config shape;
  std::uint64_t seed = 1;
  std::size_t steps = 0;
  std::size_t sequences = 16;  ///< per step
  std::size_t tokens = 64;     ///< predicted tokens per sequence
  std::size_t shards = 4;      ///< parts of a batch whose gradients are summed in order; divides `sequences`
  std::size_t warm_up = 100;   ///< steps
  double peak_rate = 3e-3;
  float weight_decay = 0.05f;  ///< for matrices and embeddings, not for biases and norms
  double largest_norm = 1.0;   ///< maximum norm of the whole gradient; longer gradients are scaled down
  adamw optimizer = {};

  [[nodiscard]] std::string describe() const;  ///< lists every member, to identify a run
};

/// A text as tokens, with the starts of its paragraphs.
struct corpus {
  std::vector<precis::token> ids;
  std::vector<std::size_t> starts;  ///< increasing; the first is 0
};

/// Trains a GPT-2 step by step.
///
/// A step depends only on the recipe, the text and its number. Its batch is split into a fixed number of shards whose
/// gradients are added in order, so the weights are bit-identical for any number of threads.
class trainer {
 public:
  /// Errors: a shape other than GPT-2's; shards that do not divide the batch; a text shorter than one sequence; ids
  /// outside the vocabulary.
  trainer(recipe r, corpus text);
  trainer(const trainer&) = delete;
  trainer& operator=(const trainer&) = delete;

  [[nodiscard]] const engine::transformer& model() const noexcept { return model_; }
  [[nodiscard]] std::size_t step() const noexcept { return step_; }
  [[nodiscard]] bool done() const noexcept { return step_ >= recipe_.steps; }

  /// Half of the sequences begin at a paragraph, half at any token.
  [[nodiscard]] precis::token_batch batch(std::size_t step, std::size_t shard) const;

  /// Runs one step. The loss is that of the weights before the step.
  template<precis::executor Executor>
  precis::nll advance(Executor&& executor) {
    executor.for_each(recipe_.shards, [this](std::size_t s) { losses_[s] = shard_gradient(s); });
    const std::size_t tensors = squares_.size();
    executor.for_each(tensors, [this](std::size_t t) { squares_[t] = add_shards(t); });
    const precis::nll loss = begin_update();
    executor.for_each(tensors, [this](std::size_t t) { update(t); });
    ++step_;
    return loss;
  }

  /// Saves the state needed to continue as if the run had not been interrupted. Atomic.
  void save(const std::filesystem::path& file) const;
  /// Errors: a file that is not a checkpoint, is damaged, or belongs to another recipe or text.
  void restore(const std::filesystem::path& file);

 private:
  [[nodiscard]] precis::nll shard_gradient(std::size_t shard);
  [[nodiscard]] double add_shards(std::size_t tensor);
  [[nodiscard]] precis::nll begin_update();
  void update(std::size_t tensor);
  [[nodiscard]] std::string identity() const;

  recipe recipe_;
  corpus text_;
  engine::transformer model_;
  engine::weights first_moment_, second_moment_;
  std::vector<engine::weights> gradients_;  // [shards]; the first one receives the sum
  std::vector<engine::tensor<float>> parameters_, first_moment_tensors_, second_moment_tensors_;
  std::vector<std::vector<engine::tensor<float>>> slopes_;  // [shards], tensors of gradients_
  std::vector<precis::nll> losses_;                         // [shards]
  std::vector<double> squares_;                             // [tensors]
  std::size_t step_ = 0;
  double rate_ = 0, scale_ = 0;
};

/// GPT-2's initialization: normal weights, projections into the residual stream scaled by 1 / sqrt(2 layers), norms at
/// 1.
[[nodiscard]] engine::weights initial_weights(const engine::config& shape, std::uint64_t seed);

/// Rounds every parameter to binary16, ties to even. Errors: a value beyond its range, by tensor.
void round_to_half(engine::weights& w);

}  // namespace train
