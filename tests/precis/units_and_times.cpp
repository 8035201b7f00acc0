#include "jobs/formats.hpp"

#include <engine/model/transformer.hpp>
#include <engine/model_files/load.hpp>
#include <precis/fit/clip_search.hpp>
#include <precis/fit/nearest.hpp>

#include "catch.hpp"
#include "run.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

using test::run;
using test::scratch;
using test::world;

namespace {

nlohmann::json json_of(const scratch& here, const std::string& name) {
  return nlohmann::json::parse(test::read(here / name));
}

}  // namespace

TEST_CASE("with --tables, the embedding is a unit of scores, costs and plans", "[program][oracle]") {
  const scratch here("tables");
  const std::string text = world + "/calibration.txt";
  REQUIRE(run(here.path(), {"score", world, "--tables", "--scorer", "weight_magnitude", "--out", "w.scores"}).status ==
          0);
  REQUIRE(run(here.path(), {"plan", world, "--tables", "--scores", "w.scores", "--bits", "3,4,6", "--out", "m.plan",
                            "--json", "p.json"})
              .status == 0);
  const auto planned = json_of(here, "p.json");
  std::size_t bytes = 0;
  for (const auto& u : planned.at("units")) bytes += u.at("bytes").get<std::size_t>();
  const auto table = std::ranges::find_if(planned.at("units"), [](const auto& u) { return u.at("unit") == "wte"; });
  REQUIRE(table != planned.at("units").end());
  CHECK(table->at("bytes").get<std::size_t>() > 0);
  CHECK(planned.at("bytes") == bytes);  // the table is in the size of the plan

  REQUIRE(run(here.path(), {"compress", world, "--plan", "m.plan", "--out", "small"}).status == 0);
  REQUIRE(run(here.path(), {"evaluate", "small", "--text", world + "/heldout.txt", "--windows", "2", "--against", world,
                            "--json", "e.json"})
              .status == 0);
  CHECK(json_of(here, "e.json").at("kl_nats_per_token").get<double>() > 0);

  // A scorer of layers says what it leaves out, and the plan gives it the highest tier.
  const auto scored = run(here.path(), {"score", world, "--tables", "--scorer", "block_influence", "--text", text,
                                        "--windows", "2", "--out", "b.scores", "--json", "b.json"});
  REQUIRE(scored.status == 0);
  CHECK_THAT(scored.text, ContainsSubstring("no score: wte"));
  CHECK(json_of(here, "b.json").at("unscored") == std::vector<std::string>{"wte"});
  const auto tiers = run(here.path(), {"plan", world, "--tables", "--scores", "b.scores", "--bits", "3,4,6"});
  REQUIRE(tiers.status == 0);
  CHECK_THAT(tiers.text, ContainsSubstring("no score, so the highest tier: wte"));

  // Files with tables are read with --tables only.
  CHECK(run(here.path(), {"plan", world, "--scores", "w.scores"}).status == 2);
  REQUIRE(
      run(here.path(), {"cost", world, "--tables", "--by", "measured", "--text", text, "--windows", "1", "--units",
                        "block", "--entries", "affine3.g32.h,affine8.g32.h", "--out", "m.costs", "--json", "c.json"})
          .status == 0);
  const auto costs = json_of(here, "c.json");
  CHECK(costs.at("units")[8].at("unit") == "wte");
  CHECK(costs.at("units")[8].at("costs")[0].get<double>() > costs.at("units")[8].at("costs")[1].get<double>());
}

TEST_CASE("cost --time adds times, and a plan keeps a budget in time", "[program][property]") {
  const scratch here("times");
  REQUIRE(
      run(here.path(), {"cost", world, "--by", "weights", "--units", "block", "--entries",
                        "affine3.g32.h,affine4.g32.h,affine8.g32.h", "--time", "--out", "t.costs", "--json", "t.json"})
          .status == 0);
  CHECK_THAT(test::read(here / "t.costs"), ContainsSubstring("precis-costs 2\n") &&
                                               ContainsSubstring("columns bytes cost nanoseconds\n") &&
                                               ContainsSubstring("note times of float products, 1 thread\n"));
  const auto costs = json_of(here, "t.json");
  std::size_t fastest = 0, slowest = 0;
  for (const auto& u : costs.at("units")) {
    const auto ns = u.at("nanoseconds").get<std::vector<std::size_t>>();
    REQUIRE(ns.size() == 3);
    fastest += std::ranges::min(ns);
    slowest += std::ranges::max(ns);
  }
  CHECK(fastest > 0);

  const auto plan = [&](std::vector<std::string> more) {
    std::vector<std::string> all{"plan", world, "--costs", "t.costs"};
    all.insert(all.end(), more.begin(), more.end());
    return run(here.path(), all);
  };
  const std::string middle = std::to_string((fastest + slowest) / 2) + "ns";
  for (const std::string allocator : {"knapsack", "lagrangian", "greedy", "minimax"}) {
    const auto o = plan({"--budget", middle, "--allocator", allocator});
    INFO(o.text);
    CHECK(o.status == 0);
    CHECK_THAT(o.text, ContainsSubstring("ns per token of " + std::to_string((fastest + slowest) / 2)));
  }
  CHECK(plan({"--budget", "100%", "--also", middle}).status == 0);
  const auto refused = [&](std::vector<std::string> more, const std::string& says) {
    const auto o = plan(std::move(more));
    INFO(o.text);
    CHECK(o.status == 2);
    CHECK_THAT(o.text, ContainsSubstring(says));
  };
  refused({"--budget", "1ns"},
          "at least " + std::to_string(fastest) + "ns, the time of the fastest admissible entries");
  refused({"--budget", "4bpw", "--also", middle, "--allocator", "greedy"}, "--allocator knapsack");
  refused({"--budget", "8bpw", "--also", "4bpw"}, "expected a size and a time");
  REQUIRE(
      run(here.path(), {"cost", world, "--by", "weights", "--entries", "affine4.g32.h", "--out", "t.costs"}).status ==
      0);
  refused({"--budget", "1ms"}, "the cost table has no times");
  REQUIRE(run(here.path(), {"score", world, "--scorer", "weight_magnitude", "--out", "w.scores"}).status == 0);
  CHECK_THAT(run(here.path(), {"plan", world, "--scores", "w.scores", "--budget", "1ms"}).text,
             ContainsSubstring("precis cost --time"));
}

