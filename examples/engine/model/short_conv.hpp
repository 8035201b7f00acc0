#pragma once

#include <engine/model/causal_conv.hpp>
#include <engine/model/mixer_state.hpp>

#include <precis/core/view.hpp>

#include <span>

namespace engine {

/// The mixer of LFM2: a gated causal convolution without activation, y = c * conv(b * u).
///
/// Shapes    projected [tokens x 3 channels]: b, c and u side by side; out [tokens x channels].
/// Source    Liquid AI, LFM2 Technical Report 2025, arXiv:2511.23404; Hugging Face's Lfm2ShortConv.
struct short_conv {
  causal_conv conv;

  /// Mixes tokens that follow those in `state`, and adds them to it. Rows may be given in any number of calls, with the
  /// same bits.
  void operator()(precis::matrix_view<const float> projected, mixer_state& state, precis::matrix_view<float> out) const;

  /// Gradients of a sequence from its start: overwrites d_projected, and adds to d_kernel and d_bias unless they are
  /// empty.
  void backward(precis::matrix_view<const float> projected, precis::matrix_view<const float> d_out,
                precis::matrix_view<float> d_projected, std::span<float> d_kernel, std::span<float> d_bias) const;
};

}  // namespace engine
