#pragma once

#include <report/scale.hpp>
#include <report/svg.hpp>

#include <string>
#include <vector>

namespace report {

/// A marked value on a colour bar.
struct mark {
  double value = 0;
  std::string label;
};

/// The legend of a heatmap: a vertical strip of its colours with round numbers and marked values beside it.
struct colour_bar {
  std::string title = {};
  scale range = {};
  colour_map colours = sequential;
  double from = 0, to = 1;  ///< the part of the colour map between low and high
  std::vector<mark> marks = {};

  /// Width of the bar with its labels, in pixels.
  [[nodiscard]] double width() const;
  /// Height of the title above the bar, in pixels.
  [[nodiscard]] double title_height() const;
  /// The colour of a value; clamped to the bar.
  [[nodiscard]] rgb colour(double value) const;
  /// Draws the title and the bar, `height` pixels in total.
  void draw(drawing& out, point top_left, double height) const;
};

}  // namespace report
