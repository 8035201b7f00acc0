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
  const compensation* by_eights =
      nullptr;  ///< with units of eight columns, for iq2 and iq3; null: these are not compensated

  /// [in] the mean square of every input: the importance that ggml's encoders take.
  template<class = void>
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

/// Encodes and decodes whole matrices with the codecs of the library. A program that has compiled them already passes
/// functions of its own in their place.
struct library_codecs {
  /// As the codec does, with one importance per column or none.
  template<class = void>
  static void encode(const kernel::packed_format& f, weight_view w, std::span<const float> importance,
                     std::span<std::byte> packed) {
    if (f.codes == kernel::code_kind::grid) return codec::encode(f.grid, w, packed);
    with_block(f, [&]<class Codec>(Codec) { Codec::encode(w, importance, packed); });
  }
  template<class = void>
  static void decode(const kernel::packed_format& f, std::span<const std::byte> packed, mutable_weight_view w) {
    if (f.codes == kernel::code_kind::grid) return codec::decode(f.grid, packed, w);
    with_block(f, [&]<class Codec>(Codec) { Codec::decode(packed, w); });
  }

 private:
  template<class Body>
  static void with_block(const kernel::packed_format& f, Body&& body) {
    if (f.codes == kernel::code_kind::block)
      kernel::with_block(f.block, [&]<class Block>(Block) { body(codec::block_matrix<Block>{}); });
    else
      with_level_block(f, [&]<class Block>(Block) {
        if constexpr (requires { Block::type; }) body(codec::ggml<Block::type>{});
      });
  }
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

  template<class = void>
  [[nodiscard]] static bool serves(const kernel::packed_format& f) {
    if (f.rank_percent != 0 || f.kept != kernel::kept_weights::all) return false;
    if (f.codes == kernel::code_kind::grid) return has_levels(f.grid);
    return with_level_block(f, [](auto) {}) || with_lattice_block(f, [](auto) {});
  }

  /// Encodes `weights`. Requires serves(f), packed.size() of the format's bytes. `codecs` has encode and decode of
  /// library_codecs.
  template<executor Executor = sequential, class Codecs = library_codecs>
  fitted operator()(const kernel::packed_format& f, weight_view weights, const input_moments& moments,
                    std::span<std::byte> packed, Executor&& run = {}, const Codecs& codecs = {}) const {
    if (moments.gram->sum.rows != weights.cols || moments.by->order.size() != weights.cols)
      refuse({.what = "statistics of " + std::to_string(moments.gram->sum.rows) + " inputs for rows of " +
                      std::to_string(weights.cols) + " weights",
              .where = "fit::gptq",
              .expected = "those of this matrix's inputs"});
    const std::vector<float> importance = moments.by->usable() ? moments.mean_squares() : std::vector<float>();
    const bool is_grid = f.codes == kernel::code_kind::grid, with_levels = !is_grid && with_level_block(f, [](auto) {});
    fitted best;
    std::vector<std::byte> trial(packed.size());
    for (const bool searched : {true, false}) {
      // Grids span their groups; iq2 and iq3 are made for an importance.
      if (searched ? is_grid || (with_levels && (!search_scales || importance.empty())) : !is_grid && !with_levels)
        continue;
      codecs.encode(f, weights, searched ? as_span(importance) : std::span<const float>(), trial);
      const fitted one = round_on_scales(f, weights, moments, trial, run, codecs);
      if (searched || is_grid || best.nearest_error == 0 || one.error < best.error) {
        std::copy(trial.begin(), trial.end(), packed.begin());
        best = one;
      }
      if (one.error == 0) break;
    }
    return best;
  }

 private:
  /// Replaces the codes of an encoded matrix by better ones, if there are any.
  template<class Executor, class Codecs>
  static fitted round_on_scales(const kernel::packed_format& f, weight_view w, const input_moments& m,
                                std::span<std::byte> packed, Executor&& run, const Codecs& codecs) {
    float_matrix decoded(w.rows, w.cols);
    codecs.decode(f, packed, decoded.view());
    fitted result;
    result.nearest_error = result.error = compensated_error(w, decoded.view(), m.gram->sum, m.by->ridge);
    if (!m.by->usable()) return result;
    const auto better = [&](double error) {
      if (!(error < result.nearest_error)) return false;
      result.error = error;
      result.compensated = true;
      return true;
    };
    if (f.codes == kernel::code_kind::grid) {
      const std::vector<codec::grid> grids = codec::read_grids(f.grid, packed, w.rows, w.cols);
      const rounded_matrix rounded =
          round_compensated(w, levels_of(f.grid, as_span(grids), w.rows, w.cols), *m.by, run);
      if (better(rounded.error))
        codec::encode_on_grids(f.grid, std::as_const(rounded.values).view(), packed,
                               codec::choose_given{as_span(grids)});
      return result;
    }
    const bool has_levels = with_level_block(f, [&](auto block) {
      const rounded_matrix rounded = round_compensated(w, levels_of(block, packed, w.rows, w.cols), *m.by, run);
      if (better(rounded.error)) put_codes(block, as_span(rounded.codes), packed);
    });
    if (has_levels || m.by_eights == nullptr || !m.by_eights->usable()) return result;
    with_lattice_block(f, [&](auto block) {
      const lattice_rounded rounded = round_to_lattice(w, lattice_of(block, packed, w.rows, w.cols), *m.by_eights, run);
      if (better(rounded.error)) put_points(block, rounded, packed);
    });
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
};

PRECIS_IEEE_END
}  // namespace precis::fit
