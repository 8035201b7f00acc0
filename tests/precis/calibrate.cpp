#include "catch.hpp"
#include "run.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>
#include <vector>

using test::run;
using test::scratch;
using test::world;

namespace {

nlohmann::json json_of(const std::filesystem::path& file) { return nlohmann::json::parse(test::read(file)); }

const std::string calibration_text = world + std::string("/calibration.txt");
const std::string heldout = world + std::string("/heldout.txt");

/// Runs a command that must succeed, and returns what it prints.
std::string done(const scratch& here, const std::vector<std::string>& arguments) {
  const auto found = run(here.path(), arguments);
  INFO(found.text);
  REQUIRE(found.status == 0);
  return found.text;
}
double divergence(const scratch& here, const std::string& model) {
  done(here, {"evaluate", model, "--text", heldout, "--windows", "20", "--against", world, "--json", "e.json"});
  return json_of(here / "e.json").at("kl_nats_per_token");
}

}  // namespace

TEST_CASE("calibrate, cost, plan, compress and evaluate: gptq beats the other fits at equal bytes",
          "[program][calibrate]") {
  const scratch here("calibrate");
  done(here, {"calibrate", world, "--text", calibration_text, "--windows", "24", "--gradients", "8", "--out",
              "w.calibration", "--imatrix", "w.imatrix.gguf"});
  for (const std::string formats : {"gguf", "ours"}) {
    CAPTURE(formats);
    done(here,
         {"cost", world, "--calibration", "w.calibration", "--formats", formats, "--fit", "gptq", "--out", "w.costs"});
    CHECK_THAT(test::read(here / "w.costs"), ContainsSubstring("fit gptq"));
    done(here, {"plan", world, "--costs", "w.costs", "--budget", "4.6bpw", "--out", "w.plan", "--json", "p.json"});
    const std::string out = formats == "gguf" ? "w.gguf" : "w.folder";
    const std::string said = done(
        here, {"compress", world, "--plan", "w.plan", "--calibration", "w.calibration", "--fit", "gptq", "--out", out});
    CHECK_THAT(said, ContainsSubstring("matrices compensated"));
    std::string plain = test::read(here / "w.plan");
    plain.replace(plain.find("fit gptq"), 8, "fit clip_search");
    test::write(here / "plain.plan", plain);
    const std::string other = formats == "gguf" ? "plain.gguf" : "plain.folder";
    done(here, {"compress", world, "--plan", "plain.plan", "--out", other});
    CHECK(divergence(here, out) < 0.8 * divergence(here, other));
  }
}

TEST_CASE("compress --fit signed_rounding beats gptq in the same bytes, and says first how long it takes",
          "[slow][program][calibrate]") {
  const scratch here("calibrate-tune");
  done(here, {"calibrate", world, "--text", calibration_text, "--windows", "24", "--gradients", "0", "--out",
              "w.calibration"});
  for (const std::string format : {"affine3.g32.h", "q4_0"}) {
    CAPTURE(format);
    done(here, {"plan", world, "--uniform", format, "--out", "u.plan"});
    const std::vector<std::string> common{"compress", world, "--plan", "u.plan", "--calibration", "w.calibration"};
    const auto with = [&](std::vector<std::string> more) {
      more.insert(more.begin(), common.begin(), common.end());
      return done(here, more);
    };
    with({"--fit", "gptq", "--out", format + ".gptq"});
    const std::string said = with({"--fit", "signed_rounding", "--iterations", "60", "--out", format + ".tuned"});
    CHECK_THAT(said, ContainsSubstring("60 iterations"));
    CHECK_THAT(said, ContainsSubstring("by signed rounding"));
    CHECK_THAT(test::read(here / (format + ".tuned/model.plan")), ContainsSubstring("fit signed_rounding"));
    CHECK(divergence(here, format + ".tuned") < divergence(here, format + ".gptq"));
  }
  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{"--fit", "signed_rounding", "--inputs", "original"},
        {"--fit", "signed_rounding", "--iterations", "0"},
        {"--fit", "gptq", "--iterations", "10"}}) {
    std::vector<std::string> all{"compress",      world,           "--plan", "u.plan",
                                 "--calibration", "w.calibration", "--out",  "no"};
    all.insert(all.end(), wrong.begin(), wrong.end());
    const auto found = run(here.path(), all);
    INFO(found.text);
    CHECK(found.status != 0);
    CHECK_FALSE(std::filesystem::exists(here / "no"));
  }
}

TEST_CASE("a calibration of another model, or none, is refused before any work", "[program][calibrate][bad-input]") {
  const scratch here("calibrate-bad");
  const std::string arithmetic = std::string(PRECIS_SOURCE_DIR) + "/examples/models/arithmetic";
  done(here, {"calibrate", arithmetic, "--text", arithmetic + "/calibration.txt", "--windows", "4", "--gradients", "0",
              "--out", "a.calibration"});
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& why) {
    const auto found = run(here.path(), arguments);
    INFO(found.text);
    CHECK(found.status != 0);
    CHECK_THAT(found.text, ContainsSubstring(why));
  };
  refused({"cost", world, "--calibration", "a.calibration", "--fit", "gptq", "--out", "x.costs"}, "another model");
  refused({"cost", world, "--fit", "gptq", "--out", "x.costs"}, "--calibration FILE");
  refused({"cost", world, "--calibration", "a.calibration", "--out", "x.costs"}, "--fit gptq");
  test::write(here / "torn", test::read(here / "a.calibration").substr(0, 5000));
  refused({"cost", arithmetic, "--calibration", "torn", "--fit", "gptq", "--out", "x.costs"}, "torn");
  done(here, {"plan", arithmetic, "--uniform", "affine4.g32.h", "--out", "u.plan"});
  refused({"compress", arithmetic, "--plan", "u.plan", "--fit", "gptq", "--out", "x.gguf"}, "precis calibrate");
  CHECK_FALSE(std::filesystem::exists(here / "x.gguf"));
  done(here, {"compress", arithmetic, "--plan", "u.plan", "--fit", "gptq", "--calibration", "a.calibration", "--inputs",
              "original", "--out", "folder"});
}

TEST_CASE("calibrations of two texts add up", "[program][calibrate]") {
  const scratch here("calibrate-add");
  done(here, {"calibrate", world, "--text", calibration_text, "--windows", "4", "--gradients", "0", "--out",
              "a.calibration"});
  done(here, {"calibrate", world, "--text", heldout, "--windows", "3", "--gradients", "0", "--add", "a.calibration",
              "--out", "b.calibration", "--json", "b.json"});
  const auto both = json_of(here / "b.json");
  CHECK(both.at("texts").size() == 2);
  CHECK(both.at("texts").at(0) == "calibration.txt");
}
