#pragma once

#include <precis/codec/blocks/block_matrix.hpp>
#include <precis/codec/ggml.hpp>
#include <precis/codec/grid/matrix.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/view.hpp>
#include <precis/fit/block_levels.hpp>
#include <precis/fit/compensated_rounding.hpp>
#include <precis/fit/compensation.hpp>
#include <precis/fit/lattice_rounding.hpp>
#include <precis/fit/level_table.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/packed_format.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::fit {
PRECIS_IEEE_BEGIN

/// What calibration data say about the inputs of one matrix, and the factor that matrices of the same input share.
struct input_moments {
  const measure::gram* gram = nullptr;
  const compensation* by = nullptr;
  const compensation* by_eights = nullptr;  ///< with units of eight columns, for iq2 and iq3; null: these are not compensated

  /// [in] the mean square of every input: the importance that ggml's encoders take.
  [[nodiscard]] std::vector<float> mean_squares() const {
    std::vector<float> result(gram->sum.rows);
    for (std::size_t i = 0; i < result.size(); ++i)
      result[i] = static_cast<float>(gram->sum(i, i) / static_cast<double>(gram->tokens == 0 ? 1 : gram->tokens));
    return result;
  }
};

/// What a fit did to one matrix, in the unit of H = G + ridge I.
struct fitted {
  double error = 0;          ///< tr((W - V) H (W - V)') of what was stored
  double nearest_error = 0;  ///< of nearest rounding on the same scales
  bool compensated = false;  ///< whether compensated rounding was stored, rather than nearest rounding
};

/// Chooses the codes of a matrix so that its outputs, not its weights, stay near the original's: the error of every
/// column is made up for by the columns that follow.
///
/// Formats   integers of up to 8 bits on grids that span their groups, and 4-bit floats; ggml's blocks with levels of
///           their own (q4_0 to q8_0, K-quants, iq4_nl, iq4_xs, mxfp4, nvfp4, q2_0): scales first, by ggml's own search with
///           the importance of the inputs or without it, whichever leaves less, then codes within them; iq2 and iq3,
///           eight columns at a time, with the importance. The bytes are ordinary blocks.
/// Unit      squared outputs summed over tokens, plus the damping.
/// Errors    those of the codecs; moments of another number of inputs.
/// Cost      out * in^2 multiply-adds for each choice of scales; see round_compensated and compensate.
/// Source    docs/methods/gptq.md: Frantar et al. 2022, arXiv:2210.17323.
/// Differs   Scales are fixed before any rounding, so that columns can be taken in any order. The paper's scripts choose
///           the range of a group when its turn comes, from weights that are compensated already.
/// @post     error <= nearest_error: what would end worse than nearest rounding is not stored.
struct gptq {
  bool search_scales = true;  ///< ggml's blocks: also try scales that are searched under the importance of the inputs

  [[nodiscard]] static bool serves(const kernel::packed_format& f) {
    if (f.rank_percent != 0 || f.kept != kernel::kept_weights::all) return false;
    if (f.codes == kernel::code_kind::grid) return has_levels(f.grid);
    return with_level_block(f, [](auto) {}) || with_lattice_block(f, [](auto) {});
  }

  /// Encodes `weights`. Requires serves(f), packed.size() of the format's bytes.
  template<executor Executor = sequential>
  fitted operator()(const kernel::packed_format& f, weight_view weights, const input_moments& moments,
                    std::span<std::byte> packed, Executor&& run = {}) const {
    check(weights, moments);
    if (f.codes == kernel::code_kind::grid) return on_grids(f.grid, weights, moments, packed, run);
    fitted best;
    with_level_block(f, [&](auto block) { best = in_blocks(block, weights, moments, packed, run); });
    with_lattice_block(f, [&](auto block) { best = on_lattice(block, weights, moments, packed, run); });
    return best;
  }

 private:
  template<class = void>
  static void check(weight_view w, const input_moments& m) {
    if (m.gram->sum.rows != w.cols || m.by->order.size() != w.cols)
      refuse({.what = "statistics of " + std::to_string(m.gram->sum.rows) + " inputs for rows of " +
                      std::to_string(w.cols) + " weights",
              .where = "fit::gptq",
              .expected = "those of this matrix's inputs"});
  }
  /// The error of stored bytes.
  template<class Decode>
  [[nodiscard]] static double error_of(weight_view w, const input_moments& m, const Decode& decode) {
    float_matrix decoded(w.rows, w.cols);
    decode(decoded.view());
    return compensated_error(w, decoded.view(), m.gram->sum, m.by->ridge);
  }

