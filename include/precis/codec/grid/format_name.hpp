#if !defined(PRECIS_CODEC_GRID_FORMAT_NAME)
#define PRECIS_CODEC_GRID_FORMAT_NAME

#include <precis/kernel/packed_format.hpp>

#include <string>

/// The names of the integer and small-float formats. precis/kernel/grid_format.hpp defines the formats and their
/// layout, precis/kernel/packed_format.hpp reads the names.
namespace precis::kernel {

/// The name of a format: "affine4.g32", "symmetric8.row", "symmetric_full4.tensor", "min_anchored8.row", "e4m3.g32",
/// "log2_4.g32". The suffix ".h" stands for half scales.
template<class = void>
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
    case grid_rule::log2: name = "log2_"; break;
    case grid_rule::log_sqrt2: name = "log_sqrt2_"; break;
  }
  if (!f.is_float() || f.is_power()) name += std::to_string(f.code_bits);
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
using kernel::parse_grid_format;
using kernel::per_row;
using kernel::per_tensor;
using kernel::scale_type;
using kernel::to_string;

}  // namespace precis::codec

#endif  // PRECIS_CODEC_GRID_FORMAT_NAME
