#pragma once

#include <engine/model/block.hpp>
#include <engine/model/family.hpp>
#include <engine/model/scratch_arena.hpp>
#include <engine/model/weights.hpp>

#include <precis/core/site.hpp>
#include <precis/core/slice.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/model/batch.hpp>
#include <precis/model/concepts.hpp>

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

namespace engine {

/// Activations recorded by `transformer::capture`: the residual entering every layer, and every layer's keys and
/// values.
class cache {
 public:
  [[nodiscard]] std::size_t sequences() const noexcept { return sequences_; }
  [[nodiscard]] std::size_t tokens() const noexcept { return tokens_; }

  /// The stream entering `layer`: the residual, and behind it what later layers read of a token (stream_layout); layers()
  /// is the one entering the head. Requires layer <= layers().
  [[nodiscard]] precis::activations_view<const float> residual(std::size_t layer) const noexcept {
    const std::size_t size = sequences_ * tokens_ * width_;
    return {std::span<const float>(residuals_).subspan(layer * size, size), sequences_, tokens_, width_};
  }

 private:
  friend class transformer;
  std::size_t sequences_ = 0, tokens_ = 0, width_ = 0;
  std::vector<float> residuals_;                   ///< [layers + 1 x sequences x tokens x width]
  std::vector<std::size_t> widths_;                ///< [layers] of keys, 0 for layers that read those of another
  std::vector<std::vector<float>> keys_, values_;  ///< [layers][sequences x tokens x width of keys]
};

/// A decoder of any family that satisfies every concept of precis/model/concepts.hpp.
///
/// Every product is kernel::product and every sum has a fixed order, so a row of activations depends only on its own
/// sequence up to its own position: batches may be split, resumed and continued from a cache without changing a bit.
/// Each token's loss is rounded to 2^-32 nats, so that the sum of losses is the same for any grouping (up to 2^21
/// nats).
///
/// Threads   several threads may call const members of one object concurrently. Each thread has its own scratch memory.
/// Errors    every batch is checked first: ids outside the vocabulary, sequences longer than the context, sizes that
///           do not match.
class transformer {
 public:
  using batch_type = precis::token_batch;
  using cache_type = cache;
  static constexpr bool causal = true;

  /// Errors: those of check(weights); a family with bidirectional attention (use engine::encoder).
  explicit transformer(engine::weights w);

  [[nodiscard]] const config& shape() const noexcept { return weights_.config; }
  [[nodiscard]] std::size_t layers() const noexcept { return weights_.config.layers; }
  /// All settings, with those of every layer.
  [[nodiscard]] const engine::knobs& settings() const noexcept { return knobs_; }

  /// All parameters. Their values may be changed, but not their shapes. tensors(parameters()) turns stored values into floats.
  [[nodiscard]] const engine::weights& parameters() const noexcept { return weights_; }
  [[nodiscard]] engine::weights& parameters() noexcept { return weights_; }

  /// The linear maps of the blocks, and the tables if they are listed. Norms and biases are not units.
  [[nodiscard]] std::span<const precis::matrix_info> matrices() const noexcept { return matrices_; }
  [[nodiscard]] precis::weight_view weights(std::size_t matrix) const {
    if (matrix < maps_) return map_at(weights_, places_[matrix]).view();
    return {table(matrix).floats(), shape().vocabulary, table_width()};
  }
  [[nodiscard]] precis::mutable_weight_view weights(std::size_t matrix) {
    if (matrix < maps_) return map_at(weights_, places_[matrix]).view();
    matrix_values& values = matrix == maps_ ? weights_.token_embedding : weights_.head;
    values.to_floats();
    return {values, shape().vocabulary, table_width()};
  }
  /// Gives up the floats of a matrix that a file holds, if they are what the file says.
  void release(std::size_t matrix) {
    if (matrix < maps_)
      map_at(weights_, places_[matrix]).values.release();
    else
      (matrix == maps_ ? weights_.token_embedding : weights_.head).release();
  }

  /// Adds the token embedding and an untied head to the matrices. A tied embedding is one matrix with two uses; `inputs`
  /// and `backward` report its use as the head, and nothing of an embedding that is not the head.
  void list_tables();

  /// Query, key, value, attention output and MLP maps as slices of the matrices. The first four are divided into heads.
  [[nodiscard]] std::vector<precis::matrix_slice> slices() const;

