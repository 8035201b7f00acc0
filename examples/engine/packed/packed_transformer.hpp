#pragma once

#include <engine/files/load.hpp>
#include <engine/model/block.hpp>
#include <engine/model/crew.hpp>
#include <engine/model/weights.hpp>
#include <engine/packed/stored_matrix.hpp>

#include <precis/core/view.hpp>
#include <precis/model/batch.hpp>
#include <precis/model/concepts.hpp>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

namespace engine {

/// A linear map as it runs: y = W x + b.
struct packed_map {
  stored_matrix matrix;
  std::vector<float> bias;  ///< [out], or empty
};

/// A block as it runs: `block` with its maps in the bytes they are stored in.
struct packed_block {
  norm attention_norm;
  packed_map qkv, query, key, value, attention_out;
  norm mlp_norm;
  packed_map gate, up, down;
};

/// A model as it runs. Every matrix has a format of its own.
struct packed_weights {
  engine::config config;
  stored_matrix token_embedding;          ///< [vocabulary x width]
  std::vector<float> position_embedding;  ///< as in `weights`
  std::vector<packed_block> blocks;
  norm final_norm;
  stored_matrix head;  ///< [vocabulary x width], or empty when tied
  std::vector<float> head_bias;

  /// Memory of all weights together.
  [[nodiscard]] std::size_t bytes() const noexcept;
};

/// Takes a model as it lies in its files, whatever their format, matrix by matrix: what a kernel multiplies packed stays
/// packed, floats keep their type, everything else (groups that are no multiple of 32) becomes float32.
///
/// Errors   those of `load`; a family whose tokens see both ways.
/// Cost     memory: the result, and one decoded matrix at a time.
[[nodiscard]] packed_weights load_packed(const model_source& source, const matrix_decoder& decoder);
/// The same of weights in memory, as float32. Errors: biases that depend on the position.
[[nodiscard]] packed_weights packed(const weights& w);

/// Runs a GPT-2, Llama, OPT or Phi from packed weights, token by token.
///
/// One vector goes through one matrix after the other; keys and values of earlier tokens are remembered. What a token gives
/// does not depend on the number of threads, nor on how many tokens were handed in at once.
///
/// Threads   const members may run on one object from many threads at once, each with a sequence of its own.
class packed_transformer {
 public:
  using batch_type = precis::token_batch;

  explicit packed_transformer(packed_weights w, activation_type activations = activation_type::float32);

  [[nodiscard]] const config& shape() const noexcept { return weights_.config; }
  [[nodiscard]] const packed_weights& parameters() const noexcept { return weights_; }

  /// A text on its way: the keys and values of its tokens.
  class sequence {
   public:
    [[nodiscard]] std::size_t tokens() const noexcept { return tokens_; }
    [[nodiscard]] std::size_t longest() const noexcept { return longest_; }

   private:
    friend class packed_transformer;
    sequence(const config& shape, std::size_t longest, std::size_t threads);
    std::size_t tokens_ = 0, longest_ = 0;
    std::vector<float> keys_, values_;  ///< [layers x longest x kv_width]
    std::vector<float> logits_;         ///< [vocabulary]
    std::unique_ptr<crew> threads_;
  };

  /// An empty text of at most `longest` tokens (0: the model's context), worked on by so many threads (0: all there are).
  /// Errors: more than the context.
  [[nodiscard]] sequence begin(std::size_t longest = 0, std::size_t threads = 1) const;

  /// Appends tokens and returns the logits of the next one, valid until the next call.
  /// Errors: no tokens; an id outside the vocabulary; more tokens than the sequence has room for.
  std::span<const float> append(sequence& s, std::span<const precis::token> tokens) const;

  /// Summed negative log-likelihood of the targets, so that a packed model is evaluated like any other (evaluable_model).
  [[nodiscard]] precis::nll loss(const precis::token_batch& batch) const;

 private:
  void check(const sequence& s, std::span<const precis::token> tokens) const;
  void advance(sequence& s, std::span<const precis::token> tokens, precis::matrix_view<float> normed) const;
  void run_block(sequence& s, std::size_t layer, precis::matrix_view<float> x) const;
  void head(precis::matrix_view<const float> normed, precis::matrix_view<float> logits, crew& threads) const;

  packed_weights weights_;
  activation_type activations_;
  rotary rotary_;
};

}  // namespace engine
