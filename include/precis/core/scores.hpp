#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/checks.hpp>
#include <precis/core/error.hpp>
#include <precis/core/moments.hpp>
#include <precis/core/order.hpp>
#include <precis/core/text.hpp>
#include <precis/core/unit.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace precis {
PRECIS_IEEE_BEGIN

/// Information density of every unit. High = keep, regardless of the sign in the paper. Scores may be negative.
///
/// A scorer that cannot say anything about some units, such as a scorer of layers about the embedding, lists them as
/// `unscored`. What else a reader should know about the numbers is in the notes: which units no data reached.
struct scores {
  std::string model{};               ///< fingerprint of the model; empty = unknown
  std::string scorer{};              ///< the scorer and its settings: "causal_trace window=1 noise_runs=10"
  std::string measure{};             ///< the unit of measurement: "probability", "squared norm", "nats"
  std::vector<unit> units{};         ///< [units] those with a score
  std::vector<double> values{};      ///< [units]
  std::vector<unit> unscored{};      ///< the other units of the model
  std::vector<std::string> notes{};  ///< one line each

  [[nodiscard]] std::size_t size() const noexcept { return values.size(); }
  bool operator==(const scores&) const = default;
};

/// The names of units or matrices as a list: "a, b".
template<class Named>
[[nodiscard]] std::string list_of_names(const std::vector<Named>& all) {
  std::string list;
  for (const Named& each : all) list += (list.empty() ? "" : ", ") + each.name;
  return list;
}

/// A note of these words about the matrices without `holds`: "no data reached h.0.expert.2.up". Empty if there are none.
///
/// Shapes   holds: [matrices].
template<class = void>
[[nodiscard]] inline std::vector<std::string> note_matrices(std::string_view words,
                                                            std::span<const matrix_info> matrices,
                                                            const std::vector<bool>& holds) {
  std::vector<matrix_info> without;
  for (std::size_t m = 0; m < matrices.size(); ++m)
    if (!holds[m]) without.push_back(matrices[m]);
  if (without.empty()) return {};
  return {std::string(words) + " " + list_of_names(without)};
}

/// Completes scores that were read off inputs or gradients. The matrices that no data reached are noted: those of an
/// expert to which no token was routed. A unit that consists of tables without inputs (before_layers) loses its score:
/// their rows are looked up, which products do not show.
///
/// Shapes   reached: [matrices].
template<class = void>
inline void report_unreached(scores& s, std::span<const matrix_info> matrices, std::vector<bool> reached) {
  const auto looked_up = [&](std::size_t m) { return !reached[m] && matrices[m].layer == before_layers; };
  scores kept = s;
  kept.units.clear();
  kept.values.clear();
  for (std::size_t u = 0; u < s.size(); ++u) {
    const std::vector<std::size_t>& of_unit = s.units[u].matrices;
    if (std::all_of(of_unit.begin(), of_unit.end(), looked_up)) {
      kept.unscored.push_back(s.units[u]);
    } else {
      kept.units.push_back(s.units[u]);
      kept.values.push_back(s.values[u]);
    }
  }
  for (std::size_t m = 0; m < matrices.size(); ++m)
    if (looked_up(m)) reached[m] = true;
  for (std::string& note : note_matrices("no data reached", matrices, reached)) kept.notes.push_back(std::move(note));
  s = std::move(kept);
}

