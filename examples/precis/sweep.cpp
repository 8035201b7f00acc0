#include "checkpoint.hpp"
#include "commands.hpp"
#include "score_options.hpp"
#include "sweeping.hpp"

#include <engine/files/files.hpp>

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>

namespace program {

namespace {

struct options {
  std::string model, tokenizer, scorers = "causal_trace,weight_magnitude,gradient_magnitude", calibration,
                                out = "sweep", family = "affine", granularity = "row";
  std::vector<std::string> bits{"8,16,24", "4,6,8", "3,4,6", "3,4,5", "2,4,6"}, prune{"0", "0.3,0.2,0.1"};
  std::size_t calibration_windows = 32;
  text_options text{.file = {}, .length = 0, .windows = 20};
  score_options score;
  resume_options resume;
  common_options common;
};

exit_status run(options& o) {
  o.score.settle();
  sweep_request request{.bits = {}, .prune = {}, .family = o.family, .granularity = o.granularity};
  for (const std::string& b : o.bits) request.bits.push_back(read_bits(b, "--bits"));
  for (const std::string& p : o.prune) request.prune.push_back(read_sparsities(p, "--prune"));
  std::vector<std::string> names;
  for (std::size_t at = 0; at <= o.scorers.size();) {
    const std::size_t comma = std::min(o.scorers.find(',', at), o.scorers.size());
    names.push_back(o.scorers.substr(at, comma - at));
    at = comma + 1;
    if (std::ranges::find(scorer_names(), names.back()) == scorer_names().end() ||
        std::ranges::count(names, names.back()) > 1)
      precis::refuse({.what = "'" + names.back() + "'",
                      .where = "--scorers",
                      .expected = "scorers of `precis score`, with commas, each at most once"});
  }
  const std::filesystem::path out(o.out);
  std::error_code failed;
  std::filesystem::create_directories(out, failed);
  require_writable(out / "sweep.csv");
  if (!o.common.json.empty()) require_writable(o.common.json);

  session s = open_model(o.model, o.tokenizer);
  fmt::print("model  {}: {}\n", s.name, describe(s));
  const text_windows text = read_windows(s, o.text);
  fmt::print("text   {}: {} windows of {} predictions\n", text.name, text.windows.size(), text.length);
  std::optional<fact_file> facts;
  std::optional<text_windows> calibration;
  if (!o.score.facts.empty()) {
    facts = load_facts(s.tokens, o.score.facts, o.score.answer(), o.score.facts_limit);
    o.score.what.facts = &*facts;
  }
  if (!o.calibration.empty()) {
    calibration = read_windows(s, {.file = o.calibration, .length = o.text.length, .windows = o.calibration_windows});
    o.score.what.text = &*calibration;
  }

  const engine::json job{{"command", "sweep"},
                         {"model", s.fingerprint},
                         {"text", o.text.file},
                         {"windows", text.windows.size()},
                         {"length", text.length}};
  engine::json score_job{{"command", "score"}, {"model", s.fingerprint}, {"options", o.score.identity()}};
  const std::filesystem::path partial =
      o.resume.partial.empty() ? out / "sweep.partial" : std::filesystem::path(o.resume.partial);
  std::filesystem::path traces = partial;
  traces += ".traces";
  std::vector<precis::scores> tables;
  engine::json result{{"command", "sweep"},
                      {"model", s.name},
                      {"fingerprint", s.fingerprint},
                      {"text", text.name},
                      {"windows", text.windows.size()}};
  checkpoint saved(partial, job, o.resume.resume);
  const auto stop = [&] {
    fmt::print("stopped; what is done is in {}: run the same command with --resume to go on\n", partial.string());
    return exit_status::stopped;
  };
  std::optional<checkpoint> trace_saved;
  for (const std::string& name : names) {
    if (name == "causal_trace")
      trace_saved.emplace(traces, score_job, o.resume.resume && std::filesystem::exists(traces));
    const scored found = run_scorer(name, s, o.score.what, o.common, name == "causal_trace" ? &*trace_saved : nullptr);
    if (found.stopped) return stop();
    fmt::print("scored {} in {}\n", name, duration(found.seconds));
    engine::write_file(out / (name + ".scores"), precis::to_text(found.table));
    static_cast<void>(write_picture(out / (name + ".svg"), tier_picture(found.table)));
    if (!found.roles.empty()) static_cast<void>(write_picture(out / "roles.svg", role_picture(found)));
    result["scores"].push_back(to_json(found.table));
    tables.push_back(found.table);
  }

  const sweep_result r = run_sweep(s, request, tables, names, text, o.common, &saved);
  if (r.stopped) return stop();
  fmt::print("\noriginal perplexity {:.3f}\n{}\n{}\n", r.original.perplexity(), sweep_table(r), sweep_verdict(r));
  engine::write_file(out / "sweep.csv", sweep_csv(r));
  fmt::print("wrote {}\n{}\n{}\n", (out / "sweep.csv").string(),
             write_picture(out / "sweep.svg", sweep_picture(r, s.name)),
             write_picture(out / "size.svg", size_picture(r, s.name)));
  result.update(to_json(r));
  write_json(o.common, result);
  saved.finish();
  if (trace_saved) trace_saved->finish();
  return exit_status::done;
}

}  // namespace

void add_sweep(CLI::App& app, exit_status& status) {
  auto o = std::make_shared<options>();
  CLI::App& c =
      *app.add_subcommand("sweep", "the causal tracing paper's experiment: scorers x bits per tier x pruning per tier");
  c.footer(
      "Example:\n"
      "  precis sweep MODEL --text heldout.txt --facts facts.json --calibration calibration.txt --bits 8,16,24 --bits "
      "3,4,6 --out sweep\n"
      "Every setting is compressed and evaluated with each scorer's tiers, with all blocks low and with all blocks "
      "high.\n"
      "Writes sweep.csv, sweep.svg (heatmap), size.svg (quality against size), and each scorer's table and picture.");
  c.add_option("MODEL", o->model, "model folder or .bin file")->required();
  c.add_option("--text", o->text.file, "held-out text to take the perplexity on")->required();
  c.add_option("--context", o->text.length, "predictions a window (default: the model's context less one)");
  c.add_option("--windows", o->text.windows, "windows of the text; 0: all")->capture_default_str();
  c.add_option("--calibration", o->calibration, "text for scorers; not the held-out one");
  c.add_option("--calibration-windows", o->calibration_windows, "windows of it; 0: all")->capture_default_str();
  c.add_option("--scorers", o->scorers, "comma-separated")->capture_default_str();
  c.add_option("--bits", o->bits, "bits of the low, medium and high tier; may be given several times")
      ->capture_default_str();
  c.add_option("--prune", o->prune, "shares pruned in the low, medium and high tier; may be given several times")
      ->capture_default_str();
  c.add_option("--family", o->family, "affine, symmetric or symmetric_full")
      ->check(CLI::IsMember({"affine", "symmetric", "symmetric_full"}))
      ->capture_default_str();
  c.add_option("--granularity", o->granularity, "tensor, row, g32, g64 or g128")->capture_default_str();
  c.add_option("--out", o->out, "folder for the results; made if it is not there")->capture_default_str();
  o->score.declare(c);
  c.add_option("--tokenizer", o->tokenizer, "tokenizer of a .bin model, when it is not beside it");
  add_resume(c, o->resume);
  add_common(c, o->common);
  c.callback([o, &status] { status = run(*o); });
}

}  // namespace program
