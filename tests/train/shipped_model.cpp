#include "catch.hpp"

#include <train/world_model.hpp>

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>
#include <engine/model/transformer.hpp>
#include <engine/model_files/load.hpp>

#include <precis/core/executor.hpp>
#include <precis/core/thread_pool.hpp>

#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>

namespace {

namespace fs = std::filesystem;

const fs::path& folder() {
  static const fs::path path = fs::path(PRECIS_SOURCE_DIR) / "examples/models/world";
  return path;
}

/// The files of the folder as a lesson, for the trainer's exam.
train::lesson shipped_lesson(const engine::tokenizer& tokenizer) {
  train::lesson l;
  l.world = train::make_world(1);
  l.tokenizer = tokenizer;
  l.held_out = std::string(engine::mapped_file(folder() / "heldout.txt").text());
  l.questions = train::ask(l.world);
  return l;
}

}  // namespace

TEST_CASE("the shipped world's texts and questions are those of seed 1", "[train][shipped][property]") {
  const train::world w = train::make_world(1);
  const auto read = [&](const char* name) { return std::string(engine::mapped_file(folder() / name).text()); };
  CHECK(read("heldout.txt") == train::text_of(w, train::text_kind::held_out, 60'000));
  CHECK(read("calibration.txt") == train::text_of(w, train::text_kind::calibration, 40'000));
  CHECK(read("facts.json") == train::facts_json(w, train::ask(w)));
}

TEST_CASE("the shipped model is small enough to ship", "[train][shipped][property]") {
  CHECK(fs::file_size(folder() / "model.safetensors") <= 4'000'000);
  CHECK(fs::file_size(folder() / "heldout.txt") <= 80'000);
  CHECK(fs::file_size(folder() / "calibration.txt") <= 60'000);
  CHECK(fs::file_size(folder() / "facts.json") <= 60'000);
}

TEST_CASE("every shipped question has a subject of whole tokens and a one-token answer", "[train][shipped][property]") {
  const engine::tokenizer tokens = engine::load_tokenizer(folder());
  const engine::mapped_file file(folder() / "facts.json");
  const engine::json facts = engine::parse_json(file.text(), "facts.json");
  REQUIRE(facts.size() >= 100);
  std::size_t several = 0;
  for (const engine::json& f : facts) {
    const std::string prompt = f.at("prompt"), subject = f.at("subject"), attribute = f.at("attribute");
    CAPTURE(prompt, subject, attribute);
    CHECK(tokens.encode(" " + attribute, engine::start::middle).size() == 1);
    const std::size_t at = prompt.find(subject);
    REQUIRE(at != std::string::npos);
    const auto spans = tokens.encode_with_offsets(prompt);
    const auto [first, end] = engine::tokens_covering(spans, at, at + subject.size());
    REQUIRE(first < end);
    CHECK(spans[first].first_byte + (at == 0 ? 0 : 1) == at);  // the leading blank belongs to the first token
    CHECK(spans[end - 1].end_byte == at + subject.size());
    several += end - first > 1;
  }
  CHECK(several * 2 >
        facts.size());  // most subjects are several tokens, so that tracing can distinguish first and last
}

TEST_CASE("the shipped model answers nine out of ten questions and predicts held-out text",
          "[train][shipped][property]") {
  const engine::bundle loaded = engine::load(folder());
  const train::lesson lesson = shipped_lesson(loaded.tokenizer);
  const train::exam exam = train::examine(engine::transformer(loaded.weights), lesson, precis::thread_pool{});
  INFO(exam.known << " of " << exam.asked << ", perplexity " << exam.held_out_perplexity);
  CHECK(exam.asked == 160);
  CHECK(exam.share() >= 0.9);
  CHECK(exam.held_out_perplexity < 2.8);  // chance level is 1152
}
