#include "catch.hpp"
#include "run.hpp"
#include "shared.hpp"

#include <sys/stat.h>

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
      {{"evaluate", world, "--text", "short.txt", "--context", "63"}, "longer text"},
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
      {{"compress", world, "--plan", "half.plan", "--out", "nowhere/x"}, "nowhere"},
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

namespace {

struct valued_option {
  enum class kind { whole, real, text };
  std::string subcommand, name;
  kind of = kind::text;
};

/// Every option that takes a value, from the help of every subcommand.
std::vector<valued_option> valued_options(const scratch& here) {
  using kind = valued_option::kind;
  std::vector<valued_option> all;
  std::istringstream main_help(run(here.path(), {"--help"}).text);
  bool listed = false;
  std::vector<std::string> names;
  for (std::string line; std::getline(main_help, line);) {
    if (line.starts_with("Subcommands")) {
      listed = true;
    } else if (listed && line.starts_with("  ") && line.size() > 2 && line[2] != ' ') {
      names.push_back(line.substr(2, line.find(' ', 2) - 2));
    } else if (listed && line.empty()) {
      break;
    }
  }
  for (const std::string& name : names) {
    std::istringstream help(run(here.path(), {name, "--help"}).text);
    for (std::string line; std::getline(help, line);) {
      if (!line.starts_with("  -")) continue;
      const auto takes = [&](const char* type) { return line.find(type) != std::string::npos; };
      if (!takes(" UINT") && !takes(" FLOAT") && !takes(" TEXT")) continue;
      std::string option = line.substr(2, line.find(' ', 2) - 2);
      if (const std::size_t comma = option.find(','); comma != std::string::npos) option = option.substr(comma + 1);
      all.push_back({name, option, takes(" UINT") ? kind::whole : takes(" FLOAT") ? kind::real : kind::text});
    }
  }
  return all;
}

}  // namespace

TEST_CASE("every option refuses what is no value of its kind, before the work", "[slow][program][refusal]") {
  using kind = valued_option::kind;
  const scratch here("values");
  const std::vector<valued_option> options = valued_options(here);
  CHECK(options.size() >= 150);  // the help was read
  CHECK(std::ranges::count(options, kind::text, &valued_option::of) >= 80);
  for (const valued_option& o : options) {
    if (o.of == kind::text) continue;
    const std::vector<std::string> wrong =
        o.of == kind::whole
            ? std::vector<std::string>{"-1", "1.5", "99999999999999999999999", "8 ", "x", "nan", "inf", ""}
            : std::vector<std::string>{"nan", "inf", "-inf", "1e999", "12x", "0x", ""};
    for (const std::string& value : wrong) {
      std::vector<std::string> command{o.subcommand};
      if (o.subcommand != "demo") command.push_back(world);
      command.push_back(o.name + "=" + value);
      const auto refused = run(here.path(), command);
      CAPTURE(o.subcommand, o.name, value, refused.text);
      CHECK(refused.status == 2);
      CHECK(refused.text.find(o.name) != std::string::npos);
      if (!value.empty()) CHECK(refused.text.find("'" + value + "'") != std::string::npos);
    }
    if (o.name.ends_with("threads")) {
      std::vector<std::string> command{o.subcommand};
      if (o.subcommand != "demo") command.push_back(world);
      command.push_back(o.name + "=4294967296000");
      CHECK(run(here.path(), command).text.find("'4294967296000' is too large") != std::string::npos);
    }
  }
  // A text may be anything but empty, where that would count as an option that was not given. An overlong one is refused by
  // a message that stays short, because it names no file, format or scorer.
  const scratch demo("values-demo");  // it creates its folder before it looks at its other outputs
  for (const valued_option& o : options) {
    const bool may_be_empty =
        (o.subcommand == "generate" && o.name == "--prompt") || (o.subcommand == "compare" && o.name == "--costs");
    for (const std::string& value : {std::string(), std::string(100000, o.of == kind::text ? 'x' : '9')}) {
      std::vector<std::string> command{o.subcommand};
      if (o.subcommand != "demo") command.push_back(world);
      if (o.name == "--prompt" && !value.empty()) continue;  // of `trace` and `generate`: a text of any length
      command.push_back(o.name + "=" + value);
      const auto refused = run(o.subcommand == "demo" ? demo.path() : here.path(), command);
      CAPTURE(o.subcommand, o.name, value.size(), refused.text.substr(0, 2000));
      CHECK(refused.status == 2);
      CHECK(refused.text.size() < 3000);
      if (value.empty() && !may_be_empty) CHECK(refused.text.find(o.name + ": ") != std::string::npos);
    }
  }
  CHECK(std::filesystem::is_empty(here.path()));
}

