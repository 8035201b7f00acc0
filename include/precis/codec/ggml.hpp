#pragma once

#include <precis/codec/blocks/encode_small.hpp>
#include <precis/codec/dense_copy.hpp>
#include <precis/codec/weight_checks.hpp>
#include <precis/core/error.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/blocks/small_blocks.hpp>
#include <precis/kernel/ggml_blocks.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <span>
#include <string>

namespace precis::codec {
PRECIS_IEEE_BEGIN

/// ggml's blocks of 32 weights, row by row: the bytes that ggml writes and llama.cpp reads.
///
/// Name      "q4_0", "q4_1", "q5_0", "q5_1", "q8_0": 4.5, 5, 5.5, 6 and 8.5 bits per weight.
/// Layout    per block: the scale d and, for q4_1 and q5_1, the minimum m, as little-endian halves; for 5-bit codes, a
///           word with the fifth bits; then bytes of which byte j holds the low four bits of codes j and 16 + j (8
///           bits: code j, signed).
/// Errors    rows whose length is not a multiple of 32 (the message names codecs that accept them); weights that are
///           not finite; a block whose scale or minimum exceeds 65504; an importance that is negative, not finite, or not one
///           number per column. A scale below 2^-25 is stored as 0, as in ggml.
/// Cost      one read. To multiply, convert once with kernel::repack_ggml, which keeps the size, then use
///           kernel::matvec.
/// @post     byte-identical to ggml's reference quantizers.
/// Source    docs/methods/ggml.md: the reference row quantizers of ggml-org/ggml (ggml-quants.c).
template<kernel::ggml_type Type>
struct ggml {
  static constexpr bool keeps_zero = !kernel::layout_of(Type).has_minimum;  ///< weights of 0 decode to exactly 0
  static constexpr kernel::ggml_type format = Type;

  [[nodiscard]] static std::string name() {
    constexpr const char* names[] = {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0"};
    return names[static_cast<std::size_t>(Type)];
  }
  /// Counts rows as if they were padded to a multiple of 32; `encode` refuses rows that would need it.
  [[nodiscard]] static constexpr std::size_t bytes(std::size_t out, std::size_t in) {
    return out * (in / kernel::ggml_block + (in % kernel::ggml_block != 0)) * block_bytes;
  }
  static void encode(weight_view weights, std::span<std::byte> packed) { encode(weights, {}, packed); }
  /// importance: one number of at least 0 per column, the mean square of what it is multiplied with; empty: none.
  static void encode(weight_view weights, std::span<const float> importance, std::span<std::byte> packed) {
    check(weights, packed.size());
    check_finite(weights, "codec " + name());
    check_importance(name(), importance, weights);
    const with_contiguous_rows contiguous(weights);
    const weight_view w = contiguous.view();
    std::byte* to = packed.data();
    for (std::size_t r = 0; r < w.rows; ++r) {
      blocks::encode_row(block{}, w.row(r).data(), w.cols, importance.empty() ? nullptr : importance.data(), to);
      for (std::size_t c = 0; c < w.cols; c += kernel::ggml_block, to += block_bytes)
        if (!kernel::fits_half(Type, to))
          refuse({.what = "the block at row " + std::to_string(r) + ", column " + std::to_string(c) +
                          " needs a scale or minimum beyond 65504",
                  .where = "codec " + name(),
                  .expected = "smaller weights, or a format with float32 scales, like affine4.g32"});
    }
  }
  static void decode(std::span<const std::byte> packed, mutable_weight_view weights) {
    check(weights, packed.size());
    const std::byte* from = packed.data();
    float x[kernel::ggml_block];
    for (std::size_t r = 0; r < weights.rows; ++r)
      for (std::size_t c = 0; c < weights.cols; c += kernel::ggml_block, from += block_bytes) {
        kernel::decode_ggml(Type, from, x);
        for (std::size_t j = 0; j < kernel::ggml_block; ++j) weights(r, c + j) = x[j];
      }
  }

 private:
  using block = kernel::blocks::small_block<Type, 0>;  // the number of the type in files does not matter here
  static constexpr std::size_t block_bytes = kernel::layout_of(Type).bytes;

  static void check(weight_view w, std::size_t size) {
    if (w.cols % kernel::ggml_block != 0)
      refuse({.what = "rows of " + std::to_string(w.cols) + " weights",
              .where = "codec " + name(),
              .expected = "a multiple of 32; affine" + std::to_string(kernel::layout_of(Type).bits) +
                          ".g32.h and symmetric" + std::to_string(kernel::layout_of(Type).bits) +
                          ".g32.h take rows of any length"});
    check_size(name(), size, bytes(w.rows, w.cols), w);
  }
};

using q4_0 = ggml<kernel::ggml_type::q4_0>;
using q4_1 = ggml<kernel::ggml_type::q4_1>;
using q5_0 = ggml<kernel::ggml_type::q5_0>;
using q5_1 = ggml<kernel::ggml_type::q5_1>;
using q8_0 = ggml<kernel::ggml_type::q8_0>;

PRECIS_IEEE_END
}  // namespace precis::codec
