#include <report/table_map.hpp>

#include <report/colour_bar.hpp>
#include <report/svg.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace report {
namespace {

constexpr double margin = 16, row_height = 32, set_apart = 12;
constexpr text_style title_style{.size = 15, .bold = true}, subtitle_style{.size = 12, .colour = muted},
    row_style{.size = 12}, name_style{.size = 12, .at = anchor::middle, .bold = true},
    cell_style{.size = 13, .at = anchor::middle};

double real(std::size_t n) { return static_cast<double>(n); }

/// One broken setting must not make the others look alike: the colour scale ends at four times the median or below.
double colour_limit(const std::vector<double>& values) {
  std::vector<double> sorted;
  for (const double v : values)
    if (std::isfinite(v)) sorted.push_back(v);
  if (sorted.empty()) return std::numeric_limits<double>::infinity();
  std::ranges::sort(sorted);
  const double bound = 4 * sorted[(sorted.size() - 1) / 2];
  if (bound <= sorted.front() || sorted.back() <= bound) return sorted.back();
  const double digit = std::pow(10, std::floor(std::log10(bound)));
  return std::max(std::floor(bound / digit) * digit, sorted.front());
}

colour_bar bar_of(const table_map& map) {
  const double limit = map.limit > 0 ? map.limit : colour_limit(map.values);
  const bool original = std::isfinite(map.original) && map.original > 0;
  std::vector<double> shown;
  bool saturated = false;
  for (const double v : map.values) {
    saturated = saturated || v > limit;
    if (std::isfinite(v)) shown.push_back(std::min(v, limit));
  }
  if (original) shown.push_back(map.original);

  const scale linear = scale_of(shown);
  const bool positive = std::ranges::all_of(shown, [](double v) { return v > 0; });
  const bool logarithmic = positive && (map.colours == colouring::logarithmic ||
                                        (map.colours == colouring::automatic && linear.high > 4 * linear.low));
  colour_bar bar{.title = map.measure,
                 .range = logarithmic ? scale_of(shown, spacing::logarithmic) : linear,
                 .from = 1,
                 .to = 0};  // lower is better, and better is brighter
  if (original) bar.marks.push_back({map.original, "original " + short_number(map.original)});
  if (saturated) bar.marks.push_back({bar.range.high, "\u2265 " + short_number(bar.range.high)});
  return bar;
}

/// The lowest value of row r among the columns that are not references; infinity if there is none.
double best_of(const table_map& map, std::size_t r) {
  double best = std::numeric_limits<double>::infinity();
  for (std::size_t c = 0; c < map.columns.size(); ++c) {
    const double v = map.values[r * map.columns.size() + c];
    if (!map.columns[c].reference && std::isfinite(v)) best = std::min(best, v);
  }
  return best;
}

/// Four digits, or up to six where fewer do not distinguish the best of the row from the others.
int digits_of(const table_map& map, std::size_t r) {
  const double best = best_of(map, r);
  for (int digits = 4; digits <= 6; ++digits) {
    bool told_apart = true;
    for (std::size_t c = 0; c < map.columns.size(); ++c) {
      const double v = map.values[r * map.columns.size() + c];
      if (!map.columns[c].reference && v != best && short_number(v, digits) == short_number(best, digits))
        told_apart = false;
    }
    if (told_apart) return digits;
  }
  return 4;
}

/// Columns are as wide as their longest word (up to 150 pixels) or number.
double column_width(const table_map& map) {
  double width = 64;
  for (std::size_t i = 0; i < map.values.size(); ++i) {
    const std::string number = short_number(map.values[i], digits_of(map, i / map.columns.size()));
    width = std::max(width, text_width(number, cell_style.size, true) + 20);
  }
  for (const table_column& c : map.columns)
    for (std::size_t at = 0; at < c.name.size();) {
      const std::size_t stop = std::min(c.name.find(' ', at), c.name.size());
      width = std::max(width, std::min(text_width(c.name.substr(at, stop - at), name_style), 150.0) + 12);
      at = stop + 1;
    }
  return std::ceil(width);
}

/// Lines of text whose last baseline is at `last`.
void lines_ending_at(drawing& out, point last, const std::vector<std::string>& words, const text_style& style) {
  for (std::size_t i = 0; i < words.size(); ++i)
    out.text({last.x, last.y - 16 * real(words.size() - 1 - i)}, words[i], style);
}

void draw_cell(drawing& out, box cell, double value, const std::string& number, rgb background, bool best,
               const std::string& tip) {
  const box inner{cell.x + 1, cell.y + 1, cell.width - 2, cell.height - 2};
  if (std::isnan(value)) {
    out.hatch(inner, tip);
    const double half = text_width(number, cell_style) / 2 + 4;
    out.fill({cell.centre().x - half, cell.centre().y - 10, 2 * half, 20}, paper);
    out.text_centred(cell.centre(), number, {.size = 13, .at = anchor::middle, .colour = muted});
    return;
  }
  out.fill(inner, fixed(background), tip);
  if (best) {  // a dark and a light line are visible on every colour
    out.outline({inner.x - 0.5, inner.y - 0.5, inner.width + 1, inner.height + 1}, {.colour = ink, .width = 2.5});
    out.outline({inner.x + 2, inner.y + 2, inner.width - 4, inner.height - 4}, {.colour = paper, .width = 1.5});
  }
  out.text_centred(cell.centre(), number,
                   {.size = 13, .at = anchor::middle, .bold = best, .colour = fixed(ink_on(background))});
}

}  // namespace

