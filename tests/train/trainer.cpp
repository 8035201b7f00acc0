#include "catch.hpp"
#include "temporary_folder.hpp"

#include <train/trainer.hpp>

#include <engine/files/files.hpp>

#include <precis/core/error.hpp>
#include <precis/core/random.hpp>
#include <precis/core/thread_pool.hpp>

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

engine::config tiny() {
  return {.layers = 2, .width = 16, .heads = 2, .kv_heads = 2, .hidden = 32, .vocabulary = 11, .context = 8};
}

/// Repeats 10 0 1 2 ... 9, so that the next token is certain.
train::corpus counting() {
  train::corpus text;
  for (int paragraph = 0; paragraph < 30; ++paragraph) {
    text.starts.push_back(text.ids.size());
    text.ids.push_back(10);
    for (int i = 0; i < 10; ++i) text.ids.push_back(i);
  }
  return text;
}

train::recipe tiny_recipe() {
  return {.shape = tiny(),
          .seed = 5,
          .steps = 60,
          .sequences = 8,
          .tokens = 8,
          .shards = 4,
          .warm_up = 5,
          .peak_rate = 1e-2};
}

std::vector<float> every_value(const engine::weights& w) {
  std::vector<float> all;
  for (const engine::tensor<const float>& t : engine::tensors(w))
    all.insert(all.end(), t.values.begin(), t.values.end());
  return all;
}

}  // namespace

TEST_CASE("a tiny model starts at chance level and learns to count", "[train][trainer][property]") {
  train::trainer t(tiny_recipe(), counting());
  const double first = t.advance(precis::sequential{}).mean();
  CHECK(first == Approx(std::log(11.0)).margin(0.3));  // the tied head reads small random embeddings: nearly uniform
  double last = 0;
  while (!t.done()) last = t.advance(precis::sequential{}).mean();
  CHECK(last < 0.25 * first);
}

TEST_CASE("one and two threads give bit-identical weights", "[train][trainer][property]") {
  train::trainer one(tiny_recipe(), counting()), two(tiny_recipe(), counting());
  for (int i = 0; i < 10; ++i) {
    const precis::nll a = one.advance(precis::sequential{}), b = two.advance(precis::thread_pool{2});
    REQUIRE(a == b);
  }
  CHECK(every_value(one.model().parameters()) == every_value(two.model().parameters()));
}

TEST_CASE("the shards of a step form its batch, and each step has a different one", "[train][trainer][property]") {
  const train::trainer t(tiny_recipe(), counting());
  const precis::token_batch part = t.batch(3, 1);
  CHECK(part.sequences == 2);
  CHECK(part.tokens == 8);
  CHECK(part == t.batch(3, 1));
  CHECK_FALSE(part == t.batch(4, 1));
  CHECK(part.ids[0] == 10);  // even sequences begin at a paragraph
  for (std::size_t i = 0; i + 1 < part.tokens; ++i) CHECK(part.targets[i] == part.ids[i + 1]);
}

TEST_CASE("the first step moves every weight by the gradient's sign and no more than the rate",
          "[train][trainer][property]") {
  train::recipe r = tiny_recipe();
  r.weight_decay = 0;
  train::trainer t(r, counting());
  const std::vector<float> before = every_value(t.model().parameters());
  engine::weights gradient = engine::zeros(r.shape);
  for (std::size_t s = 0; s < r.shards; ++s)
    static_cast<void>(t.model().backward(t.batch(0, s), [](const precis::linear_gradient&) {}, gradient));
  static_cast<void>(t.advance(precis::sequential{}));
  const std::vector<float> after = every_value(t.model().parameters()), slope = every_value(gradient);
  std::size_t wrong = 0, moved = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const float step = after[i] - before[i];
    if (std::abs(step) > 1.001f * 0.01f / 5 + 1e-6f) ++wrong;  // rate of step 1 of 5
    if (std::abs(slope[i]) < 1e-3f) continue;
    ++moved;
    if (step * slope[i] >= 0) ++wrong;
  }
  CHECK(wrong == 0);
  CHECK(moved > before.size() / 2);
}

TEST_CASE("a resumed run ends with the weights of an uninterrupted one", "[train][trainer][property]") {
  const temporary_folder folder;
  const fs::path file = folder / "checkpoint";
  train::trainer whole(tiny_recipe(), counting()), first(tiny_recipe(), counting()), second(tiny_recipe(), counting());
  for (int i = 0; i < 12; ++i) static_cast<void>(whole.advance(precis::sequential{}));
  for (int i = 0; i < 7; ++i) static_cast<void>(first.advance(precis::sequential{}));
  first.save(file);
  second.restore(file);
  CHECK(second.step() == 7);
  for (int i = 7; i < 12; ++i) static_cast<void>(second.advance(precis::sequential{}));
  CHECK(every_value(whole.model().parameters()) == every_value(second.model().parameters()));
}

TEST_CASE("checkpoints of other runs and damaged ones are refused", "[train][trainer][refusal]") {
  const temporary_folder folder;
  const fs::path file = folder / "checkpoint";
  train::trainer t(tiny_recipe(), counting());
  t.save(file);
  train::recipe other = tiny_recipe();
  other.seed = 6;
  train::trainer different(other, counting());
  CHECK_THROWS_WITH(different.restore(file), ContainsSubstring("another run"));
  train::corpus longer = counting();
  longer.ids.push_back(3);
  train::trainer other_text(tiny_recipe(), longer);
  CHECK_THROWS_WITH(other_text.restore(file), ContainsSubstring("another run"));
  fs::resize_file(file, fs::file_size(file) - 4);
  CHECK_THROWS_WITH(t.restore(file), ContainsSubstring("bytes of state"));
  engine::write_file(file, "something else");
  CHECK_THROWS_WITH(t.restore(file), ContainsSubstring("not a checkpoint"));
}

TEST_CASE("recipes and texts that cannot be trained are refused", "[train][trainer][refusal]") {
  const auto refused = [](auto change, const std::string& words) {
    train::recipe r = tiny_recipe();
    train::corpus text = counting();
    change(r, text);
    CHECK_THROWS_WITH(train::trainer(r, text), ContainsSubstring(words));
  };
  refused([](auto& r, auto&) { r.shards = 3; }, "8 sequences in 3 shards");
  refused([](auto& r, auto&) { r.tokens = 9; }, "sequences of 9 tokens");
  refused([](auto& r, auto&) { r.warm_up = 60; }, "60 steps with 60 of warm-up");
  refused([](auto&, auto& text) { text.ids.resize(8); }, "a text of 8 tokens");
  refused([](auto&, auto& text) { text.ids[20] = 11; }, "token 11");
  refused([](auto& r, auto&) { r.shape.architecture = engine::architecture::llama; }, "no GPT-2");
}

TEST_CASE("rounding to binary16 keeps values in range and refuses others", "[train][trainer][worked-example]") {
  engine::weights w = engine::zeros(tiny());
  w.token_embedding[0] = 1.0f / 3;  // 0.33325195 is the nearest: 2^-2 (1 + 341 / 1024)
  w.token_embedding[1] = -2.5f;
  train::round_to_half(w);
  CHECK(w.token_embedding[0] == 0.25f * (1 + 341.f / 1024));
  CHECK(w.token_embedding[1] == -2.5f);
  w.blocks[1].up.values[3] = 1e6f;
  CHECK_THROWS_WITH(train::round_to_half(w), ContainsSubstring("h.1.mlp.c_fc.weight"));
}
