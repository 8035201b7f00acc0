#include <precis/measure/kl_divergence.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/guard.hpp>
#include <precis/model/taps.hpp>
#include <precis/score/weight_magnitude.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

// The adaptor that docs/models.md shows, over an engine that knows nothing of precis. The page quotes this file, and
// the test `docs` compares the two.

/// Somebody's inference engine: one position of one sequence at a time, weights stored `in x out`.
namespace acme {

struct layer {
  std::vector<float> mix, map;  ///< [width x width], in x out
};

/// What one layer remembers of the earlier positions of one sequence.
struct memory {
  std::vector<float> sum;
  int seen = 0;
};

struct engine {
  std::size_t width = 0, vocabulary = 0;
  std::vector<float> embedding;  ///< [vocabulary x width]; the head too
  std::vector<layer> layers;

  void multiply(const std::vector<float>& w, const float* x, float* y) const {
    for (std::size_t o = 0; o < width; ++o) {
      float sum = 0;
      for (std::size_t i = 0; i < width; ++i) sum = std::fma(w[i * width + o], x[i], sum);
      y[o] = sum;
    }
  }
  void attention(std::size_t l, memory& past, const float* x, float* y) const {
    past.sum.resize(width);
    ++past.seen;
    std::vector<float> mean(width);
    for (std::size_t i = 0; i < width; ++i) mean[i] = (past.sum[i] += x[i]) / static_cast<float>(past.seen);
    multiply(layers[l].mix, mean.data(), y);
  }
  void mlp(std::size_t l, const float* x, float* y) const {
    std::vector<float> positive(x, x + width);
    for (float& p : positive) p = p > 0 ? p : 0;
    multiply(layers[l].map, positive.data(), y);
  }
  void head(const float* x, float* logits) const {
    for (std::size_t v = 0; v < vocabulary; ++v) {
      logits[v] = 0;
      for (std::size_t i = 0; i < width; ++i) logits[v] = std::fma(embedding[v * width + i], x[i], logits[v]);
    }
  }

  /// What the engine is for: the logits after a prompt.
  [[nodiscard]] std::vector<float> next(std::span<const int> prompt) const {
    std::vector<memory> past(layers.size());
    std::vector<float> x(width), y(width), logits(vocabulary);
    for (const int id : prompt) {
      std::copy_n(embedding.data() + static_cast<std::size_t>(id) * width, width, x.data());
      for (std::size_t l = 0; l < layers.size(); ++l) {
        attention(l, past[l], x.data(), y.data());
        for (std::size_t i = 0; i < width; ++i) x[i] += y[i];
        mlp(l, x.data(), y.data());
        for (std::size_t i = 0; i < width; ++i) x[i] += y[i];
      }
    }
    head(x.data(), logits.data());
    return logits;
  }
};

}  // namespace acme

namespace {

class adaptor {
 public:
  using batch_type = precis::token_batch;

  explicit adaptor(acme::engine& engine) : engine_(engine) {
    for (std::size_t l = 0; l < engine.layers.size(); ++l)
      for (const precis::part p : {precis::part::attention, precis::part::mlp})
        infos_.push_back(
            {"layers." + std::to_string(l) + "." + std::string(to_string(p)), l, p, engine.width, engine.width});
  }

  // weighted_model, mutable_model: the engine stores in x out, precis wants out x in
  [[nodiscard]] std::span<const precis::matrix_info> matrices() const { return infos_; }
  [[nodiscard]] precis::mutable_weight_view weights(std::size_t i) {
    acme::layer& l = engine_.layers[i / 2];
    return precis::mutable_weight_view(i % 2 == 0 ? l.mix : l.map, engine_.width, engine_.width).transposed();
  }
  [[nodiscard]] precis::weight_view weights(std::size_t i) const {
    const acme::layer& l = engine_.layers[i / 2];
    return precis::weight_view(i % 2 == 0 ? l.mix : l.map, engine_.width, engine_.width).transposed();
  }

