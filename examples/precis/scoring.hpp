#pragma once

#include "facts.hpp"
#include "session.hpp"

#include <precis/core/scores.hpp>
#include <precis/score/causal_trace.hpp>
#include <precis/score/cca.hpp>
#include <precis/score/pruning_sensitivity.hpp>
#include <precis/score/taylor.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace program {

class checkpoint;

/// Everything a scorer may need; each uses what it needs. All but causal_trace and weight_magnitude take text.
struct scoring {
  precis::unit_kind units = precis::unit_kind::block;
  precis::score::causal_trace trace = {};
  precis::score::pruning_sensitivity pruning = {};
  precis::score::taylor taylor = {};
  precis::score::cca cca = {};
  std::string probe = "affine3.g32.h";  ///< reconstruction_error: the format whose error is taken
  const fact_file* facts = nullptr;
  const text_windows* text = nullptr;
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
/// The model's weights are the same before and after; some scorers change them on the way.
/// Errors: an unknown name; missing facts or text, saying which option gives them.
[[nodiscard]] scored run_scorer(const std::string& name, session& s, const scoring& what, const common_options& o,
                                checkpoint* saved = nullptr);

/// The bar chart of a score table, coloured by tier.
[[nodiscard]] std::string tier_picture(const precis::scores& table);
/// The same, coloured by the three clusters of exact k-means, as CPTQuant groups layers.
[[nodiscard]] std::string cluster_picture(const precis::scores& table);
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
