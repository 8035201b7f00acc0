#include "jobs/unit_scores.hpp"

#include "jobs/checkpoint.hpp"
#include "jobs/fact_traces.hpp"
#include "jobs/facts.hpp"
#include "jobs/formats.hpp"
#include "jobs/run_options.hpp"
#include "jobs/session.hpp"
#include "jobs/text_windows.hpp"

#include <engine/files/json.hpp>

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
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <map>

namespace program {

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

namespace {
bool needs_facts(const std::string& name) { return name == "causal_trace"; }
}  // namespace

bool needs_text(const std::string& name) { return !needs_facts(name) && name != "weight_magnitude"; }

const std::vector<std::string>& scorers_with_partial_results() {
  static const std::vector<std::string> names{"causal_trace", "taylor", "pruning_sensitivity"};
  return names;
}
bool keeps_partial_results(const std::string& name) {
  return std::ranges::find(scorers_with_partial_results(), name) != scorers_with_partial_results().end();
}

std::vector<std::string> usable_scorers(const std::vector<std::string>& names, bool with_facts, bool with_text) {
  std::vector<std::string> usable;
  for (const std::string& n : names)
    if ((!needs_facts(n) || with_facts) && (!needs_text(n) || with_text)) usable.push_back(n);
  return usable;
}

void require_data(const std::string& name, bool with_facts, bool with_text) {
  const auto need = [&](bool there, std::string option) {
    if (!there)
      precis::refuse({.what = "the scorer " + name + " needs data", .where = "score", .expected = std::move(option)});
  };
  if (needs_facts(name)) need(with_facts, "--facts FILE, a JSON array of {prompt, subject, attribute}");
  if (needs_text(name)) need(with_text, "calibration text: --text FILE (compare and sweep: --calibration FILE)");
}

engine::json to_json(const precis::scores& table) {
  engine::json units = engine::json::array();
  for (std::size_t i = 0; i < table.size(); ++i) {
    const std::size_t layer = table.units[i].layer;
    units.push_back({{"unit", table.units[i].name},
                     {"layer", precis::is_layer(layer) ? engine::json(layer) : engine::json()},
                     {"score", table.values[i]}});
  }
  engine::json unscored = engine::json::array();
  for (const precis::unit& u : table.unscored) unscored.push_back(u.name);
  return {{"scorer", table.scorer},    {"measure", table.measure},        {"model", table.model},
          {"units", std::move(units)}, {"unscored", std::move(unscored)}, {"notes", table.notes}};
}

namespace {

score_result trace_units(const session& s, const score_request& what, const run_options& o, checkpoint* saved) {
  precis::score::causal_trace scorer = what.trace;
  scorer.units = what.units;
  const fact_traces traced = trace_facts(s, scorer, what.facts->facts, o, saved);
  score_result out;
  out.stopped = traced.stopped;
  if (out.stopped) return out;
  if (saved != nullptr) saved->finish_part(what.facts->facts.size(), what.part);
  out.table = scorer.combine(s.model.matrices(), traced.traces);
  for (const auto& site : scorer.restorations()) out.roles.push_back(scorer.average(traced.traces, site));
  out.facts_known = static_cast<std::size_t>(std::ranges::count_if(traced.traces, &precis::score::fact_trace::known));
  return out;
}

/// The model, with a step of the progress bar after each batch.
struct watched_model {
  using batch_type = precis::token_batch;
  const engine::transformer& model;
  progress& bar;
  [[nodiscard]] std::span<const precis::matrix_info> matrices() const { return model.matrices(); }
  [[nodiscard]] precis::weight_view weights(std::size_t i) const { return model.weights(i); }
  template<class Sink>
  [[nodiscard]] precis::nll backward(const batch_type& b, Sink&& sink) const {
    stop_if_interrupted();
    const precis::nll loss = model.backward(b, sink);
    bar.step();
    return loss;
  }
};

/// A pool that advances the progress bar with each call.
struct watched_pool {
  worker_pool pool;
  progress* bar;
  template<class Body>
  void for_each(std::size_t n, Body&& body) const {
    pool.for_each(n, body);
    bar->step();
  }
};

/// The losses of changed units, kept in a checkpoint. A unit is a cell of a job that several processes share.
class unit_losses {
 public:
  unit_losses(const std::vector<precis::unit>& units, std::size_t windows, checkpoint* saved)
      : units_(units), not_here_(windows, precis::nll{.sum = 0, .count = 1}), saved_(saved) {}

