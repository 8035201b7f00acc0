#pragma once

#include <engine/files/json.hpp>

#include <precis/core/scores.hpp>
#include <precis/core/unit.hpp>
#include <precis/score/causal_trace.hpp>
#include <precis/score/cca.hpp>
#include <precis/score/pruning_sensitivity.hpp>
#include <precis/score/taylor.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace program {

class checkpoint;
struct fact_file;
struct run_options;
struct session;
struct text_windows;

/// The inputs of the scorers; each uses some of them. All but causal_trace and weight_magnitude take text.
struct score_request {
  precis::unit_kind units = precis::unit_kind::block;
  precis::score::causal_trace trace = {};
  precis::score::pruning_sensitivity pruning = {};
  precis::score::taylor taylor = {};
  precis::score::cca cca = {};
  std::string probe = "affine3.g32.h";  ///< reconstruction_error: the format whose error is measured
  const fact_file* facts = nullptr;
  const text_windows* text = nullptr;
  std::string part = {};  ///< of a shard: the file for its cells
};

/// The scores of a model's units.
struct score_result {
  precis::scores table;
  double seconds = 0;
  std::size_t facts_known = 0;                     ///< causal_trace
  std::vector<precis::score::role_effects> roles;  ///< causal_trace: attention, MLP
  bool stopped = false;                            ///< by Ctrl-C: the table is empty, the checkpoint holds the rest
};

[[nodiscard]] const std::vector<std::string>& scorer_names();

/// Whether a scorer reads calibration text.
[[nodiscard]] bool needs_text(const std::string& name);
/// The scorers that take long, and keep what they finished.
[[nodiscard]] const std::vector<std::string>& scorers_with_partial_results();
[[nodiscard]] bool keeps_partial_results(const std::string& name);
/// Those of `names` that the given data allow.
[[nodiscard]] std::vector<std::string> usable_scorers(const std::vector<std::string>& names, bool with_facts,
                                                      bool with_text);
/// Refuses a scorer whose data are missing, with the option that gives them.
void require_data(const std::string& name, bool with_facts, bool with_text);

/// Runs the scorer called `name`. What the checkpoint holds, facts or changed units, is not
/// computed again.
/// Some scorers change the model's weights while they run and restore them exactly.
/// Errors: an unknown name; missing facts or text, with the option that gives them.
[[nodiscard]] score_result run_scorer(const std::string& name, session& s, const score_request& what,
                                      const run_options& o, checkpoint* saved = nullptr);

[[nodiscard]] engine::json to_json(const precis::scores& table);

}  // namespace program
