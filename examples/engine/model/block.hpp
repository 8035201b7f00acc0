#pragma once

#include <engine/model/attention.hpp>
#include <engine/model/callback.hpp>
#include <engine/model/experts.hpp>
#include <engine/model/mixer.hpp>
#include <engine/model/mlp.hpp>
#include <engine/model/rotary.hpp>
#include <engine/model/scratch_arena.hpp>
#include <engine/model/slots.hpp>
#include <engine/model/weights.hpp>

#include <precis/core/site.hpp>
#include <precis/core/view.hpp>
#include <precis/model/concepts.hpp>

#include <cstddef>
#include <functional>
#include <span>
#include <utility>
#include <vector>

namespace engine {

using tap_callback = callback<precis::site, precis::activations_view<float>>;
using input_callback = callback<const precis::linear_input&>;
using sink_callback = callback<const precis::linear_gradient&>;

/// What a row of the residual stream holds. In most models that is the residual alone; behind it follow what later
/// layers read of a token: the inputs of every layer, and keys and values that several layers share.
struct stream_layout {
  std::size_t width = 0;         ///< of the residual
  std::size_t layer_inputs = 0;  ///< first feature of the layers' inputs
  std::size_t total = 0;
  std::vector<std::size_t> keys;  ///< [layers] first feature of a layer's shared keys, values follow; 0: not shared

  stream_layout() = default;
  stream_layout(const config& c, const knobs& k);

  /// The residual alone.
  template<class T>
  [[nodiscard]] precis::activations_view<T> residual(precis::activations_view<T> x) const noexcept {
    x.features = width;
    return x;
  }
};

/// Intermediate values of a recurrent mixer.
struct recurrent_values {
  float* normed = nullptr;     ///< [rows x width], input of the in-projections
  float* projected = nullptr;  ///< [rows x projected], their outputs side by side
  float* mixed = nullptr;      ///< [rows x inner], input of mixer_out
  float* out = nullptr;        ///< [rows x width], output of mixer_out, beside an attention
};

/// Intermediate values of a block; rows are sequences * tokens. Only backward keeps all of them; those that a family
/// does not need are null. `query`, `kv` are heads * head width and kv_heads * head width.
struct block_values {
  float* entering = nullptr;        ///< [rows x width]
  float* normed = nullptr;          ///< [rows x width], input of query, key and value
  float* qkv = nullptr;             ///< [rows x query + 2 kv], side by side, as attention reads them
  float* raw_qkv = nullptr;         ///< likewise, as the maps make them, if norms or limits follow
  float* gated_query = nullptr;     ///< [rows x 2 query], outputs of a query map with a gate
  float* gate = nullptr;            ///< [rows x query], logistic gate of the attention output
  float* ungated = nullptr;         ///< [rows x query], the attention output before it
  float* context = nullptr;         ///< [rows x query], input of attention_out
  float* attention_made = nullptr;  ///< [rows x width], before the norm of the attention output
  float* attention_sum = nullptr;   ///< [rows x width], before a norm after the sum
  recurrent_values recurrent;
  float* middle = nullptr;      ///< [rows x width], after adding the attention output
  float* mlp_normed = nullptr;  ///< [rows x width]
  mlp_values mlp;               ///< [rows x hidden]
  expert_values experts;
  float* mlp_made = nullptr;      ///< [rows x width], before the norm of the MLP output
  float* mlp_sum = nullptr;       ///< [rows x width], before a norm after the sum
  float* left = nullptr;          ///< [rows x width], after adding the MLP output, where layer inputs follow
  float* layer_raw = nullptr;     ///< [rows x layer_input_width], input of their activation
  float* layer_active = nullptr;  ///< [rows x layer_input_width], input of layer_projection
  float* layer_made = nullptr;    ///< [rows x width], before layer_post_norm
  float* unscaled = nullptr;      ///< [rows x width], before the layer's number
};

/// One block and the parameters of its run.
struct block_run {
  const config& shape;
  const engine::knobs& knobs;
  const engine::block& block;
  const stream_layout& stream;
  const rotary::tables& tables;
  std::size_t layer = 0;
  std::size_t first_token = 0;         ///< position of the residual's first token
  bool last_only = false;              ///< compute only the last token's output
  const float* cached_keys = nullptr;  ///< those that this layer reads, [cached sequences x cached_tokens x kv]
  const float* cached_values = nullptr;
  const float* cached_stream = nullptr;  ///< what enters this layer, [cached sequences x cached_tokens x stream.total]
  std::size_t cached_tokens = 0;
  std::span<const std::size_t> sequences = {};  ///< for every row of the residual, its cached sequence
  float* keep_keys = nullptr;                   ///< destination of this run's keys, or null
  float* keep_values = nullptr;

