#pragma once

#include <report/colour.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace report {

/// Text that is safe between XML tags and inside quoted attributes: markup is escaped; what XML forbids or what could
/// disturb the text around it (control characters, direction overrides, bytes that are not UTF-8) becomes visible.
[[nodiscard]] std::string escape(std::string_view text);

/// A token with visible white space: spaces become U+2423, line ends U+21B5, tabs U+21E5, and tokens of more than
/// `longest` characters are shortened in the middle. Not escaped yet.
[[nodiscard]] std::string token_label(std::string_view token, std::size_t longest = 32);

/// The code points of a text; a byte that is not UTF-8 counts as U+FFFD.
[[nodiscard]] std::u32string decode(std::string_view text);

/// A colour that follows the page's theme (its role is a CSS class), or a fixed one (no role).
struct paint {
  std::string_view role = {};
  rgb light = {};
  rgb dark = {};
};

inline constexpr paint ink{"ink", {31, 35, 40}, {230, 233, 236}};       ///< text
inline constexpr paint muted{"muted", {89, 96, 105}, {158, 166, 175}};  ///< secondary text, axes
inline constexpr paint faint{"faint", {221, 225, 230}, {58, 64, 71}};   ///< grid lines
inline constexpr paint hatching{"hatch", {150, 156, 163}, {110, 117, 125}};
inline constexpr paint paper{"paper", {255, 255, 255}, {22, 25, 29}};  ///< background
[[nodiscard]] constexpr paint fixed(rgb c) { return {.role = {}, .light = c, .dark = c}; }

/// The style rules that turn the roles above into their dark colours, for the page that embeds pictures.
[[nodiscard]] std::string dark_rules();

enum class anchor : std::uint8_t { start, middle, end };

/// The style of a text. Sizes are in pixels.
struct text_style {
  double size = 12;
  anchor at = anchor::start;
  bool bold = false;
  paint colour = ink;
  double turn = 0;  ///< degrees, clockwise, around the anchor point
};

/// Upper estimate of a text's width in pixels, for the widest of the common sans-serif fonts.
[[nodiscard]] double text_width(std::string_view text, double size, bool bold = false);
[[nodiscard]] inline double text_width(std::string_view text, const text_style& style) {
  return text_width(text, style.size, style.bold);
}

/// Breaks a text at spaces into lines of at most `width` pixels; longer words are broken anywhere.
[[nodiscard]] std::vector<std::string> wrap(std::string_view text, double width, double size, bool bold = false);

struct point {
  double x = 0, y = 0;
};

struct box {
  double x = 0, y = 0, width = 0, height = 0;

  [[nodiscard]] constexpr double right() const { return x + width; }
  [[nodiscard]] constexpr double bottom() const { return y + height; }
  [[nodiscard]] constexpr point centre() const { return {x + width / 2, y + height / 2}; }
};

struct line_style {
  paint colour = muted;
  double width = 1;
  std::string_view dashes = {};  ///< SVG's stroke-dasharray
};

/// Collects shapes and writes one SVG. Coordinates are in pixels, y down. Text is escaped here, once.
class drawing {
 public:
  /// A filled box; `tip` is its tooltip.
  void fill(box b, paint colour, std::string_view tip = {});
  /// The outline of a box, drawn inside its edges.
  void outline(box b, line_style style);
  /// A box of diagonal lines, for a missing value.
  void hatch(box b, std::string_view tip = {});
  void line(point from, point to, line_style style = {});
  void polyline(const std::vector<point>& points, line_style style);
  void polygon(const std::vector<point>& points, paint colour, double opacity = 1);
  void circle(point centre, double radius, paint colour, std::string_view tip = {});
  /// One line of text; `at` is on its baseline.
  void text(point at, std::string_view words, const text_style& style = {});
  /// One line of text whose height is centred on `at`.
  void text_centred(point at, std::string_view words, const text_style& style = {});
  /// Lines of text, the first baseline at `at`; returns the y below the last.
  double lines(point at, const std::vector<std::string>& words, const text_style& style = {});

  /// The whole picture. Title and description are for screen readers.
  [[nodiscard]] std::string finish(double width, double height, std::string_view title,
                                   std::string_view description) const;

 private:
  std::string body_;
};

}  // namespace report
