#pragma once

#include "planning.hpp"
#include "scoring.hpp"
#include "session.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace program {

class checkpoint;

/// The grid of the causal-tracing paper's experiment: scorer x bits per tier x pruning per tier.
struct sweep_request {
  std::vector<per_tier<unsigned>> bits;
  std::vector<per_tier<double>> prune;
  std::string family = "affine";
  std::string granularity = "row";
};

/// One compressed model, evaluated.
struct sweep_cell {
  std::size_t bits = 0;  ///< index into the request
  std::size_t prune = 0;
  std::string scorer;     ///< or "constant low", "constant high"
  double nll = 0;         ///< nats per token
  double half_width = 0;  ///< 95 %, over windows
  double bits_per_weight = 0;
  std::size_t bytes = 0;
  std::vector<double> windows;  ///< [windows] mean NLL of each, for paired comparisons

  [[nodiscard]] double perplexity() const;
};
struct sweep_result {
  sweep_request request;
  text_loss original;
  std::vector<std::string> columns;  ///< the scorers, then constant low, constant high
  std::vector<sweep_cell> cells;     ///< [bits x prune x columns]
  bool stopped = false;

  [[nodiscard]] const sweep_cell& at(std::size_t b, std::size_t p, std::size_t column) const {
    return cells[(b * request.prune.size() + p) * columns.size() + column];
  }
};

/// Scores are given; every cell prunes, encodes, decodes and evaluates. Cells in the checkpoint are not measured again.
[[nodiscard]] sweep_result run_sweep(const session& s, const sweep_request& request,
                                     const std::vector<precis::scores>& tables, const std::vector<std::string>& names,
                                     const text_windows& text, const common_options& o, checkpoint* saved = nullptr);

/// The heatmap: rows are settings, columns scorers; perplexity in the cells.
[[nodiscard]] std::string sweep_picture(const sweep_result& r, const std::string& model);
/// Perplexity against bits per weight, one line a scorer.
[[nodiscard]] std::string size_picture(const sweep_result& r, const std::string& model);
[[nodiscard]] std::string sweep_csv(const sweep_result& r);
/// The same as text for a terminal.
[[nodiscard]] std::string sweep_table(const sweep_result& r);
[[nodiscard]] engine::json to_json(const sweep_result& r);

/// In plain words: which scorer did best, by how much and how sure that is, and against which constant.
[[nodiscard]] std::string sweep_verdict(const sweep_result& r);

}  // namespace program
