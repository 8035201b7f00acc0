#include <precis/score/cca.hpp>

#include <engine/files/json.hpp>
#include <engine/model/transformer.hpp>
#include <engine/model_files/load.hpp>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "shared.hpp"

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

using namespace precis;

TEST_CASE("canonical correlations of the real model's blocks", "[slow][score][cca][golden][oracle]") {
  const auto folder = shared_path("models/imdb-gpt2"), path = shared_path("golden/imdb-gpt2/cca.json"),
             text = shared_path("data/wikitext2-test.txt");
  if (!folder || !path || !text) return;
  std::ifstream golden_file(*path), text_file(*text, std::ios::binary);
  const engine::json golden = engine::json::parse(golden_file);
  engine::bundle loaded = engine::load(*folder);
  const engine::transformer model(std::move(loaded.weights));
  const std::string words((std::istreambuf_iterator<char>(text_file)), {});
  const std::vector<token> ids = loaded.tokenizer.encode(words);
  const auto first = golden.at("first_token_index").get<std::size_t>();
  const auto length = golden.at("window_tokens").get<std::size_t>();
  std::vector<token_batch> batches;
  for (std::size_t w = 0; w < golden.at("windows").get<std::size_t>(); ++w) {
    const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(first + w * length);
    batches.push_back(prompts(1, {begin, begin + static_cast<std::ptrdiff_t>(length)}));
  }

  const auto check = [&](const score::cca& how, const char* name) {
    const score::cca_table table = how.compare(model, batches);
    CHECK(table.rows == 3060);
    CHECK(table.ranks == golden.at("ranks").get<std::vector<std::size_t>>());
    double worst = 0;
    for (std::size_t i = 0; i < table.sites.size(); ++i)
      for (std::size_t j = 0; j < table.sites.size(); ++j)
        worst = std::max(worst, std::abs(table.similarity(i, j) - golden.at(name).at(i).at(j).get<double>()));
    CHECK(worst < 1e-3);  // the golden file's tolerance
  };
  check({}, "mean_correlation");
  check({.leading = 1}, "top1");
}
