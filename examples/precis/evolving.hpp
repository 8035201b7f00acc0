#pragma once

#include "session.hpp"

#include <precis/core/budget.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/plan.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace program {

/// A search for the plan that does best end to end.
struct evolving {
  precis::budget budget;
  const precis::cost_table* costs = nullptr;  ///< units, formats and sizes; costs break ties
  const text_windows* text = nullptr;
  std::size_t generations = 20, offspring = 32;
  std::uint64_t seed = 0;
  std::optional<precis::plan> from = {};  ///< where to begin; nothing: at random
};
struct evolved {
  precis::plan plan;
  std::vector<double> losses;  ///< [generations] divergence of the best, nats per token
  std::size_t bytes = 0;
  double seconds = 0;
  bool stopped = false;  ///< Ctrl-C: the best until then
};

/// Offspring are sieved on an eighth, a half and all of the text. The model's weights are the same before and after.
/// Errors: those of allocate::evolve; a plan that is not of the table's units and formats.
[[nodiscard]] evolved run_evolution(session& s, const evolving& what, const common_options& o);

}  // namespace program
