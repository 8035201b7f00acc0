#include <engine/model/mlp.hpp>

#include <engine/model/math.hpp>
#include <engine/model/product.hpp>

namespace engine {
namespace {

/// The limited gate of gpt-oss: (up + 1) g logistic(1.702 g) with g = min(gate, limit), up limited to +-limit.
struct limited {
  float limit;
  static constexpr float slope = 1.702f;

  template<class L>
  [[nodiscard]] typename L::vector value(typename L::vector gate, typename L::vector up) const noexcept {
    const auto g = L::smaller(gate, L::all(limit));
    const auto u = L::larger(L::all(-limit), L::smaller(up, L::all(limit)));
    return L::multiply(L::add(u, L::all(1.f)), L::multiply(g, logistic<L>(L::multiply(g, L::all(slope)))));
  }
  void backward(float gate, float up, float d, float& d_gate, float& d_up) const noexcept {
    const float g = std::min(gate, limit), u = std::clamp(up, -limit, limit);
    const float s = logistic<scalar_lanes>(g * slope);
    d_up = up < -limit || up > limit ? 0.f : d * g * s;
    d_gate = gate > limit ? 0.f : d * (u + 1) * s * (1 + slope * g * (1 - s));
  }
};

}  // namespace

void activate(const knobs& k, activation f, std::size_t count, const mlp_values& v) noexcept {
  if (k.gate_scale != 1)
    for (std::size_t i = 0; i < count; ++i) v.raw[i] *= k.gate_scale;
  if (k.gate_limit != 0) {
    const limited gate{k.gate_limit};
    for_each_lane([gate]<class L>(L, auto raw, auto up) { return gate.value<L>(raw, up); }, count, v.active, v.raw,
                  v.up);
    return;
  }
  with_activation(f, [&]<class F>(F) {
    if (v.up != nullptr)
      for_each_lane([]<class L>(L, auto raw, auto up) { return L::multiply(F::template value<L>(raw), up); }, count,
                    v.active, v.raw, v.up);
    else
      for_each_lane([]<class L>(L, auto raw) { return F::template value<L>(raw); }, count, v.active, v.raw);
  });
}

void run_mlp(const knobs& k, activation f, const mlp_maps& maps, precis::matrix_view<const float> rows,
             const mlp_values& v, precis::matrix_view<float> out, row_positions positions, std::span<float> workspace) {
  const std::size_t hidden = maps.up->out;
  const auto wide = [&](float* p) {
    return precis::matrix_view<float>{p, rows.rows, hidden, static_cast<std::ptrdiff_t>(hidden), 1};
  };
  if (maps.gate != nullptr) apply(*maps.gate, rows, wide(v.raw), positions, workspace);
  apply(*maps.up, rows, wide(maps.gate != nullptr ? v.up : v.raw), positions, workspace);
  activate(k, f, rows.rows * hidden, v);
  apply(*maps.down, wide(v.active), out, positions, workspace);
  if (k.down_scale != 1)
    for (std::size_t r = 0; r < out.rows; ++r)
      for (float& x : out.row(r)) x *= k.down_scale;
}

void activate_backward(const knobs& k, activation f, std::size_t count, const mlp_values& v, float* d_active,
                       float* d_up) noexcept {
  if (k.gate_limit != 0) {
    const limited gate{k.gate_limit};
    for (std::size_t i = 0; i < count; ++i) gate.backward(v.raw[i], v.up[i], d_active[i], d_active[i], d_up[i]);
  } else {
    with_activation(f, [&]<class F>(F) {
      if (d_up != nullptr) {
        for_each_lane([]<class L>(L, auto x, auto d) { return L::multiply(d, F::template value<L>(x)); }, count, d_up,
                      v.raw, d_active);
        for_each_lane([]<class L>(L, auto x, auto up,
                                  auto d) { return L::multiply(d, L::multiply(up, F::template slope<L>(x))); },
                      count, d_active, v.raw, v.up, d_active);
      } else {
        for_each_lane([]<class L>(L, auto x, auto d) { return L::multiply(d, F::template slope<L>(x)); }, count,
                      d_active, v.raw, d_active);
      }
    });
  }
  if (k.gate_scale != 1)
    for (std::size_t i = 0; i < count; ++i) d_active[i] *= k.gate_scale;
}

}  // namespace engine
