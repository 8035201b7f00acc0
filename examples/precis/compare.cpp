#include "checkpoint.hpp"
#include "commands.hpp"
#include "comparison_report.hpp"
#include "costing.hpp"
#include "planning.hpp"
#include "score_options.hpp"
#include "verdicts.hpp"

#include <engine/files/files.hpp>
#include <report/html.hpp>

#include <precis/score/segments.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <system_error>

namespace program {

namespace {

struct options {
  std::string model, tokenizer, calibration, verdicts, out = "compare", scorers, costs = "measured,reconstruction",
                                                       allocators = "knapsack,minimax,kmeans_tiers,z_tiers",
                                                       budgets = "3,3.5,4,5,6", entries, cost_units = "matrix";
  std::size_t calibration_windows = 8, random_plans = 3, verdict_texts = 100, verdict_tokens = default_verdict_tokens;
  text_options text{.file = {}, .length = 0, .windows = 20};
  score_options score;
  resume_options resume;
  common_options common;
};

/// "a,b,c", each one of `known`, each once.
std::vector<std::string> read_names(const std::string& text, const std::vector<std::string>& known,
                                    const std::string& option) {
  std::vector<std::string> names;
  if (text.empty()) return names;
  std::string all;
  for (const std::string& k : known) all += (all.empty() ? "" : ", ") + k;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    names.push_back(text.substr(at, comma - at));
    at = comma + 1;
    if (std::ranges::find(known, names.back()) == known.end() || std::ranges::count(names, names.back()) > 1)
      precis::refuse({.what = "'" + names.back() + "'", .where = option, .expected = all + ", each at most once"});
  }
  return names;
}

std::vector<precis::budget> read_budgets(const std::string& text) {
  std::vector<precis::budget> budgets;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    std::string word = text.substr(at, comma - at);
    if (word.find_first_not_of("0123456789.") == std::string::npos) word += "bpw";
    budgets.push_back(precis::parse_budget(word));
    at = comma + 1;
  }
  return budgets;
}

/// What the model can be scored by with the data at hand.
std::vector<std::string> usable_scorers(bool with_facts, bool with_text) {
  std::vector<std::string> names;
  for (const std::string& n : scorer_names())
    if (n == "causal_trace" ? with_facts : n == "weight_magnitude" || with_text) names.push_back(n);
  return names;
}

report::table correlations(const session& s, const comparison& c) {
  std::vector<const candidate*> scored;
  for (const candidate& each : c.candidates)
    if (each.scored()) scored.push_back(&each);
  report::table t{.caption = "Spearman's rank correlation of the scores, over matrices.", .header = {""}, .rows = {}};
  for (const candidate* a : scored) t.header.push_back(a->name);
  for (const candidate* a : scored) {
    t.rows.push_back({a->name});
    for (const candidate* b : scored) {
      const double r = rank_correlation(s, a->scores, b->scores);
      t.rows.back().push_back(std::isnan(r) ? "n/a" : fmt::format("{:.2f}", r));
    }
  }
  return t;
}

/// How sensitive the first, middle and last layers are, by every score.
report::table segment_table(const comparison& c) {
  report::table t{.caption =
                      "Mean and standard deviation of each score over the first 30 % of the layers, the next 30 % and "
                      "the rest (CPTQuant).",
                  .header = {"score", "first 30 %", "middle", "rest"},
                  .rows = {}};
  for (const candidate& each : c.candidates) {
    if (!each.scored()) continue;
    t.rows.push_back({each.name});
    for (const precis::score::segment& g : precis::score::segments(each.scores))
      t.rows.back().push_back(g.layers == 0 ? "n/a"
                                            : fmt::format("{:.4g} +- {}", g.mean,
                                                          g.deviation ? fmt::format("{:.2g}", *g.deviation) : "n/a"));
  }
  return t;
}

