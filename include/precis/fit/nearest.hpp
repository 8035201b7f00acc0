#pragma once

#include <precis/codec/grid/matrix.hpp>

#include <cstddef>
#include <span>

namespace precis::fit {

/// Every weight to the nearest code, on the grid that spans its group: what a codec's own `encode` does.
///
/// A fit chooses codes for an integer format; it is any type callable as fit(format, weights, packed).
/// Errors, cost    codec::encode_on_grids.
/// Source          methods D1, D2.
struct nearest {
  void operator()(const codec::grid_format& f, weight_view weights, std::span<std::byte> packed) const {
    codec::encode(f, weights, packed);
  }
};

}  // namespace precis::fit
