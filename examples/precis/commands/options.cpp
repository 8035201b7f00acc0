#include "commands/options.hpp"

#include "jobs/allocation.hpp"

#include <engine/files/model_kinds.hpp>

#include <fmt/format.h>

#include <utility>

namespace program {

void add_model(subcommand& c, model_options& o) {
  c.add("MODEL", o.path, engine::readable_language_models()).required().reads();
  c.add("--tokenizer", o.tokenizer, "tokenizer of a .bin model, if it is not beside the model").reads();
}

void add_requantize(subcommand& c, model_options& o) {
  o.quantizes = true;
  c.add_flag("--allow-requantize", o.allow_requantize,
             "take a model that is quantized already: the errors of both quantizations add up");
}

option add_special_tokens(subcommand& c, model_options& o) {
  return c
      .add("--special-tokens", o.special_tokens,
           "names of special tokens in a text, such as <|endoftext|>: parsed as these tokens, or plain text")
      .one_of({"parsed", "plain"})
      .shows_default();
}

void add_verdict_prompt(subcommand& c, verdict_prompt& o, std::function<bool()> with_verdicts) {
  c.add("--verdict-tokens", o.tokens, "language models: tokens from the end of a text in its prompt")
      .shows_default()
      .tells(o.given)
      .only_if(std::move(with_verdicts), "--verdicts");
}

void add_tables(subcommand& c, model_options& o) {
  c.add_flag("--tables", o.tables, "the token embedding and an untied head are units, too, and in the budget");
}

void add_common(subcommand& c, run_options& o) {
  c.add("--json", o.json, "write the result as JSON to this file").writes();
  c.add("--threads", o.threads, "threads; 0: one per processor. Results do not depend on it")
      .shows_default()
      .at_most(most_threads);
  c.add_flag("--quiet", o.quiet, "print no progress");
}

option add_fit(subcommand& c, run_options& o, bool with_data, bool with_tuning) {
  std::string help =
      "codes of integer and small-float formats: clip_search, which searches the range of every group, or nearest, "
      "which spans it (faster, less exact)";
  std::vector<std::string> names{"clip_search", "nearest"};
  if (with_data) {
    help +=
        "; or of all formats, ggml's blocks too: gptq, which keeps the outputs near the original's on the data of "
        "--calibration";
    names.emplace_back("gptq");
  }
  if (with_tuning) {
    help += "; or signed_rounding, which begins with gptq and tunes the rounding of whole layers (best and slowest)";
    names.emplace_back("signed_rounding");
  }
  return c.add("--fit", o.fit, help).one_of(std::move(names)).shows_default().tells(o.fit_given);
}

option add_shard(subcommand& c, resume_options& o) {
  o.arguments = &c.arguments();
  return c
      .add("--shard", o.shard,
           "compute part K of N only, such as 2/3, and write it to --out; `precis merge` puts the parts together")
      .checked([](const std::string& text) {
        return parse_shard(text) ? std::string()
                                 : fmt::format("'{}' is no shard; expected K/N with K from 1 to N, such as 2/3", text);
      });
}
void add_resume(subcommand& c, resume_options& o, std::function<bool()> applies, const std::string& when) {
  option resume = c.add_flag("--resume", o.resume, "continue from the partial results of a stopped run");
  option partial =
      c.add("--partial", o.partial,
            "file for partial results (default: beside the output; without an output, in the user's cache folder)")
          .writes();
  if (!applies) return;
  resume.only_if(applies, when);
  partial.only_if(applies, when);
}

option add_text(subcommand& c, text_options& o, const std::string& help, bool required) {
  option text = c.add("--text", o.file, help).reads();
  if (required) text.required();
  const auto with_text = [&o] { return !o.file.empty(); };
  c.add("--context", o.length,
        "predictions per window of the text (default: one less than the model's context, than 2048, or than a shorter "
        "text)")
      .only_if(with_text, "--text");
  c.add("--windows", o.windows, "windows of the text; 0: all")
      .shows_default()
      .tells(o.windows_given)
      .only_if(with_text, "--text");
  c.add_flag("--bos", o.bos,
             "begin every window with the beginning-of-sequence token, as models such as Gemma and Llama need")
      .only_if(with_text, "--text");
  return text;
}

option add_units(subcommand& c, const std::string& name, std::string& value, const std::string& help) {
  return c.add(name, value, help).one_of({"block", "half", "matrix"}).shows_default();
}

option add_entries(subcommand& c, std::string& value, const std::string& help) {
  return c.add("--entries", value, fmt::format("{} (default: {})", help, default_entries_text));
}

option add_budget(subcommand& c, std::string& value, const std::string& more) {
  return c.add("--budget", value,
               "upper bound on the size: 4.5bpw, 1200000B or 40% (of the matrices in the file)" + more);
}

session open_and_print(const model_options& o) {
  session s = open_model(o);
  fmt::print("model  {}: {}\n", s.name, describe(s));
  return s;
}

text_windows read_and_print(const session& s, const text_options& o) {
  text_windows text = read_windows(s, o);
  fmt::print("text   {}: {} windows of {} predictions{}\n", text.name, text.windows.size(), text.length, text.notes());
  return text;
}

exit_status stop(const checkpoint& saved) {
  fmt::print("{}", saved.stopped_message());
  return exit_status::stopped;
}

}  // namespace program