  [[nodiscard]] const layer_settings& settings() const noexcept { return knobs.layers[layer]; }
  [[nodiscard]] bool attends() const noexcept { return engine::attends(settings().mixer); }
  [[nodiscard]] bool recurs() const noexcept { return engine::recurs(settings().mixer); }
  [[nodiscard]] bool has_own_keys() const noexcept { return attends() && settings().kv_source == own_keys; }
  [[nodiscard]] std::size_t query_width() const noexcept { return shape.heads * settings().head_width; }
  [[nodiscard]] std::size_t kv_width() const noexcept { return settings().kv_heads * settings().head_width; }
  /// Number of floats in a row of block_values::qkv.
  [[nodiscard]] std::size_t qkv_width() const noexcept { return query_width() + (has_own_keys() ? 2 * kv_width() : 0); }
  [[nodiscard]] bool normalizes_before() const noexcept {
    return knobs.norms == norm_place::before || knobs.norms == norm_place::around;
  }
  [[nodiscard]] bool normalizes_branch() const noexcept {
    return knobs.norms == norm_place::branch || knobs.norms == norm_place::around;
  }
};

/// The indices in matrices() of a block's maps.
struct layer_matrices {
  std::vector<std::pair<linear block::*, std::size_t>> maps;
  std::vector<std::pair<linear expert::*, std::size_t>> of_first_expert;
  std::size_t per_expert = 0;  ///< from a map of one expert to that of the next

  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  [[nodiscard]] std::size_t of(linear block::* map) const noexcept;
  [[nodiscard]] std::size_t of(linear expert::* map, std::size_t expert) const noexcept;
};
/// Those of all layers.
[[nodiscard]] std::vector<layer_matrices> layer_matrices_of(const config& c, const knobs& k);

/// Called for every map of a block with its inputs and output gradients.
using map_sink =
    std::function<void(linear block::* map, precis::matrix_view<const float> x, precis::matrix_view<const float> dy)>;

[[nodiscard]] block_values allocate_values(const block_run& run, std::size_t rows, bool for_backward,
                                           scratch_arena& memory);

/// Norms, limits, rotation and scales of one row of block_values::qkv at a position. Without `is_query` the query is left
/// alone. `finishes_rows`: whether there is anything to do.
void finish_row(const block_run& run, float* row, std::size_t position, bool is_query);
[[nodiscard]] bool finishes_rows(const block_run& run) noexcept;
/// Splits one row of a query map with a gate: [query | gate] per head.
void split_gate(const block_run& run, const float* both, float* query, float* gate) noexcept;

/// Computes the output of attention_out for the sequences of the stream from v.normed. With `last_only`, of the last
/// position alone. Writes keys and values that other layers share to the stream.
void run_attention(const block_run& run, precis::activations_view<float> stream, const block_values& v, float* out,
                   float* scratch, std::span<float> workspace);

/// Computes the output of mixer_out for `sequences` of `tokens` rows each from v.recurrent.normed. With `last_only`, of
/// the last position alone. A run that does not begin at position 0 mixes the earlier positions again, from the cache.
void run_recurrent(const block_run& run, std::size_t sequences, std::size_t tokens, const block_values& v, float* out,
                   std::span<float> workspace);

/// Sets d_normed to the gradient at v.recurrent.normed from dy at the output of mixer_out.
void run_recurrent_backward(const block_run& run, std::size_t sequences, const block_values& v,
                            precis::matrix_view<const float> dy, precis::matrix_view<float> d_normed,
                            const map_sink& sink, block* gradient, scratch_arena& memory, std::span<float> workspace);

/// Sets d_normed to the gradient at v.normed from dy at the output. Gradients of shared keys and values are read from
/// and added to d_stream.
void run_attention_backward(const block_run& run, precis::activations_view<const float> stream,
                            precis::activations_view<float> d_stream, const block_values& v,
                            precis::matrix_view<const float> dy, precis::matrix_view<float> d_normed,
                            const map_sink& sink, block* gradient, scratch_arena& memory, std::span<float> workspace);

/// Runs the block on the stream in place, and calls the tap at its attention and MLP sites.
void run_block(const block_run& run, precis::activations_view<float> stream, const tap_callback* tap,
               block_values* keep, scratch_arena& memory);

/// Computes the gradient at the block's input from the one at its output, in place, using the values that a run kept.
/// `matrices` are the block's; `stream` is the dense stream after the run, of which only what follows the residual is
/// read; `gradient` accumulates parameter gradients unless it is null.
void backward_block(const block_run& run, const layer_matrices& matrices, precis::activations_view<const float> stream,
                    precis::activations_view<float> d_stream, const block_values& kept, const sink_callback& sink,
                    block* gradient, scratch_arena& memory);

/// Calls sink once for each distinct input of the block's matrices, from the values that a run kept.
void report_inputs(const block_run& run, const layer_matrices& matrices, std::size_t sequences, std::size_t tokens,
                   const block_values& kept, const input_callback& sink);

/// Accumulates the parameter gradients of a map with inputs x and output gradients dy: dW += dy^T x, db += sum of dy.
void add_map_gradient(precis::matrix_view<const float> dy, precis::matrix_view<const float> x, linear& gradient,
                      std::span<float> workspace) noexcept;

/// Workspace for the matrix products of one call.
[[nodiscard]] std::span<float> product_workspace(scratch_arena& memory);

}  // namespace engine
