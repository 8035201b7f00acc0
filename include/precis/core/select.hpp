#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/checks.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace precis {
PRECIS_IEEE_BEGIN

/// The number of items that a fraction s of n removes: floor(s n + 0.5), at most n. Rounding makes 0.29 of 100 remove
/// 29 items, although 0.29 * 100 is below 29 in double.
///
/// Errors   a fraction outside [0, 1].
template<class = void>
[[nodiscard]] inline std::size_t exact_count(double fraction, std::size_t n) {
  check_range(fraction, 0, 1, "a fraction", "exact_count");
  const double k = math::floor(fraction * static_cast<double>(n) + 0.5);
  return std::min(n, static_cast<std::size_t>(k));
}

/// Indices of the k smallest keys, in unspecified order: the same set as the first k of a stable sort, so exactly k
/// even if keys tie. Requires finite keys.
///
/// Ties     the lower index counts as smaller.
/// Cost     O(n) expected.
/// Source   docs/methods/magnitude_pruning.md, which compares this rule with thresholds.
template<class Key>
[[nodiscard]] std::vector<std::size_t> indices_of_smallest(std::span<const Key> keys, std::size_t k) {
  std::vector<std::size_t> index(keys.size());
  std::iota(index.begin(), index.end(), std::size_t{0});
  if (k >= keys.size()) return index;
  std::nth_element(index.begin(), index.begin() + static_cast<std::ptrdiff_t>(k), index.end(),
                   [&](std::size_t a, std::size_t b) { return keys[a] < keys[b] || (keys[a] == keys[b] && a < b); });
  index.resize(k);
  return index;
}

/// The linearly interpolated quantile, as NumPy and PyTorch compute it by default: the value at position s (n - 1) of
/// the sorted values.
///
/// Errors   no values, or one that is not finite; a level outside [0, 1].
/// Cost     O(n) expected, and a copy of the values.
/// Source   Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996), definition 7.
template<class Value>
[[nodiscard]] double quantile_linear(std::span<const Value> values, double s) {
  if (values.empty() || !(s >= 0.0 && s <= 1.0))
    refuse({.what = "a quantile at " + text::number(s) + " of " + std::to_string(values.size()) + " values",
            .where = "quantile_linear",
            .expected = "at least one value, and a level from 0 to 1"});
  for (const Value v : values)
    check_finite_value(static_cast<double>(v), "a value", "quantile_linear", "finite values");
  std::vector<Value> sorted(values.begin(), values.end());
  const double h = s * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(h);
  const auto at = sorted.begin() + static_cast<std::ptrdiff_t>(below);
  std::nth_element(sorted.begin(), at, sorted.end());
  const auto low = static_cast<double>(*at);
  if (below + 1 == sorted.size()) return low;
  const auto high = static_cast<double>(*std::min_element(at + 1, sorted.end()));
  return low + (h - static_cast<double>(below)) * (high - low);
}

PRECIS_IEEE_END
}  // namespace precis
