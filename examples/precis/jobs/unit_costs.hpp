#pragma once

#include <precis/core/cost_table.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/unit.hpp>

#include <span>
#include <string>
#include <vector>

namespace engine {
struct text_batch;
}

namespace program {

class checkpoint;
struct run_options;
struct embedder;
struct session;
struct text_windows;

/// Which costs to compute, and their inputs.
struct cost_request {
  std::vector<std::string> entries;  ///< menu entries
  precis::unit_kind units = precis::unit_kind::matrix;
  const text_windows* text = nullptr;  ///< calibration text: measured, measured_nll, reconstruction
};

/// Costs by name: measured (KL divergence from the original with one unit in one entry), measured_nll (the loss
/// instead), reconstruction (squared error of a matrix's outputs) and weights (squared error of its weights).
[[nodiscard]] const std::vector<std::string>& cost_names();

struct cost_result {
  precis::cost_table table;
  double seconds = 0;
  bool stopped = false;  ///< by Ctrl-C: the table is empty, the checkpoint holds the rest
};

/// Refuses costs whose data are missing, with the option that gives them.
void require_text(const std::string& name, bool with_text);

/// Units already in the checkpoint are not measured again. The model's weights are restored exactly.
/// Errors: an unknown name; a missing text, with the option that gives it.
[[nodiscard]] cost_result run_costs(const std::string& name, session& s, const cost_request& what, const run_options& o,
                                    checkpoint* saved = nullptr);

/// The same for a sentence encoder: measured is the cosine distance of its embeddings from the references of the
/// texts; weights needs none. Errors: the names of other costs.
[[nodiscard]] cost_result run_costs(const std::string& name, embedder& e, std::span<const engine::text_batch> texts,
                                    const cost_request& what, const run_options& o, checkpoint* saved = nullptr);

/// A unit and an entry that cannot hold its weights.
struct refused_entry {
  std::string unit, entry;
};
/// The first matrix that each of the entries cannot hold; entries that hold every matrix are not listed.
[[nodiscard]] std::vector<refused_entry> refused_entries(const session& s, const std::vector<std::string>& entries,
                                                         const run_options& o);

/// Makes entries that cannot hold a unit's weights not admissible, for tables without costs.
void find_admissible(const session& s, precis::cost_table& table, const run_options& o);

/// Scores times the squared error that each entry leaves in the weights: CPTQuant's integer program needs costs but
/// does not define them.
[[nodiscard]] precis::cost_table costs_of_scores(const session& s, const precis::scores& table,
                                                 const std::vector<std::string>& entries, const run_options& o);

}  // namespace program
