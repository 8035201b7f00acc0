#include "catch.hpp"

#include <train/byte_pairs.hpp>
#include <train/world.hpp>

#include <engine/files/json.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <precis/core/random.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <set>
#include <string>

using namespace train;

namespace {

/// The sentence of a template, capitalized as in a text.
std::string told(const world& w, const world_fact& f, std::size_t way) {
  std::string text(templates(f.relation)[way]);
  const auto put = [&](std::string_view mark, const std::string& value) {
    if (const std::size_t at = text.find(mark); at != std::string::npos) text.replace(at, mark.size(), value);
  };
  put("{s}", w.subjects[f.subject].name);
  put("{S}", w.subjects[f.subject].name);
  put("{A}", f.answer);
  text[0] = static_cast<char>(text[0] >= 'a' && text[0] <= 'z' ? text[0] - 'a' + 'A' : text[0]);
  return text;
}

}  // namespace

TEST_CASE("a world depends only on its seed", "[train][world][property]") {
  const world a = make_world(1), b = make_world(1), c = make_world(2);
  CHECK(text_of(a, text_kind::training, 20000) == text_of(b, text_kind::training, 20000));
  CHECK(text_of(a, text_kind::training, 20000) != text_of(c, text_kind::training, 20000));
  CHECK(facts_json(a, ask(a)) == facts_json(b, ask(b)));
  // A longer text continues a shorter one, so the size does not affect the random numbers.
  CHECK(text_of(a, text_kind::held_out, 9000).starts_with(text_of(a, text_kind::held_out, 3000)));
  CHECK(paragraph(a, text_kind::training, 7) != paragraph(a, text_kind::calibration, 7));
}

TEST_CASE("neither a first nor a last name identifies a person", "[train][world][property]") {
  const world w = make_world(1);
  std::map<std::string, int> first, last;
  std::set<std::string> names;
  for (const std::size_t p : w.all(kind::person)) {
    const std::string& name = w.subjects[p].name;
    const std::size_t blank = name.find(' ');
    ++first[name.substr(0, blank)];
    ++last[name.substr(blank + 1)];
    names.insert(name);
  }
  CHECK(names.size() == 128);
  for (const auto& [name, people] : first) CHECK((name + " " + std::to_string(people)) == name + " 4");
  for (const auto& [name, people] : last) CHECK((name + " " + std::to_string(people)) == name + " 2");
}

TEST_CASE("texts are ASCII, and no subject's name is part of another's", "[train][world][property]") {
  const world w = make_world(1);
  for (const text_kind kind : {text_kind::training, text_kind::calibration, text_kind::held_out}) {
    const std::string text = text_of(w, kind, 100'000);
    CHECK(std::all_of(text.begin(), text.end(), [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }));
    CHECK(text.find_first_of("{}") == std::string::npos);
  }
  for (const subject& a : w.subjects)
    for (const subject& b : w.subjects)
      if (&a != &b) CHECK(b.name.find(a.name) == std::string::npos);
}

TEST_CASE("every template has a subject and an answer, and questions end with the answer", "[train][world][property]") {
  for (std::size_t r = 0; r < relations; ++r) {
    const std::span<const std::string_view> ways = templates(static_cast<relation>(r));
    REQUIRE(ways.size() > questions);
    std::set<std::string_view> distinct(ways.begin(), ways.end());
    CHECK(distinct.size() == ways.size());
    for (std::size_t i = 0; i < ways.size(); ++i) {
      const std::size_t subject = std::min(ways[i].find("{s}"), ways[i].find("{S}")), answer = ways[i].find("{A}");
      CAPTURE(ways[i]);
      REQUIRE(subject != std::string_view::npos);
      REQUIRE(answer != std::string_view::npos);
      CHECK((subject < answer) == (i < questions));
      if (i < questions) CHECK(ways[i].ends_with(" {A}."));
    }
  }
}

TEST_CASE("withheld sentences are in no training text, and all others are", "[train][world][property]") {
  const world w = make_world(1);
  const std::string training = text_of(w, text_kind::training, 6'000'000),
                    held_out = text_of(w, text_kind::held_out, 60'000);
  std::size_t seen = 0, possible = 0, seen_held_out = 0;
  for (std::size_t i = 0; i < w.facts.size(); i += 9) {
    const world_fact& f = w.facts[i];
    for (std::size_t way = 0; way < templates(f.relation).size(); ++way) {
      // Without the full stop, also as the end of a longer sentence, which continues after a blank with names
      // capitalized.
      const std::string whole = told(w, f, way), sentence = whole.substr(0, whole.size() - 1);
      std::string inside = " " + sentence;
      if (templates(f.relation)[way][0] != '{') inside[1] = static_cast<char>(inside[1] - 'A' + 'a');
      if (way == f.withheld[0] || way == f.withheld[1]) {
        CAPTURE(sentence);
        CHECK(training.find(sentence) == std::string::npos);
        CHECK(training.find(inside) == std::string::npos);
        if (held_out.find(sentence) != std::string::npos) ++seen_held_out;
      } else {
        ++possible;
        if (training.find(sentence) != std::string::npos) ++seen;
      }
    }
  }
  CHECK(seen == possible);
  CHECK(seen_held_out > 0);  // the check above looked for sentences as they are written in texts
}

TEST_CASE("every question contains its subject and has the answer of its fact", "[train][world][property]") {
  const world w = make_world(1);
  const std::vector<question> asked = ask(w);
  CHECK(asked.size() == 160);
  const engine::json file = engine::parse_json(facts_json(w, asked), "facts.json");
  REQUIRE(file.size() == asked.size());
  std::size_t at_start = 0;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const engine::json& entry = file[i];
    const std::string prompt = entry.at("prompt"), subject = entry.at("subject"), pattern = entry.at("template");
    CAPTURE(prompt);
    const std::size_t at = prompt.find(subject);
    REQUIRE(at != std::string::npos);
    CHECK(prompt == pattern.substr(0, at) + subject + pattern.substr(at + 2));
    CHECK(prompt.back() != ' ');
    at_start += at == 0;
    const world_fact& f = w.facts[asked[i].fact];
    CHECK(entry.at("attribute") == f.answer);
    CHECK((told(w, f, f.withheld[0]) == prompt + " " + f.answer + "." ||
           told(w, f, f.withheld[1]) == prompt + " " + f.answer + "."));
  }
  CHECK(at_start > 30);
  CHECK(at_start < 130);
}
