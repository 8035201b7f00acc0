#include "catch.hpp"
#include "run.hpp"
#include "shared.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

using test::run;
using test::scratch;
using test::world;

TEST_CASE("score, plan, compress and evaluate read each other's files", "[program][oracle]") {
  const scratch here("chain");
  const std::string heldout = world + "/heldout.txt";
  REQUIRE(run(here.path(), {"score", world, "--scorer", "weight_magnitude", "--out", "w.scores"}).status == 0);
  REQUIRE(run(here.path(), {"plan", world, "--scores", "w.scores", "--bits", "3,4,6", "--prune", "0.1,0,0", "--out",
                            "m.plan", "--json", "p.json"})
              .status == 0);
  REQUIRE(run(here.path(), {"compress", world, "--plan", "m.plan", "--out", "small", "--json", "c.json"}).status == 0);
  const auto after = run(
      here.path(), {"evaluate", "small", "--text", heldout, "--windows", "8", "--against", world, "--json", "e.json"});
  REQUIRE(after.status == 0);
  const auto planned = nlohmann::json::parse(test::read(here / "p.json")),
             written = nlohmann::json::parse(test::read(here / "c.json")),
             evaluated = nlohmann::json::parse(test::read(here / "e.json"));
  CHECK(planned.at("bytes") == written.at("bytes"));           // what was planned is what was written ...
  CHECK(planned.at("bytes") == evaluated.at("stored_bytes"));  // ... and the size that is read
  CHECK(evaluated.at("kl_nats_per_token").get<double>() > 0);
  CHECK(evaluated.at("perplexity").get<double>() == Approx(std::exp(evaluated.at("nll_nats_per_token").get<double>())));
  CHECK(std::filesystem::exists(here / "small/model.plan"));

  // An existing folder is refused without --replace.
  CHECK(run(here.path(), {"compress", world, "--plan", "m.plan", "--out", "small"}).status == 2);
  CHECK(run(here.path(), {"compress", world, "--plan", "m.plan", "--out", "small", "--replace"}).status == 0);
}

TEST_CASE("results do not depend on the number of threads", "[program][property]") {
  const scratch here("threads");
  for (const std::string n : {"1", "3"})
    REQUIRE(run(here.path(), {"score", world, "--scorer", "causal_trace", "--facts", world + "/facts.json",
                              "--facts-limit", "5", "--runs", "3", "--threads", n, "--out", "t" + n + ".scores"})
                .status == 0);
  CHECK(test::read(here / "t1.scores") == test::read(here / "t3.scores"));
}

TEST_CASE("a stopped causal trace resumes where it stopped", "[program][property][slow]") {
  const scratch here("resume");
  const std::vector<std::string> command{
      "score", world,       "--scorer", "causal_trace", "--facts", world + "/facts.json", "--facts-limit",
      "40",    "--threads", "1",        "--out",        "a.scores"};
  const auto first = run(here.path(), command, [&] {
    const std::string done = test::read(here / "a.scores.partial");
    return std::count(done.begin(), done.end(), '\n') >= 3;  // the job and two facts
  });
  REQUIRE(first.status == 130);
  CHECK_THAT(first.text, ContainsSubstring("--resume"));
  CHECK(!std::filesystem::exists(here / "a.scores"));
  REQUIRE(std::filesystem::exists(here / "a.scores.partial"));

  auto other = command;
  other.insert(other.end(), {"--resume", "--runs", "4"});
  CHECK_THAT(run(here.path(), other).text, ContainsSubstring("another job"));

  // The last line may be cut off after a crash.
  test::write(here / "a.scores.partial", test::read(here / "a.scores.partial") + "{\"key\": \"39\", \"val");
  auto again = command;
  again.emplace_back("--resume");
  REQUIRE(run(here.path(), again).status == 0);
  CHECK(!std::filesystem::exists(here / "a.scores.partial"));
  auto whole = command;
  whole.back() = "b.scores";
  REQUIRE(run(here.path(), whole).status == 0);
  CHECK(test::read(here / "a.scores") == test::read(here / "b.scores"));
}