exit_status run(options& o) {
  o.score.settle();
  comparison_request request{.budgets = read_budgets(o.budgets),
                             .entries = o.entries.empty() ? default_entries() : read_entries(o.entries, "--entries"),
                             .allocators = read_names(o.allocators, allocator_names(), "--allocators"),
                             .random_plans = o.random_plans,
                             .seed = o.score.what.trace.noise.seed};
  if (request.allocators.empty())
    precis::refuse({.what = "no allocators", .where = "--allocators", .expected = "at least one"});
  const std::vector<std::string> scorers = o.scorers.empty()
                                               ? usable_scorers(!o.score.facts.empty(), !o.calibration.empty())
                                               : read_names(o.scorers, scorer_names(), "--scorers");
  const std::vector<std::string> costers = read_names(o.costs, coster_names(), "--costs");
  const std::filesystem::path out(o.out);
  std::error_code failed;
  std::filesystem::create_directories(out, failed);
  require_writable(out / "compare.csv");
  if (!o.common.json.empty()) require_writable(o.common.json);

  session s = open_model(o.model, o.tokenizer);
  fmt::print("model  {}: {}\n", s.name, describe(s));
  const text_windows text = read_windows(s, o.text);
  fmt::print("text   {}: {} windows of {} predictions\n", text.name, text.windows.size(), text.length);
  std::optional<text_windows> calibration;
  if (!o.calibration.empty()) {
    calibration = read_windows(s, {.file = o.calibration, .length = o.text.length, .windows = o.calibration_windows});
    o.score.what.text = &*calibration;
  }
  std::optional<fact_file> facts;
  if (!o.score.facts.empty()) {
    facts = load_facts(s.tokens, o.score.facts, o.score.answer(), o.score.facts_limit);
    o.score.what.facts = &*facts;
  }
  std::optional<questions> verdicts;
  if (!o.verdicts.empty()) {
    verdicts = ask(s.tokens, load_verdicts(o.verdicts), o.verdict_tokens, s.model.shape().context);
    if (o.verdict_texts != 0 && o.verdict_texts < verdicts->batches.size()) verdicts->batches.resize(o.verdict_texts);
  }
  for (const precis::budget& b : request.budgets) {  // refused before anything is scored
    const std::size_t limit = b.bytes(weight_count(s), stored_bytes(s));
    std::size_t least = std::numeric_limits<std::size_t>::max(), most = 0;
    for (const std::string& e : request.entries) {
      const std::size_t bytes = resolve(s, uniform_plan(s, precis::unit_kind::matrix, e, 0)).size.packed_bytes;
      least = std::min(least, bytes);
      most = std::max(most, bytes);
    }
    if (limit < least)
      precis::refuse(
          {.what = fmt::format("a budget of {}, {} bytes", to_string(b), limit),
           .where = "--budgets",
           .expected = fmt::format("at least {} bytes; the largest entry everywhere takes {}", least, most)});
  }

  const std::filesystem::path partial =
      o.resume.partial.empty() ? out / "compare.partial" : std::filesystem::path(o.resume.partial);
  const engine::json job{{"command", "compare"},           {"model", s.fingerprint}, {"text", o.text.file},
                         {"windows", text.windows.size()}, {"length", text.length},  {"facts", o.score.facts}};
  checkpoint saved(partial, job, o.resume.resume);
  const auto stop = [&] {
    fmt::print("stopped; what is done is in {}: run the same command with --resume to go on\n", partial.string());
    return exit_status::stopped;
  };

  report::page page{.title = "precis compare: " + s.name,
                    .subtitle = fmt::format("{}. {} windows of {} predictions of {}.", describe(s), text.windows.size(),
                                            text.length, text.name),
                    .sections = {}};
  report::section scores_section{.heading = "What each unit is worth, by every scorer", .parts = {}};
  std::vector<candidate> candidates;
  for (const std::string& name : scorers) {
    const scored found = run_scorer(name, s, o.score.what, o.common);
    if (found.stopped) return stop();
    fmt::print("scored {} in {}\n", name, duration(found.seconds));
    engine::write_file(out / (name + ".scores"), precis::to_text(found.table));
    const std::string picture = cluster_picture(found.table);
    static_cast<void>(write_picture(out / (name + ".svg"), picture));
    scores_section.parts.push_back(
        report::figure{picture, fmt::format("{}: {} ({}).", name, found.table.measure, duration(found.seconds))});
    candidates.push_back({.name = name,
                          .costs = weigh(s, found.table, request.entries, o.common),
                          .scores = found.table,
                          .seconds = found.seconds});
  }
  for (const std::string& name : costers) {
    std::filesystem::path rows = partial;
    rows += "." + name;
    const engine::json costs_job{{"command", "cost"},
                                 {"model", s.fingerprint},
                                 {"by", name},
                                 {"entries", request.entries},
                                 {"units", o.cost_units},
                                 {"text", o.calibration},
                                 {"windows", o.calibration_windows},
                                 {"length", text.length}};
    checkpoint costs_saved(rows, costs_job, o.resume.resume && std::filesystem::exists(rows));
    const costed found = run_costs(name, s,
                                   {.entries = request.entries,
                                    .units = precis::parse_unit_kind(o.cost_units, "--cost-units"),
                                    .text = calibration ? &*calibration : nullptr},
                                   o.common, &costs_saved);
    if (found.stopped) return stop();
    fmt::print("cost   {} in {}\n", name, duration(found.seconds));
    engine::write_file(out / (name + ".costs"), precis::to_text(found.table));
    costs_saved.finish();
    candidates.push_back({.name = name, .costs = found.table, .seconds = found.seconds});
  }

  const comparison c = run_comparison(s, std::move(request), std::move(candidates), text, facts ? &*facts : nullptr,
                                      verdicts ? &*verdicts : nullptr, o.common, &saved);
  if (c.stopped) return stop();
  const std::string verdict = comparison_verdict(c), table = comparison_table(c);
  fmt::print("\noriginal perplexity {:.3f}\n\n{}{}", c.original.perplexity(), table, verdict);
  engine::write_file(out / "compare.csv", comparison_csv(c));
  const std::string lines = comparison_picture(c), map = comparison_map(c);
  fmt::print("wrote {}\n{}\n{}\n", (out / "compare.csv").string(), write_picture(out / "quality.svg", lines),
             write_picture(out / "share.svg", map));
  page.sections.push_back({.heading = "Who won", .parts = {report::listing{verdict}}});
  page.sections.push_back(
      {.heading = "At equal bytes",
       .parts = {report::figure{lines,
                                "Divergence from the original against exact size; scales, minima and padding counted."},
                 report::figure{map, "The same as a share of uniform's. References stand apart."}}});
  if (std::ranges::count_if(c.candidates, &candidate::scored) > 1)
    scores_section.parts.insert(scores_section.parts.begin(), correlations(s, c));
  page.sections.push_back(std::move(scores_section));
  if (!scorers.empty())
    page.sections.push_back({.heading = "The CPTQuant way", .parts = {segment_table(c), paper_table(c)}});
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
  write_json(o.common, result);
  saved.finish();
  return exit_status::done;
}

}  // namespace

