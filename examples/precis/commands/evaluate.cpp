#include "commands/commands.hpp"
#include "commands/options.hpp"
#include "jobs/checkpoint.hpp"
#include "jobs/classifier.hpp"
#include "jobs/embedder.hpp"
#include "jobs/evaluation.hpp"
#include "jobs/facts.hpp"
#include "jobs/output.hpp"
#include "jobs/text_list.hpp"
#include "jobs/verdicts.hpp"

#include <engine/files/json.hpp>
#include <engine/files/model_kinds.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace program {

namespace {

struct evaluate_command {
  model_options model;
  std::string against, facts, verdicts, texts, out;
  verdict_prompt prompt;
  std::vector<std::string> labels;
  text_options text;
  resume_options resume;
  run_options common;
};

void print_verdicts(const verdict_file& verdicts, const verdict_result& found, engine::json& result) {
  const precis::evaluate::interval interval = found.report.confidence();
  fmt::print(
      "verdicts         {} of {} as labelled: accuracy {:.4f}, 95 % {:.3f} to {:.3f} (majority class: "
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

void print_against(const verdict_result& theirs, const std::string& name, engine::json& result) {
  fmt::print("                 {} of {} by {}\n", theirs.report.correct, theirs.report.count, name);
  result["against_verdicts_correct"] = theirs.report.correct;
  result["against_accuracy"] = theirs.report.share();
}

/// Names a file independently of the current folder, for a checkpoint's job.
[[nodiscard]] std::string absolute(const std::string& file) {
  return std::filesystem::absolute(file).lexically_normal().string();
}

/// The file for partial results: beside the --json file if there is one.
[[nodiscard]] std::filesystem::path partial_results(const evaluate_command& o, const engine::json& job) {
  const std::string& beside = o.out.empty() ? o.common.json : o.out;
  return partial_file(o.resume, beside.empty() ? "" : beside + ".partial", job);
}

exit_status stop_or_finish(bool stopped, checkpoint& saved) {
  if (!stopped) {
    saved.finish();
    return exit_status::done;
  }
  fmt::print("\n");
  return stop(saved);
}

void print_size(std::size_t bytes, std::size_t weights) {
  fmt::print("matrices         {} bytes, {:.3f} bits per weight\n", bytes,
             8.0 * static_cast<double>(bytes) / static_cast<double>(weights));
}

/// Perplexity on a text, and the divergence from another model. Returns whether it ran to the end.
bool evaluate_text(const evaluate_command& o, const session& s, const text_windows& text, const session* original,
                   checkpoint& saved, engine::json& result) {
  const auto began = std::chrono::steady_clock::now();
  const text_loss loss = measure(s.model, text, o.common, "evaluating", &saved);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  result.update(
      {{"text", text.name},
       {"special_tokens", text.special_tokens},
       {"bos", text.bos},
       {"tokens", text.tokens},
       {"window", text.length},
       {"windows", loss.report.windows.size()},
       {"predictions", loss.report.total.count},
       {"nll_nats_per_token", loss.nats()},
       {"nll_half_width_95", loss.report.windows.size() < 2 ? engine::json() : engine::json(loss.half_width())},
       {"perplexity", loss.perplexity()},
       {"seconds", seconds}});
  std::vector<double> each;
  for (const precis::nll& w : loss.report.windows) each.push_back(w.mean());
  result["nll_per_window"] = each;
  if (loss.stopped)
    fmt::print("stopped after {} of {} windows; the results below are over those windows\n", loss.report.windows.size(),
               text.windows.size());
  fmt::print("perplexity       {:.4f}\n", loss.perplexity());
  if (loss.report.windows.size() < 2)
    fmt::print("NLL              {:.6f} nats per token (an interval needs two windows or more)\n", loss.nats());
  else
    fmt::print("NLL              {:.6f} +- {:.4f} nats per token (95 %, over windows)\n", loss.nats(),
               loss.half_width());
  if (saved.size() == 0)  // otherwise the time is that of some windows only
    fmt::print("speed            {:.0f} tokens/s\n", static_cast<double>(loss.report.total.count) / seconds);
  if (original != nullptr && !loss.stopped) {
    text_loss kl;
    try {
      kl = divergence(*original, s, text, o.common, &saved);
    } catch (const stopped&) {  // what is above was measured
      return false;
    }
    if (kl.stopped) return false;
    const bool has_interval = kl.report.windows.size() >= 2;
    fmt::print("KL divergence    {:.6f}{} nats per token from {}\n", kl.nats(),
               has_interval ? fmt::format(" +- {:.6f}", kl.half_width()) : "", original->name);
    result["kl_nats_per_token"] = kl.nats();
    result["kl_half_width_95"] = has_interval ? engine::json(kl.half_width()) : engine::json();
  }
  return !loss.stopped;
}

/// Accuracy on verdicts, and that of another model. Returns whether it ran to the end.
bool evaluate_verdicts(const evaluate_command& o, const session& s, const verdict_file& verdicts,
                       const questions& asked, const session* original, checkpoint& saved, engine::json& result) {
  const verdict_result found = verdict_accuracy(s.model, asked, o.common, "classifying", &saved);
  print_verdicts(verdicts, found, result);
  if (original != nullptr && !found.stopped) {
    const verdict_result theirs = verdict_accuracy(original->model, asked, o.common, "classifying (original)", nullptr);
    if (theirs.stopped) return false;
    print_against(theirs, original->name, result);
  }
  return !found.stopped;
}

/// Computes a shard's windows and verdicts, and writes them as a part.
exit_status compute_part(const evaluate_command& o, const session& s, const text_windows* text, const questions* asked,
                         const session* original, checkpoint& saved) {
  bool whole = true;
  std::size_t cells = 0;
  if (text != nullptr) {
    whole = !measure(s.model, *text, o.common, "evaluating", &saved).stopped;
    if (whole && original != nullptr) whole = !divergence(*original, s, *text, o.common, &saved).stopped;
    cells += text->windows.size();
  }
  if (whole && asked != nullptr) {
    whole = !verdict_accuracy(s.model, *asked, o.common, "classifying", &saved).stopped;
    cells += asked->batches.size();
  }
  if (!whole) return stop(saved);
  saved.finish_part(cells, o.out);
  return exit_status::done;
}

exit_status run(const evaluate_command& o) {
  require_writable({o.common.json, o.out});
  if (o.text.file.empty() && o.verdicts.empty())
    precis::refuse(
        {.what = "nothing to evaluate on", .where = "evaluate", .expected = "--text FILE or --verdicts FILE"});
  const session s = open_model(o.model);
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
    fmt::print("text   {}: {} tokens{}; {} windows of {} predictions\n", text->name, text->tokens, text->notes(),
               text->windows.size(), text->length);
    job.update({{"text", absolute(o.text.file)},
                {"special_tokens", text->special_tokens},
                {"bos", text->bos},
                {"tokens", text->tokens},
                {"length", text->length},
                {"windows", text->windows.size()}});
  }
  if (!o.verdicts.empty()) job.update({{"verdicts", absolute(o.verdicts)}, {"verdict_tokens", o.prompt.tokens}});
  std::optional<session> original;
  if (!o.against.empty()) {
    original = open_model({.path = o.against, .tokenizer = o.model.tokenizer});
    if (original->model.shape().vocabulary != s.model.shape().vocabulary)
      precis::refuse({.what = fmt::format("{} has {} tokens and {} has {}", original->name,
                                          original->model.shape().vocabulary, s.name, s.model.shape().vocabulary),
                      .where = "evaluate --against",
                      .expected = "two models with the same vocabulary"});
    result["against"] = original->name;
    job["against"] = original->fingerprint;
  }
  const session* const against = original ? &*original : nullptr;
  std::optional<verdict_file> verdicts;
  questions asked_verdicts, asked_facts;
  if (!o.verdicts.empty()) {
    verdicts = load_verdicts(o.verdicts);
    asked_verdicts = ask(s.tokens, *verdicts, o.prompt.wanted(), s.model.shape().context);
  }
  if (!o.facts.empty())
    asked_facts = ask(load_facts(s.tokens, s.model.shape().context, o.facts, answers::first_token), o.facts);

  checkpoint saved(partial_results(o, job), job, o.resume);
  if (!o.resume.shard.empty())
    return compute_part(o, s, text ? &*text : nullptr, verdicts ? &asked_verdicts : nullptr, against, saved);
  fmt::print("\n");
  print_size(stored_bytes(s), weight_count(s));
  bool whole = !text || evaluate_text(o, s, *text, against, saved, result);
  try {
    if (whole && verdicts) whole = evaluate_verdicts(o, s, *verdicts, asked_verdicts, against, saved, result);
    if (whole && !o.facts.empty()) {
      const precis::evaluate::accuracy_report known = answered(s, asked_facts, o.common);
      fmt::print("facts            {} of {} answered ({:.1f} %)\n", known.correct, known.count, 100.0 * known.share());
      result["facts_known"] = known.correct;
      result["facts"] = known.count;
    }
  } catch (const stopped&) {
    if (!text) throw;
    whole = false;  // what was measured on the text is reported
  }
  result["complete"] = whole;
  write_json(o.common.json, result);
  return stop_or_finish(!whole, saved);
}

/// The same for a classifier, which predicts no next token and so has no perplexity.
exit_status run_classifier(const evaluate_command& o) {
  require_writable({o.common.json});
  if (!o.text.file.empty() || !o.facts.empty() || o.verdicts.empty())
    precis::refuse(
        {.what = o.verdicts.empty() ? "a classifier without verdicts" : "a text for a classifier",
         .where = o.model.path,
         .expected = "--verdicts FILE without --text and --facts: a classifier predicts labels, not tokens"});
  const classifier c = open_classifier(o.model);
  const std::vector<std::string>& labels = o.labels.empty() ? c.labels : o.labels;
  if (labels.size() != c.labels.size())
    precis::refuse({.what = fmt::format("{} labels", labels.size()),
                    .where = "--labels",
                    .expected = fmt::format("{}, one for each output of the classifier", c.labels.size())});
  const verdict_file verdicts = load_verdicts(o.verdicts);
  const std::vector<engine::text_batch> batches = classify(c.tokens, verdicts, labels, c.model.shape().context);
  fmt::print("model  {}: {}\n\n", c.name, describe(c));
  print_size(c.stored_bytes, weight_count(c));
  std::optional<classifier> original;
  if (!o.against.empty()) {
    original = open_classifier({.path = o.against, .tokenizer = o.model.tokenizer});
    if (original->labels.size() != c.labels.size() || original->model.shape().vocabulary != c.model.shape().vocabulary)
      precis::refuse({.what = fmt::format("{} and {} differ in vocabulary or labels", original->name, c.name),
                      .where = "evaluate --against",
                      .expected = "two versions of one classifier"});
  }
  const engine::json job{
      {"command", "evaluate"}, {"model", c.fingerprint}, {"verdicts", absolute(o.verdicts)}, {"labels", labels}};
  checkpoint saved(partial_results(o, job), job, o.resume);
  const verdict_result found = verdict_accuracy(c.model, batches, o.common, "classifying", &saved);
  engine::json result{{"command", "evaluate"},        {"model", c.name},
                      {"fingerprint", c.fingerprint}, {"stored_bytes", c.stored_bytes},
                      {"weights", weight_count(c)},   {"labels", labels},
                      {"complete", !found.stopped}};
  print_verdicts(verdicts, found, result);
  bool whole = !found.stopped;
  if (original && whole) {
    try {
      const verdict_result theirs =
          verdict_accuracy(original->model, batches, o.common, "classifying (original)", nullptr);
      whole = !theirs.stopped;
      if (whole) print_against(theirs, original->name, result);
    } catch (const stopped&) {
      whole = false;
    }
    result["complete"] = whole;
    result["against"] = original->name;
  }
  write_json(o.common.json, result);
  return stop_or_finish(!whole, saved);
}

/// The same for a sentence encoder: how far its embeddings are from another's.
exit_status run_embedder(const evaluate_command& o) {
  require_writable({o.common.json});
  const auto refuse = [&](const char* what, const char* expected) {
    precis::refuse({.what = what, .where = o.model.path, .expected = expected});
  };
  if (!o.verdicts.empty() || !o.facts.empty())
    refuse("a sentence encoder, which answers no questions", "--texts FILE and --against MODEL");
  if (o.texts.empty() == o.text.file.empty())
    refuse("a sentence encoder without texts, or with two files of them",
           "--texts FILE, a JSON array of strings, or --text FILE, a text per line");
  if (o.against.empty()) refuse("a sentence encoder with nothing to compare with", "--against MODEL, the original");
  const std::vector<std::string> texts = o.texts.empty() ? read_text_lines(o.text.file) : read_text_list(o.texts);
  if (texts.empty()) refuse("no texts", "one text or more");
  const embedder e = open_embedder(o.model);
  const embedder original = open_embedder({.path = o.against, .tokenizer = o.model.tokenizer});
  if (original.model.shape().width != e.model.shape().width)
    refuse("embeddings of another width than the original's", "two versions of one model");
  fmt::print("model  {}: {}\n", e.name, describe(e));
  const encoded_texts encoded = encode(e, texts);
  fmt::print("texts  {}, {} tokens{}\n\n", texts.size(), encoded.tokens,
             encoded.cut == 0 ? "" : fmt::format("; {} are cut to {}", encoded.cut, e.max_tokens));
  print_size(e.stored_bytes(), weight_count(e.model.matrices()));
  const auto now = embed(e.model, encoded.batches, o.common);
  const auto before = embed(original.model, encode(original, texts).batches, o.common);
  double sum = 0, worst = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const double distance = engine::cosine_distance(before[i], now[i]);
    sum += distance;
    worst = std::max(worst, distance);
  }
  const double mean = sum / static_cast<double>(texts.size());
  fmt::print("cosine distance  {:.8f} on average, {:.8f} at most, from {}\n", mean, worst, original.name);
  write_json(o.common.json, {{"command", "evaluate"},
                             {"model", e.name},
                             {"fingerprint", e.fingerprint},
                             {"against", original.name},
                             {"stored_bytes", e.stored_bytes()},
                             {"weights", weight_count(e.model.matrices())},
                             {"texts", texts.size()},
                             {"tokens", encoded.tokens},
                             {"cosine_distance", mean},
                             {"worst_cosine_distance", worst},
                             {"complete", true}});
  return exit_status::done;
}

}  // namespace

