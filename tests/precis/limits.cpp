#include <engine/model_files/load.hpp>

#include "catch.hpp"
#include "run.hpp"

#include <nlohmann/json.hpp>

#include <sys/resource.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

using test::run;
using test::scratch;
using test::world;

namespace {

const std::string heldout = world + "/heldout.txt", calibration = world + "/calibration.txt",
                  facts = world + "/facts.json", arithmetic = PRECIS_SOURCE_DIR "/examples/models/arithmetic";

/// Writes the model `world`, in float32, with one weight of block 0's MLP set to `value`.
void write_with_a_weight(const std::filesystem::path& folder, float value) {
  engine::bundle b = engine::load(world);
  for (const auto& tensor : engine::tensors(b.weights))
    if (tensor.name == "h.0.mlp.c_fc.weight") tensor.values[5] = value;
  std::map<std::string, std::string> files;
  for (const char* name : {"vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"})
    if (std::filesystem::exists(world + "/" + name)) files[name] = test::read(world + "/" + name);
  engine::save(b.weights, folder, engine::dtype::f32, files);
}

}  // namespace

TEST_CASE("a default gives way to small data and says so; the same value is refused if it is given",
          "[program][defaults][property]") {
  const scratch here("defaults");
  std::string text = test::read(calibration);
  test::write(here / "short.txt", text.substr(0, 600));  // a few windows
  test::write(here / "one.txt", "Rome is in");           // less than a window
  test::write(here / "v.jsonl", "{\"text\": \"Rome is in\", \"label\": \"a\"}\n{\"text\": \"x\", \"label\": \"b\"}\n");
  struct small {
    std::vector<std::string> arguments, given;
    std::string says;
  };
  const std::vector<small> all{
      {{"score", world, "--scorer", "gradient_magnitude", "--text", "short.txt"}, {"--windows", "32"}, "instead of 32"},
      {{"cost", world, "--by", "reconstruction", "--entries", "affine4.row", "--text", "short.txt"},
       {"--windows", "8"},
       "instead of 8"},
      {{"evolve", world, "--text", "short.txt", "--budget", "8bpw", "--generations", "1", "--offspring", "1"},
       {"--windows", "8"},
       "instead of 8"},
      {{"evaluate", world, "--text", "one.txt"}, {"--context", "63"}, "instead of 63"},
      {{"evaluate", world, "--verdicts", "v.jsonl"}, {"--verdict-tokens", "180"}, "instead of 180"},
      {{"sweep", world, "--text", "short.txt", "--bits", "4,6,8", "--prune", "0", "--out", "sweep"},
       {"--scorers", "causal_trace"},
       "the others need --facts or --calibration"},
      {{"compare", world, "--text", "short.txt", "--budgets", "4", "--allocators", "knapsack", "--random", "0", "--out",
        "compare"},
       {"--costs", "measured"},
       "need --calibration"}};
  for (const small& each : all) {
    const auto gave_way = run(here.path(), each.arguments);
    CAPTURE(each.arguments[0], gave_way.text);
    CHECK(gave_way.status == 0);
    CHECK_THAT(gave_way.text, ContainsSubstring(each.says));
    auto command = each.arguments;
    command.insert(command.end(), each.given.begin(), each.given.end());
    const auto refused = run(here.path(), command);
    CAPTURE(refused.text);
    CHECK(refused.status == 2);
  }
}

TEST_CASE("what can be checked is refused before the work", "[program][refusal]") {
  const scratch here("early");
  test::write(here / "f.json", "[{\"prompt\": \"Rome\", \"subject\": \"Paris\", \"attribute\": \"a\"}]");
  test::write(here / "v.jsonl", "{\"text\": \"Rome\", \"label\": \"a\"}\n");
  std::filesystem::create_directory(here / "there");
  test::write(here / "file", "");
  struct late {
    std::vector<std::string> arguments;
    std::string says;
  };
  const std::vector<late> all{
      {{"evaluate", world, "--text", heldout, "--facts", "f.json"}, "fact 0"},
      {{"evaluate", world, "--text", heldout, "--verdicts", "v.jsonl"}, "v.jsonl"},
      {{"sweep", world, "--text", heldout, "--scorers", "weight_magnitude,taylor", "--out", "out"},
       "taylor needs data"},
      {{"compare", world, "--text", heldout, "--scorers", "weight_magnitude,cca", "--out", "out"}, "cca needs data"},
      {{"compare", world, "--text", heldout, "--costs", "weights,reconstruction", "--out", "out"},
       "reconstruction costs need data"},
      {{"eigenprune", arithmetic, "--task", "int-mult", "--bias", "none", "--save", "there"}, "already exists"},
      {{"eigenprune", arithmetic, "--task", "int-mult", "--bias", "none", "--save", "nowhere/x"}, "nowhere/x"},
      {{"eigenprune", arithmetic, "--task", "int-mult", "--out", "file/x"}, "file/x"},
      {{"compress", world, "--plan", "file", "--out", "there"}, "already exists"},
      {{"compress", world, "--plan", "file", "--out", "nowhere/x"}, "nowhere/x"}};
  for (const late& each : all) {
    const auto refused = run(here.path(), each.arguments);
    CAPTURE(each.arguments[0], each.says, refused.text);
    CHECK(refused.status == 2);
    CHECK_THAT(refused.text, ContainsSubstring(each.says));
    for (const char* work : {"evaluating", "tracing", "scored", "perplexity", "scoring", "packing"})
      CHECK(refused.text.find(work) == std::string::npos);
  }
}

