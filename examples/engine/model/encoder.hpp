#pragma once

#include <engine/model/bidirectional_attention.hpp>
#include <engine/model/block.hpp>
#include <engine/model/callback.hpp>
#include <engine/model/family.hpp>
#include <engine/model/rotary.hpp>
#include <engine/model/scratch_arena.hpp>
#include <engine/model/sentence.hpp>
#include <engine/model/weights.hpp>

#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/model/batch.hpp>
#include <precis/model/concepts.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace engine {

/// Texts to embed or classify, padded to the same length.
struct text_batch {
  std::size_t sequences = 0;
  std::size_t tokens = 0;              ///< per sequence, padding included
  std::vector<precis::token> ids;      ///< [sequences x tokens]; padding may be any token, it is never read
  std::vector<precis::token> types;    ///< [sequences x tokens] token types; empty: all 0
  std::vector<std::size_t> lengths;    ///< [sequences] tokens before the padding; empty: no padding
  std::vector<precis::token> labels;   ///< [sequences] or empty; `no_target` if unknown
  std::vector<float> references = {};  ///< [sequences x width] embeddings to compare with, or empty

  [[nodiscard]] std::size_t length(std::size_t sequence) const noexcept {
    return lengths.empty() ? tokens : lengths[sequence];
  }
  bool operator==(const text_batch&) const = default;
};

/// Pads sequences to the length of the longest. `labels` has one label per sequence or is empty.
/// Errors: an empty sequence; no sequences.
[[nodiscard]] text_batch texts(std::span<const std::vector<precis::token>> sequences,
                               std::vector<precis::token> labels = {});

/// An encoder of texts: a sentence encoder, or a BERT that classifies.
///
/// A sentence encoder turns each sequence into an embedding, which is also its row of `logits`. Its `loss` is the sum of
/// the cosine distances of embeddings from the batch's references: with the original's embeddings as references, it is
/// how far a changed model diverges. A classifier predicts a label per sequence from its first token ([CLS]), and
/// `loss` is that of the labels in nats.
///
/// Taps and sinks see padding like any other token, but no position attends to it and it gets no gradient: the result
/// of a sequence is bit-identical for any padding and any other sequences in the batch. Threads and errors are those of
/// engine::transformer. Not a resumable_model: its attention is not causal.
class encoder {
 public:
  using batch_type = text_batch;
  static constexpr bool causal = false;

  /// Errors: those of check(weights); a family of decoders.
  explicit encoder(engine::weights w, sentence_settings s = {});

  [[nodiscard]] const config& shape() const noexcept { return weights_.config; }
  [[nodiscard]] std::size_t layers() const noexcept { return weights_.config.layers; }
  [[nodiscard]] const engine::knobs& settings() const noexcept { return knobs_; }
  /// How rows become embeddings.
  [[nodiscard]] const sentence_settings& sentence() const noexcept { return sentence_; }
  /// Whether it predicts labels instead of embedding texts.
  [[nodiscard]] bool classifies() const noexcept { return weights_.config.labels != 0; }

  [[nodiscard]] const engine::weights& parameters() const noexcept { return weights_; }
  [[nodiscard]] engine::weights& parameters() noexcept { return weights_; }

  /// The linear maps of the blocks. Pooler and classifier belong to the head.
  [[nodiscard]] std::span<const precis::matrix_info> matrices() const noexcept { return matrices_; }
  [[nodiscard]] precis::weight_view weights(std::size_t matrix) const {
    return map_at(weights_, places_[matrix]).view();
  }
  [[nodiscard]] precis::mutable_weight_view weights(std::size_t matrix) {
    return map_at(weights_, places_[matrix]).view();
  }

  /// Gives up the floats of a matrix that a file holds, if they are what the file says.
  void release(std::size_t matrix) { map_at(weights_, places_[matrix]).values.release(); }

  /// The rows that leave the last layer and its norm, [sequences * tokens x width].
  [[nodiscard]] precis::float_matrix hidden(const text_batch& batch) const { return hidden_of(batch, nullptr); }
  template<class Tap>
  [[nodiscard]] precis::float_matrix hidden(const text_batch& batch, Tap&& tap) const {
    const tap_callback call(tap);
    return hidden_of(batch, &call);
  }
  /// Pooled, and normalized if sentence() says so, [sequences x width]. Errors: a classifier.
  [[nodiscard]] precis::float_matrix embeddings(const text_batch& batch) const { return embeddings_of(batch, nullptr); }

  /// Summed loss. Errors: a batch without labels, or without references.
  [[nodiscard]] precis::nll loss(const text_batch& batch) const { return loss_of(batch, nullptr); }
  template<class Tap>
  [[nodiscard]] precis::nll loss(const text_batch& batch, Tap&& tap) const {
    const tap_callback call(tap);
    return loss_of(batch, &call);
  }

  /// [sequences x labels], or the embeddings [sequences x width], for any requested positions.
  [[nodiscard]] precis::float_matrix logits(const text_batch& batch) const { return logits_of(batch, nullptr); }
  template<class Tap>
  [[nodiscard]] precis::float_matrix logits(const text_batch& batch, precis::positions, Tap&& tap) const {
    const tap_callback call(tap);
    return logits_of(batch, &call);
  }

  /// Calls sink(linear_input) for each distinct input of the matrices, first layer first. Takes no tap.
  template<class Sink>
  void inputs(const text_batch& batch, Sink&& sink) const {
    const input_callback call(sink);
    inputs_of(batch, call);
  }

