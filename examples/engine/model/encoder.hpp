#pragma once

#include <engine/model/block.hpp>
#include <engine/model/family.hpp>
#include <engine/model/scratch_arena.hpp>
#include <engine/model/weights.hpp>

#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/model/batch.hpp>
#include <precis/model/concepts.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace engine {

/// Texts to classify, padded to the same length.
struct text_batch {
  std::size_t sequences = 0;
  std::size_t tokens = 0;             ///< per sequence, padding included
  std::vector<precis::token> ids;     ///< [sequences x tokens]; padding may be any token, it is never read
  std::vector<precis::token> types;   ///< [sequences x tokens] token types; empty: all 0
  std::vector<std::size_t> lengths;   ///< [sequences] tokens before the padding; empty: no padding
  std::vector<precis::token> labels;  ///< [sequences] or empty; `no_target` if unknown

  [[nodiscard]] std::size_t length(std::size_t sequence) const noexcept {
    return lengths.empty() ? tokens : lengths[sequence];
  }
  bool operator==(const text_batch&) const = default;
};

/// Pads sequences to the length of the longest. `labels` has one label per sequence or is empty.
/// Errors: an empty sequence; no sequences.
[[nodiscard]] text_batch texts(std::span<const std::vector<precis::token>> sequences,
                               std::vector<precis::token> labels = {});

/// A BERT that classifies texts. It satisfies every concept of precis/model/concepts.hpp except resumable_model, which
/// requires causal attention.
///
/// Each sequence has one prediction, a label read from its first token ([CLS]); `loss` counts labels. Taps see padding
/// like any other token, but no position attends to it and it gets no gradient: the logits of a sequence are
/// bit-identical for any padding and any other sequences in the batch. Loss, threads and errors are those of
/// engine::transformer.
class encoder {
 public:
  using batch_type = text_batch;
  static constexpr bool causal = false;

  /// Errors: those of check(weights); a family other than BERT.
  explicit encoder(engine::weights w);

  [[nodiscard]] const config& shape() const noexcept { return weights_.config; }
  [[nodiscard]] std::size_t layers() const noexcept { return weights_.config.layers; }

  [[nodiscard]] const engine::weights& parameters() const noexcept { return weights_; }
  [[nodiscard]] engine::weights& parameters() noexcept { return weights_; }

  /// The linear maps of the blocks. Pooler and classifier belong to the head.
  [[nodiscard]] std::span<const precis::matrix_info> matrices() const noexcept { return matrices_; }
  [[nodiscard]] precis::weight_view weights(std::size_t matrix) const { return map_of(weights_, matrix).view(); }
  [[nodiscard]] precis::mutable_weight_view weights(std::size_t matrix) { return map_of(weights_, matrix).view(); }

  /// Summed negative log-likelihood of the labels. Errors: a batch without labels.
  [[nodiscard]] precis::nll loss(const text_batch& batch) const { return loss_of(batch, nullptr); }
  template<class Tap>
  [[nodiscard]] precis::nll loss(const text_batch& batch, Tap&& tap) const {
    const tap_callback call(tap);
    return loss_of(batch, &call);
  }

  /// [sequences x labels], for any requested positions.
  [[nodiscard]] precis::float_matrix logits(const text_batch& batch) const { return logits_of(batch, nullptr); }
  template<class Tap>
  [[nodiscard]] precis::float_matrix logits(const text_batch& batch, precis::positions, Tap&& tap) const {
    const tap_callback call(tap);
    return logits_of(batch, &call);
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

 private:
  /// Intermediate values of one block; rows are sequences * tokens. Only backward keeps them.
  struct values {
    float* entering = nullptr;  ///< [rows x width]
    float* qkv = nullptr;       ///< [rows x 3 width], query, key and value side by side
    float* context = nullptr;   ///< [rows x width], input of attention_out
    float* attended = nullptr;  ///< [rows x width], after adding the attention output, before its norm
    float* middle = nullptr;    ///< [rows x width], after that norm
    float* raw = nullptr;       ///< [rows x hidden], input of the activation
    float* active = nullptr;    ///< [rows x hidden]
    float* leaving = nullptr;   ///< [rows x width], after adding the MLP output, before its norm
  };
  /// Intermediate values of the head; one row per sequence.
  struct head_values {
    precis::float_matrix pooled, logits;
  };

  [[nodiscard]] precis::nll loss_of(const text_batch&, const tap_callback*) const;
  [[nodiscard]] precis::float_matrix logits_of(const text_batch&, const tap_callback*) const;
  [[nodiscard]] precis::nll backward_of(const text_batch&, const sink_callback&, engine::weights*) const;

  void check_batch(const text_batch&, bool needs_labels) const;
  [[nodiscard]] values allocate(std::size_t rows, scratch_arena&) const;
  /// Computes the residual stream entering the head. `embedded` receives it before the embedding's norm, `keep` the
  /// intermediate values of every block.
  void run(const text_batch&, precis::activations_view<float>, const tap_callback*, float* embedded,
           std::span<values> keep) const;
  void embed(const text_batch&, precis::activations_view<float>, const tap_callback*, float* embedded) const;
  void run_block(std::size_t layer, const text_batch&, precis::activations_view<float>, const tap_callback*,
                 const values&, bool keep, scratch_arena&) const;
  [[nodiscard]] head_values read(precis::activations_view<const float>) const;
  /// The first token of every sequence, the input of the head, [sequences x width].
  template<class T>
  [[nodiscard]] static precis::matrix_view<T> first_tokens(precis::activations_view<T> x) noexcept {
    return {x.data, x.sequences, x.features, x.sequence_stride, 1};
  }
  void head_backward(const text_batch&, const head_values&, precis::activations_view<const float> x,
                     precis::activations_view<float> dx, engine::weights*) const;
  void backward_block(std::size_t layer, const text_batch&, precis::activations_view<float> dx, const values&,
                      const sink_callback&, block* gradient) const;
  [[nodiscard]] static precis::nll loss_of_labels(const text_batch&, const precis::float_matrix& logits);

  engine::weights weights_;
  std::vector<precis::matrix_info> matrices_;
};

}  // namespace engine
