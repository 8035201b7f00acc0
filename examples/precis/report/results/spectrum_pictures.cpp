#include "report/results/spectrum_pictures.hpp"

#include "jobs/pruned_spectrum.hpp"

#include <report/chart.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <map>
#include <utility>
#include <vector>

namespace program {

std::string effects_picture(const spectrum_result& r) {
  // Effects span many powers of ten on both sides of zero: bars begin at 1, 2 and 5 times a power of ten, negative ones
  // first.
  struct bin {
    std::size_t kept = 0, removed = 0;
  };
  static constexpr int least = -9;
  std::map<int, bin> bins;  // key: sign x (bars above 10^least); 0: below 10^least
  const auto key_of = [](double score) {
    const double size = std::abs(score);
    if (size < std::pow(10.0, least)) return 0;
    const int power = static_cast<int>(std::floor(std::log10(size)));
    const double digits = size / std::pow(10.0, power);
    return (score < 0 ? -1 : 1) * (3 * (power - least) + (digits < 2 ? 1 : digits < 5 ? 2 : 3));
  };
  const auto name_of = [](int key) {
    if (key == 0) return std::string("0");
    const int bars = std::abs(key) - 1;
    return fmt::format("{}{}e{}", key < 0 ? "-" : "", bars % 3 == 0 ? 1 : bars % 3 == 1 ? 2 : 5, bars / 3 + least);
  };
  const prune_result& row = r.rows[r.chosen];
  for (std::size_t s = 0; s < r.spectra.slices.size(); ++s) {
    const std::vector<double>& scores = r.spectra.slices[s].scores;
    const std::vector<std::size_t>& removed = row.removals[s].removed;
    for (std::size_t k = 0; k < scores.size(); ++k) {
      bin& b = bins[key_of(scores[k])];
      ++(std::ranges::binary_search(removed, k) ? b.removed : b.kept);
    }
  }
  report::bar_chart chart{
      .title = "What swapping a singular value's input does to the loss",
      .subtitle = fmt::format("{} singular values of {} slices; portion {:g} removes {}", r.spectra.values(),
                              r.spectra.slices.size(), row.portion, row.removed()),
      .category_label = "largest effect over pairs and tokens, nats, from",
      .value_label = "singular values",
      .bars = {},
      .levels = {},
      .tier_names = {"removed", "some removed", "kept"}};
  for (const auto& [key, b] : bins)
    chart.bars.push_back({name_of(key), static_cast<double>(b.kept + b.removed),
                          b.kept == 0      ? report::tier::low
                          : b.removed == 0 ? report::tier::high
                                           : report::tier::medium});
  return report::draw(chart);
}

std::string spectrum_picture(const spectrum_result& r) {
  constexpr std::size_t most_points = 4096;
  const std::size_t every = (r.spectra.values() + most_points - 1) / most_points;
  const prune_result& row = r.rows[r.chosen];
  std::array<report::series, 2> marks{report::series{.name = "kept", .joined = false},
                                      report::series{.name = "removed", .joined = false}};
  std::size_t drawn = 0;
  for (std::size_t s = 0; s < r.spectra.slices.size(); s += std::max<std::size_t>(1, every), ++drawn)
    for (std::size_t k = 0; k < r.spectra.slices[s].values.size(); ++k) {
      report::series& to = marks[std::ranges::binary_search(row.removals[s].removed, k) ? 1 : 0];
      to.points.push_back({static_cast<double>(k + 1), r.spectra.slices[s].values[k]});
    }
  report::line_chart chart{
      .title = "Singular values, and which of them go",
      .subtitle = fmt::format("{} of {} slices; portion {:g}", drawn, r.spectra.slices.size(), row.portion),
      .x_label = "place in the slice's spectrum",
      .y_label = "singular value",
      .lines = {},
      .levels = {},
      .y = report::spacing::logarithmic};
  for (report::series& m : marks)
    if (!m.points.empty()) chart.lines.push_back(std::move(m));
  return report::draw(chart);
}

}  // namespace program
