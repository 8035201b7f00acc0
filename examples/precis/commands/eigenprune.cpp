#include "commands/commands.hpp"
#include "commands/options.hpp"
#include "jobs/checkpoint.hpp"
#include "jobs/facts.hpp"
#include "jobs/lists.hpp"
#include "jobs/output.hpp"
#include "jobs/pruned_spectrum.hpp"
#include "jobs/verdicts.hpp"
#include "report/results/spectrum_pictures.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>
#include <report/html.hpp>

#include <precis/core/error.hpp>
#include <precis/core/text.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

namespace program {

namespace {

using precis::prune::eigenpruning;

struct eigenprune_command {
  model_options model;
  std::string task, facts, verdicts, roles = "k", portions = "0.01,0.05,0.1,0.3", bias = "auto", pairs = "cycle",
                                     reduce = "max", pool = "role", units = "block", out, save, scores;
  std::size_t limit = 0, controls = 3;
  verdict_prompt prompt;
  bool whole_matrices = false;
  std::uint64_t seed = 0;
  resume_options resume;
  run_options common;
};

[[nodiscard]] std::vector<double> read_portions(const std::string& text) {
  std::vector<double> portions;
  for (const std::string& word : split_commas(text)) {
    double p = -1;
    if (!precis::text::read(std::string_view(word), p) || !(p > 0 && p <= 1))
      precis::refuse({.what = "'" + word + "'",
                      .where = "-p",
                      .expected = "comma-separated shares above 0 and up to 1: 0.01,0.05,0.1,0.3"});
    portions.push_back(p);
  }
  return portions;
}

/// The questions of --task, --facts or --verdicts. Errors: none of them, or several.
[[nodiscard]] questions asked(const eigenprune_command& o, const session& s) {
  if ((o.task.empty() ? 0 : 1) + (o.facts.empty() ? 0 : 1) + (o.verdicts.empty() ? 0 : 1) != 1)
    precis::refuse({.what = "no task, or several tasks",
                    .where = "eigenprune",
                    .expected = "one of --task FILE, --facts FILE and --verdicts FILE"});
  const std::size_t context = s.model.shape().context;
  if (!o.facts.empty())
    return ask(load_facts(s.tokens, s.model.shape().context, o.facts, answers::first_token),
               std::filesystem::path(o.facts).filename().string());
  if (!o.verdicts.empty()) return ask(s.tokens, load_verdicts(o.verdicts), o.prompt.wanted(), context);
  return ask(s.tokens,
             o.task == "int-sum"    ? integer_sums()
             : o.task == "int-mult" ? integer_products()
                                    : load_task(o.task),
             context);
}

[[nodiscard]] eigenpruning::absorption absorption_of(const eigenprune_command& o, const questions& q) {
  if (o.bias == "none") return eigenpruning::absorption::none;
  if (o.bias == "global") return eigenpruning::absorption::global;
  if (o.bias == "author_sum") return eigenpruning::absorption::author_sum;
  if (o.bias == "auto" && q.fixed_length() == 0) return eigenpruning::absorption::global;
  if (q.fixed_length() == 0)
    precis::refuse({.what = "prompts of different lengths",
                    .where = "--bias token",
                    .expected = "prompts of one length, or --bias global"});
  return eigenpruning::absorption::token;
}

[[nodiscard]] std::string points(double share) { return fmt::format("{:.1f}", 100 * share); }

/// "0.05, chosen on the validation prompts: better by 1.4 points (95 %: 0.3 to 2.5) ..."
[[nodiscard]] std::string verdict_on(const spectrum_result& r) {
  const precis::evaluate::interval gain = r.gain_over(r.original);
  const std::string range = gain.half_width == 0
                                ? "no answer changed"
                                : fmt::format("95 %: {:+.1f} to {:+.1f} points", 100 * gain.low(), 100 * gain.high());
  const char* const word = !gain.sure() ? "no different" : gain.mean > 0 ? "better" : "worse";
  return fmt::format(
      "With portion {:g}, chosen on the validation prompts, the model is {} at this task: {} % of {} test prompts are "
      "answered correctly, {} % before ({:+.1f} points; {}).",
      r.rows[r.chosen].portion, word, points(share_right(r.rows[r.chosen].test)), r.original.test.size(),
      points(share_right(r.original.test)), 100 * gain.mean, range);
}
[[nodiscard]] std::string control_on(const spectrum_result& r) {
  std::string at_random;
  for (const prune_result& row : r.random)
    at_random += (at_random.empty() ? "" : ", ") + points(share_right(row.test)) + " %";
  return fmt::format("The same number of values chosen otherwise: the smallest of each pool, {} %{}.",
                     points(share_right(r.smallest.test)), at_random.empty() ? "" : "; at random, " + at_random);
}

[[nodiscard]] report::table table_of(const spectrum_result& r) {
  report::table t{.caption = "Accuracy: the share of prompts whose most likely next token is the expected one.",
                  .header = {"portion", "values removed", "of", "validation (%)", "test (%)", "95 % low", "95 % high",
                             "change (points)", "loss on test (nats)"},
                  .rows = {}};
  const auto add = [&](const prune_result& row, const std::string& name) {
    const precis::evaluate::interval share = precis::evaluate::share_interval(
        static_cast<std::size_t>(std::ranges::count(row.test, true, &reply::right)), row.test.size());
    t.rows.push_back({name, std::to_string(row.removed()), std::to_string(r.spectra.values()),
                      points(share_right(row.validation)), points(share_right(row.test)), points(share.low()),
                      points(share.high()),
                      fmt::format("{:+.1f}", 100 * (share_right(row.test) - share_right(r.original.test))),
                      fmt::format("{:.4f}", mean_nats(row.test))});
  };
  add(r.original, "0");
  for (std::size_t i = 0; i < r.rows.size(); ++i)
    add(r.rows[i], fmt::format("{:g}{}", r.rows[i].portion, i == r.chosen ? " (chosen)" : ""));
  return t;
}

[[nodiscard]] std::string in_columns(const report::table& t) {
  std::vector<std::size_t> width;
  for (const std::string& h : t.header) width.push_back(h.size());
  for (const auto& row : t.rows)
    for (std::size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], row[c].size());
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells) {
    for (std::size_t c = 0; c < cells.size(); ++c)
      out += c == 0 ? fmt::format("{:<{}}", cells[c], width[c]) : fmt::format("  {:>{}}", cells[c], width[c]);
    out += "\n";
  };
  line(t.header);
  for (const auto& row : t.rows) line(row);
  return out;
}