  /// Adds a bias to a matrix's outputs at every position. If the map has no bias in files, `save` then refuses the
  /// model.
  /// Errors: a number of values other than one per output.
  void add_bias(std::size_t matrix, std::span<const double> bias);
  /// Adds row t of `by_token` at position t, and `later` at all positions beyond. If `later` is empty, longer sequences
  /// are refused from then on. Errors: sizes that do not match the matrix or its earlier biases.
  void add_token_bias(std::size_t matrix, precis::matrix_view<const double> by_token, std::span<const double> later);

  /// Summed negative log-likelihood of the targets. Errors: a batch without targets.
  [[nodiscard]] precis::nll loss(const precis::token_batch& batch) const { return loss_of(batch, nullptr); }
  template<class Tap>
  [[nodiscard]] precis::nll loss(const precis::token_batch& batch, Tap&& tap) const {
    const tap_callback call(tap);
    return loss_of(batch, &call);
  }

  [[nodiscard]] precis::float_matrix logits(const precis::token_batch& batch, precis::positions which) const {
    return logits_of(batch, which, nullptr, nullptr);
  }
  template<class Tap>
  [[nodiscard]] precis::float_matrix logits(const precis::token_batch& batch, precis::positions which,
                                            Tap&& tap) const {
    const tap_callback call(tap);
    return logits_of(batch, which, &call, nullptr);
  }

  /// Returns the last tokens' logits and fills a cache to resume from. The cache's memory is reused.
  template<class Tap>
  precis::float_matrix capture(const precis::token_batch& batch, cache& into, Tap&& tap) const {
    const tap_callback call(tap);
    return logits_of(batch, precis::positions::last, &call, &into);
  }

  /// Runs one layer on a residual in place. Row i, token j of the residual is position run.first_token + j of cached
  /// sequence run.sequences[i]; keys and values of earlier positions come from the cache.
  ///
  /// The tap sees [rows x tokens x width] at the layer's attention and MLP sites. With outputs == positions::last it
  /// sees only the last token, [rows x 1 x width], and the other tokens of the residual are unchanged.
  template<class Tap>
  void run_layer(const precis::layer_run& run, const cache& from, precis::activations_view<float> residual,
                 Tap&& tap) const {
    const tap_callback call(tap);
    resume(run, from, residual, &call);
  }
  void run_layer(const precis::layer_run& run, const cache& from, precis::activations_view<float> residual) const {
    resume(run, from, residual, nullptr);
  }

  /// How many tokens of a batch each expert of each layer received, [layers][experts]; dense layers have none.
  [[nodiscard]] std::vector<std::vector<std::size_t>> routed(const precis::token_batch& batch) const;

  /// The residual entering layer 0; one layer run on whole sequences in place.
  [[nodiscard]] precis::activations enter(const precis::token_batch& batch) const;
  void run_layer(std::size_t layer, precis::activations& residual) const;
  /// The same, and calls sink(linear_input) once for each distinct input of the layer's matrices.
  template<class Sink>
  void run_layer(std::size_t layer, precis::activations& residual, Sink&& sink) const {
    inputs_of_layer(layer, residual, input_callback(sink));
  }
  /// Runs one layer on whole sequences: calls at_output(residual leaving it), which returns by reference into `gradient`
  /// the gradient of a loss there; then calls sink(linear_gradient) for every matrix of the layer. Requires a gradient of
  /// the residual's shape. `residual` becomes the one that leaves the layer, `gradient` that of the one that entered.
  template<class AtOutput, class Sink>
  void differentiate_layer(std::size_t layer, precis::activations& residual, precis::activations& gradient,
                           AtOutput&& at_output, Sink&& sink) const {
    gradient_of_layer(layer, residual, gradient, [&] { at_output(); }, sink_callback(sink));
  }
  /// The loss of residuals entering the head. Errors: residuals of another batch or model.
  [[nodiscard]] precis::nll read_loss(const precis::token_batch& batch,
                                      precis::activations_view<const float> residual) const;

  /// Calls sink(linear_input) once for each distinct input of the matrices, first layer first.
  template<class Sink>
  void inputs(const precis::token_batch& batch, Sink&& sink) const {
    inputs_of(batch, input_callback(sink));
  }