TEST_CASE("a format that cannot hold a unit's weights is not available for it; the rest of the table is written",
          "[program][cost][worked-example]") {
  const scratch here("held");
  write_with_a_weight(here / "m", 4e6f);  // 4e6 / 15 is beyond 65504, the largest half scale; a float scale holds it
  const std::string by = GENERATE("measured", "reconstruction", "weights");
  std::vector<std::string> command{"cost",  "m", "--by",   by,      "--entries", "affine4.g32.h,affine4.g32",
                                   "--out", "c", "--json", "c.json"};
  if (by != "weights") command.insert(command.end(), {"--text", calibration, "--windows", "1"});
  const auto costs = run(here.path(), command);
  CAPTURE(by, costs.text);
  REQUIRE(costs.status == 0);
  CHECK_THAT(costs.text, ContainsSubstring("h.0.mlp.c_fc cannot be in affine4.g32.h"));
  const auto units = nlohmann::json::parse(test::read(here / "c.json")).at("units");
  for (const auto& unit : units) {
    const bool changed = unit.at("unit").get<std::string>().find("h.0.mlp.c_fc") != std::string::npos;
    CHECK(unit.at("costs")[0].is_null() == changed);
    CHECK(!unit.at("costs")[1].is_null());
  }
  const auto plan = run(here.path(), {"plan", "m", "--costs", "c", "--budget", "5.5bpw", "--out", "p"});
  CAPTURE(plan.text);
  REQUIRE(plan.status == 0);
  CHECK_THAT(plan.text, ContainsSubstring("h.0.mlp.c_fc cannot be in affine4.g32.h"));
  CHECK(run(here.path(), {"compress", "m", "--plan", "p", "--out", "small"}).status == 0);
}

TEST_CASE("evolve and compare take formats only for units whose weights they can hold", "[program][cost][property]") {
  const scratch here("held-plans");
  write_with_a_weight(here / "m", 4e6f);
  const std::vector<std::string> entries{
      "--entries", "affine4.g32.h,affine4.g32,affine8.g32", "--text", calibration, "--windows", "1"};
  std::vector<std::string> evolve{"evolve", "m",           "--budget", "6bpw",  "--generations",
                                  "2",      "--offspring", "4",        "--out", "e.plan"};
  evolve.insert(evolve.end(), entries.begin(), entries.end());
  const auto evolved = run(here.path(), evolve);
  CAPTURE(evolved.text);
  CHECK(evolved.status == 0);
  const std::string plan = test::read(here / "e.plan");
  const std::size_t at = plan.find("h.0.mlp.c_fc");
  REQUIRE(at != std::string::npos);
  CHECK(plan.substr(at, plan.find('\n', at) - at).find("affine4.g32.h") == std::string::npos);
  std::vector<std::string> compare{"compare",      "m",
                                   "--budgets",    "6",
                                   "--costs",      "weights",
                                   "--random",     "3",
                                   "--scorers",    "weight_magnitude",
                                   "--allocators", "knapsack,kmeans_tiers"};
  compare.insert(compare.end(), entries.begin(), entries.end());
  const auto compared = run(here.path(), compare);
  CAPTURE(compared.text);
  CHECK(compared.status == 0);
  const std::size_t told =
                        compared.text.find("h.0.mlp.c_fc cannot be in affine4.g32.h: plans that need it are left out"),
                    worked = compared.text.find("scored weight_magnitude");
  CHECK(told < worked);
}

