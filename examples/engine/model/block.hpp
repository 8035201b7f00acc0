#pragma once

#include <engine/model/arena.hpp>
#include <engine/model/attention.hpp>
#include <engine/model/weights.hpp>

#include <precis/core/site.hpp>
#include <precis/core/view.hpp>
#include <precis/model/concepts.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

namespace engine {

/// A reference to anything callable as f(Arguments...), for the length of a call.
template<class... Arguments>
class callback {
 public:
  template<class F>
    requires(!std::same_as<std::remove_cvref_t<F>, callback>)
  explicit callback(F& f) noexcept
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Arguments... arguments) { (*static_cast<F*>(object))(arguments...); }) {}
  void operator()(Arguments... arguments) const { call_(object_, arguments...); }

 private:
  void* object_;
  void (*call_)(void*, Arguments...);
};

using tap_callback = callback<precis::site, precis::activations_view<float>>;
using input_callback = callback<const precis::linear_input&>;
using sink_callback = callback<const precis::linear_gradient&>;

/// Rotary positions: turns feature pair i of position p by p * theta^(-i / pairs). Pairs are neighbours (2i, 2i + 1), or
/// (i, i + pairs); features of a head beyond the pairs stay.
struct rotary {
  std::size_t pairs = 0;  ///< of one head; 0: the model has none
  std::size_t head_width = 0;
  bool halves = false;
  std::vector<float> cosine, sine;  ///< [context x pairs]

  rotary() = default;
  explicit rotary(const config& shape);

  /// Turns `heads` heads of one row, or turns them back.
  void turn(float* row, std::size_t heads, std::size_t position) const noexcept;
  void turn_back(float* row, std::size_t heads, std::size_t position) const noexcept;

 private:
  /// `sign` 1 turns, -1 turns back.
  void turn_by(float sign, float* row, std::size_t heads, std::size_t position) const noexcept;
};

/// What a block computes on the way; rows are sequences * tokens. Only backward keeps all of it.
struct block_values {
  float* entering = nullptr;    ///< [rows x width], backward only
  float* normed = nullptr;      ///< [rows x width]
  float* qkv = nullptr;         ///< [rows x width + 2 kv_width], query, key and value side by side, turned
  float* context = nullptr;     ///< [rows x width], what attention_out reads
  float* middle = nullptr;      ///< [rows x width], after attention was added; backward only
  float* mlp_normed = nullptr;  ///< [rows x width]
  float* raw = nullptr;         ///< [rows x hidden], entering the activation
  float* up = nullptr;          ///< [rows x hidden], Llama only: what the activation is multiplied by
  float* active = nullptr;      ///< [rows x hidden], what `down` reads
};

/// One block and how it runs.
struct block_run {
  const config& shape;
  const engine::block& block;
  const engine::rotary& rotary;
  std::size_t layer = 0;
  std::size_t first_token = 0;         ///< position of the residual's first token
  bool last_only = false;              ///< only the last token's output is needed
  const float* cached_keys = nullptr;  ///< this layer's, [cached sequences x cached_tokens x kv_width]
  const float* cached_values = nullptr;
  std::size_t cached_tokens = 0;
  std::span<const std::size_t> sequences = {};  ///< cached sequence of every row of the residual
  float* keep_keys = nullptr;                   ///< where this run's keys and values go, or nowhere
  float* keep_values = nullptr;
};

/// Floats of one row of block_values::qkv.
[[nodiscard]] inline std::size_t qkv_width(const config& c) noexcept { return c.width + 2 * c.kv_width(); }

/// The attention of one sequence of a run, whose values are in `v`.
[[nodiscard]] attention_run sequence_attention(const block_run& run, const block_values& v, std::size_t sequence,
                                               std::size_t tokens, std::size_t queries) noexcept;

[[nodiscard]] block_values allocate_values(const config& shape, std::size_t rows, bool for_backward, arena& memory);

/// Advances the residual through the block in place and calls the tap at its attention and MLP sites.
void run_block(const block_run& run, precis::activations_view<float> residual, const tap_callback* tap,
               block_values* keep, arena& memory);

/// Turns the gradient at the block's output into the one at its input, in place, from the values a run kept.
/// `first_matrix` is the index of the block's first matrix; `gradient` collects parameter gradients unless it is null.
void backward_block(const block_run& run, std::size_t first_matrix, precis::activations_view<float> residual_gradient,
                    const block_values& kept, const sink_callback& sink, block* gradient, arena& memory);

/// out = rows * map^T + bias.
void apply(const precis::weight_view& map, std::span<const float> bias, precis::matrix_view<const float> rows,
           precis::matrix_view<float> out, std::span<float> workspace) noexcept;

/// Adds what a map's inputs x and output gradients dy mean for its weights and biases: dW += dy^T x, db += sum of dy.
void add_map_gradient(precis::matrix_view<const float> dy, precis::matrix_view<const float> x, linear& gradient,
                      std::span<float> workspace) noexcept;

/// Workspace for the products of one call.
[[nodiscard]] std::span<float> product_workspace(arena& memory);

}  // namespace engine
