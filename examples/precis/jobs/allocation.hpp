#pragma once

#include <precis/core/budget.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/plan.hpp>
#include <precis/core/scores.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace program {

/// The input of an allocator: a cost table and, if it was made from scores, these scores.
struct candidate {
  std::string name;            ///< "taylor", "measured"
  precis::cost_table costs;    ///< over every entry
  precis::scores scores = {};  ///< of a scorer; empty for costs that come from no score
  double seconds = 0;          ///< time to compute it
  [[nodiscard]] bool has_scores() const noexcept { return scores.size() != 0; }
};

/// The allocators: knapsack, lagrangian, greedy, minimax and norm_sweep take costs; kmeans_tiers and z_tiers take
/// scores.
[[nodiscard]] const std::vector<std::string>& allocator_names();
/// Whether it takes scores instead of costs.
[[nodiscard]] bool is_tiers(const std::string& allocator);

/// A plan and what its allocator reports about it.
struct allocation {
  precis::plan plan;
  double predicted = 0;  ///< cost, in the measure of the table
  bool optimal = false;  ///< proven
};
/// The plan that the named allocator makes for a candidate within a budget, and within a second one if it is knapsack.
/// Errors: an unknown allocator; tiers without scores, or with a time; a budget that no plan fits, with the feasible
/// range.
[[nodiscard]] allocation allocate_plan(const std::string& allocator, const candidate& c, const precis::budget& budget,
                                       const std::optional<precis::budget>& also = {});

/// The entries of a table by total bytes, smallest first.
[[nodiscard]] std::vector<std::size_t> ladder(const precis::cost_table& t);

/// A plan by a given order of units: every unit gets the step of the ladder below the largest uniform one that fits,
/// and units in `order`, as far as the budget allows, get three more steps (a larger contrast breaks a model).
[[nodiscard]] precis::plan fill_in_order(const precis::cost_table& t, const std::vector<std::size_t>& order,
                                         const precis::budget& budget, const std::string& maker);

/// The formats that `plan`, `cost`, `evolve` and `compare` choose from by default.
[[nodiscard]] std::vector<std::string> default_entries();
/// The types of ggml that stock llama.cpp loads; and these together with the integers of default_entries.
[[nodiscard]] std::vector<std::string> gguf_entries();
[[nodiscard]] std::vector<std::string> own_entries();
/// default_entries() in words, for help texts.
inline constexpr const char* default_entries_text =
    "affine 2-6 and 8 bits, groups of 32, 64 and 128, half-precision scales";
/// Reads "affine4.g32.h,affine8.g32.h"; default_entries() if `text` is empty. Errors: a name that is not in the menu,
/// or given twice.
[[nodiscard]] std::vector<std::string> read_entries(const std::string& text, const std::string& option);

}  // namespace program
