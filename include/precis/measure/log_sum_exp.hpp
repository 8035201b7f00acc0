#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace precis::measure {

namespace detail {

/// exp(x) to about one unit in the last place, without a branch or a call, so that a loop of it becomes vectors; below -708
/// it is exp(-708), a number without weight beside any other. NaN stays. Requires x <= 709.
///
/// x = n log 2 + r with whole n and |r| <= log 2 / 2; exp(r) by its series, 2^n by its exponent bits.
[[nodiscard]] inline double exponential(double x) noexcept {
  constexpr double to_whole = 0x1.8p52;  // added and taken away it rounds; its last bits then hold n
  constexpr double log_2_high = 0x1.62e42fefa3800p-1, log_2_low = 0x1.ef35793c76730p-45;  // n times the first is exact
  const double least = x < -708 ? -708 : x;
  const double shifted = least * 0x1.71547652b82fep0 + to_whole, n = shifted - to_whole;
  const double r = (least - n * log_2_high) - n * log_2_low;
  const double r2 = r * r, r4 = r2 * r2;  // in four parts, so that they do not wait for each other
  const double low = (1 + r) + r2 * (0.5 + r * (1.0 / 6));
  const double middle = (1.0 / 24 + r * (1.0 / 120)) + r2 * (1.0 / 720 + r * (1.0 / 5040));
  const double high = (1.0 / 40320 + r * (1.0 / 362880)) + r2 * (1.0 / 3628800 + r * (1.0 / 39916800));
  const double rest = 1.0 / 479001600 + r * (1.0 / 6227020800);
  const double series = low + r4 * (middle + r4 * (high + r4 * rest));
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(shifted) - std::bit_cast<std::uint64_t>(to_whole) + 1023;
  return series * std::bit_cast<double>(bits << 52);
}

/// A sum in sixteen lanes: addend i goes to lane i mod 16, the lanes are added as a tree.
class lane_sum {
 public:
  static constexpr std::size_t lanes = 16;

  template<class Addend>
  void add(std::size_t count, const Addend& addend) noexcept {
    double sum[lanes] = {};
    const std::size_t whole = count / lanes * lanes;
    for (std::size_t i = 0; i < whole; i += lanes)
      for (std::size_t l = 0; l < lanes; ++l) sum[l] += addend(i + l);
    for (std::size_t i = whole; i < count; ++i) sum[i - whole] += addend(i);
    for (std::size_t half = lanes / 2; half > 0; half /= 2)
      for (std::size_t l = 0; l < half; ++l) sum[l] += sum[l + half];
    value_ += sum[0];
  }
  [[nodiscard]] double value() const noexcept { return value_; }

 private:
  double value_ = 0;
};

/// The largest value. NaNs may be passed over. Requires at least one.
[[nodiscard]] inline float largest(std::span<const float> values) noexcept {
  float top[lane_sum::lanes];
  std::fill_n(top, lane_sum::lanes, values.front());
  const std::size_t whole = values.size() / lane_sum::lanes * lane_sum::lanes;
  for (std::size_t i = 0; i < whole; i += lane_sum::lanes)
    for (std::size_t l = 0; l < lane_sum::lanes; ++l) top[l] = values[i + l] > top[l] ? values[i + l] : top[l];
  for (std::size_t i = whole; i < values.size(); ++i) top[0] = std::max(top[0], values[i]);
  return *std::max_element(top, top + lane_sum::lanes);
}

}  // namespace detail

/// log(sum exp z), in double; safe for logits of any size. Requires at least one logit. NaN where one is.
[[nodiscard]] inline double log_sum_exp(std::span<const float> logits) noexcept {
  const auto top = static_cast<double>(detail::largest(logits));
  detail::lane_sum sum;
  sum.add(logits.size(), [&](std::size_t i) { return detail::exponential(static_cast<double>(logits[i]) - top); });
  return top + std::log(sum.value());
}

}  // namespace precis::measure
