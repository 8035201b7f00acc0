// The lists that the program reads as JSON: facts, verdicts, prompts of a task.

#include "jobs/facts.hpp"
#include "jobs/task.hpp"
#include "jobs/verdicts.hpp"

#include <precis/core/random.hpp>
#include <precis/core/shown.hpp>

#include "catch.hpp"
#include "engine/tokenizers.hpp"
#include "mutations.hpp"
#include "refusal.hpp"
#include "run.hpp"

#include <nlohmann/json.hpp>

#include <functional>
#include <string>
#include <vector>

using nlohmann::json;
using precis::purpose;
using precis::random_stream;
using test::scratch;

namespace {

const std::string facts_text =
    "[{\"prompt\": \"The Eiffel Tower is in\", \"subject\": \"Eiffel Tower\", \"attribute\": \"Paris\"},\n"
    "{\"prompt\": \"Rome is in\", \"subject\": \"Rome\", \"attribute\": \"Italy\", \"known_id\": 3},\n"
    "{\"prompt\": \"caf\\u00e9 noir\", \"subject\": \"noir\", \"attribute\": \"caf\xC3\xA9\"}]\n";
const std::string verdicts_text =
    "{\"text\": \"the film was good\", \"label\": \"good\"}\n"
    "{\"text\": \"the film was not good\", \"label\": \"bad\"}\n"
    "{\"text\": \"it was \\\"fine\\\"\", \"label\": \"good\", \"stars\": 3}\n";
const std::string task_text =
    "{\"prompt\": \"3 + 4 =\", \"answer\": \" 7\"}\n"
    "{\"prompt\": \"1 + 1 =\", \"answer\": \" 2\"}\n";

/// Reads a file and checks what was read.
struct reader {
  std::string name, text;
  std::function<void(const std::filesystem::path&)> read;
};

std::vector<reader> readers() {
  static const engine::tokenizer tokens = support::byte_tokenizer({{"t", "h"}});
  return {{"facts", facts_text,
           [](const auto& file) {
             const program::fact_file f = program::load_facts(tokens, 64, file, program::answers::first_token);
             REQUIRE(!f.facts.empty());
             json again = json::array();
             for (std::size_t i = 0; i < f.facts.size(); ++i) {
               const precis::score::fact& fact = f.facts[i];
               REQUIRE(fact.subject_begin < fact.subject_end);
               REQUIRE(fact.subject_end <= fact.prompt.size());
               REQUIRE(fact.prompt.size() <= 64);
               again.push_back({{"prompt", f.prompts[i]}, {"subject", f.subjects[i]}, {"attribute", f.attributes[i]}});
             }
             test::write(file, again.dump());
             const program::fact_file back = program::load_facts(tokens, 64, file, program::answers::first_token);
             REQUIRE(back.prompts == f.prompts);
             REQUIRE(back.subjects == f.subjects);
             REQUIRE(back.attributes == f.attributes);
           }},
          {"verdicts", verdicts_text,
           [](const auto& file) {
             const program::verdict_file v = program::load_verdicts(file);
             REQUIRE(v.labels.size() == v.texts.size());
             std::string again;
             for (std::size_t i = 0; i < v.texts.size(); ++i)
               again += json{{"text", v.texts[i]}, {"label", v.choices.at(v.labels[i])}}.dump() + "\n";
             test::write(file, again);
             const program::verdict_file back = program::load_verdicts(file);
             REQUIRE(back.texts == v.texts);
             REQUIRE(back.labels == v.labels);
             REQUIRE(back.choices == v.choices);
           }},
          {"task", task_text, [](const auto& file) {
             const program::task t = program::load_task(file);
             test::write(file, to_json_lines(t));
             const program::task back = program::load_task(file);
             REQUIRE(back.prompts == t.prompts);
             REQUIRE(back.answers == t.answers);
           }}};
}

}  // namespace

TEST_CASE("a changed JSON list is refused by its name, or reads back", "[program][property]") {
  const scratch here("json-lists");
  const std::filesystem::path file = here / "my.list";
  for (const reader& r : readers()) {
    test::dice d{random_stream(1, purpose(r.name))};
    std::size_t read = 0, refused = 0;
    for (int i = 0; i < 700; ++i) {
      std::string text = r.text;
      for (std::size_t n = d.below(3); n > 0; --n) text = test::mutated(text, d);
      test::write(file, text);
      CAPTURE(r.name, i, text);
      const std::string said = refusal([&] { r.read(file); });
      if (said.empty()) {
        ++read;
        continue;
      }
      ++refused;
      CHECK(said.starts_with(file.string()));
      CHECK(said.size() < file.string().size() + 400);
      CHECK(precis::printable(said, said.size()) == said);
    }
    CAPTURE(r.name, read, refused);
    CHECK(read > 100);
    CHECK(refused > 100);
  }
}

TEST_CASE("a key that a JSON list has twice is refused by its line or entry", "[program][refusal]") {
  const scratch here("json-twice");
  const std::filesystem::path file = here / "my.list";
  for (const reader& r : readers()) {
    const std::string key = r.name == "verdicts" ? "\"label\": " : "\"prompt\": ";
    std::string text = r.text;
    text.insert(text.find(key, text.find('\n')), key + "\"twice\", ");  // in the second line
    test::write(file, text);
    const std::string said = refusal([&] { r.read(file); });
    CAPTURE(r.name, said);
    CHECK_THAT(said, ContainsSubstring("occurs twice; expected each key once"));
    CHECK(said.starts_with(file.string() + (r.name == "facts" ? ": " : ", line 2: ")));
  }
}