std::string draw(const table_map& map) {
  const std::size_t rows = map.rows.size(), columns = map.columns.size();
  if (rows == 0 || columns == 0 || map.values.size() != rows * columns)
    precis::refuse({.what = fmt::format("{} values for {} rows x {} columns", map.values.size(), rows, columns),
                    .where = "table_map",
                    .expected = "at least one row and column, and a value for each pair"});
  const colour_bar bar = bar_of(map);
  const double width_of_cell = column_width(map);

  const std::vector<std::string> row_title = wrap(map.row_title, 150, 12, true);
  double label_width = 40;
  for (const std::string& row : map.rows) label_width = std::max(label_width, text_width(row, row_style));
  for (const std::string& line : row_title) label_width = std::max(label_width, text_width(line, 12, true));
  label_width = std::ceil(label_width) + 12;

  std::vector<std::vector<std::string>> names;
  std::size_t heading_lines = row_title.size();
  for (const table_column& c : map.columns) {
    names.push_back(wrap(c.name, width_of_cell - 10, name_style.size, true));
    heading_lines = std::max(heading_lines, names.back().size());
  }

  std::vector<double> left{margin + label_width};  // of each column; references are set apart
  for (std::size_t c = 1; c < columns; ++c)
    left.push_back(left.back() + width_of_cell +
                   (map.columns[c].reference != map.columns[c - 1].reference ? set_apart : 0));
  constexpr double bar_gap = 28;
  const double right = left.back() + width_of_cell;
  const double width = std::max(right + bar_gap + bar.width() + margin, 492.0), content = width - 2 * margin;

  drawing out;
  double y = out.lines({margin, margin + 13}, wrap(map.title, content, title_style.size, true), title_style);
  y = out.lines({margin, y - 2}, wrap(map.subtitle, content, subtitle_style.size), subtitle_style) + 4;
  const double top = y + std::max(16 * real(heading_lines), bar.title_height());
  lines_ending_at(out, {left.front() - 10, top - 7}, row_title, {.size = 12, .at = anchor::end, .bold = true});
  for (std::size_t c = 0; c < columns; ++c)
    lines_ending_at(out, {left[c] + width_of_cell / 2, top - 7}, names[c], name_style);

  bool any_best = false;
  std::string winners;
  for (std::size_t r = 0; r < rows; ++r) {
    const double row_top = top + real(r) * row_height, best = best_of(map, r);
    const int digits = digits_of(map, r);
    out.text_centred({left.front() - 10, row_top + row_height / 2}, map.rows[r], {.size = 12, .at = anchor::end});
    for (std::size_t c = 0; c < columns; ++c) {
      const double v = map.values[r * columns + c];
      const bool wins = !map.columns[c].reference && std::isfinite(v) && v == best;
      const std::string number = short_number(v, digits);
      draw_cell(out, {left[c], row_top, width_of_cell, row_height}, v, number, bar.colour(v), wins,
                fmt::format("{}, {}: {}", map.rows[r], map.columns[c].name, short_number(v, 6)));
      if (wins) winners += fmt::format(" {}: {} with {}.", map.rows[r], number, map.columns[c].name);
      any_best = any_best || wins;
    }
  }

  const double grid_height = row_height * real(rows),
               bar_height = bar.title_height() + std::clamp(grid_height, 110.0, 260.0);
  bar.draw(out, {right + bar_gap, top - bar.title_height()}, bar_height);
  double bottom = std::max(top + grid_height, top - bar.title_height() + bar_height) + 14;
  if (any_best) {
    const box swatch{margin, bottom, 22, 14};
    out.outline(swatch, {.colour = ink, .width = 2.5});
    out.text_centred({swatch.right() + 8, swatch.centre().y}, "best scorer of the row", {.size = 11, .colour = muted});
    bottom = swatch.bottom() + 6;
  }
  return out.finish(width, bottom + 8, map.title,
                    fmt::format("Heatmap of {} for {} settings by {} columns. Best scorer of each row:{}", map.measure,
                                rows, columns, any_best ? winners : " none."));
}

}  // namespace report
