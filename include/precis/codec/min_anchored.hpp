#pragma once

#include <precis/codec/grid/matrix.hpp>

namespace precis::codec {

/// CPTQuant's quantizer, to the letter: codes count steps from the smallest weight.
///
///     s = (max x - min x) / (2^b - 1), q = rne((x - min x) / s) + q_min, q_min = -2^(b-1)
///     real = (q - q_min) s + min x
///
/// Zero is NOT exact: pruned weights come back non-zero. After pruning use codec::affine; `pack` and `apply` insist.
///
/// Bits, Group, Scale, Errors, Cost    as codec::affine. Half: the minimum is rounded down, then the scale up.
/// Name      "min_anchored8.row".
/// Layout    grid_format; stored code q - q_min; a minimum a group instead of a zero point.
/// @post     the minimum is exact (float32 scales); a group of equal weights decodes to them exactly.
/// Source    methods D2 (CPTQuant Eq. 1, whose text says "nearest").
template<unsigned Bits, std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct min_anchored : grid_codec<grid_rule::min_anchored, Bits, Group, Scale> {};

/// The same with the floor that the equation prints: biased by -s / 2, errors up to s. For comparison only.
///
/// Name      "min_anchored_floor8.row".
template<unsigned Bits, std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct min_anchored_floor : grid_codec<grid_rule::min_anchored_floor, Bits, Group, Scale> {};

}  // namespace precis::codec
