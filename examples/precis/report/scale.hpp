#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace report {

/// A number for a table cell: `digits` significant digits from 0.001 to 9999, "1.2e5" outside, "n/a" for NaN.
[[nodiscard]] std::string short_number(double value, int digits = 4);

enum class spacing { linear, logarithmic };

/// The range of an axis or a colour bar. low < high; both > 0 if logarithmic.
struct scale {
  double low = 0, high = 1;
  spacing kind = spacing::linear;

  /// The position of `value`: 0 at low, 1 at high; not clamped.
  [[nodiscard]] double at(double value) const;
};

/// The smallest scale that holds every finite value (positive ones if logarithmic); [0, 1] or [1, 10] if there are
/// none. If all values are equal, the scale extends to both sides of them.
[[nodiscard]] scale scale_of(std::span<const double> values, spacing kind = spacing::linear);

/// Widens a scale to whole steps (linear), or by a twentieth at both ends (logarithmic).
[[nodiscard]] scale widened(scale s, std::size_t about);

struct tick {
  double value = 0;
  std::string label;
};

/// Round numbers (1, 2, 5 times a power of ten) inside the scale, about `about` of them, low to high.
[[nodiscard]] std::vector<tick> ticks(scale s, std::size_t about);

/// Moves positions apart until neighbours are at least `gap` away from each other, keeping their order and staying
/// inside [low, high] if they fit; otherwise they extend below low. Positions may come in any order.
[[nodiscard]] std::vector<double> spread(std::vector<double> positions, double gap, double low, double high);

}  // namespace report
