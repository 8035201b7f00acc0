#include "jobs/verdicts.hpp"

#include "jobs/json_lines.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <string_view>

namespace program {
namespace {

constexpr std::string_view question_text = "\nVerdict:";

[[noreturn]] void bad(std::string where, std::string what, std::string expected) {
  precis::refuse({.what = std::move(what), .where = std::move(where), .expected = std::move(expected)});
}

}  // namespace

double verdict_file::most_frequent() const {
  std::vector<std::size_t> counts(choices.size());
  for (const std::size_t l : labels) ++counts[l];
  return static_cast<double>(std::ranges::max(counts)) / static_cast<double>(texts.size());
}

verdict_file load_verdicts(const std::filesystem::path& path) {
  return parse_verdicts(engine::mapped_file(path).text(), path);
}

verdict_file parse_verdicts(std::string_view text, const std::filesystem::path& path) {
  verdict_file out{.name = path.filename().string(), .texts = {}, .labels = {}, .choices = {}};
  for_each_json_line(text, path.string(), [&](const engine::json_object& line) {
    out.texts.push_back(line.text("text"));
    const std::string label = line.text("label");
    if (label.empty() || out.texts.back().empty()) line.refuse("an empty text or label", "a text and its label");
    const auto at = std::ranges::find(out.choices, label);
    out.labels.push_back(static_cast<std::size_t>(at - out.choices.begin()));
    if (at == out.choices.end()) out.choices.push_back(label);
  });
  if (out.choices.size() < 2)
    bad(path.string(), fmt::format("{} texts with {} different labels", out.texts.size(), out.choices.size()),
        "JSON lines with text and label, and at least two labels to choose from");
  return out;
}

questions ask(const engine::tokenizer& tokenizer, const verdict_file& verdicts, std::optional<std::size_t> wanted,
              std::size_t context) {
  const std::vector<precis::token> before = tokenizer.encode("", engine::start::document),
                                   after = tokenizer.encode(question_text, engine::start::middle);
  const std::size_t other = before.size() + after.size();
  const std::size_t tokens = wanted ? *wanted : std::min(default_verdict_tokens, context - std::min(context, other));
  if (!wanted && tokens != default_verdict_tokens)
    fmt::print(stderr, "precis: {}: prompts of {} tokens of a text instead of {}, because the model's context is {}\n",
               verdicts.name, tokens, default_verdict_tokens, context);
  if (tokens == 0 || other + tokens > context)
    bad("--verdict-tokens", fmt::format("{} tokens of a text and {} of the question", tokens, other),
        fmt::format("at least 1 of the text, at most {} in all, the model's context", context));
  questions out{.name = verdicts.name, .batches = {}};
  for (const std::string& choice : verdicts.choices) {
    out.among.push_back(tokenizer.encode(" " + choice, engine::start::middle).front());
    for (std::size_t i = 0; i + 1 < out.among.size(); ++i)
      if (out.among[i] == out.among.back())
        bad(verdicts.name,
            fmt::format("labels '{}' and '{}' begin with the same token '{}'", verdicts.choices[i], choice,
                        tokenizer.text_of(out.among[i])),
            "labels that differ in their first token");
  }
  for (std::size_t i = 0; i < verdicts.texts.size(); ++i) {
    const std::vector<precis::token> text = tokenizer.encode(verdicts.texts[i], engine::start::middle);
    std::vector<precis::token> prompt = before;
    prompt.insert(prompt.end(), text.end() - static_cast<std::ptrdiff_t>(std::min(tokens, text.size())), text.end());
    prompt.insert(prompt.end(), after.begin(), after.end());
    out.batches.push_back(question(std::move(prompt), out.among[verdicts.labels[i]]));
  }
  return out;
}

}  // namespace program
