#include <report/chart.hpp>

#include <report/svg.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace report {
namespace {

constexpr double margin = 16, plot_height = 280;
constexpr text_style title_style{.size = 15, .bold = true}, subtitle_style{.size = 12, .colour = muted},
    axis_style{.size = 12}, tick_style{.size = 11, .colour = muted}, legend_style{.size = 12};

// Medium luminance: contrast of at least 3 : 1 on the light and the dark page. They differ in lightness, not only in
// hue.
constexpr std::array tier_colours{rgb{125, 134, 145}, rgb{32, 120, 190}, rgb{205, 85, 20}};
constexpr std::array series_colours{rgb{32, 110, 190}, rgb{205, 85, 20}, rgb{20, 140, 100},
                                    rgb{180, 80, 160}, rgb{165, 120, 0}, rgb{110, 115, 125}};
constexpr std::array<std::string_view, 3> series_dashes{"", "7 3", "2 3"};

double real(std::size_t n) { return static_cast<double>(n); }

/// The rectangle of the data, its scales, and how values become pixels.
struct plot {
  box area;
  scale x, y;

  [[nodiscard]] double px(double v) const { return area.x + area.width * x.at(v); }
  [[nodiscard]] double py(double v) const { return area.bottom() - area.height * std::clamp(y.at(v), 0.0, 1.0); }
};

double widest_label(const std::vector<tick>& marks) {
  double widest = 0;
  for (const tick& t : marks) widest = std::max(widest, text_width(t.label, tick_style));
  return widest;
}

/// Grid lines and numbers of the vertical axis, and its rotated name.
void draw_y_axis(drawing& out, const plot& p, const std::vector<tick>& marks, double name_x,
                 const std::vector<std::string>& name) {
  for (const tick& t : marks) {
    out.line({p.area.x, p.py(t.value)}, {p.area.right(), p.py(t.value)}, {.colour = faint});
    out.text_centred({p.area.x - 8, p.py(t.value)}, t.label, {.size = 11, .at = anchor::end, .colour = muted});
  }
  double x = name_x;
  for (const std::string& line : name) {
    out.text_centred({x, p.area.centre().y}, line, {.size = 12, .at = anchor::middle, .turn = -90});
    x += 16;
  }
}

/// Lines across the plot with their names to the right, moved apart where they would overlap.
void draw_levels(drawing& out, const plot& p, const std::vector<level>& levels) {
  std::vector<double> wanted;
  for (const level& l : levels) wanted.push_back(p.py(l.value));
  const std::vector<double> placed = spread(wanted, 15, p.area.y, p.area.bottom());
  for (std::size_t i = 0; i < levels.size(); ++i) {
    out.line({p.area.x, wanted[i]}, {p.area.right(), wanted[i]}, {.colour = ink, .width = 1.2, .dashes = "5 4"});
    out.line({p.area.right(), wanted[i]}, {p.area.right() + 8, placed[i]}, {.colour = ink, .width = 1});
    out.text_centred({p.area.right() + 11, placed[i]}, levels[i].label, tick_style);
  }
}

double level_room(const std::vector<level>& levels) {
  double widest = 0;
  for (const level& l : levels) widest = std::max(widest, text_width(l.label, tick_style));
  return levels.empty() ? 8 : std::ceil(widest) + 12;
}

/// Levels with a finite value: the ones that can be drawn.
std::vector<level> finite(const std::vector<level>& levels, spacing kind) {
  std::vector<level> out;
  for (const level& l : levels)
    if (std::isfinite(l.value) && (kind == spacing::linear || l.value > 0)) out.push_back(l);
  return out;
}

struct legend_entry {
  std::string name;
  std::size_t index = 0;
};

void draw_marker(drawing& out, point at, std::size_t index, std::string_view tip = {}) {
  const paint colour = fixed(series_colours[index % series_colours.size()]);
  constexpr double r = 4;
  switch (index % 4) {
    case 0: out.circle(at, r, colour, tip); break;
    case 1: out.fill({at.x - r, at.y - r, 2 * r, 2 * r}, colour, tip); break;
    case 2: out.polygon({{at.x, at.y - r - 1}, {at.x + r + 1, at.y + r}, {at.x - r - 1, at.y + r}}, colour); break;
    default:
      out.polygon({{at.x, at.y - r - 1}, {at.x + r + 1, at.y}, {at.x, at.y + r + 1}, {at.x - r - 1, at.y}}, colour);
  }
}

line_style series_line(std::size_t index) {
  return {.colour = fixed(series_colours[index % series_colours.size()]),
          .width = 2,
          .dashes = series_dashes[(index / series_colours.size()) % series_dashes.size()]};
}

/// Names in rows, each after its sample; returns the y below. `sample` draws 28 pixels wide, centred on the point.
template<class Sample>
double draw_legend(drawing& out, point at, double width, const std::vector<legend_entry>& entries, Sample sample) {
  double x = at.x;
  for (const legend_entry& e : entries) {
    const std::vector<std::string> name = wrap(e.name, width - 40, legend_style.size);
    double longest = 0;
    for (const std::string& line : name) longest = std::max(longest, text_width(line, legend_style));
    if (x > at.x && x + 36 + longest > at.x + width) {
      x = at.x;
      at.y += 20;
    }
    sample(point{x + 14, at.y}, e.index);
    double y = at.y;
    for (const std::string& line : name) {
      out.text_centred({x + 36, y}, line, legend_style);
      y += 16;
    }
    if (name.size() > 1) at.y = y - 16;
    x += 36 + longest + 22;
  }
  return entries.empty() ? at.y - 10 : at.y + 14;
}

double draw_note(drawing& out, point at, const std::string& note) {
  if (note.empty()) return at.y;
  out.text({at.x, at.y + 12}, note, tick_style);
  return at.y + 18;
}

}  // namespace

