#pragma once

#include "allocating.hpp"
#include "session.hpp"

#include <precis/core/cost_table.hpp>
#include <precis/core/scores.hpp>

#include <string>
#include <vector>

namespace program {

class checkpoint;

/// What the costs of a model's units are made of.
struct costing {
  std::vector<std::string> entries;  ///< menu entries
  precis::unit_kind units = precis::unit_kind::matrix;
  const text_windows* text = nullptr;  ///< calibration text: measured, measured_nll, reconstruction
};

/// Costs by name: measured (KL to the original with one unit in one entry), measured_nll (its loss), reconstruction (how
/// far a matrix's outputs move) and weights (how far its weights move).
[[nodiscard]] const std::vector<std::string>& coster_names();

struct costed {
  precis::cost_table table;
  double seconds = 0;
  bool stopped = false;  ///< Ctrl-C: the table is empty, the checkpoint holds the rest
};

/// With a checkpoint, units that are in it are not measured again. The model's weights are the same before and after.
/// Errors: an unknown name; a missing text, saying which option gives it.
[[nodiscard]] costed run_costs(const std::string& name, session& s, const costing& what, const common_options& o,
                               checkpoint* saved = nullptr);

/// Scores times how far each entry moves the weights: the costs CPTQuant's integer program needs and does not name.
[[nodiscard]] precis::cost_table weigh(const session& s, const precis::scores& table,
                                       const std::vector<std::string>& entries, const common_options& o);

}  // namespace program
