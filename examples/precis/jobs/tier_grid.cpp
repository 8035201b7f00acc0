#include "jobs/tier_grid.hpp"

#include "jobs/checkpoint.hpp"
#include "jobs/run_options.hpp"
#include "jobs/session.hpp"

#include <engine/files/json.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <map>

namespace program {

double tier_grid_cell::perplexity() const { return std::exp(nll); }

namespace {

/// The plan of one column.
precis::plan plan_of(const session& s, const precis::allocate::z_tiers& tiers, const std::string& column,
                     const std::vector<precis::scores>& tables, const std::vector<std::string>& names) {
  const precis::unit_kind units = tables.front().units.front().kind;
  if (column == "constant low") return uniform_plan(s, units, tiers.low.codec, tiers.low.sparsity);
  if (column == "constant high") return uniform_plan(s, units, tiers.high.codec, tiers.high.sparsity);
  const auto at = std::ranges::find(names, column) - names.begin();
  return tiers(tables[static_cast<std::size_t>(at)]);
}

}  // namespace

std::string setting_name(const tier_grid_request& r, std::size_t b, std::size_t p) {
  std::string name = to_text(r.bits[b]) + " bits";
  if (r.prune[p] != per_tier<double>{}) name += ", pruned " + to_text(r.prune[p]);
  return name;
}

tier_grid_result run_tier_grid(const session& s, const tier_grid_request& request,
                               const std::vector<precis::scores>& tables, const std::vector<std::string>& names,
                               const text_windows& text, const run_options& o, checkpoint* saved) {
  tier_grid_result r{
      .request = request, .original = measure(s.model, text, o, "original"), .columns = names, .cells = {}};
  r.columns.emplace_back("constant low");
  r.columns.emplace_back("constant high");
  r.stopped = r.original.stopped;

  // Make all plans, and refuse impossible ones, before the first evaluation.
  std::vector<precis::plan> plans;
  for (std::size_t b = 0; b < request.bits.size(); ++b)
    for (std::size_t p = 0; p < request.prune.size(); ++p) {
      const precis::allocate::z_tiers tiers =
          make_tiers(request.bits[b], request.prune[p], request.family, request.granularity);
      for (const std::string& column : r.columns) {
        plans.push_back(plan_of(s, tiers, column, tables, names));
        const resolved_plan resolved = resolve(s, plans.back());
        r.cells.push_back({.bits = b,
                           .prune = p,
                           .scorer = column,
                           .bits_per_weight = resolved.size.bits_per_weight(),
                           .bytes = resolved.size.packed_bytes,
                           .windows = {}});
      }
    }

  std::map<std::string, std::size_t> seen;  // plans with the same choices (constant tiers repeat) are measured once
  progress bar("compressing and evaluating", plans.size(), o.how());
  run_options silent = o;
  silent.quiet = true;
  for (std::size_t i = 0; i < plans.size() && !r.stopped; ++i) {
    tier_grid_cell& cell = r.cells[i];
    precis::plan without_notes = plans[i];
    without_notes.notes.clear();
    const std::string key = precis::to_text(without_notes);
    if (const auto before = seen.find(key); before != seen.end()) {
      cell.nll = r.cells[before->second].nll;
      cell.half_width = r.cells[before->second].half_width;
      cell.windows = r.cells[before->second].windows;
      bar.skip(1);
      continue;
    }
    if (const engine::json* known = saved == nullptr ? nullptr : saved->find(key)) {
      cell.nll = known->at("nll");
      cell.half_width = known->at("half_width");
      cell.windows = known->at("windows").get<std::vector<double>>();
      bar.skip(1);
    } else {
      engine::transformer copy = s.model;
      apply(copy, plans[i], o.coder());
      const text_loss loss =
          measure(copy, text, silent, setting_name(request, cell.bits, cell.prune) + ", " + cell.scorer);
      if (loss.stopped) {
        r.stopped = true;
        break;
      }
      cell.nll = loss.nats();
      cell.half_width = loss.half_width();
      for (const precis::nll& w : loss.report.windows) cell.windows.push_back(w.mean());
      if (saved != nullptr)
        saved->record(key, {{"nll", cell.nll}, {"half_width", cell.half_width}, {"windows", cell.windows}});
      bar.step();
    }
    seen.emplace(key, i);
  }
  return r;
}

}  // namespace program
