#include <engine/model/mixer.hpp>

#include <engine/model/short_conv.hpp>

#include <array>

namespace engine {
namespace {

using precis::matrix_view;

constexpr std::array one_map{&block::mixer_in};
constexpr std::array delta_maps{&block::mixer_query, &block::mixer_key,   &block::mixer_value,
                                &block::mixer_gate,  &block::mixer_write, &block::mixer_decay};

[[nodiscard]] short_conv short_conv_of(const config& c, const knobs& k, const mixer_parameters& p) noexcept {
  return {{.channels = c.width, .width = k.short_conv_width, .kernel = p.conv_kernel, .bias = p.conv_bias}};
}
[[nodiscard]] delta_net delta_net_of(const config& c, const knobs& k, const mixer_parameters& p) noexcept {
  return {.shape = k.delta_net,
          .kernel = p.conv_kernel,
          .a_log = p.decay_log,
          .dt_bias = p.step_bias,
          .norm = p.norm,
          .epsilon = c.norm_epsilon};
}
[[nodiscard]] mamba2 mamba_of(const knobs& k, const mixer_parameters& p) noexcept {
  return {.settings = k.mamba,
          .kernel = p.conv_kernel,
          .conv_bias = p.conv_bias,
          .a_log = p.decay_log,
          .d = p.skip,
          .dt_bias = p.step_bias,
          .norm = p.norm};
}

/// A row of all in-projections as a delta net reads it.
template<class T>
[[nodiscard]] delta_net_rows<T> delta_rows(const delta_net_shape& s, matrix_view<T> rows) noexcept {
  const std::size_t z = s.channels(), b = z + s.values(), a = b + s.value_heads;
  return {rows.col_range(0, z), rows.col_range(z, s.values()), rows.col_range(b, s.value_heads),
          rows.col_range(a, s.value_heads)};
}

}  // namespace

mixer_sizes mixer_sizes_of(const config& c, const knobs& k, mixer m) noexcept {
  switch (m) {
    case mixer::attention: break;
    case mixer::short_conv: return {3 * c.width, c.width, c.width, k.short_conv_width};
    case mixer::delta_net: {
      const delta_net_shape& s = k.delta_net;
      return {s.channels() + s.values() + 2 * s.value_heads, s.values(), s.channels(), s.conv_width};
    }
    case mixer::mamba:
    case mixer::attention_and_mamba:
      return {k.mamba.projected(), k.mamba.inner(), k.mamba.channels(), k.mamba.conv_width};
  }
  return {};
}

std::span<linear block::* const> mixer_maps_of(mixer m) noexcept {
  if (m == mixer::attention) return {};
  if (m == mixer::delta_net) return delta_maps;
  return one_map;
}

void mix(const config& c, const knobs& k, mixer m, const mixer_parameters& p, matrix_view<const float> projected,
         mixer_state& state, matrix_view<float> out) {
  if (m == mixer::short_conv)
    short_conv_of(c, k, p)(projected, state, out);
  else if (m == mixer::delta_net)
    delta_net_of(c, k, p)(delta_rows(k.delta_net, projected), state, out);
  else
    mamba_of(k, p)(projected, state, out);
}

void mix_backward(const config& c, const knobs& k, mixer m, const mixer_parameters& p,
                  matrix_view<const float> projected, matrix_view<const float> d_out, matrix_view<float> d_projected,
                  block* gradient) {
  block none;
  block& g = gradient == nullptr ? none : *gradient;
  if (m == mixer::short_conv)
    short_conv_of(c, k, p).backward(projected, d_out, d_projected, g.conv_kernel, g.conv_bias);
  else if (m == mixer::delta_net)
    delta_net_of(c, k, p).backward(delta_rows(k.delta_net, projected), d_out, delta_rows(k.delta_net, d_projected),
                                   {g.conv_kernel, g.decay_log, g.step_bias, g.mixer_norm});
  else
    mamba_of(k, p).backward(projected, d_out, d_projected,
                            {.kernel = g.conv_kernel,
                             .conv_bias = g.conv_bias,
                             .a_log = g.decay_log,
                             .d = g.skip,
                             .dt_bias = g.step_bias,
                             .norm = g.mixer_norm});
}

}  // namespace engine
