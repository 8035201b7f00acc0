#pragma once

#include <precis/codec/grid/matrix.hpp>
#include <precis/kernel/ieee.hpp>

namespace precis::codec {
PRECIS_IEEE_BEGIN

/// Powers of two (log2) or of its square root (log_sqrt2) below one scale per group, for tensors with many small values
/// and no negative ones, such as attention probabilities. Multiplying by such a value is a shift.
///
///     s = max x (1 if x is all zero), r = x / s
///     log2       k = rne(-log2 r)                                                                   real = s 2^-k
///     log_sqrt2  k = rne(-2 log2 r)                                                                 real = s 2^(-k/2)
///
/// Codes     k itself, 0 ... 2^Bits - 2; code 2^Bits - 1 stands for 0, to which r = 0 and larger k are rounded.
/// Bits      3 or 4. With 5 bits, half of the levels would lie below s / 30000.
/// Group, Scale, Cost    as in codec::affine.
/// Name      "log2_4.g32", "log_sqrt2_3.row.h".
/// Layout    kernel::grid_format, without zero points.
/// Errors    those of codec::affine; a weight below 0, by row and column.
/// @post     0 decodes to exactly 0; the largest weight of a group is exact (half scales: up to their rounding).
/// @post     encoding decoded weights again on the same grids gives the same bytes.
/// Source    docs/methods/log2.md: the quantizer of RepQuant (Li et al. 2024, arXiv:2402.05628).
/// Differs   RepQuant only simulates quantization, so it can use every code as a level and still round small values to
///           0; here one code is reserved for 0. The quotient is rounded to float before its logarithm is taken.
template<unsigned Bits, std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct log2 : grid_codec<grid_rule::log2, Bits, Group, Scale> {};
template<unsigned Bits, std::size_t Group = per_row, scale_type Scale = scale_type::float32>
struct log_sqrt2 : grid_codec<grid_rule::log_sqrt2, Bits, Group, Scale> {};

PRECIS_IEEE_END
}  // namespace precis::codec
