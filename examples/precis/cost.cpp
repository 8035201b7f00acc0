#include "checkpoint.hpp"
#include "commands.hpp"
#include "costing.hpp"

#include <engine/files/files.hpp>

#include <fmt/format.h>

#include <memory>
#include <optional>

namespace program {

namespace {

struct options {
  std::string model, tokenizer, by = "measured", entries, units = "matrix", out = "model.costs";
  text_options text{.file = {}, .length = 0, .windows = 8};
  resume_options resume;
  common_options common;
};

exit_status run(const options& o) {
  require_writable(o.out);
  if (!o.common.json.empty()) require_writable(o.common.json);
  costing what{.entries = o.entries.empty() ? default_entries() : read_entries(o.entries, "--entries"),
               .units = precis::parse_unit_kind(o.units, "--units")};
  session s = open_model(o.model, o.tokenizer);
  fmt::print("model  {}: {}\n", s.name, describe(s));
  std::optional<text_windows> text;
  if (!o.text.file.empty()) {
    text = read_windows(s, o.text);
    what.text = &*text;
  }
  const engine::json job{{"command", "cost"},
                         {"model", s.fingerprint},
                         {"by", o.by},
                         {"entries", what.entries},
                         {"units", o.units},
                         {"text", o.text.file},
                         {"windows", text ? text->windows.size() : 0},
                         {"length", text ? text->length : 0}};
  checkpoint saved(o.resume.partial.empty() ? o.out + ".partial" : o.resume.partial, job, o.resume.resume);
  const costed found = run_costs(o.by, s, what, o.common, &saved);
  if (found.stopped) {
    fmt::print("stopped; what is done is in {}: run the same command with --resume to go on\n", saved.file().string());
    return exit_status::stopped;
  }
  engine::write_file(o.out, precis::to_text(found.table));
  fmt::print("wrote  {}: {} units x {} entries ({}, {})\n", o.out, found.table.units.size(), found.table.entries.size(),
             found.table.maker, duration(found.seconds));
  engine::json rows = engine::json::array();
  for (std::size_t u = 0; u < found.table.units.size(); ++u)
    rows.push_back(
        {{"unit", found.table.units[u].name}, {"bytes", found.table.bytes_of(u)}, {"costs", found.table.costs_of(u)}});
  write_json(o.common, {{"command", "cost"},
                        {"model", s.name},
                        {"fingerprint", s.fingerprint},
                        {"maker", found.table.maker},
                        {"measure", found.table.measure},
                        {"entries", found.table.entries},
                        {"units", std::move(rows)},
                        {"seconds", found.seconds}});
  saved.finish();
  return exit_status::done;
}

}  // namespace

void add_cost(CLI::App& app, exit_status& status) {
  auto o = std::make_shared<options>();
  CLI::App& c =
      *app.add_subcommand("cost", "what every unit loses in every format, as a table that serves every budget");
  c.footer(
      "Examples:\n"
      "  precis cost MODEL --by measured --text calibration.txt --out model.costs\n"
      "  precis plan MODEL --costs model.costs --budget 4bpw\n"
      "measured: one unit in one format at a time, divergence of the whole model (KL, nats per token); measured_nll: "
      "its\n"
      "loss; reconstruction: share of a matrix's squared outputs; weights: share of its squared weights, needs no "
      "text.");
  c.add_option("MODEL", o->model, "model folder or .bin file")->required();
  c.add_option("--by", o->by, "measured, measured_nll, reconstruction or weights")
      ->check(CLI::IsMember(coster_names()))
      ->capture_default_str();
  c.add_option("--text", o->text.file, "calibration text");
  c.add_option("--context", o->text.length, "predictions a window of the text");
  c.add_option("--windows", o->text.windows, "windows of the text; 0: all")->capture_default_str();
  c.add_option("--entries", o->entries,
               "formats, with commas (default: affine 2-6 and 8 bits, groups of 32, 64 and 128, half scales)");
  c.add_option("--units", o->units, "what gets one choice: block, half or matrix")
      ->check(CLI::IsMember({"block", "half", "matrix"}))
      ->capture_default_str();
  c.add_option("--out", o->out, "cost table to write")->capture_default_str();
  c.add_option("--tokenizer", o->tokenizer, "tokenizer of a .bin model, when it is not beside it");
  add_resume(c, o->resume);
  add_common(c, o->common);
  c.callback([o, &status] { status = run(*o); });
}

}  // namespace program
