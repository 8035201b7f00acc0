#pragma once

#include <cmath>

namespace engine {

/// ln(1 + e^x); x itself above 20, as in PyTorch.
[[nodiscard]] inline double softplus(double x) noexcept { return x > 20 ? x : std::log1p(std::exp(x)); }
[[nodiscard]] inline double softplus_slope(double x) noexcept { return x > 20 ? 1 : 1 / (1 + std::exp(-x)); }

}  // namespace engine
