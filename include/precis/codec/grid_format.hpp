#pragma once

#include <precis/kernel/grid_format.hpp>

#include <string>

/// The integer and small float formats as values, and their names. What they are and how they are stored is the kernels' to say:
/// precis/kernel/grid_format.hpp.
namespace precis::kernel {

/// "affine4.g32", "symmetric8.row", "symmetric_full4.tensor", "min_anchored8.row", "e4m3.g32"; ".h": half scales.
[[nodiscard]] inline std::string to_string(const grid_format& f) {
  std::string name;
  switch (f.rule) {
    case grid_rule::affine: name = "affine"; break;
    case grid_rule::symmetric: name = "symmetric"; break;
    case grid_rule::symmetric_full: name = "symmetric_full"; break;
    case grid_rule::min_anchored: name = "min_anchored"; break;
    case grid_rule::min_anchored_floor: name = "min_anchored_floor"; break;
    case grid_rule::e4m3: name = "e4m3"; break;
    case grid_rule::e5m2: name = "e5m2"; break;
    case grid_rule::e2m1: name = "e2m1"; break;
  }
  if (!f.is_float()) name += std::to_string(f.code_bits);
  if (f.group == per_row)
    name += ".row";
  else if (f.group == per_tensor)
    name += ".tensor";
  else
    name += ".g" + std::to_string(f.group);
  if (f.scales == scale_type::float16) name += ".h";
  return name;
}

}  // namespace precis::kernel

namespace precis::codec {

using kernel::grid_format;
using kernel::grid_rule;
using kernel::per_row;
using kernel::per_tensor;
using kernel::scale_type;
using kernel::to_string;

}  // namespace precis::codec
