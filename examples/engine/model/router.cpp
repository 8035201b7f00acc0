#include <engine/model/router.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace engine {
namespace {

/// The indices of the `count` largest scores, the largest first; of equal ones the first.
class best_first {
 public:
  void operator()(std::span<const double> scores, std::span<std::uint32_t> best) {
    taken_.assign(scores.size(), false);
    for (std::uint32_t& place : best) {
      std::size_t top = scores.size();
      for (std::size_t i = 0; i < scores.size(); ++i)
        if (!taken_[i] && (top == scores.size() || scores[i] > scores[top])) top = i;
      taken_[top] = true;
      place = static_cast<std::uint32_t>(top);
    }
  }

 private:
  std::vector<bool> taken_;
};

/// Removes the experts outside the best groups from the choice.
class group_limit {
 public:
  explicit group_limit(const router_settings& s) : s_(s), total_(s.groups), kept_(s.kept_groups) {}

  void operator()(std::span<double> scores) {
    if (s_.kept_groups == s_.groups) return;
    const std::size_t size = s_.experts / s_.groups;
    best_.resize(std::min(s_.group_best, size));
    for (std::size_t g = 0; g < s_.groups; ++g) {
      const std::span<const double> group = scores.subspan(g * size, size);
      choose_(group, best_);
      total_[g] = 0;
      for (const std::uint32_t e : best_) total_[g] += group[e];
    }
    choose_(total_, kept_);
    for (std::size_t g = 0; g < s_.groups; ++g)
      if (std::ranges::find(kept_, g) == kept_.end())
        std::ranges::fill(scores.subspan(g * size, size), -std::numeric_limits<double>::infinity());
  }

 private:
  const router_settings& s_;
  best_first choose_;
  std::vector<double> total_;
  std::vector<std::uint32_t> kept_, best_;
};

[[nodiscard]] double probability(double logit) noexcept { return 1 / (1 + std::exp(-logit)); }

/// The probabilities of all experts, where there is a rule for them all.
void probabilities(router_rule rule, std::span<const float> logits, std::span<double> out) {
  if (rule == router_rule::sigmoid) {
    std::ranges::transform(logits, out.begin(), [](float x) { return probability(static_cast<double>(x)); });
    return;
  }
  const auto top = static_cast<double>(*std::ranges::max_element(logits));
  double sum = 0;
  for (std::size_t e = 0; e < logits.size(); ++e) sum += out[e] = std::exp(static_cast<double>(logits[e]) - top);
  for (double& p : out) p /= sum;
}

/// The weights before scaling of the chosen experts, and the sum that divided them (1 if none did).
double share(const router_settings& s, std::span<const double> all, std::span<const std::uint32_t> expert,
             std::span<double> out) {
  const bool over_chosen = s.rule == router_rule::choice_then_softmax;  // it is a share of the softmax over all
  double sum = over_chosen ? 0 : s.sum_floor;
  for (std::size_t j = 0; j < expert.size(); ++j) sum += out[j] = all[expert[j]];
  if (!s.renormalize && !over_chosen) return 1;
  for (double& w : out) w /= sum;
  return sum;
}

}  // namespace

void check(const router_settings& s, std::string_view where) {
  const auto bad = [&](std::string what, std::string expected) {
    precis::refuse({.what = std::move(what), .where = std::string(where), .expected = std::move(expected)});
  };
  constexpr std::size_t most = std::size_t{1} << 16;
  if (s.experts == 0 || s.experts > most) bad("experts = " + std::to_string(s.experts), "1 to 2^16");
  if (s.chosen == 0 || s.chosen > s.experts)
    bad(std::to_string(s.chosen) + " experts per token", "1 to " + std::to_string(s.experts));
  if (s.groups == 0 || s.experts % s.groups != 0)
    bad(std::to_string(s.groups) + " groups of experts", "a number that divides " + std::to_string(s.experts));
  if (s.kept_groups == 0 || s.kept_groups > s.groups || s.kept_groups * (s.experts / s.groups) < s.chosen)
    bad(std::to_string(s.kept_groups) + " groups kept",
        "at most " + std::to_string(s.groups) + ", with " + std::to_string(s.chosen) + " experts or more");
  if (s.group_best == 0) bad("a group's worth from 0 experts", "1 or more");
  if (!(s.sum_floor >= 0) || !std::isfinite(s.sum_floor))
    bad("a sum floor of " + std::to_string(s.sum_floor), "0 or a small number");
  if (!std::isfinite(s.scale)) bad("a routed scaling factor of " + std::to_string(s.scale), "a finite number");
}

std::vector<std::size_t> routing::counts(std::size_t experts) const {
  std::vector<std::size_t> n(experts, 0);
  for (const std::uint32_t e : expert) ++n[e];
  return n;
}

routing route(const router_settings& s, precis::matrix_view<const float> logits, std::span<const float> choice_bias) {
  routing made{.rows = logits.rows,
               .chosen = s.chosen,
               .expert = std::vector<std::uint32_t>(logits.rows * s.chosen),
               .weight = std::vector<float>(logits.rows * s.chosen)};
  std::vector<double> all(s.experts), scores(s.experts), weights(s.chosen);
  best_first choose;
  group_limit limit(s);
  for (std::size_t r = 0; r < logits.rows; ++r) {
    const std::span<const float> row = logits.row(r);
    probabilities(s.rule, row, all);
    // The order of softmax's results is that of the logits, which differ where results are rounded to the same. But biases
    // and groups add to probabilities.
    if (s.rule == router_rule::sigmoid || s.groups > 1 || !choice_bias.empty())
      std::ranges::copy(all, scores.begin());
    else
      std::ranges::copy(row, scores.begin());
    for (std::size_t e = 0; e < choice_bias.size(); ++e) scores[e] += static_cast<double>(choice_bias[e]);
    limit(scores);
    const std::span<std::uint32_t> expert = std::span(made.expert).subspan(r * s.chosen, s.chosen);
    choose(scores, expert);
    share(s, all, expert, weights);
    for (std::size_t j = 0; j < s.chosen; ++j) made.weight[r * s.chosen + j] = static_cast<float>(weights[j] * s.scale);
  }
  return made;
}

void route_backward(const router_settings& s, precis::matrix_view<const float> logits, const routing& made,
                    precis::matrix_view<const float> d_weight, precis::matrix_view<float> d_logits) {
  std::vector<double> all(s.experts), weights(s.chosen), d_all(s.experts);
  for (std::size_t r = 0; r < logits.rows; ++r) {
    const std::span<const std::uint32_t> expert = made.experts_of(r);
    probabilities(s.rule, logits.row(r), all);
    const double sum = share(s, all, expert, weights);
    const bool shared = s.renormalize || s.rule == router_rule::choice_then_softmax;
    double along = 0;  // what all weights lose because the sum grows
    for (std::size_t j = 0; shared && j < s.chosen; ++j) along += weights[j] * static_cast<double>(d_weight(r, j));
    std::ranges::fill(d_all, 0.0);
    for (std::size_t j = 0; j < s.chosen; ++j)
      d_all[expert[j]] += s.scale * (static_cast<double>(d_weight(r, j)) - along) / sum;

    double mean = 0;
    if (s.rule != router_rule::sigmoid)
      for (std::size_t e = 0; e < s.experts; ++e) mean += all[e] * d_all[e];
    for (std::size_t e = 0; e < s.experts; ++e) {
      const double slope = s.rule == router_rule::sigmoid ? 1 - all[e] : 1;
      d_logits(r, e) = static_cast<float>(all[e] * slope * (d_all[e] - mean));
    }
  }
}

}  // namespace engine
