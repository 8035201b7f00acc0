#include "catch.hpp"
#include "run.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <vector>

using test::run;
using test::scratch;
using test::world;

namespace {

const std::string text = world + "/heldout.txt", calibration = world + "/calibration.txt";
const std::string entries = "affine2.g64.h,affine3.g64.h,affine4.g64.h,affine8.g64.h";

nlohmann::json json(const std::filesystem::path& file) { return nlohmann::json::parse(test::read(file)); }

}  // namespace

TEST_CASE("a comparison agrees with plan, compress and evaluate, and keeps every budget", "[slow][program][oracle]") {
  const scratch here("compare");
  std::string verdicts;
  for (const char* judged : {"rich", "poor", "rich", "rich"})
    verdicts += "{\"text\": \"Anna lives in a city.\", \"label\": \"" + std::string(judged) + "\"}\n";
  test::write(here / "v.jsonl", verdicts);
  const auto compared = run(here.path(), {"compare",
                                          world,
                                          "--text",
                                          text,
                                          "--windows",
                                          "3",
                                          "--calibration",
                                          calibration,
                                          "--calibration-windows",
                                          "2",
                                          "--scorers",
                                          "weight_magnitude,gradient_magnitude",
                                          "--costs",
                                          "measured",
                                          "--cost-units",
                                          "half",
                                          "--allocators",
                                          "knapsack,kmeans_tiers",
                                          "--budgets",
                                          "3,4.5bpw",
                                          "--entries",
                                          entries,
                                          "--random",
                                          "1",
                                          "--verdicts",
                                          "v.jsonl",
                                          "--verdict-texts",
                                          "3",
                                          "--verdict-tokens",
                                          "20",
                                          "--out",
                                          "c",
                                          "--json",
                                          "c.json"});
  INFO(compared.text);
  REQUIRE(compared.status == 0);
  const auto c = json(here / "c.json");
  // Two budgets; uniform, uniform above, first and last layers, one random; two scorers by two allocators, and costs by
  // one.
  REQUIRE(c.at("rows").size() == 2 * (5 + 2 * 2 + 1));
  for (const auto& row : c.at("rows")) {
    INFO(row.dump());
    const double budget = row.at("budget") == "3bpw" ? 3 : 4.5;
    if (row.at("candidate") == "uniform above")
      CHECK(row.at("bits_per_weight").get<double>() > budget);
    else
      CHECK(row.at("bits_per_weight").get<double>() <= budget);
    CHECK(row.at("kl_nats_per_token").get<double>() >= 0);
    if (row.at("allocator") == "knapsack") CHECK(row.at("proven_optimal") == true);
    const bool judged =
        row.at("candidate") == "uniform" || row.at("allocator") == "kmeans_tiers" || row.at("candidate") == "measured";
    CHECK(row.at("verdict_accuracy").is_number() == judged);
  }

  // `plan` reuses the measured costs, and its plan has the size and loss that the comparison reports.
  REQUIRE(run(here.path(), {"plan", world, "--costs", "c/measured.costs", "--budget", "3bpw", "--out", "m.plan",
                            "--tensor-types", "m.types"})
              .status == 0);
  REQUIRE(run(here.path(), {"compress", world, "--plan", "m.plan", "--out", "small"}).status == 0);
  REQUIRE(run(here.path(), {"evaluate", "small", "--text", text, "--windows", "3", "--json", "e.json"}).status == 0);
  const auto evaluated = json(here / "e.json");
  for (const auto& row : c.at("rows"))
    if (row.at("budget") == "3bpw" && row.at("candidate") == "measured") {
      CHECK(row.at("bytes") == evaluated.at("stored_bytes"));
      CHECK(row.at("nll_nats_per_token").get<double>() ==
            Approx(evaluated.at("nll_nats_per_token").get<double>()).epsilon(1e-8));
    }

  // One line per matrix, with llama.cpp's names.
  std::istringstream lines(test::read(here / "m.types"));
  std::set<std::string> types;
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    CHECK(line.starts_with("blk\\."));
    types.insert(line.substr(line.find('=') + 1));
  }
  CHECK(count == 4 * 8);
  for (const std::string& type : types)
    CHECK(std::set<std::string>{"q2_k", "q3_k", "q4_0", "q4_1", "q8_0"}.contains(type));

  for (const std::string file : {"compare.csv", "quality.svg", "share.svg", "report.html", "weight_magnitude.scores",
                                 "gradient_magnitude.svg", "measured.costs"})
    CHECK(std::filesystem::file_size(here / ("c/" + file)) > 100);
  CHECK(!std::filesystem::exists(here / "c/compare.partial"));
}