TEST_CASE("a stopped evaluation resumes where it stopped", "[program][property]") {
  const scratch here("evaluate");
  const std::vector<std::string> command{
      "evaluate", world, "--text", world + "/heldout.txt", "--context", "8", "--threads", "1", "--json", "a.json"};
  const auto first = run(here.path(), command, [&] {
    const std::string done = test::read(here / "a.json.partial");
    return std::count(done.begin(), done.end(), '\n') >= 3;
  });
  if (first.status == 130) {  // a fast machine may be done before the interrupt arrives
    CHECK_THAT(first.text, ContainsSubstring("--resume"));
    auto again = command;
    again.emplace_back("--resume");
    REQUIRE(run(here.path(), again).status == 0);
  }
  CHECK(!std::filesystem::exists(here / "a.json.partial"));
  auto whole = command;
  whole.back() = "b.json";
  REQUIRE(run(here.path(), whole).status == 0);
  const auto a = nlohmann::json::parse(test::read(here / "a.json")),
             b = nlohmann::json::parse(test::read(here / "b.json"));
  CHECK(a.at("nll_per_window") == b.at("nll_per_window"));
  CHECK(a.at("nll_nats_per_token") == b.at("nll_nats_per_token"));
}

TEST_CASE("an evaluation without an output keeps partial results in the cache folder, not in the current one",
          "[program][property]") {
  const scratch here("cache");
  const test::environment_variable cache("XDG_CACHE_HOME", (here / "cache").string());
  std::filesystem::create_directory(here / "work");
  std::vector<std::string> command{"evaluate",  world, "--text",    world + "/heldout.txt",
                                   "--context", "8",   "--threads", "1"};
  const std::filesystem::path folder = here / "cache/precis";
  const auto partial = [&] {
    std::vector<std::filesystem::path> files;
    std::error_code missing;
    for (const auto& entry : std::filesystem::directory_iterator(folder, missing)) files.push_back(entry.path());
    return files;
  };
  const auto first = run(here / "work", command, [&] {
    const auto files = partial();
    if (files.empty()) return false;
    const std::string done = test::read(files.front());
    return std::count(done.begin(), done.end(), '\n') >= 3;
  });
  CHECK(std::filesystem::is_empty(here / "work"));
  if (first.status == 130) {  // a fast machine may be done before the interrupt arrives
    REQUIRE(partial().size() == 1);
    CHECK(partial().front().filename().string().starts_with("evaluate-"));
    CHECK_THAT(first.text, ContainsSubstring(partial().front().string()));
    // Another job has a file of its own and leaves this one alone.
    REQUIRE(run(here / "work", {"evaluate", world, "--text", world + "/heldout.txt", "--windows", "2"}).status == 0);
    CHECK(partial().size() == 1);
    command.emplace_back("--resume");
    REQUIRE(run(here / "work", command).status == 0);
  }
  CHECK(partial().empty());
}

TEST_CASE("a plain evaluation runs, with one warning, if no folder for partial results can be written",
          "[program][property]") {
  const scratch here("no-cache");
  const test::environment_variable cache("XDG_CACHE_HOME", "/dev/null"), home("HOME", "/dev/null"),
      temporary("TMPDIR", "/dev/null");
  const std::vector<std::string> command{"evaluate", world, "--text", world + "/heldout.txt", "--windows", "2"};
  const auto done = run(here.path(), command);
  INFO(done.text);
  CHECK(done.status == 0);
  CHECK_THAT(done.text, ContainsSubstring("cannot write partial results"));
  CHECK(here.entries() == 0);
  auto again = command;
  again.emplace_back("--resume");
  CHECK(run(here.path(), again).status == 2);
}

