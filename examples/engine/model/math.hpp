#pragma once

#include <engine/model/weights.hpp>

#include <precis/kernel/lanes.hpp>
#include <precis/kernel/lanes_scalar.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <type_traits>

/// Element-wise functions and reductions of a transformer. Results are bit-identical for any alignment, instruction set
/// and adjacent elements: multiply-adds are explicit, and sums have sixteen lanes. Element-wise functions are templates
/// over the kernels' lanes; with scalar_lanes they define the result.
namespace engine {

inline constexpr std::size_t lanes = 16;  ///< lanes of every sum over a row: element i is added to lane i % 16

using precis::kernel::native_lanes;
using precis::kernel::scalar_lanes;

/// e^x within 1 ulp (2 among subnormal results); 0 below -104, infinity above 89.
///
/// e^x = 2^n e^r with |r| <= ln(2)/2, e^r by its Taylor polynomial; the first omitted term is below 2^-27.
template<class L>
[[nodiscard]] inline typename L::vector exponential(typename L::vector x) noexcept {
  constexpr float log2_e = 1.44269504f, ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
  const auto shift = L::all(0x1.8p23f);  // adding it rounds to an integer
  const auto y = L::smaller(L::all(89.f), L::larger(L::all(-104.f), x));
  const auto n = L::subtract(L::fma(y, L::all(log2_e), shift), shift);
  const auto r = L::fma(n, L::all(-ln2_low), L::fma(n, L::all(-ln2_high), y));
  auto e = L::fma(L::all(1.f / 5040), r, L::all(1.f / 720));
  e = L::fma(e, r, L::all(1.f / 120));
  e = L::fma(e, r, L::all(1.f / 24));
  e = L::fma(e, r, L::all(1.f / 6));
  e = L::fma(e, r, L::all(0.5f));
  e = L::fma(e, r, L::all(1.f));
  e = L::fma(e, r, L::all(1.f));
  return L::times_power_of_two(e, n);
}
[[nodiscard]] inline float exponential(float x) noexcept { return exponential<scalar_lanes>(x); }

/// to[i] = f(from[i], with[i]...) for i < n, where f is generic over lanes: f(lanes, vector, vectors...).
template<class F, class... With>
void for_each_lane(F&& f, std::size_t n, float* to, const float* from, const With*... with) noexcept {
  using L = native_lanes;
  std::size_t i = 0;
  for (; i + L::width <= n; i += L::width) L::store(to + i, f(L{}, L::load(from + i), L::load(with + i)...));
  if (i < n) L::store_part(to + i, f(L{}, L::load_part(from + i, n - i), L::load_part(with + i, n - i)...), n - i);
}

/// Adds f(0), ..., f(n - 1) in sixteen double lanes, combined by a fixed tree.
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
  using L = native_lanes;
  auto top = L::all(x[0]);
  std::size_t i = 0;
  for (; i + L::width <= n; i += L::width) top = L::larger(L::load(x + i), top);
  float most[L::width];
  L::store(most, top);
  for (; i < n; ++i) most[0] = x[i] > most[0] ? x[i] : most[0];
  return *std::max_element(most, most + L::width);
}

[[nodiscard]] constexpr std::size_t whole_lanes(std::size_t n) noexcept { return (n + lanes - 1) / lanes * lanes; }

/// Computes softmax(scale * x) in place. Requires storage for whole_lanes(n) values; those beyond n become 0.
inline void softmax(float* x, std::size_t n, float scale) noexcept {
  const std::size_t padded = whole_lanes(n);
  std::fill(x + n, x + padded, -std::numeric_limits<float>::infinity());
  const float top = largest(x, n);
  for_each_lane([top, scale]<class L>(
                    L, auto v) { return exponential<L>(L::multiply(L::subtract(v, L::all(top)), L::all(scale))); },
                padded, x, x);
  const auto inverse =
      static_cast<float>(1.0 / lane_sum(padded, [x](std::size_t i) { return static_cast<double>(x[i]); }));
  for (std::size_t i = 0; i < padded; ++i) x[i] *= inverse;
}

/// The same beside one more logit, whose share it returns: the shares in x sum to 1 minus that.
inline float softmax_beside(float* x, std::size_t n, float scale, float logit) noexcept {
  const std::size_t padded = whole_lanes(n);
  std::fill(x + n, x + padded, -std::numeric_limits<float>::infinity());
  const float top = std::max(largest(x, n) * scale, logit);
  for_each_lane([top, scale]<class L>(
                    L, auto v) { return exponential<L>(L::subtract(L::multiply(v, L::all(scale)), L::all(top))); },
                padded, x, x);
  const float beside = exponential(logit - top);
  const auto inverse = static_cast<float>(
      1.0 / (static_cast<double>(beside) + lane_sum(padded, [x](std::size_t i) { return static_cast<double>(x[i]); })));
  for (std::size_t i = 0; i < padded; ++i) x[i] *= inverse;
  return beside * inverse;
}