std::string draw(const bar_chart& chart) {
  if (chart.bars.empty()) precis::refuse({.what = "no bars", .where = "bar_chart", .expected = "at least one"});
  const std::size_t n = chart.bars.size();
  const std::vector<level> levels = finite(chart.levels, spacing::linear);

  std::vector<double> values{0};
  for (const level& l : levels) values.push_back(l.value);
  std::size_t hidden = 0;
  for (const bar& b : chart.bars) {
    values.push_back(b.value);
    hidden += std::isfinite(b.value) ? 0 : 1;
  }
  if (std::ranges::all_of(values, [](double v) { return v == 0 || !std::isfinite(v); })) values.push_back(1);
  plot p{.area = {}, .x = {.low = 0, .high = real(n)}, .y = widened(scale_of(values), 6)};
  const std::vector<tick> marks = ticks(p.y, 6);

  // Labels are horizontal if they fit their slot; otherwise numbers are thinned out evenly and names are slanted.
  double longest = 0;
  bool numbers = true;
  for (const bar& b : chart.bars) {
    longest = std::max(longest, text_width(b.label, tick_style));
    numbers = numbers && !b.label.empty() && b.label.find_first_not_of("0123456789") == std::string::npos;
  }
  const double slot = std::clamp(std::floor(560 / real(n)), numbers ? 10.0 : 18.0, 72.0);
  const bool lean = !numbers && longest + 8 > slot;
  std::size_t every = 1;
  if (numbers)
    for (const std::size_t candidate : {1u, 2u, 5u, 10u, 20u, 50u, 100u}) {
      every = candidate;
      if (slot * real(candidate) >= longest + 5) break;
    }
  constexpr double slant = 0.70710678118654752;
  const double label_height = lean ? longest * slant + 14 : 18;

  const std::vector<std::string> value_name = wrap(chart.value_label, plot_height, axis_style.size);
  const double left_of_numbers = 16 * real(value_name.size()) + 8;
  double left = margin + left_of_numbers + widest_label(marks) + 8;
  if (lean)  // a slanted label extends to the left of its bar
    for (std::size_t i = 0; i < n; ++i)
      left = std::max(left, margin + text_width(chart.bars[i].label, tick_style) * slant + 8 - (real(i) + 0.5) * slot);
  const double data_width = std::max(slot * real(n), 240.0);
  const double width = std::max(left + data_width + level_room(levels) + margin, 480.0), content = width - 2 * margin;

  drawing out;
  double y = out.lines({margin, margin + 13}, wrap(chart.title, content, title_style.size, true), title_style);
  y = out.lines({margin, y - 2}, wrap(chart.subtitle, content, subtitle_style.size), subtitle_style);
  std::vector<legend_entry> entries;
  for (std::size_t k = 0; k < 3; ++k)
    if (std::ranges::any_of(chart.bars, [&](const bar& b) { return static_cast<std::size_t>(b.group) == k; }))
      entries.push_back({chart.tier_names[k], k});
  y = draw_legend(out, {margin, y + 4}, content, entries,
                  [&](point at, std::size_t k) { out.fill({at.x - 14, at.y - 6, 28, 12}, fixed(tier_colours[k])); });

  p.area = {left, y + 8, data_width, plot_height};
  draw_y_axis(out, p, marks, left - 8 - widest_label(marks) - left_of_numbers + 8, value_name);
  const double pitch = data_width / real(n), bar_width = std::min(std::max(pitch * 0.72, pitch - 14), 48.0);
  const double zero = p.py(0);
  for (std::size_t i = 0; i < n; ++i) {
    const bar& b = chart.bars[i];
    const double x = p.area.x + (real(i) + 0.5) * pitch;
    const std::string tip =
        fmt::format("{}: {} ({})", b.label, short_number(b.value), chart.tier_names[static_cast<std::size_t>(b.group)]);
    if (std::isfinite(b.value)) {
      const double end = p.py(b.value);
      out.fill({x - bar_width / 2, std::min(end, zero), bar_width, std::max(std::abs(end - zero), 1.0)},
               fixed(tier_colours[static_cast<std::size_t>(b.group)]), tip);
    } else {
      out.hatch({x - bar_width / 2, std::max(zero - 24, p.area.y), bar_width, zero - std::max(zero - 24, p.area.y)},
                tip);
    }
    const double below = p.area.bottom() + 15;
    if (lean)
      out.text({x + 4, below - 3}, b.label, {.size = 11, .at = anchor::end, .colour = muted, .turn = -45});
    else if (i % every == 0)
      out.text({x, below}, b.label, {.size = 11, .at = anchor::middle, .colour = muted});
  }
  out.line({p.area.x, zero}, {p.area.right(), zero}, {.colour = muted, .width = 1.2});
  draw_levels(out, p, levels);

  double bottom = p.area.bottom() + label_height + 16;
  for (const std::string& line : wrap(chart.category_label, data_width, axis_style.size)) {
    out.text({p.area.centre().x, bottom}, line, {.size = 12, .at = anchor::middle});
    bottom += 16;
  }
  bottom =
      draw_note(out, {margin, bottom - 4}, hidden ? fmt::format("hatched: {} without a finite value", hidden) : "");

  const auto highest =
      std::ranges::max_element(chart.bars, {}, [](const bar& b) { return std::isfinite(b.value) ? b.value : -1e308; });
  return out.finish(width, bottom + 6, chart.title,
                    fmt::format("Bar chart of {} values of {}; highest {} at {}.", n, chart.value_label,
                                short_number(highest->value), highest->label));
}

