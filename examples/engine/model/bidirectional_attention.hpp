#pragma once

#include <engine/model/attention.hpp>

#include <cstddef>
#include <span>

namespace engine {

/// Bidirectional attention of one sequence: every position attends to the first `length` positions; the rest is
/// padding.
struct bidirectional_attention_run {
  head_shape shape;                         ///< kv_heads == heads
  std::size_t queries = 0;                  ///< number of positions, including padding
  std::size_t length = 0;                   ///< positions before the padding, 1 to queries
  row_span<const float> query, key, value;  ///< [queries x heads * width]
  float scale = 0;                          ///< of scores; 0: 1 / sqrt(width)
  std::size_t window = 0;                   ///< a query sees this many positions around itself; 0: all
  /// [heads x 2 queries - 1] what a key's score gains by its distance: entry key - query + queries - 1. Null: nothing.
  const float* by_distance = nullptr;
};

/// Number of scratch floats; backward needs twice as many.
[[nodiscard]] std::size_t bidirectional_attention_scratch(std::size_t queries) noexcept;

/// out[i] = sum of softmax(q_i . k_p / sqrt(width))_p v_p over p < length, in the order of p.
///
/// @post padding is never read, not even times zero: adding padding changes no bit of the other positions.
void attend(const bidirectional_attention_run& run, row_span<float> out, float* scratch,
            std::span<float> workspace) noexcept;

/// Gradients of the attention of one sequence. Overwrites d_query, d_key and d_value; gradients of padded keys and
/// values are 0. Adds to d_by_distance, [heads x 2 queries - 1], unless it is null.
void attend_backward(const bidirectional_attention_run& run, row_span<const float> d_out, row_span<float> d_query,
                     row_span<float> d_key, row_span<float> d_value, float* scratch, std::span<float> workspace,
                     double* d_by_distance = nullptr) noexcept;

}  // namespace engine
