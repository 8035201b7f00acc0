#pragma once

#include <precis/codec/blocks/searches.hpp>
#include <precis/kernel/blocks/small_blocks.hpp>

#include <cstddef>
#include <cstdint>

/// Encoders of whole rows of ggml's blocks of 32: without importance those of kernel::encode_ggml, with importance byte
/// for byte ggml's `quantize_q4_0` and its siblings, whose weights depend on the mean square of the row. q8_0 ignores
/// importance.
///
/// Requires  n finite weights at `x`, a multiple of 32; n importances or null; room for the blocks at `to`.
/// Source    docs/methods/ggml.md.
namespace precis::codec::blocks {

PRECIS_IEEE_BEGIN

template<kernel::ggml_type Type, std::uint32_t Id>
void encode_row(kernel::blocks::small_block<Type, Id> block, const float* x, std::size_t n, const float* importance,
                std::byte* to) noexcept {
  constexpr kernel::ggml_layout layout = kernel::layout_of(Type);
  float variance = 0;
  for (std::size_t i = 0; i < n; ++i) variance += x[i] * x[i];
  variance /= static_cast<float>(n);
  for (std::size_t at = 0; at < n; at += 32, to += layout.bytes) {
    if (importance == nullptr || Type == kernel::ggml_type::q8_0) {
      kernel::encode_ggml(Type, x + at, to);
      continue;
    }
    sub_blocks<1, 32> b;
    b.load(x + at);
    for (std::size_t i = 0; i < 32; ++i)
      b.w[i][0] = importance[at + i] * __builtin_sqrtf(variance + x[at + i] * x[at + i]);
    const auto top = static_cast<float>((1u << layout.bits) - 1u);
    if constexpr (layout.has_minimum) {
      search_affine(b, top, {.first = -0.9f, .step = 0.05f, .steps = 36});
      kernel::put_word16(kernel::float_to_half(-b.minimum[0]), to + 2);
    } else {
      search_symmetric(b, (top + 1) / 2);
    }
    kernel::put_word16(kernel::float_to_half(b.scale[0]), to);
    std::uint8_t code[32];
    b.store(code);
    block.put_codes(code, to);
  }
}

PRECIS_IEEE_END
}  // namespace precis::codec::blocks
