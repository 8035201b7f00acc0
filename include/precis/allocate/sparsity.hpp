#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/checks.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/core/plan.hpp>
#include <precis/core/text.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// Sparsity allocators: from scores to a sparsity per unit, with a given mean over all weights.
namespace precis::allocate {
PRECIS_IEEE_BEGIN

namespace detail {

template<class = void>
inline void check_sparsity(std::span<const double> values, std::span<const std::size_t> weights, double sparsity,
                           double most, const std::string& where) {
  check_same_count(values.size(), "values", weights.size(), "units", where);
  check_range(most, 0, 1, "a largest sparsity", where);
  for (std::size_t i = 0; i < values.size(); ++i)
    check_finite_value(values[i], "value " + std::to_string(i), where, "finite values");
  if (!(sparsity >= 0 && sparsity <= most))
    refuse({.what = "a sparsity of " + text::number(sparsity),
            .where = where,
            .expected = "0 to " + text::number(most) + ", the largest sparsity of a unit"});
}

/// Clips sparsities to [0, most] such that their mean over all weights is `mean`. Units at a bound stay there, and the
/// others are adjusted by rescale(sparsity, target mean, current mean). Every round fixes a unit or is the last.
template<class Rescale>
void clip_to_mean(std::vector<double>& s, std::span<const std::size_t> weights, double mean, double most,
                  Rescale&& rescale) {
  double all = 0;
  for (const std::size_t w : weights) all += static_cast<double>(w);
  std::vector<bool> fixed(s.size());
  for (std::size_t round = 0; round <= s.size(); ++round) {
    double left = mean * all, free = 0, present = 0;
    for (std::size_t i = 0; i < s.size(); ++i) {
      const auto w = static_cast<double>(weights[i]);
      if (fixed[i]) {
        left -= w * s[i];
      } else {
        free += w;
        present += w * s[i];
      }
    }
    if (free == 0) break;
    bool again = false;
    for (std::size_t i = 0; i < s.size(); ++i) {
      if (fixed[i]) continue;
      s[i] = rescale(s[i], left / free, present / free);
    }
    // Clips one side at a time: the excess clipped above may lift units that are below 0.
    double above = 0, below = 0;
    for (std::size_t i = 0; i < s.size(); ++i) {
      if (fixed[i]) continue;
      above += std::max(0.0, s[i] - most) * static_cast<double>(weights[i]);
      below += std::max(0.0, -s[i]) * static_cast<double>(weights[i]);
    }
    for (std::size_t i = 0; i < s.size(); ++i) {
      if (fixed[i] || !(above >= below ? s[i] > most : s[i] < 0)) continue;
      s[i] = above >= below ? most : 0;
      fixed[i] = again = true;
    }
    if (!again) break;
  }
}

}  // namespace detail

/// Prunes units with many outliers less: s_i = s - a_i + mean(a), a_i = 2 strength (D_i - min D) / (max D - min D).
///
/// Shapes    D: an outlier share per unit (score::outliers), or any score (high = keep); the number of weights of each
///           unit.
/// Unit      sparsity, share of a unit's weights.
/// Errors    values that are not finite; a number of values other than one per unit; a sparsity outside [0, most];
///           a largest sparsity outside [0, 1]; a strength that is not finite.
/// Cost      O(units) per round of clipping.
/// Source    OWL (Yin et al. 2023, arXiv:2310.05175) and its code (luuyin/OWL); docs/methods/sparsity.md.
/// Differs   the mean is over weights; in OWL it is over blocks, which is the same for blocks of equal size. Equal D
///           give equal sparsities, where OWL's code divides by zero. Sparsities outside [0, most] are clipped and the
///           rest is shared.
/// @post     the mean over all weights is `sparsity`.
struct owl {
  double sparsity = 0.7;
  double strength = 0.08;
  double most = 1;  ///< largest sparsity of a unit

