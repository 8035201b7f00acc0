#include <report/heatmap.hpp>

#include <report/colour_bar.hpp>
#include <report/svg.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace report {
namespace {

constexpr double margin = 16, widest_picture = 1100;
constexpr text_style title_style{.size = 15, .bold = true}, subtitle_style{.size = 12, .colour = muted},
    panel_style{.size = 13, .bold = true}, row_style{.size = 12}, tick_style{.size = 11, .colour = muted};

double real(std::size_t n) { return static_cast<double>(n); }

void check_filled(std::size_t rows, std::size_t columns, std::size_t values, const std::string& picture) {
  if (rows == 0 || columns == 0)
    precis::refuse({.what = fmt::format("a grid of {} rows and {} columns", rows, columns),
                    .where = picture,
                    .expected = "at least one of each"});
  if (values != rows * columns)
    precis::refuse({.what = fmt::format("{} values for {} rows x {} columns", values, rows, columns),
                    .where = picture,
                    .expected = fmt::format("{} values", rows * columns)});
}

/// Three decimals, or the leading digits of smaller numbers.
std::string probability(double p) { return p >= 0.001 && p <= 1 ? fmt::format("{:.3f}", p) : short_number(p, 2); }

/// Panels over rows and layers, shared by the trace of one fact and the averages by role.
struct grid_figure {
  std::string title, subtitle, description;
  struct row {
    std::string label;
    bool bold = false;
  };
  std::vector<row> rows;
  std::size_t layers = 0;
  const std::vector<panel>* panels = nullptr;
  colour_bar bar;
  std::string unmeasured;  ///< meaning of a hatched cell

  [[nodiscard]] std::string draw() const;

 private:
  [[nodiscard]] double cell_height() const { return rows.size() <= 12 ? 22 : 17; }
  void draw_panel(drawing& out, const panel& p, point at, double cell_width, bool labelled) const;
};

std::string grid_figure::draw() const {
  double label_width = 0;
  for (const row& r : rows) label_width = std::max(label_width, text_width(r.label, row_style.size, r.bold));
  label_width = std::ceil(label_width) + 10;

  // As many panels side by side as fit, at least one; each line of panels repeats the row labels.
  const double gap = 22, bar_width = bar.width(), bar_gap = 24, grid_height = cell_height() * real(rows.size());
  const double room = widest_picture - 2 * margin - label_width - bar_gap - bar_width;
  double cell_width = std::clamp(std::floor(250 / real(layers)), 10.0, 40.0),
         slot = std::max(cell_width * real(layers), 150.0);
  const double fitting = std::max(1.0, std::floor((room + gap) / (slot + gap)));
  const std::size_t across = std::min(std::max<std::size_t>(panels->size(), 1), static_cast<std::size_t>(fitting));
  if (across == 1) {  // a panel alone in its line may be wider
    cell_width = std::clamp(std::floor(std::min(room, 624.0) / real(layers)), cell_width, 40.0);
    slot = std::max(cell_width * real(layers), 240.0);
  }
  const double panels_width = real(across) * (slot + gap) - gap;
  const double content = std::max(label_width + panels_width + bar_gap + bar_width, 460.0),
               width = content + 2 * margin;

  drawing out;
  double y = out.lines({margin, margin + 13}, wrap(title, content, title_style.size, true), title_style);
  y = out.lines({margin, y - 2}, wrap(subtitle, content, subtitle_style.size), subtitle_style);

  std::size_t title_lines = 1;
  for (const panel& p : *panels)
    title_lines = std::max(title_lines, wrap(p.title, slot, panel_style.size, true).size());
  const double heading = 18 * real(title_lines) + 4;
  const double top = y, axis = 40;
  bool hatched = false;
  double bottom = top;
  for (std::size_t i = 0; i < panels->size(); ++i) {
    const point at{margin + label_width + real(i % across) * (slot + gap),
                   top + heading + real(i / across) * (heading + grid_height + axis)};
    double below = at.y - heading + 13;
    for (const std::string& line : wrap((*panels)[i].title, slot, panel_style.size, true)) {
      out.text({at.x, below}, line, panel_style);
      below += 18;
    }
    draw_panel(out, (*panels)[i], at, cell_width, i % across == 0);
    hatched = hatched || std::ranges::any_of((*panels)[i].values, [](double v) { return !std::isfinite(v); });
    bottom = at.y + grid_height + axis;
  }

  const double bar_height = bar.title_height() + std::clamp(grid_height, 110.0, 260.0);
  const double bar_top = top + std::max(0.0, heading - bar.title_height());
  bar.draw(out, {width - margin - bar_width, bar_top}, bar_height);
  bottom = std::max(bottom, bar_top + bar_height + 14);
  if (hatched) {
    const box swatch{margin, bottom + 2, 22, 14};
    out.hatch(swatch);
    out.outline(swatch, {.colour = muted});
    out.text_centred({swatch.right() + 8, swatch.centre().y}, unmeasured, tick_style);
    bottom = swatch.bottom() + 4;
  }
  return out.finish(width, bottom + 6, title, description);
}

void grid_figure::draw_panel(drawing& out, const panel& p, point at, double cell_width, bool labelled) const {
  const double w = cell_width, h = cell_height();
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const double y = at.y + real(r) * h;
    if (labelled)
      out.text_centred({at.x - 7, y + h / 2}, rows[r].label,
                       {.size = row_style.size, .at = anchor::end, .bold = rows[r].bold});
    for (std::size_t l = 0; l < layers; ++l) {
      const double value = p.values[r * layers + l];
      const box cell{at.x + real(l) * w, y, w, h};
      const std::string tip =
          fmt::format("{}, layer {}: {}", rows[r].label, l, std::isfinite(value) ? short_number(value, 3) : unmeasured);
      if (std::isfinite(value))
        out.fill(cell, fixed(bar.colour(value)), tip);
      else
        out.hatch(cell, tip);
    }
  }
  const box grid{at.x, at.y, w * real(layers), h * real(rows.size())};
  out.outline({grid.x - 1, grid.y - 1, grid.width + 2, grid.height + 2}, {.colour = muted});

