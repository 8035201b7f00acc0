#pragma once

// Reads the output of `report` with independent code: a strict XML reader and the geometry of the texts in an SVG.

#include <report/svg.hpp>

#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace picture {

struct element {
  std::string name;
  std::map<std::string, std::string> attributes;
  std::string text;  ///< unescaped, without the text of children
  std::string parent;
};

struct document {
  std::vector<element> elements;  ///< in the order of their start tags
  std::string fault;              ///< empty = well-formed
};

/// XML 1.0 without DTD internals, comments, CDATA and processing instructions: our writers use none of them.
class reader {
 public:
  explicit reader(std::string_view text) : text_(text) {}

  document read() {
    check_characters();
    if (text_.substr(0, 15) == "<!DOCTYPE html>") at_ = 15;
    skip_blank();
    while (out_.fault.empty() && at_ < text_.size()) step();
    if (out_.fault.empty() && !open_.empty()) fail("element not closed: " + out_.elements[open_.back()].name);
    if (out_.fault.empty() && roots_ != 1) fail("not exactly one root");
    return std::move(out_);
  }

 private:
  void fail(const std::string& why) {
    if (out_.fault.empty()) out_.fault = why + " at byte " + std::to_string(at_);
  }
  void skip_blank() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }

  /// UTF-8 by its table of well-formed byte sequences (Unicode 15, table 3-7), and XML's Char production.
  void check_characters() {
    const auto in = [&](std::size_t i, int low, int high) {
      const int b = i < text_.size() ? static_cast<unsigned char>(text_[i]) : -1;
      return b >= low && b <= high;
    };
    for (std::size_t i = 0; i < text_.size();) {
      std::size_t n = 0;
      if (in(i, 0x20, 0x7E) || in(i, 9, 10))
        n = 1;
      else if (in(i, 0xC2, 0xDF) && in(i + 1, 0x80, 0xBF))
        n = 2;
      else if (in(i, 0xE0, 0xE0) && in(i + 1, 0xA0, 0xBF) && in(i + 2, 0x80, 0xBF))
        n = 3;
      else if (in(i, 0xED, 0xED) && in(i + 1, 0x80, 0x9F) && in(i + 2, 0x80, 0xBF))
        n = 3;
      else if (!in(i, 0xED, 0xED) && in(i, 0xE1, 0xEF) && in(i + 1, 0x80, 0xBF) && in(i + 2, 0x80, 0xBF))
        n = 3;
      else if (in(i, 0xF0, 0xF0) && in(i + 1, 0x90, 0xBF) && in(i + 2, 0x80, 0xBF) && in(i + 3, 0x80, 0xBF))
        n = 4;
      else if (in(i, 0xF1, 0xF3) && in(i + 1, 0x80, 0xBF) && in(i + 2, 0x80, 0xBF) && in(i + 3, 0x80, 0xBF))
        n = 4;
      else if (in(i, 0xF4, 0xF4) && in(i + 1, 0x80, 0x8F) && in(i + 2, 0x80, 0xBF) && in(i + 3, 0x80, 0xBF))
        n = 4;
      const bool noncharacter = n == 3 && in(i, 0xEF, 0xEF) && in(i + 1, 0xBF, 0xBF) && in(i + 2, 0xBE, 0xBF);
      if (n == 0 || noncharacter) {
        at_ = i;
        fail("a byte that XML forbids");
        return;
      }
      i += n;
    }
  }

  std::string name() {
    const std::size_t from = at_;
    while (at_ < text_.size() &&
           (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '-' || text_[at_] == ':'))
      ++at_;
    if (from == at_) fail("a name is missing");
    return std::string(text_.substr(from, at_ - from));
  }

  /// One character of text or of an attribute's value, entities resolved.
  std::string character() {
    if (text_[at_] == '<') fail("a bare <");
    if (text_[at_] != '&') return {text_[at_++]};
    static const std::map<std::string, std::string, std::less<>> known{
        {"amp", "&"}, {"lt", "<"}, {"gt", ">"}, {"quot", "\""}, {"#39", "'"}};
    const std::size_t end = text_.find(';', at_);
    const auto found = end == std::string_view::npos ? known.end() : known.find(text_.substr(at_ + 1, end - at_ - 1));
    if (found == known.end()) {
      fail("an unknown entity or a bare &");
      return {};
    }
    at_ = end + 1;
    return found->second;
  }

  void step() {
    if (text_[at_] != '<') {
      const bool blank = text_[at_] == '\n' || text_[at_] == ' ';
      const std::string c = character();
      if (!open_.empty())
        out_.elements[open_.back()].text += c;
      else if (!blank)
        fail("text outside the root");
      return;
    }
    ++at_;
    if (at_ < text_.size() && text_[at_] == '/') {
      ++at_;
      const std::string closing = name();
      if (open_.empty() || out_.elements[open_.back()].name != closing)
        return fail("</" + closing + "> closes nothing");
      open_.pop_back();
      if (at_ >= text_.size() || text_[at_++] != '>') fail("> is missing");
      return;
    }
    element e{
        .name = name(), .attributes = {}, .text = {}, .parent = open_.empty() ? "" : out_.elements[open_.back()].name};
    for (;;) {
      const std::size_t before = at_;
      skip_blank();
      if (!out_.fault.empty() || at_ >= text_.size()) return fail("a tag does not end");
      if (text_[at_] == '>' || text_[at_] == '/') break;
      if (before == at_) return fail("a blank is missing between attributes");
      const std::string key = name();
      if (text_.substr(at_, 2) != "=\"") return fail("=\" is missing after " + key);
      at_ += 2;
      std::string value;
      while (at_ < text_.size() && text_[at_] != '"' && out_.fault.empty()) value += character();
      ++at_;
      if (!e.attributes.emplace(key, value).second) return fail("attribute twice: " + key);
    }
    if (open_.empty()) ++roots_;
    out_.elements.push_back(e);
    if (text_[at_] == '/')
      ++at_;
    else
      open_.push_back(out_.elements.size() - 1);
    if (at_ >= text_.size() || text_[at_++] != '>') fail("> is missing");
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t roots_ = 0;
  std::vector<std::size_t> open_;
  document out_;
};

