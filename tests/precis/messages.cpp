// What the program says about files that it cannot use: the file, the item, and what to do.

#include "catch.hpp"
#include "mutations.hpp"
#include "run.hpp"

#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

using test::run;
using test::scratch;
using test::world;

namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;

const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0123456789abcdef\nsize 21196360\n";

/// A copy of the example model, to be spoiled.
struct copied_model {
  explicit copied_model(const std::string& name) : here(name) {
    fs::copy(world, here / "m", fs::copy_options::recursive);
  }

  [[nodiscard]] fs::path file(const std::string& name) const { return here / ("m/" + name); }
  [[nodiscard]] test::outcome evaluate() const {
    return run(here.path(), {"evaluate", "m", "--text", world + "/heldout.txt", "--windows", "2"});
  }
  /// What `evaluate` says when it refuses the model.
  [[nodiscard]] std::string refused() const {
    const test::outcome o = evaluate();
    CAPTURE(o.text);
    CHECK(o.status == 2);
    return o.text;
  }
  void change_config(const std::function<void(json&)>& change) const {
    json config = json::parse(test::read(file("config.json")));
    change(config);
    test::write(file("config.json"), config.dump());
  }
  /// Changes the header of the weights; the data stay.
  void change_header(const std::function<void(json&)>& change) const {
    const std::string before = test::read(file("model.safetensors"));
    std::uint64_t length = 0;
    std::memcpy(&length, before.data(), sizeof length);
    json header = json::parse(before.substr(8, length));
    change(header);
    const std::string text = header.dump(), data = before.substr(8 + length);
    length = text.size();
    test::write(file("model.safetensors"),
                std::string(reinterpret_cast<const char*>(&length), sizeof length) + text + data);
  }

  const scratch here;
};

void rename(json& object, const std::string& from, const std::string& to) {
  object[to] = object.at(from);
  object.erase(from);
}

/// The words that begin with "--" in a text.
std::set<std::string> options_in(const std::string& text) {
  static const std::regex word("--[a-z][a-z-]*");
  std::set<std::string> all;
  for (auto at = std::sregex_iterator(text.begin(), text.end(), word); at != std::sregex_iterator(); ++at)
    all.insert(at->str());
  return all;
}

/// The options that the program and each subcommand declare, from their helps.
std::map<std::string, std::set<std::string>> declared_options(const scratch& here) {
  std::map<std::string, std::set<std::string>> all;
  const auto read = [&](const std::string& name, const std::vector<std::string>& help) {
    for (const std::string& line : test::lines_of(run(here.path(), help).text))
      if (line.starts_with("  -")) all[name].merge(options_in(line.substr(0, line.find("  ", 2))));
  };
  read("precis", {"--help"});
  bool of_commands = false;
  for (const std::string& line : test::lines_of(run(here.path(), {"--help"}).text)) {
    if (of_commands && !line.starts_with("  ")) break;
    if (of_commands) {
      const std::string name = line.substr(2, line.find(' ', 2) - 2);
      read(name, {name, "--help"});
    }
    of_commands = of_commands || line == "Subcommands:";
  }
  return all;
}

