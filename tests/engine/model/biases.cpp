#include <engine/model/family.hpp>
#include <engine/model/transformer.hpp>
#include <engine/model_files/load.hpp>

#include <precis/model/concepts.hpp>
#include <precis/model/taps.hpp>

#include "catch.hpp"
#include "engine/tiny_models.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace precis;
using engine::transformer;

static_assert(sliced_model<transformer> && bias_model<transformer> && token_bias_model<transformer>);

namespace {

engine::weights small_weights(const engine::config& c) {
  engine::weights w = support::sample_weights(c);
  for (const engine::tensor<float>& t : engine::tensors(w))
    for (float& v : t.values) v *= 0.125f;
  return w;
}

basic_matrix<double> rows(std::size_t tokens, std::size_t out) {
  const random_stream draw(3, purpose("token biases"));
  basic_matrix<double> m(tokens, out);
  for (std::size_t i = 0; i < m.values.size(); ++i) m.values[i] = 0.25 * draw.normal(i);
  return m;
}

token_batch five_tokens() {
  token_batch b = prompts(2, {3, 17, 290, 5, 5, 200, 4, 1, 77, 12});
  b.targets = {no_target, 3, 2, no_target, 8, 1, no_target, 250, 4, 5};
  return b;
}

}  // namespace

TEST_CASE("a token bias is added at its position, on every path through the model", "[engine][biases][property]") {
  const engine::config c = GENERATE(support::tiny_gpt2(), support::tiny_llama());
  transformer model(small_weights(c));
  const token_batch batch = five_tokens();
  const float_matrix before = model.logits(batch, positions::all);
  for (std::size_t m = 0; m < model.matrices().size(); ++m)
    model.add_token_bias(m, rows(5, model.matrices()[m].out).view(), {});
  const float_matrix all = model.logits(batch, positions::all);
  CHECK(all != before);
  CHECK(model.loss(batch) == model.backward(batch, [](const linear_gradient&) {}));

  activations x = model.enter(batch);
  for (std::size_t l = 0; l < model.layers(); ++l) model.run_layer(l, x);
  CHECK(model.read_loss(batch, std::as_const(x).view()) == model.loss(batch));

  const float_matrix last = model.logits(batch, positions::last);
  for (std::size_t s = 0; s < 2; ++s) CHECK(std::ranges::equal(last.row(s), all.row(s * 5 + 4)));

  // A prefix has the same positions as in the full sequence, and so has a continuation of a cache.
  const float_matrix prefix = model.logits(prompts(1, {3, 17, 290}), positions::all);
  for (std::size_t t = 0; t < 3; ++t) CHECK(std::ranges::equal(prefix.row(t), all.row(t)));
  engine::cache cache;
  static_cast<void>(model.capture(batch, cache, tap::none{}));
  activations rest(2, 2, c.width);
  for (std::size_t s = 0; s < 2; ++s)
    for (std::size_t t = 0; t < 2; ++t) std::ranges::copy(cache.residual(0)(s, 3 + t), rest.view()(s, t).begin());
  const std::vector<std::size_t> both{0, 1};
  for (std::size_t l = 0; l < model.layers(); ++l)
    model.run_layer({.layer = l,
                     .first_token = 3,
                     .sequences = both,
                     .outputs = l + 1 == model.layers() ? positions::last : positions::all},
                    cache, rest.view());
  float_matrix ends(2, c.width);
  for (std::size_t s = 0; s < 2; ++s) std::ranges::copy(rest.view()(s, 1), ends.row(s).begin());
  CHECK(model.read_out(std::as_const(ends).view()) == last);
}

