#include "jobs/facts.hpp"

#include "jobs/json_lines.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace program {

precis::score::fact make_fact(const engine::tokenizer& tokens, std::string name, std::string_view prompt,
                              std::string_view subject, std::string_view attribute, answers rule,
                              std::string_view shorten) {
  const std::size_t at = prompt.find(subject);
  if (subject.empty() || at == std::string_view::npos)
    precis::refuse({.what = fmt::format("the subject '{}' is not in the prompt '{}'", precis::shown(subject),
                                        precis::shown(prompt)),
                    .where = name,
                    .expected = "a subject that occurs verbatim in its prompt"});
  const std::vector<engine::token_span> spans = tokens.encode_with_offsets(prompt);
  const auto [first, end] = engine::tokens_covering(spans, at, at + subject.size());
  const std::string with_blank = " " + std::string(attribute);
  const std::vector<precis::token> answer = tokens.encode(with_blank, engine::start::middle);
  if (attribute.empty() || answer.empty())
    precis::refuse({.what = "an empty answer", .where = name, .expected = "the word that completes the prompt"});
  if (rule == answers::whole && answer.size() != 1) {
    std::string pieces;
    for (const precis::token id : answer) pieces += (pieces.empty() ? "'" : " '") + tokens.text_of(id) + "'";
    precis::refuse({.what = fmt::format("the answer '{}' is {} tokens, {}", precis::shown(attribute), answer.size(),
                                        precis::printable(pieces, 200)),
                    .where = name,
                    .expected = shorten.empty()
                                    ? std::string("an answer of one token")
                                    : fmt::format("an answer of one token, or {} to take its first token", shorten)});
  }
  precis::score::fact f{
      .name = std::move(name), .prompt = {}, .subject_begin = first, .subject_end = end, .answer = answer.front()};
  for (const engine::token_span& s : spans) f.prompt.push_back(s.id);
  f.subject_alone = tokens.encode(subject, engine::start::middle);
  return f;
}

fact_file load_facts(const engine::tokenizer& tokens, std::size_t context, const std::filesystem::path& path,
                     answers rule, std::size_t most, std::string_view shorten) {
  return parse_facts(tokens, context, engine::mapped_file(path).text(), path.string(), rule, most, shorten);
}

fact_file parse_facts(const engine::tokenizer& tokens, std::size_t context, std::string_view text,
                      const std::string& name, answers rule, std::size_t most, std::string_view shorten) {
  fact_file out;
  for_each_json_entry(text, name, "fact", "an array of objects with prompt, subject and attribute", most,
                      [&](const engine::json_object& entry, const std::string& where) {
                        const std::string prompt = entry.text("prompt"), subject = entry.text("subject"),
                                          attribute = entry.text("attribute");
                        out.facts.push_back(make_fact(tokens, where, prompt, subject, attribute, rule, shorten));
                        if (const std::size_t length = out.facts.back().prompt.size(); length > context)
                          precis::refuse({.what = "a prompt of " + std::to_string(length) + " tokens",
                                          .where = where,
                                          .expected = "at most " + std::to_string(context) + ", the model's context"});
                        out.facts.back().name = prompt;
                        out.prompts.push_back(prompt);
                        out.subjects.push_back(subject);
                        out.attributes.push_back(attribute);
                        if (tokens.encode(" " + attribute, engine::start::middle).size() > 1) ++out.longer_answers;
                      });
  return out;
}

questions ask(const fact_file& facts, std::string name) {
  questions out{.name = std::move(name), .batches = {}, .among = {}, .longer_answers = facts.longer_answers};
  for (const precis::score::fact& f : facts.facts) out.batches.push_back(question(f.prompt, f.answer));
  return out;
}

}  // namespace program
