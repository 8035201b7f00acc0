#pragma once

#include <precis/core/error.hpp>
#include <precis/core/plan.hpp>
#include <precis/core/text.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// Who is pruned how much: from scores to a sparsity a unit, with the mean over all weights as asked for.
namespace precis::allocate {

namespace detail {

[[noreturn]] inline void bad_sparsity(const std::string& where, std::string what, std::string expected) {
  refuse({.what = std::move(what), .where = where, .expected = std::move(expected)});
}

inline void check_sparsity(std::span<const double> values, std::span<const std::size_t> weights, double sparsity,
                           double most, const std::string& where) {
  if (values.size() != weights.size())
    bad_sparsity(where, std::to_string(values.size()) + " values for " + std::to_string(weights.size()) + " units",
                 "one a unit");
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      bad_sparsity(where, "value " + std::to_string(i) + " is " + text::number(values[i]), "finite values");
  if (!(sparsity >= 0 && sparsity <= most))
    bad_sparsity(where, "a sparsity of " + text::number(sparsity),
                 "0 to " + text::number(most) + ", the most that a unit may lose");
}

/// Brings sparsities to [0, most] with `mean` as their mean over all weights. Those that are at a bound stay there; the
/// others share what is left over by `give(fraction)`. Ends because every round fixes a unit or is the last.
template<class Rescale>
void clip_to_mean(std::vector<double>& s, std::span<const std::size_t> weights, double mean, double most,
                  Rescale&& rescale) {
  double all = 0;
  for (const std::size_t w : weights) all += static_cast<double>(w);
  std::vector<bool> fixed(s.size());
  for (std::size_t round = 0; round <= s.size(); ++round) {
    double left = mean * all, free = 0, have = 0;
    for (std::size_t i = 0; i < s.size(); ++i) {
      const auto w = static_cast<double>(weights[i]);
      if (fixed[i]) {
        left -= w * s[i];
      } else {
        free += w;
        have += w * s[i];
      }
    }
    if (free == 0) break;
    bool again = false;
    for (std::size_t i = 0; i < s.size(); ++i) {
      if (fixed[i]) continue;
      s[i] = rescale(s[i], left / free, have / free);
    }
    // Only one side at a time: what is cut off above may lift others that are below.
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

/// Less sparsity where outliers are: s_i = s - a_i + mean(a), a_i = 2 strength (D_i - min D) / (max D - min D).
///
/// Shapes    D: an outlier share a unit (score::outliers), or any score whose high values mean keep; weights of each.
/// Unit      sparsity, share of a unit's weights.
/// Errors    values that are not finite or not one a unit; a sparsity outside [0, most].
/// Source    OWL (Yin et al. 2023, arXiv:2310.05175); methods C9, B15.
/// Differs   the mean is over weights, there over blocks, which is the same for blocks of one size; equal D give the same s
///           everywhere, there a division by zero; what leaves [0, most] is cut and shared among the rest.
/// @post     the mean over all weights is `sparsity`.
struct owl {
  double sparsity = 0.7;
  double strength = 0.08;
  double most = 1;  ///< of one unit

  [[nodiscard]] std::vector<double> operator()(std::span<const double> outliers,
                                               std::span<const std::size_t> weights) const {
    detail::check_sparsity(outliers, weights, sparsity, most, "allocate::owl");
    std::vector<double> s(outliers.size(), sparsity);
    if (s.empty()) return s;
    const auto [low, high] = std::minmax_element(outliers.begin(), outliers.end());
    if (*high > *low)
      for (std::size_t i = 0; i < s.size(); ++i) s[i] -= 2 * strength * (outliers[i] - *low) / (*high - *low);
    detail::clip_to_mean(s, weights, sparsity, most,
                         [](double x, double wanted, double mean) { return x + wanted - mean; });
    return s;
  }
};

/// Sparsity by a softmax of the scores: s_i proportional to exp(-S_i / temperature).
///
/// Shapes    S: a score a unit, high = keep; weights of each.
/// Unit      sparsity, share of a unit's weights.
/// Errors    those of owl; a temperature that is not positive.
/// Source    MoDeGPT (Lin et al. 2024, arXiv:2408.09632), the optimum of a linear loss with an entropy term; methods C9.
/// Differs   the mean is over weights; what exceeds `most` is cut and shared among the rest.
/// @post     the mean over all weights is `sparsity`.
struct entropy_softmax {
  double sparsity = 0.3;
  double temperature = 0.5;
  double most = 1;

  [[nodiscard]] std::vector<double> operator()(std::span<const double> scores,
                                               std::span<const std::size_t> weights) const {
    detail::check_sparsity(scores, weights, sparsity, most, "allocate::entropy_softmax");
    if (!(temperature > 0))
      detail::bad_sparsity("allocate::entropy_softmax", "a temperature of " + text::number(temperature),
                           "a positive one");
    std::vector<double> s(scores.begin(), scores.end());
    if (s.empty()) return s;
    double left = 0;  // weights still to be lost, by those that are not at `most` yet
    for (const std::size_t w : weights) left += sparsity * static_cast<double>(w);
    std::vector<bool> open(s.size(), true);
    for (bool again = true; again;) {
      again = false;
      double least = std::numeric_limits<double>::infinity(), sum = 0;
      for (std::size_t i = 0; i < s.size(); ++i)
        if (open[i]) least = std::min(least, scores[i]);
      const auto factor = [&](std::size_t i) { return std::exp((least - scores[i]) / temperature); };  // of one: 1
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

/// The same plan with these sparsities, one a choice, in the plan's order. Errors: another number of them; one outside [0, 1]
/// by more than a rounding.
[[nodiscard]] inline plan with_sparsity(plan p, std::span<const double> sparsity, const std::string& who) {
  if (sparsity.size() != p.choices.size())
    detail::bad_sparsity(
        "allocate::with_sparsity",
        std::to_string(sparsity.size()) + " sparsities for " + std::to_string(p.choices.size()) + " choices",
        "one a choice");
  for (std::size_t i = 0; i < sparsity.size(); ++i) {
    constexpr double rounding = 1e-9;
    const double s = sparsity[i];
    p.choices[i].sparsity = s >= -rounding && s <= 1 + rounding ? std::clamp(s, 0.0, 1.0) : s;
  }
  p.notes.push_back("sparsity by " + who);
  check(p);
  return p;
}

}  // namespace precis::allocate
