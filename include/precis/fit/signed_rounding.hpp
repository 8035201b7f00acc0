#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/fit/rounding_variables.hpp>
#include <precis/kernel/ieee.hpp>

#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace precis::fit {
PRECIS_IEEE_BEGIN

/// One block of a model as signed rounding sees it: how far its outputs are from the wanted ones when its matrices have
/// given values.
///
///     loss(matrices)            of all data, with every matrix's `values`; never negative
///     differentiate(i, matrices)  fills every matrix's `gradient` with that of the loss on the data of iteration i
template<class B>
concept tunable_block = requires(B& block, std::size_t iteration, std::span<rounding_variables> matrices) {
  { block.loss(matrices) } -> std::convertible_to<double>;
  block.differentiate(iteration, matrices);
};

/// What tuning did to the matrices of a block, in the unit of its loss.
struct tuned {
  double loss_before = 0;
  double loss = 0;            ///< of what was stored
  std::size_t iteration = 0;  ///< after which the stored codes were found; 0: nothing was better than the start
};

/// Tunes the rounding of all matrices of a block together, so that the block's output stays near the wanted one: offsets
/// before rounding and ends of ranges take steps along the sign of their gradients.
///
/// Formats   those of rounding_variables: integers and 4-bit floats on grids, and ggml's blocks with levels, in which
///           the scales stay. Start from the better of nearest rounding and fit::gptq.
/// Unit      that of the block's loss.
/// Requires  serves() of every matrix's format; bytes of these formats.
/// Errors    no iterations; a loss that is not finite.
/// Cost      `iterations` times forward and backward of the block, and checks + 1 times its loss on all data.
/// Source    docs/methods/signed_rounding.md: Cheng et al. 2023, arXiv:2309.05516 (SignRound, in AutoRound).
/// Differs   Starts from codes that are given, GPTQ's for instance; AutoRound starts from nearest rounding. Keeps the best
///           of several losses on all data; AutoRound keeps the best loss of a batch.
/// @post     loss <= loss_before; if no iteration was better, the bytes are unchanged.
struct signed_rounding {
  std::size_t iterations = 200;
  double rate = 0;         ///< of the first iteration, falling linearly to 0; 0: 1 / iterations
  std::size_t checks = 5;  ///< how often the loss on all data is computed, evenly spread; the last time at the end

  [[nodiscard]] static bool serves(const kernel::packed_format& f) { return rounding_variables::serves(f); }

  /// `packed` holds the encoded matrices and receives the better ones.
  template<tunable_block Block>
  tuned operator()(std::span<rounding_variables> matrices, std::span<const std::span<std::byte>> packed,
                   Block&& block) const {
    PRECIS_EXPECTS(packed.size() == matrices.size(), "the bytes of every matrix");
    if (iterations == 0)
      refuse({.what = "0 iterations", .where = "fit::signed_rounding", .expected = "one or more; 200 suits most"});
    tuned result;
    result.loss_before = result.loss = checked_loss(block, matrices);
    const std::size_t spacing = std::max<std::size_t>(1, iterations / std::max<std::size_t>(1, checks));
    const double first = rate > 0 ? rate : 1.0 / static_cast<double>(iterations);
    for (std::size_t i = 0; i < iterations; ++i) {
      block.differentiate(i, matrices);
      const double left = 1.0 - static_cast<double>(i) / static_cast<double>(iterations);
      for (rounding_variables& m : matrices) m.descend(static_cast<float>(first * left));
      if ((iterations - 1 - i) % spacing != 0) continue;
      const double loss = checked_loss(block, matrices);
      if (!(loss < result.loss)) continue;
      result.loss = loss;
      result.iteration = i + 1;
      for (std::size_t m = 0; m < matrices.size(); ++m) matrices[m].store(packed[m]);
    }
    return result;
  }

 private:
  template<class Block>
  static double checked_loss(Block& block, std::span<rounding_variables> matrices) {
    const double loss = block.loss(matrices);
    if (!kernel::is_finite(loss))
      refuse(
          {.what = "a block's loss that is not finite", .where = "fit::signed_rounding", .expected = "finite outputs"});
    return loss;
  }
};

PRECIS_IEEE_END
}  // namespace precis::fit
