#pragma once

#include "jobs/task.hpp"

#include <precis/core/scores.hpp>
#include <precis/core/slice.hpp>
#include <precis/core/spectra.hpp>
#include <precis/core/unit.hpp>
#include <precis/evaluate/interval.hpp>
#include <precis/measure/means.hpp>
#include <precis/prune/eigenpruning.hpp>
#include <precis/score/eigen_attribution.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace program {

class checkpoint;
struct run_options;
struct session;

/// What to remove, how to score it, and what to compare the result with.
struct spectrum_request {
  std::vector<precis::role> roles;  ///< roles of the matrices to prune
  bool by_head = true;              ///< decompose each head separately
  std::vector<double> portions;     ///< shares of the singular values to try
  precis::prune::eigenpruning how;  ///< its portion is ignored
  precis::score::eigen_attribution scorer;
  std::size_t controls = 3;  ///< random removals of the same number of values
};

/// A model's answer to one question.
struct reply {
  bool right = false;
  double nats = 0;  ///< negative log-likelihood of the expected answer
};

/// The model with a share of its singular values removed.
struct prune_result {
  double portion = 0;
  std::vector<precis::prune::pruned_slice> removals = {};
  std::vector<reply> validation = {}, test = {};

  [[nodiscard]] std::size_t removed() const noexcept;
};

struct spectrum_result {
  precis::spectra spectra;
  precis::measure::input_means means;  ///< over the training prompts
  std::size_t samples = 0;             ///< training prompts
  prune_result original;               ///< portion 0
  std::vector<prune_result> rows;      ///< [portions]
  std::size_t chosen = 0;              ///< row with the best validation accuracy; ties by loss, then order
  prune_result smallest;               ///< the same number of values as in the chosen row: the smallest of each pool
  std::vector<prune_result> random;    ///< the same number, at random
  double scoring_seconds = 0, pruning_seconds = 0;

  /// Test accuracy of the chosen row minus that of another row, paired by prompt.
  [[nodiscard]] precis::evaluate::interval gain_over(const prune_result& other) const;
};

[[nodiscard]] double share_right(const std::vector<reply>& replies) noexcept;
[[nodiscard]] double mean_nats(const std::vector<reply>& replies) noexcept;

/// An estimate of the work, before it begins: operations (multiplications and additions) and bytes beyond the model's.
struct spectrum_needs {
  double svd = 0, gradients = 0, effects = 0, replies = 0;  ///< operations
  double bytes = 0;
  [[nodiscard]] double operations() const noexcept { return svd + gradients + effects + replies; }
};
[[nodiscard]] spectrum_needs needs_of(const session& s, const spectrum_request& r, const questions& q,
                                      const task_split& parts);

/// Scores on the training prompts, prunes by every portion and evaluates on the validation and test prompts. Scores and
/// answers that are in the checkpoint are not computed again; the others are added to it.
///
/// Errors   those of eigen_attribution and prune::eigenpruning; a model without matrices of these roles. Throws
///          `stopped`.
[[nodiscard]] spectrum_result prune_spectrum(const session& s, const spectrum_request& r, const questions& q,
                                             const task_split& parts, const run_options& o,
                                             checkpoint* saved = nullptr);

/// Reads "k,v" or "key,value" as roles; mlp is every matrix of the MLP, o the attention output. Errors: other words.
[[nodiscard]] std::vector<precis::role> read_roles(const std::string& text, const std::string& option);

/// The share of singular values that the chosen portion leaves, per unit with scored slices.
[[nodiscard]] precis::scores useful_shares(const session& s, const spectrum_result& r, precis::unit_kind units);

/// Writes the model with the chosen portion removed, in float32, with the tokenizer's files of the folder `original`.
/// Errors: those of prune::eigenpruning and engine::save.
void save_pruned(const session& s, const spectrum_result& r, precis::prune::eigenpruning how,
                 const std::filesystem::path& original, const std::filesystem::path& folder);

}  // namespace program
