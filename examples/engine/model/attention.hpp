#pragma once

#include <cstddef>
#include <span>

namespace engine {

inline constexpr std::size_t block_queries = 64;  ///< queries that share one product with the keys

/// Rows of one head, or of several adjacent heads, in a wider buffer.
template<class T>
struct row_span {
  T* data = nullptr;
  std::ptrdiff_t stride = 0;  ///< elements between consecutive positions

  [[nodiscard]] T* row(std::size_t i) const noexcept { return data + static_cast<std::ptrdiff_t>(i) * stride; }
  [[nodiscard]] row_span columns(std::size_t first) const noexcept {
    return {data == nullptr ? nullptr : data + first, stride};  // nothing is cached at the first position
  }
  template<class U>
  operator row_span<U>() const noexcept {  // NOLINT(google-explicit-constructor): adds const only
    return {data, stride};
  }
};

struct head_shape {
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t width = 0;  ///< per head
};

/// Causal attention of one sequence. Positions 0 to earlier - 1 come from a cache; this run computes the others.
struct attention_run {
  head_shape shape;
  std::size_t earlier = 0;           ///< number of cached positions
  std::size_t positions = 0;         ///< cached positions and those of this run
  std::size_t queries = 0;           ///< the last `queries` positions are the queries
  row_span<const float> query;       ///< [queries x heads * width]
  row_span<const float> cached_key;  ///< [earlier x kv_heads * width]
  row_span<const float> cached_value;
  row_span<const float> key;  ///< [positions - earlier x kv_heads * width]
  row_span<const float> value;
  float scale = 0;               ///< of scores; 0: 1 / sqrt(width)
  float cap = 0;                 ///< scores become cap tanh(score / cap); 0: they stay
  std::size_t window = 0;        ///< a query sees this many positions, itself included; 0: all
  const float* sinks = nullptr;  ///< [heads] logits that take part in the softmax and carry no value, or null
};

/// Number of scratch floats that both functions need.
[[nodiscard]] std::size_t attention_scratch(std::size_t positions, std::size_t queries) noexcept;

/// out[i] = sum of softmax(q_i . k_p / sqrt(width))_p v_p over all p up to the position of query i that it sees, in the
/// order of p.
///
/// @post the output at a position depends only on positions up to it: later ones are never read, not even times zero.
void attend(const attention_run& run, row_span<float> out, float* scratch, std::span<float> workspace) noexcept;

/// Gradients of the attention of one sequence. Overwrites d_query, d_key and d_value. Requires earlier == 0,
/// queries == positions, and scratch of three times attention_scratch. Adds to d_sinks unless it is null. With
/// `onto`, d_key and d_value are added to instead.
void attend_backward(const attention_run& run, row_span<const float> d_out, row_span<float> d_query,
                     row_span<float> d_key, row_span<float> d_value, float* scratch, std::span<float> workspace,
                     float* d_sinks = nullptr, bool onto = false) noexcept;

}  // namespace engine