TEST_CASE("an output is never an input, a part of one, or another output", "[program][refusal]") {
  const scratch here("outputs");
  std::filesystem::copy(world, here / "m", std::filesystem::copy_options::recursive);
  std::filesystem::create_symlink(here / "m/config.json", here / "link");
  std::filesystem::create_hard_link(here / "m/facts.json", here / "facts.json");
  const auto score = [&](const std::vector<std::string>& more) {
    std::vector<std::string> command{"score", "m", "--scorer", "weight_magnitude"};
    command.insert(command.end(), more.begin(), more.end());
    return run(here.path(), command);
  };
  const std::string before = test::read(here / "m/model.safetensors"), config = test::read(here / "m/config.json");
  const std::vector<std::vector<std::string>> wrong{{"--out", "m/model.safetensors"},
                                                    {"--out", "./m/../m/config.json"},
                                                    {"--out", "link"},
                                                    {"--out", "a", "--json", "a"},
                                                    {"--out", "a", "--svg", "./a"},
                                                    {"--json", "m/facts.json"},
                                                    {"--out", "m"},
                                                    {"--out", here.path().string() + "/m"}};
  for (const auto& options : wrong) {
    const auto refused = score(options);
    CAPTURE(options.back(), refused.text);
    CHECK(refused.status == 2);
    CHECK(refused.text.find(options.back()) != std::string::npos);
  }
  const auto facts =
      run(here.path(), {"score", "m", "--scorer", "causal_trace", "--facts", "facts.json", "--out", "m/facts.json"});
  CHECK(facts.status == 2);
  CHECK(test::read(here / "m/model.safetensors") == before);
  CHECK(test::read(here / "m/config.json") == config);
  CHECK(here.entries() == 3);
  CHECK(score({"--out", "m/new.scores"}).status == 0);  // a new file inside the folder destroys nothing
}

TEST_CASE("only plain files are replaced, and a symbolic link is written through", "[program][refusal]") {
  const scratch here("kinds");
  const std::vector<std::string> command{"score", world, "--scorer", "weight_magnitude", "--out"};
  const auto to = [&](const std::string& out) {
    std::vector<std::string> all = command;
    all.push_back(out);
    return run(here.path(), all);
  };
  REQUIRE(mkfifo((here / "pipe").c_str(), 0600) == 0);
  std::filesystem::create_symlink("/dev/null", here / "nothing");
  std::filesystem::create_symlink("loop", here / "loop");
  for (const std::string out : {"pipe", "nothing", "loop", "/dev/null", "/dev/stdout"}) {
    const auto refused = to(out);
    CAPTURE(out, refused.text);
    CHECK(refused.status == 2);
    CHECK(refused.text.find(out) != std::string::npos);
  }
  CHECK(std::filesystem::is_fifo(here / "pipe"));
  std::filesystem::create_directory(here / "there");
  std::filesystem::create_symlink("there/file", here / "link");
  CHECK(to("link").status == 0);
  CHECK(std::filesystem::is_symlink(here / "link"));
  CHECK(test::read(here / "there/file").starts_with("precis-scores"));
}

TEST_CASE("--replace deletes only what compress wrote", "[program][refusal]") {
  const scratch here("replace");
  std::string plan = "precis-plan 1\nunits block\n";
  for (int b = 0; b < 8; ++b) plan += "block." + std::to_string(b) + " affine4.g32.h\n";
  test::write(here / "m.plan", plan);
  const auto compress = [&](const std::string& out) {
    return run(here.path(), {"compress", world, "--plan", "m.plan", "--out", out, "--replace"});
  };
  REQUIRE(compress("small").status == 0);
  CHECK(compress("small").status == 0);
  test::write(here / "small/notes.txt", "mine");
  CHECK(compress("small").text.find("notes.txt") != std::string::npos);
  CHECK(test::read(here / "small/notes.txt") == "mine");
  std::filesystem::copy(world, here / "original", std::filesystem::copy_options::recursive);
  CHECK(compress("original").text.find("model.plan") != std::string::npos);
  CHECK(std::filesystem::exists(here / "original/model.safetensors"));
  test::write(here / "text.gguf", "a letter");
  CHECK(compress("text.gguf").status == 2);
  CHECK(test::read(here / "text.gguf") == "a letter");
}