TEST_CASE("evolution improves a plan within its budget", "[program][oracle]") {
  const scratch here("evolve");
  REQUIRE(
      run(here.path(), {"cost", world, "--by", "weights", "--entries", entries, "--units", "half", "--out", "w.costs"})
          .status == 0);
  REQUIRE(run(here.path(), {"plan", world, "--costs", "w.costs", "--budget", "3.5bpw", "--out", "first.plan"}).status ==
          0);
  const std::vector<std::string> command{"evolve",   world,     "--text",      calibration, "--windows",
                                         "2",        "--costs", "w.costs",     "--from",    "first.plan",
                                         "--budget", "3.5bpw",  "--offspring", "8",         "--generations",
                                         "3",        "--out",   "second.plan", "--json",    "e.json"};
  const auto found = run(here.path(), command);
  INFO(found.text);
  REQUIRE(found.status == 0);
  const auto e = json(here / "e.json");
  CHECK(e.at("bits_per_weight").get<double>() <= 3.5);
  REQUIRE(e.at("losses").size() == 3);
  CHECK(e.at("losses")[2] <= e.at("losses")[0]);  // the last stage sees all of this text
  REQUIRE(run(here.path(), {"compress", world, "--plan", "second.plan", "--out", "small", "--json", "c.json"}).status ==
          0);
  CHECK(json(here / "c.json").at("bytes") == e.at("bytes"));
  const auto other = run(here.path(), {"evolve", world, "--text", calibration, "--windows", "2", "--from", "first.plan",
                                       "--budget", "3.5bpw", "--entries", entries});
  CHECK(other.status == 2);
  CHECK_THAT(other.text, ContainsSubstring("no choice for unit"));  // the table has matrices, the plan has halves
}

TEST_CASE("sparsity is distributed jointly or by scores", "[program][oracle]") {
  const scratch here("sparsity");
  REQUIRE(run(here.path(),
              {"score", world, "--scorer", "outliers", "--text", calibration, "--windows", "2", "--out", "o.scores"})
              .status == 0);
  for (const std::string by : {"uniform", "joint", "owl", "softmax"}) {
    std::vector<std::string> command{"plan", world,           "--uniform", "affine8.row", "--sparsity",
                                     "0.5",  "--sparsity-by", by,          "--out",       by + ".plan"};
    if (by == "owl" || by == "softmax") command.insert(command.end(), {"--sparsity-scores", "o.scores"});
    const auto planned = run(here.path(), command);
    INFO(planned.text);
    REQUIRE(planned.status == 0);
    REQUIRE(run(here.path(), {"compress", world, "--plan", by + ".plan", "--out", by, "--json", by + ".json"}).status ==
            0);
  }
  CHECK(test::read(here / "joint.plan") != test::read(here / "uniform.plan"));
  const auto refused = run(here.path(), {"plan", world, "--uniform", "affine8.row", "--sparsity-by", "owl"});
  CHECK(refused.status == 2);
  CHECK_THAT(refused.text, ContainsSubstring("--sparsity-scores"));
}

TEST_CASE("a stopped measurement of costs resumes where it stopped", "[program][property][slow]") {
  const scratch here("cost");
  const std::vector<std::string> command{"cost",      world,   "--text", calibration, "--windows", "6",
                                         "--entries", entries, "--out",  "a.costs",   "--threads", "1"};
  const auto first = run(here.path(), command, [&] {
    const std::string done = test::read(here / "a.costs.partial");
    return std::count(done.begin(), done.end(), '\n') >= 3;
  });
  REQUIRE(first.status == 130);
  CHECK(!std::filesystem::exists(here / "a.costs"));
  auto again = command;
  again.emplace_back("--resume");
  REQUIRE(run(here.path(), again).status == 0);
  auto whole = command;
  whole[9] = "b.costs";
  REQUIRE(run(here.path(), whole).status == 0);
  CHECK(test::read(here / "a.costs") == test::read(here / "b.costs"));
}

TEST_CASE("stopped scores of changed units and a stopped evolution resume where they stopped",
          "[program][property][slow]") {
  const std::vector<std::vector<std::string>> commands{
      {"score", world, "--scorer", "taylor", "--text", calibration, "--windows", "4", "--draws", "2", "--units",
       "matrix"},
      {"score", world, "--scorer", "pruning_sensitivity", "--text", calibration, "--windows", "4", "--sparsities",
       "0.3,0.5", "--units", "matrix"},
      {"evolve", world, "--text", calibration, "--windows", "4", "--budget", "4bpw", "--generations", "3",
       "--offspring", "8"}};
  for (std::vector<std::string> command : commands) {
    const scratch here("kept");
    command.insert(command.end(), {"--threads", "1", "--out", "a"});
    const auto first = run(here.path(), command, [&] {
      const std::string done = test::read(here / "a.partial");
      return std::count(done.begin(), done.end(), '\n') >= 3;
    });
    CAPTURE(command, first.text);
    REQUIRE(first.status == 130);
    CHECK_THAT(first.text, ContainsSubstring("--resume"));
    auto other = command;
    other.insert(other.end(), {"--resume", "--context", "7"});
    CHECK(run(here.path(), other).status == 2);  // another job
    auto again = command;
    again.emplace_back("--resume");
    REQUIRE(run(here.path(), again).status == 0);
    CHECK(!std::filesystem::exists(here / "a.partial"));
    auto whole = command;
    whole.back() = "b";
    REQUIRE(run(here.path(), whole).status == 0);
    CHECK(test::read(here / "a") == test::read(here / "b"));
  }
}

