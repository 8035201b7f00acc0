#pragma once

#include <precis/core/error.hpp>
#include <precis/core/plan.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/text.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace precis::allocate {

/// Low, medium or high information density.
enum class tier { low, medium, high };

[[nodiscard]] constexpr std::string_view to_string(tier t) noexcept {
  return t == tier::low ? "low" : t == tier::medium ? "medium" : "high";
}

/// What the units of one tier get.
struct tier_options {
  std::string codec;
  double sparsity = 0;
  bool operator==(const tier_options&) const = default;
};

/// Divides by L, or by L - 1.
enum class deviation { population, sample };

/// Three tiers by how far a unit's score lies from the mean: z = (S - mean) / std; z < below: low, z > above: high,
/// otherwise (boundaries included) medium. High = keep: give it the most bits and the least pruning.
///
/// Unit     z: standard deviations. std over all units, two passes in double.
/// Errors   scores that are not finite; below > above.
/// Edges    constant scores (std <= 1e-12 max|S|) or a single unit: all medium.
/// Cost     O(units).
/// Warning  tiers are relative: a model whose units matter equally gets the medium options, whatever its size becomes.
/// @post    S -> a S + b with a > 0 changes no tier.
/// Source   methods C1 (the causal-tracing paper does not say which std; the units are the whole population).
struct z_tiers {
  tier_options low{.codec = "affine8.row", .sparsity = 0};
  tier_options medium{.codec = "affine16.row", .sparsity = 0};
  tier_options high{.codec = "affine24.row", .sparsity = 0};
  double below = -0.5;
  double above = 0.5;
  deviation std = deviation::population;

  /// z of every score; all 0 where nothing stands out. Requires finite scores.
  [[nodiscard]] std::vector<double> z(std::span<const double> values) const {
    std::vector<double> result(values.size(), 0.0);
    if (values.size() < 2) return result;
    const auto count = static_cast<double>(values.size());
    double largest = 0, mean = 0, squares = 0;
    for (const double v : values) {
      largest = std::max(largest, std::abs(v));
      mean += v / count;  // not the sum divided: that can overflow
    }
    for (const double v : values) squares = std::fma(v - mean, v - mean, squares);
    const double spread = std::sqrt(squares / (std == deviation::population ? count : count - 1));
    if (spread <= 1e-12 * largest) return result;
    for (std::size_t i = 0; i < values.size(); ++i) result[i] = (values[i] - mean) / spread;
    return result;
  }

  [[nodiscard]] std::vector<tier> tiers(std::span<const double> values) const {
    if (!(below <= above))
      refuse({.what = "thresholds " + text::number(below) + " and " + text::number(above),
              .where = "allocate::z_tiers",
              .expected = "below <= above"});
    std::vector<tier> result;
    for (const double each : z(values))
      result.push_back(each < below ? tier::low : each > above ? tier::high : tier::medium);
    return result;
  }

  [[nodiscard]] const tier_options& options(tier t) const noexcept {
    return t == tier::low ? low : t == tier::medium ? medium : high;
  }

  [[nodiscard]] plan operator()(const scores& s) const {
    check_finite(s, "allocate::z_tiers");
    plan p{.model = s.model,
           .units = s.units.empty() ? unit_kind::block : s.units.front().kind,
           .notes = {},
           .choices = {}};
    const std::vector<tier> decided = tiers(s.values);
    std::array<std::size_t, 3> counts{};
    for (std::size_t i = 0; i < s.size(); ++i) {
      const tier_options& o = options(decided[i]);
      ++counts[static_cast<std::size_t>(decided[i])];
      p.choices.push_back({.unit = s.units[i].name, .codec = o.codec, .sparsity = o.sparsity, .rank = 0});
    }
    p.notes.push_back("z_tiers of " + s.scorer + ": " + std::to_string(counts[0]) + " low, " +
                      std::to_string(counts[1]) + " medium, " + std::to_string(counts[2]) + " high");
    return p;
  }
};

}  // namespace precis::allocate
