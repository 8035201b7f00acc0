#pragma once

#include <engine/model/config.hpp>
#include <engine/model/map_product.hpp>
#include <engine/model/weights.hpp>

#include <precis/core/view.hpp>

#include <cstddef>
#include <span>

/// A block's MLP on rows: up (and gate), activation, down. Dense layers, experts and shared experts are such.
namespace engine {

struct mlp_maps {
  const linear* gate = nullptr;  ///< null without a gate
  const linear* up = nullptr;
  const linear* down = nullptr;
};

/// Intermediate values, [rows x hidden] each.
struct mlp_values {
  float* raw = nullptr;     ///< input of the activation
  float* up = nullptr;      ///< with a gate: factor of the activation
  float* active = nullptr;  ///< input of `down`; may be `raw` if no gradient follows
};

/// Replaces the outputs of gate and up by the input of `down`: `raw` and `up` to `active`. Scales `raw` first.
void activate(const knobs& k, activation f, std::size_t count, const mlp_values& v) noexcept;

/// Computes the MLP's output for rows.
void run_mlp(const knobs& k, activation f, const mlp_maps& maps, precis::matrix_view<const float> rows,
             const mlp_values& v, precis::matrix_view<float> out, row_positions positions, std::span<float> workspace);

/// Replaces gradients at `active` by those at the output of the gate (of `up` without a gate), and sets d_up to those at
/// the output of `up` if there is a gate.
void activate_backward(const knobs& k, activation f, std::size_t count, const mlp_values& v, float* d_active,
                       float* d_up) noexcept;

}  // namespace engine
