#include "commands/commands.hpp"
#include "commands/score_options.hpp"
#include "jobs/checkpoint.hpp"
#include "jobs/formats.hpp"
#include "jobs/lists.hpp"
#include "jobs/output.hpp"
#include "jobs/plans.hpp"
#include "jobs/tier_grid.hpp"
#include "jobs/unit_costs.hpp"
#include "report/results/score_pictures.hpp"
#include "report/results/sweep_report.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>

namespace program {

namespace {

struct sweep_command {
  experiment_options experiment;
  std::string scorers = "causal_trace,weight_magnitude,gradient_magnitude", family = "affine", granularity = "row";
  bool scorers_given = false;
  std::vector<std::string> bits{"8,16,24", "4,6,8", "3,4,6", "3,4,5", "2,4,6"}, prune{"0", "0.3,0.2,0.1"};

  [[nodiscard]] std::vector<std::string> chosen_scorers() const {
    const std::vector<std::string> names = read_names(scorers, scorer_names(), "--scorers");
    return scorers_given ? names
                         : usable_scorers(names, !experiment.score.facts.empty(), !experiment.calibration.empty());
  }
};

exit_status run(sweep_command& all) {
  experiment_options& o = all.experiment;
  o.score.settle();
  tier_grid_request request{.bits = {}, .prune = {}, .family = all.family, .granularity = all.granularity};
  for (const std::string& b : all.bits) request.bits.push_back(read_bits(b, "--bits"));
  for (const std::string& p : all.prune) request.prune.push_back(read_sparsities(p, "--prune"));
  const std::vector<std::string> names = all.chosen_scorers();
  if (!all.scorers_given && fmt::format("{}", fmt::join(names, ",")) != all.scorers)
    fmt::print("scorers {}: the others need --facts or --calibration\n", fmt::join(names, ", "));
  for (const std::string& name : names) require_data(name, !o.score.facts.empty(), !o.calibration.empty());
  const std::filesystem::path out(o.out);
  require_folder(out, "sweep.csv");
  require_writable({o.common.json});

  experiment e = open_experiment(o);
  session& s = e.model;
  std::vector<std::string> codecs;
  for (const per_tier<unsigned>& bits : request.bits) {
    const precis::allocate::z_tiers tiers =
        make_tiers(bits, request.prune.front(), request.family, request.granularity);
    for (const std::string& codec : {tiers.low.codec, tiers.medium.codec, tiers.high.codec})
      if (formats::contains(codec) && std::ranges::find(codecs, codec) == codecs.end()) codecs.push_back(codec);
  }
  for (const refused_entry& r : refused_entries(s, codecs, o.common))
    precis::refuse({.what = r.unit + " cannot be in " + r.entry,
                    .where = "--bits",
                    .expected = "bits, --family and --granularity whose formats hold every unit"});
  const score_request what = request_of(o, e);
  const engine::json job{{"command", "sweep"},      {"model", s.fingerprint},
                         {"text", o.text.file},     {"windows", e.text.windows.size()},
                         {"length", e.text.length}, {"fit", o.common.fit}};
  checkpoint saved(o.partial("sweep"), job, o.resume);
  kept_scores kept(o, s, e);
  std::vector<precis::scores> tables;
  engine::json result{{"command", "sweep"},
                      {"model", s.name},
                      {"fingerprint", s.fingerprint},
                      {"text", e.text.name},
                      {"windows", e.text.windows.size()}};
  for (const std::string& name : names) {
    const score_result found = run_scorer(name, s, what, o.common, kept.of(name, o.partial("sweep")));
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
  kept.finish();
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
  o->experiment.declare(c, {.scorers = [o] { return o->chosen_scorers(); }},
                        [o] { return std::ranges::any_of(o->chosen_scorers(), needs_text); });
  c.runs([o] { return run(*o); });
}

}  // namespace program
