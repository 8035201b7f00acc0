#include "commands/commands.hpp"
#include "commands/options.hpp"
#include "jobs/allocation.hpp"
#include "jobs/calibration.hpp"
#include "jobs/checkpoint.hpp"
#include "jobs/embedder.hpp"
#include "jobs/output.hpp"
#include "jobs/product_times.hpp"
#include "jobs/rounding.hpp"
#include "jobs/text_list.hpp"
#include "jobs/unit_costs.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace program {

namespace {

struct cost_command {
  model_options model;
  std::string calibration, formats;
  double damping = 0.1;
  std::string by = "measured", entries, units = "matrix", out = "model.costs", activations = "float";
  bool time = false;
  std::size_t time_threads = 1;
  std::string texts;
  text_options text{.file = {}, .length = 0, .windows = 8};
  resume_options resume;
  run_options common;
};

/// The times of a unit; null where one is not known.
engine::json times_of(const precis::cost_table& t, std::size_t unit) {
  engine::json times = engine::json::array();
  for (const std::size_t ns : t.nanoseconds_of(unit))
    times.push_back(ns == precis::not_timed ? engine::json() : engine::json(ns));
  return times;
}

/// Writes the table and the report of it.
exit_status write_table(const cost_command& o, const model_outline& m, const cost_result& found, checkpoint* saved) {
  const precis::cost_table& t = found.table;
  engine::write_file(o.out, precis::to_text(t));
  fmt::print("wrote  {}: {} units x {} entries ({}, {})\n", o.out, t.units.size(), t.entries.size(), t.maker,
             duration(found.seconds));
  for (const std::string& note : t.notes) fmt::print("note   {}\n", note);
  engine::json rows = engine::json::array();
  for (std::size_t u = 0; u < t.units.size(); ++u) {
    rows.push_back({{"unit", t.units[u].name}, {"bytes", t.bytes_of(u)}, {"costs", t.costs_of(u)}});
    if (t.has_times()) rows.back()["nanoseconds"] = times_of(t, u);
  }
  write_json(o.common.json, {{"command", "cost"},
                             {"model", m.name},
                             {"fingerprint", m.fingerprint},
                             {"maker", t.maker},
                             {"measure", t.measure},
                             {"entries", t.entries},
                             {"units", std::move(rows)},
                             {"notes", t.notes},
                             {"seconds", found.seconds}});
  if (saved != nullptr) saved->finish();
  return exit_status::done;
}

/// The entries of --entries or --formats.
std::vector<std::string> entries_of(const cost_command& o) {
  if (o.formats.empty()) return read_entries(o.entries, "--entries");
  if (!o.entries.empty())
    precis::refuse({.what = "--entries and --formats", .where = "cost", .expected = "one of the two"});
  return o.formats == "gguf" ? gguf_entries() : own_entries();
}

/// Costs from the statistics of a calibration, of the fit that ships.
exit_status run_with_calibration(const cost_command& o) {
  if (o.common.coder() != fit_called("gptq"))
    precis::refuse({.what = "--calibration with --fit " + o.common.fit, .where = "cost", .expected = "--fit gptq"});
  if (!o.text.file.empty() || o.time)
    precis::refuse({.what = o.time ? "--time" : "--text",
                    .where = "cost --calibration",
                    .expected = "neither: the calibration has the text"});
  const auto began = std::chrono::steady_clock::now();
  const session s = open_and_print(o.model);
  const calibration c = read_calibration(o.calibration, s.fingerprint, s.model.matrices());
  const cost_result found{.table = rounding_costs(s, entries_of(o), precis::parse_unit_kind(o.units, "--units"), c,
                                                  {.damping = o.damping}, o.common),
                          .seconds = seconds_since(began)};
  return write_table(o, s, found, nullptr);
}

exit_status run(const cost_command& o) {
  require_writable({o.out, o.common.json});
  if (!o.calibration.empty()) return run_with_calibration(o);
  if (o.common.coder().compensate)
    precis::refuse({.what = "--fit gptq without data",
                    .where = "cost",
                    .expected = "--calibration FILE, written by `precis calibrate`"});
  cost_request what{.entries = entries_of(o), .units = precis::parse_unit_kind(o.units, "--units")};
  session s = open_and_print(o.model);
  std::optional<text_windows> text;
  require_text(o.by, !o.text.file.empty());
  if (!o.text.file.empty()) {
    text = read_windows(s, o.text);
    what.text = &*text;
  }
  const engine::json job{{"command", "cost"},
                         {"model", s.fingerprint},
                         {"by", o.by},
                         {"entries", what.entries},
                         {"units", o.units},
                         {"tables", o.model.tables},
                         {"fit", o.common.fit},
                         {"text", o.text.file},
                         {"windows", text ? text->windows.size() : 0},
                         {"bos", text && text->bos},
                         {"length", text ? text->length : 0}};
  checkpoint saved(partial_file(o.resume, o.out + ".partial", job), job, o.resume);
  cost_result found = run_costs(o.by, s, what, o.common, &saved);
  if (found.stopped) return stop(saved);
  saved.finish_part(found.table.units.size(), o.out);
  if (o.time)
    found.table =
        with_times(s, std::move(found.table), {.int8_activations = o.activations == "int8", .threads = o.time_threads});
  return write_table(o, s, found, &saved);
}

/// The same for a sentence encoder: how far the embeddings of texts move.
exit_status run_embedder(const cost_command& o) {
  require_writable({o.out, o.common.json});
  const auto refuse = [&](std::string what, const char* expected) {
    precis::refuse({.what = std::move(what), .where = o.model.path, .expected = expected});
  };
  if (o.by != "measured" && o.by != "weights")
    refuse(o.by + " costs of a sentence encoder", "--by measured, the cosine distance of embeddings, or --by weights");
  if (!o.text.file.empty()) refuse("--text for a sentence encoder", "--texts FILE, a JSON array of strings");
  if (o.time || o.model.tables) refuse("--time or --tables for a sentence encoder", "neither");
  if ((o.by == "measured") == o.texts.empty())
    refuse(o.texts.empty() ? "measured costs without texts" : "--texts with --by weights",
           "--by measured --texts FILE, or --by weights");
  const cost_request what{.entries = read_entries(o.entries, "--entries"),
                          .units = precis::parse_unit_kind(o.units, "--units")};
  const std::vector<std::string> texts = o.texts.empty() ? std::vector<std::string>() : read_text_list(o.texts);
  if (!o.texts.empty() && texts.empty()) refuse("no texts in " + o.texts, "one text or more");
  embedder e = open_embedder(o.model);
  fmt::print("model  {}: {}\n", e.name, describe(e));
  encoded_texts encoded = encode(e, texts);
  set_references(encoded, e, o.common);
  const engine::json job{{"command", "cost"}, {"model", e.fingerprint}, {"by", o.by},    {"entries", what.entries},
                         {"units", o.units},  {"fit", o.common.fit},    {"texts", texts}};
  checkpoint saved(partial_file(o.resume, o.out + ".partial", job), job, o.resume);
  const cost_result found = run_costs(o.by, e, encoded.batches, what, o.common, &saved);
  if (found.stopped) return stop(saved);
  saved.finish_part(found.table.units.size(), o.out);
  return write_table(o, e, found, &saved);
}

}  // namespace

