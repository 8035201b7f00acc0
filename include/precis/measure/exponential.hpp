#pragma once

#include <precis/kernel/ieee.hpp>

#include <cstdint>

namespace precis::measure {
PRECIS_IEEE_BEGIN

/// exp(x), accurate to about one unit in the last place, without branches or calls, so that a loop over it vectorises.
/// Below -708 the result is exp(-708), which is negligible next to any other term of a softmax. NaN propagates.
///
/// Requires  x <= 709.
///
/// x = n log 2 + r with integer n and |r| <= log 2 / 2; exp(r) is its Taylor series, and n goes into the exponent bits.
[[nodiscard]] inline double exponential(double x) noexcept {
  constexpr double to_integer = 0x1.8p52;  // adding and subtracting it rounds; the sum's low bits then hold n
  constexpr double log_2_high = 0x1.62e42fefa3800p-1, log_2_low = 0x1.ef35793c76730p-45;  // n * log_2_high is exact
  const double bounded = x < -708 ? -708 : x;
  const double shifted = bounded * 0x1.71547652b82fep0 + to_integer, n = shifted - to_integer;
  const double r = (bounded - n * log_2_high) - n * log_2_low;
  const double r2 = r * r, r4 = r2 * r2;  // four independent partial series shorten the dependency chain
  const double low = (1 + r) + r2 * (0.5 + r * (1.0 / 6));
  const double middle = (1.0 / 24 + r * (1.0 / 120)) + r2 * (1.0 / 720 + r * (1.0 / 5040));
  const double high = (1.0 / 40320 + r * (1.0 / 362880)) + r2 * (1.0 / 3628800 + r * (1.0 / 39916800));
  const double last = 1.0 / 479001600 + r * (1.0 / 6227020800);
  const double series = low + r4 * (middle + r4 * (high + r4 * last));
  const std::uint64_t bits =
      kernel::bit_cast<std::uint64_t>(shifted) - kernel::bit_cast<std::uint64_t>(to_integer) + 1023;
  return series * kernel::bit_cast<double>(bits << 52);
}

PRECIS_IEEE_END
}  // namespace precis::measure
