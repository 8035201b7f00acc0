#pragma once

#include <engine/model/config.hpp>
#include <engine/model/mixer_state.hpp>
#include <engine/model/weights.hpp>

#include <precis/core/view.hpp>

#include <cstddef>
#include <span>
#include <vector>

/// The recurrent mixer of a layer, whichever it is, between its in-projections and its out-projection.
namespace engine {

/// The widths of a recurrent mixer; all 0 if there is none.
struct mixer_sizes {
  std::size_t projected = 0;  ///< outputs of the in-projections
  std::size_t inner = 0;      ///< inputs of the out-projection
  std::size_t channels = 0;   ///< of the convolution
  std::size_t taps = 0;
};
[[nodiscard]] mixer_sizes mixer_sizes_of(const config& c, const knobs& k, mixer m) noexcept;

/// The in-projections, in the order of their outputs in a row.
[[nodiscard]] std::span<linear block::* const> mixer_maps_of(mixer m) noexcept;

/// The parameters of a recurrent mixer beside its maps, of a block of any kind.
struct mixer_parameters {
  std::span<const float> conv_kernel, conv_bias, decay_log, step_bias, skip, norm;
};
template<class Block>
[[nodiscard]] mixer_parameters mixer_parameters_of(const Block& b) noexcept {
  return {b.conv_kernel, b.conv_bias, b.decay_log, b.step_bias, b.skip, b.mixer_norm};
}

/// Mixes rows [tokens x projected] that follow those in `state` to out [tokens x inner], and adds them to it.
void mix(const config& c, const knobs& k, mixer m, const mixer_parameters& p,
         precis::matrix_view<const float> projected, mixer_state& state, precis::matrix_view<float> out);

/// Gradients of a sequence from its start: overwrites d_projected, and adds to those of the parameters unless `gradient`
/// is null.
void mix_backward(const config& c, const knobs& k, mixer m, const mixer_parameters& p,
                  precis::matrix_view<const float> projected, precis::matrix_view<const float> d_out,
                  precis::matrix_view<float> d_projected, block* gradient);

}  // namespace engine
