#include "allocating.hpp"
#include "commands.hpp"
#include "evolving.hpp"
#include "planning.hpp"

#include <engine/files/files.hpp>

#include <precis/cost/entry.hpp>

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <utility>

namespace program {

namespace {

struct options {
  std::string model, tokenizer, costs, from, entries, units = "matrix", budget, out = "model.plan";
  std::size_t generations = 20, offspring = 32;
  std::uint64_t seed = 0;
  text_options text{.file = {}, .length = 0, .windows = 8};
  common_options common;
};

exit_status run(const options& o) {
  require_writable(o.out);
  if (!o.common.json.empty()) require_writable(o.common.json);
  session s = open_model(o.model, o.tokenizer);
  fmt::print("model  {}: {}\n", s.name, describe(s));
  precis::cost_table table;
  if (!o.costs.empty()) {
    table = read_costs(s, o.costs);
  } else {
    table = precis::cost::blank_table<precis::codec::standard>(
        s.model.matrices(), precis::parse_unit_kind(o.units, "--units"),
        o.entries.empty() ? default_entries() : read_entries(o.entries, "--entries"), 32, "--entries");
    table.original_bytes = stored_bytes(s);
    table.maker = "sizes";
  }
  const text_windows text = read_windows(s, o.text);
  fmt::print("text   {}: {} windows of {} predictions\n", text.name, text.windows.size(), text.length);
  evolving what{.budget = precis::parse_budget(o.budget),
                .costs = &table,
                .text = &text,
                .generations = o.generations,
                .offspring = o.offspring,
                .seed = o.seed};
  if (!o.from.empty()) {
    const engine::mapped_file file(o.from);
    what.from = precis::parse_plan(file.text(), o.from);
  }
  const evolved found = run_evolution(s, what, o.common);
  if (found.stopped) fmt::print("stopped after {} generations; the best until then follows\n", found.losses.size());
  const resolved_plan resolved = resolve(s, found.plan);
  if (!found.losses.empty())
    fmt::print(
        "loss   {:.6f} nats per token from the original on all of the text after the first generation, {:.6f} "
        "after {} ({})\n",
        found.losses.front(), found.losses.back(), found.losses.size(), duration(found.seconds));
  fmt::print("size   {} bytes, {:.3f} bits per weight\n", resolved.size.packed_bytes, resolved.size.bits_per_weight());
  engine::write_file(o.out, precis::to_text(found.plan));
  fmt::print("wrote  {}\n", o.out);
  write_json(o.common, {{"command", "evolve"},
                        {"model", s.name},
                        {"fingerprint", s.fingerprint},
                        {"losses", found.losses},
                        {"bytes", resolved.size.packed_bytes},
                        {"bits_per_weight", resolved.size.bits_per_weight()},
                        {"seconds", found.seconds},
                        {"complete", !found.stopped}});
  return found.stopped ? exit_status::stopped : exit_status::done;
}

}  // namespace

void add_evolve(CLI::App& app, exit_status& status) {
  auto o = std::make_shared<options>();
  CLI::App& c = *app.add_subcommand("evolve", "searches for the plan that does best end to end, within a budget");
  c.footer(
      "Examples:\n"
      "  precis plan MODEL --costs model.costs --budget 3.5bpw --out first.plan\n"
      "  precis evolve MODEL --text calibration.txt --costs model.costs --from first.plan --budget 3.5bpw\n"
      "Offspring of the best plan trade bytes between units; what diverges least from the original stays. Costs of\n"
      "units need not add up for this, but every candidate is a run of the model: begin with a good plan.");
  c.add_option("MODEL", o->model, "model folder or .bin file")->required();
  c.add_option("--text", o->text.file, "calibration text")->required();
  c.add_option("--context", o->text.length, "predictions a window of the text");
  c.add_option("--windows", o->text.windows, "windows of the text; 0: all")->capture_default_str();
  c.add_option("--budget", o->budget, "never larger than this: 4.5bpw, 1200000B or 40% (of the file's matrices)")
      ->required();
  c.add_option("--costs", o->costs, "cost table: its units and formats are searched (default: --units and --entries)");
  c.add_option("--from", o->from, "plan to begin with (default: random ones)");
  c.add_option("--entries", o->entries,
               "formats, with commas (default: affine 2-6 and 8 bits, groups of 32, 64 and 128, half scales)");
  c.add_option("--units", o->units, "what gets one choice: block, half or matrix")
      ->check(CLI::IsMember({"block", "half", "matrix"}))
      ->capture_default_str();
  c.add_option("--generations", o->generations, "rounds of offspring")->capture_default_str();
  c.add_option("--offspring", o->offspring, "of each round")->capture_default_str()->check(CLI::PositiveNumber);
  c.add_option("--seed", o->seed, "of every draw")->capture_default_str();
  c.add_option("--out", o->out, "plan to write")->capture_default_str();
  c.add_option("--tokenizer", o->tokenizer, "tokenizer of a .bin model, when it is not beside it");
  add_common(c, o->common);
  c.callback([o, &status] { status = run(*o); });
}

}  // namespace program