  template<class = void>
  [[nodiscard]] std::vector<double> operator()(std::span<const double> outliers,
                                               std::span<const std::size_t> weights) const {
    detail::check_sparsity(outliers, weights, sparsity, most, "allocate::owl");
    check_finite_value(strength, "the strength", "allocate::owl");
    std::vector<double> s(outliers.size(), sparsity);
    if (s.empty()) return s;
    const auto [low, high] = std::minmax_element(outliers.begin(), outliers.end());
    if (*high > *low)
      for (std::size_t i = 0; i < s.size(); ++i)
        s[i] -= 2 * strength * (outliers[i] / 2 - *low / 2) / (*high / 2 - *low / 2);  // halves cannot overflow
    detail::clip_to_mean(s, weights, sparsity, most,
                         [](double x, double wanted, double mean) { return x + wanted - mean; });
    return s;
  }
};

/// Sparsity by a softmax of the scores: s_i is proportional to exp(-S_i / temperature).
///
/// Shapes    S: a score per unit (high = keep); the number of weights of each unit.
/// Unit      sparsity, share of a unit's weights.
/// Errors    those of owl; a temperature that is not positive.
/// Cost      O(units) per round of clipping.
/// Source    MoDeGPT (Lin et al. 2024, arXiv:2408.09632): the optimum of a linear loss with an entropy term;
///           docs/methods/sparsity.md.
/// Differs   the mean is over weights. Sparsities above `most` are clipped, and the rest is shared in proportion.
/// @post     the mean over all weights is `sparsity`.
struct entropy_softmax {
  double sparsity = 0.3;
  double temperature = 0.5;
  double most = 1;

  template<class = void>
  [[nodiscard]] std::vector<double> operator()(std::span<const double> scores,
                                               std::span<const std::size_t> weights) const {
    detail::check_sparsity(scores, weights, sparsity, most, "allocate::entropy_softmax");
    if (!(temperature > 0))
      refuse({.what = "a temperature of " + text::number(temperature),
              .where = "allocate::entropy_softmax",
              .expected = "a positive temperature"});
    std::vector<double> s(scores.begin(), scores.end());
    if (s.empty()) return s;
    double left = 0;  // weights still to be removed, from units below `most`
    for (const std::size_t w : weights) left += sparsity * static_cast<double>(w);
    std::vector<bool> open(s.size(), true);
    for (bool again = true; again;) {
      again = false;
      double least = std::numeric_limits<double>::infinity(), sum = 0;
      for (std::size_t i = 0; i < s.size(); ++i)
        if (open[i]) least = std::min(least, scores[i]);
      // At least one factor is 1.
      const auto factor = [&](std::size_t i) { return math::exp((least - scores[i]) / temperature); };
      for (std::size_t i = 0; i < s.size(); ++i)
        if (open[i]) sum += static_cast<double>(weights[i]) * factor(i);
      if (!(sum > 0)) break;
      double cut = 0;
      for (std::size_t i = 0; i < s.size(); ++i) {
        if (!open[i]) continue;
        s[i] = std::max(0.0, left) * factor(i) / sum;
        if (s[i] <= most) continue;
        s[i] = most;
        open[i] = false;
        again = true;
        cut += most * static_cast<double>(weights[i]);
      }
      left -= cut;
    }
    return s;
  }
};

/// The plan with these sparsities, one per choice in the order of the plan. A note names their source.
///
/// Errors    numbers of sparsities and choices that differ; a sparsity outside [0, 1] by more than rounding.
template<class = void>
[[nodiscard]] inline plan with_sparsity(plan p, std::span<const double> sparsity, const std::string& source) {
  check_same_count(sparsity.size(), "sparsities", p.choices.size(), "choices", "allocate::with_sparsity");
  for (std::size_t i = 0; i < sparsity.size(); ++i) {
    constexpr double rounding = 1e-9;
    const double s = sparsity[i];
    p.choices[i].sparsity = s >= -rounding && s <= 1 + rounding ? std::clamp(s, 0.0, 1.0) : s;
  }
  p.notes.push_back("sparsity by " + source);
  check(p);
  return p;
}

PRECIS_IEEE_END
}  // namespace precis::allocate