[[nodiscard]] engine::json row_json(const prune_result& row) {
  std::size_t stored = 0, before = 0;
  for (const precis::prune::pruned_slice& r : row.removals) {
    stored += r.stored();
    before += r.slice.out * r.slice.in;
  }
  return {{"portion", row.portion},
          {"removed", row.removed()},
          {"numbers_stored", stored},
          {"numbers_before", before},
          {"validation_accuracy", share_right(row.validation)},
          {"validation_nats", mean_nats(row.validation)},
          {"test_accuracy", share_right(row.test)},
          {"test_nats", mean_nats(row.test)}};
}

/// Every option that affects a result, as a checkpoint's job.
[[nodiscard]] engine::json job_of(const eigenprune_command& o, const session& s) {
  const auto absolute = [](const std::string& file) {
    return file.empty() ? file : std::filesystem::absolute(file).lexically_normal().string();
  };
  return {{"command", "eigenprune"},
          {"model", s.fingerprint},
          {"task", std::filesystem::exists(o.task) ? absolute(o.task) : o.task},
          {"facts", absolute(o.facts)},
          {"verdicts", absolute(o.verdicts)},
          {"verdict_tokens", o.prompt.tokens},
          {"roles", o.roles},
          {"whole_matrices", o.whole_matrices},
          {"portions", o.portions},
          {"pool", o.pool},
          {"bias", o.bias},
          {"pairs", o.pairs},
          {"reduce", o.reduce},
          {"limit", o.limit},
          {"controls", o.controls},
          {"seed", o.seed}};
}

/// The file for partial results, beside an output if there is one.
[[nodiscard]] std::filesystem::path partial_results(const eigenprune_command& o, const engine::json& job) {
  std::filesystem::path beside;
  if (!o.out.empty())
    beside = std::filesystem::path(o.out) / "eigenprune.partial";
  else if (const std::string& file = o.scores.empty() ? o.common.json : o.scores; !file.empty())
    beside = file + ".partial";
  return partial_file(o.resume, beside, job);
}

