#pragma once

#include <precis/codec/grid/matrix.hpp>

namespace precis::codec {

/// Unsigned integers with a scale and a zero point: the default for weights.
///
///     lo = min(0, min x), hi = max(0, max x), s = (hi - lo) / (2^b - 1), z = rne(-lo / s)
///     q = clamp(rne(x / s) + z, 0, 2^b - 1)          real = s (q - z)
///
/// Bits      2 ... 8, 16, 24.
/// Group     weights along `in` that share s and z; per_row; per_tensor. The last group of a row may be shorter.
/// Scale     scale_type::float32 or float16; rounded first (see spanning_grid), then quantized with.
/// Name      "affine4.g32", "affine8.row", "affine8.tensor.h".
/// Layout    grid_format.
/// Errors    weights that are not finite, by row and column; half scales above 65504.
/// @post     0 decodes to exactly 0; |decoded - x| <= s / 2 up to the rounding of quotient and result.
/// @post     encoding decoded values on the same grids gives the same bytes' values.
/// Cost      one read for the range, one for the codes.
/// Source    methods D1: division, not multiplication by a reciprocal; x / s is rounded before z is added (GPTQ).
template<unsigned Bits, std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct affine : grid_codec<grid_rule::affine, Bits, Group, Scale> {};

}  // namespace precis::codec
