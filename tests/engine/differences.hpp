#pragma once

#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

/// Gradients of a function of many numbers, checked by differences; and numbers to check with.
namespace support {

/// n values between -size and size without a pattern that a layout could share.
[[nodiscard]] inline std::vector<float> waves(std::size_t n, double first, double size = 1) {
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) {
    const auto at = static_cast<double>(i);
    x[i] = static_cast<float>(size * std::sin(first + 2.39996 * at + 0.013 * at * at));
  }
  return x;
}

[[nodiscard]] inline std::vector<double> doubles(const std::vector<float>& x) { return {x.begin(), x.end()}; }

/// The sum of products.
[[nodiscard]] inline double along(const std::vector<double>& x, const std::vector<float>& d) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * static_cast<double>(d[i]);
  return sum;
}

/// The largest difference of two lists.
[[nodiscard]] inline double distance(const std::vector<float>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  double most = 0;
  for (std::size_t i = 0; i < found.size(); ++i)
    most = std::max(most, std::abs(static_cast<double>(found[i]) - expected[i]));
  return most;
}

/// The largest difference between `found` and the central differences of f() along each element of x, relative to the
/// largest of those.
template<class F>
[[nodiscard]] double gradient_error(std::vector<double>& x, const std::vector<float>& found, F&& f) {
  REQUIRE(found.size() == x.size());
  constexpr double step = 1e-5;
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double kept = x[i];
    x[i] = kept + step;
    const double above = f();
    x[i] = kept - step;
    const double below = f();
    x[i] = kept;
    const double expected = (above - below) / (2 * step);
    worst = std::max(worst, std::abs(static_cast<double>(found[i]) - expected));
    largest = std::max(largest, std::abs(expected));
  }
  CHECK(largest > 0);
  return worst / largest;
}

}  // namespace support
