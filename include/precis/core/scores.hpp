#pragma once

#include <precis/core/checks.hpp>
#include <precis/core/error.hpp>
#include <precis/core/moments.hpp>
#include <precis/core/text.hpp>
#include <precis/core/unit.hpp>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace precis {

/// Information density of every unit. High = keep, regardless of the sign in the paper. Scores may be negative.
struct scores {
  std::string model = {};      ///< fingerprint of the model; empty = unknown
  std::string scorer;          ///< the scorer and its settings: "causal_trace window=1 noise_runs=10"
  std::string measure;         ///< the unit of measurement: "probability", "squared norm", "nats"
  std::vector<unit> units;     ///< [units]
  std::vector<double> values;  ///< [units]

  [[nodiscard]] std::size_t size() const noexcept { return values.size(); }
  bool operator==(const scores&) const = default;
};

/// Refuses NaN and infinity, naming the unit: sorting them silently would give a meaningless order.
template<class = void>
inline void check_finite(const scores& s, const std::string& where) {
  check_same_count(s.values.size(), "values", s.units.size(), "units", where);
  for (std::size_t i = 0; i < s.values.size(); ++i)
    check_finite_value(s.values[i], "the score of unit " + s.units[i].name, where, "finite scores");
}

/// Unit indices from the lowest score to the highest. Ties: the lower index comes first.
template<class = void>
[[nodiscard]] inline std::vector<std::size_t> ascending(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  return order;
}

/// Normalisers. Each returns new values; the library never applies one unless asked to.
namespace normalise {

/// Maps the range of the values to [0, 1]; 0.5 everywhere if all values are equal.
template<class = void>
[[nodiscard]] inline std::vector<double> minmax(std::span<const double> values) {
  std::vector<double> out(values.begin(), values.end());
  if (out.empty()) return out;
  const auto [lo, hi] = std::minmax_element(values.begin(), values.end());
  for (double& v : out) v = *hi > *lo ? (v - *lo) / (*hi - *lo) : 0.5;
  return out;
}

/// Ranks scaled to [0, 1]. Ties share their mean rank; a single value gets 0.5.
template<class = void>
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

/// Population z-scores: see `z_scores`.
template<class = void>
[[nodiscard]] inline std::vector<double> zscore(std::span<const double> values) {
  return z_scores(values);
}

/// Divides the values by their sum. Errors: a negative value, or a sum of zero.
template<class = void>
[[nodiscard]] inline std::vector<double> sum1(std::span<const double> values) {
  double sum = 0;
  for (const double v : values) {
    if (v < 0)
      refuse({.what = "a negative score, " + text::number(v), .where = "normalise::sum1", .expected = "scores >= 0"});
    sum += v;
  }
  if (!(sum > 0)) refuse({.what = "scores that sum to zero", .where = "normalise::sum1", .expected = "a positive sum"});
  std::vector<double> out(values.begin(), values.end());
  for (double& v : out) v /= sum;
  return out;
}

}  // namespace normalise

/// Writes a score table:
///
///     precis-scores 1
///     model 8c1f5d0e
///     scorer weight_magnitude
///     measure squared norm
///     units block
///     block.0  622.03
template<class = void>
[[nodiscard]] inline std::string to_text(const scores& s) {
  check_finite(s, "scores");
  std::string out = text::header("precis-scores", s.model) + text::field("scorer", s.scorer) +
                    text::field("measure", s.measure) + text::field("units", std::string(to_string(kind_of(s.units))));
  std::size_t widest = 0;
  for (const unit& u : s.units) {
    check_unit_name(u.name, "scores");
    widest = std::max(widest, u.name.size());
  }
  for (std::size_t i = 0; i < s.size(); ++i)
    out += text::padded(s.units[i].name, widest + 2) + text::number(s.values[i]) + "\n";
  return out;
}

/// Reads what `to_text` writes, for a model with these matrices: the table must have exactly the units of the model.
/// `where` names the file in messages.
///
/// Errors   each with its line number: an unknown, repeated or missing unit; a score that is not a finite number.
template<class = void>
[[nodiscard]] inline scores parse_scores(std::string_view source, std::span<const matrix_info> matrices,
                                         std::string_view where = "scores") {
  const std::vector<text::line> lines = text::split(source);
  const std::span<const text::line> body = text::body(lines, "precis-scores", where);

  scores s{.model = {}, .scorer = {}, .measure = {}, .units = {}, .values = {}};
  std::vector<bool> seen;
  for (const text::line& l : body) {
    const std::string_view first = l.words.front();
    if (first == "model") {
      s.model = l.rest;
    } else if (first == "scorer") {
      s.scorer = l.rest;
    } else if (first == "measure") {
      s.measure = l.rest;
    } else if (first == "units") {
      if (!s.units.empty()) text::refuse_line(l, where, "a second 'units' line", "one");
      s.units = group_units(matrices, parse_unit_kind(l.rest, where));
      s.values.assign(s.units.size(), 0.0);
      seen.assign(s.units.size(), false);
    } else {
      const auto at = std::find_if(s.units.begin(), s.units.end(), [&](const unit& u) { return u.name == first; });
      if (at == s.units.end())
        text::refuse_line(l, where, "unit '" + std::string(first) + "' is not in this model",
                          "a table made for this model");
      const auto i = static_cast<std::size_t>(at - s.units.begin());
      if (seen[i])
        text::refuse_line(l, where, "unit '" + std::string(first) + "' is scored twice", "one line per unit");
      if (l.words.size() != 2 || !text::read(l.words[1], s.values[i]))
        text::refuse_line(l, where, "'" + std::string(l.rest) + "' is not a score",
                          "UNIT NUMBER, with a finite number");
      seen[i] = true;
    }
  }
  for (std::size_t i = 0; i < s.units.size(); ++i)
    if (!seen[i])
      refuse({.what = "unit " + s.units[i].name + " has no score",
              .where = std::string(where),
              .expected = "one line per unit"});
  if (s.units.empty())
    refuse({.what = "no units", .where = std::string(where), .expected = "a 'units' line and one line per unit"});
  return s;
}

}  // namespace precis
