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

/// Converts a picture with the first of rsvg-convert, inkscape, magick and convert that succeeds.
///
/// The converter reads standard input and writes standard output: there is no shell, and its command line contains no
/// file names. The target is written atomically.
/// Returns   false if no converter is installed or none wrote a PNG; the target is then unchanged.
/// Errors    a target that cannot be written.
[[nodiscard]] bool save_png(std::string_view svg, const std::filesystem::path& target, const png_options& options = {});

}  // namespace report
