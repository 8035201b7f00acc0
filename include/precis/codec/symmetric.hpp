#pragma once

#include <precis/codec/grid/matrix.hpp>

namespace precis::codec {

/// Signed integer codes with a scale and no zero point, and as many levels above zero as below (2 bits: ternary).
///
///     q_max = 2^(b-1) - 1, s = max|x| / q_max, q = clamp(rne(x / s), -q_max, q_max)          real = s q
///
/// Bits, Group, Scale, Errors, Cost    as in codec::affine.
/// Name      "symmetric4.tensor", "symmetric8.g64.h".
/// Layout    kernel::grid_format; the stored code is q + q_max.
/// @post     0 decodes to exactly 0; decoded(-x) == -decoded(x); |decoded - x| <= s / 2.
/// Source    docs/methods/affine.md.
template<unsigned Bits, std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct symmetric : grid_codec<grid_rule::symmetric, Bits, Group, Scale> {};

/// codec::symmetric over the full range of two's complement: s = 2 max|x| / (2^b - 1), q from -2^(b-1) to 2^(b-1) - 1.
/// The steps are finer, and neither +max nor -max is exact.
///
/// Name      "symmetric_full4.row".
/// Layout    kernel::grid_format; the stored code is q + 2^(b-1).
/// Source    docs/methods/affine.md.
template<unsigned Bits, std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct symmetric_full : grid_codec<grid_rule::symmetric_full, Bits, Group, Scale> {};

}  // namespace precis::codec
