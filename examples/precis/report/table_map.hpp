#pragma once

#include <string>
#include <vector>

namespace report {

struct table_column {
  std::string name = {};   ///< "causal trace", "constant low"
  bool reference = false;  ///< set apart, and never the best of a row
};

/// Colours of a table: automatic is logarithmic if the largest shown value is more than four times the smallest.
enum class colouring { automatic, linear, logarithmic };

/// A table of measurements as a heatmap with numbers: rows are settings, columns are scorers, and lower is better.
struct table_map {
  std::string title = {};
  std::string subtitle = {};
  std::string row_title = {};          ///< "bits per tier (low, medium, high)"
  std::vector<std::string> rows = {};  ///< "8, 16, 24"
  std::vector<table_column> columns = {};
  std::vector<double> values = {};  ///< [rows x columns]; NaN = not measured, infinite = broken
  std::string measure = "perplexity";
  double original = 0;  ///< value of the uncompressed model, marked on the colour bar; 0 = not known
  colouring colours = colouring::automatic;
  double limit = 0;  ///< values above share one colour; 0 = four times the median, one digit
};

/// Draws one SVG picture. The lowest value of each row among the columns that are not references is outlined; numbers
/// have enough digits to distinguish it from the others.
/// Errors    a table without rows or columns, or with the wrong number of values.
[[nodiscard]] std::string draw(const table_map& map);

}  // namespace report