TEST_CASE("the tap sees the token bias of the attention's output", "[engine][biases][oracle]") {
  transformer model(small_weights(support::tiny_llama()));
  const token_batch batch = five_tokens();
  const auto attention_of = [&] {
    activations seen;
    static_cast<void>(model.logits(batch, positions::all, [&](site at, activations_view<float> x) {
      if (at != site{site_kind::attention, 0}) return;
      seen = activations(x.sequences, x.tokens, x.features);
      for (std::size_t s = 0; s < x.sequences; ++s)
        for (std::size_t t = 0; t < x.tokens; ++t) std::ranges::copy(x(s, t), seen.view()(s, t).begin());
    }));
    return seen;
  };
  const activations before = attention_of();
  const std::vector<matrix_slice> slices = model.slices();
  const auto out = std::ranges::find(slices, role::attention_out, &matrix_slice::role);
  const basic_matrix<double> b = rows(4, 8);
  const std::vector<double> later(8, 0.5);
  model.add_token_bias(out->matrix, b.view(), later);
  const activations after = attention_of();
  for (std::size_t s = 0; s < 2; ++s)
    for (std::size_t t = 0; t < 5; ++t)
      for (std::size_t f = 0; f < 8; ++f)
        CHECK(static_cast<double>(after.view()(s, t)[f]) ==
              Approx(static_cast<double>(before.view()(s, t)[f]) + (t < 4 ? b(t, f) : 0.5)).margin(1e-6));
}

TEST_CASE("a bias is added to the map's own bias, or replaces the missing one", "[engine][biases][oracle]") {
  const token_batch batch = five_tokens();
  SECTION("GPT-2") {
    transformer model(small_weights(support::tiny_gpt2())), by_hand = model;
    const std::vector<double> more(model.matrices()[0].out, 0.25);
    model.add_bias(0, more);
    for (float& b : by_hand.parameters().blocks[0].qkv.bias) b += 0.25f;
    CHECK(model.loss(batch) == by_hand.loss(batch));
    CHECK(model.parameters().blocks[0].qkv.token_bias.empty());
  }
  SECTION("Llama: equal to the same token bias at every position") {
    transformer model(small_weights(support::tiny_llama())), by_token = model;
    for (std::size_t m = 0; m < model.matrices().size(); ++m) {
      const basic_matrix<double> b(5, model.matrices()[m].out, 0.125);
      model.add_bias(m, b.row(0));
      by_token.add_token_bias(m, b.view(), {});
    }
    CHECK(model.loss(batch) == by_token.loss(batch));
    CHECK(model.loss(batch) != transformer(small_weights(support::tiny_llama())).loss(batch));
    const support::temporary_folder folder;
    CHECK(refusal([&] {
            engine::save(model.parameters(), folder / "model");
          }).find("has a bias that its family's files cannot store") != std::string::npos);
  }
}

TEST_CASE("sequences longer than the recorded biases are refused, unless there are later biases",
          "[engine][biases][refusal]") {
  transformer model(small_weights(support::tiny_gpt2()));
  model.add_token_bias(0, rows(3, 24).view(), {});
  CHECK(refusal([&] { static_cast<void>(model.logits(five_tokens(), positions::last)); }) ==
        "transformer: sequences of 5 tokens; expected at most 3, the number of positions with recorded biases");
  CHECK(refusal([&] { model.add_token_bias(0, rows(4, 24).view(), {}); }) ==
        "transformer: biases of h.0.attn.c_attn at 4 positions; expected 3, the number that it already has");
  CHECK(refusal([&] { model.add_bias(1, std::vector<double>(3)); }) ==
        "transformer: 3 biases for h.0.attn.c_proj; expected 8, one per output");
}

TEST_CASE("slices cover every weight once, with the family's heads", "[engine][slices][property]") {
  const engine::config c = GENERATE(support::tiny_gpt2(), support::tiny_llama());
  const transformer model(small_weights(c));
  const std::vector<matrix_slice> slices = model.slices();
  check_slices(slices, model.matrices(), "test");
  std::map<std::size_t, std::size_t> weights;
  for (const matrix_slice& s : slices) {
    weights[s.matrix] += s.out * s.in;
    CHECK(s.layer == model.matrices()[s.matrix].layer);
    CHECK(s.role != precis::role::other);
    if (s.role == role::key) {
      CHECK(s.heads == c.kv_heads);
      CHECK(s.out == c.kv_width());
      CHECK(s.first_out == (c.architecture == engine::architecture::gpt2 ? c.width : 0));
    }
  }
  for (std::size_t m = 0; m < model.matrices().size(); ++m) CHECK(weights[m] == model.matrices()[m].weights());
  check_slices(by_head(slices), model.matrices(), "test");
}