/// The note about units whose change left every loss as it was, by unchanged(index of the unit). Empty if there are none.
template<class Unchanged>
[[nodiscard]] std::vector<std::string> note_unchanged(std::span<const unit> units, Unchanged&& unchanged) {
  std::vector<unit> found;
  for (std::size_t u = 0; u < units.size(); ++u)
    if (unchanged(u)) found.push_back(units[u]);
  if (found.empty()) return {};
  return {"no loss changed with " + list_of_names(found)};
}

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
  return ascending_order(values.size(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
}

/// All units of the model, with and without a score, in the order of their first matrices.
template<class = void>
[[nodiscard]] inline std::vector<unit> all_units(const scores& s) {
  if (s.unscored.empty()) return s.units;
  std::vector<double> first;  // exact: below 2^53
  for (const std::vector<unit>* some : {&s.units, &s.unscored})
    for (const unit& u : *some) first.push_back(u.matrices.empty() ? 0 : static_cast<double>(u.matrices.front()));
  std::vector<unit> all;
  for (const std::size_t i : ascending(as_span(first)))
    all.push_back(i < s.units.size() ? s.units[i] : s.unscored[i - s.units.size()]);
  return all;
}

/// Normalisers. Each returns new values; the library never applies one unless asked to.
///
/// Errors   a value that is not finite, by its index.
namespace normalise {

namespace detail {
template<class = void>
inline void check_finite(std::span<const double> values, std::string_view where) {
  for (std::size_t i = 0; i < values.size(); ++i)
    check_finite_value(values[i], "value " + std::to_string(i), where, "finite values");
}
}  // namespace detail

/// Maps the range of the values to [0, 1]; 0.5 everywhere if all values are equal.
template<class = void>
[[nodiscard]] inline std::vector<double> minmax(std::span<const double> values) {
  detail::check_finite(values, "normalise::minmax");
  std::vector<double> out(values.begin(), values.end());
  if (out.empty()) return out;
  const auto [lo, hi] = std::minmax_element(values.begin(), values.end());
  const double scale = kernel::is_finite(*hi - *lo) ? 1 : 0.5;  // halves of large values do not overflow
  for (double& v : out) v = *hi > *lo ? (scale * v - scale * *lo) / (scale * *hi - scale * *lo) : 0.5;
  return out;
}

/// Ranks scaled to [0, 1]. Ties share their mean rank; a single value gets 0.5.
template<class = void>
[[nodiscard]] inline std::vector<double> rank(std::span<const double> values) {
  detail::check_finite(values, "normalise::rank");
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
  detail::check_finite(values, "normalise::zscore");
  return z_scores(values);
}

/// Divides the values by their sum. Errors: a negative value, or a sum that is zero or overflows.
template<class = void>
[[nodiscard]] inline std::vector<double> sum1(std::span<const double> values) {
  detail::check_finite(values, "normalise::sum1");
  double sum = 0;
  for (const double v : values) {
    if (v < 0)
      refuse({.what = "a negative score, " + text::number(v), .where = "normalise::sum1", .expected = "scores >= 0"});
    sum += v;
  }
  if (!(sum > 0)) refuse({.what = "scores that sum to zero", .where = "normalise::sum1", .expected = "a positive sum"});
  check_finite_value(sum, "the sum of the scores", "normalise::sum1", "a finite sum");
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
///
/// A table with notes or unscored units is of version 2 and has lines `note TEXT` and `unscored UNIT`.
template<class = void>
[[nodiscard]] inline std::string to_text(const scores& s) {
  check_finite(s, "scores");
  check_model_name(s.model, "scores");
  const unsigned version = s.notes.empty() && s.unscored.empty() ? 1 : 2;
  std::string out = text::header("precis-scores", s.model, version) + text::field("scorer", s.scorer) +
                    text::field("measure", s.measure) +
                    text::field("units", std::string(to_string(kind_of(as_span(s.units)))));
  for (const std::string& note : s.notes) out += text::field("note", note);
  for (const unit& u : s.unscored) {
    check_unit_name(u.name, "scores");
    out += text::field("unscored", u.name);
  }
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
  const std::span<const text::line> body = text::body(as_span(lines), "precis-scores", where, 2);

  scores s{.model = {}, .scorer = {}, .measure = {}, .units = {}, .values = {}};
  std::vector<bool> seen, skipped;
  std::vector<std::string_view> keys;
  for (const text::line& l : body) {
    const std::string_view first = l.words.front();
    if (first == "model" || first == "scorer" || first == "measure" || first == "units")
      text::check_first(keys, l, where);
    if (first == "model") {
      check_model_name(l.rest, text::place(l, where));
      s.model = l.rest;
    } else if (first == "scorer") {
      s.scorer = l.rest;
    } else if (first == "measure") {
      s.measure = l.rest;
    } else if (first == "units") {
      s.units = group_units(matrices, parse_unit_kind(l.rest, text::place(l, where)));
      s.values.assign(s.units.size(), 0.0);
      seen.assign(s.units.size(), false);
      skipped = seen;
    } else if (first == "note") {
      s.notes.emplace_back(l.rest);
    } else {
      const bool skips = first == "unscored";
      const std::string_view name = skips ? l.rest : first;
      const auto at = std::find_if(s.units.begin(), s.units.end(), [&](const unit& u) { return u.name == name; });
      if (at == s.units.end())
        text::refuse_line(l, where, "unit '" + shown(name) + "' is not in this model", "a table made for this model");
      const auto i = static_cast<std::size_t>(at - s.units.begin());
      if (seen[i]) text::refuse_line(l, where, "unit '" + shown(name) + "' is scored twice", "one line per unit");
      seen[i] = true;
      skipped[i] = skips;
      if (skips) continue;
      if (l.words.size() != 2 || !text::read(l.words[1], s.values[i]))
        text::refuse_line(l, where, "'" + shown(l.rest) + "' is not a score", "UNIT NUMBER, with a finite number");
    }
  }
  for (std::size_t i = 0; i < s.units.size(); ++i)
    if (!seen[i])
      refuse({.what = "unit " + s.units[i].name + " has no score",
              .where = std::string(where),
              .expected = "one line per unit"});
  if (s.units.empty())
    refuse({.what = "no units", .where = std::string(where), .expected = "a 'units' line and one line per unit"});
  if (std::find(skipped.begin(), skipped.end(), true) == skipped.end()) return s;
  scores kept = s;
  kept.units.clear();
  kept.values.clear();
  for (std::size_t i = 0; i < s.units.size(); ++i) {
    (skipped[i] ? kept.unscored : kept.units).push_back(s.units[i]);
    if (!skipped[i]) kept.values.push_back(s.values[i]);
  }
  check_not_empty(kept.units.size(), "scored units", where);
  return kept;
}

PRECIS_IEEE_END
}  // namespace precis
