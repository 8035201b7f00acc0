#include "jobs/evolution.hpp"

#include "jobs/allocation.hpp"
#include "jobs/checkpoint.hpp"
#include "jobs/formats.hpp"
#include "jobs/run_options.hpp"
#include "jobs/session.hpp"
#include "jobs/text_windows.hpp"
#include "jobs/unit_costs.hpp"

#include <engine/files/json.hpp>

#include <precis/allocate/evolve.hpp>
#include <precis/cost/entry.hpp>
#include <precis/cost/plan_divergence.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <utility>

namespace program {

namespace {

/// A fitness whose results are kept in a checkpoint. The search depends on the seed and on them alone, so a second run asks
/// for the same candidates in the same order.
template<class Fitness>
struct remembered_fitness {
  Fitness& fitness;
  checkpoint* saved;
  std::size_t asked = 0;

  [[nodiscard]] std::vector<double> operator()(std::span<const std::vector<std::size_t>> candidates,
                                               const precis::allocate::evaluation_sample& sample) {
    const std::string key = "evaluation " + std::to_string(++asked);
    if (const engine::json* const known = saved == nullptr ? nullptr : saved->find(key);
        known != nullptr && known->size() == candidates.size()) {
      std::vector<double> losses;
      for (const engine::json& loss : *known)
        losses.push_back(loss.is_null() ? std::numeric_limits<double>::infinity() : loss.get<double>());
      return losses;
    }
    std::vector<double> losses = fitness(candidates, sample);
    engine::json kept = engine::json::array();  // JSON has no infinity
    for (const double loss : losses) kept.push_back(std::isfinite(loss) ? engine::json(loss) : engine::json());
    if (saved != nullptr) saved->record(key, kept);
    return losses;
  }
};

}  // namespace

evolution_result run_evolution(session& s, const evolution_request& what, const run_options& o, checkpoint* saved) {
  const auto began = std::chrono::steady_clock::now();
  const precis::cost_table& t = *what.costs;
  const std::size_t all = what.text->windows.size() * what.text->length;
  const auto share = [&](std::size_t part) { return std::max<std::size_t>(1, all / part); };
  precis::allocate::evolve search{.budget = what.budget,
                                  .generations = what.generations,
                                  .offspring = what.offspring,
                                  .stages = {{std::max<std::size_t>(1, what.offspring / 8), share(8)},
                                             {std::max<std::size_t>(1, what.offspring / 16), share(2)},
                                             {1, all}},
                                  .start_tokens = share(8),
                                  .seed = what.seed};
  if (what.from)
    for (const precis::unit& u : t.units) {
      const precis::choice* const c = what.from->find(u.name);
      const auto at = c == nullptr ? t.entries.end() : std::ranges::find(t.entries, c->codec);
      if (at == t.entries.end())
        precis::refuse({.what = c == nullptr ? "no choice for unit " + u.name : u.name + " in " + c->codec,
                        .where = "--from",
                        .expected = "a plan with the units and formats of the cost table"});
      search.from.push_back(static_cast<std::size_t>(at - t.entries.begin()));
    }

  evolution_result out;
  precis::allocate::solution best;
  {
    progress bar("evolving", what.generations, o.how());
    using fitness_of = precis::cost::plan_divergence<formats, engine::transformer, worker_pool, code_fit>;
    fitness_of fitness(s.model, std::span<const precis::token_batch>(what.text->windows), t, o.pool(), o.coder());
    remembered_fitness<fitness_of> remembered{fitness, saved};
    try {
      best = search.solve(t, fitness.tokens(), remembered, [&](std::size_t, const precis::allocate::solution& now) {
        best = now;
        out.losses.push_back(now.objective);
        bar.step();
        out.stopped = interrupted();
        return !out.stopped;
      });
    } catch (const stopped&) {  // inside a generation: the best of the one before it
      if (out.losses.empty()) throw;
      out.stopped = true;
    }
  }
  search.generations = out.losses.size();
  out.plan = search.to_plan(t, best);
  out.plan.model = s.fingerprint;
  set_fit(out.plan.notes, o.coder());
  out.bytes = best.bytes;
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return out;
}

precis::cost_table sizes_only(const session& s, precis::unit_kind units, const std::string& entries,
                              const run_options& o) {
  precis::cost_table table = precis::cost::blank_table<formats>(s.model.matrices(), units,
                                                                read_entries(entries, "--entries"), 32, "--entries");
  table.original_bytes = stored_bytes(s);
  table.maker = "sizes";
  find_admissible(s, table, o);
  return table;
}

}  // namespace program
