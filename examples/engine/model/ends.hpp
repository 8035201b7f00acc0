#pragma once

#include <engine/model/config.hpp>

#include <precis/core/view.hpp>

/// Arithmetic of a decoder's ends that the float and the packed model share.
namespace engine {

/// Scales logits, and caps them.
void finish_logits(const knobs& k, precis::matrix_view<float> logits) noexcept;

/// What Gemma 4 multiplies its layers' inputs by: the table's rows, the projections of the embedding, and their sum.
struct layer_input_scales {
  float table, projected, sum;
  layer_input_scales(const config& c, const knobs& k) noexcept;
};

}  // namespace engine
