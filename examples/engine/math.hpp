#pragma once

#include <engine/weights.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

/// The element-wise parts of a transformer. Every function gives the same bits whatever the alignment, the length of the
/// vectors the compiler chooses, or the neighbours: multiply-adds are written as std::fma, sums have sixteen lanes.
namespace engine {

inline constexpr std::size_t lanes = 16;  ///< of every sum over a row: element i goes to lane i % 16

/// e^x within 1 ulp (2 among subnormal results); 0 below -104, infinity above 89.
///
/// e^x = 2^n e^r with |r| <= ln(2)/2, e^r by its Taylor polynomial: the first term left out is below 2^-27.
[[nodiscard]] inline float exponential(float x) noexcept {
  constexpr float log2_e = 1.44269504f, ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
  constexpr float shift = 0x1.8p23f;  // adding it rounds to an integer, which is then in the low bits
  float y = x < -104.f ? -104.f : x;
  y = y > 89.f ? 89.f : y;
  const float shifted = std::fma(y, log2_e, shift);
  const float n = shifted - shift;
  const float r = std::fma(n, -ln2_low, std::fma(n, -ln2_high, y));
  float e = 1.f / 5040;
  e = std::fma(e, r, 1.f / 720);
  e = std::fma(e, r, 1.f / 120);
  e = std::fma(e, r, 1.f / 24);
  e = std::fma(e, r, 1.f / 6);
  e = std::fma(e, r, 0.5f);
  e = std::fma(e, r, 1.f);
  e = std::fma(e, r, 1.f);
  // 2^n in two factors, so that neither overflows when n is at the ends of the range.
  const std::int32_t power = std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(shift);
  const std::int32_t half = power >> 1;
  const auto factor = [](std::int32_t p) { return std::bit_cast<float>(static_cast<std::uint32_t>(p + 127) << 23); };
  return e * factor(half) * factor(power - half);
}

/// Adds f(0), ..., f(n - 1) in sixteen lanes of double and a fixed tree.
template<class F>
[[nodiscard]] double lane_sum(std::size_t n, F&& f) noexcept {
  double sum[lanes] = {};
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (std::size_t j = 0; j < lanes; ++j) sum[j] += f(i + j);
  for (std::size_t j = 0; i + j < n; ++j) sum[j] += f(i + j);
  for (std::size_t step = lanes / 2; step > 0; step /= 2)
    for (std::size_t j = 0; j < step; ++j) sum[j] += sum[j + step];
  return sum[0];
}

/// The largest of n > 0 values.
[[nodiscard]] inline float largest(const float* x, std::size_t n) noexcept {
  float top[lanes];
  std::fill_n(top, lanes, x[0]);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (std::size_t j = 0; j < lanes; ++j) top[j] = top[j] < x[i + j] ? x[i + j] : top[j];
  for (std::size_t j = 0; i + j < n; ++j) top[j] = top[j] < x[i + j] ? x[i + j] : top[j];
  return *std::max_element(top, top + lanes);
}

[[nodiscard]] constexpr std::size_t whole_lanes(std::size_t n) noexcept { return (n + lanes - 1) / lanes * lanes; }

/// Turns scores into weights softmax(scale * x) in place. Requires room for whole_lanes(n) values; the room becomes zeros.
inline void softmax(float* x, std::size_t n, float scale) noexcept {
  const std::size_t room = whole_lanes(n);
  std::fill(x + n, x + room, -std::numeric_limits<float>::infinity());
  const float top = largest(x, n);
  for (std::size_t i = 0; i < room; ++i) x[i] = exponential((x[i] - top) * scale);
  const auto inverse =
      static_cast<float>(1.0 / lane_sum(room, [x](std::size_t i) { return static_cast<double>(x[i]); }));
  for (std::size_t i = 0; i < room; ++i) x[i] *= inverse;
}

/// log of the sum of e^x.
[[nodiscard]] inline double log_sum_exp(std::span<const float> x) noexcept {
  const float top = largest(x.data(), x.size());
  const double sum = lane_sum(x.size(), [&](std::size_t i) { return static_cast<double>(exponential(x[i] - top)); });
  return static_cast<double>(top) + std::log(sum);
}

/// One token's loss in nats, rounded to 2^-32: sums below 2^21 are exact, so they do not depend on how a data set is cut
/// into batches.
[[nodiscard]] inline double token_loss(double log_sum, float logit) noexcept {
  return std::nearbyint((log_sum - static_cast<double>(logit)) * 0x1p32) * 0x1p-32;
}

/// Rows of logits made at a time: about four megabytes.
[[nodiscard]] inline std::size_t head_rows(const config& c) noexcept {
  return std::clamp<std::size_t>((std::size_t{1} << 20) / c.vocabulary, 16, 256);
}

/// 1 / (1 + e^-x)
[[nodiscard]] inline float logistic(float x) noexcept { return 1.f / (1.f + exponential(-x)); }

/// x (1 + tanh(u)) / 2 with u = sqrt(2/pi) (x + 0.044715 x^3); (1 + tanh(u)) / 2 is logistic(2u).
inline constexpr float gelu_linear = 1.59576912f, gelu_cubic = 0.0713548163f;  // 2 sqrt(2/pi), and that times 0.044715

[[nodiscard]] inline float gelu_tanh(float x) noexcept {
  return x * logistic(x * std::fma(gelu_cubic, x * x, gelu_linear));
}
[[nodiscard]] inline float gelu_tanh_slope(float x) noexcept {
  const float g = logistic(x * std::fma(gelu_cubic, x * x, gelu_linear));
  return std::fma(x * std::fma(3 * gelu_cubic, x * x, gelu_linear), g * (1 - g), g);
}

/// x Phi(x), with the standard library's erfc: slower than the others, not vectorised.
[[nodiscard]] inline float gelu_erf(float x) noexcept { return 0.5f * x * std::erfc(x * -0.707106781f); }
[[nodiscard]] inline float gelu_erf_slope(float x) noexcept {
  return std::fma(x * 0.398942280f, exponential(-0.5f * x * x), 0.5f * std::erfc(x * -0.707106781f));
}

/// x logistic(x)
[[nodiscard]] inline float silu(float x) noexcept { return x * logistic(x); }
[[nodiscard]] inline float silu_slope(float x) noexcept {
  const float g = logistic(x);
  return std::fma(x, g * (1 - g), g);
}

/// Calls use(f, slope) with the functions of an activation.
template<class Use>
decltype(auto) with_activation(activation a, Use&& use) {
  switch (a) {
    case activation::gelu_tanh:
      return use([](float x) { return gelu_tanh(x); }, [](float x) { return gelu_tanh_slope(x); });
    case activation::gelu_erf:
      return use([](float x) { return gelu_erf(x); }, [](float x) { return gelu_erf_slope(x); });
    case activation::silu: break;
  }
  return use([](float x) { return silu(x); }, [](float x) { return silu_slope(x); });
}

/// Mean (0 for RMSNorm) and inverse deviation of one row.
struct row_moments {
  float mean = 0;
  float inverse = 0;
};

[[nodiscard]] inline row_moments moments(const norm& n, std::span<const float> x, float epsilon) noexcept {
  const auto count = static_cast<double>(x.size());
  const float* const v = x.data();
  double mean = 0;
  if (!n.shift.empty()) mean = lane_sum(x.size(), [v](std::size_t i) { return static_cast<double>(v[i]); }) / count;
  const double square = lane_sum(x.size(), [v, mean](std::size_t i) {
    const double d = static_cast<double>(v[i]) - mean;
    return d * d;
  });
  return {static_cast<float>(mean), static_cast<float>(1.0 / std::sqrt(square / count + static_cast<double>(epsilon)))};
}

/// LayerNorm, or RMSNorm where there is no shift: y = (x - mean) * inverse * scale + shift.
inline void normalize(const norm& n, std::span<const float> x, float epsilon, float* y) noexcept {
  const row_moments m = moments(n, x, epsilon);
  const float* const v = x.data();
  const float* const scale = n.scale.data();
  const std::size_t count = x.size();
  if (n.shift.empty()) {
    for (std::size_t i = 0; i < count; ++i) y[i] = v[i] * m.inverse * scale[i];
  } else {
    const float* const shift = n.shift.data();
    for (std::size_t i = 0; i < count; ++i) y[i] = std::fma((v[i] - m.mean) * m.inverse, scale[i], shift[i]);
  }
}

/// Adds to dx what dy at the norm's output means for its input x; adds to the norm's own gradient unless it is null.
inline void normalize_backward(const norm& n, std::span<const float> x, float epsilon, const float* dy, float* dx,
                               norm* gradient) noexcept {
  const row_moments m = moments(n, x, epsilon);
  const std::size_t count = x.size();
  const auto unit = [&](std::size_t i) { return (x[i] - m.mean) * m.inverse; };
  const auto inverse_count = 1.0 / static_cast<double>(count);
  const auto along = static_cast<float>(inverse_count * lane_sum(count, [&](std::size_t i) {
                                          return static_cast<double>(dy[i] * n.scale[i]) * static_cast<double>(unit(i));
                                        }));
  float mean = 0;
  if (!n.shift.empty())
    mean = static_cast<float>(inverse_count *
                              lane_sum(count, [&](std::size_t i) { return static_cast<double>(dy[i] * n.scale[i]); }));
  for (std::size_t i = 0; i < count; ++i)
    dx[i] = std::fma(m.inverse, std::fma(-unit(i), along, std::fma(dy[i], n.scale[i], -mean)), dx[i]);
  if (gradient == nullptr) return;
  for (std::size_t i = 0; i < count; ++i) gradient->scale[i] = std::fma(dy[i], unit(i), gradient->scale[i]);
  for (std::size_t i = 0; i < gradient->shift.size(); ++i) gradient->shift[i] += dy[i];
}

}  // namespace engine
