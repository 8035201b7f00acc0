#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace precis::evaluate {

/// An estimate and how far it may be off: mean - half_width to mean + half_width with 95 % confidence.
struct interval {
  double mean = 0;                                              ///< the interval's middle
  double half_width = std::numeric_limits<double>::infinity();  ///< infinite when one sample says nothing of the spread

  [[nodiscard]] constexpr double low() const noexcept { return mean - half_width; }
  [[nodiscard]] constexpr double high() const noexcept { return mean + half_width; }
  /// Whether the interval lies on one side of zero.
  [[nodiscard]] constexpr bool sure() const noexcept { return low() > 0 || high() < 0; }
};

namespace detail {

/// How likely |T| <= t is for Student's distribution with `freedom` degrees of freedom: a finite sum, so exact.
/// Source   Abramowitz and Stegun 1964, 26.7.3 and 26.7.4.
[[nodiscard]] inline double student_within(double t, std::size_t freedom) noexcept {
  const double angle = std::atan(t / std::sqrt(static_cast<double>(freedom)));
  const double cosine = std::cos(angle), square = cosine * cosine;
  const bool odd = freedom % 2 == 1;
  double term = odd ? cosine : 1, sum = freedom == 1 ? 0 : term;
  for (std::size_t k = odd ? 3 : 2; k < freedom; k += 2) {
    const auto d = static_cast<double>(k);
    term *= square * (d - 1) / d;
    sum += term;
  }
  constexpr double half_pi = 1.57079632679489661923;
  return odd ? (angle + std::sin(angle) * sum) / half_pi : std::sin(angle) * sum;
}

}  // namespace detail

/// The t with |T| <= t in 95 % of cases: 12.706 for 1 degree of freedom, 1.960 for many.
/// Cost     O(freedom), 60 times; from 10,000 degrees on the one of 10,000, which is right to 3e-4.
[[nodiscard]] inline double student_95(std::size_t freedom) noexcept {
  if (freedom == 0) return std::numeric_limits<double>::infinity();
  if (freedom > 10'000) freedom = 10'000;
  double low = 1.9, high = 13;
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (detail::student_within(middle, freedom) < 0.95 ? low : high) = middle;
  }
  return high;
}

/// The mean of independent samples of one kind, for instance differences between two models window by window.
///
/// Unit     that of the samples.
/// Errors   none: without samples a mean of 0, and with fewer than two nothing is sure.
/// Source   Student 1908.
[[nodiscard]] inline interval mean_interval(std::span<const double> samples) noexcept {
  interval out;
  const auto count = static_cast<double>(samples.size());
  for (const double x : samples) out.mean += x / count;
  if (samples.size() < 2) return out;
  double squares = 0;
  for (const double x : samples) squares = std::fma(x - out.mean, x - out.mean, squares);
  out.half_width = student_95(samples.size() - 1) * std::sqrt(squares / (count - 1) / count);
  return out;
}

/// The share of right answers, from `right` of `count` samples: sensible of few samples and near 0 and 1 too, where it
/// leaves the sample's own share out of its middle.
///
/// Unit     share, 0 to 1.
/// Errors   none: without samples nothing is sure.
/// Source   Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
[[nodiscard]] inline interval share_interval(std::size_t right, std::size_t count) noexcept {
  if (count == 0) return {};
  constexpr double z = 1.959963984540054;  // of the normal distribution, 95 %
  const auto n = static_cast<double>(count);
  const double share = static_cast<double>(right) / n, whole = 1 + z * z / n;
  return {.mean = (share + z * z / (2 * n)) / whole,
          .half_width = z * std::sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / whole};
}

}  // namespace precis::evaluate
