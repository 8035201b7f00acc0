#pragma once

#include "session.hpp"

#include <report/html.hpp>

#include <precis/core/budget.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/plan.hpp>
#include <precis/core/scores.hpp>
#include <precis/evaluate/accuracy.hpp>
#include <precis/evaluate/interval.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace program {

struct fact_file;
struct questions;
class checkpoint;

/// What an allocator is given: a cost table and, where it was made of scores, those too.
struct candidate {
  std::string name;            ///< "taylor", "measured"
  precis::cost_table costs;    ///< over every entry
  precis::scores scores = {};  ///< of a scorer; empty for costs that come from no score
  double seconds = 0;          ///< what it took to make
  [[nodiscard]] bool scored() const noexcept { return scores.size() != 0; }
};

struct compared;

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

/// The allocators: knapsack, lagrangian, greedy and minimax on costs; z_tiers and kmeans_tiers on scores.
[[nodiscard]] const std::vector<std::string>& allocator_names();

/// What the named allocator makes of a candidate within a budget, with its predicted cost.
/// Errors: an unknown allocator; tiers without scores; a budget that nothing fits, with the range.
struct allocation {
  precis::plan plan;
  double predicted = 0;
  bool optimal = false;
};
[[nodiscard]] allocation allocate_plan(const std::string& allocator, const candidate& c, const precis::budget& budget);

/// "affine{2..6,8} in groups of 32, 64 and 128 with half scales": what a comparison and `plan` choose from.
[[nodiscard]] std::vector<std::string> default_entries();
/// Reads "affine4.g32.h,affine8.g32.h". Errors: a name the menu does not have, or one given twice.
[[nodiscard]] std::vector<std::string> read_entries(const std::string& text, const std::string& option);

/// Makes every plan first (so that what is impossible is refused early), then measures each distinct one once.
[[nodiscard]] comparison run_comparison(const session& s, comparison_request request, std::vector<candidate> candidates,
                                        const text_windows& text, const fact_file* facts, const questions* verdicts,
                                        const common_options& o, checkpoint* saved = nullptr);

/// The paper's second table: what the three clusters of each score cost at each ratio, every byte counted.
[[nodiscard]] report::table paper_table(const comparison& c);

/// Spearman's rank correlation of two candidates' scores over the model's matrices; NaN where one is constant.
[[nodiscard]] double rank_correlation(const session& s, const precis::scores& a, const precis::scores& b);

/// Divergence from the original (less noisy than the loss) against bits per weight, one line a method.
[[nodiscard]] std::string comparison_picture(const comparison& c);
/// Divergence as a share of uniform's: rows are budgets, columns methods.
[[nodiscard]] std::string comparison_map(const comparison& c);
[[nodiscard]] std::string comparison_csv(const comparison& c);
[[nodiscard]] std::string comparison_table(const comparison& c);
[[nodiscard]] engine::json to_json(const comparison& c);

/// Who won at each budget, by how much and how sure that is; says so when it was uniform.
[[nodiscard]] std::string comparison_verdict(const comparison& c);

}  // namespace program
