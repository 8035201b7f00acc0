#include <precis/core/thread_pool.hpp>
#include <precis/model/whole_forwards.hpp>
#include <precis/score/pruning_sensitivity.hpp>
#include <precis/score/taylor.hpp>

#include <engine/files/json.hpp>
#include <engine/model/transformer.hpp>
#include <engine/model_files/load.hpp>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "shared.hpp"

#include <cmath>
#include <fstream>
#include <string>
#include <vector>

using namespace precis;

TEST_CASE("pruning and perturbing the real model, block by block", "[score][golden][oracle][slow]") {
  const auto folder = shared_path("models/imdb-gpt2"), path = shared_path("golden/imdb-gpt2/sensitivity.json"),
             batch_path = shared_path("golden/imdb-gpt2/gradients.json");
  if (!folder || !path || !batch_path) return;
  std::ifstream file(*path), batch_file(*batch_path);
  const engine::json golden = engine::json::parse(file), batch = engine::json::parse(batch_file).at("batch");
  engine::transformer model(engine::load(*folder).weights);

  // One sequence per batch: batches run in parallel, and losses add up to the same sum in any grouping.
  std::vector<token_batch> batches;
  for (const auto& row : batch) batches.push_back(next_token_batch(1, row.get<std::vector<token>>()));
  double sum = 0;
  for (const token_batch& b : batches) sum += model.loss(b).sum;
  CHECK(sum / (64.0 * static_cast<double>(batches.size())) ==
        Approx(golden.at("base_nll").get<double>()).epsilon(1e-4));

  const score::pruning_sensitivity pruning{.sparsities = {0.3, 0.5}};
  const basic_matrix<double> pruned = pruning.table(model, batches, thread_pool{2});
  for (const auto& each : golden.at("pruning")) {
    const double sparsity = each.at("sparsity");
    INFO("layer " << each.at("layer") << " sparsity " << sparsity);
    CHECK(pruned(each.at("layer"), sparsity == 0.3 ? 0 : 1) == Approx(each.at("delta_nll").get<double>()).margin(2e-5));
  }

  const auto sine = [](const matrix_info& m, std::size_t, double, std::span<double> e) {
    for (std::size_t o = 0; o < m.out; ++o)
      for (std::size_t i = 0; i < m.in; ++i)
        e[o * m.in + i] =
            0.01 * std::sin(0.7 * static_cast<double>(o) + 1.3 * static_cast<double>(i) + static_cast<double>(m.layer));
  };
  const score::taylor taylor{
      .draws = 1, .draw = score::taylor::signs::independent, .perturb = score::taylor::target::first_matrix};
  const score::perturbed_losses losses = taylor.losses_of(model, batches, sine, thread_pool{2});
  for (const auto& each : golden.at("perturbation").at("values")) {
    INFO("layer " << each.at("layer"));
    CHECK(total(losses.changed[each.at("layer").get<std::size_t>()]).mean() - total(losses.unchanged).mean() ==
          Approx(each.at("delta_nll").get<double>()).margin(2e-5));
  }

  whole_forwards plain(model);
  const std::span<const token_batch> one = std::span<const token_batch>(batches).first(1);
  CHECK(taylor.losses_of(plain, one, sine) == taylor.losses_of(model, one, sine));
}