  /// Logits of residuals entering the head: [rows x width] -> [rows x vocabulary]. Rows must be contiguous.
  [[nodiscard]] precis::float_matrix read_out(precis::matrix_view<const float> residual) const;

  /// Calls sink(linear_gradient) once for every matrix, last layer first, and returns the loss. A listed head comes first,
  /// a number of predictions at a time. Takes no tap: the gradients are those of the unmodified model.
  template<class Sink>
  precis::nll backward(const precis::token_batch& batch, Sink&& sink) const {
    const sink_callback call(sink);
    return backward_of(batch, call, nullptr);
  }
  /// The same, and adds the gradient of every parameter to `gradient` (start from zeros(shape())).
  template<class Sink>
  precis::nll backward(const precis::token_batch& batch, Sink&& sink, engine::weights& gradient) const {
    const sink_callback call(sink);
    return backward_of(batch, call, &gradient);
  }

 private:
  [[nodiscard]] precis::nll loss_of(const precis::token_batch&, const tap_callback*) const;
  [[nodiscard]] precis::float_matrix logits_of(const precis::token_batch&, precis::positions, const tap_callback*,
                                               cache*) const;
  void resume(const precis::layer_run&, const cache&, precis::activations_view<float>, const tap_callback*) const;
  void inputs_of(const precis::token_batch&, const input_callback&) const;
  void inputs_of_layer(std::size_t layer, precis::activations&, const input_callback&) const;
  void gradient_of_layer(std::size_t layer, precis::activations& residual, precis::activations& gradient,
                         const std::function<void()>& at_output, const sink_callback&) const;
  void check_residual(std::size_t layer, const precis::activations& residual) const;
  [[nodiscard]] precis::nll backward_of(const precis::token_batch&, const sink_callback&, engine::weights*) const;

  [[nodiscard]] precis::nll head_backward(const precis::token_batch&, precis::activations_view<const float> residual,
                                          precis::activations_view<float> gradient, const sink_callback&,
                                          engine::weights*) const;
  void embed_backward(const precis::token_batch&, precis::activations_view<float> gradient, engine::weights&) const;
  void check_batch(const precis::token_batch&, bool needs_targets) const;
  void embed(const precis::token_batch&, precis::activations_view<float>, const tap_callback*) const;
  void embed_layer_inputs(const precis::token_batch&, precis::activations_view<float>) const;
  void run_blocks(precis::activations_view<float>, const tap_callback*, cache*, std::span<block_values> keep,
                  scratch_arena&) const;
  /// Runs blocks one after the other with kept values, and calls use(run, kept) after each.
  template<class Use>
  void visit_blocks(const precis::token_batch& batch, precis::activations_view<float>, Use&& use) const;
  [[nodiscard]] block_run run_of(std::size_t layer, const rotary::tables&) const noexcept;
  /// The head's inputs of rows of the residual: final norm and projection.
  void enter_head(std::span<const float> residual, float* to) const;
  void head(precis::matrix_view<const float> entered, precis::matrix_view<float> logits, scratch_arena&) const;
  [[nodiscard]] map_view head_map() const noexcept;
  [[nodiscard]] const matrix_values& table(std::size_t matrix) const noexcept {
    return matrix == maps_ ? weights_.token_embedding : weights_.head;
  }
  [[nodiscard]] std::size_t table_width() const noexcept {
    return knobs_.embedding_width != 0 ? knobs_.embedding_width : weights_.config.width;
  }
  [[nodiscard]] precis::activations_view<float> take_stream(const precis::token_batch&, scratch_arena&) const;

  engine::weights weights_;
  engine::knobs knobs_;  ///< with the settings of every layer
  [[nodiscard]] bool has_tables() const noexcept { return matrices_.size() > maps_; }
  [[nodiscard]] std::size_t head_matrix() const noexcept { return matrices_.size() - 1; }

  std::vector<precis::matrix_info> matrices_;
  std::vector<place> places_;  ///< of the matrices in blocks
  std::vector<layer_matrices> by_layer_;
  std::size_t maps_ = 0;  ///< number of matrices in blocks; the tables follow
  stream_layout stream_;
  rotary rotary_;
  std::size_t most_tokens_ = 0;  ///< longest sequence for which every map has biases; 0: unlimited
};

}  // namespace engine
