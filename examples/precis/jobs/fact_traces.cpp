#include "jobs/fact_traces.hpp"

#include "jobs/checkpoint.hpp"
#include "jobs/run_options.hpp"
#include "jobs/session.hpp"

#include <engine/files/json.hpp>

#include <precis/core/error.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <utility>

namespace program {

using precis::score::fact_trace;

double noise_scale(const session& s, const precis::score::corruption& noise,
                   std::span<const precis::score::fact> facts) {
  return precis::score::noise_scale(noise, s.model, facts);
}

fact_trace trace_fact(const session& s, const precis::score::causal_trace& scorer, const precis::score::fact& f,
                      double sigma, std::span<const precis::score::restoration> what) {
  return scorer.trace(s.model, f, sigma, what);
}

fact_traces trace_facts(const session& s, const precis::score::causal_trace& scorer,
                        std::span<const precis::score::fact> facts, const run_options& o, checkpoint* saved) {
  const double sigma = noise_scale(s, scorer.noise, facts);
  fact_traces out{.traces = std::vector<fact_trace>(facts.size())};
  std::vector<std::size_t> open;
  progress bar("tracing facts", facts.size(), o.how());
  for (std::size_t i = 0; i < facts.size(); ++i) {
    const engine::json* before = saved == nullptr ? nullptr : saved->find(std::to_string(i));
    if (before == nullptr) {
      if (saved != nullptr && saved->elsewhere(i))
        bar.skip(1);
      else
        open.push_back(i);
      continue;
    }
    out.traces[i] = trace_from_json(*before);
    bar.skip(1);
  }
  const auto sites = scorer.restorations();
  out.stopped = !o.pool().for_each_until_stopped(open.size(), [&](std::size_t k) {
    const std::size_t i = open[k];
    out.traces[i] = trace_fact(s, scorer, facts[i], sigma, sites);
    if (saved != nullptr) saved->record(std::to_string(i), to_json(out.traces[i]));
    bar.step();
  });
  return out;
}

engine::json to_json(const fact_trace& t) {
  engine::json tables = engine::json::array();
  for (const auto& table : t.tables)
    tables.push_back({{"kind", std::string(to_string(table.what.kind))},
                      {"window", table.what.window},
                      {"layers", table.probability.cols},
                      {"probability", table.probability.values},
                      {"recovery", table.recovery.values}});
  return {{"name", t.name},
          {"tokens", t.tokens},
          {"subject", {t.subject_begin, t.subject_end}},
          {"known", t.known},
          {"clean", t.clean},
          {"corrupted", t.corrupted},
          {"corrupted_recovery", t.corrupted_recovery},
          {"block_positions", t.block_positions},
          {"tables", std::move(tables)}};
}

fact_trace trace_from_json(const engine::json& j) {
  fact_trace t{.name = j.at("name"),
               .tokens = j.at("tokens"),
               .subject_begin = j.at("subject").at(0),
               .subject_end = j.at("subject").at(1),
               .known = j.at("known"),
               .clean = j.at("clean"),
               .corrupted = j.at("corrupted"),
               .corrupted_recovery = j.at("corrupted_recovery"),
               .tables = {},
               .block_positions = j.at("block_positions")};
  for (const engine::json& each : j.at("tables")) {
    precis::site_kind kind = precis::site_kind::residual;
    for (const precis::site_kind k : {precis::site_kind::attention, precis::site_kind::mlp})
      if (each.at("kind").get<std::string>() == to_string(k)) kind = k;
    const std::size_t layers = each.at("layers");
    precis::basic_matrix<double> probability(t.tokens, layers), recovery(t.tokens, layers);
    probability.values = each.at("probability").get<std::vector<double>>();
    recovery.values = each.at("recovery").get<std::vector<double>>();
    if (probability.values.size() != t.tokens * layers || recovery.values.size() != t.tokens * layers)
      precis::refuse({.what = "a trace of '" + t.name + "' with the wrong number of values",
                      .where = "partial results",
                      .expected = "a file this program wrote; run without --resume to start over"});
    t.tables.push_back({{kind, each.at("window")}, std::move(probability), std::move(recovery)});
  }
  return t;
}

}  // namespace program
