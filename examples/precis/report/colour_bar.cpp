#include <report/colour_bar.hpp>

#include <algorithm>
#include <cmath>

namespace report {
namespace {

constexpr double strip = 16, label_at = strip + 10, pitch = 15, title_width = 130;
constexpr text_style heading{.size = 12, .bold = true}, number{.size = 11, .colour = muted},
    marked{.size = 11, .bold = true};

std::vector<std::string> title_lines(const std::string& title) { return wrap(title, title_width, heading.size, true); }

}  // namespace

double colour_bar::title_height() const { return 16 * static_cast<double>(title_lines(title).size()) + 9; }

double colour_bar::width() const {
  double widest = 0;
  for (const mark& m : marks) widest = std::max(widest, text_width(m.label, marked));
  for (const tick& t : ticks(range, 5)) widest = std::max(widest, text_width(t.label, number));
  double all = label_at + widest;
  for (const std::string& row : title_lines(title)) all = std::max(all, text_width(row, heading));
  return std::ceil(all + 2);
}

rgb colour_bar::colour(double value) const {
  return colours(from + (to - from) * std::clamp(range.at(value), 0.0, 1.0));
}

void colour_bar::draw(drawing& out, point top_left, double height) const {
  out.lines({top_left.x, top_left.y + 11}, title_lines(title), heading);
  const box bar{top_left.x, top_left.y + title_height(), strip, height - title_height()};

  constexpr int slices = 64;
  for (int i = 0; i < slices; ++i) {
    const double t = (i + 0.5) / slices, y = bar.bottom() - bar.height * (i + 1) / slices;
    // Each slice extends slightly under the one drawn before it, so that there are no seams.
    out.fill({bar.x, y, bar.width, std::min(bar.height / slices + 1, bar.bottom() - y)},
             fixed(colours(from + (to - from) * t)));
  }
  const auto y_of = [&](double value) { return bar.bottom() - bar.height * std::clamp(range.at(value), 0.0, 1.0); };

  std::vector<double> wanted;
  for (const mark& m : marks) wanted.push_back(y_of(m.value));
  const std::vector<double> placed = spread(wanted, pitch, bar.y, bar.bottom());
  for (std::size_t i = 0; i < marks.size(); ++i) {
    out.line({bar.x, wanted[i]}, {bar.right() + 2, wanted[i]}, {.colour = ink, .width = 1.5});
    out.line({bar.right() + 2, wanted[i]}, {bar.x + label_at - 2, placed[i]}, {.colour = ink, .width = 1});
    out.text_centred({bar.x + label_at, placed[i]}, marks[i].label, marked);
  }
  const auto free = [&](double y) {
    return std::ranges::none_of(placed, [&](double taken) { return std::abs(taken - y) < pitch - 0.5; });
  };
  const std::vector<tick> numbers = ticks(range, static_cast<std::size_t>(std::clamp(bar.height / 30, 2.0, 6.0)));
  double last = bar.bottom() + pitch;
  for (const tick& t : numbers) {
    const double y = y_of(t.value);
    if (!free(y) || last - y < pitch) continue;
    last = y;
    out.line({bar.right(), y}, {bar.right() + 4, y});
    out.text_centred({bar.x + label_at, y}, t.label, number);
  }
}

}  // namespace report