  // tappable_model
  [[nodiscard]] std::size_t layers() const { return engine_.layers.size(); }
  template<class Tap>
  [[nodiscard]] precis::float_matrix logits(const batch_type& b, precis::positions which, Tap&& tap) const {
    const precis::activations h = run(b, tap);
    const std::size_t each = which == precis::positions::all ? b.tokens : 1;
    precis::float_matrix z(b.sequences * each, engine_.vocabulary);
    for (std::size_t s = 0; s < b.sequences; ++s)
      for (std::size_t i = 0; i < each; ++i)
        engine_.head(h.view()(s, b.tokens - each + i).data(), z.row(s * each + i).data());
    return z;
  }
  template<class Tap>
  [[nodiscard]] precis::nll loss(const batch_type& b, Tap&& tap) const {
    const precis::float_matrix z = logits(b, precis::positions::all, tap);
    precis::nll sum;
    for (std::size_t i = 0; i < b.targets.size(); ++i) {
      if (b.targets[i] == precis::no_target) continue;
      const auto y = static_cast<std::size_t>(b.targets[i]);
      sum += {.sum = precis::measure::log_sum_exp(z.row(i)) - static_cast<double>(z(i, y)), .count = 1};
    }
    return sum;
  }

  // evaluable_model
  [[nodiscard]] precis::nll loss(const batch_type& b) const { return loss(b, precis::tap::none{}); }

 private:
  template<class Tap>
  [[nodiscard]] precis::activations run(const batch_type& b, Tap& tap) const {
    precis::activations h(b.sequences, b.tokens, engine_.width), y = h;
    const auto each_row = [&](auto&& body) {
      for (std::size_t s = 0; s < b.sequences; ++s)
        for (std::size_t t = 0; t < b.tokens; ++t) body(s, t);
    };
    const auto add = [&] { std::ranges::transform(h.values, y.values, h.values.begin(), std::plus<>{}); };
    each_row([&](std::size_t s, std::size_t t) {
      const auto id = static_cast<std::size_t>(b.sequence(s)[t]);
      if (id >= engine_.vocabulary)
        precis::refuse(
            {.what = "token " + std::to_string(b.sequence(s)[t]), .where = "adaptor", .expected = "the vocabulary's"});
      std::copy_n(engine_.embedding.data() + id * engine_.width, engine_.width, h.view()(s, t).data());
    });
    tap(precis::site{precis::site_kind::embedding, 0}, h.view());
    for (std::size_t l = 0; l < layers(); ++l) {
      tap(precis::site{precis::site_kind::residual, l}, h.view());
      std::vector<acme::memory> past(b.sequences);
      each_row([&](auto s, auto t) { engine_.attention(l, past[s], h.view()(s, t).data(), y.view()(s, t).data()); });
      tap(precis::site{precis::site_kind::attention, l}, y.view());
      add();
      each_row([&](auto s, auto t) { engine_.mlp(l, h.view()(s, t).data(), y.view()(s, t).data()); });
      tap(precis::site{precis::site_kind::mlp, l}, y.view());
      add();
    }
    tap(precis::site{precis::site_kind::residual, layers()}, h.view());
    return h;
  }

  acme::engine& engine_;
  std::vector<precis::matrix_info> infos_;
};

static_assert(precis::weighted_model<adaptor> && precis::mutable_model<adaptor> && precis::evaluable_model<adaptor> &&
              precis::tappable_model<adaptor> && precis::token_model<adaptor>);
static_assert(!precis::resumable_model<adaptor> && !precis::differentiable_model<adaptor>);

acme::engine small_engine() {
  return {.width = 2,
          .vocabulary = 3,
          .embedding = {1, 0, 0, 1, -1, 1},
          .layers = {{.mix = {.5f, -.25f, .25f, .5f}, .map = {.5f, 1, -1, .5f}},
                     {.mix = {.25f, .5f, -.5f, .25f}, .map = {1, -.5f, .5f, 1}}}};
}

}  // namespace