exit_status run(const eigenprune_command& o) {
  require_writable({o.scores, o.common.json});
  if (!o.out.empty()) require_folder(o.out, "report.html");
  if (!o.save.empty()) require_new_folder(o.save);
  const precis::unit_kind units = precis::parse_unit_kind(o.units, "--units");
  const session s = open_and_print(o.model);
  questions q = asked(o, s);
  if (o.limit != 0 && o.limit < q.batches.size()) {  // at random, because files are often sorted
    std::vector<precis::token_batch> sample;
    const task_split order = split(q.batches.size(), o.seed);
    for (const auto* part : {&order.train, &order.validation, &order.test})
      for (const std::size_t i : *part)
        if (sample.size() < o.limit) sample.push_back(q.batches[i]);
    q.batches = std::move(sample);
  }
  const task_split parts = split(q.batches.size(), o.seed);
  fmt::print("task   {}: {} prompts, {}; {} to score on, {} to choose by, {} to report\n", q.name, q.batches.size(),
             q.fixed_length() == 0 ? "of different lengths" : fmt::format("{} tokens each", q.fixed_length()),
             parts.train.size(), parts.validation.size(), parts.test.size());
  if (q.longer_answers != 0)
    fmt::print("       {} answers have several tokens; only the first token counts\n", q.longer_answers);

  spectrum_request request{.roles = read_roles(o.roles, "--roles"),
                           .by_head = !o.whole_matrices,
                           .portions = read_portions(o.portions),
                           .how = {},
                           .scorer = {},
                           .controls = o.controls};
  request.how.among = o.pool == "role"    ? eigenpruning::pool::role
                      : o.pool == "slice" ? eigenpruning::pool::slice
                                          : eigenpruning::pool::everything;
  request.how.bias = absorption_of(o, q);
  request.scorer.seed = o.seed;
  using scorer = precis::score::eigen_attribution;
  request.scorer.pairs = o.pairs == "all" ? scorer::pairing::all : scorer::pairing::shuffled_cycle;
  request.scorer.reduce = o.reduce == "max" ? precis::score::eigenpruning::reduction::max_over_pairs_and_tokens
                                            : precis::score::eigenpruning::reduction::sum_tokens_then_max;
  if (!o.save.empty() && request.how.bias == eigenpruning::absorption::token)
    precis::refuse({.what = "--save with one bias per position, which no file format can hold",
                    .where = "eigenprune",
                    .expected = "--bias global or --bias none"});
  const spectrum_needs needs = needs_of(s, request, q, parts);
  fmt::print(
      "needs  about {:.1f} GFLOP (SVD {:.0f} %, gradients {:.0f} %, effects {:.0f} %, answers {:.0f} %) and {:.0f} MB "
      "beside the model\n\n",
      needs.operations() * 1e-9, 100 * needs.svd / needs.operations(), 100 * needs.gradients / needs.operations(),
      100 * needs.effects / needs.operations(), 100 * needs.replies / needs.operations(), needs.bytes * 1e-6);

  const engine::json job = job_of(o, s);
  checkpoint saved(partial_results(o, job), job, o.resume);
  const spectrum_result r = prune_spectrum(s, request, q, parts, o.common, &saved);
  const report::table table = table_of(r);
  const std::string verdict = verdict_on(r), control = control_on(r);
  fmt::print("{}\n{}\n{}\n", in_columns(table), verdict, control);
  fmt::print("scored {} singular values of {} slices in {}; pruned and asked in {}\n", r.spectra.values(),
             r.spectra.slices.size(), duration(r.scoring_seconds), duration(r.pruning_seconds));

  std::size_t beyond = 0;
  for (const precis::prune::pruned_slice& removal : r.rows[r.chosen].removals) beyond += removal.beyond_the_portion;
  if (beyond != 0)
    fmt::print("note: {} values beyond the portion were removed as well, because they tie with others\n", beyond);
  if (!o.scores.empty()) {
    engine::write_file(o.scores, precis::to_text(useful_shares(s, r, units)));
    fmt::print("wrote {}: the share of useful singular values per {}\n", o.scores, o.units);
  }

  if (!o.out.empty()) {
    const std::filesystem::path out = o.out;
    engine::write_file(out / "spectra.txt", precis::to_text(r.spectra));
    const std::string effects = effects_picture(r), spectrum = spectrum_picture(r);
    fmt::print("{}\n{}\n", write_picture(out / "effects.svg", effects), write_picture(out / "spectrum.svg", spectrum));
    report::page page{.title = "precis eigenprune: " + s.name + ", " + q.name, .subtitle = describe(s), .sections = {}};
    page.sections.push_back(
        {.heading = "Did it help?", .parts = {report::paragraph{verdict}, report::paragraph{control}, table}});
    page.sections.push_back({.heading = "The singular values",
                             .parts = {report::figure{effects,
                                                      "Values with low effects are removed first; a negative effect "
                                                      "means that the model does better without the value."},
                                       report::figure{spectrum, "The removed values are not the smallest ones."}}});
    engine::write_file(out / "report.html", report::draw(page));
    fmt::print("wrote {}, {}\n", (out / "spectra.txt").string(), (out / "report.html").string());
  }
  const precis::evaluate::interval gain = r.gain_over(r.original);
  engine::json rows = engine::json::array(), random = engine::json::array();
  for (const prune_result& row : r.rows) rows.push_back(row_json(row));
  for (const prune_result& row : r.random) random.push_back(row_json(row));
  write_json(o.common.json, {{"command", "eigenprune"},
                             {"model", s.name},
                             {"fingerprint", s.fingerprint},
                             {"task", q.name},
                             {"prompts", q.batches.size()},
                             {"tokens", q.fixed_length()},
                             {"slices", r.spectra.slices.size()},
                             {"values", r.spectra.values()},
                             {"original", row_json(r.original)},
                             {"rows", std::move(rows)},
                             {"chosen", r.rows[r.chosen].portion},
                             {"gain", gain.mean},
                             {"gain_low_95", gain.low()},
                             {"gain_high_95", gain.high()},
                             {"smallest", row_json(r.smallest)},
                             {"random", std::move(random)},
                             {"needs_operations", needs.operations()},
                             {"needs_bytes", needs.bytes},
                             {"scoring_seconds", r.scoring_seconds},
                             {"pruning_seconds", r.pruning_seconds}});
  if (!o.save.empty()) {
    save_pruned(s, r, request.how, o.model.path, o.save);
    fmt::print("wrote {}: the model with portion {:g} removed\n", o.save, r.rows[r.chosen].portion);
  }
  saved.finish();
  return exit_status::done;
}

}  // namespace

