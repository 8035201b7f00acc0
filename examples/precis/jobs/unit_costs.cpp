#include "jobs/unit_costs.hpp"

#include "jobs/checkpoint.hpp"
#include "jobs/embedder.hpp"
#include "jobs/formats.hpp"
#include "jobs/run_options.hpp"
#include "jobs/session.hpp"
#include "jobs/text_windows.hpp"

#include <engine/files/json.hpp>

#include <precis/core/error.hpp>
#include <precis/cost/entry.hpp>
#include <precis/cost/measured.hpp>
#include <precis/cost/reconstruction.hpp>
#include <precis/cost/weighted_error.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>

namespace program {

const std::vector<std::string>& cost_names() {
  static const std::vector<std::string> names{"measured", "measured_nll", "reconstruction", "weights"};
  return names;
}

void require_text(const std::string& name, bool with_text) {
  if (name != "weights" && !with_text)
    precis::refuse({.what = name + " costs need data",
                    .where = "cost",
                    .expected = "calibration text (compare: --calibration FILE; cost: --text FILE)"});
}

namespace {

/// JSON has no infinity: an entry that is not admissible is null.
[[nodiscard]] engine::json to_json(const std::vector<double>& losses) {
  engine::json out = engine::json::array();
  for (const double loss : losses) out.push_back(loss < precis::not_admitted ? engine::json(loss) : engine::json());
  return out;
}
[[nodiscard]] std::vector<double> losses_of(const engine::json& saved) {
  std::vector<double> losses;
  for (const engine::json& loss : saved) losses.push_back(loss.is_null() ? precis::not_admitted : loss.get<double>());
  return losses;
}

template<class Model>
precis::cost_table measure_costs(Model& model, std::span<const typename Model::batch_type> batches, bool by_loss,
                                 const cost_request& what, const run_options& o, checkpoint* saved) {
  using measured = precis::cost::measured<formats, code_fit>;
  const measured cost{.entries = what.entries,
                      .by = by_loss ? measured::loss::nll : measured::loss::kl,
                      .units = what.units,
                      .fit = o.coder()};
  std::vector<precis::cost::measured_row> known;
  const std::vector<precis::unit> units = precis::group_units(model.matrices(), what.units);
  const std::size_t entries = what.entries.empty() ? formats::size : what.entries.size();
  progress bar("measuring units", units.size(), o.how());
  for (std::size_t i = 0; i < units.size(); ++i)
    if (const engine::json* before = saved == nullptr ? nullptr : saved->find(units[i].name)) {
      known.push_back({.unit = units[i].name, .losses = losses_of(*before)});
      bar.skip(1);
    } else if (saved != nullptr && saved->elsewhere(i)) {  // any losses do: this process writes no table
      known.push_back({.unit = units[i].name, .losses = std::vector<double>(entries, 0.0)});
      bar.skip(1);
    }
  return cost.resume(
      model, batches, known,
      [&](const precis::cost::measured_row& row) {
        if (saved != nullptr) saved->record(row.unit, to_json(row.losses));
        bar.step();
      },
      o.pool());
}

}  // namespace

cost_result run_costs(const std::string& name, session& s, const cost_request& what, const run_options& o,
                      checkpoint* saved) {
  const auto began = std::chrono::steady_clock::now();
  if (std::ranges::find(cost_names(), name) == cost_names().end())
    precis::refuse({.what = "no costs called '" + name + "'",
                    .where = "cost",
                    .expected = "one of measured, measured_nll, reconstruction and weights"});
  require_text(name, what.text != nullptr);
  using reconstruction = precis::cost::reconstruction<formats, code_fit>;
  const reconstruction rebuilt{.entries = what.entries, .units = what.units, .fit = o.coder()};
  cost_result out;
  try {
    if (name == "reconstruction")
      out.table = rebuilt(s.model, what.text->windows, o.pool());
    else if (name == "weights")
      out.table = rebuilt.from_weights(s.model, o.pool());
    else
      out.table =
          measure_costs<engine::transformer>(s.model, what.text->windows, name == "measured_nll", what, o, saved);
  } catch (const stopped&) {
    out.stopped = true;
    return out;
  }
  set_fit(out.table.notes, o.coder());
  out.table.model = s.fingerprint;
  out.table.original_bytes = stored_bytes(s);
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return out;
}

cost_result run_costs(const std::string& name, embedder& e, std::span<const engine::text_batch> texts,
                      const cost_request& what, const run_options& o, checkpoint* saved) {
  const auto began = std::chrono::steady_clock::now();
  if (name != "measured" && name != "weights")
    precis::refuse({.what = name + " costs of a sentence encoder",
                    .where = "cost",
                    .expected = "measured, the cosine distance of embeddings, or weights"});
  cost_result out;
  try {
    if (name == "weights") {
      out.table =
          precis::cost::reconstruction<formats, code_fit>{
              .entries = what.entries, .units = what.units, .fit = o.coder()}
              .from_weights(e.model, o.pool());
    } else {
      out.table = measure_costs(e.model, texts, true, what, o, saved);
      out.table.maker = fmt::format("measured cosine distance on {} texts", texts.size());
      out.table.measure = "increase of the cosine distance from the original's embeddings";
    }
  } catch (const stopped&) {
    out.stopped = true;
    return out;
  }
  set_fit(out.table.notes, o.coder());
  out.table.model = e.fingerprint;
  out.table.original_bytes = e.stored_bytes();
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return out;
}

void find_admissible(const session& s, precis::cost_table& table, const run_options& o) {
  const std::size_t entries = table.entries.size();
  o.pool().for_each(table.costs.size(), [&](std::size_t i) {
    const std::string& name = table.entries[i % entries];
    if (name.starts_with("codebook")) return;  // holds any weights, and takes long to encode
    const std::size_t entry = formats::index_of(name);
    for (const std::size_t m : table.units[i / entries].matrices) try {
        // Every fit tries the whole range of a group first, as nearest rounding does.
        static_cast<void>(precis::cost::packed_in<formats>(s.model.weights(m), s.model.matrices()[m], entry,
                                                           code_fit{.search = false}));
      } catch (const precis::error&) {
        table.costs[i] = precis::not_admitted;
      }
  });
}

std::vector<refused_entry> refused_entries(const session& s, const std::vector<std::string>& entries,
                                           const run_options& o) {
  precis::cost_table table{.entries = entries,
                           .units = precis::group_units(s.model.matrices(), precis::unit_kind::matrix),
                           .costs = std::vector<double>(s.model.matrices().size() * entries.size(), 0.0)};
  find_admissible(s, table, o);
  std::vector<refused_entry> refused;
  for (std::size_t e = 0; e < entries.size(); ++e)
    for (std::size_t u = 0; u < table.units.size(); ++u)
      if (!table.admits(u, e)) {
        refused.push_back({table.units[u].name, entries[e]});
        break;
      }
  return refused;
}

precis::cost_table costs_of_scores(const session& s, const precis::scores& table,
                                   const std::vector<std::string>& entries, const run_options& o) {
  precis::cost_table t = o.coder().search
                             ? precis::cost::weighted_error<formats, code_fit>{.entries = entries, .fit = o.coder()}(
                                   s.model, table, o.pool())
                             : precis::cost::weighted_error<formats>{.entries = entries}(s.model, table, o.pool());
  set_fit(t.notes, o.coder());
  t.model = s.fingerprint;
  t.original_bytes = stored_bytes(s);
  return t;
}

}  // namespace program
