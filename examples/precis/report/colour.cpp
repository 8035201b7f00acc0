#include <report/colour.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>

namespace report {
namespace {

/// OKLab: a space in which straight lines look like even blends. L is lightness, 0 to 1.
struct lab {
  double l = 0, a = 0, b = 0;
};

double to_linear(std::uint8_t channel) {
  const double c = channel / 255.0;
  return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
}

std::uint8_t from_linear(double c) {
  c = std::clamp(c, 0.0, 1.0);
  const double coded = c <= 0.0031308 ? 12.92 * c : 1.055 * std::pow(c, 1 / 2.4) - 0.055;
  return static_cast<std::uint8_t>(std::lround(255 * coded));
}

// The two conversions: Bjoern Ottosson, "A perceptual color space for image processing" (2020).
lab to_lab(rgb c) {
  const double r = to_linear(c.red), g = to_linear(c.green), b = to_linear(c.blue);
  const double l = std::cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const double m = std::cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const double s = std::cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return {.l = 0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
          .a = 1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
          .b = 0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s};
}

rgb to_rgb(lab c) {
  const auto cube = [](double x) { return x * x * x; };
  const double l = cube(c.l + 0.3963377774 * c.a + 0.2158037573 * c.b);
  const double m = cube(c.l - 0.1055613458 * c.a - 0.0638541728 * c.b);
  const double s = cube(c.l - 0.0894841775 * c.a - 1.2914855480 * c.b);
  return {.red = from_linear(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
          .green = from_linear(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
          .blue = from_linear(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)};
}

/// Blends evenly spaced anchors. Hue and chroma come from the anchors, lightness is one straight line from the first to
/// the last, so that equal steps of t look equally far apart.
rgb blend(std::span<const rgb> anchors, double t) {
  t = t >= 0 ? std::min(t, 1.0) : 0.0;  // NaN goes to 0
  const double at = t * static_cast<double>(anchors.size() - 1);
  const std::size_t i = std::min(static_cast<std::size_t>(at), anchors.size() - 2);
  const double w = at - static_cast<double>(i);
  const lab low = to_lab(anchors[i]), high = to_lab(anchors[i + 1]);
  const double first = to_lab(anchors.front()).l, last = to_lab(anchors.back()).l;
  return to_rgb(
      {.l = first + (last - first) * t, .a = low.a + (high.a - low.a) * w, .b = low.b + (high.b - low.b) * w});
}

}  // namespace

std::string hex(rgb c) { return fmt::format("#{:02x}{:02x}{:02x}", c.red, c.green, c.blue); }

double luminance(rgb c) { return 0.2126 * to_linear(c.red) + 0.7152 * to_linear(c.green) + 0.0722 * to_linear(c.blue); }

double contrast(rgb a, rgb b) {
  const double x = luminance(a), y = luminance(b);
  return (std::max(x, y) + 0.05) / (std::min(x, y) + 0.05);
}

rgb ink_on(rgb background) { return contrast(black, background) >= contrast(white, background) ? black : white; }

rgb sequential(double t) {
  static constexpr std::array anchors{rgb{45, 15, 90},   rgb{61, 62, 140},  rgb{46, 107, 150}, rgb{33, 145, 140},
                                      rgb{75, 185, 110}, rgb{160, 215, 75}, rgb{248, 232, 80}};
  return blend(anchors, t);
}

rgb diverging(double t) {
  static constexpr std::array below{rgb{30, 75, 155}, rgb{120, 165, 215}, rgb{245, 244, 242}};
  static constexpr std::array above{rgb{245, 244, 242}, rgb{232, 145, 115}, rgb{165, 25, 35}};
  return t > 0.5 ? blend(above, 2 * t - 1) : blend(below, 2 * t);
}

}  // namespace report
