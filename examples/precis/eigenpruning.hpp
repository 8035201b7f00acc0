#pragma once

#include "session.hpp"
#include "task.hpp"

#include <precis/core/slice.hpp>
#include <precis/core/spectra.hpp>
#include <precis/evaluate/interval.hpp>
#include <precis/measure/means.hpp>
#include <precis/prune/eigenpruning.hpp>
#include <precis/score/eigen_attribution.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace program {

/// What to prune and how to find out.
struct eigen_request {
  std::vector<precis::role> roles;  ///< whose singular values may go
  bool by_head = true;              ///< heads have singular values of their own
  std::vector<double> portions;     ///< shares of them to try
  precis::prune::eigenpruning how;  ///< but for the portion
  precis::score::eigen_attribution scorer;
  std::size_t controls = 3;  ///< random removals of as many values
};

/// What a model said to one question.
struct reply {
  bool right = false;
  double nats = 0;  ///< negative log-likelihood of the wanted answer
};

/// The model with a share of its singular values removed.
struct pruned_row {
  double portion = 0;
  std::vector<precis::prune::pruned_slice> removals = {};
  std::vector<reply> validation = {}, test = {};

  [[nodiscard]] std::size_t removed() const noexcept;
};

struct eigen_report {
  precis::spectra spectra;
  precis::measure::input_means means;  ///< of the prompts scored on
  std::size_t samples = 0;             ///< how many those are
  pruned_row original;                 ///< portion 0
  std::vector<pruned_row> rows;        ///< a portion each
  std::size_t chosen = 0;          ///< row: right most often on the validation prompts; then smallest loss, then first
  pruned_row smallest;             ///< as many values as in the chosen row, but the smallest ones of each pool
  std::vector<pruned_row> random;  ///< as many, drawn
  double scoring_seconds = 0, pruning_seconds = 0;

  /// Share of test prompts that the chosen row has right beyond those of another row, prompt by prompt.
  [[nodiscard]] precis::evaluate::interval gain_over(const pruned_row& other) const;
};

[[nodiscard]] double share_right(const std::vector<reply>& replies) noexcept;
[[nodiscard]] double mean_nats(const std::vector<reply>& replies) noexcept;

/// What the work will take, before it begins: operations (multiplications and additions) and bytes beyond the model's.
struct eigen_needs {
  double svd = 0, gradients = 0, effects = 0, replies = 0;  ///< operations
  double bytes = 0;
  [[nodiscard]] double operations() const noexcept { return svd + gradients + effects + replies; }
};
[[nodiscard]] eigen_needs needs_of(const session& s, const eigen_request& r, const questions& q,
                                   const task_split& parts);

/// Scores on the training prompts, prunes by every portion, asks the validation and the test prompts.
///
/// Errors   those of eigen_attribution and prune::eigenpruning; nobody has singular values of these roles. Throws `stopped`.
[[nodiscard]] eigen_report run_eigenpruning(const session& s, const eigen_request& r, const questions& q,
                                            const task_split& parts, const common_options& o);

/// "k,v" or "key,value" as roles; mlp is all maps of the MLP, o the attention's output. Errors: other words.
[[nodiscard]] std::vector<precis::role> read_roles(const std::string& text, const std::string& option);

/// How many singular values have which effect on the loss; what the chosen portion removes is set apart.
[[nodiscard]] std::string effects_picture(const eigen_report& r);
/// Singular values by their place in their slice, the removed ones marked.
[[nodiscard]] std::string spectrum_picture(const eigen_report& r);

}  // namespace program
