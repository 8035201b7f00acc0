#include "report/results/comparison_report.hpp"

#include "jobs/comparison.hpp"

#include <engine/files/json.hpp>
#include <report/chart.hpp>
#include <report/table_map.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace program {

using precis::evaluate::interval;

report::table paper_table(const comparison& c) {
  report::table t{.caption = "K-means clusters of the scores (CPTQuant) and uniform plans; all bytes counted.",
                  .header = {"method", "bits per weight", "compression ratio", "size reduction (%)",
                             "perplexity increase", "next-token accuracy drop (points)"},
                  .rows = {}};
  if (c.original.verdicts)
    t.header.push_back(
        fmt::format("verdict accuracy drop (points, from {:.1f} %)", 100 * c.original.verdicts->share()));
  for (const compared_plan& row : c.rows) {
    if (!row.known || (row.allocator != "kmeans_tiers" && row.candidate != "uniform")) continue;
    const auto original = static_cast<double>(c.original_bytes), now = static_cast<double>(row.bytes);
    const quality& q = row.quality;
    t.rows.push_back({row.candidate, fmt::format("{:.3f}", row.bits_per_weight), fmt::format("{:.2f}", original / now),
                      fmt::format("{:.1f}", 100 * (1 - now / original)),
                      fmt::format("{:.3f}", q.perplexity() - c.original.perplexity()),
                      fmt::format("{:.2f}", 100 * (c.original.accuracy - q.accuracy))});
    if (q.verdicts && c.original.verdicts)
      t.rows.back().push_back(fmt::format("{:.2f}", 100 * (c.original.verdicts->share() - q.verdicts->share())));
  }
  return t;
}

namespace {

/// The allocator that represents a candidate in a picture: knapsack if it is requested, else the first that applies.
[[nodiscard]] std::string main_allocator(const comparison& c, const candidate& each) {
  for (const std::string& a : c.request.allocators)
    if (a == "knapsack" || (each.has_scores() && std::ranges::count(c.request.allocators, "knapsack") == 0)) return a;
  return c.request.allocators.front();
}

struct line {
  std::string candidate, allocator;
};
[[nodiscard]] std::vector<line> main_lines(const comparison& c) {
  std::vector<line> lines{{"uniform", ""}, {"first layers", ""}, {"last layers", ""}, {"random 1", ""}};
  for (const candidate& each : c.candidates) lines.push_back({each.name, main_allocator(c, each)});
  std::erase_if(lines, [&](const line& l) { return c.find(0, l.candidate, l.allocator) == nullptr; });
  return lines;
}

[[nodiscard]] std::string spaced(std::string name) {
  std::ranges::replace(name, '_', ' ');
  return name;
}

}  // namespace

std::string comparison_picture(const comparison& c) {
  report::line_chart chart{.title = "Quality against size",
                           .subtitle = fmt::format("{} on {}; mean over windows", c.model, c.text),
                           .x_label = "bits per weight, scales included",
                           .y_label = "divergence from the original (KL, nats per token)",
                           .lines = {},
                           .levels = {},
                           .y = report::spacing::logarithmic};
  for (const line& l : main_lines(c)) {
    report::series s{.name = spaced(l.candidate), .points = {}};
    for (std::size_t b = 0; b < c.request.budgets.size(); ++b)
      if (const compared_plan* row = c.find(b, l.candidate, l.allocator); row != nullptr && row->known)
        s.points.push_back({.x = row->bits_per_weight, .y = row->quality.kl});
    std::ranges::sort(s.points, {}, &report::series_point::x);
    chart.lines.push_back(std::move(s));
  }
  return report::draw(chart);
}

std::string comparison_map(const comparison& c) {
  report::table_map map{
      .title = "Divergence from the original at equal bytes, relative to uniform",
      .subtitle = fmt::format("{} on {}; below 1 is better than one format everywhere", c.model, c.text),
      .row_title = "budget",
      .rows = {},
      .columns = {},
      .values = {},
      .measure = "KL / uniform's",
      .original = 1};
  for (const line& l : main_lines(c))
    if (l.candidate != "uniform") map.columns.push_back({spaced(l.candidate), l.allocator.empty()});
  for (std::size_t b = 0; b < c.request.budgets.size(); ++b) {
    map.rows.push_back(to_string(c.request.budgets[b]));
    const double base = c.find(b, "uniform")->quality.kl;
    for (const line& l : main_lines(c)) {
      if (l.candidate == "uniform") continue;
      const compared_plan* row = c.find(b, l.candidate, l.allocator);
      map.values.push_back(row == nullptr || !(base > 0) ? std::numeric_limits<double>::quiet_NaN()
                                                         : row->quality.kl / base);
    }
  }
  return report::draw(map);
}

std::string comparison_csv(const comparison& c) {
  std::string out =
      "budget,candidate,allocator,bytes,bits_per_weight,perplexity,nll_nats_per_token,excess_nll,excess_half_width_95,"
      "difference_to_uniform,difference_half_width_95,kl_nats_per_token,next_token_accuracy,facts_known,predicted_cost,"
      "proven_optimal,seconds_to_score,"
      "verdict_accuracy,verdict_half_width_95\n";
  for (const compared_plan& row : c.rows) {
    if (!row.known) continue;
    const interval excess = c.excess(row), difference = c.difference(row, *c.find(row.budget, "uniform"));
    double seconds = 0;
    for (const candidate& each : c.candidates)
      if (each.name == row.candidate) seconds = each.seconds;
    std::string verdicts = ",";
    if (const auto& v = row.quality.verdicts) verdicts = fmt::format("{},{}", v->share(), v->confidence().half_width);
    out += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{:.3f},{}\n",
                       to_string(c.request.budgets[row.budget]), row.candidate, row.allocator, row.bytes,
                       row.bits_per_weight, row.quality.perplexity(), row.quality.nll, excess.mean, excess.half_width,
                       difference.mean, difference.half_width, row.quality.kl, row.quality.accuracy, row.quality.facts,
                       row.predicted, row.optimal ? 1 : 0, seconds, verdicts);
  }
  return out;
}

