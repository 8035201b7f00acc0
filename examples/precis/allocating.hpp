#pragma once

#include <precis/core/budget.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/plan.hpp>
#include <precis/core/scores.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace program {

/// What an allocator is given: a cost table and, where it was made of scores, those too.
struct candidate {
  std::string name;            ///< "taylor", "measured"
  precis::cost_table costs;    ///< over every entry
  precis::scores scores = {};  ///< of a scorer; empty for costs that come from no score
  double seconds = 0;          ///< what it took to make
  [[nodiscard]] bool scored() const noexcept { return scores.size() != 0; }
};

/// The allocators: knapsack, lagrangian, greedy and minimax on costs; z_tiers and kmeans_tiers on scores.
[[nodiscard]] const std::vector<std::string>& allocator_names();
/// Whether it takes scores, not costs.
[[nodiscard]] bool is_tiers(const std::string& allocator);

/// A plan and what its allocator says of it.
struct allocation {
  precis::plan plan;
  double predicted = 0;  ///< cost, in the measure of the table
  bool optimal = false;  ///< proven
};
/// What the named allocator makes of a candidate within a budget.
/// Errors: an unknown allocator; tiers without scores; a budget that nothing fits, with the range.
[[nodiscard]] allocation allocate_plan(const std::string& allocator, const candidate& c, const precis::budget& budget);

/// The entries of a table, fewest bytes first: for what only knows more and less.
[[nodiscard]] std::vector<std::size_t> ladder(const precis::cost_table& t);

/// Units in an order of somebody's choosing: all get the step of the ladder below the largest that fits, and the first of them,
/// as far as the budget goes, three steps more. More contrast breaks a model.
[[nodiscard]] precis::plan fill_in_order(const precis::cost_table& t, const std::vector<std::size_t>& order,
                                         const precis::budget& budget, const std::string& who);

/// "affine{2..6,8} in groups of 32, 64 and 128 with half scales": what a comparison and `plan` choose from.
[[nodiscard]] std::vector<std::string> default_entries();
/// Reads "affine4.g32.h,affine8.g32.h". Errors: a name the menu does not have, or one given twice.
[[nodiscard]] std::vector<std::string> read_entries(const std::string& text, const std::string& option);

}  // namespace program