TEST_CASE("token ids instead of text: the loss of every sequence", "[program][golden]") {
  const auto model = shared_path("models/stories260K/stories260K.bin");
  const auto text = shared_path("data/stories-evaluation.tokens.json"), golden = shared_path("golden/stories260K.json");
  if (!model || !text || !golden) return;
  const scratch here("ids");
  const std::string tokenizer = (model->parent_path() / "tok512.bin").string();
  REQUIRE(run(here.path(),
              {"evaluate", model->string(), "--tokenizer", tokenizer, "--text", text->string(), "--json", "e.json"})
              .status == 0);
  const auto found = nlohmann::json::parse(test::read(here / "e.json"));
  const auto expected = nlohmann::json::parse(test::read(*golden));
  CHECK(found.at("window") == 255);
  CHECK(found.at("perplexity").get<double>() == Approx(expected.at("perplexity").get<double>()).epsilon(1e-5));
  const auto &each = found.at("nll_per_window"), &wanted = expected.at("evaluation_nll_per_sequence");
  REQUIRE(each.size() == wanted.size());
  for (std::size_t i = 0; i < each.size(); ++i)
    CHECK(each[i].get<double>() == Approx(wanted[i].get<double>()).epsilon(1e-4));
}

TEST_CASE("bad input: one line with what, where and what was expected; exit code 2; no file left behind",
          "[program][refusal]") {
  const scratch here("bad");
  const std::string text = world + "/heldout.txt", facts = world + "/facts.json";
  test::write(here / "empty.txt", "");
  test::write(here / "short.txt", "Too short.");
  test::write(here / "outside.json", R"([{"prompt": "Rome is in", "subject": "Paris", "attribute": "Italy"}])");
  test::write(here / "typed.json", R"([{"prompt": 3, "subject": "Paris", "attribute": "Italy"}])");
  test::write(here / "other.plan", "precis-plan 1\nmodel 0123456789abcdef\nunits block\nblock.0 affine4.row\n");
  test::write(here / "half.plan", "precis-plan 1\nunits block\nblock.0 affine4.row\n");
  test::write(here / "twice.plan", "precis-plan 1\nunits block\nblock.0 affine4.row\nblock.0 affine8.row\n");
  test::write(here / "newer.plan", "precis-plan 2\nunits block\n");
  test::write(here / "wrong.scores", "precis-scores 1\nunits block\nblock.99 1\n");
  test::write(here / "ids.json", R"({"sequences": [[1, 2], [3, 999999]]})");
  test::write(here / "no-ids.json", R"({"sequence": [[1, 2]]})");
  std::filesystem::create_directory(here / "no-model");
  const std::size_t before = here.entries();

  struct bad {
    std::vector<std::string> arguments;
    std::string says;
  };
  const std::vector<bad> all{
      {{"evaluate", "nowhere", "--text", text}, "nowhere"},
      {{"evaluate", "no-model", "--text", text}, "config.json"},
      {{"evaluate", world, "--text", "nowhere.txt"}, "nowhere.txt"},
      {{"evaluate", world, "--text", "empty.txt"}, "empty"},
      {{"evaluate", world, "--text", "short.txt"}, "longer text"},
      {{"evaluate", world, "--text", text, "--windows", "100000"}, "--windows of at most"},
      {{"evaluate", world, "--text", text, "--context", "100000"}, "context"},
      {{"evaluate", world, "--text", text, "--json", "nowhere/out.json"}, "nowhere"},
      {{"evaluate", world, "--text", "ids.json"}, "token 999999 in sequence 1"},
      {{"evaluate", world, "--text", "no-ids.json"}, "sequences"},
      {{"trace", world, "--prompt", "Rome is in", "--subject", "Paris", "--answer", "Italy"}, "not in the prompt"},
      {{"trace", world, "--prompt", "Rome is in", "--subject", "Rome", "--answer", "Xyzzyqua"}, "--first-token"},
      {{"trace", world, "--prompt", "Rome is in", "--subject", "Rome", "--answer", "the", "--first-token"},
       "does not answer"},
      {{"score", world, "--scorer", "causal_trace"}, "--facts"},
      {{"score", world, "--scorer", "causal_trace", "--facts", "outside.json"}, "fact 0"},
      {{"score", world, "--scorer", "causal_trace", "--facts", "typed.json"}, "prompt"},
      {{"score", world, "--scorer", "gradient_magnitude"}, "--text"},
      {{"score", world, "--scorer", "unheard_of"}, "unheard_of"},
      {{"score", world, "--scorer", "weight_magnitude", "--out", "nowhere/x.scores"}, "nowhere"},
      {{"score", world, "--scorer", "causal_trace", "--facts", facts, "--resume"}, "nothing to resume"},
      {{"plan", world}, "--scores"},
      {{"plan", world, "--scores", "wrong.scores"}, "line 3"},
      {{"plan", world, "--uniform", "affine9.row"}, "affine9.row"},
      {{"plan", world, "--uniform", "affine4.row", "--budget", "1bpw"}, "bits per weight"},
      {{"plan", world, "--uniform", "affine4.row", "--budget", "many"}, "budget"},
      {{"plan", world, "--uniform", "affine4.row", "--sparsity", "2"}, "sparsity"},
      {{"plan", world, "--uniform", "min_anchored4.row", "--sparsity", "0.5"}, "keep zero"},
      {{"compress", world, "--plan", "other.plan", "--out", "x"}, "0123456789abcdef"},
      {{"compress", world, "--plan", "half.plan", "--out", "x"}, "block.1"},
      {{"compress", world, "--plan", "twice.plan", "--out", "x"}, "twice"},
      {{"compress", world, "--plan", "newer.plan", "--out", "x"}, "precis-plan 1"},
      {{"compress", world, "--plan", "half.plan", "--out", "nowhere/x"}, "block.1"},
      {{"sweep", world, "--text", text, "--scorers", "none", "--out", "."}, "none"},
      {{"sweep", world, "--text", text, "--bits", "9,9,9", "--out", "."}, "9 bits"},
      {{"unheard_of"}, "unheard_of"},
      {{}, "no subcommand given"},
  };
  for (const bad& b : all) {
    std::string line;
    for (const std::string& a : b.arguments) line += a + " ";
    INFO(line);
    const auto o = run(here.path(), b.arguments);
    INFO(o.text);
    CHECK(o.status == 2);
    CHECK_THAT(o.text, ContainsSubstring(b.says));
    CHECK(here.entries() == before);
  }
}