TEST_CASE("a budget that no plan fits is refused before anything is scored", "[program][refusal]") {
  const scratch here("budget");
  const auto refused = run(here.path(), {"compare", world, "--text", text, "--windows", "2", "--calibration",
                                         calibration, "--budgets", "1.5", "--entries", entries, "--out", "c"});
  CHECK(refused.status == 2);
  CHECK(refused.text.find("1.5bpw") != std::string::npos);
  CHECK(refused.text.find("scored") == std::string::npos);
  REQUIRE(run(here.path(), {"score", world, "--scorer", "weight_magnitude", "--out", "w.scores"}).status == 0);
  const auto plan = run(here.path(), {"plan", world, "--scores", "w.scores", "--allocator", "knapsack", "--budget",
                                      "1.5bpw", "--entries", entries, "--out", "p.plan"});
  CHECK(plan.status == 2);
  CHECK(plan.text.find("at least") != std::string::npos);
  CHECK(!std::filesystem::exists(here / "p.plan"));
}

TEST_CASE("every scorer that takes text scores the shipped model", "[program][slow]") {
  const scratch here("scorers");
  for (const std::string scorer : {"first_order_taylor", "taylor", "pruning_sensitivity", "cca", "block_influence",
                                   "drop_one", "reconstruction_error"}) {
    const auto scored = run(here.path(), {"score", world, "--scorer", scorer, "--text", calibration, "--windows", "12",
                                          "--out", scorer + ".scores"});
    INFO(scorer << ": " << scored.text);
    CHECK(scored.status == 0);
    CHECK(std::filesystem::exists(here / (scorer + ".scores")));
  }
}

TEST_CASE("every kind of codec maps to a llama.cpp type: the nearest, or the next larger", "[program][plan]") {
  const scratch here("types");
  for (const auto& [codec, type] : std::vector<std::pair<std::string, std::string>>{{"affine2.g32.h", "q2_k"},
                                                                                    {"symmetric3.row", "q3_k"},
                                                                                    {"affine4.g32", "q4_1"},
                                                                                    {"symmetric4.g32", "q4_0"},
                                                                                    {"min_anchored5.g64", "q5_1"},
                                                                                    {"affine6.g128", "q6_k"},
                                                                                    {"affine7.row", "q8_0"},
                                                                                    {"affine16.tensor", "f16"},
                                                                                    {"affine24.tensor", "f32"},
                                                                                    {"bfloat16", "bf16"},
                                                                                    {"q5_0", "q5_0"},
                                                                                    {"codebook2.tensor", "q2_k"},
                                                                                    {"codebook3.row", "q3_k"},
                                                                                    {"codebook4.row", "q4_0"},
                                                                                    {"keep2of4.float16", "f16"},
                                                                                    {"keep2of4.symmetric4.g32", "q4_0"},
                                                                                    {"bitmap50.symmetric8.g32", "q8_0"},
                                                                                    {"float32", "f32"}}) {
    CAPTURE(codec);
    const auto planned = run(here.path(), {"plan", test::world, "--uniform", codec, "--tensor-types", "m.types"});
    REQUIRE(planned.status == 0);
    std::istringstream lines(test::read(here / "m.types"));
    std::size_t count = 0;
    // Rows of 64 are no whole blocks of 256; only the narrowing map of the MLP has rows of 256.
    const std::string of_64 = type == "q2_k" || type == "q3_k" ? "q4_0" : type == "q6_k" ? "q8_0" : type;
    for (std::string line; std::getline(lines, line); ++count)
      CHECK(line.substr(line.find('=') + 1) == (line.find("ffn_down") != std::string::npos ? type : of_64));
    CHECK(count == 4 * 8);
    const std::string note = "24 matrices: rows of 64 are not whole blocks of " + type + ": " + of_64;
    CHECK((planned.text.find(note) != std::string::npos) == (of_64 != type));
  }
}

TEST_CASE("the types for llama.cpp say what they do not keep of a plan", "[program][plan][worked-example]") {
  const scratch here("type-notes");
  const auto notes = [&](const std::vector<std::string>& more) {
    std::vector<std::string> command{"plan", test::world, "--tensor-types", "m.types"};
    command.insert(command.end(), more.begin(), more.end());
    const auto planned = run(here.path(), command);
    REQUIRE(planned.status == 0);
    return planned.text;
  };
  // q8_0 takes 34 bytes for 32 of the 8 * 12 * 64 * 64 weights, and is in the plan as well.
  CHECK_THAT(notes({"--uniform", "q8_0"}), !ContainsSubstring("note   m.types"));
  CHECK_THAT(notes({"--uniform", "q8_0", "--sparsity", "0.5"}),
             ContainsSubstring("note   m.types: 32 matrices: llama-quantize does not prune"));
  // 24 matrices, 8 * 8 * 64 * 64 weights, at 18 bytes for 32; 8 matrices of 64 * 256 at 110 for 256.
  CHECK_THAT(notes({"--uniform", "affine3.g32.h"}),
             ContainsSubstring("note   m.types: " + std::to_string(8 * 8 * 64 * 64 / 32 * 18 + 8 * 64 * 110) +
                               " bytes in these types; the plan takes "));
}
