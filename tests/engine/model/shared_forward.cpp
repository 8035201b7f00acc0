#include <engine/model/shared_forward.hpp>

#include <engine/model/transformer.hpp>

#include <precis/model/batch.hpp>

#include "catch.hpp"
#include "engine/random_models.hpp"

#include <atomic>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <vector>

TEST_CASE("scopes of shared forwards nest, and end", "[engine][shared_forward]") {
  using engine::shared_forward;
  CHECK_FALSE(shared_forward::threads());
  {
    const shared_forward outer(3);
    CHECK(shared_forward::threads() == 3u);
    CHECK(engine::worthwhile_pieces(1e9, 1000) == 12);
    CHECK(engine::worthwhile_pieces(1e9, 5) == 5);
    CHECK(engine::worthwhile_pieces(1e3, 1000) == 1);
    {
      const shared_forward inner(1);
      CHECK(shared_forward::threads() == 1u);
      CHECK(engine::worthwhile_pieces(1e9, 1000) == 1);
    }
    CHECK(engine::worthwhile_pieces(1e9, 1000) == 12);
  }
  CHECK_FALSE(shared_forward::threads());
  CHECK(engine::worthwhile_pieces(1e9, 1000) == 1);
}

TEST_CASE("pieces run once each, do not divide their own work, and hand on what they throw",
          "[engine][shared_forward]") {
  const std::optional<std::size_t> threads =
      GENERATE(std::optional<std::size_t>(), std::optional<std::size_t>(1), std::optional<std::size_t>(4));
  std::optional<engine::shared_forward> scope;
  if (threads) scope.emplace(*threads);
  std::vector<std::atomic<int>> runs(20);
  std::atomic<bool> divided{false};
  engine::run_pieces(runs.size(), [&](std::size_t i) {
    ++runs[i];
    if (threads == 4u && engine::worthwhile_pieces(1e9, 1000) > 1) divided = true;
  });
  for (const std::atomic<int>& r : runs) CHECK(r == 1);
  CHECK_FALSE(divided);
  CHECK_THROWS_AS(engine::run_pieces(5,
                                     [](std::size_t i) {
                                       if (i == 3) throw std::runtime_error("piece 3");
                                     }),
                  std::runtime_error);
}

TEST_CASE("a forward that threads share has the bits of one thread", "[engine][shared_forward][property]") {
  const engine::config shape{.architecture = engine::architecture::llama,
                             .layers = 2,
                             .width = 64,
                             .heads = 4,
                             .kv_heads = 2,
                             .hidden = 160,
                             .vocabulary = 3000,
                             .context = 600,
                             .norm_epsilon = 1e-5f,
                             .rope_theta = 10000.f,
                             .tied_head = GENERATE(true, false),
                             .activation = engine::activation::silu};
  const engine::transformer model = random_models::random_model(shape, 11, 0.1f);
  precis::token_batch batch{.sequences = 2, .tokens = 600, .ids = {}, .targets = {}};
  for (std::size_t i = 0; i < 1200; ++i) {
    batch.ids.push_back(static_cast<precis::token>(i * 7919 % 3000));
    batch.targets.push_back(i % 5 == 0 ? precis::no_target : static_cast<precis::token>(i * 104729 % 3000));
  }
  const precis::nll alone = model.loss(batch);
  const precis::float_matrix logits = model.logits(batch, precis::positions::last);
  const engine::shared_forward threads(3);
  CHECK(model.loss(batch) == alone);
  CHECK(model.logits(batch, precis::positions::last) == logits);
}
