#pragma once

#include <precis/core/error.hpp>
#include <precis/core/unit.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis {

/// Information density of every unit. High = keep, whatever the paper's sign (methods A3). May be negative.
struct scores {
  std::string scorer;            ///< who made it, with what: "causal_trace window=1 noise_runs=10"
  std::string measure;           ///< what one score is: "probability", "squared norm", "nats"
  std::vector<unit> units;       ///< [units]
  std::vector<double> values;    ///< [units]

  [[nodiscard]] std::size_t size() const noexcept { return values.size(); }
  bool operator==(const scores&) const = default;
};

/// Refuses NaN and infinity, naming the unit (methods A3: never silently sorted).
inline void check_finite(const scores& s, const std::string& where) {
  if (s.values.size() != s.units.size())
    refuse({.what = std::to_string(s.values.size()) + " values for " + std::to_string(s.units.size()) + " units",
            .where = where,
            .expected = "one score a unit"});
  for (std::size_t i = 0; i < s.values.size(); ++i)
    if (!std::isfinite(s.values[i]))
      refuse({.what = "the score of unit " + s.units[i].name + " is " + std::to_string(s.values[i]),
              .where = where,
              .expected = "finite scores"});
}

/// Unit indices from the lowest score to the highest; ties go by index, the lower index first (methods A3).
[[nodiscard]] inline std::vector<std::size_t> ascending(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  return order;
}

/// Explicit normalisers (methods A3). Each returns new values; none is ever applied silently.
namespace normalise {

/// To [0, 1]; 0.5 everywhere when all values are equal.
[[nodiscard]] inline std::vector<double> minmax(std::span<const double> values) {
  std::vector<double> out(values.begin(), values.end());
  if (out.empty()) return out;
  const auto [lo, hi] = std::minmax_element(values.begin(), values.end());
  for (double& v : out) v = *hi > *lo ? (v - *lo) / (*hi - *lo) : 0.5;
  return out;
}

/// Average ranks scaled to [0, 1]; ties share their mean rank; a single value gets 0.5.
[[nodiscard]] inline std::vector<double> rank(std::span<const double> values) {
  const std::size_t n = values.size();
  if (n == 1) return {0.5};
  std::vector<double> out(n);
  const std::vector<std::size_t> order = ascending(values);
  for (std::size_t i = 0; i < n;) {
    std::size_t j = i;
    while (j < n && values[order[j]] == values[order[i]]) ++j;
    const double mean_rank = 0.5 * static_cast<double>(i + j - 1);
    for (std::size_t k = i; k < j; ++k) out[order[k]] = mean_rank / static_cast<double>(n - 1);
    i = j;
  }
  return out;
}

/// Divided by their sum. Errors: a negative value, or a sum of zero.
[[nodiscard]] inline std::vector<double> sum1(std::span<const double> values) {
  double sum = 0;
  for (const double v : values) {
    if (v < 0)
      refuse({.what = "a negative score, " + std::to_string(v), .where = "normalise::sum1", .expected = "scores >= 0"});
    sum += v;
  }
  if (!(sum > 0))
    refuse({.what = "scores that sum to zero", .where = "normalise::sum1", .expected = "a positive sum"});
  std::vector<double> out(values.begin(), values.end());
  for (double& v : out) v /= sum;
  return out;
}

}  // namespace normalise
}  // namespace precis
