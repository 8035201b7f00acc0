#include "scoring.hpp"

#include "checkpoint.hpp"

#include <precis/score/gradient_magnitude.hpp>
#include <precis/score/weight_magnitude.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>

namespace program {

using precis::score::fact_trace;

const std::vector<std::string>& scorer_names() {
  static const std::vector<std::string> names{"causal_trace", "weight_magnitude", "gradient_magnitude"};
  return names;
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

engine::json to_json(const precis::scores& table) {
  engine::json units = engine::json::array();
  for (std::size_t i = 0; i < table.size(); ++i)
    units.push_back({{"unit", table.units[i].name}, {"layer", table.units[i].layer}, {"score", table.values[i]}});
  return {{"scorer", table.scorer}, {"measure", table.measure}, {"model", table.model}, {"units", std::move(units)}};
}

namespace {

scored trace_facts(const session& s, const scoring& what, const common_options& o, checkpoint* saved) {
  scored out;
  const std::vector<precis::score::fact>& facts = what.facts->facts;
  precis::score::causal_trace scorer = what.trace;
  scorer.units = what.units;
  const double sigma = noise_scale(scorer.noise, s.model, facts);
  std::vector<fact_trace> traces(facts.size());
  std::vector<std::size_t> open;
  progress bar("tracing facts", facts.size(), o.how());
  for (std::size_t i = 0; i < facts.size(); ++i) {
    const engine::json* before = saved == nullptr ? nullptr : saved->find(std::to_string(i));
    if (before == nullptr) {
      open.push_back(i);
      continue;
    }
    traces[i] = trace_from_json(*before);
    bar.skip(1);
  }
  const auto sites = scorer.restorations();
  std::atomic<std::size_t> left{open.size()};
  o.pool().for_each(open.size(), [&](std::size_t k) {
    if (interrupted()) return;
    const std::size_t i = open[k];
    traces[i] = scorer.trace(s.model, facts[i], sigma, sites);
    if (saved != nullptr) saved->record(std::to_string(i), to_json(traces[i]));
    --left;
    bar.step();
  });
  out.stopped = left != 0;
  if (out.stopped) return out;
  out.table = scorer.combine(s.model.matrices(), traces);
  for (const auto& site : sites) out.roles.push_back(scorer.average(traces, site));
  out.facts_known = static_cast<std::size_t>(std::ranges::count_if(traces, &fact_trace::known));
  return out;
}

/// The model, showing each batch as it is done.
struct watched_model {
  using batch_type = precis::token_batch;
  const engine::transformer& model;
  progress& bar;
  [[nodiscard]] std::span<const precis::matrix_info> matrices() const { return model.matrices(); }
  [[nodiscard]] precis::weight_view weights(std::size_t i) const { return model.weights(i); }
  template<class Sink>
  [[nodiscard]] precis::nll backward(const batch_type& b, Sink&& sink) const {
    const precis::nll loss = model.backward(b, sink);
    bar.step();
    return loss;
  }
};

scored take_gradients(const session& s, const scoring& what, const common_options& o) {
  // Several windows a batch: the products are larger, the gradient is the same sum.
  constexpr std::size_t together = 8;
  std::vector<precis::token_batch> batches;
  for (const precis::token_batch& w : what.text->windows) {
    if (batches.empty() || batches.back().sequences == together)
      batches.push_back({.sequences = 0, .tokens = w.tokens, .ids = {}, .targets = {}});
    precis::token_batch& b = batches.back();
    ++b.sequences;
    b.ids.insert(b.ids.end(), w.ids.begin(), w.ids.end());
    b.targets.insert(b.targets.end(), w.targets.begin(), w.targets.end());
  }
  progress bar("taking gradients", batches.size(), o.how());
  return {.table = precis::score::gradient_magnitude{.units = what.units}(watched_model{s.model, bar}, batches),
          .roles = {}};
}

}  // namespace

scored run_scorer(const std::string& name, const session& s, const scoring& what, const common_options& o,
                  checkpoint* saved) {
  const auto began = std::chrono::steady_clock::now();
  const auto need = [&](bool there, std::string option) {
    if (!there)
      precis::refuse({.what = "the scorer " + name + " needs data", .where = "score", .expected = std::move(option)});
  };
  scored out;
  if (name == "causal_trace") {
    need(what.facts != nullptr, "--facts FILE, a JSON array of {prompt, subject, attribute}");
    out = trace_facts(s, what, o, saved);
  } else if (name == "gradient_magnitude") {
    need(what.text != nullptr, "--text FILE, a plain text to take the loss of");
    out = take_gradients(s, what, o);
  } else if (name == "weight_magnitude") {
    out.table = precis::score::weight_magnitude{.units = what.units}(s.model);
  } else {
    precis::refuse({.what = "no scorer called '" + name + "'",
                    .where = "score",
                    .expected = "causal_trace, weight_magnitude or gradient_magnitude"});
  }
  out.table.model = s.fingerprint;
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return out;
}

}  // namespace program
