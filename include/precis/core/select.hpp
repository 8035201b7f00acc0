#pragma once

#include <precis/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace precis {

/// How many of n items a fraction s removes: floor(s n + 0.5), clamped to [0, n] (methods A5).
/// Requires 0 <= s <= 1; refuses anything else.
[[nodiscard]] inline std::size_t exact_count(double fraction, std::size_t n) {
  if (!(fraction >= 0.0 && fraction <= 1.0))
    refuse({.what = "a fraction of " + std::to_string(fraction), .where = "exact_count", .expected = "0 to 1"});
  const double k = std::floor(fraction * static_cast<double>(n) + 0.5);
  return std::min(n, static_cast<std::size_t>(k));
}

/// Indices of the k smallest keys by the pair (key, index): exactly k of them, in that order of selection's choice,
/// the same set a stable sort would give. Requires finite keys.
///
/// Cost     O(n) expected.
/// Source   methods A5.
template<class Key>
[[nodiscard]] std::vector<std::size_t> smallest(std::span<const Key> keys, std::size_t k) {
  std::vector<std::size_t> index(keys.size());
  std::iota(index.begin(), index.end(), std::size_t{0});
  if (k >= keys.size()) return index;
  std::nth_element(index.begin(), index.begin() + static_cast<std::ptrdiff_t>(k), index.end(),
                   [&](std::size_t a, std::size_t b) { return keys[a] < keys[b] || (keys[a] == keys[b] && a < b); });
  index.resize(k);
  return index;
}

/// The linearly interpolated quantile (the default of NumPy and PyTorch): h = s (n - 1) (methods A5).
/// Requires at least one value and 0 <= s <= 1.
template<class Value>
[[nodiscard]] double quantile_linear(std::span<const Value> values, double s) {
  if (values.empty() || !(s >= 0.0 && s <= 1.0))
    refuse({.what = "a quantile at " + std::to_string(s) + " of " + std::to_string(values.size()) + " values",
            .where = "quantile_linear",
            .expected = "at least one value and a level from 0 to 1"});
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

}  // namespace precis
