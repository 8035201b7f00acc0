#include "commands/commands.hpp"
#include "commands/score_options.hpp"
#include "jobs/checkpoint.hpp"
#include "jobs/comparison.hpp"
#include "jobs/lists.hpp"
#include "jobs/output.hpp"
#include "jobs/plans.hpp"
#include "jobs/presets.hpp"
#include "jobs/unit_costs.hpp"
#include "jobs/verdicts.hpp"
#include "report/results/comparison_report.hpp"
#include "report/results/score_pictures.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>
#include <report/html.hpp>

#include <precis/score/segments.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

namespace program {

namespace {

struct compare_command {
  experiment_options experiment;
  std::string verdicts, scorers, costs = "measured,reconstruction",
                                 allocators = "knapsack,minimax,kmeans_tiers,z_tiers", budgets = "3,3.5,4,5,6", entries,
                                 presets, cost_units = "matrix";
  std::size_t random_plans = 3, verdict_texts = 100;
  verdict_prompt prompt;
  bool budgets_given = false, costs_given = false;

  [[nodiscard]] std::vector<std::string> chosen_scorers() const {
    return scorers.empty()
               ? usable_scorers(scorer_names(), !experiment.score.facts.empty(), !experiment.calibration.empty())
               : read_names(scorers, scorer_names(), "--scorers");
  }
  [[nodiscard]] bool reads_calibration() const {
    const std::vector<std::string> of_costs = split_commas(costs);
    return scorers.empty() || std::ranges::any_of(chosen_scorers(), needs_text) ||
           (!costs.empty() && std::ranges::any_of(of_costs, [](const std::string& n) { return n != "weights"; }));
  }
};

/// Reads "3,4.5bpw,40%"; a bare number is bits per weight.
std::vector<precis::budget> read_budgets(const std::string& text) {
  std::vector<precis::budget> budgets;
  for (std::string word : split_commas(text)) {
    if (word.find_first_not_of("0123456789.") == std::string::npos) word += "bpw";
    budgets.push_back(precis::parse_budget(word));
    if (budgets.back().bounds() != precis::resource::bytes)
      precis::refuse({.what = "a budget of " + word,
                      .where = "compare",
                      .expected = "budgets in size: 3.5bpw, 1200000B or 40%; `precis plan` takes times"});
  }
  return budgets;
}

report::table correlations(const session& s, const comparison& c) {
  std::vector<const candidate*> with_scores;
  for (const candidate& each : c.candidates)
    if (each.has_scores()) with_scores.push_back(&each);
  report::table t{.caption = "Spearman's rank correlation of the scores, over matrices.", .header = {""}, .rows = {}};
  for (const candidate* a : with_scores) t.header.push_back(a->name);
  for (const candidate* a : with_scores) {
    t.rows.push_back({a->name});
    for (const candidate* b : with_scores) {
      const double r = rank_correlation(s, a->scores, b->scores);
      t.rows.back().push_back(std::isnan(r) ? "n/a" : fmt::format("{:.2f}", r));
    }
  }
  return t;
}

/// The mean of every score over the first, middle and last layers.
report::table segment_table(const comparison& c) {
  report::table t{.caption =
                      "Mean and standard deviation of each score over the first 30 % of the layers, the next 30 % and "
                      "the rest (CPTQuant).",
                  .header = {"score", "first 30 %", "middle", "rest"},
                  .rows = {}};
  for (const candidate& each : c.candidates) {
    if (!each.has_scores()) continue;
    t.rows.push_back({each.name});
    for (const precis::score::segment& g : precis::score::segments(each.scores))
      t.rows.back().push_back(g.layers == 0 ? "n/a"
                                            : fmt::format("{:.4g} +- {}", g.mean,
                                                          g.deviation ? fmt::format("{:.2g}", *g.deviation) : "n/a"));
  }
  return t;
}

/// Refuses a budget that even the smallest entry everywhere exceeds, before anything is scored; leaves it out if it is
/// one of the default budgets.
void check_budgets(const session& s, comparison_request& request, bool given) {
  std::vector<precis::budget> feasible;
  for (const precis::budget& b : request.budgets) {
    const std::size_t limit = b.bytes(weight_count(s), stored_bytes(s));
    std::size_t least = std::numeric_limits<std::size_t>::max(), most = 0;
    for (const std::string& e : request.entries) {
      const std::size_t bytes = resolve(s, uniform_plan(s, precis::unit_kind::matrix, e, 0)).size.packed_bytes;
      least = std::min(least, bytes);
      most = std::max(most, bytes);
    }
    if (limit >= least) {
      feasible.push_back(b);
    } else if (given || &b == &request.budgets.back()) {
      precis::refuse(
          {.what = fmt::format("a budget of {}, {} bytes", to_string(b), limit),
           .where = "--budgets",
           .expected = fmt::format("at least {} bytes; the largest entry everywhere takes {}", least, most)});
    } else {
      fmt::print("budget {} is left out: the smallest plan takes {} bytes\n", to_string(b), least);
    }
  }
  request.budgets = std::move(feasible);
}

/// Says which entries cannot hold the weights of which unit, before anything is scored: no plan puts the unit there, and
/// uniform plans of the entry are left out. Refuses entries of which each lacks some unit, so that no uniform plan is left.
void check_entries(const session& s, const comparison_request& request, const run_options& o) {
  const std::vector<refused_entry> refused = refused_entries(s, request.entries, o);
  if (refused.size() == request.entries.size())
    precis::refuse({.what = refused.front().unit + " cannot be in " + refused.front().entry,
                    .where = "--entries",
                    .expected = "at least one format that holds the weights of every unit"});
  for (const refused_entry& r : refused)
    fmt::print(stderr, "precis: {} cannot be in {}: plans that need it are left out\n", r.unit, r.entry);
}

/// The plans of --presets, each with its size as a budget. Without --budgets, these are all budgets.
void add_presets(const session& s, const compare_command& all, comparison_request& request) {
  if (all.presets.empty()) return;
  if (!all.budgets_given) request.budgets.clear();
  for (const std::string& name : split_commas(all.presets)) {
    precis::plan p = preset_plan(s, name, false);
    const std::size_t bytes = resolve(s, p).size.packed_bytes;
    request.given.push_back({.name = "preset " + name, .plan = std::move(p), .budget = request.budgets.size()});
    request.budgets.push_back(precis::parse_budget(fmt::format("{}B", bytes)));
  }
}

[[nodiscard]] report::section at_equal_bytes(const std::string& lines, const std::string& map) {
  return {.heading = "At equal bytes",
          .parts = {report::figure{lines,
                                   "Divergence from the original against exact size, with scales, minima and padding."},
                    report::figure{map, "The same relative to uniform. Reference plans are set apart."}}};
}

exit_status run(compare_command& all) {
  experiment_options& o = all.experiment;
  o.score.settle();
  comparison_request request{.budgets = read_budgets(all.budgets),
                             .entries = read_entries(all.entries, "--entries"),
                             .allocators = {},
                             .random_plans = all.random_plans,
                             .seed = o.score.what.trace.noise.seed};
  if (all.allocators.empty())
    precis::refuse({.what = "no allocators", .where = "--allocators", .expected = "at least one"});
  request.allocators = read_names(all.allocators, allocator_names(), "--allocators");
  const std::vector<std::string> scorers = all.chosen_scorers();
  std::vector<std::string> costs;
  if (!all.costs.empty()) costs = read_names(all.costs, cost_names(), "--costs");
  if (o.calibration.empty() && !all.costs_given) {
    fmt::print("costs  by weights: measured and reconstruction need --calibration\n");
    costs = {"weights"};
  }
  for (const std::string& name : scorers) require_data(name, !o.score.facts.empty(), !o.calibration.empty());
  for (const std::string& name : costs) require_text(name, !o.calibration.empty());
  const std::filesystem::path out(o.out);
  require_folder(out, "compare.csv");
  require_writable({o.common.json});

  experiment e = open_experiment(o);
  session& s = e.model;
  const text_windows& text = e.text;
  std::optional<questions> verdicts;
  if (!all.verdicts.empty()) {
    verdicts = ask(s.tokens, load_verdicts(all.verdicts), all.prompt.wanted(), s.model.shape().context);
    if (all.verdict_texts != 0 && all.verdict_texts < verdicts->batches.size())
      verdicts->batches.resize(all.verdict_texts);
  }
  check_entries(s, request, o.common);
  add_presets(s, all, request);
  check_budgets(s, request, all.budgets_given || !all.presets.empty());

  const std::string partial = o.partial("compare");
  const engine::json job{{"command", "compare"},     {"model", s.fingerprint},
                         {"text", o.text.file},      {"windows", text.windows.size()},
                         {"length", text.length},    {"facts", o.score.facts},
                         {"verdicts", all.verdicts}, {"verdict_tokens", all.prompt.tokens},
                         {"presets", all.presets},   {"fit", o.common.fit}};
  checkpoint saved(partial, job, o.resume);

  report::page page{.title = "precis compare: " + s.name,
                    .subtitle = fmt::format("{}. {} windows of {} predictions of {}.", describe(s), text.windows.size(),
                                            text.length, text.name),
                    .sections = {}};
  report::section scores_section{.heading = "The scores of every scorer", .parts = {}};
  std::vector<candidate> candidates;
  const score_request what = request_of(o, e);
  kept_scores kept(o, s, e);
  for (const std::string& name : scorers) {
    const score_result found = run_scorer(name, s, what, o.common, kept.of(name, partial));
    if (found.stopped) return stop(saved);
    fmt::print("scored {} in {}\n", name, duration(found.seconds));
    engine::write_file(out / (name + ".scores"), precis::to_text(found.table));
    const std::string picture = cluster_picture(found.table);
    static_cast<void>(write_picture(out / (name + ".svg"), picture));
    scores_section.parts.push_back(
        report::figure{picture, fmt::format("{}: {} ({}).", name, found.table.measure, duration(found.seconds))});
    candidates.push_back({.name = name,
                          .costs = costs_of_scores(s, found.table, request.entries, o.common),
                          .scores = found.table,
                          .seconds = found.seconds});
  }
  for (const std::string& name : costs) {
    const std::string rows = partial + "." + name;
    const engine::json costs_job{
        {"command", "cost"},          {"model", s.fingerprint},           {"by", name},
        {"entries", request.entries}, {"units", all.cost_units},          {"fit", o.common.fit},
        {"text", o.calibration},      {"windows", o.calibration_windows}, {"length", text.length}};
    checkpoint costs_saved(rows, costs_job,
                           resume_options{.partial = rows, .resume = o.resume.resume && std::filesystem::exists(rows)});
    const cost_result found = run_costs(name, s,
                                        {.entries = request.entries,
                                         .units = precis::parse_unit_kind(all.cost_units, "--cost-units"),
                                         .text = what.text},
                                        o.common, &costs_saved);
    if (found.stopped) return stop(saved);
    fmt::print("cost   {} in {}\n", name, duration(found.seconds));
    engine::write_file(out / (name + ".costs"), precis::to_text(found.table));
    costs_saved.finish();
    candidates.push_back({.name = name, .costs = found.table, .seconds = found.seconds});
  }

  const comparison c = run_comparison(s, std::move(request), std::move(candidates), text, what.facts,
                                      verdicts ? &*verdicts : nullptr, o.common, &saved);
  if (c.stopped) return stop(saved);
  const std::string verdict = comparison_verdict(c), table = comparison_table(c);
  fmt::print("\noriginal perplexity {:.3f}\n\n{}{}", c.original.perplexity(), table, verdict);
  engine::write_file(out / "compare.csv", comparison_csv(c));
  const std::string lines = comparison_picture(c), map = comparison_map(c);
  fmt::print("wrote {}\n{}\n{}\n", (out / "compare.csv").string(), write_picture(out / "quality.svg", lines),
             write_picture(out / "share.svg", map));
  page.sections.push_back({.heading = "Best plans", .parts = {report::listing{verdict}}});
  page.sections.push_back(at_equal_bytes(lines, map));
  if (std::ranges::count_if(c.candidates, &candidate::has_scores) > 1)
    scores_section.parts.insert(scores_section.parts.begin(), correlations(s, c));
  page.sections.push_back(std::move(scores_section));
  if (!scorers.empty())
    page.sections.push_back({.heading = "The evaluation of CPTQuant", .parts = {segment_table(c), paper_table(c)}});
  page.sections.push_back({.heading = "Every plan", .parts = {report::listing{table}}});
  engine::write_file(out / "report.html", report::draw(page));
  fmt::print("wrote {}\n", (out / "report.html").string());
  engine::json result = to_json(c);
  result.update({{"command", "compare"},
                 {"model", s.name},
                 {"fingerprint", s.fingerprint},
                 {"text", text.name},
                 {"windows", text.windows.size()},
                 {"predictions", text.length * text.windows.size()}});
  write_json(o.common.json, result);
  saved.finish();
  kept.finish();
  return exit_status::done;
}

}  // namespace

void add_compare(command_line& line) {
  auto o = std::make_shared<compare_command>();
  o->experiment.out = "compare";
  o->experiment.calibration_windows = 8;
  subcommand c =
      line.add("compare",
               "compare scorers and allocators at equal bytes with uniform, random, first-layer and last-layer plans");
  c.footer(
      "Example:\n"
      "  precis compare MODEL --text heldout.txt --calibration calibration.txt --facts facts.json --budgets 3,3.5,4,5\n"
      "A score becomes a cost by the error that each entry leaves in the weights; measured and reconstruction costs "
      "need "
      "no score.\n"
      "Writes compare.csv, quality.svg (divergence against bytes), share.svg (relative to uniform), report.html, and "
      "every score\n"
      "and cost table: `precis plan --costs compare/measured.costs --budget 4.5bpw` reuses them.");
  c.add("--verdicts", o->verdicts, "JSON lines of text and label: accuracy of uniform, tier and measured plans")
      .reads();
  const auto with_verdicts = [o] { return !o->verdicts.empty(); };
  add_verdict_prompt(c, o->prompt, with_verdicts);
  c.add("--verdict-texts", o->verdict_texts, "texts to read, from the first; 0: all")
      .shows_default()
      .only_if(with_verdicts, "--verdicts");
  c.add("--budgets", o->budgets, "comma-separated sizes: 4 or 4.5bpw (bits per weight), 40%, 1200000B")
      .shows_default()
      .tells(o->budgets_given);
  c.add("--scorers", o->scorers, "comma-separated scorers (default: all that the given data allow)");
  c.add("--costs", o->costs, "comma-separated costs: measured, measured_nll, reconstruction, weights; '' for none")
      .shows_default()
      .may_be_empty()
      .tells(o->costs_given);
  c.add(
      "--presets", o->presets,
      "comma-separated presets of llama-quantize (Q4_K_M): rows of their own, and everything else within their bytes");
  add_units(c, "--cost-units", o->cost_units, "the units that get one cost and one choice each: block, half or matrix")
      .only_if([o] { return !o->costs.empty(); }, "--costs");
  c.add("--allocators", o->allocators,
        "comma-separated allocators: " + fmt::format("{}", fmt::join(allocator_names(), ", ")))
      .shows_default();
  add_entries(c, o->entries);
  c.add("--random", o->random_plans, "random plans per budget").shows_default();
  o->experiment.declare(c, {.scorers = [o] { return o->chosen_scorers(); }, .uses_facts = true, .uses_seed = true},
                        [o] { return o->reads_calibration(); });
  c.runs([o] { return run(*o); });
}

}  // namespace program