TEST_CASE("help has examples and names every family and format that the program reads", "[program]") {
  const scratch here("help");
  for (const std::string command : {"evaluate", "score", "trace", "plan", "compress", "sweep"}) {
    const auto o = run(here.path(), {command, "--help"});
    CHECK(o.status == 0);
    CHECK_THAT(o.text, ContainsSubstring("Example"));
  }
  std::istringstream words(run(here.path(), {"evaluate", "--help"}).text);  // lines may break anywhere
  std::string text;
  for (std::string word; words >> word;) text += word + " ";
  for (const std::string name :
       {"GPT-2", "Llama", "OPT", "Phi", "BERT", "Hugging Face", "llama2.c", "GGUF", "compress"})
    CHECK_THAT(text, ContainsSubstring(name));
}

TEST_CASE("the program says its version and what it is built with", "[program]") {
  const scratch here("version");
  const auto o = run(here.path(), {"--version"});
  CHECK(o.status == 0);
  const std::string project = test::read(PRECIS_SOURCE_DIR "/CMakeLists.txt"), before = "project(precis VERSION ";
  const std::size_t at = project.find(before) + before.size();
  CHECK_THAT(o.text, ContainsSubstring("precis " + project.substr(at, project.find(' ', at) - at) + "\n"));
  for (const std::string name : {"CLI11 ", "Eigen ", "fmt ", "nlohmann-json ", "PCRE2 "})
    CHECK_THAT(o.text, ContainsSubstring(name));
}
