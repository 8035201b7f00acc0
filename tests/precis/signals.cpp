#include "catch.hpp"
#include "run.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

using test::run;
using test::scratch;
using test::world;

namespace {

const std::string arithmetic = PRECIS_SOURCE_DIR "/examples/models/arithmetic";
const std::string heldout = world + "/heldout.txt", calibration = world + "/calibration.txt",
                  facts = world + "/facts.json";

std::ptrdiff_t lines(const std::filesystem::path& file) {
  const std::string text = test::read(file);
  return std::count(text.begin(), text.end(), '\n');
}

/// Names in a folder that contain `part`.
std::vector<std::string> named(const std::filesystem::path& folder, const std::string& part) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (const std::string name = entry.path().filename().string(); name.find(part) != std::string::npos)
      names.push_back(name);
  return names;
}

}  // namespace

TEST_CASE("every subcommand that works on data stops at Ctrl-C, also while the model is loading, with exit code 130",
          "[program][signals][property]") {
  const scratch here("stop");
  test::write(here / "m.plan", [] {
    std::string plan = "precis-plan 1\nunits block\n";
    for (int b = 0; b < 8; ++b) plan += "block." + std::to_string(b) + " codebook4.row\n";
    return plan;
  }());
  const std::vector<std::vector<std::string>> commands{
      {"demo", "--out", "demo"},
      {"evaluate", world, "--text", heldout, "--json", "e.json"},
      {"evaluate", world, "--text", heldout, "--against", world},
      {"score", world, "--scorer", "causal_trace", "--facts", facts},
      {"score", world, "--scorer", "gradient_magnitude", "--text", calibration},
      {"score", world, "--scorer", "cca", "--text", calibration},
      {"score", world, "--scorer", "outliers", "--text", calibration},
      {"trace", world, "--prompt", "The life of Gavin Halick began in the city of", "--subject", "Gavin Halick",
       "--answer", "Folke", "--runs", "5000"},
      {"cost", world, "--text", calibration},
      {"cost", world, "--by", "weights"},
      {"evolve", world, "--text", calibration, "--budget", "4bpw"},
      {"compress", world, "--plan", "m.plan", "--out", "small"},
      {"generate", world, "--prompt", "Rome", "--tokens", "63"},
      {"sweep", world, "--text", heldout, "--calibration", calibration, "--facts", facts},
      {"compare", world, "--text", heldout, "--calibration", calibration, "--facts", facts},
      {"eigenprune", arithmetic, "--task", "int-sum"}};
  for (const auto& command : commands) {
    const auto stopped = run(here.path(), command, [] { return true; });  // as soon as there is a handler
    CAPTURE(command[0], command[2], stopped.text);
    CHECK(stopped.status == 130);
    CHECK_THAT(stopped.text, ContainsSubstring("stopped"));
    CHECK(named(here.path(), ".partial-").empty());
  }
}

TEST_CASE("a stopped or hung-up program removes its temporary files", "[program][signals][property]") {
  struct ending {
    std::vector<int> signals;
    int status;
  };
  const ending e = GENERATE(ending{{SIGINT}, 130}, ending{{SIGTERM}, 143}, ending{{SIGHUP}, 129},
                            ending{{SIGINT, SIGTERM}, 130});  // at the second one it ends at once
  const scratch here("remove");
  test::write(here / "m.plan", [] {
    std::string plan = "precis-plan 1\nunits block\n";
    for (int b = 0; b < 8; ++b) plan += "block." + std::to_string(b) + " codebook4.row\n";
    return plan;
  }());
  bool found = false;
  const auto done =
      run(here.path(), {"compress", world, "--plan", "m.plan", "--out", "small"},
          [&] { return found = found || !named(here.path(), "small.partial-").empty(); }, {.signals = e.signals});
  CAPTURE(e.status, done.text);
  CHECK(found);
  CHECK(done.status == e.status);
  CHECK(named(here.path(), "small").empty());
}

TEST_CASE("a signal that is not Ctrl-C leaves the partial results of a long job", "[program][signals][property]") {
  const int signal = GENERATE(SIGTERM, SIGHUP);
  const scratch here("keep");
  std::vector<std::string> command{"score", world,       "--scorer", "causal_trace", "--facts", facts, "--facts-limit",
                                   "60",    "--threads", "1",        "--out",        "a.scores"};
  const auto first =
      run(here.path(), command, [&] { return lines(here / "a.scores.partial") >= 3; }, {.signals = {signal}});
  CAPTURE(first.text);
  REQUIRE(first.status == 128 + signal);
  CHECK_THAT(first.text, ContainsSubstring("--resume"));
  const auto saved = lines(here / "a.scores.partial");
  REQUIRE(saved >= 3);
  command.emplace_back("--resume");
  const auto again = run(here.path(), command);
  CHECK_THAT(again.text, ContainsSubstring("resume " + std::to_string(saved - 1) + " facts were traced before"));
  CHECK(!std::filesystem::exists(here / "a.scores.partial"));
}