  [[nodiscard]] const std::vector<precis::nll>* known(std::size_t unit, std::size_t version) {
    if (saved_ == nullptr) return nullptr;
    const std::string key = name(unit, version);
    if (const auto read = read_.find(key); read != read_.end()) return &read->second;
    const engine::json* const found = saved_->find(key);
    if (found == nullptr) return saved_->elsewhere(unit) ? &not_here_ : nullptr;
    std::vector<precis::nll> losses;
    for (const engine::json& loss : *found) losses.push_back({.sum = loss.at(0), .count = loss.at(1)});
    return &read_.emplace(key, std::move(losses)).first->second;
  }
  void finished(std::size_t unit, std::size_t version, std::span<const precis::nll> losses) {
    if (saved_ == nullptr) return;
    engine::json piece = engine::json::array();
    for (const precis::nll& loss : losses) piece.push_back({loss.sum, loss.count});
    saved_->record(name(unit, version), piece);
  }

 private:
  [[nodiscard]] std::string name(std::size_t unit, std::size_t version) const {
    return fmt::format("{} {}", units_[unit].name, version);
  }

  const std::vector<precis::unit>& units_;
  std::vector<precis::nll> not_here_;  ///< any losses: a process that computes a part writes no scores
  checkpoint* saved_;
  std::map<std::string, std::vector<precis::nll>> read_;
};

precis::scores by_text(const std::string& name, session& s, const score_request& what, const run_options& o,
                       checkpoint* saved) {
  namespace score = precis::score;
  const std::span<const precis::token_batch> windows(what.text->windows);
  const std::vector<precis::unit> units = precis::group_units(s.model.matrices(), what.units);
  const auto changes = [&](std::size_t versions) { return units.size() * versions + s.model.layers() + 2; };
  unit_losses memory(units, windows.size(), saved);
  if (name == "gradient_magnitude" || name == "first_order_taylor") {
    const std::vector<precis::token_batch> batches = batched(*what.text);
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
    return scorer.resume(s.model, windows, memory, watched_pool{o.pool(), &bar});
  }
  if (name == "input_taylor")
    return score::input_taylor{
        .size = what.taylor.noise.size, .draws = what.taylor.draws, .seed = what.taylor.seed, .units = what.units}(
        s.model, windows, o.pool());
  if (name == "pruning_sensitivity") {
    score::pruning_sensitivity scorer = what.pruning;
    scorer.units = what.units;
    progress bar("pruning units", changes(scorer.sparsities.size()), o.how());
    return scorer.resume(s.model, windows, memory, watched_pool{o.pool(), &bar});
  }
  if (name == "cca") {
    score::cca scorer = what.cca;
    scorer.units = what.units;
    return scorer(s.model, windows, o.pool());
  }
  if (name == "block_influence") return score::block_influence{.units = what.units}(s.model, windows, o.pool());
  if (name == "outliers") return score::outliers{.units = what.units}(s.model, windows);
  if (name == "drop_one") return score::drop_one{.units = what.units}(s.model, windows, o.pool());
  const std::size_t entry = formats::index_of(what.probe);
  precis::scores table = score::reconstruction_error{.units = what.units}(
      s.model, windows,
      [&](const precis::matrix_info& m, precis::mutable_weight_view w) {
        precis::cost::round_trip<formats>(w, m, entry, o.coder(), w);
      },
      o.pool());
  set_fit(table.notes, o.coder());
  return table;
}

}  // namespace

score_result run_scorer(const std::string& name, session& s, const score_request& what, const run_options& o,
                        checkpoint* saved) {
  const auto began = std::chrono::steady_clock::now();
  if (std::ranges::find(scorer_names(), name) == scorer_names().end()) {
    std::string names;
    for (const std::string& n : scorer_names()) names += (names.empty() ? "" : ", ") + n;
    precis::refuse({.what = "no scorer called '" + name + "'", .where = "score", .expected = "one of " + names});
  }
  require_data(name, what.facts != nullptr, what.text != nullptr);
  score_result out;
  if (name == "causal_trace") {
    out = trace_units(s, what, o, saved);
  } else if (name == "weight_magnitude") {
    out.table = precis::score::weight_magnitude{.units = what.units}(s.model);
  } else {
    try {
      out.table = by_text(name, s, what, o, saved);
      if (saved != nullptr) saved->finish_part(out.table.size(), what.part);
    } catch (const stopped&) {
      out.stopped = true;
    }
  }
  out.table.model = s.fingerprint;
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return out;
}

}  // namespace program
