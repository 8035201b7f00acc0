#include "checkpoint.hpp"
#include "commands.hpp"
#include "facts.hpp"
#include "session.hpp"
#include "verdicts.hpp"

#include <precis/evaluate/accuracy.hpp>
#include <precis/measure/kl_divergence.hpp>

#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace program {

namespace {

struct options {
  std::string model, tokenizer, against, facts, verdicts;
  std::size_t verdict_tokens = default_verdict_tokens;
  std::vector<std::string> labels;
  text_options text;
  resume_options resume;
  common_options common;
};

/// Runs `part(i)` for every open piece on all threads, a progress bar in sight; false when somebody pressed Ctrl-C.
template<class Part>
[[nodiscard]] bool for_each_piece(std::size_t count, const std::string& label, const common_options& o, Part&& part) {
  progress bar(label, count, o.how());
  o.pool().for_each(count, [&](std::size_t i) {
    if (interrupted()) return;
    part(i);
    bar.step();
  });
  return !interrupted();
}

/// How many verdicts a model gives as people did. Works for whatever evaluate::accuracy does.
struct verdict_result {
  precis::evaluate::accuracy_report report;
  bool stopped = false;
};
template<class Model>
[[nodiscard]] verdict_result judge(const Model& model, std::span<const precis::batch_of<Model>> batches,
                                   const precis::evaluate::accuracy& measure, const common_options& o,
                                   const std::string& label, checkpoint* saved) {
  std::vector<std::optional<bool>> right(batches.size());
  const auto key = [](std::size_t i) { return "verdict." + std::to_string(i); };
  for (std::size_t i = 0; saved != nullptr && i < right.size(); ++i)
    if (const engine::json* before = saved->find(key(i))) right[i] = before->at("right").get<bool>();
  verdict_result out;
  out.stopped = !for_each_piece(batches.size(), label, o, [&](std::size_t i) {
    if (right[i]) return;
    right[i] = measure(model, batches.subspan(i, 1)).correct == 1;
    if (saved != nullptr) saved->record(key(i), {{"right", *right[i]}});
  });
  for (const std::optional<bool>& r : right) {
    out.report.correct += r.value_or(false) ? 1u : 0u;
    out.report.count += r ? 1u : 0u;
  }
  return out;
}

void print_verdicts(const verdict_file& verdicts, const verdict_result& found, engine::json& result) {
  const precis::evaluate::interval interval = found.report.confidence();
  fmt::print(
      "verdicts         {} of {} as labelled: accuracy {:.4f}, 95 % {:.3f} to {:.3f} (always the most frequent: "
      "{:.3f})\n",
      found.report.correct, found.report.count, found.report.share(), interval.low(), interval.high(),
      verdicts.most_frequent());
  result["verdict_file"] = verdicts.name;
  result["verdicts"] = found.report.count;
  result["verdicts_correct"] = found.report.correct;
  result["accuracy"] = found.report.share();
  result["accuracy_low_95"] = interval.low();
  result["accuracy_high_95"] = interval.high();
  result["accuracy_most_frequent"] = verdicts.most_frequent();
}

exit_status stop_or_finish(bool stopped, checkpoint& saved) {
  if (!stopped) {
    saved.finish();
    return exit_status::done;
  }
  fmt::print("\nstopped; what is done is in {}: run the same command with --resume to go on\n", saved.file().string());
  return exit_status::stopped;
}

[[nodiscard]] std::filesystem::path partial_file(const options& o) {
  return o.resume.partial.empty() ? "precis-evaluate.partial" : o.resume.partial;
}

void print_size(std::size_t bytes, std::size_t weights) {
  fmt::print("matrices         {} bytes, {:.3f} bits per weight\n", bytes,
             8.0 * static_cast<double>(bytes) / static_cast<double>(weights));
}

/// Perplexity on a text, and the divergence from another model.
bool evaluate_text(const options& o, const session& s, const text_windows& text, const session* original,
                   checkpoint& saved, engine::json& result) {
  const auto began = std::chrono::steady_clock::now();
  const text_loss loss = measure(s.model, text, o.common, "evaluating", &saved);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  result.update({{"text", text.name},
                 {"tokens", text.tokens},
                 {"window", text.length},
                 {"windows", loss.report.windows.size()},
                 {"predictions", loss.report.total.count},
                 {"nll_nats_per_token", loss.nats()},
                 {"nll_half_width_95", loss.half_width()},
                 {"perplexity", loss.perplexity()},
                 {"seconds", seconds}});
  std::vector<double> each;
  for (const precis::nll& w : loss.report.windows) each.push_back(w.mean());
  result["nll_per_window"] = each;
  if (loss.stopped)
    fmt::print("stopped after {} of {} windows; what follows is over those\n", loss.report.windows.size(),
               text.windows.size());
  fmt::print("perplexity       {:.4f}\n", loss.perplexity());
  fmt::print("NLL              {:.6f} +- {:.4f} nats per token (95 %, over windows)\n", loss.nats(), loss.half_width());
  fmt::print("speed            {:.0f} tokens/s\n", static_cast<double>(loss.report.total.count) / seconds);
  if (original != nullptr && !loss.stopped) {
    const double kl =
        precis::measure::kl_divergence{}(original->model, s.model, text.windows, o.common.pool()).mean_nats();
    fmt::print("KL divergence    {:.6f} nats per token from {}\n", kl, original->name);
    result["kl_nats_per_token"] = kl;
  }
  return !loss.stopped;
}

/// Accuracy on verdicts, and that of another model.
bool evaluate_verdicts(const options& o, const session& s, const session* original, checkpoint& saved,
                       engine::json& result) {
  const verdict_file verdicts = load_verdicts(o.verdicts);
  const questions asked = ask(s.tokens, verdicts, o.verdict_tokens, s.model.shape().context);
  const precis::evaluate::accuracy measure{.among = asked.among};
  const verdict_result found = judge(s.model, asked.batches, measure, o.common, "judging", &saved);
  print_verdicts(verdicts, found, result);
  if (original != nullptr && !found.stopped) {
    const verdict_result theirs = judge(original->model, asked.batches, measure, o.common, "judging again", nullptr);
    if (theirs.stopped) return false;
    fmt::print("                 {} of {} by {}\n", theirs.report.correct, theirs.report.count, original->name);
    result["against_verdicts_correct"] = theirs.report.correct;
    result["against_accuracy"] = theirs.report.share();
  }
  return !found.stopped;
}

exit_status run(const options& o) {
  if (!o.common.json.empty()) require_writable(o.common.json);
  if (o.text.file.empty() && o.verdicts.empty())
    precis::refuse(
        {.what = "nothing to evaluate on", .where = "evaluate", .expected = "--text FILE or --verdicts FILE"});
  const session s = open_model(o.model, o.tokenizer);
  engine::json result{{"command", "evaluate"},
                      {"model", s.name},
                      {"fingerprint", s.fingerprint},
                      {"stored_bytes", stored_bytes(s)},
                      {"weights", weight_count(s)}};
  engine::json job{{"command", "evaluate"}, {"model", s.fingerprint}};
  fmt::print("model  {}: {}\n", s.name, describe(s));
  std::optional<text_windows> text;
  if (!o.text.file.empty()) {
    text = read_windows(s, o.text);
    fmt::print("text   {}: {} tokens; {} windows of {} predictions\n", text->name, text->tokens, text->windows.size(),
               text->length);
    job.update(
        {{"text", o.text.file}, {"tokens", text->tokens}, {"length", text->length}, {"windows", text->windows.size()}});
  }
  if (!o.verdicts.empty()) job.update({{"verdicts", o.verdicts}, {"verdict_tokens", o.verdict_tokens}});
  std::optional<session> original;
  if (!o.against.empty()) {
    original = open_model(o.against, o.tokenizer);
    if (original->model.shape().vocabulary != s.model.shape().vocabulary)
      precis::refuse({.what = fmt::format("{} has {} tokens and {} has {}", original->name,
                                          original->model.shape().vocabulary, s.name, s.model.shape().vocabulary),
                      .where = "evaluate --against",
                      .expected = "two models of one vocabulary"});
    result["against"] = original->name;
  }
  const session* const against = original ? &*original : nullptr;

  checkpoint saved(partial_file(o), job, o.resume.resume);
  fmt::print("\n");
  print_size(stored_bytes(s), weight_count(s));
  bool whole = !text || evaluate_text(o, s, *text, against, saved, result);
  if (whole && !o.verdicts.empty()) whole = evaluate_verdicts(o, s, against, saved, result);
  if (whole && !o.facts.empty()) {
    const fact_file facts = load_facts(s.tokens, o.facts, answers::first_token);
    const questions asked = ask(facts, o.facts);
    const precis::evaluate::accuracy_report known =
        precis::evaluate::accuracy{}(s.model, asked.batches, o.common.pool());
    fmt::print("facts            {} of {} answered ({:.1f} %)\n", known.correct, known.count, 100.0 * known.share());
    result["facts_known"] = known.correct;
    result["facts"] = known.count;
  }
  result["complete"] = whole;
  write_json(o.common, result);
  return stop_or_finish(!whole, saved);
}

/// The same for a classifier, which has no next token and so no perplexity.
exit_status run_classifier(const options& o) {
  if (!o.common.json.empty()) require_writable(o.common.json);
  if (!o.text.file.empty() || !o.facts.empty() || o.verdicts.empty())
    precis::refuse({.what = o.verdicts.empty() ? "a classifier without texts to judge" : "a text for a classifier",
                    .where = o.model,
                    .expected = "--verdicts FILE, and no --text or --facts: it predicts labels, not tokens"});
  const classifier c = open_classifier(o.model, o.tokenizer);
  const std::vector<std::string>& labels = o.labels.empty() ? c.labels : o.labels;
  if (labels.size() != c.labels.size())
    precis::refuse({.what = fmt::format("{} labels", labels.size()),
                    .where = "--labels",
                    .expected = fmt::format("{}, one for each output of the classifier", c.labels.size())});
  const verdict_file verdicts = load_verdicts(o.verdicts);
  const std::vector<engine::text_batch> batches = classify(c.tokens, verdicts, labels, c.model.shape().context);
  fmt::print("model  {}: {}\n\n", c.name, describe(c));
  print_size(c.stored_bytes, weight_count(c));
  checkpoint saved(partial_file(o),
                   {{"command", "evaluate"}, {"model", c.fingerprint}, {"verdicts", o.verdicts}, {"labels", labels}},
                   o.resume.resume);
  const verdict_result found = judge(c.model, batches, precis::evaluate::accuracy{}, o.common, "judging", &saved);
  engine::json result{{"command", "evaluate"},        {"model", c.name},
                      {"fingerprint", c.fingerprint}, {"stored_bytes", c.stored_bytes},
                      {"weights", weight_count(c)},   {"labels", labels},
                      {"complete", !found.stopped}};
  print_verdicts(verdicts, found, result);
  bool whole = !found.stopped;
  if (!o.against.empty() && whole) {
    const classifier original = open_classifier(o.against, o.tokenizer);
    if (original.labels.size() != c.labels.size() || original.model.shape().vocabulary != c.model.shape().vocabulary)
      precis::refuse({.what = fmt::format("{} and {} differ in vocabulary or labels", original.name, c.name),
                      .where = "evaluate --against",
                      .expected = "two versions of one classifier"});
    const verdict_result theirs =
        judge(original.model, batches, precis::evaluate::accuracy{}, o.common, "judging again", nullptr);
    whole = !theirs.stopped;
    result["complete"] = whole;
    result["against"] = original.name;
    if (whole) {
      fmt::print("                 {} of {} by {}\n", theirs.report.correct, theirs.report.count, original.name);
      result["against_verdicts_correct"] = theirs.report.correct;
      result["against_accuracy"] = theirs.report.share();
    }
  }
  write_json(o.common, result);
  return stop_or_finish(!whole, saved);
}

}  // namespace

