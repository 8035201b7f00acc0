#include "report/results/sweep_report.hpp"

#include "jobs/tier_grid.hpp"

#include <engine/files/json.hpp>
#include <report/chart.hpp>
#include <report/table_map.hpp>

#include <precis/evaluate/interval.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace program {

namespace {

/// The mean of a - b over the windows that both columns saw.
precis::evaluate::interval paired(std::vector<double> a, const std::vector<double>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return precis::evaluate::mean_interval(a);
}

}  // namespace

std::string sweep_picture(const tier_grid_result& r, const std::string& model) {
  report::table_map map{.title = "Perplexity after compression",
                        .subtitle = fmt::format("{}, {} {}; tiers are low, medium, high; original {:.2f}", model,
                                                r.request.family, r.request.granularity, r.original.perplexity()),
                        .row_title = r.request.prune.size() == 1 && r.request.prune[0] == per_tier<double>{}
                                         ? "bits per tier"
                                         : "bits and pruning per tier",
                        .rows = {},
                        .columns = {},
                        .values = {},
                        .original = r.original.perplexity()};
  for (std::size_t b = 0; b < r.request.bits.size(); ++b)
    for (std::size_t p = 0; p < r.request.prune.size(); ++p) map.rows.push_back(setting_name(r.request, b, p));
  for (const std::string& c : r.columns) {
    std::string name = c;
    std::ranges::replace(name, '_', ' ');
    map.columns.push_back({name, c.starts_with("constant")});
  }
  for (const tier_grid_cell& cell : r.cells) map.values.push_back(cell.perplexity());
  return report::draw(map);
}

std::string size_picture(const tier_grid_result& r, const std::string& model) {
  report::line_chart chart{.title = "Quality against size",
                           .subtitle = model + "; whiskers are 95 % intervals over windows",
                           .x_label = "bits per weight, scales included",
                           .y_label = "NLL (nats per token)",
                           .lines = {},
                           .levels = {{r.original.nats(), fmt::format("original {:.3f}", r.original.nats())}}};
  for (const std::string& column : r.columns) {
    report::series line{.name = column, .points = {}};
    std::ranges::replace(line.name, '_', ' ');
    for (const tier_grid_cell& c : r.cells)
      if (c.scorer == column && r.request.prune[c.prune] == r.request.prune.front())
        line.points.push_back({c.bits_per_weight, c.nll, c.nll - c.half_width, c.nll + c.half_width});
    std::ranges::sort(line.points, {}, &report::series_point::x);
    chart.lines.push_back(std::move(line));
  }
  return report::draw(chart);
}

std::string sweep_csv(const tier_grid_result& r) {
  std::string out =
      "bits_low,bits_medium,bits_high,prune_low,prune_medium,prune_high,scorer,perplexity,nll_nats_per_token,nll_half_"
      "width_95,bits_per_weight,bytes\n";
  for (const tier_grid_cell& c : r.cells) {
    const auto& b = r.request.bits[c.bits];
    const auto& p = r.request.prune[c.prune];
    out += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{}\n", b[0], b[1], b[2], p[0], p[1], p[2], c.scorer,
                       c.perplexity(), c.nll, c.half_width, c.bits_per_weight, c.bytes);
  }
  return out;
}

std::string sweep_table(const tier_grid_result& r) {
  std::size_t widest = 0;
  for (std::size_t b = 0; b < r.request.bits.size(); ++b)
    for (std::size_t p = 0; p < r.request.prune.size(); ++p)
      widest = std::max(widest, setting_name(r.request, b, p).size());
  std::string out = fmt::format("{:<{}}", "perplexity (bits per weight)", widest);
  for (const std::string& c : r.columns) out += fmt::format("  {:>20}", c);
  out += "\n";
  for (std::size_t b = 0; b < r.request.bits.size(); ++b)
    for (std::size_t p = 0; p < r.request.prune.size(); ++p) {
      out += fmt::format("{:<{}}", setting_name(r.request, b, p), std::max<std::size_t>(widest, 28));
      for (std::size_t c = 0; c < r.columns.size(); ++c) {
        const tier_grid_cell& cell = r.at(b, p, c);
        out += fmt::format("  {:>20}", fmt::format("{:.2f} ({:.2f})", cell.perplexity(), cell.bits_per_weight));
      }
      out += "\n";
    }
  return out;
}

