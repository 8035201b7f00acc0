#pragma once

#include <report/scale.hpp>

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace report {

enum class tier : std::uint8_t { low, medium, high };

struct bar {
  std::string label = {};  ///< "0" for a layer, or a unit's name
  double value = 0;        ///< a value that is not finite is drawn as a hatched stub
  tier group = tier::medium;
};

/// A line across a chart at a value, with its name at the right end.
struct level {
  double value = 0;
  std::string label = {};
};

/// Layer scores, coloured by the tier of each layer.
struct bar_chart {
  std::string title = {};
  std::string subtitle = {};
  std::string category_label = {};  ///< "layer"
  std::string value_label = {};     ///< with its unit: "score (probability)"
  std::vector<bar> bars = {};
  std::vector<level> levels = {};  ///< "z = -0.5" and "z = +0.5"
  std::array<std::string, 3> tier_names{"low", "medium", "high"};
};

struct series_point {
  double x = 0, y = 0;
  double low = std::numeric_limits<double>::quiet_NaN();  ///< bounds of y; NaN = not known
  double high = std::numeric_limits<double>::quiet_NaN();
};

enum class uncertainty : std::uint8_t { bars, band };

struct series {
  std::string name = {};
  std::vector<series_point> points = {};  ///< joined in this order; a point that is not finite leaves a gap
  uncertainty shown_as = uncertainty::bars;
  bool joined = true;  ///< false: marks only
};

/// Several series over one x axis, for instance perplexity against megabytes.
struct line_chart {
  std::string title = {};
  std::string subtitle = {};
  std::string x_label = {};  ///< with its unit: "size (MB)"
  std::string y_label = {};
  std::vector<series> lines = {};
  std::vector<level> levels = {};  ///< "original 29.4"
  spacing x = spacing::linear;
  spacing y = spacing::linear;
};

/// Each draws one SVG picture. Values that cannot be shown (not finite, or not positive on a logarithmic axis) are
/// counted in a note below it. Errors: a bar chart without bars; a line chart without series.
[[nodiscard]] std::string draw(const bar_chart& chart);
[[nodiscard]] std::string draw(const line_chart& chart);

}  // namespace report
