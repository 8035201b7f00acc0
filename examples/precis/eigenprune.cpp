#include "commands.hpp"
#include "eigenpruning.hpp"
#include "facts.hpp"
#include "verdicts.hpp"

#include <engine/files/files.hpp>
#include <engine/model_files/load.hpp>
#include <report/html.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <utility>

namespace program {

namespace {

using precis::prune::eigenpruning;

struct options {
  std::string model, tokenizer, task, facts, verdicts, roles = "k", portions = "0.01,0.05,0.1,0.3", bias = "auto",
                                                       pairs = "cycle", reduce = "max", pool = "role", units = "block",
                                                       out, save, scores;
  std::size_t verdict_tokens = default_verdict_tokens, limit = 0, controls = 3;
  bool whole_matrices = false;
  std::uint64_t seed = 0;
  common_options common;
};

[[nodiscard]] std::vector<double> read_portions(const std::string& text) {
  std::vector<double> portions;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    double p = -1;
    const auto [end, bad] = std::from_chars(text.data() + at, text.data() + comma, p);
    if (bad != std::errc{} || end != text.data() + comma || !(p > 0 && p <= 1))
      precis::refuse({.what = "'" + text.substr(at, comma - at) + "'",
                      .where = "-p",
                      .expected = "shares above 0 and up to 1, with commas: 0.01,0.05,0.1,0.3"});
    portions.push_back(p);
    at = comma + 1;
  }
  return portions;
}

/// The questions of --task, --facts or --verdicts, exactly one of which is given.
[[nodiscard]] questions asked(const options& o, const session& s) {
  if ((o.task.empty() ? 0 : 1) + (o.facts.empty() ? 0 : 1) + (o.verdicts.empty() ? 0 : 1) != 1)
    precis::refuse({.what = "no task, or several",
                    .where = "eigenprune",
                    .expected = "one of --task FILE, --facts FILE and --verdicts FILE"});
  const std::size_t context = s.model.shape().context;
  if (!o.facts.empty())
    return ask(load_facts(s.tokens, o.facts, answers::first_token), std::filesystem::path(o.facts).filename().string());
  if (!o.verdicts.empty()) return ask(s.tokens, load_verdicts(o.verdicts), o.verdict_tokens, context);
  return ask(s.tokens,
             o.task == "int-sum"    ? integer_sums()
             : o.task == "int-mult" ? integer_products()
                                    : load_task(o.task),
             context);
}

[[nodiscard]] eigenpruning::absorption absorption_of(const options& o, const questions& q) {
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
[[nodiscard]] std::string verdict_on(const eigen_report& r) {
  const precis::evaluate::interval gain = r.gain_over(r.original);
  const std::string range = gain.half_width == 0
                                ? "not one prompt came out differently"
                                : fmt::format("95 %: {:+.1f} to {:+.1f} points", 100 * gain.low(), 100 * gain.high());
  const char* const word = !gain.sure() ? "no different" : gain.mean > 0 ? "better" : "worse";
  return fmt::format(
      "With portion {:g}, chosen on the validation prompts, the model is {} at this task: {} % of {} test prompts "
      "right, "
      "{} % before ({:+.1f} points; {}).",
      r.rows[r.chosen].portion, word, points(share_right(r.rows[r.chosen].test)), r.original.test.size(),
      points(share_right(r.original.test)), 100 * gain.mean, range);
}
[[nodiscard]] std::string control_on(const eigen_report& r) {
  std::string at_random;
  for (const pruned_row& row : r.random)
    at_random += (at_random.empty() ? "" : ", ") + points(share_right(row.test)) + " %";
  return fmt::format("As many values taken otherwise: the smallest of each pool, {} %{}.",
                     points(share_right(r.smallest.test)), at_random.empty() ? "" : "; at random, " + at_random);
}

[[nodiscard]] report::table table_of(const eigen_report& r) {
  report::table t{.caption = "Prompts answered right: the most likely token is the wanted one.",
                  .header = {"portion", "values removed", "of", "validation (%)", "test (%)", "95 % low", "95 % high",
                             "change (points)", "loss on test (nats)"},
                  .rows = {}};
  const auto add = [&](const pruned_row& row, const std::string& name) {
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

[[nodiscard]] engine::json to_json(const pruned_row& row) {
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

/// The pruned weights as a model folder, with the tokenizer's files of the original beside them.
void save_pruned(const options& o, const session& s, const eigen_report& r, const precis::measure::input_means& means,
                 const eigen_request& request) {
  engine::transformer copy = s.model;
  eigenpruning how = request.how;
  how.portion = r.rows[r.chosen].portion;
  static_cast<void>(how(copy, r.spectra, means));
  std::map<std::string, std::string> files;
  for (const char* name : {"vocab.json", "merges.txt", "vocab.txt", "tokenizer.json", "tokenizer_config.json"})
    if (const std::filesystem::path file = std::filesystem::path(o.model) / name; std::filesystem::exists(file))
      files[name] = std::string(engine::mapped_file(file).text());
  engine::save(copy.parameters(), o.save, engine::dtype::f32, files);
  fmt::print("wrote {}: the model with portion {:g} removed\n", o.save, how.portion);
}

/// Of the units that have scored slices: how many of their singular values the chosen portion would leave.
[[nodiscard]] precis::scores useful_shares(const session& s, const eigen_report& r, precis::unit_kind units) {
  precis::scores table = precis::score::useful_singular_values{.portion = r.rows[r.chosen].portion, .units = units}(
      s.model.matrices(), r.spectra);
  table.model = s.fingerprint;
  return table;
}

exit_status run(const options& o) {
  if (!o.common.json.empty()) require_writable(o.common.json);
  const session s = open_model(o.model, o.tokenizer);
  fmt::print("model  {}: {}\n", s.name, describe(s));
  questions q = asked(o, s);
  if (o.limit != 0 && o.limit < q.batches.size()) {  // drawn, for files are often sorted
    std::vector<precis::token_batch> some;
    const task_split order = split(q.batches.size(), o.seed);
    for (const auto* part : {&order.train, &order.validation, &order.test})
      for (const std::size_t i : *part)
        if (some.size() < o.limit) some.push_back(q.batches[i]);
    q.batches = std::move(some);
  }
  const task_split parts = split(q.batches.size(), o.seed);
  fmt::print("task   {}: {} prompts, {}; {} to score on, {} to choose by, {} to report\n", q.name, q.batches.size(),
             q.fixed_length() == 0 ? "of different lengths" : fmt::format("{} tokens each", q.fixed_length()),
             parts.train.size(), parts.validation.size(), parts.test.size());
  if (q.longer_answers != 0)
    fmt::print("       {} answers have several tokens; the first of them counts\n", q.longer_answers);

  eigen_request request{.roles = read_roles(o.roles, "--roles"),
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
  if (!o.scores.empty()) require_writable(o.scores);
  if (!o.save.empty() && request.how.bias == eigenpruning::absorption::token)
    precis::refuse({.what = "--save with a bias for every position, which no file format has a place for",
                    .where = "eigenprune",
                    .expected = "--bias global or --bias none"});
  const eigen_needs needs = needs_of(s, request, q, parts);
  fmt::print(
      "needs  about {:.1f} GFLOP (SVD {:.0f} %, gradients {:.0f} %, effects {:.0f} %, answers {:.0f} %) and {:.0f} MB "
      "beside the model\n\n",
      needs.operations() * 1e-9, 100 * needs.svd / needs.operations(), 100 * needs.gradients / needs.operations(),
      100 * needs.effects / needs.operations(), 100 * needs.replies / needs.operations(), needs.bytes * 1e-6);

  const eigen_report r = run_eigenpruning(s, request, q, parts, o.common);
  const report::table table = table_of(r);
  const std::string verdict = verdict_on(r), control = control_on(r);
  fmt::print("{}\n{}\n{}\n", in_columns(table), verdict, control);
  fmt::print("scored {} singular values of {} slices in {}; pruned and asked in {}\n", r.spectra.values(),
             r.spectra.slices.size(), duration(r.scoring_seconds), duration(r.pruning_seconds));

  std::size_t beyond = 0;
  for (const precis::prune::pruned_slice& removal : r.rows[r.chosen].removals) beyond += removal.beyond_the_portion;
  if (beyond != 0) fmt::print("note: {} values went beyond the portion, with others that are equal to them\n", beyond);
  if (!o.scores.empty()) {
    engine::write_file(o.scores, precis::to_text(useful_shares(s, r, precis::parse_unit_kind(o.units, "--units"))));
    fmt::print("wrote {}: each {}'s share of useful singular values\n", o.scores, o.units);
  }

  if (!o.out.empty()) {
    const std::filesystem::path out = o.out;
    std::filesystem::create_directories(out);
    engine::write_file(out / "spectra.txt", precis::to_text(r.spectra));
    const std::string effects = effects_picture(r), spectrum = spectrum_picture(r);
    fmt::print("{}\n{}\n", write_picture(out / "effects.svg", effects), write_picture(out / "spectrum.svg", spectrum));
    report::page page{.title = "precis eigenprune: " + s.name + ", " + q.name, .subtitle = describe(s), .sections = {}};
    page.sections.push_back(
        {.heading = "Did it help?", .parts = {report::paragraph{verdict}, report::paragraph{control}, table}});
    page.sections.push_back(
        {.heading = "Where the values are",
         .parts = {
             report::figure{effects, "Low effects go first: negative ones say that the model would be better off."},
             report::figure{spectrum, "Removed values are not the smallest ones."}}});
    engine::write_file(out / "report.html", report::draw(page));
    fmt::print("wrote {}, {}\n", (out / "spectra.txt").string(), (out / "report.html").string());
  }
  const precis::evaluate::interval gain = r.gain_over(r.original);
  engine::json rows = engine::json::array(), random = engine::json::array();
  for (const pruned_row& row : r.rows) rows.push_back(to_json(row));
  for (const pruned_row& row : r.random) random.push_back(to_json(row));
  write_json(o.common, {{"command", "eigenprune"},
                        {"model", s.name},
                        {"fingerprint", s.fingerprint},
                        {"task", q.name},
                        {"prompts", q.batches.size()},
                        {"tokens", q.fixed_length()},
                        {"slices", r.spectra.slices.size()},
                        {"values", r.spectra.values()},
                        {"original", to_json(r.original)},
                        {"rows", std::move(rows)},
                        {"chosen", r.rows[r.chosen].portion},
                        {"gain", gain.mean},
                        {"gain_low_95", gain.low()},
                        {"gain_high_95", gain.high()},
                        {"smallest", to_json(r.smallest)},
                        {"random", std::move(random)},
                        {"needs_operations", needs.operations()},
                        {"needs_bytes", needs.bytes},
                        {"scoring_seconds", r.scoring_seconds},
                        {"pruning_seconds", r.pruning_seconds}});
  if (!o.save.empty()) save_pruned(o, s, r, r.means, request);
  return exit_status::done;
}

}  // namespace

void add_eigenprune(CLI::App& app, exit_status& status) {
  auto o = std::make_shared<options>();
  CLI::App& c = *app.add_subcommand("eigenprune", "remove the singular values that make a model worse at a task");
  c.footer(
      "Examples:\n"
      "  precis eigenprune examples/models/arithmetic --task int-sum --out report\n"
      "  precis eigenprune MODEL --task prompts.jsonl --roles k,v -p 0.01,0.1\n"
      "A task file has a line {\"prompt\": \"3 + 4 =\", \"answer\": \" 7\"} a prompt; answers are taken with the blank "
      "before them.\n"
      "70 % of the prompts are scored on, 10 % choose the portion, 20 % are reported.");
  c.add_option("MODEL", o->model, "model folder or .bin file")->required();
  c.add_option("--task", o->task, "prompts and answers as JSON lines; or int-sum, int-mult");
  c.add_option("--facts", o->facts, "facts as for trace: JSON array of prompt, subject, attribute");
  c.add_option("--verdicts", o->verdicts, "texts and labels as for evaluate");
  c.add_option("--verdict-tokens", o->verdict_tokens, "tokens of a text's end that are read")->capture_default_str();
  c.add_option("--roles", o->roles, "whose singular values: q, k, v, o, mlp, with commas")->capture_default_str();
  c.add_flag("--whole-matrices", o->whole_matrices, "matrices as they are, not head by head");
  c.add_option("-p,--portions", o->portions, "shares of the singular values to remove")->capture_default_str();
  c.add_option("--pool", o->pool, "what competes: all values of a role, of a slice, or everything")
      ->check(CLI::IsMember({"role", "slice", "everything"}))
      ->capture_default_str();
  c.add_option("--bias", o->bias, "what absorbs the mean: auto (token where prompts have one length, else global)")
      ->check(CLI::IsMember({"auto", "token", "global", "none", "author_sum"}))
      ->capture_default_str();
  c.add_option("--pairs", o->pairs, "pairs of samples: a shuffled cycle, or all")
      ->check(CLI::IsMember({"cycle", "all"}))
      ->capture_default_str();
  c.add_option("--reduce", o->reduce, "largest effect over pairs and tokens, or of sums over tokens")
      ->check(CLI::IsMember({"max", "sum"}))
      ->capture_default_str();
  c.add_option("--limit", o->limit, "use this many prompts, drawn; 0: all")->capture_default_str();
  c.add_option("--controls", o->controls, "random removals to compare with")->capture_default_str();
  c.add_option("--seed", o->seed, "of the split, the pairs and the controls")->capture_default_str();
  c.add_option("--out", o->out, "folder for spectra.txt, pictures and report.html");
  c.add_option(
      "--scores", o->scores,
      "file for each unit's share of useful singular values, a score table for plan; needs roles in every unit");
  c.add_option("--units", o->units, "with --scores: block, half or matrix")
      ->check(CLI::IsMember({"block", "half", "matrix"}))
      ->capture_default_str();
  c.add_option("--save", o->save, "folder for the pruned model, in float");
  c.add_option("--tokenizer", o->tokenizer, "tokenizer of a .bin model, when it is not beside it");
  add_common(c, o->common);
  c.callback([o, &status] { status = run(*o); });
}

}  // namespace program
