#include "checkpoint.hpp"
#include "commands.hpp"
#include "facts.hpp"
#include "session.hpp"

#include <precis/evaluate/accuracy.hpp>
#include <precis/evaluate/kl_divergence.hpp>

#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <vector>

namespace program {

namespace {

struct options {
  std::string model, tokenizer, against, facts;
  text_options text;
  resume_options resume;
  common_options common;
};

exit_status run(const options& o) {
  if (!o.common.json.empty()) require_writable(o.common.json);
  const session s = open_model(o.model, o.tokenizer);
  const text_windows text = read_windows(s, o.text);
  fmt::print("model  {}: {}\n", s.name, describe(s));
  fmt::print("text   {}: {} tokens; {} windows of {} predictions\n", text.name, text.tokens, text.windows.size(),
             text.length);

  const auto began = std::chrono::steady_clock::now();
  checkpoint saved(o.resume.partial.empty() ? "precis-evaluate.partial" : o.resume.partial,
                   {{"command", "evaluate"},
                    {"model", s.fingerprint},
                    {"text", o.text.file},
                    {"tokens", text.tokens},
                    {"length", text.length},
                    {"windows", text.windows.size()}},
                   o.resume.resume);
  const text_loss loss = measure(s.model, text, o.common, "evaluating", &saved);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  engine::json result{{"command", "evaluate"},
                      {"model", s.name},
                      {"fingerprint", s.fingerprint},
                      {"text", text.name},
                      {"tokens", text.tokens},
                      {"window", text.length},
                      {"windows", loss.report.windows.size()},
                      {"predictions", loss.report.total.count},
                      {"nll_nats_per_token", loss.nats()},
                      {"nll_half_width_95", loss.half_width()},
                      {"perplexity", loss.perplexity()},
                      {"stored_bytes", stored_bytes(s)},
                      {"weights", weight_count(s)},
                      {"seconds", seconds},
                      {"complete", !loss.stopped}};
  std::vector<double> each;
  for (const precis::nll& w : loss.report.windows) each.push_back(w.mean());
  result["nll_per_window"] = each;
  if (loss.stopped)
    fmt::print("stopped after {} of {} windows; what follows is over those\n", loss.report.windows.size(),
               text.windows.size());
  fmt::print("\nperplexity       {:.4f}\n", loss.perplexity());
  fmt::print("NLL              {:.6f} +- {:.4f} nats per token (95 %, over windows)\n", loss.nats(), loss.half_width());
  fmt::print("matrices         {} bytes, {:.3f} bits per weight\n", stored_bytes(s),
             8.0 * static_cast<double>(stored_bytes(s)) / static_cast<double>(weight_count(s)));
  fmt::print("speed            {:.0f} tokens/s\n", static_cast<double>(loss.report.total.count) / seconds);

  if (!o.against.empty() && !loss.stopped) {
    const session original = open_model(o.against, o.tokenizer);
    if (original.model.shape().vocabulary != s.model.shape().vocabulary)
      precis::refuse({.what = fmt::format("{} has {} tokens and {} has {}", original.name,
                                          original.model.shape().vocabulary, s.name, s.model.shape().vocabulary),
                      .where = "evaluate --against",
                      .expected = "two models of one vocabulary"});
    const double kl =
        precis::evaluate::kl_divergence{}(original.model, s.model, text.windows, o.common.pool()).mean_nats();
    fmt::print("KL divergence    {:.6f} nats per token from {}\n", kl, original.name);
    result["kl_nats_per_token"] = kl;
    result["against"] = original.name;
  }
  if (!o.facts.empty() && !loss.stopped) {
    const fact_file facts = load_facts(s.tokens, o.facts, answers::first_token);
    std::vector<precis::token_batch> asked;
    for (const precis::score::fact& f : facts.facts) {
      asked.push_back(precis::prompts(1, f.prompt));
      asked.back().targets.assign(f.prompt.size(), precis::no_target);
      asked.back().targets.back() = f.answer;
    }
    const precis::evaluate::accuracy_report known = precis::evaluate::accuracy{}(s.model, asked, o.common.pool());
    fmt::print("facts            {} of {} answered ({:.1f} %)\n", known.correct, known.count, 100.0 * known.share());
    result["facts_known"] = known.correct;
    result["facts"] = known.count;
  }
  write_json(o.common, result);
  if (loss.stopped)
    fmt::print("\nstopped; what is done is in {}: run the same command with --resume to go on\n",
               saved.file().string());
  else
    saved.finish();
  return loss.stopped ? exit_status::stopped : exit_status::done;
}

}  // namespace

void add_evaluate(CLI::App& app, exit_status& status) {
  auto o = std::make_shared<options>();
  CLI::App& c = *app.add_subcommand("evaluate", "perplexity of a model on a text, and what compression changed");
  c.footer(
      "Example:  precis evaluate MODEL --text wiki.txt --windows 20\n"
      "Windows do not overlap and each starts fresh: window i reads tokens [N i, N i + N) and predicts the next ones.\n"
      "NLL is the mean over all predictions, never a mean of means; the interval is over windows.");
  c.add_option("MODEL", o->model, "model folder or .bin file")->required();
  c.add_option("--text", o->text.file, "plain text")->required();
  c.add_option("--context", o->text.length, "predictions a window (default: the model's context less one)");
  c.add_option("--windows", o->text.windows, "how many windows from the start of the text (default: all)");
  c.add_option("--against", o->against, "the original model: also print the KL divergence from it");
  c.add_option("--facts", o->facts, "also count the facts (JSON array of prompt, subject, attribute) it answers");
  c.add_option("--tokenizer", o->tokenizer, "tokenizer of a .bin model, when it is not beside it");
  add_resume(c, o->resume);
  add_common(c, o->common);
  c.callback([o, &status] { status = run(*o); });
}

}  // namespace program
