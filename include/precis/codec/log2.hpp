#pragma once

#include <precis/codec/grid/matrix.hpp>

namespace precis::codec {

/// Powers of two (log2), or of its square root (log_sqrt2), below a scale that a group shares: for tensors without negative
/// values of which most are small, such as attention probabilities. Multiplying by one is a shift.
///
///     s = max x (1 where x is all zero), r = x / s
///     log2       k = rne(-log2 r)                                                                   real = s 2^-k
///     log_sqrt2  k = rne(-2 log2 r)                                                                 real = s 2^(-k/2)
///
/// Codes     k as it is, 0 ... 2^Bits - 2, and 2^Bits - 1 for 0, which is what r = 0 and larger k become.
/// Bits      3 or 4: with 5 half of the levels would lie below s / 30000.
/// Group, Scale, Cost    as codec::affine.
/// Name      "log2_4.g32", "log_sqrt2_3.row.h".
/// Layout    grid_format, without zero points.
/// Errors    as codec::affine; a weight below 0, by row and column.
/// @post     0 decodes to exactly 0; the largest weight of a group is exact (half scales: up to their rounding).
/// @post     encoding decoded values on the same grids gives the same bytes.
/// Source    methods D6 (RepQuant).
/// Differs   there every code is a level and nothing stands for 0, which only a quantizer that stores nothing can do. The quotient
///           is rounded to float first.
template<unsigned Bits, std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct log2 : grid_codec<grid_rule::log2, Bits, Group, Scale> {};
template<unsigned Bits, std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct log_sqrt2 : grid_codec<grid_rule::log_sqrt2, Bits, Group, Scale> {};

}  // namespace precis::codec
