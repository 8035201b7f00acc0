#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/text.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace precis::score {
PRECIS_IEEE_BEGIN

/// Combines several score tables of the same units into one: their weighted mean on a common scale.
///
/// Unit      that of the scale: rank and minmax in [0, 1], zscore in standard deviations, sum1 as shares of the sum.
/// Sign      high = keep, as in the tables combined.
/// Errors    no tables; tables of different units or models; weights that are negative, sum to 0, or are not one per
///           table; scores that are not finite; for scale::raw, scores of different measures.
/// Cost      O(tables x units), and a sort per table for ranks.
/// Source    none; the scales are those of precis::normalise (docs/methods/combine.md).
/// @post     scale::rank: a strictly increasing map of one table's scores changes nothing.
/// @post     permuting the tables together with their weights changes only rounding.
struct combine {
  enum class scale { rank, minmax, zscore, sum1, raw };
  scale as = scale::rank;
  std::vector<double> weights{};  ///< one per table, >= 0; empty: equal weights

  bool operator==(const combine&) const = default;

  template<class = void>
  [[nodiscard]] scores operator()(std::span<const scores> tables) const {
    if (tables.empty()) refuse({.what = "no scores", .where = "score::combine", .expected = "at least one table"});
    if (!weights.empty() && weights.size() != tables.size())
      refuse({.what = std::to_string(weights.size()) + " weights for " + std::to_string(tables.size()) + " tables",
              .where = "score::combine",
              .expected = "one per table, or none"});
    double total = 0;
    for (std::size_t t = 0; t < tables.size(); ++t) {
      const double w = weight(t);
      if (!(w >= 0) || !kernel::is_finite(w))
        refuse({.what = "weight " + std::to_string(w), .where = "score::combine", .expected = "weights >= 0"});
      total += w;
    }
    if (!(total > 0) || !kernel::is_finite(total))
      refuse({.what = "weights that sum to " + text::number(total),
              .where = "score::combine",
              .expected = "a positive, finite sum"});

    scores s{.model = {},
             .scorer = "combine " + std::string(name()),
             .measure = as == scale::raw ? tables.front().measure : "mean " + std::string(name()),
             .units = tables.front().units,
             .values = std::vector<double>(tables.front().size()),
             .unscored = tables.front().unscored};
    for (std::size_t t = 0; t < tables.size(); ++t) {
      check_finite(tables[t], "score::combine, " + tables[t].scorer);
      check_same(tables[t], s, tables.front().measure);
      if (s.model.empty()) s.model = tables[t].model;
      for (const std::string& note : tables[t].notes)
        if (std::find(s.notes.begin(), s.notes.end(), note) == s.notes.end()) s.notes.push_back(note);
      const double share = weight(t) / total;
      s.scorer += (t == 0 ? ": " : " + ") + text::number(weight(t)) + " x (" + tables[t].scorer + ")";
      const std::vector<double> scaled = on_scale(as_span(tables[t].values));
      for (std::size_t i = 0; i < s.size(); ++i) s.values[i] = math::fma(share, scaled[i], s.values[i]);
    }
    return s;
  }

 private:
  [[nodiscard]] double weight(std::size_t t) const noexcept { return weights.empty() ? 1.0 : weights[t]; }

  template<class = void>
  [[nodiscard]] std::string_view name() const noexcept {
    switch (as) {
      case scale::rank: return "rank";
      case scale::minmax: return "minmax";
      case scale::zscore: return "zscore";
      case scale::sum1: return "sum1";
      case scale::raw: break;
    }
    return "raw";
  }

  template<class = void>
  [[nodiscard]] std::vector<double> on_scale(std::span<const double> values) const {
    switch (as) {
      case scale::rank: return normalise::rank(values);
      case scale::minmax: return normalise::minmax(values);
      case scale::zscore: return normalise::zscore(values);
      case scale::sum1: return normalise::sum1(values);
      case scale::raw: break;
    }
    return {values.begin(), values.end()};
  }

  template<class = void>
  void check_same(const scores& table, const scores& so_far, std::string_view measure) const {
    if (table.units != so_far.units)
      refuse({.what = "the units of '" + table.scorer + "' are not those of the first table",
              .where = "score::combine",
              .expected = "scores of the same units of one model, each scored by all or by none"});
    if (!table.model.empty() && !so_far.model.empty() && table.model != so_far.model)
      refuse({.what = "scores of the models " + so_far.model + " and " + table.model,
              .where = "score::combine",
              .expected = "scores of one model"});
    if (as == scale::raw && table.measure != measure)
      refuse({.what = "raw scores that measure '" + std::string(measure) + "' and '" + table.measure + "'",
              .where = "score::combine",
              .expected = "tables of one measure, or another scale"});
  }
};

PRECIS_IEEE_END
}  // namespace precis::score
