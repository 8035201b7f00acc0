#include "catch.hpp"
#include "run.hpp"
#include "shared.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

using test::run;
using test::scratch;
using test::world;

namespace {

nlohmann::json json_of(const std::filesystem::path& file) { return nlohmann::json::parse(test::read(file)); }

/// A plan with the same format for every matrix, and one for the embedding.
std::string plan_text(const std::string& codec, const std::string& table, std::size_t blocks) {
  std::string text = "precis-plan 1\nunits block\n";
  for (std::size_t b = 0; b < blocks; ++b) text += "block." + std::to_string(b) + " " + codec + "\n";
  return text + (table.empty() ? "" : "wte " + table + "\n");
}

}  // namespace

TEST_CASE("generate runs a float model, a packed model and a GGUF model", "[program][generate][property]") {
  const scratch here("generate");
  test::write(here / "four.plan", plan_text("affine4.g32", "affine8.g32", 8));
  test::write(here / "ggml.plan", plan_text("q8_0", "", 8));
  REQUIRE(run(here.path(), {"compress", world, "--plan", "four.plan", "--out", "small", "--json", "c.json"}).status ==
          0);
  const auto gguf = run(here.path(), {"compress", world, "--plan", "ggml.plan", "--out", "m.gguf"});
  INFO(gguf.text);
  REQUIRE(gguf.status == 0);
  CHECK(run(here.path(), {"compress", world, "--plan", "ggml.plan", "--out", "m.gguf"}).status == 2);
  CHECK(run(here.path(), {"compress", world, "--plan", "ggml.plan", "--out", "m.gguf", "--replace"}).status == 0);

  std::size_t whole = 0;
  const std::vector<std::string> models{world, "small", "m.gguf"};
  for (const std::string& model : models) {
    for (const std::string activations : {"float", "int8"}) {
      INFO(model + " " + activations);
      const std::vector<std::string> command{"generate", model,           "--prompt",  "The capital of", "--tokens",
                                             "12",       "--activations", activations, "--json",         "g.json"};
      const auto first = run(here.path(), command);
      INFO(first.text);
      REQUIRE(first.status == 0);
      CHECK_THAT(first.text, ContainsSubstring("The capital of") && ContainsSubstring("per second"));
      const auto found = json_of(here / "g.json");
      CHECK(found.at("ids").size() ==
            found.at("prompt_tokens").get<std::size_t>() + found.at("tokens").get<std::size_t>());
      if (model == world) whole = found.at("weight_bytes").get<std::size_t>();
      const auto bytes = found.at("weight_bytes").get<std::size_t>();
      if (model != world) CHECK(bytes * 3 <= whole * 2);
      auto threads = command;
      threads.insert(threads.end(), {"--threads", "3"});
      REQUIRE(run(here.path(), threads).status == 0);
      CHECK(json_of(here / "g.json").at("ids") == found.at("ids"));
    }
  }
  CHECK(json_of(here / "c.json").at("all_bytes").get<std::size_t>() <
        json_of(here / "c.json").at("all_original_bytes").get<std::size_t>() / 2);

  // A GGUF file is read like any other model.
  const auto evaluated = run(here.path(), {"evaluate", "m.gguf", "--text", world + "/heldout.txt", "--windows", "4",
                                           "--against", world, "--json", "e.json"});
  INFO(evaluated.text);
  REQUIRE(evaluated.status == 0);
  const double divergence = json_of(here / "e.json").at("kl_nats_per_token").get<double>();
  CHECK(divergence > 0);
  CHECK(divergence < 0.01);  // eight bits
}

