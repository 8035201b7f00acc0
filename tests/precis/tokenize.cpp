#include "catch.hpp"
#include "run.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

using nlohmann::json;
using test::run;
using test::scratch;
using test::world;

namespace {

void put(const std::filesystem::path& file, const std::string& text) { std::ofstream(file, std::ios::binary) << text; }

/// A tokenizer.json of words: <s> before every document, "a", "b", and <x>, a special token.
const std::string words = R"({"added_tokens": [
    {"id": 0, "content": "<s>", "special": true, "normalized": false},
    {"id": 1, "content": "<x>", "special": true, "normalized": false},
    {"id": 4, "content": "<u>", "special": true, "normalized": false}],
  "pre_tokenizer": {"type": "WhitespaceSplit"},
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
  "model": {"type": "WordPiece", "unk_token": "<u>", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9,
    "vocab": {"<s>": 0, "a": 2, "b": 3, "<u>": 4}}})";

}  // namespace

TEST_CASE("tokenize writes the ids of every text", "[program][tokenize][worked-example]") {
  const scratch here("tokenize");
  put(here / "t.json", words);
  put(here / "texts.json", R"(["a b", "", "b <x> a", "z"])");
  const auto ids = [&](const std::vector<std::string>& more) {
    std::vector<std::string> command{"tokenize", "t.json", "--texts", "texts.json", "--json", "out.json"};
    command.insert(command.end(), more.begin(), more.end());
    const auto done = run(here.path(), command);
    CAPTURE(done.text);
    REQUIRE(done.status == 0);
    return json::parse(test::read(here / "out.json")).at("ids");
  };
  CHECK(ids({}) == json::parse("[[0, 2, 3], [0], [0, 3, 1, 2], [0, 4]]"));
  CHECK(ids({"--no-special"}) == json::parse("[[2, 3], [], [3, 1, 2], [4]]"));
  CHECK(ids({"--special-tokens", "plain"}) == json::parse("[[0, 2, 3], [0], [0, 3, 4, 2], [0, 4]]"));
}

TEST_CASE("tokenize prints the pieces and ids of one text", "[program][tokenize][worked-example]") {
  const scratch here("tokenize-prompt");
  put(here / "t.json", words);
  const auto printed = run(here.path(), {"tokenize", "t.json", "--prompt", "b a"});
  REQUIRE(printed.status == 0);
  CHECK(printed.text.find("0  \"<s>\"") != std::string::npos);
  CHECK(printed.text.find("3  \"b\"") != std::string::npos);
  CHECK(printed.text.find("2  \"a\"") != std::string::npos);
  CHECK(printed.text.find("3 tokens of 1 text, 5 tokens in the vocabulary") != std::string::npos);
  CHECK(run(here.path(), {"tokenize", world, "--prompt", "The"}).status == 0);  // a model's folder as well
}

TEST_CASE("tokenize refuses what it cannot read, by name", "[program][tokenize][refusal]") {
  const scratch here("tokenize-refused");
  put(here / "t.json", words);
  put(here / "object.json", R"({"a": 1})");
  put(here / "number.json", R"(["a", 3])");
  put(here / "empty.json", "");
  put(here / "good.json", R"(["a"])");
  const auto said = [&](const std::vector<std::string>& more) {
    std::vector<std::string> command{"tokenize", "t.json"};
    command.insert(command.end(), more.begin(), more.end());
    const auto done = run(here.path(), command);
    CAPTURE(more, done.text);
    CHECK(done.status == 2);
    CHECK_FALSE(std::filesystem::exists(here / "out.json"));
    return done.text;
  };
  CHECK_THAT(said({}), ContainsSubstring("--texts FILE.json or --prompt TEXT"));
  CHECK_THAT(said({"--texts", "good.json"}), ContainsSubstring("--json OUT"));
  CHECK_THAT(said({"--texts", "good.json", "--prompt", "a", "--json", "out.json"}), ContainsSubstring("one of them"));
  CHECK_THAT(said({"--texts", "object.json", "--json", "out.json"}),
             ContainsSubstring("object.json: an object") && ContainsSubstring("a JSON array of strings"));
  CHECK_THAT(said({"--texts", "number.json", "--json", "out.json"}), ContainsSubstring("as text 1"));
  CHECK_THAT(said({"--texts", "empty.json", "--json", "out.json"}), ContainsSubstring("empty.json"));
  CHECK_THAT(said({"--texts", "missing.json", "--json", "out.json"}), ContainsSubstring("does not exist"));
  CHECK_THAT(said({"--texts", "good.json", "--json", "good.json"}), ContainsSubstring("is the input --texts itself"));
  CHECK_THAT(said({"--tokenizer", "nowhere.json", "--prompt", "a"}), ContainsSubstring("does not exist"));
}