void add_eigenprune(command_line& line) {
  auto o = std::make_shared<eigenprune_command>();
  subcommand c = line.add("eigenprune", "remove the singular values that make a model worse at a task");
  c.footer(
      "Examples:\n"
      "  precis eigenprune examples/models/arithmetic --task int-sum --out report\n"
      "  precis eigenprune MODEL --task prompts.jsonl --roles k,v -p 0.01,0.1\n"
      "A task file has one line {\"prompt\": \"3 + 4 =\", \"answer\": \" 7\"} per prompt; answers include the space "
      "before them.\n"
      "70 % of the prompts are for scoring, 10 % for choosing the portion, 20 % for the report.");
  add_model(c, o->model);
  add_special_tokens(c, o->model);
  c.add("--task", o->task, "prompts and answers as JSON lines; or int-sum, int-mult");
  c.add("--facts", o->facts, "facts as for trace: a JSON array of prompt, subject, attribute").reads();
  c.add("--verdicts", o->verdicts, "texts and labels as for evaluate").reads();
  add_verdict_prompt(c, o->prompt, [o] { return !o->verdicts.empty(); });
  c.add("--roles", o->roles, "comma-separated roles of the matrices to prune: q, k, v, o, mlp").shows_default();
  c.add_flag("--whole-matrices", o->whole_matrices, "decompose whole matrices instead of single heads");
  c.add("-p,--portions", o->portions, "comma-separated shares of the singular values to remove").shows_default();
  c.add("--pool", o->pool, "which values compete: those of a role, of a slice, or everything")
      .one_of({"role", "slice", "everything"})
      .shows_default();
  c.add("--bias", o->bias, "bias that absorbs the mean: auto (token if all prompts have one length, else global)")
      .one_of({"auto", "token", "global", "none", "author_sum"})
      .shows_default();
  c.add("--pairs", o->pairs, "pairs of samples: a shuffled cycle, or all").one_of({"cycle", "all"}).shows_default();
  c.add("--reduce", o->reduce, "maximum of the effect over pairs and tokens, or over pairs of the sum over tokens")
      .one_of({"max", "sum"})
      .shows_default();
  c.add("--limit", o->limit, "use a random sample of this many prompts; 0: all").shows_default();
  c.add("--controls", o->controls, "random removals to compare with").shows_default();
  c.add("--seed", o->seed, "seed of the split, the pairs and the controls").shows_default();
  c.add("--out", o->out, "folder for spectra.txt, pictures and report.html").writes();
  c.add("--scores", o->scores,
        "file for the share of useful singular values per unit, a score table for plan; needs roles in every unit")
      .writes();
  add_units(c, "--units", o->units, "with --scores: block, half or matrix")
      .only_if([o] { return !o->scores.empty(); }, "--scores");
  c.add("--save", o->save, "folder for the pruned model, as float32").writes();
  add_resume(c, o->resume);
  add_common(c, o->common);
  c.runs([o] { return run(*o); });
}

}  // namespace program
