#include <precis/score/gradient_magnitude.hpp>
#include <precis/score/weight_magnitude.hpp>

#include <engine/files/json.hpp>
#include <engine/model/transformer.hpp>
#include <engine/model_files/load.hpp>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "shared.hpp"

#include <fstream>
#include <vector>

using namespace precis;

TEST_CASE("norms of the real model's weights and gradients, per matrix", "[slow][score][golden][oracle]") {
  const auto folder = shared_path("models/imdb-gpt2"), path = shared_path("golden/imdb-gpt2/gradients.json");
  if (!folder || !path) return;
  std::ifstream file(*path);
  const engine::json golden = engine::json::parse(file);
  const engine::transformer model(engine::load(*folder).weights);

  std::vector<token> ids;
  for (const auto& row : golden.at("batch"))
    for (const auto& id : row) ids.push_back(id);
  const std::vector<token_batch> batches{next_token_batch(golden.at("batch").size(), ids)};
  CHECK(model.loss(batches[0]).mean() == Approx(golden.at("nll").get<double>()).epsilon(1e-4));

  const scores weights = score::weight_magnitude{.units = unit_kind::matrix}(model);
  const scores gradients = score::gradient_magnitude{.units = unit_kind::matrix}(model, batches);
  REQUIRE(weights.size() == golden.at("per_matrix").size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    INFO(weights.units[i].name);
    const engine::json& expected = golden.at("per_matrix").at(weights.units[i].name);
    CHECK(weights.values[i] == Approx(expected.at("weight_sq").get<double>()).epsilon(1e-4));
    CHECK(gradients.values[i] == Approx(expected.at("grad_sq").get<double>()).epsilon(1e-4));
  }
}