void add_cost(command_line& line) {
  auto o = std::make_shared<cost_command>();
  subcommand c = line.add("cost", "compute the cost of every unit in every format, as a table for any budget");
  c.footer(
      "Examples:\n"
      "  precis cost MODEL --by measured --text calibration.txt --out model.costs\n"
      "  precis plan MODEL --costs model.costs --budget 4bpw\n"
      "  precis cost MODEL --by weights --time --out timed.costs\n"
      "  precis plan MODEL --costs timed.costs --budget 2.5ms\n"
      "measured: divergence of the whole model (KL, nats per token) with one unit in one format; measured_nll: its\n"
      "loss instead; reconstruction: relative squared error of a matrix's outputs; weights: relative squared error of\n"
      "its weights, without text.");
  add_model(c, o->model);
  add_requantize(c, o->model);
  add_special_tokens(c, o->model).only_if([o] { return !o->text.file.empty(); }, "--text");
  add_tables(c, o->model);
  c.add("--by", o->by, "measured, measured_nll, reconstruction or weights").one_of(cost_names()).shows_default();
  add_text(c, o->text, "calibration text", false)
      .only_if([o] { return o->by != "weights"; }, "--by other than weights");
  add_entries(c, o->entries);
  c.add("--formats", o->formats,
        "instead of --entries: gguf, the types that stock llama.cpp loads, or ours, these and integers of 2 to 8 bits")
      .one_of({"gguf", "ours"});
  c.add("--calibration", o->calibration,
        "statistics of `precis calibrate`: costs are what the output errors of --fit gptq predict")
      .reads();
  c.add("--damping", o->damping, "with --calibration: ridge as a share of the mean squared input")
      .shows_default()
      .positive()
      .only_if([o] { return !o->calibration.empty(); }, "--calibration");
  add_units(c, "--units", o->units, "the units that get one choice each: block, half or matrix");
  c.add_flag("--time", o->time, "also measure the time of every unit in every format on this machine, per token");
  c.add("--activations", o->activations, "with --time: activations that multiply packed weights, float or int8")
      .one_of({"float", "int8"})
      .shows_default()
      .only_if([o] { return o->time; }, "--time");
  c.add("--time-threads", o->time_threads, "with --time: threads of a product; 0: one per processor")
      .shows_default()
      .at_most(most_threads)
      .only_if([o] { return o->time; }, "--time");
  c.add("--out", o->out, "cost table to write").shows_default().writes();
  const auto has_cells = [o] { return o->by == "measured" || o->by == "measured_nll"; };
  const char* const that_have = "--by measured or measured_nll, the costs that keep partial results";
  add_resume(c, o->resume, has_cells, that_have);
  add_shard(c, o->resume).only_if(has_cells, that_have);
  add_fit(c, o->common, true);
  add_common(c, o->common);
  c.add("--texts", o->texts, "JSON array of texts: a sentence encoder's costs are the distance of their embeddings")
      .reads();
  c.runs([o] {
    if (is_embedder(o->model.path)) return run_embedder(*o);
    if (!o->texts.empty())
      precis::refuse(
          {.what = "--texts for a model that is no sentence encoder", .where = "cost", .expected = "--text FILE"});
    return run(*o);
  });
}

}  // namespace program