void add_evaluate(CLI::App& app, exit_status& status) {
  auto o = std::make_shared<options>();
  CLI::App& c = *app.add_subcommand(
      "evaluate", "perplexity of a model on a text, accuracy on verdicts, and what compression changed");
  c.footer(
      "Example:  precis evaluate MODEL --text wiki.txt --windows 20\n"
      "Windows do not overlap and each starts fresh: window i reads tokens [N i, N i + N) and predicts the next ones.\n"
      "NLL is the mean over all predictions, never a mean of means; the interval is over windows.\n"
      "Verdicts: a language model reads the end of a text and \"\\nVerdict:\"; of the labels, with a blank before, the "
      "one it\n"
      "finds likelier counts. A classifier (BERT) reads the text's beginning; its labels are matched by name.");
  c.add_option("MODEL", o->model, "model folder or .bin file")->required();
  c.add_option("--text", o->text.file,
               "plain text, or token ids as JSON, {\"sequences\": [[1, 2], [3]]}: its perplexity");
  c.add_option("--context", o->text.length, "predictions a window (default: the model's context less one)");
  c.add_option("--windows", o->text.windows, "how many windows from the start of the text (default: all)");
  c.add_option("--verdicts", o->verdicts, "JSON lines of text and label: how often the model judges as labelled");
  c.add_option("--verdict-tokens", o->verdict_tokens, "tokens of a text, its last, that a language model is shown")
      ->capture_default_str();
  c.add_option("--labels", o->labels, "names of a classifier's outputs in their order (default: its config.json's)")
      ->delimiter(',');
  c.add_option("--against", o->against, "the original model: also print the KL divergence from it, and its accuracy");
  c.add_option("--facts", o->facts, "also count the facts (JSON array of prompt, subject, attribute) it answers");
  c.add_option("--tokenizer", o->tokenizer, "tokenizer of a .bin model, when it is not beside it");
  add_resume(c, o->resume);
  add_common(c, o->common);
  c.callback([o, &status] { status = is_classifier(o->model) ? run_classifier(*o) : run(*o); });
}

}  // namespace program
