#include "catch.hpp"
#include "run.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

using test::run;
using test::scratch;
using test::world;

namespace {

/// A copy of the example model with more keys in its config.json.
void copy_world(const std::filesystem::path& to, const nlohmann::json& more = nlohmann::json::object()) {
  std::filesystem::create_directories(to);
  for (const std::string name : {"config.json", "vocab.json", "merges.txt", "model.safetensors"})
    std::filesystem::copy_file(std::filesystem::path(world) / name, to / name);
  nlohmann::json config = nlohmann::json::parse(test::read(to / "config.json"));
  config.update(more);
  test::write(to / "config.json", config.dump());
}

}  // namespace

TEST_CASE("generate stops at every token that ends a text, and so do models made of the model",
          "[program][generate][metadata][property]") {
  const scratch here("ends");
  const auto ids_of = [&](const std::string& model, const std::string& stopped_by) {
    REQUIRE(run(here.path(), {"generate", model, "--prompt", "The capital of", "--tokens", "8", "--json", "g.json"})
                .status == 0);
    const nlohmann::json g = nlohmann::json::parse(test::read(here / "g.json"));
    CHECK(g.at("stopped_by") == stopped_by);
    std::vector<int> ids = g.at("ids").get<std::vector<int>>();
    ids.erase(ids.begin(), ids.begin() + g.at("prompt_tokens").get<int>());
    return ids;
  };
  const std::vector<int> free = ids_of(world, "tokens");
  REQUIRE(free.size() == 8);
  std::size_t end = 1;  // the first token that has not been generated before it
  while (end < free.size() && std::count(free.begin(), free.begin() + static_cast<std::ptrdiff_t>(end), free[end]) > 0)
    ++end;
  REQUIRE(end < free.size());
  const std::vector<int> until(free.begin(), free.begin() + static_cast<std::ptrdiff_t>(end));
  int never = 0;  // a token that is not generated
  while (std::count(free.begin(), free.end(), never) > 0) ++never;

  copy_world(here / "list", {{"eos_token_id", {never, free[end]}}});
  copy_world(here / "generation", {{"eos_token_id", never}});
  test::write(here / "generation/generation_config.json",
              nlohmann::json({{"eos_token_id", nlohmann::json::array({free[end]})}}).dump());
  for (const std::string model : {"list", "generation"}) {
    CHECK(ids_of(model, "end of text") == until);
    REQUIRE(run(here.path(), {"plan", model, "--uniform", "float32", "--out", "p"}).status == 0);
    REQUIRE(run(here.path(), {"compress", model, "--plan", "p", "--out", model + ".gguf"}).status == 0);
    REQUIRE(run(here.path(), {"compress", model, "--plan", "p", "--out", model + "-small"}).status == 0);
    CHECK(ids_of(model + ".gguf", "end of text") == until);
    CHECK(ids_of(model + "-small", "end of text") == until);
  }
}

TEST_CASE("keys that are not applied are named on one line; keys that change the model are refused",
          "[program][metadata][refusal]") {
  const scratch here("keys");
  copy_world(here / "odd", {{"flux_capacitor", 1}, {"warp", 2}, {"resid_pdrop", 0.5}, {"novelty", nullptr}});
  const auto odd = run(here.path(), {"plan", "odd", "--uniform", "float32", "--out", "p"});
  CHECK(odd.status == 0);
  CHECK_THAT(odd.text,
             ContainsSubstring("precis: warning: odd/config.json: keys that this engine does not know or apply: "
                               "flux_capacitor, warp\n"));
  copy_world(here / "scaled", {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}}});
  std::filesystem::remove(here / "scaled/model.safetensors");  // the keys are read before the weights
  const auto scaled = run(here.path(), {"plan", "scaled", "--uniform", "float32", "--out", "p"});
  CHECK(scaled.status == 2);
  CHECK_THAT(scaled.text, ContainsSubstring("key \"rope_scaling\" is {\"factor\":4.0,\"rope_type\":\"yarn\"}"));

  // Without a tokenizer, the file says so as loudly.
  copy_world(here / "bare");
  for (const std::string name : {"vocab.json", "merges.txt"}) std::filesystem::remove(here / "bare" / name);
  REQUIRE(run(here.path(), {"plan", "bare", "--uniform", "float32", "--out", "p"}).status == 0);
  const auto bare = run(here.path(), {"compress", "bare", "--plan", "p", "--out", "bare.gguf"});
  CHECK(bare.status == 0);
  CHECK_THAT(bare.text, ContainsSubstring("precis: warning: bare.gguf has no tokenizer"));
}