TEST_CASE("a stopped eigenprune resumes where it stopped", "[program][signals][property][slow]") {
  const scratch here("eigenprune-resume");
  std::vector<std::string> command{"eigenprune", arithmetic, "--task",    "int-sum", "--limit", "3000",
                                   "-p",         "0.02,0.3", "--threads", "1",       "--json",  "a.json"};
  const auto first = run(here.path(), command, [&] { return lines(here / "a.json.partial") >= 3; });
  CAPTURE(first.text);
  REQUIRE(first.status == 130);  // the job, the spectra and the answers of the original model were saved
  CHECK_THAT(first.text, ContainsSubstring("--resume"));
  auto other = command;
  other.insert(other.end(), {"--resume", "--seed", "1"});
  CHECK_THAT(run(here.path(), other).text, ContainsSubstring("seed is 0 there and 1 here"));
  auto again = command;
  again.emplace_back("--resume");
  const auto resumed = run(here.path(), again);
  CAPTURE(resumed.text);
  REQUIRE(resumed.status == 0);
  CHECK(resumed.text.find("scoring singular values") == std::string::npos);
  CHECK(!std::filesystem::exists(here / "a.json.partial"));
  command.back() = "b.json";
  REQUIRE(run(here.path(), command).status == 0);
  auto a = nlohmann::json::parse(test::read(here / "a.json")), b = nlohmann::json::parse(test::read(here / "b.json"));
  for (auto* result : {&a, &b})
    for (const char* time : {"scoring_seconds", "pruning_seconds"}) result->erase(time);
  CHECK(a == b);
}

TEST_CASE("a second run of a job leaves the partial results of the first alone", "[program][signals][property]") {
  const scratch here("two");
  std::vector<std::string> command{"evaluate", world,       "--text", heldout,  "--context",
                                   "8",        "--threads", "1",      "--json", "e.json"};
  const std::filesystem::path file = here / "e.json.partial";
  const auto first = run(here.path(), command, [&] { return lines(file) >= 3; });
  if (first.status == 0) return;  // a fast machine may be done before the interrupt arrives
  const std::string saved = test::read(file);
  REQUIRE(std::count(saved.begin(), saved.end(), '\n') >= 3);

  const int running = ::open(file.c_str(), O_RDWR);  // as the first run has it while it runs
  REQUIRE(::flock(running, LOCK_EX | LOCK_NB) == 0);
  const auto second = run(here.path(), command);
  CAPTURE(second.text);
  CHECK(second.status == 0);
  CHECK_THAT(second.text, ContainsSubstring("in use by another run"));
  CHECK(test::read(file) == saved);
  auto again = command;
  again.emplace_back("--resume");
  CHECK_THAT(run(here.path(), again).text, ContainsSubstring("in use by another run"));
  ::close(running);
  CHECK(run(here.path(), again).status == 0);
  CHECK(!std::filesystem::exists(file));
}

TEST_CASE("a report that cannot be written is an error, and partial results are kept", "[program][refusal]") {
  if (!std::filesystem::exists("/dev/full")) return;
  const scratch here("full");
  const std::vector<std::vector<std::string>> commands{
      {"--help"},
      {"--version"},
      {"plan", "--help"},
      {"evaluate", world, "--text", heldout, "--windows", "2", "--partial", "e.partial"},
      {"score", world, "--scorer", "weight_magnitude"},
      {"plan", world, "--uniform", "affine4.row"},
      {"cost", world, "--by", "weights", "--entries", "affine4.row"},
      {"generate", world, "--prompt", "Rome", "--tokens", "3"},
      {"compress", world, "--plan", "model.plan", "--out", "small"},
      {"eigenprune", arithmetic, "--task", "int-mult", "-p", "0.1", "--controls", "0"}};
  for (const auto& command : commands) {
    const auto full = run(here.path(), command, {}, {.output = "/dev/full"});
    CAPTURE(command[0], full.text);
    CHECK(full.status == 1);
    CHECK_THAT(full.text, ContainsSubstring("standard output"));
  }
  CHECK(lines(here / "e.partial") == 3);  // the job and two windows
  CHECK(std::filesystem::exists(here / "scores.txt"));
}