inline document read(std::string_view text) { return reader(text).read(); }

inline double value(const element& e, const std::string& attribute) {
  const auto at = e.attributes.find(attribute);
  return at == e.attributes.end() ? 0 : std::strtod(at->second.c_str(), nullptr);
}

inline report::rgb colour(const element& e) {
  const std::string& text = e.attributes.at("fill");
  const auto part = [&](std::size_t i) { return static_cast<std::uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)); };
  return {part(1), part(3), part(5)};
}

/// The corners of a text, by the width estimate; letters extend from 0.73 of the size above to 0.21 below the baseline.
struct quad {
  std::array<report::point, 4> corners;
  std::string words;
};

inline quad text_quad(const element& e) {
  const double size = value(e, "font-size"), x = value(e, "x"), y = value(e, "y");
  const bool bold = e.attributes.count("font-weight") == 1;
  const double width = report::text_width(e.text, size, bold);
  const auto found = e.attributes.find("text-anchor");
  const double left = found == e.attributes.end() ? x : found->second == "middle" ? x - width / 2 : x - width;
  quad q{.corners = {{{left, y - 0.73 * size},
                      {left + width, y - 0.73 * size},
                      {left + width, y + 0.21 * size},
                      {left, y + 0.21 * size}}},
         .words = e.text};
  if (const auto turned = e.attributes.find("transform"); turned != e.attributes.end()) {
    const double angle = std::strtod(turned->second.c_str() + 7, nullptr) * 3.14159265358979 / 180;  // after "rotate("
    for (report::point& p : q.corners) {
      const double dx = p.x - x, dy = p.y - y;
      p = {x + dx * std::cos(angle) - dy * std::sin(angle), y + dx * std::sin(angle) + dy * std::cos(angle)};
    }
  }
  return q;
}

/// Separating axes: two convex quads overlap unless one lies entirely beyond a side of the other.
inline bool overlap(const quad& a, const quad& b) {
  for (const quad* q : {&a, &b})
    for (std::size_t i = 0; i < 4; ++i) {
      const report::point from = q->corners[i], to = q->corners[(i + 1) % 4];
      const report::point axis{to.y - from.y, from.x - to.x};
      double low[2]{1e300, 1e300}, high[2]{-1e300, -1e300};
      for (int k = 0; k < 2; ++k)
        for (const report::point p : (k == 0 ? a : b).corners) {
          const double along = p.x * axis.x + p.y * axis.y;
          low[k] = std::min(low[k], along);
          high[k] = std::max(high[k], along);
        }
      if (high[0] <= low[1] || high[1] <= low[0]) return false;
    }
  return true;
}

/// The faults of an SVG as text; empty if there are none. `touching` finds overlapping texts.
inline std::string faults(const std::string& svg, bool touching = true) {
  const document d = read(svg);
  if (!d.fault.empty()) return d.fault;
  const element& root = d.elements.front();
  if (root.name != "svg" || root.attributes.at("role") != "img") return "the root is no svg with role img";
  if (d.elements.size() < 3 || d.elements[1].name != "title" || d.elements[2].name != "desc")
    return "title and desc are not first";
  if (root.attributes.at("aria-labelledby") !=
      d.elements[1].attributes.at("id") + " " + d.elements[2].attributes.at("id"))
    return "aria-labelledby does not name title and desc";
  if (d.elements[1].text.empty() || d.elements[2].text.empty()) return "title or desc is empty";
  const double width = value(root, "width"), height = value(root, "height");
  std::string out;
  std::vector<quad> texts;
  for (const element& e : d.elements) {
    for (const auto& [key, v] : e.attributes)
      if (v.find("nan") != std::string::npos || v.find("inf") != std::string::npos) out += key + "=" + v + "; ";
    if (e.name == "rect" &&
        (value(e, "x") < 0 || value(e, "y") < 0 || value(e, "x") + value(e, "width") > width + 0.01 ||
         value(e, "y") + value(e, "height") > height + 0.01 || value(e, "width") < 0 || value(e, "height") < 0))
      out += "a rect sticks out; ";
    if (e.name != "text") continue;
    if (value(e, "font-size") < 11) out += "tiny text: " + e.text + "; ";
    texts.push_back(text_quad(e));
    for (const report::point p : texts.back().corners)
      if (p.x < 0 || p.y < 0 || p.x > width || p.y > height) {
        out += "cut off: " + e.text + "; ";
        break;
      }
  }
  for (std::size_t i = 0; touching && i < texts.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (overlap(texts[i], texts[j])) out += "'" + texts[i].words + "' over '" + texts[j].words + "'; ";
  return out;
}

/// The heat cells: rects with a tooltip, in drawing order.
inline std::vector<element> cells(const std::string& svg) {
  const document d = read(svg);
  std::vector<element> out;
  for (std::size_t i = 0; i + 1 < d.elements.size(); ++i)
    if (d.elements[i].name == "rect" && d.elements[i + 1].name == "title" && d.elements[i + 1].parent == "rect") {
      out.push_back(d.elements[i]);
      out.back().text = d.elements[i + 1].text;
    }
  return out;
}

}  // namespace picture
