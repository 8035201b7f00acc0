#pragma once

#include "allocating.hpp"
#include "session.hpp"

#include <precis/core/budget.hpp>
#include <precis/core/plan.hpp>
#include <precis/evaluate/accuracy.hpp>
#include <precis/evaluate/interval.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace program {

struct fact_file;
struct questions;
class checkpoint;

struct compared;

/// The next larger format everywhere, beside the one that fits: so that nobody can say uniform had fewer bytes.
inline constexpr std::string_view uniform_above = "uniform above";

/// Every candidate x every allocator, at every budget, beside what needs no measuring.
struct comparison_request {
  std::vector<precis::budget> budgets;
  std::vector<std::string> entries;     ///< what every unit may take
  std::vector<std::string> allocators;  ///< see allocator_names()
  std::size_t random_plans = 3;
  std::uint64_t seed = 0;
  /// Verdicts cost more than all else: they are for uniform, for tiers (what the paper judges by them) and for knapsack on
  /// costs that come from no score.
  [[nodiscard]] static bool wants_verdicts(const compared& row);
};

/// How good a compressed model is, next to the original.
struct quality {
  std::vector<double> windows;                                     ///< [windows] mean NLL of each, nats per token
  double nll = 0;                                                  ///< nats per token
  double kl = 0;                                                   ///< nats per token, original || compressed
  double accuracy = 0;                                             ///< share of next tokens that are the most likely
  std::size_t facts = 0;                                           ///< of the facts, how many are answered
  std::optional<precis::evaluate::accuracy_report> verdicts = {};  ///< where they were asked for

  [[nodiscard]] double perplexity() const;
};

/// One plan and what it does.
struct compared {
  std::string candidate;   ///< or "uniform", "uniform above", "random", "first layers", "last layers"
  std::string allocator;   ///< empty for what needs none
  std::size_t budget = 0;  ///< index into the request
  precis::plan plan;
  std::size_t bytes = 0;
  double bits_per_weight = 0;
  double predicted = 0;  ///< cost the allocator promised, in the candidate's measure
  bool optimal = false;  ///< the allocator proved it
  bool known = false;    ///< quality is there
  program::quality quality;

  [[nodiscard]] std::string method() const;  ///< "taylor, knapsack"
};

struct comparison {
  comparison_request request;
  std::string model, text;
  std::size_t fact_count = 0;
  std::size_t weights = 0, original_bytes = 0;
  quality original;
  std::vector<candidate> candidates;
  std::vector<compared> rows = {};  ///< budget by budget
  bool stopped = false;

  /// Excess loss over the original, window by window; the same windows for all, so differences are paired.
  [[nodiscard]] precis::evaluate::interval excess(const compared& row) const;
  [[nodiscard]] precis::evaluate::interval difference(const compared& a, const compared& b) const;
  /// The row of a method at a budget, or nullptr.
  [[nodiscard]] const compared* find(std::size_t budget, const std::string& candidate,
                                     const std::string& allocator = {}) const;
};

/// Makes every plan first (so that what is impossible is refused early), then measures each distinct one once.
[[nodiscard]] comparison run_comparison(const session& s, comparison_request request, std::vector<candidate> candidates,
                                        const text_windows& text, const fact_file* facts, const questions* verdicts,
                                        const common_options& o, checkpoint* saved = nullptr);

/// Spearman's rank correlation of two candidates' scores over the model's matrices; NaN where one is constant.
[[nodiscard]] double rank_correlation(const session& s, const precis::scores& a, const precis::scores& b);

}  // namespace program
