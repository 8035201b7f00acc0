#pragma once

#include <cstddef>
#include <span>

namespace engine {

enum class gate_order {
  gate_alone,      ///< y = x silu(z): no norm
  gate_then_norm,  ///< y = rms(x silu(z)) w
  norm_then_gate,  ///< y = rms(x) w silu(z)
};

/// The end of a recurrent mixer: a gate by the SiLU of z, and an RMSNorm in groups of neighbouring features.
struct gated_norm {
  gate_order order = gate_order::norm_then_gate;
  std::size_t groups = 1;  ///< each with a mean square of its own; divides the width
  float epsilon = 1e-6f;
  std::span<const float> weight = {};  ///< one per feature, or one per feature of a group that all groups share

  /// One row. Requires x, z and y of equal length; y may be x.
  void operator()(std::span<const float> x, std::span<const float> z, std::span<float> y) const;

  /// Overwrites dx and dz with the gradients at x and z, and adds to d_weight unless it is empty.
  void backward(std::span<const float> x, std::span<const float> z, std::span<const float> dy, std::span<float> dx,
                std::span<float> dz, std::span<double> d_weight) const;

 private:
  [[nodiscard]] const float* weight_of(std::size_t group, std::size_t width) const noexcept {
    return weight.data() + (weight.size() == width * groups ? group * width : 0);
  }
};

}  // namespace engine
