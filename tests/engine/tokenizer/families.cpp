#include <engine/tokenizer/tokenizer.hpp>

#include <engine/files/json.hpp>

#include <nlohmann/json.hpp>

#include "engine/support.hpp"
#include "shared.hpp"

#include "catch.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

using namespace support;

namespace {

using ids = std::vector<precis::token>;

/// Checks every case of a family, and returns how many there are.
std::size_t check_cases(const std::filesystem::path& folder) {
  const engine::tokenizer t = engine::load_tokenizer(folder);
  const engine::json root = engine::parse_json(slurp(folder / "tokenizer_cases.json"), "cases");
  std::size_t wrong = 0;
  for (const engine::json& c : root.at("cases")) {
    const auto text = c.at("text").get<std::string>();
    const auto plain = c.at("ids").get<ids>(), special = c.at("ids_special").get<ids>();
    const bool right =
        t.encode(text, engine::start::text) == plain && t.encode(text) == special &&
        t.pieces(text, engine::start::text) == c.at("tokens").get<std::vector<std::string>>() &&
        t.decode(plain) == c.at("decoded").get<std::string>() &&
        t.decode(special, engine::tokenizer::special_text::dropped) == c.at("decoded_skipped").get<std::string>();
    if (right) continue;
    ++wrong;
    if (wrong > 3) continue;
    UNSCOPED_INFO(folder.filename().string() << ": " << text);
    CHECK(t.encode(text, engine::start::text) == plain);
    CHECK(t.encode(text) == special);
    CHECK(t.pieces(text, engine::start::text) == c.at("tokens").get<std::vector<std::string>>());
    CHECK(t.decode(plain) == c.at("decoded").get<std::string>());
    CHECK(t.decode(special, engine::tokenizer::special_text::dropped) == c.at("decoded_skipped").get<std::string>());
  }
  CHECK(wrong == 0);
  for (const engine::json& c : root.value("pairs", engine::json::array())) {
    const auto pair = t.encode_pair(c.at("text").get<std::string>(), c.at("pair").get<std::string>());
    CHECK(pair.ids == c.at("ids").get<ids>());
    CHECK(pair.types == c.at("type_ids").get<std::vector<unsigned>>());
  }
  return root.at("cases").size();
}

}  // namespace

TEST_CASE("tokenizers of model families: ids, pieces and texts equal the reference", "[engine][tokenizer][oracle]") {
  const auto families = shared_path("golden/families");
  if (!families) return;
  std::vector<std::filesystem::path> folders;
  for (const auto& entry : std::filesystem::directory_iterator(*families))
    if (std::filesystem::exists(entry.path() / "tokenizer_cases.json")) folders.push_back(entry.path());
  std::ranges::sort(folders);
  std::size_t cases = 0;
  for (const auto& folder : folders) cases += check_cases(folder);
  CHECK(folders.size() >= 30);
  CHECK(cases >= 5000);
}
