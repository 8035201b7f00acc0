#pragma once

#include <precis/core/view.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace engine {

/// What turns a router's logits into the weights of the chosen experts.
enum class router_rule {
  softmax_then_choice,  ///< probabilities over all experts; those of the chosen, or their share if renormalized
  choice_then_softmax,  ///< probabilities over the chosen experts alone
  sigmoid,              ///< each expert's own probability; experts are chosen by that and a bias
};

/// How a token chooses its experts.
struct router_settings {
  router_rule rule = router_rule::softmax_then_choice;
  std::size_t experts = 0;
  std::size_t chosen = 0;       ///< per token
  bool renormalize = false;     ///< divide the weights by their sum; choice_then_softmax does so by itself
  double sum_floor = 0;         ///< added to that sum
  double scale = 1;             ///< multiplies the weights
  std::size_t groups = 1;       ///< experts in equal groups of neighbours
  std::size_t kept_groups = 1;  ///< only the best groups' experts can be chosen
  std::size_t group_best = 2;   ///< a group counts as much as the sum of its so many best experts

  bool operator==(const router_settings&) const = default;
};

/// Errors: no experts, more chosen than there are in the kept groups, groups that do not divide the experts, ..., by name
/// and value. `where` is the file that states it.
void check(const router_settings& s, std::string_view where = "router");

/// The experts of each token, the best first, and their weights.
struct routing {
  std::size_t rows = 0, chosen = 0;
  std::vector<std::uint32_t> expert;  ///< [rows x chosen]
  std::vector<float> weight;          ///< [rows x chosen]

  [[nodiscard]] std::span<const std::uint32_t> experts_of(std::size_t row) const noexcept {
    return std::span(expert).subspan(row * chosen, chosen);
  }
  [[nodiscard]] std::span<const float> weights_of(std::size_t row) const noexcept {
    return std::span(weight).subspan(row * chosen, chosen);
  }
  /// The number of tokens sent to each expert.
  [[nodiscard]] std::vector<std::size_t> counts(std::size_t experts) const;
};

/// Chooses experts for every row of logits. Of equal experts or groups the first is better.
///
/// Shapes    logits [rows x experts]; choice_bias [experts] or empty, added only where experts are compared.
/// Requires  check(s) to pass, and sizes that match it.
/// Source    Shazeer et al. 2017, arXiv:1701.06538; sigmoid with bias and groups: DeepSeek-V3, arXiv:2412.19437,
///           Eq. (12) to (16).
/// Differs   Computed in double, and rounded to float at the end.
[[nodiscard]] routing route(const router_settings& s, precis::matrix_view<const float> logits,
                            std::span<const float> choice_bias = {});

/// The gradient at the logits from that at the weights [rows x chosen], with the choice held fixed. Overwrites d_logits
/// [rows x experts]. The bias has no gradient.
void route_backward(const router_settings& s, precis::matrix_view<const float> logits, const routing& made,
                    precis::matrix_view<const float> d_weight, precis::matrix_view<float> d_logits);

}  // namespace engine
