#pragma once

#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/moments.hpp>
#include <precis/core/plan.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/text.hpp>
#include <precis/kernel/ieee.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace precis::allocate {
PRECIS_IEEE_BEGIN

/// Low, medium or high information density.
enum class tier { low, medium, high };

[[nodiscard]] constexpr std::string_view to_string(tier t) noexcept {
  return t == tier::low ? "low" : t == tier::medium ? "medium" : "high";
}

/// The codec and sparsity of the units of one tier.
struct tier_options {
  std::string codec = {};
  double sparsity = 0;
  bool operator==(const tier_options&) const = default;
};

/// Adds a choice per unit in model order: options_of(index of the score), or `unscored` for a unit without a score.
template<class OptionsOf>
void add_choices(plan& p, const scores& s, OptionsOf&& options_of, const tier_options& unscored) {
  std::size_t scored = 0;
  for (const unit& u : all_units(s)) {
    const bool has_score = scored < s.units.size() && s.units[scored].name == u.name;
    const tier_options o = has_score ? options_of(scored++) : unscored;
    p.choices.push_back({.unit = u.name, .codec = o.codec, .sparsity = o.sparsity, .rank = 0});
  }
}

/// Adds the notes of the scores, and one about the units without a score.
template<class = void>
inline void add_notes(plan& p, const scores& s) {
  if (!s.unscored.empty()) p.notes.push_back("no score, so the highest tier: " + list_of_names(s.unscored));
  p.notes.insert(p.notes.end(), s.notes.begin(), s.notes.end());
}

using precis::deviation;

/// Assigns three tiers by z-score, z = (S - mean) / std: low if z < below, high if z > above, and medium otherwise
/// (boundaries included). High = keep: the high tier should get the most bits and the least pruning.
///
/// Unit     z: standard deviations over all units.
/// Errors   scores that are not finite; below > above.
/// Edges    units without a score get the options of the high tier, with a note; they do not count in mean and std. If
///          all scores are equal (std <= 1e-12 max|S|) or there is one unit, all units are medium.
/// Cost     O(units).
/// Warning  tiers are relative and ignore any budget: if all units matter equally, all get the medium options.
/// Source   Scarlatescu and Mehta, "Information-Aware Compression Schemes Using Causal Tracing";
///          docs/methods/z_tiers.md.
/// Differs  the paper does not say which standard deviation; the units are the whole population, so the divisor is n.
/// @post    S -> a S + b with a > 0 changes no tier.
struct z_tiers {
  tier_options low{.codec = "affine8.row", .sparsity = 0};
  tier_options medium{.codec = "affine16.row", .sparsity = 0};
  tier_options high{.codec = "affine24.row", .sparsity = 0};
  double below = -0.5;
  double above = 0.5;
  deviation std = deviation::population;

  /// The z-score of every value: see `z_scores`. Requires finite values.
  template<class = void>
  [[nodiscard]] std::vector<double> z(std::span<const double> values) const {
    return z_scores(values, std);
  }

  /// The tier of every value. Errors: below > above. Requires finite values.
  template<class = void>
  [[nodiscard]] std::vector<tier> tiers(std::span<const double> values) const {
    if (!(below <= above))
      refuse({.what = "thresholds " + text::number(below) + " and " + text::number(above),
              .where = "allocate::z_tiers",
              .expected = "below <= above"});
    std::vector<tier> result;
    for (const double score : z(values))
      result.push_back(score < below ? tier::low : score > above ? tier::high : tier::medium);
    return result;
  }

  [[nodiscard]] const tier_options& options(tier t) const noexcept {
    return t == tier::low ? low : t == tier::medium ? medium : high;
  }

  template<class = void>
  [[nodiscard]] plan operator()(const scores& s) const {
    check_finite(s, "allocate::z_tiers");
    plan p{.model = s.model, .units = kind_of(as_span(s.units)), .notes = {}, .choices = {}};
    const std::vector<tier> assigned = tiers(as_span(s.values));
    std::array<std::size_t, 3> counts{};
    for (const tier t : assigned) ++counts[static_cast<std::size_t>(t)];
    add_choices(p, s, [&](std::size_t i) { return options(assigned[i]); }, high);
    p.notes.push_back("z_tiers of " + s.scorer + ": " + std::to_string(counts[0]) + " low, " +
                      std::to_string(counts[1]) + " medium, " + std::to_string(counts[2]) + " high");
    add_notes(p, s);
    return p;
  }
};

PRECIS_IEEE_END
}  // namespace precis::allocate
