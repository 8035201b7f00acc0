#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace report {

struct png_options {
  double zoom = 2;               ///< pixels of the PNG per pixel of the SVG
  std::string search_path = {};  ///< folders to look for a converter in, as in PATH; empty = the variable PATH
  int seconds = 60;              ///< a converter that takes longer is stopped
};

/// Converts a picture with the first of rsvg-convert, inkscape, magick and convert that can do it.
///
/// The converter reads its standard input and writes its standard output: no shell, and no file name of ours on its
/// command line. The target is written whole or not at all.
/// Returns   false when no converter is there or none gave a PNG; the target is then untouched.
/// Errors    a target that cannot be written.
[[nodiscard]] bool save_png(std::string_view svg, const std::filesystem::path& target, const png_options& options = {});

}  // namespace report
