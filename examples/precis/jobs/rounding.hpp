#pragma once

#include "jobs/calibration.hpp"

#include <precis/core/aligned_bytes.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/view.hpp>
#include <precis/fit/compensation.hpp>
#include <precis/pack.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace program {

struct run_options;
struct session;

/// How a model is rounded with the data of a calibration.
struct rounding_options {
  double damping = 0.1;
  /// Whether each layer sees the inputs that the layers before it, already packed, give it, and makes up for their
  /// errors; or the inputs of the original model.
  bool from_compressed = true;
  std::size_t iterations = 0;  ///< of fit::signed_rounding after fit::gptq, per layer; 0: none. Needs from_compressed
  std::size_t batch = 8;       ///< windows per iteration
};

/// One packed matrix and how far its outputs are from the original's.
struct rounded {
  precis::aligned_bytes bytes;
  double error = 0;           ///< squared outputs of the error, with damping; 0 if no data reached the matrix
  double relative_error = 0;  ///< in round_model: squared outputs of the error over those of the matrix, with damping
  bool compensated = false;   ///< by fit::gptq; else encoded on its own
  bool tuned = false;         ///< and by fit::signed_rounding; relative_error is that before
};

/// Packs one matrix in an entry. `target` is what to approximate: the weights, or corrected ones. A format that
/// fit::gptq does not serve is encoded with the importance of the inputs; so is a matrix that no input reached, without.
[[nodiscard]] rounded round_matrix(precis::weight_view target, std::size_t entry, const std::string& name,
                                   const precis::measure::gram* gram, const precis::fit::compensation* by,
                                   const precis::fit::compensation* by_eights = nullptr);

/// The packed matrices of a plan, in the order of `choices`. Throws `stopped`.
/// Cost     with from_compressed, one forward pass of the calibration's windows per distinct input of a layer and two more,
///          and the inputs of one layer in memory; without it none; and the fits.
[[nodiscard]] std::vector<rounded> round_model(const session& s, std::span<const precis::matrix_choice> choices,
                                               const calibration& c, const rounding_options& how, const run_options& o);

/// Costs of every matrix in every entry, of the fit that ships: the increase of KL that a matrix's output error predicts
/// by the gradients at its outputs, in nats per token; or, if the calibration has no gradients, relative output errors.
[[nodiscard]] precis::cost_table rounding_costs(const session& s, const std::vector<std::string>& entries,
                                                precis::unit_kind units, const calibration& c,
                                                const rounding_options& how, const run_options& o);

}  // namespace program
