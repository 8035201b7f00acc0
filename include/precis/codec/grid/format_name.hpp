#pragma once

#include <precis/kernel/grid_format.hpp>

#include <charconv>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

/// The names of the integer and small-float formats. precis/kernel/grid_format.hpp defines the formats and their
/// layout.
namespace precis::kernel {

/// The name of a format: "affine4.g32", "symmetric8.row", "symmetric_full4.tensor", "min_anchored8.row", "e4m3.g32",
/// "log2_4.g32". The suffix ".h" stands for half scales.
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

/// The format called `name`, or nullopt.
/// @post parse_grid_format(to_string(f)) == f; every other spelling gives nullopt.
[[nodiscard]] inline std::optional<grid_format> parse_grid_format(std::string_view name) {
  struct family {
    std::string_view word;
    grid_rule rule;
    unsigned bits;  // 0: stated by the name
  };
  constexpr family families[] = {{"affine", grid_rule::affine, 0},
                                 {"symmetric_full", grid_rule::symmetric_full, 0},
                                 {"symmetric", grid_rule::symmetric, 0},
                                 {"min_anchored_floor", grid_rule::min_anchored_floor, 0},
                                 {"min_anchored", grid_rule::min_anchored, 0},
                                 {"e4m3", grid_rule::e4m3, 8},
                                 {"e5m2", grid_rule::e5m2, 8},
                                 {"e2m1", grid_rule::e2m1, 4},
                                 {"log2_", grid_rule::log2, 0},
                                 {"log_sqrt2_", grid_rule::log_sqrt2, 0}};
  const auto number = [](std::string_view& text, auto& value) {
    const char* const end = text.data() + text.size();
    text.remove_prefix(static_cast<std::size_t>(std::from_chars(text.data(), end, value).ptr - text.data()));
  };
  for (const family& each : families) {
    if (!name.starts_with(each.word)) continue;
    grid_format f{.rule = each.rule, .code_bits = each.bits};
    std::string_view rest = name.substr(each.word.size());
    if (each.bits == 0) number(rest, f.code_bits);
    if (f.code_bits < 2 || (f.code_bits > 8 && f.code_bits != 16 && f.code_bits != 24)) return std::nullopt;
    if (f.is_power() && f.code_bits != 3 && f.code_bits != 4) return std::nullopt;
    if (rest.ends_with(".h")) f.scales = scale_type::float16;
    if (rest.starts_with(".tensor")) f.group = per_tensor;
    if (rest.starts_with(".g")) {
      rest.remove_prefix(2);
      number(rest, f.group);
    }
    return to_string(f) == name ? std::optional(f) : std::nullopt;  // any leftover characters make the names differ
  }
  return std::nullopt;
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