engine::json to_json(const tier_grid_result& r) {
  engine::json cells = engine::json::array();
  for (const tier_grid_cell& c : r.cells)
    cells.push_back({{"bits", r.request.bits[c.bits]},
                     {"prune", r.request.prune[c.prune]},
                     {"scorer", c.scorer},
                     {"perplexity", c.perplexity()},
                     {"nll_nats_per_token", c.nll},
                     {"nll_half_width_95", c.half_width},
                     {"bits_per_weight", c.bits_per_weight},
                     {"bytes", c.bytes}});
  return {{"original_perplexity", r.original.perplexity()},
          {"original_nll_nats_per_token", r.original.nats()},
          {"family", r.request.family},
          {"granularity", r.request.granularity},
          {"cells", std::move(cells)}};
}

std::string sweep_verdict(const tier_grid_result& r) {
  const std::size_t scorers = r.columns.size() - 2;
  const std::size_t rows = r.request.bits.size() * r.request.prune.size();
  // The mean loss of each scorer over all settings, per window, so that differences are paired.
  std::vector<std::vector<double>> mean(r.columns.size(), std::vector<double>(r.original.report.windows.size()));
  std::vector<double> bits(r.columns.size());
  std::vector<std::size_t> wins(scorers);
  for (std::size_t row = 0; row < rows; ++row) {
    std::size_t best = 0;
    for (std::size_t c = 0; c < r.columns.size(); ++c) {
      const tier_grid_cell& cell = r.cells[row * r.columns.size() + c];
      for (std::size_t w = 0; w < mean[c].size(); ++w) mean[c][w] += cell.windows[w] / static_cast<double>(rows);
      bits[c] += cell.bits_per_weight / static_cast<double>(rows);
      if (c < scorers && cell.nll < r.cells[row * r.columns.size() + best].nll) best = c;
    }
    ++wins[best];
  }
  std::vector<std::size_t> order(scorers);
  for (std::size_t c = 0; c < scorers; ++c) order[c] = c;
  const auto average = [&](std::size_t c) {
    double sum = 0;
    for (const double v : mean[c]) sum += v;
    return sum / static_cast<double>(mean[c].size());
  };
  std::ranges::sort(order, {}, average);

  std::string out;
  for (const std::size_t c : order)
    out += fmt::format(
        "  {:<20} {:+.4f} nats per token over the original at {:.2f} bits per weight; best in {} of {} settings\n",
        r.columns[c], average(c) - r.original.nats(), bits[c], wins[c], rows);
  for (std::size_t c = scorers; c < r.columns.size(); ++c)
    out += fmt::format("  {:<20} {:+.4f} nats per token over the original at {:.2f} bits per weight\n", r.columns[c],
                       average(c) - r.original.nats(), bits[c]);
  if (scorers > 1) {
    const precis::evaluate::interval d = paired(mean[order[0]], mean[order[1]]);
    out += fmt::format("{} is best on average, by {:.4f} +- {:.4f} nats per token over {}: {}.\n", r.columns[order[0]],
                       -d.mean, d.half_width, r.columns[order[1]],
                       d.sure() ? "a significant difference" : "not a significant difference on this text");
    const double lead = bits[order[0]] - bits[order[1]];
    if (std::abs(lead) > 0.02)
      out += fmt::format(
          "It used {:.2f} bits per weight {} than {}: tiers follow the scores, not a budget, so this is not\n"
          "a comparison at equal size.\n",
          std::abs(lead), lead > 0 ? "more" : "less", r.columns[order[1]]);
  }
  return out;
}

}  // namespace program
