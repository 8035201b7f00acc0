#pragma once

#include <precis/codec/grid/matrix.hpp>
#include <precis/kernel/ieee.hpp>

namespace precis::codec {
PRECIS_IEEE_BEGIN

/// Floats of 8 or 4 bits (FP8, FP4) with one scale per group.
///
///     s = max|x| / F (1 if x is all zero), F = the largest finite float of the type
///     code = the float nearest to x / s, ties to even
///     real = s float(code)
///
///                  sign, exponent, mantissa bits     F        smallest above 0
///     e4m3                  1, 4, 3                448            2^-9
///     e5m2                  1, 5, 2              57344            2^-16
///     e2m1                  1, 2, 1                  6            0.5       (0, 0.5, 1, 1.5, 2, 3, 4, 6)
///
/// Group, Scale, Errors, Cost    as in codec::affine.
/// Name      "e4m3.g32", "e2m1.row.h".
/// Layout    kernel::grid_format; the stored code is the bit pattern of the float.
/// @post     0 decodes to exactly 0; decoded(-x) == -decoded(x); the largest weight of a group is exact up to rounding.
/// @post     encoding decoded weights again on the same grids gives the same bytes.
/// Source    docs/methods/scaled_float.md: the OCP formats OFP8 (Micikevicius et al. 2022, arXiv:2209.05433) and MX.
/// Differs   the quotient x / s is rounded to float before it is rounded to a code.
template<std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct e4m3 : grid_codec<grid_rule::e4m3, 8, Group, Scale> {};
template<std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct e5m2 : grid_codec<grid_rule::e5m2, 8, Group, Scale> {};
template<std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct e2m1 : grid_codec<grid_rule::e2m1, 4, Group, Scale> {};

PRECIS_IEEE_END
}  // namespace precis::codec
