#pragma once

#include <engine/model/block.hpp>
#include <engine/model/thread_team.hpp>
#include <engine/model/weights.hpp>
#include <engine/model_files/load.hpp>
#include <engine/packed/stored_matrix.hpp>

#include <precis/core/view.hpp>
#include <precis/model/batch.hpp>
#include <precis/model/concepts.hpp>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace engine {

/// A `block` with its maps in their stored form.
struct packed_block {
  struct packed_expert {
    stored_matrix gate, up, down;
  };
  block rest;  ///< everything but the values of the maps
  std::vector<std::pair<linear block::*, stored_matrix>> maps;
  std::vector<packed_expert> experts;

  /// The matrix of a map. Requires one that the block has.
  [[nodiscard]] const stored_matrix& of(linear block::* map) const noexcept;
};

/// `weights` with packed matrices. Each matrix has its own format.
struct packed_weights {
  engine::config config;
  stored_matrix token_embedding;  ///< [vocabulary x width], or x embedding_width
  stored_matrix embedding_projection, layer_embedding, layer_projection,
      head_projection;  ///< as in `weights`, or empty
  norm layer_norm;
  std::vector<float> position_embedding;  ///< as in `weights`
  std::vector<packed_block> blocks;
  norm final_norm;
  stored_matrix head;  ///< [vocabulary x width], or empty if tied
  std::vector<float> head_bias;

  /// Total memory of the weights.
  [[nodiscard]] std::size_t bytes() const noexcept;
};

/// Loads a model from files of any format, one matrix at a time. Matrices that a kernel can multiply packed stay
/// packed, floats keep their type, and all others (such as groups that are not a multiple of 32) become float32.
///
/// Errors   those of `load`; a family with bidirectional attention.
/// Cost     memory: the result and one decoded matrix.
[[nodiscard]] packed_weights load_packed(const model_source& source, const matrix_decoder& decoder);
/// Converts weights in memory, as float32. Errors: biases that depend on the position.
[[nodiscard]] packed_weights packed(const weights& w);

/// Runs a decoder of any family from packed weights, token by token, with cached keys, values and states.
///
/// The logits of a token depend neither on the number of threads nor on how many tokens each call appends.
///
/// Threads   several threads may call const members of one object concurrently, each with its own sequence.
class packed_transformer {
 public:
  using batch_type = precis::token_batch;

  explicit packed_transformer(packed_weights w, activation_type activations = activation_type::float32);

  [[nodiscard]] const config& shape() const noexcept { return weights_.config; }
  [[nodiscard]] const packed_weights& parameters() const noexcept { return weights_; }

  /// The state of one text: the keys and values of its tokens, and what recurrent mixers remember of them.
  class sequence {
   public:
    [[nodiscard]] std::size_t tokens() const noexcept { return tokens_; }
    [[nodiscard]] std::size_t longest() const noexcept { return longest_; }
    /// How many of its threads the system refused to start.
    [[nodiscard]] std::size_t refused_threads() const noexcept { return threads_->refused(); }

   private:
    friend class packed_transformer;
    sequence(const config& shape, const knobs& settings, std::size_t longest, std::size_t threads);
    std::size_t tokens_ = 0, longest_ = 0;
    std::vector<std::vector<float>> keys_, values_;  ///< [layers][longest x width of keys]
    std::vector<mixer_state> states_;                ///< [layers]
    std::vector<precis::token> ids_;  ///< of models whose rotary positions depend on the length of the text
    std::vector<float> logits_;       ///< [vocabulary]
    std::unique_ptr<thread_team> threads_;
  };

  /// Creates an empty sequence of at most `longest` tokens (0: the model's context), processed by `threads` threads (0:
  /// one per processor). Errors: more tokens than the context.
  [[nodiscard]] sequence begin(std::size_t longest = 0, std::size_t threads = 1) const;

  /// Appends tokens and returns the logits for the next token, which are valid until the next call.
  /// Errors: no tokens; an id outside the vocabulary; more tokens in all than the sequence's maximum.
  std::span<const float> append(sequence& s, std::span<const precis::token> tokens) const;

  /// Summed negative log-likelihood of the targets, so that a packed model is an evaluable_model.
  [[nodiscard]] precis::nll loss(const precis::token_batch& batch) const;

 private:
  void check(const sequence& s, std::span<const precis::token> tokens) const;
  /// Appends at most input_rows::most tokens of a text of `length`; `entered` receives the head's inputs.
  void advance(sequence& s, std::span<const precis::token> tokens, const rotary::tables& tables,
               precis::matrix_view<float> entered) const;
  void embed(std::span<const precis::token> tokens, std::size_t position, precis::matrix_view<float> x,
             thread_team& threads) const;
  void run_block(sequence& s, const block_run& run, precis::matrix_view<float> x) const;
  void run_attention(sequence& s, const block_run& run, precis::matrix_view<float> normed,
                     precis::matrix_view<float> out) const;
  void run_recurrent(sequence& s, const block_run& run, precis::matrix_view<float> normed,
                     precis::matrix_view<float> out) const;
  void run_mlp(sequence& s, const block_run& run, precis::matrix_view<float> normed,
               precis::matrix_view<float> out) const;
  void run_experts(sequence& s, const block_run& run, precis::matrix_view<float> normed,
                   precis::matrix_view<float> out) const;
  void add_layer_input(sequence& s, const block_run& run, precis::matrix_view<float> x) const;
  void head(precis::matrix_view<const float> entered, precis::matrix_view<float> logits, thread_team& threads) const;
  [[nodiscard]] std::size_t table_width() const noexcept { return weights_.token_embedding.in(); }

  packed_weights weights_;
  knobs knobs_;
  activation_type activations_;
  stream_layout stream_;
  rotary rotary_;
};

}  // namespace engine
