#include <engine/model/gated_norm.hpp>

#include <engine/model/math.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace engine {
namespace {

/// to = x silu(z)
void gated_by(std::span<const float> x, std::span<const float> z, std::span<float> to) noexcept {
  for_each_lane([]<class L>(L, auto v, auto g) { return L::multiply(v, silu::value<L>(g)); }, to.size(), to.data(),
                x.data(), z.data());
}

[[nodiscard]] float inverse_rms(const float* x, std::size_t n, float epsilon) noexcept {
  const double square =
      lane_sum(n, [x](std::size_t i) { return static_cast<double>(x[i]) * static_cast<double>(x[i]); });
  return static_cast<float>(1.0 / std::sqrt(square / static_cast<double>(n) + static_cast<double>(epsilon)));
}

}  // namespace

void gated_norm::operator()(std::span<const float> x, std::span<const float> z, std::span<float> y) const {
  if (order == gate_order::norm_then_gate)
    std::ranges::copy(x, y.begin());
  else
    gated_by(x, z, y);
  if (order == gate_order::gate_alone) return;
  const std::size_t width = y.size() / groups;
  for (std::size_t g = 0; g < groups; ++g) {
    float* const row = y.data() + g * width;
    const float* const w = weight_of(g, width);
    const float inverse = inverse_rms(row, width, epsilon);
    for (std::size_t i = 0; i < width; ++i) row[i] = row[i] * inverse * w[i];
  }
  if (order == gate_order::norm_then_gate) gated_by(y, z, y);
}

void gated_norm::backward(std::span<const float> x, std::span<const float> z, std::span<const float> dy,
                          std::span<float> dx, std::span<float> dz, std::span<double> d_weight) const {
  const std::size_t n = x.size(), width = n / groups;
  std::vector<float> inside(x.begin(), x.end()), d_inside(dy.begin(), dy.end());  // the norm's input; its gradients
  if (order == gate_order::gate_then_norm) gated_by(x, z, inside);
  if (order == gate_order::norm_then_gate) gated_by(dy, z, d_inside);
  if (order != gate_order::gate_alone)
    for (std::size_t g = 0; g < groups; ++g) {
      const float* const row = inside.data() + g * width;
      float* const d = d_inside.data() + g * width;
      const float* const w = weight_of(g, width);
      double* const d_w = d_weight.empty() ? nullptr : d_weight.data() + (w - weight.data());
      const float inverse = inverse_rms(row, width, epsilon);
      const auto mean =
          static_cast<float>(lane_sum(width,
                                      [&](std::size_t i) {
                                        return static_cast<double>(d[i] * w[i]) * static_cast<double>(row[i] * inverse);
                                      }) /
                             static_cast<double>(width));
      for (std::size_t i = 0; i < width; ++i) {
        const float unit = row[i] * inverse, made = unit * w[i];
        if (d_w != nullptr) d_w[i] += static_cast<double>(d[i]) * static_cast<double>(unit);
        d[i] = inverse * (d[i] * w[i] - unit * mean);
        if (order == gate_order::norm_then_gate) dz[g * width + i] = made;  // what the gate multiplies
      }
    }
  const auto through = []<class L>(L, auto value, auto by, auto d) {
    return L::multiply(d, L::multiply(value, silu::slope<L>(by)));
  };
  if (order == gate_order::norm_then_gate) {
    for_each_lane(through, n, dz.data(), dz.data(), z.data(), dy.data());
    std::ranges::copy(d_inside, dx.begin());
  } else {
    for_each_lane(through, n, dz.data(), x.data(), z.data(), d_inside.data());
    gated_by(d_inside, z, dx);
  }
}

}  // namespace engine
