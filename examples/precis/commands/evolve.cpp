#include "commands/commands.hpp"
#include "commands/options.hpp"
#include "jobs/checkpoint.hpp"
#include "jobs/evolution.hpp"
#include "jobs/output.hpp"
#include "jobs/plans.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <memory>

namespace program {

namespace {

struct evolve_command {
  model_options model;
  std::string costs, from, entries, units = "matrix", budget, out = "model.plan";
  std::size_t generations = 20, offspring = 32;
  std::uint64_t seed = 0;
  text_options text{.file = {}, .length = 0, .windows = 8};
  resume_options resume;
  run_options common;
};

exit_status run(const evolve_command& o) {
  require_writable({o.out, o.common.json});
  session s = open_and_print(o.model);
  const precis::cost_table table = o.costs.empty()
                                       ? sizes_only(s, precis::parse_unit_kind(o.units, "--units"), o.entries, o.common)
                                       : read_costs(s, o.costs);
  run_options common = o.common;
  common.fit = to_string(agreed_fit(table.notes, common, o.costs));
  common.fit_given = common.fit_given || fit_of(table.notes).has_value();
  const text_windows text = read_and_print(s, o.text);
  evolution_request what{.budget = precis::parse_budget(o.budget),
                         .costs = &table,
                         .text = &text,
                         .generations = o.generations,
                         .offspring = o.offspring,
                         .seed = o.seed};
  if (!o.from.empty()) {
    const engine::mapped_file file(o.from);
    what.from = precis::parse_plan(file.text(), o.from);
    common.fit = to_string(agreed_fit(what.from->notes, common, o.from));
  }
  const engine::json job{{"command", "evolve"},
                         {"model", s.fingerprint},
                         {"text", o.text.file},
                         {"special_tokens", text.special_tokens},
                         {"bos", text.bos},
                         {"windows", text.windows.size()},
                         {"length", text.length},
                         {"costs", o.costs},
                         {"entries", table.entries},
                         {"units", table.units.size()},
                         {"from", o.from},
                         {"budget", o.budget},
                         {"generations", o.generations},
                         {"offspring", o.offspring},
                         {"seed", o.seed},
                         {"tables", o.model.tables},
                         {"fit", common.fit}};
  checkpoint saved(partial_file(o.resume, o.out + ".partial", job), job, o.resume);
  evolution_result found;
  try {
    found = run_evolution(s, what, common, &saved);
  } catch (const stopped&) {  // before the first generation was over: there is no plan yet
    return stop(saved);
  }
  if (found.stopped) fmt::print("stopped after {} generations; the best plan so far follows\n", found.losses.size());
  const resolved_plan resolved = resolve(s, found.plan);
  if (!found.losses.empty())
    fmt::print(
        "loss   {:.6f} nats per token from the original on all of the text after the first generation, {:.6f} "
        "after {} ({})\n",
        found.losses.front(), found.losses.back(), found.losses.size(), duration(found.seconds));
  fmt::print("size   {} bytes, {:.3f} bits per weight\n", resolved.size.packed_bytes, resolved.size.bits_per_weight());
  engine::write_file(o.out, precis::to_text(found.plan));
  fmt::print("wrote  {}\n", o.out);
  write_json(o.common.json, {{"command", "evolve"},
                             {"model", s.name},
                             {"fingerprint", s.fingerprint},
                             {"losses", found.losses},
                             {"bytes", resolved.size.packed_bytes},
                             {"bits_per_weight", resolved.size.bits_per_weight()},
                             {"seconds", found.seconds},
                             {"complete", !found.stopped}});
  if (found.stopped) return stop(saved);
  saved.finish();
  return exit_status::done;
}

}  // namespace

void add_evolve(command_line& line) {
  auto o = std::make_shared<evolve_command>();
  subcommand c = line.add("evolve", "refine a plan end to end within a budget");
  c.footer(
      "Examples:\n"
      "  precis plan MODEL --costs model.costs --budget 3.5bpw --out first.plan\n"
      "  precis evolve MODEL --text calibration.txt --costs model.costs --from first.plan --budget 3.5bpw\n"
      "Each generation trades bytes between units of the best plan and keeps the plan that diverges least from the\n"
      "original. Unit costs need not be additive, but every candidate is a run of the model: start from a good plan.");
  add_model(c, o->model);
  add_requantize(c, o->model);
  add_special_tokens(c, o->model);
  add_tables(c, o->model);
  add_text(c, o->text, "calibration text", true);
  add_budget(c, o->budget).required();
  c.add("--costs", o->costs, "cost table whose units and formats are searched (default: --units and --entries)")
      .reads();
  c.add("--from", o->from, "plan to start from (default: random plans)").reads();
  const auto no_table = [o] { return o->costs.empty(); };
  add_entries(c, o->entries).only_if(no_table, "no --costs, which has its own");
  add_units(c, "--units", o->units, "the units that get one choice each: block, half or matrix")
      .only_if(no_table, "no --costs, which has its own");
  c.add("--generations", o->generations, "generations").shows_default();
  c.add("--offspring", o->offspring, "offspring per generation").shows_default().positive();
  c.add("--seed", o->seed, "random seed").shows_default();
  c.add("--out", o->out, "plan to write").shows_default().writes();
  add_resume(c, o->resume);
  add_fit(c, o->common);
  add_common(c, o->common);
  c.runs([o] { return run(*o); });
}

}  // namespace program
