#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace precis::kernel {

/// One lane and std::fma: what every other lane type must agree with, bit for bit.
struct scalar_lanes {
  using value = float;
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
  [[nodiscard]] static vector all(float x) noexcept { return x; }
  [[nodiscard]] static vector add(vector a, vector b) noexcept { return a + b; }
  [[nodiscard]] static vector subtract(vector a, vector b) noexcept { return a - b; }
  [[nodiscard]] static vector multiply(vector a, vector b) noexcept { return a * b; }
  [[nodiscard]] static vector divide(vector a, vector b) noexcept { return a / b; }
  [[nodiscard]] static vector larger(vector a, vector b) noexcept { return a > b ? a : b; }
  [[nodiscard]] static vector smaller(vector a, vector b) noexcept { return a < b ? a : b; }
  [[nodiscard]] static vector times_power_of_two(vector a, vector n) noexcept {
    constexpr float shift = 0x1.8p23f;  // brings a small whole number to the low bits; a NaN stays one, unconverted
    const std::int32_t power = std::bit_cast<std::int32_t>(n + shift) - std::bit_cast<std::int32_t>(shift);
    const std::int32_t half = power >> 1;
    const auto factor = [](std::int32_t p) { return std::bit_cast<float>(static_cast<std::uint32_t>(p + 127) << 23); };
    return a * factor(half) * factor(power - half);
  }
  static void transpose(vector (&)[1]) noexcept {}
};

/// The same over double: what the other double lanes must agree with.
struct scalar_double_lanes {
  using value = double;
  using vector = double;
  static constexpr std::size_t width = 1;
  static constexpr std::size_t registers = 16;

  [[nodiscard]] static vector zero() noexcept { return 0; }
  [[nodiscard]] static vector broadcast(const double* p) noexcept { return *p; }
  [[nodiscard]] static vector load(const double* p) noexcept { return *p; }
  [[nodiscard]] static vector load_part(const double*, std::size_t) noexcept { return 0; }
  static void store(double* p, vector v) noexcept { *p = v; }
  static void store_part(double*, vector, std::size_t) noexcept {}
  [[nodiscard]] static vector fma(vector a, vector b, vector c) noexcept { return std::fma(a, b, c); }
  static void transpose(vector (&)[1]) noexcept {}
};

}  // namespace precis::kernel