std::string comparison_table(const comparison& c) {
  std::string out;
  for (std::size_t b = 0; b < c.request.budgets.size(); ++b) {
    out += fmt::format("{}\n  {:<36} {:>10} {:>6} {:>10} {:>18} {:>8} {:>8} {}\n", to_string(c.request.budgets[b]),
                       "method", "bytes", "bits", "perplexity", "excess nats", "KL", "accuracy",
                       c.fact_count == 0 ? "" : "facts");
    std::vector<const compared_plan*> order;
    for (const compared_plan& row : c.rows)
      if (row.budget == b && row.known) order.push_back(&row);
    std::ranges::stable_sort(order, {}, [](const compared_plan* row) { return row->quality.nll; });
    for (const compared_plan* row : order) {
      const interval e = c.excess(*row);
      out += fmt::format("  {:<36} {:>10} {:>6.3f} {:>10.3f} {:>18} {:>8.4f} {:>8.4f} {}\n", row->method(), row->bytes,
                         row->bits_per_weight, row->quality.perplexity(),
                         fmt::format("{:.4f} +- {:.4f}", e.mean, e.half_width), row->quality.kl, row->quality.accuracy,
                         c.fact_count == 0 ? "" : fmt::format("{}", row->quality.facts));
    }
    out += "\n";
  }
  return out;
}

engine::json to_json(const comparison& c) {
  engine::json rows = engine::json::array(), sources = engine::json::array();
  for (const compared_plan& row : c.rows) {
    if (!row.known) continue;
    const interval excess = c.excess(row);
    rows.push_back(
        {{"budget", to_string(c.request.budgets[row.budget])},
         {"candidate", row.candidate},
         {"allocator", row.allocator},
         {"bytes", row.bytes},
         {"bits_per_weight", row.bits_per_weight},
         {"perplexity", row.quality.perplexity()},
         {"nll_nats_per_token", row.quality.nll},
         {"excess_nll", excess.mean},
         {"excess_half_width_95", std::isfinite(excess.half_width) ? engine::json(excess.half_width) : nullptr},
         {"kl_nats_per_token", row.quality.kl},
         {"next_token_accuracy", row.quality.accuracy},
         {"facts_known", row.quality.facts},
         {"verdict_accuracy", row.quality.verdicts ? engine::json(row.quality.verdicts->share()) : nullptr},
         {"predicted_cost", row.predicted},
         {"proven_optimal", row.optimal}});
  }
  for (const candidate& each : c.candidates)
    sources.push_back({{"candidate", each.name}, {"seconds", each.seconds}, {"maker", each.costs.maker}});
  return {{"original_perplexity", c.original.perplexity()},
          {"original_accuracy", c.original.accuracy},
          {"weights", c.weights},
          {"original_bytes", c.original_bytes},
          {"facts", c.fact_count},
          {"entries", c.request.entries},
          {"candidates", std::move(sources)},
          {"rows", std::move(rows)}};
}

std::string comparison_verdict(const comparison& c) {
  std::string out;
  std::size_t uniform_wins = 0;
  for (std::size_t b = 0; b < c.request.budgets.size(); ++b) {
    const compared_plan *uniform = c.find(b, "uniform"), *larger = c.find(b, std::string(uniform_above)),
                        *best = nullptr, *nearest = nullptr;
    std::size_t plans = 0;
    for (const compared_plan& row : c.rows) {
      if (row.budget != b || !row.known || row.candidate == uniform_above) continue;
      ++plans;
      if (best == nullptr || row.quality.nll < best->quality.nll) best = &row;
      if (nearest == nullptr || row.quality.kl < nearest->quality.kl) nearest = &row;
    }
    if (best == nullptr || uniform == nullptr) continue;
    const double base = uniform->quality.nll - c.original.nll, excess = best->quality.nll - c.original.nll;
    if (best->quality.nll >= uniform->quality.nll) {
      ++uniform_wins;
      out += fmt::format("{}: uniform is best, {:+.4f} nats per token over the original.\n",
                         to_string(c.request.budgets[b]), base);
      continue;
    }
    const interval d = c.difference(*best, *uniform);
    out += fmt::format(
        "{}: {} is the best of {} plans, {:+.4f} nats per token over the original; uniform has {:+.4f} (ratio {:.2f}), "
        "{}.",
        to_string(c.request.budgets[b]), best->method(), plans, excess, base, excess / base,
        d.sure() ? "a significant difference" : "not a significant difference on this text");
    if (nearest != nullptr && uniform->quality.kl > 0)
      out += fmt::format(" Closest to the original is {}, KL {:.5f}, {:.2f} times uniform's.", nearest->method(),
                         nearest->quality.kl, nearest->quality.kl / uniform->quality.kl);
    if (larger != nullptr && larger->known)
      out += fmt::format(" The next larger uniform plan, {:.2f} bits per weight, has {:+.4f}.", larger->bits_per_weight,
                         larger->quality.nll - c.original.nll);
    out += "\n";
  }
  if (uniform_wins == c.request.budgets.size())
    out += "Uniform is best at every budget: no other method pays off on this model.\n";
  return out;
}

}  // namespace program
