#pragma once

#include <precis/codec/blocks/encode_fp4.hpp>
#include <precis/codec/blocks/encode_iq4.hpp>
#include <precis/codec/blocks/encode_k.hpp>
#include <precis/codec/blocks/encode_lattice.hpp>
#include <precis/codec/blocks/encode_ternary.hpp>
#include <precis/codec/dense_copy.hpp>
#include <precis/codec/weight_checks.hpp>
#include <precis/core/error.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/blocks/block_type.hpp>
#include <precis/kernel/blocks/every_block.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace precis::codec {
PRECIS_IEEE_BEGIN

/// A block type of ggml as a codec, row by row: the bytes that ggml writes and llama.cpp reads.
///
/// Name      that of the block type: "q4_k", "iq3_s", "mxfp4".
/// Layout    the blocks of each row, row after row (docs/methods/ggml.md).
/// Errors    rows that are not whole blocks; weights that are not finite; a block whose scale exceeds 65504; an
///           importance that is negative, not finite, or not one number per column.
/// Cost      one read; the searches for scales take 15 to 60 passes over a block.
/// @post     byte-identical to ggml's quantizers, with and without importance. Types that ggml encodes with importance
///           only (iq1_s, iq2_xxs, iq2_xs) take an importance of 1 for every column where none is given.
template<class Block>
struct block_matrix {
  static constexpr bool keeps_zero = Block::keeps_zero;
  static constexpr kernel::block_type format = kernel::type_of<Block>();

  [[nodiscard]] static std::string name() { return Block::name; }
  /// Counts rows as if they were padded to whole blocks; `encode` refuses rows that would need it.
  [[nodiscard]] static constexpr std::size_t bytes(std::size_t out, std::size_t in) {
    return out * (in / Block::weights + (in % Block::weights != 0)) * Block::bytes;
  }
  static void encode(weight_view weights, std::span<std::byte> packed) { encode(weights, {}, packed); }
  /// importance: one number of at least 0 per column, the mean square of what it is multiplied with; empty: none.
  static void encode(weight_view weights, std::span<const float> importance, std::span<std::byte> packed) {
    check(weights, packed.size());
    check_finite(weights, "codec " + name());
    check_importance(name(), importance, weights);
    const with_contiguous_rows contiguous(weights);
    const weight_view w = contiguous.view();
    const std::vector<float> ones(importance.empty() && needs_importance ? w.cols : 0, 1.f);
    const float* const q = !importance.empty() ? importance.data() : needs_importance ? ones.data() : nullptr;
    std::byte* to = packed.data();
    for (std::size_t r = 0; r < w.rows; ++r) {
      encode_row(w.row(r).data(), w.cols, q, to);
      for (std::size_t c = 0; c < w.cols; c += Block::weights, to += Block::bytes)
        if (!Block::scales_are_finite(to))
          refuse({.what = "the block at row " + std::to_string(r) + ", column " + std::to_string(c) +
                          " needs a scale beyond 65504",
                  .where = "codec " + name(),
                  .expected = "smaller weights, or a format with float32 scales, like affine4.g32"});
    }
  }
  static void decode(std::span<const std::byte> packed, mutable_weight_view weights) {
    check(weights, packed.size());
    const std::byte* from = packed.data();
    float x[Block::weights];
    for (std::size_t r = 0; r < weights.rows; ++r)
      for (std::size_t c = 0; c < weights.cols; c += Block::weights, from += Block::bytes) {
        Block::decode(from, x);
        for (std::size_t j = 0; j < Block::weights; ++j) weights(r, c + j) = x[j];
      }
  }

 private:
  static constexpr bool needs_importance = requires { Block::needs_importance; };

  static void encode_row(const float* x, std::size_t n, const float* importance, std::byte* to) {
    if constexpr (requires { blocks::encode_row(Block{}, x, n, importance, to); })
      blocks::encode_row(Block{}, x, n, importance, to);
    else
      for (std::size_t c = 0; c < n; c += Block::weights, to += Block::bytes)
        blocks::encode(Block{}, x + c, importance != nullptr ? importance + c : nullptr, to);
  }
  static void check(weight_view w, std::size_t size) {
    if (w.cols % Block::weights != 0)
      refuse({.what = "rows of " + std::to_string(w.cols) + " weights",
              .where = "codec " + name(),
              .expected = "a multiple of " + std::to_string(Block::weights) +
                          "; affine and symmetric formats such as affine4.g32.h take rows of any length"});
    check_size(name(), size, bytes(w.rows, w.cols), w);
  }
};

using q2_k = block_matrix<kernel::blocks::q2_k>;
using q3_k = block_matrix<kernel::blocks::q3_k>;
using q4_k = block_matrix<kernel::blocks::q4_k>;
using q5_k = block_matrix<kernel::blocks::q5_k>;
using q6_k = block_matrix<kernel::blocks::q6_k>;
using iq4_nl = block_matrix<kernel::blocks::iq4_nl>;
using iq4_xs = block_matrix<kernel::blocks::iq4_xs>;
using mxfp4 = block_matrix<kernel::blocks::mxfp4>;
using nvfp4 = block_matrix<kernel::blocks::nvfp4>;
using tq1_0 = block_matrix<kernel::blocks::tq1_0>;
using tq2_0 = block_matrix<kernel::blocks::tq2_0>;
using q1_0 = block_matrix<kernel::blocks::q1_0>;
using q2_0 = block_matrix<kernel::blocks::q2_0>;
using iq1_s = block_matrix<kernel::blocks::iq1_s>;
using iq1_m = block_matrix<kernel::blocks::iq1_m>;
using iq2_xxs = block_matrix<kernel::blocks::iq2_xxs>;
using iq2_xs = block_matrix<kernel::blocks::iq2_xs>;
using iq2_s = block_matrix<kernel::blocks::iq2_s>;
using iq3_xxs = block_matrix<kernel::blocks::iq3_xxs>;
using iq3_s = block_matrix<kernel::blocks::iq3_s>;

PRECIS_IEEE_END
}  // namespace precis::codec
