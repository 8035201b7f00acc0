#pragma once

#include <engine/model/causal_conv.hpp>
#include <engine/model/gated_norm.hpp>
#include <engine/model/mixer_state.hpp>

#include <precis/core/view.hpp>

#include <cstddef>
#include <span>
#include <string_view>

namespace engine {

/// The sizes of a gated delta net.
struct delta_net_shape {
  std::size_t key_heads = 0;    ///< queries have as many
  std::size_t value_heads = 0;  ///< a multiple: each key head serves so many neighbours
  std::size_t key_width = 0;    ///< per head
  std::size_t value_width = 0;
  std::size_t conv_width = 0;  ///< taps of the convolution

  [[nodiscard]] std::size_t keys() const noexcept { return key_heads * key_width; }
  [[nodiscard]] std::size_t values() const noexcept { return value_heads * value_width; }
  [[nodiscard]] std::size_t channels() const noexcept { return 2 * keys() + values(); }
  bool operator==(const delta_net_shape&) const = default;
};

/// Errors: a size of 0, or value heads that the key heads do not divide. `where` is the file that states it.
void check(const delta_net_shape& s, std::string_view where = "delta net");

/// What the in-projections make of a sequence, or its gradient.
template<class T>
struct delta_net_rows {
  precis::matrix_view<T> qkv;  ///< [tokens x channels], queries, keys and values side by side
  precis::matrix_view<T> z;    ///< [tokens x values], the gate
  precis::matrix_view<T> b;    ///< [tokens x value_heads], how much of a value is written
  precis::matrix_view<T> a;    ///< [tokens x value_heads], how much is forgotten

  [[nodiscard]] std::size_t tokens() const noexcept { return qkv.rows; }
  [[nodiscard]] delta_net_rows range(std::size_t first, std::size_t count) const noexcept {
    return {qkv.row_range(first, count), z.row_range(first, count), b.row_range(first, count),
            a.row_range(first, count)};
  }
};

/// Gradients of the parameters, added to; empty ones are not computed.
struct delta_net_gradient {
  std::span<float> kernel = {}, a_log = {}, dt_bias = {}, norm = {};
};

/// The gated delta net of Qwen3-Next and Qwen3.5. Queries, keys and values pass a causal convolution and SiLU, queries and
/// keys get length 1; then, per value head with memory S, decay g = e^(-e^a_log softplus(a + dt_bias)), share s = logistic(b):
///   S <- g S;   S <- S + k (s (v - S^T k))^T;   o = S^T q / sqrt(key_width);   out = rms(o) norm silu(z).
///
/// Shapes    out [tokens x values]; memory [value_heads x key_width x value_width]
/// Source    Yang et al. 2024, arXiv:2412.06464, Eq. (10); Hugging Face's Qwen3NextGatedDeltaNet.
/// Differs   The recurrence itself, not its chunked form: equal in exact arithmetic.
struct delta_net {
  delta_net_shape shape;
  std::span<const float> kernel = {};   ///< [channels x conv_width]
  std::span<const float> a_log = {};    ///< [value_heads]
  std::span<const float> dt_bias = {};  ///< [value_heads]
  std::span<const float> norm = {};     ///< [value_width], the same for all heads
  float epsilon = 1e-6f;                ///< of the norm

  /// Mixes tokens that follow those in `state`, and adds them to it. Rows may be given in any number of calls, with the
  /// same bits.
  void operator()(const delta_net_rows<const float>& projected, mixer_state& state,
                  precis::matrix_view<float> out) const;

  /// Gradients of a sequence from its start: overwrites d_projected.
  void backward(const delta_net_rows<const float>& projected, precis::matrix_view<const float> d_out,
                const delta_net_rows<float>& d_projected, const delta_net_gradient& gradient) const;

 private:
  [[nodiscard]] causal_conv conv() const noexcept {
    return {.channels = shape.channels(), .width = shape.conv_width, .kernel = kernel, .bias = {}};
  }
  [[nodiscard]] gated_norm end() const noexcept {
    return {.order = gate_order::norm_then_gate, .groups = shape.value_heads, .epsilon = epsilon, .weight = norm};
  }
};

}  // namespace engine
