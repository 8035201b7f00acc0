#pragma once

#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <limits>
#include <span>

namespace precis::evaluate {
PRECIS_IEEE_BEGIN

/// A 95 % confidence interval: mean - half_width to mean + half_width.
struct interval {
  double mean = 0;                                              ///< centre of the interval
  double half_width = std::numeric_limits<double>::infinity();  ///< infinite with fewer than two samples

  [[nodiscard]] constexpr double low() const noexcept { return mean - half_width; }
  [[nodiscard]] constexpr double high() const noexcept { return mean + half_width; }
  /// Whether the interval excludes zero.
  [[nodiscard]] constexpr bool sure() const noexcept { return low() > 0 || high() < 0; }
};

namespace detail {

/// P(|T| <= t) for Student's distribution with `freedom` degrees of freedom, as an exact finite sum.
///
/// Source   Abramowitz and Stegun 1964, Eqs. 26.7.3 and 26.7.4.
template<class = void>
[[nodiscard]] inline double student_within(double t, std::size_t freedom) noexcept {
  const double angle = math::atan(t / math::sqrt(static_cast<double>(freedom)));
  const double cosine = math::cos(angle), square = cosine * cosine;
  const bool odd_freedom = freedom % 2 == 1;
  double term = odd_freedom ? cosine : 1, sum = freedom == 1 ? 0 : term;
  for (std::size_t k = odd_freedom ? 3 : 2; k < freedom; k += 2) {
    const auto d = static_cast<double>(k);
    term *= square * (d - 1) / d;
    sum += term;
  }
  constexpr double half_pi = 1.57079632679489661923;
  return odd_freedom ? (angle + math::sin(angle) * sum) / half_pi : math::sin(angle) * sum;
}

}  // namespace detail

/// The 95 % quantile of |T|: 12.706 for 1 degree of freedom, 1.960 in the limit.
///
/// Cost     60 bisection steps of O(freedom). Above 10,000 degrees it returns the value for 10,000, accurate to 3e-4.
template<class = void>
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

/// A confidence interval for the mean of independent samples, such as differences between two models per window.
///
/// Unit     that of the samples.
/// Errors   none: the mean of no samples is 0, and with fewer than two samples the interval is infinite.
/// Source   Student 1908, "The Probable Error of a Mean".
template<class = void>
[[nodiscard]] inline interval mean_interval(std::span<const double> samples) noexcept {
  interval out;
  const auto count = static_cast<double>(samples.size());
  for (const double x : samples) out.mean += x / count;
  if (samples.size() < 2) return out;
  double squares = 0;
  for (const double x : samples) squares = math::fma(x - out.mean, x - out.mean, squares);
  out.half_width = student_95(samples.size() - 1) * math::sqrt(squares / (count - 1) / count);
  return out;
}

/// A confidence interval for a proportion, from `correct` of `count` samples. It stays accurate for few samples and for
/// shares near 0 and 1; its centre is shifted from the observed share towards 1/2.
///
/// Unit     share, in [0, 1].
/// Requires correct <= count (PRECIS_EXPECTS).
/// Errors   none: without samples the interval is infinite.
/// Source   Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
template<class = void>
[[nodiscard]] inline interval share_interval(std::size_t correct, std::size_t count) noexcept {
  PRECIS_EXPECTS(correct <= count, "no more correct samples than samples");
  if (count == 0) return {};
  constexpr double z = 1.959963984540054;  // the 95 % quantile of |Z|, Z standard normal
  const auto n = static_cast<double>(count);
  const double share = static_cast<double>(correct) / n, whole = 1 + z * z / n;
  return {.mean = (share + z * z / (2 * n)) / whole,
          .half_width = z * math::sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / whole};
}

PRECIS_IEEE_END
}  // namespace precis::evaluate