  // Every layer has a tick, and a number where it fits.
  const double needed = text_width(fmt::format("{}", layers - 1), tick_style) + 5;
  std::size_t every = 1;
  for (const std::size_t candidate : {1u, 2u, 5u, 10u, 20u, 50u, 100u, 1000u}) {
    every = candidate;
    if (w * real(candidate) >= needed) break;
  }
  for (std::size_t l = 0; l < layers; ++l) {
    const double x = at.x + (real(l) + 0.5) * w;
    const bool numbered = l % every == 0;
    out.line({x, grid.bottom() + 1}, {x, grid.bottom() + (numbered ? 5.0 : 3.0)});
    if (numbered)
      out.text({x, grid.bottom() + 16}, fmt::format("{}", l), {.size = 11, .at = anchor::middle, .colour = muted});
  }
  const double middle = std::max(grid.centre().x, at.x + 16);
  out.text({middle, grid.bottom() + 30}, "layer", {.size = 11, .at = anchor::middle, .colour = muted});
}

/// "highest 0.93 at 'Needle', layer 5", for each panel: the figure's description.
std::string highlights(const std::vector<panel>& panels, const std::vector<grid_figure::row>& rows,
                       std::size_t layers) {
  std::string out;
  for (const panel& p : panels) {
    double best = -std::numeric_limits<double>::infinity();
    std::size_t where = p.values.size();
    for (std::size_t i = 0; i < p.values.size(); ++i)
      if (std::isfinite(p.values[i]) && p.values[i] > best) best = p.values[where = i];
    if (where < p.values.size())
      out += fmt::format(" {}: highest {} at {}, layer {}.", p.title, short_number(best, 3), rows[where / layers].label,
                         where % layers);
  }
  return out;
}

}  // namespace

std::string draw(const trace_map& map) {
  for (const panel& p : map.panels)
    check_filled(map.tokens.size(), map.layers, p.values.size(), "trace_map " + p.title);
  check_filled(map.tokens.size(), map.layers, map.tokens.size() * map.layers, "trace_map");

  grid_figure f;
  f.title = fmt::format("{} \u2192 {}", map.prompt, map.answer);
  f.subtitle = fmt::format(
      "Colour: probability of the answer when the subject (*) is noised and one state is restored. "
      "Untouched run {}, noised without restoration {}.",
      probability(map.p_clean), probability(map.p_low));
  for (const token_row& t : map.tokens) f.rows.push_back({token_label(t.text) + (t.subject ? " *" : ""), t.subject});
  f.layers = map.layers;
  f.panels = &map.panels;
  f.unmeasured = "not measured";

  std::vector<double> shown{map.p_low, map.p_clean};
  for (const panel& p : map.panels) shown.insert(shown.end(), p.values.begin(), p.values.end());
  f.bar = {.title = "probability of the answer", .range = scale_of(shown)};
  if (std::isfinite(map.p_clean)) f.bar.marks.push_back({map.p_clean, "clean " + probability(map.p_clean)});
  if (std::isfinite(map.p_low)) f.bar.marks.push_back({map.p_low, "noised " + probability(map.p_low)});
  f.description = fmt::format("Heatmap of {} tokens by {} layers.", map.tokens.size(), map.layers) +
                  highlights(map.panels, f.rows, map.layers);
  return f.draw();
}

std::string draw(const role_map& map) {
  for (const panel& p : map.panels) check_filled(map.roles.size(), map.layers, p.values.size(), "role_map " + p.title);
  check_filled(map.roles.size(), map.layers, map.roles.size() * map.layers, "role_map");

  grid_figure f;
  f.title = map.title;
  f.subtitle = map.subtitle;
  for (const std::string& role : map.roles) f.rows.push_back({role});
  f.layers = map.layers;
  f.panels = &map.panels;
  f.unmeasured = "absent: no prompt has a token in this role";

  // Zero is the middle of the colour map and both sides have the same steps; the bar shows the range in use.
  std::vector<double> shown{0};
  for (const panel& p : map.panels) shown.insert(shown.end(), p.values.begin(), p.values.end());
  const scale range = scale_of(shown);
  const double reach = std::max(std::abs(range.low), std::abs(range.high));
  f.bar = {.title = map.measure,
           .range = range,
           .colours = diverging,
           .from = 0.5 + 0.5 * range.low / reach,
           .to = 0.5 + 0.5 * range.high / reach};
  f.description = fmt::format("Heatmap of {} token roles by {} layers.", map.roles.size(), map.layers) +
                  highlights(map.panels, f.rows, map.layers);
  return f.draw();
}

}  // namespace report
