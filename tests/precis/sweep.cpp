#include "catch.hpp"
#include "run.hpp"

#include <nlohmann/json.hpp>

#include <string>

using test::run;
using test::scratch;
using test::world;

TEST_CASE("a sweep agrees with compress and evaluate", "[program][oracle]") {
  const scratch here("sweep");
  const std::string text = world + "/heldout.txt";
  REQUIRE(run(here.path(), {"sweep", world, "--text", text, "--windows", "4", "--scorers", "weight_magnitude", "--bits",
                            "2,3,4", "--bits", "24", "--prune", "0", "--out", "s", "--json", "s.json"})
              .status == 0);
  const auto sweep = nlohmann::json::parse(test::read(here / "s.json"));
  REQUIRE(sweep.at("cells").size() == 2 * 3);

  REQUIRE(run(here.path(), {"plan", world, "--scores", "s/weight_magnitude.scores", "--bits", "2,3,4", "--granularity",
                            "row", "--out", "p.plan"})
              .status == 0);
  REQUIRE(run(here.path(), {"compress", world, "--plan", "p.plan", "--out", "small"}).status == 0);
  REQUIRE(run(here.path(), {"evaluate", "small", "--text", text, "--windows", "4", "--json", "e.json"}).status == 0);
  const auto evaluated = nlohmann::json::parse(test::read(here / "e.json"));
  CHECK(sweep.at("cells").at(0).at("nll_nats_per_token") == evaluated.at("nll_nats_per_token"));  // the same bits
  CHECK(sweep.at("cells").at(0).at("bytes") == evaluated.at("stored_bytes"));

  // 24 bits and no pruning change the perplexity by less than 1e-5.
  for (std::size_t i = 3; i < 6; ++i)
    CHECK(sweep.at("cells").at(i).at("perplexity").get<double>() ==
          Approx(sweep.at("original_perplexity").get<double>()).epsilon(1e-5));
  // Constant low is the smallest model, constant high the largest.
  CHECK(sweep.at("cells").at(1).at("bytes") < sweep.at("cells").at(0).at("bytes"));
  CHECK(sweep.at("cells").at(2).at("bytes") > sweep.at("cells").at(0).at("bytes"));
  for (const std::string file :
       {"sweep.csv", "sweep.svg", "size.svg", "weight_magnitude.scores", "weight_magnitude.svg"})
    CHECK(std::filesystem::file_size(here / ("s/" + file)) > 100);
  CHECK(!std::filesystem::exists(here / "s/sweep.partial"));
}
