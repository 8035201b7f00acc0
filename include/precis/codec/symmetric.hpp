#pragma once

#include <precis/codec/grid/matrix.hpp>

namespace precis::codec {

/// Signed integers around zero, one scale, no zero point; as many levels above zero as below (2 bits: ternary).
///
///     q_max = 2^(b-1) - 1, s = max|x| / q_max, q = clamp(rne(x / s), -q_max, q_max)          real = s q
///
/// Bits, Group, Scale, Errors, Cost    as codec::affine.
/// Name      "symmetric4.tensor", "symmetric8.g64.h".
/// Layout    grid_format; stored code q + q_max.
/// @post     0 decodes to exactly 0, and -x to minus what x decodes to; |decoded - x| <= s / 2.
/// Source    methods D1.
template<unsigned Bits, std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct symmetric : grid_codec<grid_rule::symmetric, Bits, Group, Scale> {};

/// The same with the one level that two's complement has left over: s = 2 max|x| / (2^b - 1), q from -2^(b-1) to
/// 2^(b-1) - 1. Steps are finer, and neither +max nor -max is exact.
///
/// Name      "symmetric_full4.row". Layout: stored code q + 2^(b-1).
/// Source    methods D1.
template<unsigned Bits, std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct symmetric_full : grid_codec<grid_rule::symmetric_full, Bits, Group, Scale> {};

}  // namespace precis::codec
