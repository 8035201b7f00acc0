#include "verdicts.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string_view>

namespace program {
namespace {

constexpr std::string_view asks_for = "\nVerdict:";

[[noreturn]] void bad(std::string where, std::string what, std::string expected) {
  precis::refuse({.what = std::move(what), .where = std::move(where), .expected = std::move(expected)});
}

[[nodiscard]] std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

[[nodiscard]] std::string joined(std::span<const std::string> names) {
  std::string text;
  for (const std::string& n : names) text += (text.empty() ? "" : ", ") + n;
  return text;
}

}  // namespace

double verdict_file::most_frequent() const {
  std::vector<std::size_t> counts(choices.size());
  for (const std::size_t l : labels) ++counts[l];
  return static_cast<double>(std::ranges::max(counts)) / static_cast<double>(texts.size());
}

verdict_file load_verdicts(const std::filesystem::path& path) {
  const engine::mapped_file file(path);
  verdict_file out{.name = path.filename().string(), .texts = {}, .labels = {}, .choices = {}};
  std::size_t number = 0;
  for (std::string_view rest = file.text(); !rest.empty();) {
    ++number;
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    const std::string where = fmt::format("{}, line {}", path.string(), number);
    const engine::json value = engine::parse_json(line, where);
    const engine::json_object keys(value, where);
    out.texts.push_back(keys.text("text"));
    const std::string label = keys.text("label");
    if (label.empty() || out.texts.back().empty())
      keys.refuse("an empty text or label", "a text and what it was judged");
    const auto at = std::ranges::find(out.choices, label);
    out.labels.push_back(static_cast<std::size_t>(at - out.choices.begin()));
    if (at == out.choices.end()) out.choices.push_back(label);
  }
  if (out.choices.size() < 2)
    bad(path.string(), fmt::format("{} texts with {} different labels", out.texts.size(), out.choices.size()),
        "JSON lines with text and label, and at least two labels to choose from");
  return out;
}

questions ask(const engine::tokenizer& tokenizer, const verdict_file& verdicts, std::size_t tokens,
              std::size_t context) {
  const std::vector<precis::token> before = tokenizer.encode("", engine::start::document),
                                   after = tokenizer.encode(asks_for, engine::start::middle);
  if (tokens == 0 || before.size() + tokens + after.size() > context)
    bad("--verdict-tokens",
        fmt::format("{} tokens of a text and {} of the question", tokens, before.size() + after.size()),
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

std::vector<engine::text_batch> classify(const engine::tokenizer& tokenizer, const verdict_file& verdicts,
                                         std::span<const std::string> labels, std::size_t context) {
  std::vector<precis::token> id_of;  // of every choice
  for (const std::string& choice : verdicts.choices) {
    const auto at = std::ranges::find_if(labels, [&](const std::string& l) { return lower(l) == lower(choice); });
    if (at == labels.end())
      bad(verdicts.name, fmt::format("the label '{}', which the classifier does not have", choice),
          fmt::format("one of {}; --labels names the classifier's outputs in their order", joined(labels)));
    id_of.push_back(static_cast<precis::token>(at - labels.begin()));
  }
  std::vector<engine::text_batch> batches;
  for (std::size_t i = 0; i < verdicts.texts.size(); ++i) {
    std::vector<precis::token> ids = tokenizer.encode(verdicts.texts[i]);
    if (ids.size() > context) {  // the text's end goes, [SEP] stays
      const precis::token end = ids.back();
      ids.resize(context);
      ids.back() = end;
    }
    batches.push_back(engine::texts(std::span(&ids, 1), {id_of[verdicts.labels[i]]}));
  }
  return batches;
}

}  // namespace program
