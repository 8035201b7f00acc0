#pragma once

#include "jobs/plans.hpp"
#include "jobs/text_windows.hpp"

#include <precis/core/scores.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace program {

class checkpoint;
struct run_options;
struct session;

/// The grid of the experiment in "Information-Aware Compression Schemes Using Causal Tracing": scorers x bits per tier
/// x pruning per tier.
struct tier_grid_request {
  std::vector<per_tier<unsigned>> bits;
  std::vector<per_tier<double>> prune;
  std::string family = "affine";
  std::string granularity = "row";
};

/// One compressed model, evaluated.
struct tier_grid_cell {
  std::size_t bits = 0;  ///< index into the request
  std::size_t prune = 0;
  std::string scorer;     ///< or "constant low", "constant high"
  double nll = 0;         ///< nats per token
  double half_width = 0;  ///< 95 %, over windows
  double bits_per_weight = 0;
  std::size_t bytes = 0;
  std::vector<double> windows;  ///< [windows] mean NLL of each, for paired differences

  [[nodiscard]] double perplexity() const;
};
struct tier_grid_result {
  tier_grid_request request;
  text_loss original;
  std::vector<std::string> columns;   ///< the scorers, then constant low, constant high
  std::vector<tier_grid_cell> cells;  ///< [bits x prune x columns]
  bool stopped = false;

  [[nodiscard]] const tier_grid_cell& at(std::size_t b, std::size_t p, std::size_t column) const {
    return cells[(b * request.prune.size() + p) * columns.size() + column];
  }
};

/// Prunes, encodes, decodes and evaluates a model per cell. `tables` are the scores of the scorers in `names`. Cells
/// already in the checkpoint are not measured again.
[[nodiscard]] tier_grid_result run_tier_grid(const session& s, const tier_grid_request& request,
                                             const std::vector<precis::scores>& tables,
                                             const std::vector<std::string>& names, const text_windows& text,
                                             const run_options& o, checkpoint* saved = nullptr);

/// "4, 6, 8 bits, pruned 0.3, 0.2, 0.1": the name of a setting.
[[nodiscard]] std::string setting_name(const tier_grid_request& r, std::size_t b, std::size_t p);

}  // namespace program
