#pragma once

#include <precis/codec/grid/matrix.hpp>

namespace precis::codec {

/// CPTQuant's quantizer as published: codes count steps from the smallest weight.
///
///     s = (max x - min x) / (2^b - 1), q = rne((x - min x) / s) + q_min, q_min = -2^(b-1)
///     real = (q - q_min) s + min x
///
/// Zero is NOT exact: pruned weights decode to non-zero values. Use codec::affine after pruning; `pack` and `apply`
/// refuse min_anchored there.
///
/// Bits, Group, Scale, Errors, Cost    as in codec::affine. With half scales the minimum is rounded down, then the
///                                     scale up.
/// Name      "min_anchored8.row".
/// Layout    kernel::grid_format; the stored code is q - q_min, with a minimum per group instead of a zero point.
/// @post     the minimum is exact (float32 scales); a group of equal weights is exact.
/// Source    Nanda, Balija, Sahoo: CPTQuant, Eq. 1. Its text rounds to the nearest code, the equation prints floor
///           brackets.
template<unsigned Bits, std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct min_anchored : grid_codec<grid_rule::min_anchored, Bits, Group, Scale> {};

/// codec::min_anchored with the floor that Eq. 1 prints: biased by -s / 2, with errors up to s. For comparison only.
///
/// Name      "min_anchored_floor8.row".
/// Source    CPTQuant, Eq. 1.
template<unsigned Bits, std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct min_anchored_floor : grid_codec<grid_rule::min_anchored_floor, Bits, Group, Scale> {};

}  // namespace precis::codec