  /// Calls sink(linear_gradient) once for every matrix, last layer first, and returns the loss. Takes no tap.
  template<class Sink>
  precis::nll backward(const text_batch& batch, Sink&& sink) const {
    const sink_callback call(sink);
    return backward_of(batch, call, nullptr);
  }
  /// The same, and adds the gradient of every parameter to `gradient` (start from zeros(shape())).
  template<class Sink>
  precis::nll backward(const text_batch& batch, Sink&& sink, engine::weights& gradient) const {
    const sink_callback call(sink);
    return backward_of(batch, call, &gradient);
  }

  /// Adds the gradient of sum(d_embeddings * embeddings) of every parameter to `gradient`, for any function of them.
  /// Errors: a classifier; sizes other than [sequences x width].
  template<class Sink>
  void backward_from(const text_batch& batch, const precis::float_matrix& d_embeddings, Sink&& sink,
                     engine::weights& gradient) const {
    const sink_callback call(sink);
    backward_from_embeddings(batch, d_embeddings, call, &gradient);
  }

 private:
  using input_callback = callback<const precis::linear_input&>;

  /// Intermediate values of one block; rows are sequences * tokens.
  struct values {
    float* entering = nullptr;      ///< [rows x width]
    float* attention_in = nullptr;  ///< [rows x width], after the norm if it is before
    float* qkv = nullptr;           ///< [rows x query and twice kv], side by side, rotated
    float* context = nullptr;       ///< [rows x query], input of attention_out
    float* attended = nullptr;      ///< [rows x width], after adding the attention output
    float* mlp_in = nullptr;        ///< [rows x width], that after its norm
    float* raw = nullptr;           ///< [rows x hidden], input of the activation
    float* up = nullptr;            ///< [rows x hidden] with a gate
    float* active = nullptr;        ///< [rows x hidden]
    float* leaving = nullptr;       ///< [rows x width], after adding the MLP output
  };
  /// Indices of a layer's matrices.
  struct layer_matrices {
    std::size_t query = 0, key = 0, value = 0, attention_out = 0, gate = 0, up = 0, down = 0;
  };
  /// What all blocks of a run share.
  struct run_state {
    const text_batch* batch = nullptr;
    const tap_callback* tap = nullptr;
    const input_callback* inputs = nullptr;
    rotary::tables ropes = {};
    std::vector<float> by_distance = {};
  };
  [[nodiscard]] run_state start(const text_batch&, const tap_callback*, const input_callback*) const;
  /// The attention of one sequence of a block.
  [[nodiscard]] bidirectional_attention_run attention_of(const run_state&, std::size_t layer, std::size_t sequence,
                                                         const float* qkv) const;
  /// Row of the position table of every token.
  [[nodiscard]] std::vector<std::size_t> positions_of(const text_batch&) const;
  /// Intermediate values of the head; one row per sequence.
  struct head_values {
    precis::float_matrix pooled, logits;
  };

  [[nodiscard]] precis::nll loss_of(const text_batch&, const tap_callback*) const;
  [[nodiscard]] precis::float_matrix logits_of(const text_batch&, const tap_callback*) const;
  [[nodiscard]] precis::float_matrix hidden_of(const text_batch&, const tap_callback*) const;
  [[nodiscard]] precis::float_matrix embeddings_of(const text_batch&, const tap_callback*) const;
  void inputs_of(const text_batch&, const input_callback&) const;
  [[nodiscard]] precis::nll backward_of(const text_batch&, const sink_callback&, engine::weights*) const;
  void backward_from_embeddings(const text_batch&, const precis::float_matrix&, const sink_callback&,
                                engine::weights*) const;
  /// A forward pass, then `head(rows leaving the last norm, gradient there)`, then the rest of the backward pass.
  template<class Head>
  void backward_with(const text_batch&, const sink_callback&, engine::weights*, Head&& head) const;
  /// Sets the gradient at the rows, given that at the embeddings.
  void pooling_backward(const text_batch&, precis::activations_view<const float> x,
                        const precis::float_matrix& d_embeddings, precis::activations_view<float> dx) const;

  void check_batch(const text_batch&, bool needs_labels) const;
  [[nodiscard]] values allocate(std::size_t rows, std::size_t layer, scratch_arena&) const;
  /// Computes the rows entering the head. `embedded` receives the residual stream before the embedding's norm, `keep`
  /// the intermediate values of every block, `last` the residual stream before the final norm.
  void run(const run_state&, precis::activations_view<float>, float* embedded, std::span<values> keep,
           float* last) const;
  void embed(const text_batch&, precis::activations_view<float>, const tap_callback*, float* embedded) const;
  void run_block(std::size_t layer, const run_state&, precis::activations_view<float>, const values&,
                 scratch_arena&) const;
  [[nodiscard]] head_values read(precis::activations_view<const float>) const;
  /// The first token of every sequence, the input of the head, [sequences x width].
  template<class T>
  [[nodiscard]] static precis::matrix_view<T> first_tokens(precis::activations_view<T> x) noexcept {
    return {x.data, x.sequences, x.features, x.sequence_stride, 1};
  }
  void head_backward(const text_batch&, const head_values&, precis::activations_view<const float> x,
                     precis::activations_view<float> dx, engine::weights*) const;
  void backward_block(std::size_t layer, const run_state&, precis::activations_view<float> dx, const values&,
                      const sink_callback&, block* gradient, double* d_by_distance) const;
  /// The loss of embeddings from a batch's references.
  [[nodiscard]] precis::nll distance_of(const text_batch&, const precis::float_matrix& embeddings) const;
  [[nodiscard]] static precis::nll loss_of_labels(const text_batch&, const precis::float_matrix& logits);

  engine::weights weights_;
  sentence_settings sentence_;
  engine::knobs knobs_;
  std::vector<place> places_;  ///< [matrices]
  std::vector<layer_matrices> of_layer_;
  rotary rotary_;
  std::vector<precis::matrix_info> matrices_;
};

}  // namespace engine