TEST_CASE("a sweep or comparison of formats that cannot hold a unit is refused before any work", "[program][refusal]") {
  const scratch here("held-cells");
  write_with_a_weight(here / "m", 4e6f);
  const std::vector<std::vector<std::string>> commands{
      {"compare", "m", "--text", calibration, "--windows", "1", "--entries", "affine4.g32.h,affine3.g32.h", "--costs",
       "weights", "--scorers", "weight_magnitude"},
      {"sweep", "m", "--text", calibration, "--windows", "1", "--bits", "4,4,4", "--granularity", "g32.h", "--scorers",
       "weight_magnitude"}};
  for (const auto& command : commands) {
    const auto done = run(here.path(), command);
    CAPTURE(done.text);
    CHECK(done.status == 2);
    CHECK_THAT(done.text, ContainsSubstring("h.0.mlp.c_fc cannot be in affine4.g32.h"));
    for (const char* const work : {"scored", "perplexity", "evaluating"})
      CHECK(done.text.find(work) == std::string::npos);
  }
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PRECIS_SANITIZED  // it reserves more address space than these tests leave, and starts threads
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PRECIS_SANITIZED
#endif
#if !defined(PRECIS_SANITIZED)

TEST_CASE("threads that the system refuses are done without, with a warning and the same results",
          "[program][threads][property]") {
  const scratch here("refused");
  // A thread's stack has the size of this limit; nothing else is refused.
  const test::circumstances no_threads{.prepare = [] {
    const rlimit half_of_everything{.rlim_cur = rlim_t{1} << 46, .rlim_max = RLIM_INFINITY};
    return setrlimit(RLIMIT_STACK, &half_of_everything) == 0;
  }};
  const auto with = [&](const std::string& threads, const std::string& json, const test::circumstances& how) {
    return run(here.path(),
               {"evaluate", world, "--text", heldout, "--windows", "6", "--threads", threads, "--json", json}, {}, how);
  };
  const auto refused = with("6", "a.json", no_threads);
  if (refused.status == 125) {
    WARN("SKIPPED: the limit of the stack cannot be raised");
    return;
  }
  CAPTURE(refused.text);
  CHECK(refused.status == 0);
  CHECK_THAT(refused.text, ContainsSubstring("the system refused to start"));
  REQUIRE(with("1", "b.json", {}).status == 0);
  CHECK(nlohmann::json::parse(test::read(here / "a.json")).at("nll_per_window") ==
        nlohmann::json::parse(test::read(here / "b.json")).at("nll_per_window"));

  const std::vector<std::string> generate{"generate", world, "--prompt", "Rome", "--tokens", "8", "--threads", "6"};
  const auto few = run(here.path(), generate, {}, no_threads), all = run(here.path(), generate);
  CAPTURE(few.text, all.text);
  CHECK(few.status == 0);
  CHECK_THAT(few.text, ContainsSubstring("the system refused to start"));
  const auto story = [](const std::string& text) {
    const std::size_t at = text.find("Rome");
    return text.substr(at, text.find('\n', at) - at);
  };
  CHECK(story(few.text) == story(all.text));
}

TEST_CASE("want of memory names how much was needed and for what", "[program][refusal]") {
  const scratch here("memory");
  const test::circumstances little{.prepare = [] {
    const rlimit limit{.rlim_cur = rlim_t{1} << 28, .rlim_max = RLIM_INFINITY};
    return setrlimit(RLIMIT_AS, &limit) == 0;
  }};
  // The original's logits of 4000 windows: 4000 x 63 x the vocabulary, in floats.
  std::string ids = "{\"sequences\": [";
  for (int s = 0; s < 4000; ++s) {
    ids += s == 0 ? "[" : ",[";
    for (int t = 0; t < 64; ++t) ids += t == 0 ? "1" : ",1";
    ids += "]";
  }
  test::write(here / "ids.json", ids + "]}");
  const auto refused = run(here.path(),
                           {"compare", world, "--text", "ids.json", "--windows", "4000", "--scorers",
                            "weight_magnitude", "--costs", "", "--budgets", "4", "--threads", "1"},
                           {}, little);
  CAPTURE(refused.text);
  CHECK(refused.status != 0);
  CHECK_THAT(refused.text, ContainsSubstring("not enough memory: needs "));
  CHECK_THAT(refused.text, ContainsSubstring(" MB "));
  CHECK(refused.text.find("bad_alloc") == std::string::npos);
}

#endif
