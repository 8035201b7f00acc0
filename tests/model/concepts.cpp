#include <precis/model/concepts.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"

#include <algorithm>
#include <span>
#include <string>
#include <vector>

using namespace precis;

namespace {

/// A minimal weighted_model: no loss, no layers, no tokens.
struct weights_only {
  std::vector<matrix_info> info{{"w", 0, part::other, 1, 1}};
  float value = 1;
  [[nodiscard]] std::span<const matrix_info> matrices() const { return info; }
  [[nodiscard]] weight_view weights(std::size_t) const { return {&value, 1, 1, 1, 1}; }
};
static_assert(weighted_model<weights_only>);
static_assert(!mutable_model<weights_only> && !evaluable_model<weights_only> && !tappable_model<weights_only> &&
              !differentiable_model<weights_only>);

/// A loss over a batch without tokens: the concepts do not require a transformer.
struct line_fit {
  using batch_type = std::vector<double>;
  [[nodiscard]] nll loss(const batch_type& b) const { return {.sum = 0.5 * b[0] * b[0], .count = b.size()}; }
};
static_assert(evaluable_model<line_fit> && !token_model<line_fit> && !weighted_model<line_fit>);

/// A loss that returns only its mean, which cannot be merged over batches.
struct mean_only {
  using batch_type = token_batch;
  [[nodiscard]] double loss(const batch_type&) const { return 1.0; }
};
static_assert(!evaluable_model<mean_only> && token_model<mean_only>);

static_assert(!evaluable_model<int> && !weighted_model<int>);  // asking is not an error

}  // namespace

TEST_CASE("a resumed run gives the bits of a full run", "[model][concepts][property]") {
  const micro_transformer model;
  const token_batch batch = prompts(3, {0, 1, 2, 2, 2, 0, 1, 0, 2});
  micro_transformer::cache_type cache;
  const float_matrix full = model.capture(batch, cache, tap::none{});
  CHECK(model.logits(batch, positions::last, tap::none{}) == full);

  const std::vector<std::size_t> all{0, 1, 2};
  for (std::size_t from = 0; from <= model.layers(); ++from) {
    CAPTURE(from);
    const activations_view<const float> entering = cache.residual(from);
    activations h(3, 3, 2);
    for (std::size_t s = 0; s < 3; ++s)
      for (std::size_t t = 0; t < 3; ++t) std::ranges::copy(entering(s, t), h.view()(s, t).begin());
    for (std::size_t l = from; l < model.layers(); ++l)
      model.run_layer({.layer = l, .first_token = 0, .sequences = all, .outputs = positions::all}, cache, h.view(),
                      tap::none{});
    float_matrix last(3, 2);
    for (std::size_t s = 0; s < 3; ++s) std::ranges::copy(h.view()(s, 2), last.row(s).begin());
    CHECK(model.read_out(last.view()) == full);
  }
}

TEST_CASE("enter, run_layer and read_loss give the bits of loss", "[model][concepts][property]") {
  const micro_transformer model;
  const token_batch batch = micro_transformer::labelled();
  activations h = model.enter(batch);
  for (std::size_t l = 0; l < model.layers(); ++l) model.run_layer(l, h);
  CHECK(model.read_loss(batch, h.view()) == model.loss(batch));
  CHECK(model.read_out(std::as_const(h).view().as_matrix()) == model.logits(batch, positions::all, tap::none{}));
}

TEST_CASE("logits of all positions include those of the last positions", "[model][concepts][property]") {
  const micro_transformer model;
  const token_batch batch = prompts(2, {0, 1, 2, 2, 1, 0});
  const float_matrix all = model.logits(batch, positions::all, tap::none{}),
                     last = model.logits(batch, positions::last, tap::none{});
  REQUIRE(all.rows == 6);
  REQUIRE(last.rows == 2);
  for (std::size_t s = 0; s < 2; ++s)
    for (std::size_t v = 0; v < 3; ++v) CHECK(all(3 * s + 2, v) == last(s, v));
}

TEST_CASE("weight gradients are output gradients times inputs", "[model][concepts][oracle]") {
  micro_transformer model;
  const auto batch = micro_transformer::labelled();
  std::vector<basic_matrix<double>> gradient(4, basic_matrix<double>(2, 2));
  const nll loss = model.backward(batch, [&](const linear_gradient& g) {
    for (std::size_t s = 0; s < g.input.sequences; ++s)
      for (std::size_t t = 0; t < g.input.tokens; ++t)
        for (std::size_t r = 0; r < 2; ++r)
          for (std::size_t c = 0; c < 2; ++c)
            gradient[g.matrix](r, c) +=
                static_cast<double>(g.output_gradient(s, t)[r]) * static_cast<double>(g.input(s, t)[c]);
  });
  CHECK(loss.sum == Approx(model.loss(batch).sum).epsilon(1e-12));

  // Central differences. The loss is of order 10 with float logits (relative error 1e-7), so with a step of 2^-7 the
  // rounding error is about 1e-6 / 2^-7 = 1.3e-4, and the truncation error about 6e-5 (the step squared) times a third
  // derivative.
  constexpr float step = 0x1p-7f;
  for (std::size_t m = 0; m < 4; ++m)
    for (std::size_t r = 0; r < 2; ++r)
      for (std::size_t c = 0; c < 2; ++c) {
        CAPTURE(m, r, c);
        const float kept = model.weights(m)(r, c);
        model.weights(m)(r, c) = kept + step;
        const double above = model.loss(batch).sum;
        model.weights(m)(r, c) = kept - step;
        const double below = model.loss(batch).sum;
        model.weights(m)(r, c) = kept;
        CHECK(gradient[m](r, c) ==
              Approx((above - below) / (2.0 * static_cast<double>(step))).epsilon(5e-3).margin(5e-3));
      }
}