/// The string literals of a source, comments left out.
std::vector<std::string> literals_in(const std::string& source) {
  static const std::regex literal(R"re("((?:[^"\\\n]|\\.)*)")re");
  std::vector<std::string> all;
  for (const std::string& line : test::lines_of(source)) {
    const std::string code = line.substr(0, line.find("//"));
    for (auto at = std::sregex_iterator(code.begin(), code.end(), literal); at != std::sregex_iterator(); ++at)
      all.push_back((*at)[1]);
  }
  return all;
}

}  // namespace

TEST_CASE("a Git LFS pointer is called one, whatever file it stands for", "[program][refusal]") {
  for (const std::string name : {"model.safetensors", "config.json", "vocab.json", "merges.txt"}) {
    const copied_model m("lfs");
    test::write(m.file(name), pointer);
    CHECK_THAT(m.refused(), ContainsSubstring("m/" + name +
                                              ": is a Git LFS pointer, not the file that it stands for; "
                                              "expected the file itself: run `git lfs pull`"));
  }
  const scratch here("lfs-files");
  for (const std::string name : {"m.gguf", "m.bin", "t.txt", "p", "v.jsonl", "f.json"})
    test::write(here / name, pointer);
  const std::string text = world + "/heldout.txt";
  const std::vector<std::vector<std::string>> all{
      {"evaluate", "m.gguf", "--text", text},
      {"evaluate", "m.bin", "--text", text},
      {"evaluate", world, "--text", "t.txt"},
      {"compress", world, "--plan", "p", "--out", "o"},
      {"plan", world, "--scores", "p"},
      {"plan", world, "--costs", "p", "--budget", "4bpw"},
      {"score", world, "--scorer", "causal_trace", "--facts", "f.json"},
      {"evaluate", world, "--text", text, "--windows", "2", "--verdicts", "v.jsonl"}};
  for (const auto& command : all) {
    const auto refused = run(here.path(), command);
    CAPTURE(command, refused.text);
    CHECK(refused.status == 2);
    CHECK_THAT(refused.text, ContainsSubstring("is a Git LFS pointer"));
  }
}

TEST_CASE("weights that another program quantized are refused by the method", "[program][refusal]") {
  for (const std::string method : {"bitsandbytes", "hqq"}) {
    const copied_model m("quantized");
    m.change_config([&](json& c) { c["quantization_config"] = {{"quant_method", method}, {"bits", 4}}; });
    CHECK_THAT(m.refused(),
               ContainsSubstring("m/config.json: key \"quantization_config\": weights that are quantized with \"" +
                                 method + "\"; expected gptq, awq or compressed-tensors; or the original model"));
  }
  const copied_model unnamed("unnamed");
  unnamed.change_config([](json& c) { c["quantization_config"] = {{"load_in_8bit", true}}; });
  CHECK_THAT(unnamed.refused(), ContainsSubstring("an unnamed method"));
  const copied_model none("none");
  none.change_config([](json& c) { c["quantization_config"] = nullptr; });
  CHECK(none.evaluate().status == 0);
}

TEST_CASE("tensors are named with their file, as the file names them", "[program][refusal]") {
  const copied_model missing("missing");
  missing.change_header([](json& h) {
    for (const std::string name : {"h.0.ln_1.weight", "h.0.ln_1.bias", "h.3.mlp.c_fc.weight"})
      rename(h, name, "transformer." + name);
    rename(h, "transformer.h.3.mlp.c_fc.weight", "transformer.h.3.mlp.c_fc.qweight");
  });
  CHECK_THAT(missing.refused(), ContainsSubstring("no tensor transformer.h.3.mlp.c_fc.weight; expected"));

  const copied_model type("type");
  type.change_header([](json& h) {
    json& t = h["h.0.ln_1.weight"];  // as many bytes of another type
    const auto bytes = t["data_offsets"][1].get<std::size_t>() - t["data_offsets"][0].get<std::size_t>();
    t["dtype"] = "F64";
    t["shape"] = {bytes / 8};
  });
  CHECK_THAT(
      type.refused(),
      ContainsSubstring("m/model.safetensors: tensor \"h.0.ln_1.weight\" is of type F64; expected F32, F16 or BF16"));

  const copied_model shape("shape");
  shape.change_config([](json& c) { c["n_positions"] = 32; });
  CHECK_THAT(shape.refused(),
             ContainsSubstring("m/model.safetensors: tensor \"wpe.weight\" has shape [64, 64]; expected [32, 64]"));

  const copied_model heads("heads");
  heads.change_config([](json& c) { c["n_head"] = 3; });
  CHECK_THAT(heads.refused(), ContainsSubstring("m/config.json: a width of 64 with 3 heads"));
}

TEST_CASE("names from files cannot disturb the terminal, and are cut", "[program][refusal]") {
  const copied_model m("names");
  const std::string evil = "a\x1B[31mred\"; expected nothing", marked = "\\x1B[31mred\\\"; expected nothing";
  const auto said = [&](const std::string& from, const std::string& to) {
    m.change_header([&](json& h) { rename(h, from, to); });
    const std::string text = m.refused();
    m.change_header([&](json& h) { rename(h, to, from); });
    CHECK(text.find('\x1B') == std::string::npos);
    CHECK(text.size() < 500);
    return text;
  };
  CHECK_THAT(said("h.0.ln_1.bias", evil), ContainsSubstring("h.0.ln_1.bias"));
  m.change_header([&](json& h) { h[evil] = {{"dtype", "F32"}, {"shape", {0}}, {"data_offsets", {0, 0}}}; });
  CHECK_THAT(m.refused(), ContainsSubstring("unknown tensor a" + marked));
  m.change_header([&](json& h) { rename(h, evil, std::string(100000, 'x')); });
  const std::string cut = m.refused();
  CHECK_THAT(cut, ContainsSubstring("xxx..."));
  CHECK(cut.size() < 500);
  m.change_config([&](json& c) { c["model_type"] = evil; });
  CHECK_THAT(m.refused(), ContainsSubstring("is \"a" + marked + "\""));
  test::write(m.here / "p", "precis-plan 1\nunits block\nblock.\xFF affine4.row\n");
  CHECK_THAT(run(m.here.path(), {"compress", world, "--plan", "p", "--out", "o"}).text,
             ContainsSubstring("block.\\xFF"));
}

TEST_CASE("a byte order mark is no part of a file", "[program][property]") {
  const copied_model m("marks");
  const std::string mark = "\xEF\xBB\xBF";
  const auto add_mark = [&](const fs::path& file) { test::write(file, mark + test::read(file)); };
  const std::string before = m.evaluate().text;
  for (const std::string name : {"config.json", "vocab.json", "merges.txt", "facts.json"}) add_mark(m.file(name));
  const auto nll = [](const std::string& text) { return text.substr(text.find("NLL"), 40); };
  CHECK(nll(m.evaluate().text) == nll(before));
  REQUIRE(run(m.here.path(), {"score", "m", "--scorer", "causal_trace", "--facts", "m/facts.json", "--facts-limit", "1",
                              "--runs", "1", "--out", "s"})
              .status == 0);
  add_mark(m.here / "s");
  REQUIRE(run(m.here.path(), {"plan", "m", "--scores", "s", "--out", "p"}).status == 0);
  add_mark(m.here / "p");
  CHECK(run(m.here.path(), {"compress", "m", "--plan", "p", "--out", "o"}).status == 0);
  test::write(m.here / "v.jsonl",
              mark + "{\"text\": \"a\", \"label\": \"yes\"}\n{\"text\": \"b\", \"label\": \"no\"}\n");
  const auto verdicts = run(m.here.path(), {"evaluate", "m", "--text", world + "/heldout.txt", "--windows", "2",
                                            "--verdicts", "v.jsonl", "--verdict-tokens", "8"});
  CAPTURE(verdicts.text);
  CHECK(verdicts.status == 0);
}

TEST_CASE("compress says what it cannot pack, and from what it can", "[program][refusal]") {
  const scratch here("sources");
  REQUIRE(run(here.path(), {"plan", world, "--uniform", "q8_0", "--out", "p"}).status == 0);
  REQUIRE(run(here.path(), {"compress", world, "--plan", "p", "--out", "w.gguf"}).status == 0);
  REQUIRE(run(here.path(), {"compress", world, "--plan", "p", "--out", "w"}).status == 0);
  const auto said = [&](const std::string& source, const std::string& out) {
    return run(here.path(), {"compress", source, "--plan", "p", "--out", out}).text;
  };
  CHECK_THAT(said("w.gguf", "x.gguf"),
             ContainsSubstring("quantized already (q8_0); expected the original model in float32"));
  const auto allowed = run(here.path(), {"compress", "w.gguf", "--plan", "p", "--out", "x", "--allow-requantize"});
  CHECK(allowed.status == 2);
  CHECK_THAT(allowed.text, ContainsSubstring("w.gguf: a GGUF file, which cannot become a folder"));
  for (const std::string out : {"x", "x.gguf"})
    CHECK_THAT(said("w", out),
               ContainsSubstring("w: a folder whose matrices are packed already; expected the original model"));
}

TEST_CASE("outputs that are not finite are refused, not printed as tokens", "[program][refusal]") {
  const copied_model m("overflow");
  std::size_t begin = 0, end = 0;
  m.change_header([&](json& h) {
    json& t = h.at("ln_f.weight");
    REQUIRE(t.at("dtype") == "F16");
    t["dtype"] = "BF16";  // of the same size, with a larger range
    begin = t.at("data_offsets")[0];
    end = t.at("data_offsets")[1];
  });
  std::string file = test::read(m.file("model.safetensors"));
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  for (std::size_t at = begin; at < end; ++at) file[8 + length + at] = '\x7F';  // scales of 3.4e38
  test::write(m.file("model.safetensors"), file);
  const auto refused = run(m.here.path(), {"generate", "m", "--prompt", "The life", "--tokens", "2"});
  CAPTURE(refused.text);
  CHECK(refused.status == 2);
  CHECK_THAT(refused.text, ContainsSubstring("expected finite outputs"));
}

TEST_CASE("a pipe where a file is expected is refused, not waited for", "[program][refusal]") {
  const copied_model m("pipe");
  fs::remove(m.file("model.safetensors"));
  REQUIRE(mkfifo(m.file("model.safetensors").c_str(), 0600) == 0);
  CHECK_THAT(m.refused(), ContainsSubstring("model.safetensors: is not a regular file"));
}

TEST_CASE("an empty text is no value of an option", "[program][refusal]") {
  const scratch here("empty");
  const std::vector<std::vector<std::string>> all{{"plan", world, "--uniform", ""},
                                                  {"plan", world, "--uniform", "q8_0", "--out", ""},
                                                  {"plan", world, "--uniform", "q8_0", "--budget", ""},
                                                  {"compress", world, "--plan", "", "--out", "x"},
                                                  {"evaluate", "", "--text", world + "/heldout.txt"}};
  for (const auto& command : all) {
    const auto refused = run(here.path(), command);
    CAPTURE(command, refused.text);
    CHECK(refused.status == 2);
    CHECK_THAT(refused.text, ContainsSubstring("an empty text; expected a value"));
  }
  CHECK(here.entries() == 0);
}

TEST_CASE("an option that would be ignored is refused", "[program][refusal]") {
  const scratch here("ignored");
  struct ignored {
    std::vector<std::string> arguments;
    std::string option;
  };
  const std::vector<std::string> uniform{"plan", world, "--uniform", "q8_0"},
      magnitude{"score", world, "--scorer", "weight_magnitude"};
  const auto with = [](std::vector<std::string> command, const std::vector<std::string>& more) {
    command.insert(command.end(), more.begin(), more.end());
    return ignored{command, more.front()};
  };
  const std::vector<ignored> all{with(uniform, {"--bits", "4,6,8"}),
                                 with(uniform, {"--prune", "0.5"}),
                                 with(uniform, {"--family", "affine"}),
                                 with(uniform, {"--granularity", "row"}),
                                 with(uniform, {"--std", "sample"}),
                                 with(uniform, {"--entries", "q8_0"}),
                                 with(uniform, {"--allocator", "tiers"}),
                                 with(uniform, {"--sparsity-scores", world + "/facts.json"}),
                                 with({"plan", world, "--scores", world + "/facts.json"}, {"--sparsity", "0.5"}),
                                 with({"plan", world, "--scores", world + "/facts.json"}, {"--units", "half"}),
                                 with(magnitude, {"--facts", world + "/facts.json"}),
                                 with(magnitude, {"--runs", "3"}),
                                 with(magnitude, {"--replace"}),
                                 with(magnitude, {"--seed", "3"}),
                                 with(magnitude, {"--sparsities", "0.5"})};
  for (const ignored& i : all) {
    const auto refused = run(here.path(), i.arguments);
    CAPTURE(i.option, refused.text);
    CHECK(refused.status == 2);
    CHECK_THAT(refused.text, ContainsSubstring("precis: " + i.option + ": would be ignored; expected it only with --"));
  }
  CHECK(here.entries() == 0);
}

TEST_CASE("messages name only options that exist", "[program]") {
  const scratch here("options");
  const auto declared = declared_options(here);
  CHECK(declared.size() >= 19);
  for (const auto& [name, options] : declared) CHECK(options.size() >= 2);
  const fs::path root = fs::path(PRECIS_SOURCE_DIR);
  std::size_t checked = 0;
  const auto check_file = [&](const fs::path& file, const std::string& command) {
    for (const std::string& literal : literals_in(test::read(file))) {
      if (literal.find("llama-") != std::string::npos || literal.find("git ") != std::string::npos)
        continue;  // other programs
      for (const std::string& option : options_in(literal)) {
        CAPTURE(file.string(), literal, option);
        const bool there = std::ranges::any_of(declared, [&](const auto& of) {  // or of a command that the text names
          return of.second.contains(option) &&
                 (command.empty() || of.first == command || literal.find("precis " + of.first) != std::string::npos);
        });
        CHECK(there);
        ++checked;
      }
    }
  };
  for (const auto& entry : fs::directory_iterator(root / "examples/precis/commands")) {
    const std::string name = entry.path().stem().string();
    check_file(entry.path(), declared.contains(name) ? name : "");
  }
  for (const std::string folder : {"examples/precis/jobs", "examples/engine", "include/precis"})
    for (const auto& entry : fs::recursive_directory_iterator(root / folder))
      if (entry.path().extension() == ".cpp" || entry.path().extension() == ".hpp") check_file(entry.path(), "");
  CHECK(checked > 100);
}

TEST_CASE("what a refusal advises is an option of the command that was run", "[program][refusal]") {
  const scratch here("advice");
  const auto declared = declared_options(here);
  test::write(here / "short.txt", "Too short.");
  const std::string text = world + "/heldout.txt", facts = world + "/facts.json";
  const std::vector<std::vector<std::string>> all{
      {"trace", world, "--prompt", "Rome is in", "--subject", "Rome", "--answer", "Xyzzyqua"},
      {"score", world, "--scorer", "gradient_magnitude"},
      {"score", world, "--scorer", "causal_trace"},
      {"score", world, "--scorer", "cca", "--text", "short.txt"},
      {"score", world, "--scorer", "cca", "--text", text, "--windows", "100000"},
      {"score", world, "--scorer", "causal_trace", "--facts", facts, "--resume"},
      {"evaluate", world, "--text", text, "--windows", "100000"},
      {"cost", world, "--text", text, "--windows", "100000"},
      {"cost", world, "--by", "measured"},
      {"plan", world},
      {"plan", world, "--scores", facts, "--allocator", "knapsack"},
      {"plan", world, "--uniform", "q8_0", "--budget", "1bpw"},
      {"evolve", world, "--text", text, "--budget", "4bpw", "--windows", "100000"},
      {"sweep", world, "--text", text, "--windows", "2", "--calibration", text, "--calibration-windows", "100000",
       "--out", "x"},
      {"compare", world, "--text", text, "--windows", "2", "--calibration", text, "--calibration-windows", "100000",
       "--out", "x"},
      {"generate", world, "--prompt", "a", "--temperature", "-1"},
  };
  for (const auto& command : all) {
    const auto refused = run(here.path(), command);
    CAPTURE(command, refused.text);
    CHECK(refused.status == 2);
    const std::size_t message = refused.text.find("precis: ");
    REQUIRE(message != std::string::npos);
    const std::string said = refused.text.substr(message);
    for (const std::string& option : options_in(said)) {
      CAPTURE(option);
      const bool there = std::ranges::any_of(declared, [&](const auto& of) {  // or of a command that the message names
        return of.second.contains(option) && (of.first == command.front() || said.find(of.first) != std::string::npos);
      });
      CHECK(there);
    }
  }
}