TEST_CASE("inputs that do not exist are refused before the work", "[program][refusal]") {
  const scratch here("missing");
  const std::string heldout = world + "/heldout.txt";
  for (const std::string option : {"--facts", "--verdicts", "--against"}) {
    const auto refused = run(here.path(), {"evaluate", world, "--text", heldout, option, "nowhere"});
    CAPTURE(option, refused.text);
    CHECK(refused.status == 2);
    CHECK(refused.text.find(option) != std::string::npos);
    CHECK(refused.text.find("perplexity") == std::string::npos);
  }
}

TEST_CASE("partial results of other contents under the same name are refused", "[program][refusal]") {
  const scratch here("contents");
  test::write(here / "t.txt", test::read(world + "/heldout.txt"));
  const std::vector<std::string> command{"evaluate", world,       "--text", "t.txt",     "--context",
                                         "8",        "--threads", "1",      "--partial", "p"};
  std::string saved;  // what a stopped run leaves; a run that ends first deletes the file, so it is read meanwhile
  (void)run(here.path(), command, [&] {
    saved = test::read(here / "p");
    return saved.find('\n') != std::string::npos;
  });
  REQUIRE(!saved.empty());
  const auto resumed = [&] {
    test::write(here / "p", saved);
    std::vector<std::string> again = command;
    again.emplace_back("--resume");
    return run(here.path(), again);
  };
  test::write(here / "t.txt", test::read(world + "/calibration.txt"));
  const auto refused = resumed();
  CAPTURE(refused.text);
  CHECK(refused.status == 2);
  CHECK(refused.text.find("contents") != std::string::npos);
  test::write(here / "t.txt", test::read(world + "/heldout.txt"));
  CHECK(resumed().status == 0);  // the same contents again
}

TEST_CASE("bytes that are no UTF-8 in a path are carried", "[program]") {
  const scratch here("bytes");
  const std::string name = "scores-\xFF";
  const auto done =
      run(here.path(), {"score", world, "--scorer", "weight_magnitude", "--out", name, "--json", "s.json"});
  CAPTURE(done.text);
  CHECK(done.status == 0);
  const auto plan = run(here.path(), {"plan", world, "--scores", name, "--out", "p-\xFE.plan", "--json", "p.json"});
  CAPTURE(plan.text);
  CHECK(plan.status == 0);
  const auto small =
      run(here.path(), {"compress", world, "--plan", "p-\xFE.plan", "--out", "small-\xFE", "--json", "c.json"});
  CAPTURE(small.text);
  CHECK(small.status == 0);
  CHECK(nlohmann::json::parse(test::read(here / "c.json")).at("out") == "small-\\xFE");
}

TEST_CASE("one window has no interval, and an overlong fact is refused by name before the work", "[program][refusal]") {
  const scratch here("windows");
  const auto one =
      run(here.path(), {"evaluate", world, "--text", world + "/heldout.txt", "--windows", "1", "--json", "e.json"});
  CHECK(one.status == 0);
  CHECK(one.text.find("+-") == std::string::npos);
  CHECK(nlohmann::json::parse(test::read(here / "e.json")).at("nll_half_width_95").is_null());
  std::string prompt = "Folke";
  for (int i = 0; i < 200; ++i) prompt += " and so on";
  test::write(here / "f.json",
              "[{\"prompt\": \"Folke\", \"subject\": \"Folke\", \"attribute\": \"a\"}, {\"prompt\": \"" + prompt +
                  "\", \"subject\": \"Folke\", \"attribute\": \"a\"}]");
  const auto refused = run(here.path(), {"score", world, "--scorer", "causal_trace", "--facts", "f.json"});
  CAPTURE(refused.text);
  CHECK(refused.status == 2);
  CHECK(refused.text.find("tokens") != std::string::npos);
  CHECK(refused.text.find("f.json") != std::string::npos);
}

TEST_CASE("the program says its version and what it is built with", "[program]") {
  const scratch here("version");
  const auto o = run(here.path(), {"--version"});
  CHECK(o.status == 0);
  const std::string project = test::read(PRECIS_SOURCE_DIR "/CMakeLists.txt"), before = "project(precis VERSION ";
  const std::size_t at = project.find(before) + before.size();
  CHECK_THAT(o.text, ContainsSubstring("precis " + project.substr(at, project.find(' ', at) - at) + "\n"));
  for (const std::string name : {"CLI11 ", "Eigen ", "fmt ", "nlohmann-json ", "PCRE2 ", "utf8proc "})
    CHECK_THAT(o.text, ContainsSubstring(name));
}
