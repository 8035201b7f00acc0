#pragma once

#include <precis/codec/packing.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

namespace precis::codec {

/// Weights that share one scale: `group` consecutive ones along `in` (the last group of a row may be shorter) ...
inline constexpr std::size_t per_row =
    std::numeric_limits<std::size_t>::max();  ///< ... a whole row (output channel) ...
inline constexpr std::size_t per_tensor = 0;  ///< ... or the whole matrix

/// How reals map to evenly spaced codes. See affine.hpp, symmetric.hpp and min_anchored.hpp.
enum class grid_rule { affine, symmetric, symmetric_full, min_anchored, min_anchored_floor };

/// How scales (and the minima of min_anchored) are stored.
enum class scale_type { float32, float16 };

/// One format of the integer family, as a value: what the codec types of this folder are made of.
///
/// Stored layout, everything little-endian, nothing aligned, no header (out and in are known to whoever stores it):
///
///     scales        groups x float32 or float16; groups of row 0 first, left to right
///     zero points   affine: groups x code_bits, one stream (packing.hpp)
///       or minima   min_anchored: groups x float32 or float16
///     codes         out rows, each a stream of in codes of code_bits, padded with zeros to a whole byte
///
/// Stored codes are never negative. Affine: the code q itself, 0 ... 2^b - 1. Symmetric: q + 2^(b-1) - 1;
/// symmetric_full: q + 2^(b-1); min_anchored: q - q_min. So one line decodes all but the last:
/// scale * (code - zero_point) with a constant zero point; min_anchored is scale * code + minimum.
struct grid_format {
  grid_rule rule = grid_rule::affine;
  unsigned code_bits = 8;       ///< 2 ... 8, 16 or 24
  std::size_t group = per_row;  ///< weights a scale, or per_row, or per_tensor
  scale_type scales = scale_type::float32;

  bool operator==(const grid_format&) const = default;

  [[nodiscard]] constexpr bool has_minimum() const noexcept {
    return rule == grid_rule::min_anchored || rule == grid_rule::min_anchored_floor;
  }
  [[nodiscard]] constexpr bool keeps_zero() const noexcept { return !has_minimum(); }
  [[nodiscard]] constexpr bool wide() const noexcept { return code_bits > 8; }
  [[nodiscard]] constexpr std::size_t scale_bytes() const noexcept { return scales == scale_type::float32 ? 4 : 2; }

  /// The largest stored code.
  [[nodiscard]] constexpr std::int32_t top_code() const noexcept {
    const auto all = static_cast<std::int32_t>((1u << code_bits) - 1u);
    return rule == grid_rule::symmetric ? all - 1 : all;
  }
  /// The stored code of real 0 where it is the same for every group: the symmetric rules.
  [[nodiscard]] constexpr std::int32_t fixed_zero_point() const noexcept {
    const auto half = static_cast<std::int32_t>(1u << (code_bits - 1));
    return rule == grid_rule::symmetric ? half - 1 : rule == grid_rule::symmetric_full ? half : 0;
  }

  [[nodiscard]] constexpr std::size_t groups_per_row(std::size_t in) const noexcept {
    if (group == per_tensor || in == 0) return 0;  // a tensor's one group belongs to no row
    return group >= in ? 1 : (in - 1) / group + 1;
  }
  [[nodiscard]] constexpr std::size_t groups(std::size_t out, std::size_t in) const noexcept {
    if (out == 0 || in == 0) return 0;
    return group == per_tensor ? 1 : out * groups_per_row(in);
  }

  /// Byte offsets of the parts.
  struct layout {
    std::size_t groups = 0;
    std::size_t second = 0;     ///< where zero points or minima start
    std::size_t codes = 0;      ///< where the codes of row 0 start
    std::size_t row_bytes = 0;  ///< from the codes of one row to those of the next
    std::size_t bytes = 0;      ///< of everything
  };
  [[nodiscard]] constexpr layout layout_of(std::size_t out, std::size_t in) const noexcept {
    layout l;
    l.groups = groups(out, in);
    l.second = l.groups * scale_bytes();
    l.codes = l.second;
    if (rule == grid_rule::affine) l.codes += packed_bytes(l.groups, code_bits);
    if (has_minimum()) l.codes += l.groups * scale_bytes();
    l.row_bytes = packed_bytes(in, code_bits);
    l.bytes = l.codes + out * l.row_bytes;
    return l;
  }
};

/// "affine4.g32", "symmetric8.row", "symmetric_full4.tensor", "min_anchored8.row"; ".h" at the end: half scales.
[[nodiscard]] inline std::string to_string(const grid_format& f) {
  std::string name;
  switch (f.rule) {
    case grid_rule::affine: name = "affine"; break;
    case grid_rule::symmetric: name = "symmetric"; break;
    case grid_rule::symmetric_full: name = "symmetric_full"; break;
    case grid_rule::min_anchored: name = "min_anchored"; break;
    case grid_rule::min_anchored_floor: name = "min_anchored_floor"; break;
  }
  name += std::to_string(f.code_bits);
  if (f.group == per_row)
    name += ".row";
  else if (f.group == per_tensor)
    name += ".tensor";
  else
    name += ".g" + std::to_string(f.group);
  if (f.scales == scale_type::float16) name += ".h";
  return name;
}

}  // namespace precis::codec
