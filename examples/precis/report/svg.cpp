#include <report/svg.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <iterator>

namespace report {
namespace {

constexpr char32_t replacement = 0xFFFD;

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

std::string encode(std::u32string_view text) {
  std::string out;
  for (const char32_t c : text) append_utf8(out, c);
  return out;
}

/// Characters that XML forbids, and those that change the direction of the following text.
char32_t harmless(char32_t c) {
  if (c < 0x20) return 0x2400 + c;  // the Unicode pictures of control characters
  if (c == 0x7F) return 0x2421;
  if (c < 0xA0 && c > 0x7F) return replacement;
  if ((c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0x2028 || c == 0x2029) return replacement;
  if ((c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c <= 0xFDEF)) return replacement;
  return c;
}

/// A coordinate: two decimals are finer than any screen.
std::string number(double v) {
  if (!std::isfinite(v)) v = 0;
  std::string s = fmt::format("{:.2f}", v);
  while (s.back() == '0') s.pop_back();
  if (s.back() == '.') s.pop_back();
  return s == "-0" ? "0" : s;
}

std::string coordinates(const std::vector<point>& points) {
  std::string out;
  for (const point p : points) {
    if (!out.empty()) out += ' ';
    out += number(p.x) + "," + number(p.y);
  }
  return out;
}

std::string filled(const paint& p) {
  const std::string css = p.role.empty() ? "" : fmt::format(" class=\"f-{}\"", p.role);
  return css + fmt::format(" fill=\"{}\"", hex(p.light));
}

std::string stroked(const line_style& s) {
  std::string out = s.colour.role.empty() ? "" : fmt::format(" class=\"s-{}\"", s.colour.role);
  out += fmt::format(" stroke=\"{}\" stroke-width=\"{}\"", hex(s.colour.light), number(s.width));
  if (!s.dashes.empty()) out += fmt::format(" stroke-dasharray=\"{}\"", s.dashes);
  return out;
}

std::string closed(std::string_view element, std::string_view tip) {
  return tip.empty() ? "/>\n" : fmt::format("><title>{}</title></{}>\n", escape(tip), element);
}

/// Advance widths of DejaVu Sans in thousandths of the size, U+0020 to U+007E: the widest of the common sans-serif
/// fonts.
constexpr std::array<std::uint16_t, 95> advance{
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361,  318, 337, 636, 636, 636,
    636, 636, 636, 636, 636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632,
    575, 775, 752, 295, 295, 656, 557, 863, 748, 787, 603, 787, 695, 635,  611, 732, 684, 989, 685,
    611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635, 615, 352,  635, 634, 278, 278, 579,
    278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592,  525, 636, 337, 636, 838};

double thousandths(char32_t c, bool bold) {
  const double heavier = bold ? 80 : 0;
  if (c >= 0x20 && c < 0x7F) return advance[static_cast<std::size_t>(c) - 0x20] + heavier;
  if ((c >= 0x300 && c < 0x370) || (c >= 0x200B && c <= 0x200F) || c == 0xFE0F) return 0;  // combining, zero width
  if (c == 0x2423) return 640 + heavier;
  if (c < 0x250) return 700 + heavier;
  if (c < 0x2000) return 800 + heavier;
  if (c < 0x1F000) return 1030 + heavier;
  return 1350;
}

/// Identifies a text, so that pictures on one page do not share element names (FNV-1a).
std::uint64_t fingerprint(std::string_view text) {
  std::uint64_t h = 14695981039346656037u;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return h;
}

}  // namespace

std::u32string decode(std::string_view text) {
  std::u32string out;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
    const unsigned char first = byte(i);
    const std::size_t length = first < 0x80                    ? 1
                               : first >= 0xC2 && first < 0xE0 ? 2
                               : first >= 0xE0 && first < 0xF0 ? 3
                               : first >= 0xF0 && first < 0xF5 ? 4
                                                               : 0;
    char32_t c = length == 1 ? first : length == 2 ? first & 0x1Fu : length == 3 ? first & 0x0Fu : first & 0x07u;
    bool valid = length > 0 && i + length <= text.size();
    for (std::size_t k = 1; valid && k < length; ++k) {
      valid = (byte(i + k) & 0xC0) == 0x80;
      c = (c << 6) | (byte(i + k) & 0x3Fu);
    }
    constexpr std::array<char32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
    if (valid) valid = c >= smallest[length] && c <= 0x10FFFF && !(c >= 0xD800 && c <= 0xDFFF);
    out += valid ? c : replacement;
    i += valid ? length : 1;
  }
  return out;
}

std::string escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char32_t c : decode(text)) switch (c) {
      case U'&': out += "&amp;"; break;
      case U'<': out += "&lt;"; break;
      case U'>': out += "&gt;"; break;
      case U'"': out += "&quot;"; break;
      case U'\'': out += "&#39;"; break;
      default: append_utf8(out, harmless(c));
    }
  return out;
}

std::string token_label(std::string_view token, std::size_t longest) {
  std::u32string all = decode(token);
  if (all.empty()) return "\u2205";
  for (char32_t& c : all) c = c == U' ' ? U'\u2423' : c == U'\n' || c == U'\r' ? U'\u21B5' : c == U'\t' ? U'\u21E5' : c;
  if (all.size() > longest && longest >= 3) {
    const std::size_t head = longest / 2, tail = longest - head - 1;
    all = all.substr(0, head) + U'\u2026' + all.substr(all.size() - tail);
  }
  return encode(all);
}

std::string dark_rules() {
  std::string out;
  for (const paint& p : {ink, muted, faint, hatching, paper})
    out += fmt::format("svg .f-{0}{{fill:{1}}} svg .s-{0}{{stroke:{1}}}\n", p.role, hex(p.dark));
  return out;
}

