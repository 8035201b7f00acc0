#pragma once

#include "facts.hpp"
#include "session.hpp"

#include <precis/core/scores.hpp>
#include <precis/score/causal_trace.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace program {

class checkpoint;

/// Everything a scorer may need; each uses what it needs.
struct scoring {
  precis::unit_kind units = precis::unit_kind::block;
  precis::score::causal_trace trace = {};
  const fact_file* facts = nullptr;    ///< causal_trace
  const text_windows* text = nullptr;  ///< gradient_magnitude
};

/// What a scorer found, and what it cost.
struct scored {
  precis::scores table;
  double seconds = 0;
  std::size_t facts_known = 0;                     ///< causal_trace
  std::vector<precis::score::role_effects> roles;  ///< causal_trace: attention, MLP
  bool stopped = false;                            ///< Ctrl-C: the table is empty, the checkpoint holds the rest
};

/// The scorers by name.
[[nodiscard]] const std::vector<std::string>& scorer_names();

/// Runs the scorer called `name`. With a checkpoint, facts that are in it are not traced again.
/// Errors: an unknown name; missing facts or text, saying which option gives them.
[[nodiscard]] scored run_scorer(const std::string& name, const session& s, const scoring& what, const common_options& o,
                                checkpoint* saved = nullptr);

/// The bar chart of a score table, coloured by tier.
[[nodiscard]] std::string tier_picture(const precis::scores& table);
/// Average effects by token role. Requires causal_trace's roles.
[[nodiscard]] std::string role_picture(const scored& s);
/// The tokens x layers heatmaps of one fact, with token labels.
[[nodiscard]] std::string trace_picture(const session& s, const precis::score::fact& f,
                                        const precis::score::fact_trace& t, std::string_view prompt,
                                        std::string_view answer);
/// One line a unit: score, z, tier.
[[nodiscard]] std::string tier_table(const precis::scores& table);

/// A trace of one fact as JSON and back, for checkpoints and --json.
[[nodiscard]] engine::json to_json(const precis::score::fact_trace& t);
[[nodiscard]] precis::score::fact_trace trace_from_json(const engine::json& j);
[[nodiscard]] engine::json to_json(const precis::scores& table);

}  // namespace program
