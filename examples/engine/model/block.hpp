#pragma once

#include <engine/model/attention.hpp>
#include <engine/model/callback.hpp>
#include <engine/model/scratch_arena.hpp>
#include <engine/model/weights.hpp>

#include <precis/core/site.hpp>
#include <precis/core/view.hpp>
#include <precis/model/concepts.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace engine {

using tap_callback = callback<precis::site, precis::activations_view<float>>;
using input_callback = callback<const precis::linear_input&>;
using sink_callback = callback<const precis::linear_gradient&>;

/// Rotary position embeddings: rotates feature pair i at position p by the angle p * theta^(-i / pairs). Pairs are
/// adjacent, (2i, 2i + 1), or half-split, (i, i + pairs). The remaining features of a head are unchanged.
struct rotary {
  std::size_t pairs = 0;  ///< per head; 0 if the model has no rotary positions
  std::size_t head_width = 0;
  bool half_split = false;
  std::vector<float> cosine, sine;  ///< [context x pairs]

  rotary() = default;
  explicit rotary(const config& shape);

  /// Rotate `heads` heads of one row, or undo the rotation.
  void rotate(float* row, std::size_t heads, std::size_t position) const noexcept;
  void rotate_back(float* row, std::size_t heads, std::size_t position) const noexcept;

 private:
  /// `sign` is 1 to rotate and -1 to undo the rotation.
  void rotate_by(float sign, float* row, std::size_t heads, std::size_t position) const noexcept;
};

/// Intermediate values of a block; rows are sequences * tokens. Only backward keeps all of them.
struct block_values {
  float* entering = nullptr;    ///< [rows x width], backward only
  float* normed = nullptr;      ///< [rows x width]
  float* qkv = nullptr;         ///< [rows x width + 2 kv_width], query, key and value side by side, after rotation
  float* context = nullptr;     ///< [rows x width], input of attention_out
  float* middle = nullptr;      ///< [rows x width], after adding the attention output; backward only
  float* mlp_normed = nullptr;  ///< [rows x width]
  float* raw = nullptr;         ///< [rows x hidden], input of the activation
  float* up = nullptr;          ///< [rows x hidden], Llama only: factor of the activation
  float* active = nullptr;      ///< [rows x hidden], input of `down`
};

/// One block and the parameters of its run.
struct block_run {
  const config& shape;
  const engine::block& block;
  const engine::rotary& rotary;
  std::size_t layer = 0;
  std::size_t first_token = 0;         ///< position of the residual's first token
  bool last_only = false;              ///< compute only the last token's output
  const float* cached_keys = nullptr;  ///< this layer's, [cached sequences x cached_tokens x kv_width]
  const float* cached_values = nullptr;
  std::size_t cached_tokens = 0;
  std::span<const std::size_t> sequences = {};  ///< for every row of the residual, its cached sequence
  float* keep_keys = nullptr;                   ///< destination of this run's keys, or null
  float* keep_values = nullptr;
};

/// Number of floats in a row of block_values::qkv.
[[nodiscard]] inline std::size_t qkv_width(const config& c) noexcept { return c.width + 2 * c.kv_width(); }

/// The attention of one sequence of a run with intermediate values `v`.
[[nodiscard]] attention_run sequence_attention(const block_run& run, const block_values& v, std::size_t sequence,
                                               std::size_t tokens, std::size_t queries) noexcept;

[[nodiscard]] block_values allocate_values(const config& shape, std::size_t rows, bool for_backward,
                                           scratch_arena& memory);

/// Runs the block on the residual in place, and calls the tap at its attention and MLP sites.
void run_block(const block_run& run, precis::activations_view<float> residual, const tap_callback* tap,
               block_values* keep, scratch_arena& memory);

/// Computes the gradient at the block's input from the one at its output, in place, using the values that a run kept.
/// `first_matrix` is the index of the block's first matrix; `gradient` accumulates parameter gradients unless it is
/// null.
void backward_block(const block_run& run, std::size_t first_matrix, precis::activations_view<float> residual_gradient,
                    const block_values& kept, const sink_callback& sink, block* gradient, scratch_arena& memory);

/// out = rows * map^T + bias.
void apply(const precis::weight_view& map, std::span<const float> bias, precis::matrix_view<const float> rows,
           precis::matrix_view<float> out, std::span<float> workspace) noexcept;

/// Accumulates the parameter gradients of a map with inputs x and output gradients dy: dW += dy^T x, db += sum of dy.
void add_map_gradient(precis::matrix_view<const float> dy, precis::matrix_view<const float> x, linear& gradient,
                      std::span<float> workspace) noexcept;

/// Workspace for the matrix products of one call.
[[nodiscard]] std::span<float> product_workspace(scratch_arena& memory);

}  // namespace engine