void add_compare(CLI::App& app, exit_status& status) {
  auto o = std::make_shared<options>();
  CLI::App& c = *app.add_subcommand(
      "compare", "every scorer x every allocator at equal bytes, against uniform, random and first or last layers");
  c.footer(
      "Example:\n"
      "  precis compare MODEL --text heldout.txt --calibration calibration.txt --facts facts.json --budgets 3,3.5,4,5\n"
      "Scores become costs by the error each entry leaves in the weights; measured and reconstruction costs need "
      "none.\n"
      "Writes compare.csv, quality.svg (divergence against bytes), share.svg (against uniform), report.html, and every "
      "score\n"
      "and cost table: `precis plan --costs compare/measured.costs --budget 4.5bpw` uses them without measuring "
      "again.");
  c.add_option("MODEL", o->model, "model folder or .bin file")->required();
  c.add_option("--text", o->text.file, "held-out text to take the loss on")->required();
  c.add_option("--context", o->text.length, "predictions a window (default: the model's context less one)");
  c.add_option("--windows", o->text.windows, "windows of the text; 0: all")->capture_default_str();
  c.add_option("--verdicts", o->verdicts,
               "JSON lines of text and label: accuracy of uniform, tiers and measured plans");
  c.add_option("--verdict-tokens", o->verdict_tokens, "how many tokens of a text's end are asked about")
      ->capture_default_str();
  c.add_option("--verdict-texts", o->verdict_texts, "how many of them, from the first; 0: all")->capture_default_str();
  c.add_option("--calibration", o->calibration, "text for scorers and costs; not the held-out one");
  c.add_option("--calibration-windows", o->calibration_windows, "windows of it; 0: all")->capture_default_str();
  c.add_option("--budgets", o->budgets, "sizes, with commas: 4 or 4.5bpw (bits per weight), 40%, 1200000B")
      ->capture_default_str();
  c.add_option("--scorers", o->scorers, "with commas (default: all that the given data allow)");
  c.add_option("--costs", o->costs, "measured, measured_nll, reconstruction, weights; with commas; '' for none")
      ->capture_default_str();
  c.add_option("--cost-units", o->cost_units, "what gets one cost and one choice: block, half or matrix")
      ->check(CLI::IsMember({"block", "half", "matrix"}))
      ->capture_default_str();
  c.add_option("--allocators", o->allocators,
               "knapsack, lagrangian, greedy, minimax, norm_sweep, kmeans_tiers, z_tiers")
      ->capture_default_str();
  c.add_option("--entries", o->entries,
               "what a unit may take, with commas (default: affine 2-6 and 8 bits, groups of "
               "32, 64 and 128, half scales)");
  c.add_option("--random", o->random_plans, "random plans a budget")->capture_default_str();
  c.add_option("--out", o->out, "folder for the results; made if it is not there")->capture_default_str();
  o->score.declare(c);
  c.add_option("--tokenizer", o->tokenizer, "tokenizer of a .bin model, when it is not beside it");
  add_resume(c, o->resume);
  add_common(c, o->common);
  c.callback([o, &status] { status = run(*o); });
}

}  // namespace program
