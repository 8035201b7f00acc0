#pragma once

#include "jobs/allocation.hpp"

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

class checkpoint;
struct fact_file;
struct questions;
struct run_options;
struct session;
struct text_windows;

struct compared_plan;

/// The uniform plan in the next larger format than the one that fits: uniform then never loses only for lack of bytes.
inline constexpr std::string_view uniform_above = "uniform above";

/// Every candidate with every allocator at every budget, and reference plans.
struct comparison_request {
  std::vector<precis::budget> budgets;
  std::vector<std::string> entries;     ///< the formats to choose from
  std::vector<std::string> allocators;  ///< see allocator_names()
  std::size_t random_plans = 3;
  std::uint64_t seed = 0;
  /// Plans that are given, each for the budget of its own size: "preset Q4_K_M".
  struct given_plan {
    std::string name;
    precis::plan plan;
    std::size_t budget = 0;  ///< index
  };
  std::vector<given_plan> given = {};
  /// Verdicts take longest, so only uniform plans, cluster tiers (which the CPTQuant paper evaluates by accuracy) and
  /// knapsack plans on measured or reconstruction costs are evaluated on them.
  [[nodiscard]] static bool wants_verdicts(const compared_plan& row);
};

/// The quality of a compressed model relative to the original.
struct quality {
  std::vector<double> windows;  ///< [windows] mean NLL of each, nats per token
  double nll = 0;               ///< nats per token
  double kl = 0;                ///< nats per token, original || compressed
  double accuracy = 0;          ///< share of predictions whose most likely token is right
  std::size_t facts = 0;        ///< facts answered correctly
  std::optional<precis::evaluate::accuracy_report> verdicts = {};  ///< if wants_verdicts

  [[nodiscard]] double perplexity() const;
};

/// One plan, its size and its quality.
struct compared_plan {
  std::string candidate;   ///< or "uniform", "uniform above", "random", "first layers", "last layers", a given plan
  std::string allocator;   ///< empty for reference plans
  std::size_t budget = 0;  ///< index into the request
  precis::plan plan;
  std::size_t bytes = 0;
  double bits_per_weight = 0;
  double predicted = 0;  ///< by the allocator, in the candidate's measure
  bool optimal = false;  ///< proven by the allocator
  bool known = false;    ///< quality is set
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
  std::vector<compared_plan> rows = {};  ///< budget by budget
  bool stopped = false;

  /// Excess loss over the original. All plans see the same windows, so differences are paired by window.
  [[nodiscard]] precis::evaluate::interval excess(const compared_plan& row) const;
  [[nodiscard]] precis::evaluate::interval difference(const compared_plan& a, const compared_plan& b) const;
  /// The row of a method at a budget, or nullptr.
  [[nodiscard]] const compared_plan* find(std::size_t budget, const std::string& candidate,
                                          const std::string& allocator = {}) const;
};

/// Makes every plan first, so that an infeasible request is refused early, then measures each distinct plan once.
/// Plans already in the checkpoint are not measured again.
[[nodiscard]] comparison run_comparison(const session& s, comparison_request request, std::vector<candidate> candidates,
                                        const text_windows& text, const fact_file* facts, const questions* verdicts,
                                        const run_options& o, checkpoint* saved = nullptr);

/// Spearman's rank correlation of two scores over the model's matrices; NaN if one of them is constant.
[[nodiscard]] double rank_correlation(const session& s, const precis::scores& a, const precis::scores& b);

}  // namespace program