TEST_CASE("the fit is clip_search unless --fit says nearest; tables and plans carry it, and another is refused",
          "[program][fit][oracle]") {
  const scratch here("fit");
  const engine::transformer original(engine::load(world).weights);
  std::string plan = "precis-plan 1\nunits block\n";
  for (int b = 0; b < 8; ++b) plan += "block." + std::to_string(b) + " affine3.g32.h\n";
  test::write(here / "by_hand.plan", plan);
  const auto compressed = [&](const std::vector<std::string>& more) {
    std::vector<std::string> command{"compress", world, "--out", "small", "--replace"};
    command.insert(command.end(), more.begin(), more.end());
    return run(here.path(), command);
  };
  // The bytes are those of the library's fits.
  const auto agrees_with = [&](const auto& fit) {
    const engine::transformer small(
        engine::load(here / "small", {.tokenizer = {}, .decoder = program::decoder()}).weights);
    const auto at = std::ranges::find(original.matrices(), "h.2.mlp.c_fc", &precis::matrix_info::name);
    const auto matrix = static_cast<std::size_t>(at - original.matrices().begin());
    const precis::weight_view before = original.weights(matrix), after = small.weights(matrix);
    const std::size_t entry = program::formats::index_of("affine3.g32.h");
    std::vector<std::byte> packed(program::formats::bytes(entry, before.rows, before.cols));
    fit(*program::formats::format(entry), before, packed);
    precis::float_matrix decoded(before.rows, before.cols);
    program::formats::decode(entry, packed, decoded.view());
    for (std::size_t r = 0; r < before.rows; ++r)
      for (std::size_t c = 0; c < before.cols; ++c)
        if (decoded(r, c) != after(r, c)) return false;
    return true;
  };
  REQUIRE(run(here.path(), {"plan", world, "--uniform", "affine3.g32.h", "--out", "uniform.plan"}).status == 0);
  CHECK(test::read(here / "uniform.plan").find("note fit") == std::string::npos);  // it does not depend on the fit
  REQUIRE(compressed({"--plan", "by_hand.plan"}).status == 0);
  CHECK(agrees_with(precis::fit::clip_search{}));
  CHECK_THAT(test::read(here / "small/model.plan"), ContainsSubstring("note fit clip_search\n"));
  REQUIRE(compressed({"--plan", "by_hand.plan", "--fit", "nearest"}).status == 0);
  CHECK(agrees_with(precis::fit::nearest{}));
  CHECK(!agrees_with(precis::fit::clip_search{}));
  CHECK_THAT(test::read(here / "small/model.plan"), ContainsSubstring("note fit nearest\n"));

  const std::vector<std::string> cost{
      "cost",    world,   "--by",  "weights", "--entries", "affine3.g32.h,affine4.g32.h",
      "--units", "block", "--out", "c",       "--fit",     "nearest"};
  REQUIRE(run(here.path(), cost).status == 0);
  CHECK_THAT(test::read(here / "c"), ContainsSubstring("note fit nearest\n"));
  const auto plan_by = [&](const std::vector<std::string>& more) {
    std::vector<std::string> command{"plan", world, "--costs", "c", "--budget", "4bpw", "--out", "p"};
    command.insert(command.end(), more.begin(), more.end());
    return run(here.path(), command);
  };
  CHECK_THAT(plan_by({"--fit", "clip_search"}).text, ContainsSubstring("it was made for --fit nearest"));
  REQUIRE(plan_by({}).status == 0);
  CHECK_THAT(test::read(here / "p"), ContainsSubstring("note fit nearest\n"));
  CHECK_THAT(compressed({"--plan", "p", "--fit", "clip_search"}).text,
             ContainsSubstring("it was made for --fit nearest"));
  REQUIRE(compressed({"--plan", "p"}).status == 0);
  CHECK_THAT(test::read(here / "small/model.plan"), ContainsSubstring("note fit nearest\n"));
  const auto evolved = run(here.path(), {"evolve", world, "--text", world + "/calibration.txt", "--costs", "c",
                                         "--budget", "4bpw", "--fit", "clip_search"});
  CHECK(evolved.status == 2);
  CHECK_THAT(evolved.text, ContainsSubstring("it was made for --fit nearest"));
}

TEST_CASE("costs are those of the fit: over the model, searched codes leave smaller errors than nearest ones",
          "[program][fit][property]") {
  const scratch here("fit-costs");
  const auto bytes = [&](const std::string& fit) {
    REQUIRE(run(here.path(), {"cost", world, "--by", "weights", "--entries", "affine3.g32.h", "--out", "c", "--json",
                              fit + ".json", "--fit", fit})
                .status == 0);
    return nlohmann::json::parse(test::read(here / (fit + ".json"))).at("units");
  };
  const auto searched = bytes("clip_search"), nearest = bytes("nearest");
  double of_searched = 0, of_nearest = 0;
  for (std::size_t u = 0; u < searched.size(); ++u) {
    of_searched += searched[u].at("costs")[0].get<double>();
    of_nearest += nearest[u].at("costs")[0].get<double>();
  }
  CHECK(of_searched < of_nearest);
}
