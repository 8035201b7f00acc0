#include "checkpoint.hpp"
#include "commands.hpp"
#include "score_options.hpp"
#include "session.hpp"

#include <engine/files/files.hpp>

#include <fmt/format.h>

#include <memory>
#include <optional>

namespace program {

namespace {

struct options {
  std::string model, tokenizer, scorer, out = "scores.txt", svg;
  text_options text{.file = {}, .length = 0, .windows = 32};
  score_options score;
  resume_options resume;
  common_options common;
};

exit_status run(options& o) {
  o.score.settle();
  require_writable(o.out);
  if (!o.svg.empty()) require_writable(o.svg);
  if (!o.common.json.empty()) require_writable(o.common.json);
  session s = open_model(o.model, o.tokenizer);
  fmt::print("model  {}: {}\n", s.name, describe(s));

  std::optional<fact_file> facts;
  std::optional<text_windows> text;
  std::optional<checkpoint> saved;
  if (o.scorer == "causal_trace" && !o.score.facts.empty()) {
    facts = load_facts(s.tokens, o.score.facts, o.score.answer(), o.score.facts_limit);
    o.score.what.facts = &*facts;
    fmt::print("facts  {}: {}", o.score.facts, facts->facts.size());
    if (facts->longer_answers > 0)
      fmt::print(", {} of them with answers of several tokens (the first counts)", facts->longer_answers);
    fmt::print("\n");
    engine::json job{{"command", "score"}, {"model", s.fingerprint}, {"options", o.score.identity()}};
    saved.emplace(o.resume.partial.empty() ? o.out + ".partial" : o.resume.partial, job, o.resume.resume);
    if (saved->size() > 0) fmt::print("resume {} facts were traced before\n", saved->size());
  }
  if (!o.text.file.empty()) {
    text = read_windows(s, o.text);
    o.score.what.text = &*text;
  }
  const scored found = run_scorer(o.scorer, s, o.score.what, o.common, saved ? &*saved : nullptr);
  if (found.stopped) {
    if (saved)
      fmt::print("stopped; what is done is in {}: run the same command with --resume to go on\n",
                 saved->file().string());
    else
      fmt::print("stopped; nothing was written\n");
    return exit_status::stopped;
  }
  if (facts) fmt::print("known  {} of {} facts\n", found.facts_known, facts->facts.size());
  fmt::print("\n{}\n", tier_table(found.table));
  engine::write_file(o.out, to_text(found.table));
  fmt::print("wrote {} ({}, {})\n", o.out, found.table.scorer, duration(found.seconds));
  if (!o.svg.empty()) fmt::print("{}\n", write_picture(o.svg, tier_picture(found.table)));
  engine::json result = to_json(found.table);
  result["command"] = "score";
  result["seconds"] = found.seconds;
  write_json(o.common, result);
  if (saved) saved->finish();
  return exit_status::done;
}

}  // namespace

void add_score(CLI::App& app, exit_status& status) {
  auto o = std::make_shared<options>();
  CLI::App& c = *app.add_subcommand("score", "how much each unit of a model matters, as a table; high = keep");
  c.footer(
      "Examples:\n"
      "  precis score MODEL --scorer causal_trace --facts facts.json --out trace.scores\n"
      "  precis score MODEL --scorer gradient_magnitude --text calibration.txt --units half\n"
      "  precis score MODEL --scorer cca --text calibration.txt --context 63 --windows 40\n"
      "The table is text: read it, edit it, give it to `precis plan`. A stopped causal trace goes on with --resume.");
  c.add_option("MODEL", o->model, "model folder or .bin file")->required();
  c.add_option("--scorer", o->scorer,
               "causal_trace (takes --facts), weight_magnitude (takes neither), or one that takes --text: "
               "gradient_magnitude, first_order_taylor, taylor, input_taylor, pruning_sensitivity, cca, "
               "block_influence, outliers, drop_one, "
               "reconstruction_error")
      ->required()
      ->check(CLI::IsMember(scorer_names()));
  o->score.declare(c);
  c.add_option("--text", o->text.file, "calibration text, for all scorers but causal_trace and weight_magnitude");
  c.add_option("--context", o->text.length, "predictions a window of the text");
  c.add_option("--windows", o->text.windows, "windows of the text; 0: all")->capture_default_str();
  c.add_option("--out", o->out, "score table to write")->capture_default_str();
  c.add_option("--svg", o->svg, "also draw the scores and their tiers");
  c.add_option("--tokenizer", o->tokenizer, "tokenizer of a .bin model, when it is not beside it");
  add_resume(c, o->resume);
  add_common(c, o->common);
  c.callback([o, &status] { status = run(*o); });
}

}  // namespace program