double text_width(std::string_view text, double size, bool bold) {
  double sum = 0;
  for (const char32_t c : decode(text)) sum += thousandths(harmless(c), bold);
  return sum * size / 1000;
}

std::vector<std::string> wrap(std::string_view text, double width, double size, bool bold) {
  std::vector<std::string> out;
  std::string row;
  const auto fits = [&](const std::string& s) { return text_width(s, size, bold) <= width; };
  for (std::size_t at = text.find_first_not_of(" \n\t"); at != std::string_view::npos;
       at = text.find_first_not_of(" \n\t", at)) {
    const std::size_t stop = std::min(text.find_first_of(" \n\t", at), text.size());
    std::string word(text.substr(at, stop - at));
    at = stop;
    if (const std::string longer = row.empty() ? word : row + " " + word; fits(longer)) {
      row = longer;
      continue;
    }
    if (!row.empty()) out.push_back(std::exchange(row, {}));
    while (!fits(word)) {
      const std::u32string all = decode(word);
      std::size_t kept = all.size();
      while (kept > 1 && !fits(encode(all.substr(0, kept)))) --kept;
      if (kept == all.size()) break;
      out.push_back(encode(all.substr(0, kept)));
      word = encode(all.substr(kept));
    }
    row = std::move(word);
  }
  if (!row.empty()) out.push_back(std::move(row));
  return out;
}

void drawing::fill(box b, paint colour, std::string_view tip) {
  body_ += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"{} shape-rendering=\"crispEdges\"",
                       number(b.x), number(b.y), number(b.width), number(b.height), filled(colour)) +
           closed("rect", tip);
}

void drawing::outline(box b, line_style style) {
  const double half = style.width / 2;
  body_ += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\"{}/>\n", number(b.x + half),
                       number(b.y + half), number(std::max(0.0, b.width - style.width)),
                       number(std::max(0.0, b.height - style.width)), stroked(style));
}

void drawing::hatch(box b, std::string_view tip) {
  fill(b, paper, tip);
  // Lines x + y = s, clipped to the box: a pattern element would need an id, which two pictures could share.
  std::string path;
  constexpr double step = 6;
  for (double s = std::ceil((b.x + b.y) / step) * step; s < b.right() + b.bottom(); s += step) {
    const double left = std::max(b.x, s - b.bottom()), right = std::min(b.right(), s - b.y);
    if (right > left)
      path += fmt::format("M{} {}L{} {}", number(left), number(s - left), number(right), number(s - right));
  }
  body_ += fmt::format("<path d=\"{}\" fill=\"none\" pointer-events=\"none\"{}/>\n", path.empty() ? "M0 0" : path,
                       stroked({.colour = hatching, .width = 1}));
}

void drawing::line(point from, point to, line_style style) {
  body_ += fmt::format("<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"{}/>\n", number(from.x), number(from.y),
                       number(to.x), number(to.y), stroked(style));
}

void drawing::polyline(const std::vector<point>& points, line_style style) {
  body_ += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke-linejoin=\"round\"{}/>\n", coordinates(points),
                       stroked(style));
}

void drawing::polygon(const std::vector<point>& points, paint colour, double opacity) {
  body_ += fmt::format("<polygon points=\"{}\"{}", coordinates(points), filled(colour));
  if (opacity < 1) body_ += fmt::format(" fill-opacity=\"{}\"", number(opacity));
  body_ += "/>\n";
}

void drawing::circle(point centre, double radius, paint colour, std::string_view tip) {
  body_ += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"{}\"{}", number(centre.x), number(centre.y), number(radius),
                       filled(colour)) +
           closed("circle", tip);
}

void drawing::text(point at, std::string_view words, const text_style& style) {
  constexpr std::array<std::string_view, 3> names{"start", "middle", "end"};
  body_ += fmt::format("<text x=\"{}\" y=\"{}\" font-size=\"{}\"", number(at.x), number(at.y), number(style.size));
  if (style.at != anchor::start) body_ += fmt::format(" text-anchor=\"{}\"", names[static_cast<std::size_t>(style.at)]);
  if (style.bold) body_ += " font-weight=\"bold\"";
  if (style.turn != 0)
    body_ += fmt::format(" transform=\"rotate({} {} {})\"", number(style.turn), number(at.x), number(at.y));
  body_ += filled(style.colour) + ">" + escape(words) + "</text>\n";
}

void drawing::text_centred(point at, std::string_view words, const text_style& style) {
  // The middle of digits and capitals is 0.36 of the size above the baseline.
  const double down = 0.36 * style.size, angle = style.turn * 3.14159265358979323846 / 180;
  text({at.x - down * std::sin(angle), at.y + down * std::cos(angle)}, words, style);
}

double drawing::lines(point at, const std::vector<std::string>& words, const text_style& style) {
  const double pitch = std::round(1.35 * style.size);
  for (const std::string& row : words) {
    text(at, row, style);
    at.y += pitch;
  }
  return at.y;
}

std::string drawing::finish(double width, double height, std::string_view title, std::string_view description) const {
  width = std::ceil(width);
  height = std::ceil(height);
  const std::uint64_t id = fingerprint(body_ + std::string(title) + std::string(description));
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" "
      "aria-labelledby=\"t{2:016x} d{2:016x}\" "
      "font-family=\"system-ui, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif\">\n"
      "<title id=\"t{2:016x}\">{3}</title>\n<desc id=\"d{2:016x}\">{4}</desc>\n",
      number(width), number(height), id, escape(title), escape(description));
  out += fmt::format("<rect width=\"{}\" height=\"{}\"{}/>\n", number(width), number(height), filled(paper));
  return out + body_ + "</svg>\n";
}

}  // namespace report
