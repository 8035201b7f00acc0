// Jobs in parts: the parts put together give the bytes of the whole job, and what does not belong together is refused.

#include "catch.hpp"
#include "run.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace fs = std::filesystem;
using test::run;
using test::scratch;
using test::world;
using words = std::vector<std::string>;

namespace {

words with(words command, const words& more) {
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

/// Every part of a job of `count` parts, in files of the name's first word and their numbers.
words compute_parts(const scratch& here, const words& command, std::size_t count, const std::string& name) {
  words files;
  for (std::size_t k = 1; k <= count; ++k) {
    files.push_back(name + std::to_string(k));
    const auto part =
        run(here.path(),
            with(command, {"--shard", std::to_string(k) + "/" + std::to_string(count), "--out", files.back()}));
    CAPTURE(part.text);
    REQUIRE(part.status == 0);
    CHECK_FALSE(fs::exists(here / (files.back() + ".partial")));
  }
  return files;
}

const words cost{"cost",      world,  "--text",    world + "/calibration.txt",
                 "--windows", "2",    "--entries", "affine3.g32.h,affine4.g32.h",
                 "--units",   "half", "--threads", "1"};

}  // namespace

TEST_CASE("parts of any number and order give the bytes of the whole job", "[slow][program][property]") {
  const scratch here("shards");
  const words traced{"score", world,    "--scorer", "causal_trace", "--facts", world + "/facts.json", "--facts-limit",
                     "5",     "--runs", "2"};
  const words pruned{"score",     world, "--scorer", "pruning_sensitivity", "--text", world + "/calibration.txt",
                     "--windows", "2"};
  const words perturbed{"score", world, "--scorer", "taylor", "--text", world + "/calibration.txt", "--windows", "2"};
  std::size_t number = 0;
  for (const words& command : {cost, traced, pruned, perturbed}) {
    const std::string name = "job" + std::to_string(number++);
    REQUIRE(run(here.path(), with(command, {"--out", name + ".whole"})).status == 0);
    for (const std::size_t count : {1u, 2u, 3u, 40u}) {  // also more than there are cells
      if (count == 40 && name != "job1") continue;
      words files = compute_parts(here, command, count, name + ".part");
      std::reverse(files.begin(), files.end());
      const auto merged = run(here.path(), with(with({"merge"}, files), {"--out", name + ".merged"}));
      CAPTURE(command[0], count, merged.text);
      REQUIRE(merged.status == 0);
      CHECK(test::read(here / (name + ".merged")) == test::read(here / (name + ".whole")));
    }
  }
  for (const auto& entry : fs::directory_iterator(here.path()))
    CHECK(entry.path().filename().string().find(".merged-") == std::string::npos);
}

TEST_CASE("an evaluation in parts gives the same numbers", "[program][property]") {
  const scratch here("shards-evaluate");
  REQUIRE(run(here.path(), {"plan", world, "--uniform", "affine4.g32.h", "--out", "p"}).status == 0);
  REQUIRE(run(here.path(), {"compress", world, "--plan", "p", "--out", "small"}).status == 0);
  const words command{"evaluate", "small", "--against", world, "--text", world + "/heldout.txt", "--windows", "5"};
  const auto whole = run(here.path(), with(command, {"--json", "whole.json"}));
  CAPTURE(whole.text);
  REQUIRE(whole.status == 0);
  const words files = compute_parts(here, command, 2, "part");
  const auto merged = run(here.path(), with(with({"merge"}, files), {"--out", "merged.json"}));
  CAPTURE(merged.text);
  REQUIRE(merged.status == 0);
  const auto without_time = [&](const char* file) {
    const std::string text = test::read(here / file);
    const std::size_t at = text.find("\"seconds\"");
    REQUIRE(at != std::string::npos);
    return text.substr(0, at) + text.substr(std::min(text.find_first_of(",}", at), text.size()));
  };
  CHECK(without_time("merged.json") == without_time("whole.json"));
}

TEST_CASE("parts that do not belong together are refused by what differs", "[program][refusal]") {
  const scratch here("shards-refused");
  const words parts = compute_parts(here, cost, 3, "part");
  const words of_two = compute_parts(here, cost, 2, "half");
  words other = cost;
  std::replace(other.begin(), other.end(), std::string("affine3.g32.h,affine4.g32.h"), std::string("affine3.g32.h"));
  const words others = compute_parts(here, other, 3, "other");
  const auto refused = [&](const words& files, const std::string& because) {
    const auto merged = run(here.path(), with(with({"merge"}, files), {"--out", "merged"}));
    CAPTURE(merged.text, because);
    CHECK(merged.status == 2);
    CHECK(merged.text.find(because) != std::string::npos);
    CHECK_FALSE(fs::exists(here / "merged"));
  };
  refused({parts[0], parts[2]}, "no part 2/3");
  refused({parts[0], parts[1], parts[1]}, "is part 2/3, as part2 is");
  refused({parts[0], of_two[1]}, "is part 2/2, part1 is part 1/3");
  refused({parts[0], others[1], parts[2]}, "entries/1 is");
  refused({parts[0], "none"}, "cannot be read");
  refused({world + "/config.json"}, "is no part of a job");

  const std::string text = test::read(here / parts[1]);
  const std::size_t middle = text.find('\n', text.find('\n') + 1) + 1;
  std::ofstream(here / "cut", std::ios::binary) << text.substr(0, middle);
  refused({parts[0], "cut", parts[2]}, "part 2/3 ends after 1 cells, before its end");
  std::ofstream(here / "damaged", std::ios::binary) << text.substr(0, middle) << "{]\n" << text.substr(middle);
  refused({parts[0], "damaged", parts[2]}, "line 3 is damaged");

  for (const std::string shard : {"0/3", "4/3", "1/0", "-1/3", "1", "1/3x", "a/b", "1/", "/3", " 1/3"}) {
    const auto wrong = run(here.path(), with(cost, {"--shard=" + shard, "--out", "x"}));
    CAPTURE(shard, wrong.text);
    CHECK(wrong.status == 2);
    CHECK(wrong.text.find("'" + shard + "' is no shard") != std::string::npos);
  }
  const auto itself = run(here.path(), with(with({"merge"}, parts), {"--out", parts[0]}));
  CHECK(itself.status == 2);
  CHECK(test::read(here / parts[1]) == text);
}

TEST_CASE("a part that was stopped is continued by its own command alone", "[program]") {
  const scratch here("shards-stopped");
  const words command = with(cost, {"--shard", "1/2", "--out", "part1"});
  REQUIRE(run(here.path(), command).status == 0);
  const std::string whole = test::read(here / "part1");
  const std::size_t middle = whole.find('\n', whole.find('\n') + 1) + 1;
  fs::remove(here / "part1");
  std::ofstream(here / "part1.partial", std::ios::binary) << whole.substr(0, middle) << "{\"key\":\"cut";
  const auto other = run(here.path(), with(cost, {"--shard", "2/2", "--out", "part1", "--resume"}));
  CHECK(other.status == 2);
  CHECK(other.text.find("shard is \"1/2\" there and \"2/2\" here") != std::string::npos);
  const auto resumed = run(here.path(), with(command, {"--resume"}));
  CAPTURE(resumed.text);
  REQUIRE(resumed.status == 0);
  const auto cells = [](const std::string& text) { return text.substr(0, text.find("end of the part")); };
  CHECK(cells(test::read(here / "part1")) == cells(whole));
}