void add_evaluate(command_line& line) {
  auto o = std::make_shared<evaluate_command>();
  subcommand c =
      line.add("evaluate", "measure perplexity on a text, accuracy on verdicts, and the effect of compression");
  c.footer(
      "Example:  precis evaluate MODEL --text wiki.txt --windows 20\n"
      "MODEL may also be a classifier, for --verdicts: " +
      engine::readable_classifiers() +
      ".\n"
      "Windows do not overlap and each starts without context: window i reads tokens [N i, N i + N) and predicts the "
      "next ones.\n"
      "With --bos it reads BOS and tokens [N i, N i + N - 1), and predicts tokens [N i, N i + N).\n"
      "NLL is the mean over all predictions, never a mean of means; the interval is over windows.\n"
      "Verdicts: a language model reads the end of a text and \"\\nVerdict:\"; its answer is the most likely of the "
      "labels, each with\n"
      "a space before it. A classifier reads the beginning of the text; its labels are matched by name.");
  add_model(c, o->model);
  add_special_tokens(c, o->model);
  add_text(c, o->text, "plain text, or token ids as JSON, {\"sequences\": [[1, 2], [3]]}, to measure the perplexity on",
           false);
  c.add("--verdicts", o->verdicts, "JSON lines of text and label to measure the accuracy on").reads();
  add_verdict_prompt(c, o->prompt, [o] { return !o->verdicts.empty() && !is_classifier(o->model.path); });
  c.add("--labels", o->labels, "names of a classifier's outputs in order (default: those of its config.json)")
      .separated_by(',')
      .only_if([o] { return !o->verdicts.empty() && is_classifier(o->model.path); }, "--verdicts and a classifier");
  c.add("--against", o->against, "the original model: also print the KL divergence from it, and its accuracy").reads();
  c.add("--facts", o->facts, "also count the facts (JSON array of prompt, subject, attribute) that the model answers")
      .reads();
  c.add("--texts", o->texts, "JSON array of texts: the distance of a sentence encoder's embeddings from --against")
      .reads();
  add_resume(c, o->resume);
  const auto of_text = [o] { return !is_classifier(o->model.path) && !is_embedder(o->model.path) && !o->out.empty(); };
  add_shard(c, o->resume).only_if(of_text, "--out, for a language model");
  o->resume.merged_option = "--json";
  c.add("--out", o->out, "with --shard: the file for its part")
      .writes()
      .only_if([o] { return !o->resume.shard.empty(); }, "--shard");
  add_common(c, o->common);
  c.runs([o] {
    if (is_embedder(o->model.path)) return run_embedder(*o);
    if (!o->texts.empty())
      precis::refuse({.what = "--texts for a model that is no sentence encoder",
                      .where = "evaluate",
                      .expected = "--text FILE or --verdicts FILE"});
    return is_classifier(o->model.path) ? run_classifier(*o) : run(*o);
  });
}

}  // namespace program
