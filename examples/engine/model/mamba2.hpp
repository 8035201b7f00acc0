#pragma once

#include <engine/model/causal_conv.hpp>
#include <engine/model/gated_norm.hpp>
#include <engine/model/mixer_state.hpp>

#include <precis/core/view.hpp>

#include <array>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>

namespace engine {

/// The settings of a Mamba-2 mixer.
struct mamba2_settings {
  std::size_t heads = 0;
  std::size_t head_width = 0;
  std::size_t state_width = 0;  ///< of each feature of a head
  std::size_t groups = 1;       ///< heads of a group share b and c; divides heads
  std::size_t conv_width = 0;   ///< taps of the convolution
  double least_step = 0, most_step = std::numeric_limits<double>::infinity();  ///< time_step_limit
  gate_order order = gate_order::gate_then_norm;
  std::size_t norm_groups = 1;                    ///< of the norm; divides the inner width
  float epsilon = 1e-5f;                          ///< of the norm
  std::array<float, 5> scales = {1, 1, 1, 1, 1};  ///< Falcon-H1: multiply the in-projection's parts z, x, b, c, dt

  [[nodiscard]] std::size_t inner() const noexcept { return heads * head_width; }
  [[nodiscard]] std::size_t channels() const noexcept { return inner() + 2 * groups * state_width; }
  [[nodiscard]] std::size_t projected() const noexcept { return inner() + channels() + heads; }
  bool operator==(const mamba2_settings&) const = default;
};

/// Errors: a size of 0, groups that do not divide, limits out of order, by name and value. `where` is the file that states
/// it.
void check(const mamba2_settings& s, std::string_view where = "mamba");

/// Gradients of the parameters, added to; empty ones are not computed.
struct mamba2_gradient {
  std::span<float> kernel = {}, conv_bias = {}, a_log = {}, d = {}, dt_bias = {}, norm = {};
};

/// The Mamba-2 mixer of Bamba, Granite 4 and Falcon-H1. x, b and c pass a causal convolution and SiLU; then, per head with
/// memory h, step s = clamp(softplus(dt + dt_bias)):
///   h <- e^(-e^a_log s) h + s b x^T;   y = h^T c + d x;   out = the gated norm of y by z.
///
/// Shapes    projected [tokens x projected]: z, x, b, c, dt side by side; out [tokens x inner]; memory
///           [heads x state_width x head_width]
/// Source    Dao and Gu 2024, arXiv:2405.21060; Hugging Face's BambaMixer and FalconH1Mixer.
/// Differs   The recurrence itself, not its chunked form: equal in exact arithmetic.
struct mamba2 {
  mamba2_settings settings;
  std::span<const float> kernel = {};     ///< [channels x conv_width]
  std::span<const float> conv_bias = {};  ///< [channels] or empty
  std::span<const float> a_log = {};      ///< [heads]
  std::span<const float> d = {};          ///< [heads]
  std::span<const float> dt_bias = {};    ///< [heads]
  std::span<const float> norm = {};       ///< [inner]; unused by gate_alone

  /// Mixes tokens that follow those in `state`, and adds them to it. Rows may be given in any number of calls, with the
  /// same bits.
  void operator()(precis::matrix_view<const float> projected, mixer_state& state, precis::matrix_view<float> out) const;

  /// Gradients of a sequence from its start: overwrites d_projected.
  void backward(precis::matrix_view<const float> projected, precis::matrix_view<const float> d_out,
                precis::matrix_view<float> d_projected, const mamba2_gradient& gradient) const;

 private:
  [[nodiscard]] causal_conv conv() const noexcept {
    return {.channels = settings.channels(), .width = settings.conv_width, .kernel = kernel, .bias = conv_bias};
  }
  [[nodiscard]] gated_norm end() const noexcept {
    return {.order = settings.order, .groups = settings.norm_groups, .epsilon = settings.epsilon, .weight = norm};
  }
};

}  // namespace engine
