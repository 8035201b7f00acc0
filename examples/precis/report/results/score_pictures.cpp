#include "report/results/score_pictures.hpp"

#include "jobs/session.hpp"
#include "jobs/unit_scores.hpp"

#include <report/chart.hpp>
#include <report/heatmap.hpp>

#include <precis/allocate/kmeans_tiers.hpp>
#include <precis/allocate/z_tiers.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

namespace program {

namespace {

/// The score whose z-score in this table is `z`: the position of a threshold line.
double value_at(const precis::scores& table, double z) {
  const precis::allocate::z_tiers tiers;
  const std::vector<double> all = tiers.z(table.values);
  double mean = 0;
  for (const double v : table.values) mean += v / static_cast<double>(table.size());
  for (std::size_t i = 0; i < all.size(); ++i)
    if (all[i] != 0) return mean + z * (table.values[i] - mean) / all[i];
  return mean;
}

/// One bar per unit, coloured by tier_of(unit).
template<class TierOf>
report::bar_chart bars_of(const precis::scores& table, const std::string& before, const std::string& after,
                          TierOf&& tier_of) {
  const bool blocks = table.units.front().kind == precis::unit_kind::block;
  const std::string noun = blocks ? "block" : "unit";
  report::bar_chart chart{.title = before + noun + after,
                          .subtitle = table.scorer,
                          .category_label = noun,
                          .value_label = table.measure,
                          .bars = {},
                          .levels = {}};
  for (std::size_t i = 0; i < table.size(); ++i)
    chart.bars.push_back(
        {blocks && precis::is_layer(table.units[i].layer) ? std::to_string(table.units[i].layer) : table.units[i].name,
         table.values[i], tier_of(i)});
  return chart;
}

}  // namespace

std::string tier_picture(const precis::scores& table) {
  const std::vector<precis::allocate::tier> tiers = precis::allocate::z_tiers{}.tiers(table.values);
  report::bar_chart chart =
      bars_of(table, "Information density by ", "", [&](std::size_t i) { return static_cast<report::tier>(tiers[i]); });
  chart.levels = {{value_at(table, -0.5), "z = -0.5"}, {value_at(table, 0.5), "z = +0.5"}};
  return report::draw(chart);
}

std::string cluster_picture(const precis::scores& table) {
  const std::vector<std::size_t> clusters = precis::allocate::kmeans_tiers{}.tiers(table.values);
  return report::draw(bars_of(table, "Sensitivity by ", ", in three clusters",
                              [&](std::size_t i) { return static_cast<report::tier>(clusters[i]); }));
}

std::string role_picture(const score_result& s) {
  report::role_map map{.title = "What restoring one state repairs, by token role",
                       .subtitle = fmt::format("average over {} facts; mean total effect {:.3f}", s.roles.front().facts,
                                               s.roles.front().total),
                       .roles = {},
                       .layers = s.roles.front().layers,
                       .panels = {}};
  for (const precis::score::token_role r : precis::score::token_roles) map.roles.emplace_back(to_string(r));
  for (const precis::score::role_effects& e : s.roles) {
    report::panel p{fmt::format("{}, window {}", to_string(e.what.kind), e.what.window), {}};
    for (const std::vector<double>& effects : e.effect)
      for (std::size_t l = 0; l < e.layers; ++l)
        p.values.push_back(effects.empty() ? std::numeric_limits<double>::quiet_NaN() : effects[l]);
    map.panels.push_back(std::move(p));
  }
  return report::draw(map);
}

std::string trace_picture(const session& s, const precis::score::fact& f, const precis::score::fact_trace& t,
                          std::string_view prompt, std::string_view answer) {
  report::trace_map map{.prompt = std::string(prompt),
                        .answer = std::string(answer),
                        .tokens = {},
                        .layers = t.tables.front().probability.cols,
                        .panels = {},
                        .p_low = t.corrupted,
                        .p_clean = t.clean};
  for (std::size_t i = 0; i < f.prompt.size(); ++i)
    map.tokens.push_back({s.tokens.text_of(f.prompt[i]), i >= f.subject_begin && i < f.subject_end});
  for (const auto& table : t.tables) {
    const std::string what =
        table.what.kind == precis::site_kind::residual ? "one block's output" : std::string(to_string(table.what.kind));
    map.panels.push_back({table.what.window == 1 ? what : fmt::format("{}, window {}", what, table.what.window),
                          table.probability.values});
  }
  return report::draw(map);
}

std::string tier_table(const precis::scores& table) {
  const precis::allocate::z_tiers tiers;
  const std::vector<double> z = tiers.z(table.values);
  const std::vector<precis::allocate::tier> decided = tiers.tiers(table.values);
  std::size_t widest = 4;
  double largest = 0;
  for (std::size_t i = 0; i < table.size(); ++i) {
    widest = std::max(widest, table.units[i].name.size());
    largest = std::max(largest, std::abs(table.values[i]));
  }
  std::string out = fmt::format("{:<{}}  {:>12}  {:>6}  tier\n", "unit", widest, "score", "z");
  for (std::size_t i = 0; i < table.size(); ++i) {
    const double share = largest > 0 ? std::max(0.0, table.values[i]) / largest : 0;
    out += fmt::format("{:<{}}  {:>12.6g}  {:>6.2f}  {:<6}  {}\n", table.units[i].name, widest, table.values[i], z[i],
                       to_string(decided[i]), std::string(static_cast<std::size_t>(share * 30 + 0.5), '#'));
  }
  return out;
}

}  // namespace program
