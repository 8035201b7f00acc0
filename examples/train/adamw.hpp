#pragma once

#include <precis/core/error.hpp>

#include <cmath>
#include <cstddef>
#include <numbers>
#include <span>

namespace train {

/// One step of AdamW: Adam with decoupled weight decay.
///
///   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w = w - rate ((m / c1) / (sqrt(v / c2) + eps) + decay w)
///   with c1 = 1 - b1^step, c2 = 1 - b2^step.
///
/// Shapes    w, g, m and v have the same length; m and v start at zero.
/// Requires  step >= 1.
/// Errors    none: noexcept.
/// Source    Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2; the rate includes the schedule.
struct adamw {
  float first_decay = 0.9f;
  float second_decay = 0.98f;
  float epsilon = 1e-8f;

  /// The gradient is g * gradient_scale, a factor that combines the division by the batch size and the clipping.
  void operator()(std::span<float> w, std::span<const float> g, std::span<float> m, std::span<float> v,
                  std::size_t step, float rate, float weight_decay, float gradient_scale) const noexcept {
    PRECIS_EXPECTS(w.size() == g.size() && w.size() == m.size() && w.size() == v.size(),
                   "one gradient and two moments per weight");
    const double steps = static_cast<double>(step);
    const auto c1 = static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(first_decay), steps)));
    const auto c2 = static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(second_decay), steps)));
    const float keep = 1.f - rate * weight_decay;
    for (std::size_t i = 0; i < w.size(); ++i) {
      const float slope = g[i] * gradient_scale;
      m[i] = std::fma(first_decay, m[i], (1.f - first_decay) * slope);
      v[i] = std::fma(second_decay, v[i], (1.f - second_decay) * slope * slope);
      w[i] = std::fma(-rate, m[i] * c1 / (std::sqrt(v[i] * c2) + epsilon), keep * w[i]);
    }
  }
};

/// Linear warm-up, then cosine decay to `last` times the peak.
struct schedule {
  std::size_t steps = 0;
  std::size_t warm_up = 0;
  double peak = 0;
  double last = 0.05;

  /// Requires step < steps.
  [[nodiscard]] double operator()(std::size_t step) const noexcept {
    if (step < warm_up) return peak * static_cast<double>(step + 1) / static_cast<double>(warm_up);
    const double done = static_cast<double>(step - warm_up) / static_cast<double>(steps - warm_up);
    return peak * (last + (1 - last) * 0.5 * (1 + std::cos(std::numbers::pi * done)));
  }
};

}  // namespace train
