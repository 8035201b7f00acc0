#pragma once

#include <cmath>
#include <cstddef>

namespace precis::kernel {

/// One lane and std::fma: what every other lane type must agree with, bit for bit.
struct scalar_lanes {
  using vector = float;
  static constexpr std::size_t width = 1;
  static constexpr std::size_t registers = 16;

  [[nodiscard]] static vector zero() noexcept { return 0.f; }
  [[nodiscard]] static vector broadcast(const float* p) noexcept { return *p; }
  [[nodiscard]] static vector load(const float* p) noexcept { return *p; }
  [[nodiscard]] static vector load_part(const float*, std::size_t) noexcept { return 0.f; }
  static void store(float* p, vector v) noexcept { *p = v; }
  static void store_part(float*, vector, std::size_t) noexcept {}
  [[nodiscard]] static vector fma(vector a, vector b, vector c) noexcept { return std::fma(a, b, c); }
  static void transpose(vector (&)[1]) noexcept {}
};

}  // namespace precis::kernel