TEST_CASE("codebook and sparse formats run packed, from the plan to the text", "[program][generate][property]") {
  const scratch here("sparse-generate");
  std::string plan = "precis-plan 1\nunits block\n";
  const std::vector<std::string> formats{"codebook4.tensor", "keep2of4.symmetric8.g32", "bitmap50.float16 sparsity=0.5",
                                         "codebook3.row"};
  for (std::size_t b = 0; b < 8; ++b) plan += "block." + std::to_string(b) + " " + formats[b % formats.size()] + "\n";
  test::write(here / "mixed.plan", plan);
  const auto compressed = run(here.path(), {"compress", world, "--plan", "mixed.plan", "--out", "small"});
  INFO(compressed.text);
  REQUIRE(compressed.status == 0);
  REQUIRE(run(here.path(), {"evaluate", "small", "--text", world + "/heldout.txt", "--windows", "4", "--against", world,
                            "--json", "e.json"})
              .status == 0);
  CHECK(json_of(here / "e.json").at("kl_nats_per_token").get<double>() > 0);

  nlohmann::json ids;
  std::size_t bytes = 0;
  for (const std::string& model : {world, std::string("small")}) {
    const auto said =
        run(here.path(), {"generate", model, "--prompt", "The capital of", "--tokens", "12", "--json", "g.json"});
    INFO(said.text);
    REQUIRE(said.status == 0);
    if (model == world) bytes = json_of(here / "g.json").at("weight_bytes").get<std::size_t>();
    ids = json_of(here / "g.json").at("ids");
  }
  CHECK(json_of(here / "g.json").at("weight_bytes").get<std::size_t>() * 3 < bytes * 2);
  REQUIRE(run(here.path(), {"generate", "small", "--prompt", "The capital of", "--tokens", "12", "--threads", "3",
                            "--json", "g.json"})
              .status == 0);
  CHECK(json_of(here / "g.json").at("ids") == ids);
  CHECK(run(here.path(), {"compress", world, "--plan", "mixed.plan", "--out", "m.gguf"}).status == 2);  // not in GGUF
}

TEST_CASE("the same seed generates the same text, another seed another text", "[program][generate][property]") {
  const scratch here("seeds");
  const auto ids = [&](const std::string& seed, const std::string& temperature) {
    REQUIRE(run(here.path(), {"generate", world, "--prompt", "The", "--tokens", "20", "--seed", seed, "--temperature",
                              temperature, "--quiet", "--json", "g.json"})
                .status == 0);
    return json_of(here / "g.json").at("ids");
  };
  const auto first = ids("1", "2");
  CHECK(ids("1", "2") == first);
  CHECK(ids("2", "2") != first);
  CHECK(ids("1", "0") == ids("2", "0"));
}

TEST_CASE("generate and compress refuse bad requests", "[program][generate][refusal]") {
  const scratch here("bad-generate");
  test::write(here / "grid.plan", plan_text("affine4.g32", "", 8));
  test::write(here / "table.plan", plan_text("q8_0", "affine4.g32", 8));
  test::write(here / "unknown.plan", plan_text("q4_K", "", 8));
  const std::size_t before = here.entries();
  std::string long_prompt;
  for (int i = 0; i < 3000; ++i) long_prompt += "long ";
  struct bad {
    std::vector<std::string> arguments;
    std::string says;
  };
  for (const bad& b : std::vector<bad>{
           {{"generate", world}, "--prompt"},
           {{"generate", "nowhere", "--prompt", "a"}, "nowhere"},
           {{"generate", world, "--prompt", long_prompt}, "the model's context"},
           {{"generate", world, "--prompt", "a", "--temperature", "-1"}, "a temperature of -1"},
           {{"generate", world, "--prompt", "a", "--activations", "half"}, "half"},
           {{"compress", world, "--plan", "grid.plan", "--out", "x.gguf"}, "affine4.g32 is not a GGUF format"},
           {{"compress", world, "--plan", "table.plan", "--out", "x.gguf"},
            "matrix wte: affine4.g32 is not a GGUF format"},
           {{"compress", world, "--plan", "unknown.plan", "--out", "x.gguf"}, "no codec called 'q4_K'"}}) {
    const auto o = run(here.path(), b.arguments);
    INFO(o.text);
    CHECK(o.status == 2);
    CHECK_THAT(o.text, ContainsSubstring(b.says));
    CHECK(here.entries() == before);
  }
}
