#pragma once

#include <engine/model/attention.hpp>

#include <cstddef>
#include <span>

namespace engine {

/// Attention of one sequence in which every position sees all others: the first `length` of them, the rest is padding.
struct both_ways_run {
  head_shape shape;                         ///< kv_heads == heads
  std::size_t queries = 0;                  ///< positions that ask, the padding's too
  std::size_t length = 0;                   ///< positions that are seen, 1 to queries
  row_span<const float> query, key, value;  ///< [queries x heads * width]
};

/// Floats of scratch; backward needs twice as many.
[[nodiscard]] std::size_t both_ways_scratch(std::size_t queries) noexcept;

/// out[i] = sum over p < length of softmax(q_i . k_p / sqrt(width))_p v_p, summed in the order of p.
///
/// @post padding is never read, not even times zero: more of it changes no bit of the positions before.
void attend(const both_ways_run& run, row_span<float> out, float* scratch, std::span<float> workspace) noexcept;

/// Gradients of one sequence's attention; d_query, d_key and d_value are overwritten, the padding's keys and values get 0.
void attend_backward(const both_ways_run& run, row_span<const float> d_out, row_span<float> d_query,
                     row_span<float> d_key, row_span<float> d_value, float* scratch,
                     std::span<float> workspace) noexcept;

}  // namespace engine