std::string draw(const line_chart& chart) {
  if (chart.lines.empty()) precis::refuse({.what = "no series", .where = "line_chart", .expected = "at least one"});
  const auto showable = [&](const series_point& q) {
    return std::isfinite(q.x) && std::isfinite(q.y) && (chart.x == spacing::linear || q.x > 0) &&
           (chart.y == spacing::linear || q.y > 0);
  };
  const std::vector<level> levels = finite(chart.levels, chart.y);
  std::vector<double> xs, ys;
  std::size_t hidden = 0, shown = 0;
  for (const series& s : chart.lines)
    for (const series_point& q : s.points) {
      if (!showable(q)) {
        ++hidden;
        continue;
      }
      ++shown;
      xs.push_back(q.x);
      ys.insert(ys.end(), {q.y, q.low, q.high});
    }
  for (const level& l : levels) ys.push_back(l.value);
  plot p{.area = {}, .x = widened(scale_of(xs, chart.x), 8), .y = widened(scale_of(ys, chart.y), 6)};
  const std::vector<tick> x_marks = ticks(p.x, 8), y_marks = ticks(p.y, 6);

  const std::vector<std::string> y_name = wrap(chart.y_label, plot_height, axis_style.size);
  const double left = margin + 16 * real(y_name.size()) + 8 + widest_label(y_marks) + 8, data_width = 600;
  const double width = left + data_width + std::max(level_room(levels), 24.0) + margin, content = width - 2 * margin;

  drawing out;
  double y = out.lines({margin, margin + 13}, wrap(chart.title, content, title_style.size, true), title_style);
  y = out.lines({margin, y - 2}, wrap(chart.subtitle, content, subtitle_style.size), subtitle_style);
  std::vector<legend_entry> entries;
  for (std::size_t i = 0; i < chart.lines.size(); ++i) entries.push_back({chart.lines[i].name, i});
  y = draw_legend(out, {margin, y + 4}, content, entries, [&](point at, std::size_t i) {
    if (chart.lines[i].joined) out.line({at.x - 14, at.y}, {at.x + 14, at.y}, series_line(i));
    draw_marker(out, at, i);
  });

  p.area = {left, y + 8, data_width, plot_height};
  draw_y_axis(out, p, y_marks, margin + 8, y_name);
  double last = -1e9;
  for (const tick& t : x_marks) {
    const double x = p.px(t.value), half = text_width(t.label, tick_style) / 2;
    out.line({x, p.area.y}, {x, p.area.bottom() + 4}, {.colour = faint});
    if (x - half < last + 6) continue;
    out.text({x, p.area.bottom() + 17}, t.label, {.size = 11, .at = anchor::middle, .colour = muted});
    last = x + half;
  }
  out.line({p.area.x, p.area.bottom()}, {p.area.right(), p.area.bottom()}, {.colour = muted, .width = 1.2});
  draw_levels(out, p, levels);

  const auto bounded = [&](const series_point& q) {
    return showable(q) && std::isfinite(q.low) && std::isfinite(q.high) && (chart.y == spacing::linear || q.low > 0);
  };
  std::string ranges;
  for (std::size_t i = 0; i < chart.lines.size(); ++i) {
    const series& s = chart.lines[i];
    const paint colour = fixed(series_colours[i % series_colours.size()]);
    std::vector<point> joined, band_top, band_bottom;
    const auto flush_band = [&] {
      band_top.insert(band_top.end(), band_bottom.rbegin(), band_bottom.rend());
      if (band_top.size() > 2) out.polygon(band_top, colour, 0.18);
      band_top.clear();
      band_bottom.clear();
    };
    const auto flush_line = [&] {
      if (joined.size() > 1) out.polyline(joined, series_line(i));
      joined.clear();
    };
    if (s.shown_as == uncertainty::band) {
      for (const series_point& q : s.points) {
        if (!bounded(q)) {
          flush_band();
          continue;
        }
        band_top.push_back({p.px(q.x), p.py(q.high)});
        band_bottom.push_back({p.px(q.x), p.py(q.low)});
      }
      flush_band();
    }
    for (const series_point& q : s.points) {
      if (s.joined && showable(q))
        joined.push_back({p.px(q.x), p.py(q.y)});
      else
        flush_line();
    }
    flush_line();
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (const series_point& q : s.points) {
      if (!showable(q)) continue;
      const point at{p.px(q.x), p.py(q.y)};
      if (s.shown_as == uncertainty::bars && bounded(q)) {
        const line_style whisker{.colour = colour, .width = 1.5};
        for (const double end : {p.py(q.low), p.py(q.high)}) out.line({at.x - 4, end}, {at.x + 4, end}, whisker);
        out.line({at.x, p.py(q.low)}, {at.x, p.py(q.high)}, whisker);
      }
      draw_marker(out, at, i, fmt::format("{}: {} at {}", s.name, short_number(q.y), short_number(q.x)));
      low = std::min(low, q.y);
      high = std::max(high, q.y);
    }
    ranges += low <= high ? fmt::format(" {}: {} to {}.", s.name, short_number(low), short_number(high)) : "";
  }
  if (shown == 0) out.text_centred(p.area.centre(), "no data", {.size = 13, .at = anchor::middle, .colour = muted});

  double bottom = p.area.bottom() + 36;
  for (const std::string& line : wrap(chart.x_label, data_width, axis_style.size)) {
    out.text({p.area.centre().x, bottom}, line, {.size = 12, .at = anchor::middle});
    bottom += 16;
  }
  const bool logarithmic = chart.x == spacing::logarithmic || chart.y == spacing::logarithmic;
  bottom = draw_note(
      out, {margin, bottom - 4},
      hidden ? fmt::format("not shown: {} without a finite{} value", hidden, logarithmic ? " positive" : "") : "");
  return out.finish(width, bottom + 6, chart.title,
                    fmt::format("Line chart of {} against {}.", chart.y_label, chart.x_label) + ranges);
}

}  // namespace report
