#include "catch.hpp"
#include "encoder_folder.hpp"
#include "run.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>
#include <vector>

using nlohmann::json;
using test::run;
using test::scratch;

namespace {

const std::string texts = R"(["the film was good", "the film was not very good", "bad"])";

json report_of(const scratch& here, std::vector<std::string> command) {
  command.insert(command.end(), {"--json", "report.json"});
  const auto done = run(here.path(), command);
  CAPTURE(done.text);
  REQUIRE(done.status == 0);
  return json::parse(test::read(here / "report.json"));
}

/// Compresses the encoder by a plan: the mean cosine distance of its embeddings from the original's.
double distance_of(const scratch& here, const std::string& plan, const std::string& out) {
  const auto packed = run(here.path(), {"compress", "encoder", "--plan", plan, "--out", out});
  CAPTURE(packed.text);
  REQUIRE(packed.status == 0);
  return report_of(here, {"evaluate", out, "--against", "encoder", "--texts", "texts.json"}).at("cosine_distance");
}

}  // namespace

TEST_CASE("a sentence encoder's measured cost is the distance that evaluate finds", "[program][encoder][oracle]") {
  const scratch here("encoder-costs");
  test::put_encoder(here / "encoder");
  test::write(here / "texts.json", texts);
  const json costs = report_of(here, {"cost", "encoder", "--texts", "texts.json", "--entries",
                                      "affine2.g32,affine4.g32,affine8.g32", "--out", "e.costs"});
  CHECK(costs.at("maker") == "measured cosine distance on 3 texts");
  const json& first = costs.at("units")[0];
  // One matrix in two bits, all others as they are.
  report_of(here, {"plan", "encoder", "--uniform", "float32", "--units", "matrix", "--out", "one.plan"});
  std::string plan = test::read(here / "one.plan");
  const std::string name = first.at("unit");
  const std::size_t at = plan.find("float32", plan.find(name));
  REQUIRE(at != std::string::npos);
  test::write(here / "one.plan", plan.replace(at, 7, "affine2.g32"));
  const double measured = first.at("costs")[0];
  CHECK(measured > 0);
  CHECK(distance_of(here, "one.plan", "one") == Approx(measured).epsilon(1e-3).margin(1e-7));
}

TEST_CASE("a plan from an encoder's costs keeps its budget; more bits move embeddings less", "[program][encoder]") {
  const scratch here("encoder-plans");
  test::put_encoder(here / "encoder");
  test::write(here / "texts.json", texts);
  report_of(here, {"cost", "encoder", "--texts", "texts.json", "--entries", "affine2.g32,affine4.g32,affine8.g32",
                   "--out", "e.costs"});
  const json planned =
      report_of(here, {"plan", "encoder", "--costs", "e.costs", "--budget", "6bpw", "--out", "c.plan"});
  CHECK(planned.at("bits_per_weight") <= 6.0);
  report_of(here, {"score", "encoder", "--scorer", "weight_magnitude", "--out", "w.scores"});
  const json tiers = report_of(here, {"plan", "encoder", "--scores", "w.scores", "--bits", "3,4,6", "--out", "t.plan"});
  CHECK(tiers.at("units").size() == 2);  // blocks
  report_of(here, {"plan", "encoder", "--uniform", "affine2.g32", "--out", "two.plan"});
  report_of(here, {"plan", "encoder", "--uniform", "affine8.g32", "--out", "eight.plan"});
  const double two = distance_of(here, "two.plan", "two"), eight = distance_of(here, "eight.plan", "eight");
  CHECK(eight < two);
  CHECK(distance_of(here, "c.plan", "chosen") < two);
  CHECK(distance_of(here, "t.plan", "tiers") < two);
}

TEST_CASE("what a sentence encoder's costs and plans cannot be made from is refused", "[program][encoder][refusal]") {
  const scratch here("encoder-refused");
  test::put_encoder(here / "encoder");
  test::write(here / "texts.json", texts);
  test::write(here / "none.json", "[]");
  const auto said = [&](const std::vector<std::string>& command) {
    const auto done = run(here.path(), command);
    CAPTURE(command, done.text);
    CHECK(done.status == 2);
    CHECK_FALSE(std::filesystem::exists(here / "model.costs"));
    CHECK_FALSE(std::filesystem::exists(here / "model.plan"));
    return done.text;
  };
  CHECK_THAT(said({"cost", "encoder"}), ContainsSubstring("measured costs without texts"));
  CHECK_THAT(said({"cost", "encoder", "--text", "texts.json"}), ContainsSubstring("--text for a sentence encoder"));
  CHECK_THAT(said({"cost", "encoder", "--texts", "none.json"}), ContainsSubstring("no texts"));
  CHECK_THAT(said({"cost", "encoder", "--by", "measured_nll", "--texts", "texts.json"}),
             ContainsSubstring("measured_nll costs of a sentence encoder"));
  CHECK_THAT(said({"cost", test::world, "--texts", "texts.json"}),
             ContainsSubstring("--texts for a model that is no sentence encoder"));
  CHECK_THAT(said({"score", "encoder", "--scorer", "taylor", "--text", "texts.json"}),
             ContainsSubstring("taylor of a sentence encoder"));
  CHECK_THAT(said({"plan", "encoder", "--preset", "Q4_K_M"}), ContainsSubstring("a sentence encoder"));
  CHECK_THAT(said({"plan", "encoder", "--uniform", "affine4.g32", "--tensor-types", "t.txt"}),
             ContainsSubstring("a sentence encoder"));
}
