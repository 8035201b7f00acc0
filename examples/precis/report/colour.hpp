#pragma once

#include <cstdint>
#include <string>

/// Drawing for the program: plain value structs in, SVG and HTML text out.
namespace report {

/// One sRGB colour.
struct rgb {
  std::uint8_t red = 0, green = 0, blue = 0;

  bool operator==(const rgb&) const = default;
};

inline constexpr rgb black{0, 0, 0};
inline constexpr rgb white{255, 255, 255};

/// "#rrggbb".
[[nodiscard]] std::string hex(rgb c);

/// Relative luminance, 0 (black) to 1 (white).
/// Source    WCAG 2.1, definition of relative luminance.
[[nodiscard]] double luminance(rgb c);

/// Contrast of two colours, 1 (same) to 21 (black on white); small text needs at least 4.5.
/// Source    WCAG 2.1, definition of contrast ratio.
[[nodiscard]] double contrast(rgb a, rgb b);

/// Black or white, whichever has more contrast on `background`.
/// @post contrast(ink_on(c), c) >= 4.58 for every c: the product of the two contrasts is 21, so one is >= sqrt(21).
[[nodiscard]] rgb ink_on(rgb background);

/// Dark indigo, blue, green, yellow: equal steps of t are equal steps of lightness. t is clamped to [0, 1].
/// @post luminance rises with t, over every step of 0.01 (8-bit rounding hides smaller steps).
[[nodiscard]] rgb sequential(double t);

/// Blue below 0.5, near white at 0.5, red above. t is clamped to [0, 1].
/// @post luminance rises up to t = 0.5 and falls after it, over every step of 0.01.
[[nodiscard]] rgb diverging(double t);

using colour_map = rgb (*)(double t);

}  // namespace report
