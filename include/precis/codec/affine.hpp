#pragma once

#include <precis/codec/grid/matrix.hpp>

namespace precis::codec {

/// Unsigned integer codes with a scale and a zero point: the default for weights.
///
///     lo = min(0, min x), hi = max(0, max x), s = (hi - lo) / (2^b - 1), z = rne(-lo / s)
///     q = clamp(rne(x / s) + z, 0, 2^b - 1)          real = s (q - z)
///
/// Bits      2 ... 8, 16, 24.
/// Group     number of weights along `in` that share s and z, or per_row, or per_tensor. The last group of a row may be
///           shorter.
/// Scale     scale_type::float32 or float16. The scale is rounded to this type before it is used (see spanning_grid).
/// Name      "affine4.g32", "affine8.row", "affine8.tensor.h".
/// Layout    kernel::grid_format.
/// Errors    weights that are not finite, by row and column; half scales above 65504.
/// @post     0 decodes to exactly 0; |decoded - x| <= s / 2 up to the rounding of quotient and result.
/// @post     encoding decoded weights again on the same grids changes no decoded weight.
/// Cost      one read for the ranges, one for the codes.
/// Source    docs/methods/affine.md: the quantizer of GPTQ (Frantar et al. 2022, arXiv:2210.17323; quant.py of its
///           code), which rounds x / s before it adds z.
template<unsigned Bits, std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct affine : grid_codec<grid_rule::affine, Bits, Group, Scale> {};

}  // namespace precis::codec