/// The logarithm of the sum of e^x.
[[nodiscard]] inline double log_sum_exp(std::span<const float> x) noexcept {
  const float top = largest(x.data(), x.size());
  constexpr std::size_t piece = 256;
  float e[piece];
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); i += piece) {
    const std::size_t n = std::min(piece, x.size() - i);
    for_each_lane([top]<class L>(L, auto v) { return exponential<L>(L::subtract(v, L::all(top))); }, n, e,
                  x.data() + i);
    sum += lane_sum(n, [&e](std::size_t j) { return static_cast<double>(e[j]); });
  }
  return static_cast<double>(top) + std::log(sum);
}

/// The loss of one token in nats, rounded to 2^-32: sums below 2^21 are exact, so they do not depend on how a data set
/// is split into batches.
[[nodiscard]] inline double token_loss(double log_sum, float logit) noexcept {
  return std::nearbyint((log_sum - static_cast<double>(logit)) * 0x1p32) * 0x1p-32;
}

/// Rows of logits computed at a time: about four megabytes.
[[nodiscard]] inline std::size_t head_rows(const config& c) noexcept {
  return std::clamp<std::size_t>((std::size_t{1} << 20) / c.vocabulary, 16, 256);
}

/// 1 / (1 + e^-x)
template<class L>
[[nodiscard]] inline typename L::vector logistic(typename L::vector x) noexcept {
  const auto one = L::all(1.f);
  return L::divide(one, L::add(one, exponential<L>(L::subtract(L::all(0.f), x))));
}

/// x (1 + tanh(u)) / 2 with u = sqrt(2/pi) (x + 0.044715 x^3); (1 + tanh(u)) / 2 is logistic(2u).
struct gelu_tanh {
  static constexpr float linear = 1.59576912f, cubic = 0.0713548163f;  // 2 sqrt(2/pi), and that times 0.044715

  template<class L>
  [[nodiscard]] static typename L::vector value(typename L::vector x) noexcept {
    const auto u = L::multiply(x, L::fma(L::all(cubic), L::multiply(x, x), L::all(linear)));
    return L::multiply(x, logistic<L>(u));
  }
  template<class L>
  [[nodiscard]] static typename L::vector slope(typename L::vector x) noexcept {
    const auto square = L::multiply(x, x);
    const auto g = logistic<L>(L::multiply(x, L::fma(L::all(cubic), square, L::all(linear))));
    const auto du = L::multiply(x, L::fma(L::all(3 * cubic), square, L::all(linear)));
    return L::fma(du, L::multiply(g, L::subtract(L::all(1.f), g)), g);
  }
};

/// x Phi(x), with the standard library's erfc, one element at a time; ten times slower than the other activations.
struct gelu_erf {
  template<class L>
  [[nodiscard]] static typename L::vector value(typename L::vector x) noexcept {
    return each<L>(x, [](float v) { return 0.5f * v * std::erfc(v * -0.707106781f); });
  }
  template<class L>
  [[nodiscard]] static typename L::vector slope(typename L::vector x) noexcept {
    return each<L>(x, [](float v) {
      return std::fma(v * 0.398942280f, exponential(-0.5f * v * v), 0.5f * std::erfc(v * -0.707106781f));
    });
  }

 private:
  template<class L, class F>
  [[nodiscard]] static typename L::vector each(typename L::vector x, F f) noexcept {
    float values[L::width];
    L::store(values, x);
    for (float& v : values) v = f(v);
    return L::load(values);
  }
};

/// x logistic(x)
struct silu {
  template<class L>
  [[nodiscard]] static typename L::vector value(typename L::vector x) noexcept {
    return L::multiply(x, logistic<L>(x));
  }
  template<class L>
  [[nodiscard]] static typename L::vector slope(typename L::vector x) noexcept {
    const auto g = logistic<L>(x);
    return L::fma(x, L::multiply(g, L::subtract(L::all(1.f), g)), g);
  }
};