  template<class Executor>
  static fitted on_grids(const kernel::grid_format& f, weight_view w, const input_moments& m,
                         std::span<std::byte> packed, Executor&& run) {
    codec::encode(f, w, packed);
    fitted result;
    result.nearest_error = result.error = error_of(w, m, [&](mutable_weight_view d) { codec::decode(f, packed, d); });
    if (!m.by->usable()) return result;
    const std::vector<codec::grid> grids = codec::read_grids(f, packed, w.rows, w.cols);
    const rounded_matrix rounded = round_compensated(w, levels_of(f, as_span(grids), w.rows, w.cols), *m.by, run);
    if (!(rounded.error < result.nearest_error)) return result;
    codec::encode_on_grids(f, std::as_const(rounded.values).view(), packed, codec::choose_given{as_span(grids)});
    result.error = rounded.error;
    result.compensated = true;
    return result;
  }

  template<class Block, class Executor>
  fitted in_blocks(Block block, weight_view w, const input_moments& m, std::span<std::byte> packed,
                   Executor&& run) const {
    const std::vector<float> importance = m.mean_squares();
    fitted best;
    std::vector<std::byte> trial(packed.size());
    for (const bool searched : {true, false}) {
      if (searched && (!search_scales || !m.by->usable())) continue;
      encode(block, w, searched ? as_span(importance) : std::span<const float>(), trial);
      fitted one;
      one.nearest_error = one.error =
          error_of(w, m, [&](mutable_weight_view d) { decode(block, trial, d); });
      if (m.by->usable()) {
        const rounded_matrix rounded = round_compensated(w, levels_of(block, trial, w.rows, w.cols), *m.by, run);
        if (rounded.error < one.nearest_error) {
          put_codes(block, as_span(rounded.codes), trial);
          one.error = rounded.error;
          one.compensated = true;
        }
      }
      const bool first = best.nearest_error == 0 && best.error == 0 && !best.compensated;
      if (first || one.error < best.error) {
        std::copy(trial.begin(), trial.end(), packed.begin());
        best = one;
      }
      if (one.error == 0) break;
    }
    return best;
  }

  template<class Block, class Executor>
  static fitted on_lattice(Block block, weight_view w, const input_moments& m, std::span<std::byte> packed,
                           Executor&& run) {
    const std::vector<float> importance = m.mean_squares();
    encode(block, w, m.by->usable() ? as_span(importance) : std::span<const float>(), packed);
    fitted result;
    result.nearest_error = result.error = error_of(w, m, [&](mutable_weight_view d) { decode(block, packed, d); });
    if (m.by_eights == nullptr || !m.by_eights->usable()) return result;
    const lattice_rounded rounded =
        round_to_lattice(w, lattice_of(block, packed, w.rows, w.cols), *m.by_eights, run);
    if (!(rounded.error < result.nearest_error)) return result;
    put_points(block, rounded, packed);
    result.error = rounded.error;
    result.compensated = true;
    return result;
  }
  template<class Body>
  static bool with_lattice_block(const kernel::packed_format& f, Body&& body) {
    if (f.codes != kernel::code_kind::block) return false;
    return kernel::with_block(f.block, [&]<class Block>(Block b) {
      if constexpr (has_block_lattice<Block>) body(b);
      return has_block_lattice<Block>;
    });
  }

  template<class Block>
  static void encode(Block, weight_view w, std::span<const float> importance, std::span<std::byte> packed) {
    if constexpr (requires { Block::type; })
      codec::ggml<Block::type>::encode(w, importance, packed);
    else
      codec::block_matrix<Block>::encode(w, importance, packed);
  }
  template<class Block>
  static void decode(Block, std::span<const std::byte> packed, mutable_weight_view w) {
    if constexpr (requires { Block::type; })
      codec::ggml<Block::type>::decode(packed, w);
    else
      codec::block_matrix<Block>::decode(packed, w);
  }
};

PRECIS_IEEE_END
}  // namespace precis::fit
