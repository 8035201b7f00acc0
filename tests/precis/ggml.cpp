#include "catch.hpp"
#include "run.hpp"

#include <nlohmann/json.hpp>

#include <map>
#include <set>
#include <string>
#include <vector>

using test::run;
using test::scratch;
using test::world;

namespace {

nlohmann::json json_of(const std::filesystem::path& file) { return nlohmann::json::parse(test::read(file)); }

void put_text(const std::filesystem::path& file) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "The capital of France is Paris. The river of Egypt is the Nile.\n";
  test::write(file, text);
}

}  // namespace

TEST_CASE("a preset is a plan, its GGUF file has the plan's types, and every command reads it",
          "[program][ggml][property]") {
  const scratch here("ggml");
  REQUIRE(run(here.path(), {"plan", world, "--preset", "q4_k_m", "--out", "p.plan", "--json", "p.json"}).status == 0);
  const auto planned = json_of(here / "p.json");
  std::map<std::string, std::size_t> wanted;
  bool fallen_back = false;
  for (const auto& unit : planned.at("units")) {
    wanted[unit.at("codec").get<std::string>()] += unit.at("bytes").get<std::size_t>();
    fallen_back = fallen_back || unit.at("codec") == "q5_0" || unit.at("codec") == "q8_0";
  }
  const auto written = run(here.path(), {"compress", world, "--plan", "p.plan", "--out", "m.gguf"});
  INFO(written.text);
  REQUIRE(written.status == 0);
  const auto shown = run(here.path(), {"inspect", "m.gguf", "--tensors", "--json", "i.json"});
  INFO(shown.text);
  REQUIRE(shown.status == 0);
  CHECK_THAT(shown.text, ContainsSubstring("GGUF file") && ContainsSubstring("runs here     yes"));
  const auto found = json_of(here / "i.json");
  CHECK(found.at("architecture") == "gpt2");
  CHECK(found.at("runs") == true);
  CHECK(found.at("metadata").at("gpt2.block_count") == 8);
  for (const auto& type : found.at("types"))
    if (type.at("type") != "float32") CHECK(wanted.at(type.at("type")) == type.at("bytes").get<std::size_t>());

  put_text(here / "text.txt");
  CHECK(run(here.path(), {"evaluate", "m.gguf", "--text", "text.txt", "--windows", "1"}).status == 0);
  CHECK(run(here.path(), {"generate", "m.gguf", "--prompt", "The capital", "--tokens", "3"}).status == 0);
  const auto folder = run(here.path(), {"inspect", world});
  CHECK(folder.status == 0);
  CHECK_THAT(folder.text, ContainsSubstring("Hugging Face folder") && ContainsSubstring("gpt2"));
}

TEST_CASE("a quantized model is quantized again only if that is allowed, with a warning", "[program][ggml][refusal]") {
  const scratch here("requantize");
  REQUIRE(run(here.path(), {"plan", world, "--uniform", "q8_0", "--out", "p.plan"}).status == 0);
  REQUIRE(run(here.path(), {"compress", world, "--plan", "p.plan", "--out", "m.gguf"}).status == 0);
  const std::vector<std::vector<std::string>> commands{
      {"plan", "m.gguf", "--uniform", "q4_0", "--out", "again.plan"},
      {"cost", "m.gguf", "--by", "weights", "--entries", "q4_0", "--out", "again.costs"},
      {"compress", "m.gguf", "--plan", "again.plan", "--out", "again.gguf"}};
  for (auto command : commands) {
    CAPTURE(command);
    const auto refused = run(here.path(), command);
    CHECK(refused.status == 2);
    CHECK_THAT(refused.text,
               ContainsSubstring("are quantized already (q8_0)") && ContainsSubstring("--allow-requantize"));
    command.emplace_back("--allow-requantize");
    const auto allowed = run(here.path(), command);
    INFO(allowed.text);
    CHECK(allowed.status == 0);
    CHECK_THAT(allowed.text, ContainsSubstring("warning: m.gguf: ") && ContainsSubstring("errors of both"));
  }
  REQUIRE(run(here.path(), {"inspect", "again.gguf", "--json", "i.json"}).status == 0);
  std::set<std::string> types;
  const auto found = json_of(here / "i.json");
  for (const auto& t : found.at("types")) types.insert(t.at("type"));
  CHECK(types.contains("q4_0"));
  CHECK_FALSE(types.contains("q8_0"));
}

TEST_CASE("an importance matrix is written, read in both forms, and changes what is encoded", "[program][ggml]") {
  const scratch here("imatrix");
  put_text(here / "text.txt");
  for (const std::string name : {"m.gguf", "m.dat"}) {
    const auto made = run(here.path(), {"imatrix", world, "--text", "text.txt", "--windows", "2", "--out", name});
    INFO(made.text);
    REQUIRE(made.status == 0);
  }
  REQUIRE(run(here.path(), {"plan", world, "--uniform", "q4_0", "--out", "p.plan"}).status == 0);
  std::vector<std::string> files;
  for (const std::string importance : {"", "m.gguf", "m.dat"}) {
    std::vector<std::string> command{"compress", world, "--plan", "p.plan", "--out", "out.gguf", "--replace"};
    if (!importance.empty()) command.insert(command.end(), {"--imatrix", importance});
    const auto done = run(here.path(), command);
    INFO(done.text);
    REQUIRE(done.status == 0);
    if (!importance.empty()) CHECK_THAT(done.text, ContainsSubstring("matrices had an importance"));
    files.push_back(test::read(here / "out.gguf"));
  }
  // The header says which file it was; the tensors stand at the end.
  const auto tensors = [](const std::string& file) { return file.substr(file.size() - 200'000); };
  CHECK(tensors(files[0]) != tensors(files[1]));
  CHECK(tensors(files[1]) == tensors(files[2]));

  // A preset that needs importance has it; formats that take none are refused with it.
  CHECK_THAT(run(here.path(), {"plan", world, "--preset", "IQ2_XS", "--out", "i.plan"}).text,
             ContainsSubstring("no importance matrix"));
  CHECK(run(here.path(), {"plan", world, "--preset", "IQ2_XS", "--imatrix", "m.gguf", "--out", "i.plan"}).status == 0);
  REQUIRE(run(here.path(), {"plan", world, "--uniform", "affine4.g32", "--out", "a.plan"}).status == 0);
  CHECK_THAT(run(here.path(), {"compress", world, "--plan", "a.plan", "--imatrix", "m.gguf", "--out", "a"}).text,
             ContainsSubstring("no importance that the plan's formats use"));
  CHECK_THAT(run(here.path(), {"plan", world, "--preset", "Q9", "--out", "i.plan"}).text,
             ContainsSubstring("no preset called 'Q9'") && ContainsSubstring("Q4_K_M"));
}
