#include "scoring.hpp"

#include "checkpoint.hpp"

#include <precis/codec/standard_menu.hpp>
#include <precis/cost/entry.hpp>
#include <precis/score/block_influence.hpp>
#include <precis/score/drop_one.hpp>
#include <precis/score/first_order_taylor.hpp>
#include <precis/score/gradient_magnitude.hpp>
#include <precis/score/input_taylor.hpp>
#include <precis/score/outliers.hpp>
#include <precis/score/reconstruction_error.hpp>
#include <precis/score/weight_magnitude.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>

namespace program {

using precis::score::fact_trace;

const std::vector<std::string>& scorer_names() {
  static const std::vector<std::string> names{"causal_trace",
                                              "weight_magnitude",
                                              "gradient_magnitude",
                                              "first_order_taylor",
                                              "taylor",
                                              "input_taylor",
                                              "pruning_sensitivity",
                                              "cca",
                                              "block_influence",
                                              "outliers",
                                              "drop_one",
                                              "reconstruction_error"};
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

/// Several windows a batch: the products are larger, the gradient is the same sum.
std::vector<precis::token_batch> together(const text_windows& text) {
  constexpr std::size_t most = 8;
  std::vector<precis::token_batch> batches;
  for (const precis::token_batch& w : text.windows) {
    if (batches.empty() || batches.back().sequences == most)
      batches.push_back({.sequences = 0, .tokens = w.tokens, .ids = {}, .targets = {}});
    precis::token_batch& b = batches.back();
    ++b.sequences;
    b.ids.insert(b.ids.end(), w.ids.begin(), w.ids.end());
    b.targets.insert(b.targets.end(), w.targets.begin(), w.targets.end());
  }
  return batches;
}

/// A thread pool that shows each of its calls as a step, and stops between two when asked to.
struct watched_pool {
  precis::thread_pool pool;
  progress* bar;
  template<class Body>
  void for_each(std::size_t n, Body&& body) const {
    if (interrupted()) throw stopped{};
    pool.for_each(n, body);
    bar->step();
  }
};

precis::scores by_text(const std::string& name, session& s, const scoring& what, const common_options& o) {
  namespace score = precis::score;
  const std::span<const precis::token_batch> windows(what.text->windows);
  const std::size_t units = precis::group_units(s.model.matrices(), what.units).size();
  const auto changes = [&](std::size_t versions) { return units * versions + s.model.layers() + 2; };
  if (name == "gradient_magnitude" || name == "first_order_taylor") {
    const std::vector<precis::token_batch> batches = together(*what.text);
    progress bar("taking gradients", batches.size(), o.how());
    const watched_model watched{s.model, bar};
    return name == "gradient_magnitude"
               ? score::gradient_magnitude{.units = what.units}(watched, batches)
               : score::first_order_taylor{.noise = what.taylor.noise, .units = what.units}(watched, batches);
  }
  if (name == "taylor") {
    score::taylor scorer = what.taylor;
    scorer.units = what.units;
    progress bar("perturbing units", changes(scorer.draws), o.how());
    return scorer(s.model, windows, watched_pool{o.pool(), &bar});
  }
  if (name == "input_taylor")
    return score::input_taylor{
        .size = what.taylor.noise.size, .draws = what.taylor.draws, .seed = what.taylor.seed, .units = what.units}(
        s.model, windows, o.pool());
  if (name == "pruning_sensitivity") {
    score::pruning_sensitivity scorer = what.pruning;
    scorer.units = what.units;
    progress bar("pruning units", changes(scorer.sparsities.size()), o.how());
    return scorer(s.model, windows, watched_pool{o.pool(), &bar});
  }
  if (name == "cca") {
    score::cca scorer = what.cca;
    scorer.units = what.units;
    return scorer(s.model, windows, o.pool());
  }
  if (name == "block_influence") return score::block_influence{.units = what.units}(s.model, windows, o.pool());
  if (name == "outliers") return score::outliers{.units = what.units}(s.model, windows);
  if (name == "drop_one") return score::drop_one{.units = what.units}(s.model, windows, o.pool());
  using menu = precis::codec::standard;
  const std::size_t entry = menu::index_of(what.probe);
  return score::reconstruction_error{.units = what.units}(
      s.model, windows,
      [&](const precis::matrix_info& m, precis::mutable_weight_view w) {
        precis::cost::round_trip<menu>(w, m, entry, precis::fit::nearest{}, w);
      },
      o.pool());
}

}  // namespace

scored run_scorer(const std::string& name, session& s, const scoring& what, const common_options& o,
                  checkpoint* saved) {
  const auto began = std::chrono::steady_clock::now();
  const auto need = [&](bool there, std::string option) {
    if (!there)
      precis::refuse({.what = "the scorer " + name + " needs data", .where = "score", .expected = std::move(option)});
  };
  if (std::ranges::find(scorer_names(), name) == scorer_names().end()) {
    std::string names;
    for (const std::string& n : scorer_names()) names += (names.empty() ? "" : ", ") + n;
    precis::refuse({.what = "no scorer called '" + name + "'", .where = "score", .expected = "one of " + names});
  }
  scored out;
  if (name == "causal_trace") {
    need(what.facts != nullptr, "--facts FILE, a JSON array of {prompt, subject, attribute}");
    out = trace_facts(s, what, o, saved);
  } else if (name == "weight_magnitude") {
    out.table = precis::score::weight_magnitude{.units = what.units}(s.model);
  } else {
    need(what.text != nullptr, "calibration text: --text FILE (compare and sweep: --calibration FILE)");
    try {
      out.table = by_text(name, s, what, o);
    } catch (const stopped&) {
      out.stopped = true;
    }
  }
  out.table.model = s.fingerprint;
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return out;
}

}  // namespace program
