#pragma once

#include <engine/files/json.hpp>

#include <precis/score/causal_trace.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace program {

class checkpoint;
struct run_options;
struct session;

/// The noise scale of a scorer for these facts, and the trace of one of them: causal_trace's members, compiled once.
[[nodiscard]] double noise_scale(const session& s, const precis::score::corruption& noise,
                                 std::span<const precis::score::fact> facts);
[[nodiscard]] precis::score::fact_trace trace_fact(const session& s, const precis::score::causal_trace& scorer,
                                                   const precis::score::fact& f, double sigma,
                                                   std::span<const precis::score::restoration> what);

/// Traces of facts. Those already in the checkpoint are not computed again; the others are added to it.
struct fact_traces {
  std::vector<precis::score::fact_trace> traces;  ///< [facts]
  bool stopped = false;                           ///< by Ctrl-C: some traces are missing
};
[[nodiscard]] fact_traces trace_facts(const session& s, const precis::score::causal_trace& scorer,
                                      std::span<const precis::score::fact> facts, const run_options& o,
                                      checkpoint* saved);

/// A trace as JSON and back, for checkpoints and --json. Errors: tables of the wrong size.
[[nodiscard]] engine::json to_json(const precis::score::fact_trace& t);
[[nodiscard]] precis::score::fact_trace trace_from_json(const engine::json& j);

}  // namespace program
