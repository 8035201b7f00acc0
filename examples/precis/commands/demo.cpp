#include "commands/commands.hpp"
#include "commands/options.hpp"
#include "jobs/compression.hpp"
#include "jobs/fact_traces.hpp"
#include "jobs/facts.hpp"
#include "jobs/output.hpp"
#include "jobs/tier_grid.hpp"
#include "jobs/unit_scores.hpp"
#include "report/results/score_pictures.hpp"
#include "report/results/sweep_report.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>
#include <report/html.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <system_error>

namespace program {

namespace {

/// The folder of the demo's model: beside the installed program, or in the tree that it was built from.
[[nodiscard]] std::string demo_model() {
  std::error_code ignored;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", ignored);
  const std::filesystem::path installed = self.parent_path().parent_path() / "share" / "precis" / "models" / "world";
  return !self.empty() && std::filesystem::exists(installed, ignored) ? installed.string() : PRECIS_DEMO_MODEL;
}

struct demo_command {
  std::string model = demo_model(), out = "precis-demo";
  run_options common;
};

/// The known fact among the first forty whose answer recovers most when a single subject state is restored.
struct shown_fact {
  std::size_t index = 0;
  precis::score::fact_trace trace;  ///< `known` is false if no fact is
};
[[nodiscard]] shown_fact clearest_fact(const session& s, const fact_file& facts) {
  using precis::site_kind;
  const precis::score::causal_trace scorer;
  const double sigma = noise_scale(s, scorer.noise, facts.facts);
  const std::vector<precis::score::restoration> sites{
      {site_kind::residual, 1}, {site_kind::attention, 3}, {site_kind::mlp, 3}};
  double most = 0;
  shown_fact best;
  for (std::size_t i = 0; i < std::min<std::size_t>(facts.facts.size(), 40); ++i) {
    const precis::score::fact_trace t = trace_fact(s, scorer, facts.facts[i], sigma, sites);
    if (!t.known) continue;
    for (std::size_t token = t.subject_begin; token < t.subject_end; ++token)
      for (std::size_t layer = 0; layer < s.model.layers(); ++layer)
        if (const double back = t.tables[0].probability(token, layer) - t.corrupted; !best.trace.known || back > most) {
          best = {.index = i, .trace = t};
          most = back;
        }
  }
  return best;
}

void heading(int number, std::string_view text) { fmt::print("\n{}. {}\n", number, text); }

exit_status run(const demo_command& o) {
  const auto began = std::chrono::steady_clock::now();
  const std::filesystem::path folder(o.model), out(o.out);
  if (!std::filesystem::exists(folder / "facts.json"))
    precis::refuse({.what = "the demo's model is not at " + folder.string(),
                    .where = "demo",
                    .expected = "the folder examples/models/world of the repository; give it with --model"});
  require_folder(out, "report.html");
  require_writable({o.common.json});
  report::page page{.title = "precis: what a small language model can afford to lose", .subtitle = {}, .sections = {}};
  engine::json result{{"command", "demo"}};
  const auto picture = [&](const std::string& name, const std::string& svg, std::string caption) {
    fmt::print("   {}\n", write_picture(out / name, svg));
    return report::figure{svg, std::move(caption)};
  };

  heading(1, "A model, and how well it predicts text it has not seen");
  session s = open_model({.path = o.model, .tokenizer = {}});
  const text_windows text = read_windows(s, {.file = (folder / "heldout.txt").string(),
                                             .length = 0,
                                             .windows = 120,
                                             .length_option = "",
                                             .windows_option = ""});
  const text_windows calibration = read_windows(s, {.file = (folder / "calibration.txt").string(),
                                                    .length = 0,
                                                    .windows = 0,
                                                    .length_option = "",
                                                    .windows_option = ""});
  const fact_file facts = load_facts(s.tokens, s.model.shape().context, folder / "facts.json", answers::whole, 0, "");
  const text_loss original = measure(s.model, text, o.common, "   evaluating");
  if (original.stopped) return exit_status::stopped;
  fmt::print("   {}\n   perplexity {:.3f} on {} predictions of held-out text\n", describe(s), original.perplexity(),
             original.report.total.count);
  result["evaluate"] = {{"perplexity", original.perplexity()},
                        {"nll_nats_per_token", original.nats()},
                        {"predictions", original.report.total.count}};
  page.subtitle = fmt::format("{}: {}. Perplexity {:.3f} on {} predictions of held-out text.", s.name, describe(s),
                              original.perplexity(), original.report.total.count);

  heading(2, "Where the model stores facts: causal tracing");
  const score_request what{.units = precis::unit_kind::block, .trace = {}, .facts = &facts, .text = &calibration};
  std::vector<precis::scores> tables;
  std::vector<score_result> found;
  report::section scores_section{.heading = "The score of each block", .parts = {}};
  const std::vector<std::string> names{"causal_trace", "weight_magnitude", "gradient_magnitude"};
  for (const std::string& name : names) {
    found.push_back(run_scorer(name, s, what, o.common));
    if (found.back().stopped) return exit_status::stopped;
    tables.push_back(found.back().table);
    engine::write_file(out / (name + ".scores"), precis::to_text(found.back().table));
    scores_section.parts.push_back(
        picture(name + ".svg", tier_picture(tables.back()),
                fmt::format("{}: {} ({}).", name, tables.back().measure, duration(found.back().seconds))));
    result["scores"].push_back(to_json(tables.back()));
  }
  const score_result& traced = found.front();
  fmt::print("   the model answers {} of {} facts\n", traced.facts_known, facts.facts.size());

  const auto [shown, best] = clearest_fact(s, facts);
  report::section trace_section{.heading = "Where the model stores facts", .parts = {}};
  if (best.known) {
    fmt::print("   \"{}\" -> \"{}\": probability {:.3f}; {:.3f} with the subject noised\n", facts.prompts[shown],
               facts.attributes[shown], best.clean, best.corrupted);
    trace_section.parts.push_back(
        report::paragraph{"Noise hides the subject of a fact; then one state at a time is restored. The fact is stored "
                          "where restoring brings the answer back."});
    trace_section.parts.push_back(
        picture("trace.svg", trace_picture(s, facts.facts[shown], best, facts.prompts[shown], facts.attributes[shown]),
                fmt::format("One fact, the clearest of forty. Restoring a single state brings P(\"{}\") back from "
                            "{:.3f} towards {:.3f}.",
                            facts.attributes[shown], best.corrupted, best.clean)));
    result["trace"] = to_json(best);
  }
  trace_section.parts.push_back(
      picture("roles.svg", role_picture(traced),
              fmt::format("All {} facts the model knows, by token role.", traced.facts_known)));

  heading(3, "Tiers of bits and pruning by every scorer, against uniform settings");
  const tier_grid_request request{.bits = {{4, 6, 8}, {3, 4, 6}, {2, 3, 4}, {2, 2, 3}},
                                  .prune = {{0, 0, 0}, {0.3, 0.2, 0.1}},
                                  .family = "affine",
                                  .granularity = "row"};
  const tier_grid_result r = run_tier_grid(s, request, tables, names, text, o.common);
  if (r.stopped) return exit_status::stopped;
  fmt::print("\n{}\n", sweep_table(r));
  engine::write_file(out / "sweep.csv", sweep_csv(r));
  result["sweep"] = to_json(r);
  report::section sweep_section{.heading = "What compression costs", .parts = {}};
  sweep_section.parts.push_back(picture("sweep.svg", sweep_picture(r, s.name),
                                        "Each cell is a compressed model. Outlined: the best scorer of the row."));
  sweep_section.parts.push_back(
      picture("size.svg", size_picture(r, s.name), "The same without pruning, against the exact size."));
  sweep_section.parts.push_back(report::paragraph{"Over all settings:"});
  sweep_section.parts.push_back(report::listing{sweep_verdict(r)});

  heading(4, "A smaller model on disk");
  precis::plan plan = make_tiers({3, 4, 6}, {0, 0, 0}, "affine", "g32.h")(tables.front());
  const resolved_plan resolved = resolve(s, plan);
  const std::filesystem::path smaller = out / "compressed";
  const folder_bytes sizes = write_packed(s, folder, resolved, plan, o.common, smaller);
  const session again = open_model({.path = smaller.string(), .tokenizer = {}});
  run_options silent = o.common;
  silent.quiet = true;
  const text_loss after = measure(again.model, text, silent, "evaluating");
  fmt::print("   plan {}: {:.2f} bits per weight, scales included\n", (smaller / "model.plan").string(),
             resolved.size.bits_per_weight());
  fmt::print("   {} -> {} bytes on disk; perplexity {:.3f} -> {:.3f}\n", sizes.before, sizes.after,
             original.perplexity(), after.perplexity());
  result["compress"] = {{"bytes", sizes.after},
                        {"original_bytes", sizes.before},
                        {"perplexity", after.perplexity()},
                        {"bits_per_weight", resolved.size.bits_per_weight()}};

  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const std::string verdict = sweep_verdict(r);
  const auto peak =
      static_cast<std::size_t>(std::ranges::max_element(tables.front().values) - tables.front().values.begin());
  std::string words = fmt::format(
      "The model knows {} of its {} facts. Causal tracing locates most of them in block {}: with noise on the "
      "subject, restoring one\n"
      "attention or MLP output of that block at one token recovers {:.3f} of the answer's probability on average, "
      "more than in any other\n"
      "block. Spending 3, 4 or 6 bits per weight by that score makes the model {:.2f} times smaller on\n"
      "disk ({} -> {} bytes) and changes its perplexity from {:.3f} to {:.3f}.\n"
      "Over the whole sweep, by scorer:\n{}",
      traced.facts_known, facts.facts.size(), peak, tables.front().values[peak],
      static_cast<double>(sizes.before) / static_cast<double>(sizes.after), sizes.before, sizes.after,
      original.perplexity(), after.perplexity(), verdict);
  report::section end{.heading = "Summary", .parts = {report::listing{words}}};
  page.sections = {std::move(end),
                   std::move(trace_section),
                   std::move(scores_section),
                   std::move(sweep_section),
                   {.heading = "The plan", .parts = {report::listing{precis::to_text(plan)}}}};
  engine::write_file(out / "report.html", report::draw(page));
  result["seconds"] = seconds;
  write_json(o.common.json, result);
  heading(5, fmt::format("Results, in {}", duration(seconds)));
  fmt::print("{}\nEverything is in {}: open {} in a browser.\n", words, out.string(), (out / "report.html").string());
  return exit_status::done;
}

}  // namespace

void add_demo(command_line& line) {
  auto o = std::make_shared<demo_command>();
  subcommand c =
      line.add("demo", "run every stage on the model of the repository and write a report; takes about a minute");
  c.add("--model", o->model, "folder with the model, facts.json, heldout.txt and calibration.txt")
      .shows_default()
      .reads();
  c.add("--out", o->out, "folder for the report and its pictures").shows_default().writes();
  add_common(c, o->common);
  c.runs([o] { return run(*o); });
}

}  // namespace program
