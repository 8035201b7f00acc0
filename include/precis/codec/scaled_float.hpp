#pragma once

#include <precis/codec/grid/matrix.hpp>

namespace precis::codec {

/// Floats of 8 or 4 bits with a scale that a group shares.
///
///     s = max|x| / F (1 where x is all zero), F the largest finite float of the kind; code = the float nearest to x / s,
///     ties to even                                                                              real = s float(code)
///
///                  sign, exponent, mantissa bits     F        smallest above 0
///     e4m3                  1, 4, 3                448            2^-9
///     e5m2                  1, 5, 2              57344            2^-16
///     e2m1                  1, 2, 1                  6            0.5       (0, 0.5, 1, 1.5, 2, 3, 4, 6)
///
/// Group, Scale, Errors, Cost    as codec::affine.
/// Name      "e4m3.g32", "e2m1.row.h".
/// Layout    grid_format; the stored code is the float's.
/// @post     0 decodes to exactly 0, and -x to minus what x decodes to; the largest weight of a group is exact up to rounding.
/// @post     encoding decoded values on the same grids gives the same bytes.
/// Source    methods D4. The quotient is rounded to float first.
template<std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct e4m3 : grid_codec<grid_rule::e4m3, 8, Group, Scale> {};
template<std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct e5m2 : grid_codec<grid_rule::e5m2, 8, Group, Scale> {};
template<std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct e2m1 : grid_codec<grid_rule::e2m1, 4, Group, Scale> {};

}  // namespace precis::codec
