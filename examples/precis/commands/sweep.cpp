#include "commands/commands.hpp"
#include "commands/score_options.hpp"
#include "jobs/checkpoint.hpp"
#include "jobs/lists.hpp"
#include "jobs/output.hpp"
#include "jobs/tier_grid.hpp"
#include "report/results/score_pictures.hpp"
#include "report/results/sweep_report.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

namespace program {

namespace {

struct sweep_command {
  experiment_options experiment;
  std::string scorers = "causal_trace,weight_magnitude,gradient_magnitude", family = "affine", granularity = "row";
  bool scorers_given = false;
  std::vector<std::string> bits{"8,16,24", "4,6,8", "3,4,6", "3,4,5", "2,4,6"}, prune{"0", "0.3,0.2,0.1"};
};

exit_status run(sweep_command& all) {
  experiment_options& o = all.experiment;
  o.score.settle();
  tier_grid_request request{.bits = {}, .prune = {}, .family = all.family, .granularity = all.granularity};
  for (const std::string& b : all.bits) request.bits.push_back(read_bits(b, "--bits"));
  for (const std::string& p : all.prune) request.prune.push_back(read_sparsities(p, "--prune"));
  std::vector<std::string> names = read_names(all.scorers, scorer_names(), "--scorers");
  if (!all.scorers_given) {
    names = usable_scorers(names, !o.score.facts.empty(), !o.calibration.empty());
    if (fmt::format("{}", fmt::join(names, ",")) != all.scorers)
      fmt::print("scorers {}: the others need --facts or --calibration\n", fmt::join(names, ", "));
  }
  for (const std::string& name : names) require_data(name, !o.score.facts.empty(), !o.calibration.empty());
  const std::filesystem::path out(o.out);
  require_folder(out, "sweep.csv");
  require_writable({o.common.json});

  experiment e = open_experiment(o);
  session& s = e.model;
  const score_request what = request_of(o, e);
  const engine::json job{{"command", "sweep"},      {"model", s.fingerprint},
                         {"text", o.text.file},     {"windows", e.text.windows.size()},
                         {"length", e.text.length}, {"fit", o.common.fit}};
  checkpoint saved(o.partial("sweep"), job, o.resume);
  const std::string traces = o.partial("sweep") + ".traces";
  std::optional<checkpoint> traces_saved;
  std::vector<precis::scores> tables;
  engine::json result{{"command", "sweep"},
                      {"model", s.name},
                      {"fingerprint", s.fingerprint},
                      {"text", e.text.name},
                      {"windows", e.text.windows.size()}};
  for (const std::string& name : names) {
    if (name == "causal_trace")
      traces_saved.emplace(
          traces, o.score.trace_job(s),
          resume_options{.partial = traces, .resume = o.resume.resume && std::filesystem::exists(traces)});
    const score_result found = run_scorer(name, s, what, o.common, name == "causal_trace" ? &*traces_saved : nullptr);
    if (found.stopped) return stop(saved);
    fmt::print("scored {} in {}\n", name, duration(found.seconds));
    engine::write_file(out / (name + ".scores"), precis::to_text(found.table));
    static_cast<void>(write_picture(out / (name + ".svg"), tier_picture(found.table)));
    if (!found.roles.empty()) static_cast<void>(write_picture(out / "roles.svg", role_picture(found)));
    result["scores"].push_back(to_json(found.table));
    tables.push_back(found.table);
  }

  const tier_grid_result r = run_tier_grid(s, request, tables, names, e.text, o.common, &saved);
  if (r.stopped) return stop(saved);
  fmt::print("\noriginal perplexity {:.3f}\n{}\n{}\n", r.original.perplexity(), sweep_table(r), sweep_verdict(r));
  engine::write_file(out / "sweep.csv", sweep_csv(r));
  fmt::print("wrote {}\n{}\n{}\n", (out / "sweep.csv").string(),
             write_picture(out / "sweep.svg", sweep_picture(r, s.name)),
             write_picture(out / "size.svg", size_picture(r, s.name)));
  result.update(to_json(r));
  write_json(o.common.json, result);
  saved.finish();
  if (traces_saved) traces_saved->finish();
  return exit_status::done;
}

}  // namespace

void add_sweep(command_line& line) {
  auto o = std::make_shared<sweep_command>();
  o->experiment.out = "sweep";
  o->experiment.calibration_windows = 32;
  subcommand c = line.add("sweep", "run the causal tracing paper's grid: scorers x bits per tier x pruning per tier");
  c.footer(
      "Example:\n"
      "  precis sweep MODEL --text heldout.txt --facts facts.json --calibration calibration.txt --bits 8,16,24 --bits "
      "3,4,6 --out sweep\n"
      "Evaluates every setting with the tiers of each scorer, with all units in the low tier and with all in the high "
      "tier.\n"
      "Writes sweep.csv, sweep.svg (heatmap), size.svg (quality against size), and the table and picture of each "
      "scorer.");
  c.add("--scorers", o->scorers, "comma-separated scorers, see `precis score --help`")
      .shows_default()
      .tells(o->scorers_given);
  c.add("--bits", o->bits, "bits of the low, medium and high tier; repeatable").shows_default();
  c.add("--prune", o->prune, "sparsity of the low, medium and high tier; repeatable").shows_default();
  c.add("--family", o->family, "affine, symmetric or symmetric_full")
      .one_of({"affine", "symmetric", "symmetric_full"})
      .shows_default();
  c.add("--granularity", o->granularity, "tensor, row, g32, g64 or g128").shows_default();
  o->experiment.declare(c);
  c.runs([o] { return run(*o); });
}

}  // namespace program