TEST_CASE("the adaptor of the documentation gives the engine's own logits", "[model][adaptor][oracle]") {
  acme::engine engine = small_engine();
  const adaptor model(engine);
  const precis::token_batch batch = precis::prompts(2, {0, 1, 2, 2, 0, 1});
  const precis::float_matrix all = model.logits(batch, precis::positions::all, precis::tap::none{});
  const precis::float_matrix last = model.logits(batch, precis::positions::last, precis::tap::none{});
  for (std::size_t s = 0; s < 2; ++s)
    for (std::size_t t = 0; t < 3; ++t) {
      const std::vector<float> own = engine.next(batch.sequence(s).first(t + 1));
      CHECK(std::ranges::equal(all.row(3 * s + t), own));
      if (t == 2) CHECK(std::ranges::equal(last.row(s), own));
    }
  CHECK(refusal([&] { (void)model.loss(precis::prompts(1, {0, 3})); }) ==
        "adaptor: token 3; expected the vocabulary's");
}

TEST_CASE("the adaptor of the documentation hands out out x in, and the bytes come back",
          "[model][adaptor][worked-example]") {
  acme::engine engine = small_engine();
  adaptor model(engine);
  CHECK(model.matrices()[3].name == "layers.1.mlp");
  CHECK(model.weights(3)(0, 1) == .5f);  // from input 1 to output 0: stored at [1][0]
  CHECK(model.weights(3)(1, 0) == -.5f);
  // Blocks: .25 + .0625 + .0625 + .25 + .25 + 1 + 1 + .25, and .0625 + .25 + .25 + .0625 + 1 + .25 + .25 + 1.
  CHECK(precis::score::weight_magnitude{}(model).values == std::vector<double>{3.125, 3.125});

  const precis::token_batch batch = precis::next_token_batch(1, std::vector<precis::token>{0, 1, 2, 1});
  const precis::nll before = model.loss(batch);
  CHECK(before.count == 3);
  {
    const precis::weight_guard guard(model, std::vector<std::size_t>{0});
    model.weights(0)(0, 1) = 5;
    CHECK(engine.layers[0].mix[2] == 5);
    CHECK_FALSE(model.loss(batch) == before);
  }
  CHECK(model.loss(batch) == before);
}

TEST_CASE("what a tap writes flows on in the adaptor of the documentation", "[model][adaptor][property]") {
  acme::engine engine = small_engine();
  const adaptor model(engine);
  const precis::token_batch batch = precis::prompts(2, {0, 1, 2, 2, 0, 1});
  precis::tap::record clean{[](precis::site) { return true; }};
  (void)model.logits(batch, precis::positions::last, clean);
  REQUIRE(clean.seen.size() == 1 + 3 * 2 + 1);

  const std::vector<float> two_one{2, 1};
  const precis::float_matrix z = model.logits(
      batch, precis::positions::last, precis::tap::replace{{precis::site_kind::residual, model.layers()}, 2, two_one});
  for (std::size_t s = 0; s < 2; ++s) CHECK(std::ranges::equal(z.row(s), std::vector<float>{2, 1, -1}));

  precis::tap::record after{[](precis::site) { return true; }};
  const precis::tap::replace write{{precis::site_kind::attention, 0}, 0, two_one};
  const auto both = [&](precis::site at, precis::activations_view<float> x) {
    write(at, x);
    after(at, x);
  };
  (void)model.logits(batch, precis::positions::last, both);
  // x = e + (2, 1) and then its MLP, at the written token; the later token hears of it in the next layer's mean.
  CHECK(after.find({precis::site_kind::mlp, 0})->view()(0, 0)[0] == .5f * 3 - 1.f * 1);
  CHECK(after.find({precis::site_kind::mlp, 0})->view()(0, 1)[0] ==
        clean.find({precis::site_kind::mlp, 0})->view()(0, 1)[0]);
  CHECK(after.find({precis::site_kind::attention, 1})->view()(0, 1)[0] !=
        clean.find({precis::site_kind::attention, 1})->view()(0, 1)[0]);
}
