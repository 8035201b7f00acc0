#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/math.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdlib>
#include <span>
#include <vector>

namespace precis {
PRECIS_IEEE_BEGIN

/// The divisor of a variance of n values: n (they are the whole population) or n - 1 (they are a sample of it).
enum class deviation { population, sample };

/// The first two moments of some values.
struct moments {
  double mean = 0;
  double standard_deviation = 0;
};

/// Mean and standard deviation in two passes in double.
///
/// Unit     that of the values.
/// Errors   none. No values give zeros; a single value has no sample deviation, which is then NaN.
/// Cost     O(values).
template<class = void>
[[nodiscard]] inline moments moments_of(std::span<const double> values, deviation divisor = deviation::population) {
  moments m;
  if (values.empty()) return m;
  const auto count = static_cast<double>(values.size());
  double squares = 0;
  for (const double v : values) m.mean += v / count;  // dividing the sum instead could overflow
  for (const double v : values) squares = math::fma(v - m.mean, v - m.mean, squares);
  m.standard_deviation = math::sqrt(squares / (divisor == deviation::population ? count : count - 1));
  return m;
}

/// The number of standard deviations by which each value exceeds the mean. All zeros for a single value, or if the
/// deviation is at most 1e-12 of the largest |value| and therefore rounding noise.
///
/// Errors   none. Requires finite values.
/// Cost     O(values).
/// @post    z_scores(a values + b) equals z_scores(values) for a > 0, up to rounding.
template<class = void>
[[nodiscard]] inline std::vector<double> z_scores(std::span<const double> values,
                                                  deviation divisor = deviation::population) {
  std::vector<double> z(values.size());
  if (values.size() < 2) return z;
  double largest = 0;
  for (const double v : values) largest = std::max(largest, std::abs(v));
  int exponent = 0;
  largest = math::frexp(largest, &exponent);  // a power of two, which rounds nothing and keeps the squares in range
  for (std::size_t i = 0; i < values.size(); ++i) z[i] = math::ldexp(values[i], -exponent);
  const moments m = moments_of(as_span(z), divisor);
  const bool alike = m.standard_deviation <= 1e-12 * largest;
  for (double& v : z) v = alike ? 0 : (v - m.mean) / m.standard_deviation;
  return z;
}

PRECIS_IEEE_END
}  // namespace precis
