#pragma once

#include <precis/core/budget.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/plan.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace program {

class checkpoint;
struct run_options;
struct session;
struct text_windows;

/// A search for the plan with the smallest divergence of the whole model.
struct evolution_request {
  precis::budget budget;
  const precis::cost_table* costs = nullptr;  ///< units, formats and sizes; costs break ties
  const text_windows* text = nullptr;
  std::size_t generations = 20, offspring = 32;
  std::uint64_t seed = 0;
  std::optional<precis::plan> from = {};  ///< the first parent; none: random plans
};
struct evolution_result {
  precis::plan plan;
  std::vector<double> losses;  ///< [generations] divergence of the best plan, nats per token
  std::size_t bytes = 0;
  double seconds = 0;
  bool stopped = false;  ///< by Ctrl-C: the best plan so far
};

/// Selects offspring on an eighth, a half and all of the text in turn. The model's weights are restored exactly.
/// Losses of candidates that the checkpoint holds are not measured again.
/// Errors: those of allocate::evolve; a first plan whose units or formats differ from the table's.
[[nodiscard]] evolution_result run_evolution(session& s, const evolution_request& what, const run_options& o,
                                             checkpoint* saved = nullptr);

/// A cost table with sizes but no costs, for a search without measured costs. Entries that cannot hold a unit's weights
/// are not admissible.
/// Errors: those of read_entries for `entries`, as given to --entries.
[[nodiscard]] precis::cost_table sizes_only(const session& s, precis::unit_kind units, const std::string& entries,
                                            const run_options& o);

}  // namespace program
