#pragma once

#include <precis/codec/grid/matrix.hpp>

#include <cstddef>
#include <span>

namespace precis::fit {

/// Rounds every weight to the nearest code on the grid that spans its group, like a codec's own `encode`.
///
/// A fit chooses codes for an integer or small-float format. It is any type that can be called as fit(format, weights,
/// packed).
/// Errors    those of codec::encode_on_grids.
/// Cost      that of codec::encode_on_grids.
/// Source    docs/methods/affine.md.
struct nearest {
  template<codec::format_set Formats = codec::every_format>
  void operator()(const codec::grid_format& f, weight_view weights, std::span<std::byte> packed) const {
    codec::encode<Formats>(f, weights, packed);
  }
};

}  // namespace precis::fit
