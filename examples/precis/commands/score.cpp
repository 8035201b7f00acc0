#include "commands/commands.hpp"
#include "commands/options.hpp"
#include "commands/score_options.hpp"
#include "jobs/checkpoint.hpp"
#include "jobs/embedder.hpp"
#include "jobs/facts.hpp"
#include "jobs/output.hpp"
#include "jobs/unit_scores.hpp"
#include "report/results/score_pictures.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>

#include <precis/core/error.hpp>
#include <precis/score/weight_magnitude.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <memory>
#include <optional>

namespace program {

namespace {

struct score_command {
  model_options model;
  std::string scorer, out = "scores.txt", svg;
  text_options text{.file = {}, .length = 0, .windows = 32};
  score_options score;
  resume_options resume;
  run_options common;
};

/// Writes and prints the table. `facts`: how many there were, if any.
exit_status write_table(const score_command& o, const score_result& found, std::optional<std::size_t> facts) {
  engine::write_file(o.out, to_text(found.table));  // before the report, which may not be written
  if (facts) fmt::print("known  {} of {} facts\n", found.facts_known, *facts);
  fmt::print("\n{}\n", tier_table(found.table));
  for (const std::string& note : found.table.notes) fmt::print("note   {}\n", note);
  if (!found.table.unscored.empty()) fmt::print("note   no score: {}\n", precis::list_of_names(found.table.unscored));
  fmt::print("wrote {} ({}, {})\n", o.out, found.table.scorer, duration(found.seconds));
  if (!o.svg.empty()) fmt::print("{}\n", write_picture(o.svg, tier_picture(found.table)));
  engine::json result = to_json(found.table);
  result["command"] = "score";
  result["seconds"] = found.seconds;
  write_json(o.common.json, result);
  return exit_status::done;
}

exit_status run(score_command& o) {
  o.score.settle();
  require_writable({o.out, o.svg, o.common.json});
  session s = open_and_print(o.model);

  require_data(o.scorer, !o.score.facts.empty(), !o.text.file.empty());
  std::optional<fact_file> facts;
  std::optional<text_windows> text;
  std::optional<checkpoint> saved;
  if (o.scorer == "causal_trace" && !o.score.facts.empty()) {
    facts = o.score.load(s);
    o.score.what.facts = &*facts;
    fmt::print("facts  {}: {}", o.score.facts, facts->facts.size());
    if (facts->longer_answers > 0)
      fmt::print(", {} of them with answers of several tokens (the first counts)", facts->longer_answers);
    fmt::print("\n");
    const engine::json job = o.score.trace_job(s);
    saved.emplace(partial_file(o.resume, o.out + ".partial", job), job, o.resume);
    if (saved->size() > 0) fmt::print("resume {} facts were traced before\n", saved->size());
  }
  if (!o.text.file.empty()) {
    text = read_windows(s, o.text);
    o.score.what.text = &*text;
    if (keeps_partial_results(o.scorer)) {
      const engine::json job = o.score.units_job(s, o.scorer, o.text.file, *text);
      saved.emplace(partial_file(o.resume, o.out + ".partial", job), job, o.resume);
      if (saved->size() > 0) fmt::print("resume {} changes of units were measured before\n", saved->size());
    }
  }
  o.score.what.part = o.out;
  const score_result found = run_scorer(o.scorer, s, o.score.what, o.common, saved ? &*saved : nullptr);
  if (found.stopped) {
    if (saved) return stop(*saved);
    fmt::print("stopped; nothing was written\n");
    return exit_status::stopped;
  }
  const exit_status done = write_table(o, found, facts ? std::optional(facts->facts.size()) : std::nullopt);
  if (saved) saved->finish();
  return done;
}

/// The same for a sentence encoder, which only the scorer of weights alone takes.
exit_status run_embedder(score_command& o) {
  o.score.settle();
  require_writable({o.out, o.svg, o.common.json});
  if (o.scorer != "weight_magnitude" || o.model.tables)
    precis::refuse({.what = o.model.tables ? "--tables for a sentence encoder" : o.scorer + " of a sentence encoder",
                    .where = o.model.path,
                    .expected = "--scorer weight_magnitude, or `precis cost MODEL --texts FILE`"});
  const embedder e = open_embedder(o.model);
  fmt::print("model  {}: {}\n", e.name, describe(e));
  score_result found;
  found.table = precis::score::weight_magnitude{.units = o.score.what.units}(e.model);
  found.table.model = e.fingerprint;
  return write_table(o, found, {});
}

}  // namespace

void add_score(command_line& line) {
  auto o = std::make_shared<score_command>();
  subcommand c = line.add("score", "score how much each unit of a model matters; high = keep");
  c.footer(
      "Examples:\n"
      "  precis score MODEL --scorer causal_trace --facts facts.json --out trace.scores\n"
      "  precis score MODEL --scorer gradient_magnitude --text calibration.txt --units half\n"
      "  precis score MODEL --scorer cca --text calibration.txt --context 63 --windows 40\n"
      "The table is text: read it, edit it, pass it to `precis plan`. --resume continues a stopped causal trace, "
      "taylor or "
      "pruning_sensitivity; the other scorers take a few passes over the text, and keep nothing.");
  add_model(c, o->model);
  add_special_tokens(c, o->model)
      .only_if([o] { return !o->text.file.empty() || !o->score.facts.empty(); }, "--text or --facts");
  add_tables(c, o->model);
  c.add("--scorer", o->scorer,
        "causal_trace (needs --facts), weight_magnitude (needs no data), or one that needs --text: "
        "gradient_magnitude, first_order_taylor, taylor, input_taylor, pruning_sensitivity, cca, block_influence, "
        "outliers, drop_one, reconstruction_error")
      .required()
      .one_of(scorer_names());
  add_text(c, o->text, "calibration text, for all scorers but causal_trace and weight_magnitude", false)
      .only_if([o] { return needs_text(o->scorer); }, "a scorer that reads text");
  c.add("--out", o->out, "score table to write").shows_default().writes();
  c.add("--svg", o->svg, "also draw the scores and their tiers").writes();
  o->score.declare(c, {.scorers = [o] { return std::vector{o->scorer}; }, .option_name = "--scorer"});
  add_fit(c, o->common).only_if([o] { return o->scorer == "reconstruction_error"; }, "--scorer reconstruction_error");
  add_resume(
      c, o->resume, [o] { return keeps_partial_results(o->scorer); },
      "--scorer " + fmt::format("{}", fmt::join(scorers_with_partial_results(), ", ")));
  add_shard(c, o->resume)
      .only_if([o] { return keeps_partial_results(o->scorer); },
               "--scorer " + fmt::format("{}", fmt::join(scorers_with_partial_results(), ", ")));
  add_common(c, o->common);
  c.runs([o] { return is_embedder(o->model.path) ? run_embedder(*o) : run(*o); });
}

}  // namespace program
