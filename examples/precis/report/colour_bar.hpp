#pragma once

#include <report/scale.hpp>
#include <report/svg.hpp>

#include <string>
#include <vector>

namespace report {

/// A value worth finding on a colour bar.
struct mark {
  double value = 0;
  std::string label;
};

/// The legend of a heatmap: a strip of its colours, upright, with round numbers and marked values beside it.
struct colour_bar {
  std::string title = {};
  scale range = {};
  colour_map colours = sequential;
  double from = 0, to = 1;  ///< the stretch of the colour map that low and high stand for
  std::vector<mark> marks = {};

  /// Pixels of the bar with its labels.
  [[nodiscard]] double width() const;
  /// Pixels of the title above the bar.
  [[nodiscard]] double title_height() const;
  /// The colour of a value; clamped to the bar.
  [[nodiscard]] rgb colour(double value) const;
  /// Draws title and bar, `height` pixels in all.
  void draw(drawing& out, point top_left, double height) const;
};

}  // namespace report