/// max(x, 0), with slope 0 at 0.
struct relu {
  template<class L>
  [[nodiscard]] static typename L::vector value(typename L::vector x) noexcept {
    return L::larger(x, L::all(0.f));
  }
  template<class L>
  [[nodiscard]] static typename L::vector slope(typename L::vector x) noexcept {
    // Scaled up twice, the smallest positive float is above 1.
    const auto huge = L::all(0x1p120f);
    return L::smaller(L::multiply(L::multiply(L::larger(x, L::all(0.f)), huge), huge), L::all(1.f));
  }
};

/// max(x, 0)^2
struct relu_squared {
  template<class L>
  [[nodiscard]] static typename L::vector value(typename L::vector x) noexcept {
    const auto positive = L::larger(x, L::all(0.f));
    return L::multiply(positive, positive);
  }
  template<class L>
  [[nodiscard]] static typename L::vector slope(typename L::vector x) noexcept {
    return L::multiply(L::all(2.f), L::larger(x, L::all(0.f)));
  }
};

/// Calls use(function) with one of the activations above.
template<class Use>
decltype(auto) with_activation(activation a, Use&& use) {
  switch (a) {
    case activation::gelu_tanh: return use(gelu_tanh{});
    case activation::gelu_erf: return use(gelu_erf{});
    case activation::silu: return use(silu{});
    case activation::relu_squared: return use(relu_squared{});
    case activation::relu: break;
  }
  return use(relu{});
}

/// Mean (0 for RMSNorm) and inverse standard deviation of one row.
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

/// The scale of element i: its stored value plus the offset, or 1 if nothing is stored.
template<bool Plain>
[[nodiscard]] inline float scale_at(const norm& n, std::size_t i) noexcept {
  if constexpr (Plain) return n.scale[i];
  return n.scale.empty() ? 1.f : n.scale[i] + n.offset;
}

/// Calls use(plain), where plain.value is true if scales are used as they are stored.
template<class Use>
inline void with_scales(const norm& n, Use&& use) noexcept {
  if (n.offset == 0 && !n.scale.empty())
    use(std::true_type{});
  else
    use(std::false_type{});
}

/// LayerNorm, or RMSNorm if there is no shift: y = (x - mean) * inverse * scale + shift.
inline void normalize(const norm& n, std::span<const float> x, float epsilon, float* y) noexcept {
  const row_moments m = moments(n, x, epsilon);
  const float* const v = x.data();
  const std::size_t count = x.size();
  with_scales(n, [&]<class Plain>(Plain) {
    if (n.shift.empty()) {
      for (std::size_t i = 0; i < count; ++i) y[i] = v[i] * m.inverse * scale_at<Plain::value>(n, i);
    } else {
      const float* const shift = n.shift.data();
      for (std::size_t i = 0; i < count; ++i)
        y[i] = std::fma((v[i] - m.mean) * m.inverse, scale_at<Plain::value>(n, i), shift[i]);
    }
  });
}

/// Accumulates the gradient at the norm's input x into dx, given dy at its output. Accumulates the norm's parameter
/// gradient unless it is null.
inline void normalize_backward(const norm& n, std::span<const float> x, float epsilon, const float* dy, float* dx,
                               norm* gradient) noexcept {
  const row_moments m = moments(n, x, epsilon);
  const std::size_t count = x.size();
  const auto unit = [&](std::size_t i) { return (x[i] - m.mean) * m.inverse; };
  const auto inverse_count = 1.0 / static_cast<double>(count);
  with_scales(n, [&]<class Plain>(Plain) {
    const auto scaled = [&](std::size_t i) { return dy[i] * scale_at<Plain::value>(n, i); };
    const auto along = static_cast<float>(inverse_count * lane_sum(count, [&](std::size_t i) {
                                            return static_cast<double>(scaled(i)) * static_cast<double>(unit(i));
                                          }));
    float mean = 0;
    if (!n.shift.empty())
      mean = static_cast<float>(inverse_count *
                                lane_sum(count, [&](std::size_t i) { return static_cast<double>(scaled(i)); }));
    for (std::size_t i = 0; i < count; ++i)
      dx[i] =
          std::fma(m.inverse, std::fma(-unit(i), along, std::fma(dy[i], scale_at<Plain::value>(n, i), -mean)), dx[i]);
  });
  if (gradient == nullptr) return;
  for (std::size_t i = 0; i < gradient->scale.size(); ++i)
    gradient->scale[i] = std::fma(dy[i], unit(i), gradient->scale[i]);
  for (std::size_t i = 0; i < gradient->shift.size(); ++i) gradient->shift[i] += dy[i];
}

}  // namespace engine
