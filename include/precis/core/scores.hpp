#pragma once

#include <precis/core/error.hpp>
#include <precis/core/text.hpp>
#include <precis/core/unit.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace precis {

/// Information density of every unit. High = keep, whatever the paper's sign (methods A3). May be negative.
struct scores {
  std::string model = {};      ///< fingerprint of the model; empty = not said
  std::string scorer;          ///< who made it, with what: "causal_trace window=1 noise_runs=10"
  std::string measure;         ///< what one score is: "probability", "squared norm", "nats"
  std::vector<unit> units;     ///< [units]
  std::vector<double> values;  ///< [units]

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

/// Standard deviations from the mean, the units being the whole population; 0 where nothing stands out (a deviation of at
/// most 1e-12 of the largest value, or a single value).
[[nodiscard]] inline std::vector<double> zscore(std::span<const double> values) {
  std::vector<double> out(values.size());
  const auto count = static_cast<double>(values.size());
  double largest = 0, mean = 0, squares = 0;
  for (const double v : values) {
    largest = std::max(largest, std::abs(v));
    mean += v / count;  // not the sum divided: that can overflow
  }
  for (const double v : values) squares = std::fma(v - mean, v - mean, squares);
  const double spread = std::sqrt(squares / count);
  if (values.size() < 2 || spread <= 1e-12 * largest) return out;
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = (values[i] - mean) / spread;
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
[[nodiscard]] inline std::string to_text(const scores& s) {
  check_finite(s, "scores");
  std::string out = "precis-scores 1\n";
  if (!s.model.empty()) out += "model " + s.model + "\n";
  out += "scorer " + text::one_line(s.scorer) + "\nmeasure " + text::one_line(s.measure) + "\nunits ";
  out += std::string(to_string(s.units.empty() ? unit_kind::block : s.units.front().kind)) + "\n";
  std::size_t widest = 0;
  for (const unit& u : s.units) {
    if (!text::is_word(u.name) || text::is_keyword(u.name))
      refuse({.what = "the unit name '" + u.name + "'",
              .where = "scores",
              .expected = "one word that is no keyword of this format"});
    widest = std::max(widest, u.name.size());
  }
  for (std::size_t i = 0; i < s.size(); ++i)
    out += s.units[i].name + std::string(widest - s.units[i].name.size() + 2, ' ') + text::number(s.values[i]) + "\n";
  return out;
}

/// Reads what `to_text` writes, for a model with these matrices: every unit of the table must be one of the model's and
/// every unit of the model must be in the table. `where` names the file in messages; each error has its line.
[[nodiscard]] inline scores parse_scores(std::string_view source, std::span<const matrix_info> matrices,
                                         std::string_view where = "scores") {
  const std::vector<text::line> lines = text::split(source);
  if (lines.empty() || lines.front().words.front() != "precis-scores" || lines.front().rest != "1")
    refuse(
        {.what = lines.empty() ? "an empty file" : "it starts with '" + std::string(lines.front().words.front()) + "'",
         .where = std::string(where),
         .expected = "'precis-scores 1' on the first line"});

  scores s{.model = {}, .scorer = {}, .measure = {}, .units = {}, .values = {}};
  std::vector<bool> seen;
  for (const text::line& l : std::span(lines).subspan(1)) {
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
      const auto at = std::ranges::find(s.units, first, &unit::name);
      if (at == s.units.end())
        text::refuse_line(l, where, "unit '" + std::string(first) + "' is not in this model",
                          "a table made for this model");
      const auto i = static_cast<std::size_t>(at - s.units.begin());
      if (seen[i]) text::refuse_line(l, where, "unit '" + std::string(first) + "' is scored twice", "one line a unit");
      if (l.words.size() != 2 || !text::read(l.words[1], s.values[i]))
        text::refuse_line(l, where, "'" + std::string(l.rest) + "' is not a score", "UNIT NUMBER, finite");
      seen[i] = true;
    }
  }
  for (std::size_t i = 0; i < s.units.size(); ++i)
    if (!seen[i])
      refuse({.what = "unit " + s.units[i].name + " has no score",
              .where = std::string(where),
              .expected = "one line a unit"});
  if (s.units.empty())
    refuse({.what = "no units", .where = std::string(where), .expected = "a 'units' line and one line a unit"});
  return s;
}

}  // namespace precis
