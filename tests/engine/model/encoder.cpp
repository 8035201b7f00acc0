#include <engine/model/encoder.hpp>

#include <engine/model/transformer.hpp>

#include <precis/core/random.hpp>
#include <precis/evaluate/accuracy.hpp>
#include <precis/evaluate/perplexity.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/guard.hpp>
#include <precis/model/taps.hpp>
#include <precis/score/gradient_magnitude.hpp>
#include <precis/score/weight_magnitude.hpp>

#include "catch.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using namespace precis;
using engine::encoder;
using engine::text_batch;

static_assert(mutable_model<encoder>);
static_assert(evaluable_model<encoder>);
static_assert(tappable_model<encoder>);
static_assert(differentiable_model<encoder>);
static_assert(!token_model<encoder>);
static_assert(!resumable_model<encoder>);  // every position depends on all others
static_assert(!encoder::causal);

namespace {

engine::config tiny() {
  return {.architecture = engine::architecture::bert,
          .layers = 3,
          .width = 24,
          .heads = 6,
          .kv_heads = 6,
          .hidden = 40,
          .vocabulary = 29,
          .context = 80,
          .norm_epsilon = 1e-12f,
          .activation = engine::activation::gelu_erf,
          .token_types = 2,
          .labels = 3};
}

struct numbers {
  random_stream stream;
  std::uint64_t drawn = 0;
  explicit numbers(std::uint64_t seed) : stream(seed, purpose("encoder-test")) {}
  float next() { return 2.f * static_cast<float>(stream.uniform(drawn++)) - 1.f; }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(stream.below(drawn++, n)); }
};

encoder random_model(std::uint64_t seed, float size = 0.4f) {
  engine::weights w = zeros(tiny());
  numbers random(seed);
  for (engine::tensor<float>& t : tensors(w)) {
    const bool scale = t.name.ends_with("LayerNorm.weight");
    for (float& x : t.values) x = size * random.next() + (scale ? 1.f : 0.f);
  }
  return encoder(std::move(w));
}

/// Random texts of these lengths, padded to `tokens`, with token types and labels.
text_batch random_batch(std::vector<std::size_t> lengths, std::size_t tokens, std::uint64_t seed) {
  numbers random(seed);
  text_batch b{.sequences = lengths.size(), .tokens = tokens, .ids = {}, .types = {}, .lengths = {}, .labels = {}};
  for (std::size_t i = 0; i < lengths.size() * tokens; ++i) {
    b.ids.push_back(static_cast<token>(random.below(29)));
    b.types.push_back(static_cast<token>(random.below(2)));
  }
  for (std::size_t s = 0; s < lengths.size(); ++s) b.labels.push_back(static_cast<token>(random.below(3)));
  b.lengths = std::move(lengths);
  return b;
}

/// Sequence s single_text, padded to `tokens` with `filler`.
text_batch single_text(const text_batch& b, std::size_t s, std::size_t tokens, token filler) {
  const auto row = [&](const std::vector<token>& v, token fill) {
    std::vector<token> cut(v.begin() + static_cast<std::ptrdiff_t>(s * b.tokens),
                           v.begin() + static_cast<std::ptrdiff_t>(s * b.tokens + b.length(s)));
    cut.resize(tokens, fill);
    return cut;
  };
  return {.sequences = 1,
          .tokens = tokens,
          .ids = row(b.ids, filler),
          .types = row(b.types, filler % 2),
          .lengths = {b.length(s)},
          .labels = {b.labels[s]}};
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return std::ranges::equal(
      a, b, [](float x, float y) { return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y); });
}

struct everything {
  bool operator()(site) const { return true; }
};

/// Overwrites the padding of one site with NaN.
struct poison {
  const text_batch* batch;
  site at;
  void operator()(site here, activations_view<float> x) const {
    if (here != at) return;
    for (std::size_t s = 0; s < batch->sequences; ++s)
      for (std::size_t t = batch->length(s); t < batch->tokens; ++t)
        std::ranges::fill(x(s, t), std::numeric_limits<float>::quiet_NaN());
  }
};

}  // namespace

TEST_CASE("encoder: a sequence's logits are bit-identical for any padding and batch", "[engine][property]") {
  const encoder m = random_model(1);
  const text_batch b = random_batch({13, 70, 1, 64, 17}, 70, 2);  // more than one block of queries
  const float_matrix batched = m.logits(b);
  const nll loss = m.loss(b);
  nll parts;
  for (std::size_t s = 0; s < b.sequences; ++s) {
    const text_batch unpadded_text = single_text(b, s, b.length(s), 0);
    CHECK(same_bits(m.logits(unpadded_text).values, batched.row(s)));
    CHECK(same_bits(m.logits(single_text(b, s, 73, 5)).values, batched.row(s)));
    text_batch unpadded = unpadded_text;
    unpadded.lengths.clear();  // no padding
    CHECK(same_bits(m.logits(unpadded).values, batched.row(s)));
    parts += m.loss(unpadded_text);
  }
  CHECK(parts == loss);  // the sum too, exactly
  for (const site at :
       {site{site_kind::embedding, 0}, {site_kind::residual, 1}, {site_kind::attention, 0}, {site_kind::mlp, 2}})
    CHECK(same_bits(m.logits(b, positions::all, poison{&b, at}).values, batched.values));
}

TEST_CASE("encoder: every position attends to all others", "[engine][property]") {
  const encoder m = random_model(1);
  const text_batch b = random_batch({9}, 9, 3);
  tap::record plain{everything{}};
  (void)m.logits(b, positions::last, plain);
  for (const std::size_t changed : {0u, 4u, 8u}) {
    text_batch other = b;
    other.ids[changed] = (b.ids[changed] + 1) % 29;
    tap::record seen{everything{}};
    (void)m.logits(other, positions::last, seen);
    for (std::size_t t = 0; t < 9; ++t)
      CHECK_FALSE(same_bits(seen.find({site_kind::residual, 1})->view()(0, t),
                            plain.find({site_kind::residual, 1})->view()(0, t)));
  }
}

TEST_CASE("encoder: values that a tap writes at a site are used", "[engine][property]") {
  const encoder m = random_model(1);
  const text_batch b = random_batch({6, 4}, 6, 4);
  tap::record seen{everything{}}, others{everything{}};
  const float_matrix plain = m.logits(b, positions::last, seen);
  REQUIRE(seen.seen.size() == 1 + 3 * m.layers() + 1);
  CHECK(same_bits(plain.values, m.logits(b).values));
  CHECK(m.loss(b, tap::none{}) == m.loss(b));
  text_batch other = random_batch({6, 4}, 6, 5);
  other.types = b.types;
  const float_matrix replaced = m.logits(other, positions::last, others);
  CHECK_FALSE(same_bits(plain.values, replaced.values));
  const auto replay = [](tap::record<everything>& from, site where) {
    return [&from, where](site here, activations_view<float> x) {
      if (here == where) std::ranges::copy(from.find(here)->values, x.data);
    };
  };
  for (const auto& [where, values] : seen.seen) {
    CHECK(same_bits(m.logits(b, positions::last, replay(seen, where)).values, plain.values));
    const bool all_of_it = where.kind == site_kind::embedding || where.kind == site_kind::residual;
    CHECK(same_bits(m.logits(b, positions::last, replay(others, where)).values, replaced.values) == all_of_it);
  }
  // The embedding site precedes positions and token types.
  for (std::size_t f = 0; f < 24; ++f)
    CHECK(seen.find({site_kind::embedding, 0})->view()(1, 2)[f] ==
          m.parameters().token_embedding[static_cast<std::size_t>(b.ids[8]) * 24 + f]);
}

TEST_CASE("encoder: the residual is normalized after each addition", "[engine][oracle]") {
  const encoder m = random_model(1);
  const text_batch b = random_batch({5}, 5, 6);
  tap::record seen{everything{}};
  (void)m.logits(b, positions::last, seen);
  const auto norm = [](std::vector<double> x, const engine::norm& n) {
    double mean = 0, square = 0;
    for (const double v : x) mean += v / 24;
    for (const double v : x) square += (v - mean) * (v - mean) / 24;
    for (std::size_t f = 0; f < 24; ++f)
      x[f] = (x[f] - mean) / std::sqrt(square) * static_cast<double>(n.scale[f]) + static_cast<double>(n.shift[f]);
    return x;
  };
  for (std::size_t l = 0; l < m.layers(); ++l)
    for (std::size_t t = 0; t < 5; ++t) {
      const auto at = [&](site_kind k, std::size_t layer) {
        const auto row = seen.find({k, layer})->view()(0, t);
        return std::vector<double>(row.begin(), row.end());
      };
      std::vector<double> x = at(site_kind::residual, l);
      for (const auto& [kind, n] : {std::pair{site_kind::attention, &m.parameters().blocks[l].attention_norm},
                                    {site_kind::mlp, &m.parameters().blocks[l].mlp_norm}}) {
        const std::vector<double> y = at(kind, l);
        for (std::size_t f = 0; f < 24; ++f) x[f] += y[f];
        x = norm(x, *n);
      }
      for (std::size_t f = 0; f < 24; ++f) CHECK(at(site_kind::residual, l + 1)[f] == Approx(x[f]).margin(2e-6));
    }
}

TEST_CASE("encoder: the loss is the mean of -log softmax at the known labels", "[engine][oracle]") {
  const encoder m = random_model(1);
  text_batch b = random_batch({5, 8, 3}, 8, 7);
  b.labels[1] = no_target;
  const float_matrix z = m.logits(b);
  double sum = 0;
  for (const std::size_t s : {0u, 2u}) {
    double total = 0;
    for (const float x : z.row(s)) total += std::exp(static_cast<double>(x));
    sum += std::log(total) - static_cast<double>(z(s, static_cast<std::size_t>(b.labels[s])));
  }
  CHECK(m.loss(b).count == 2);
  CHECK(m.loss(b).sum == Approx(sum).epsilon(1e-6));
  CHECK(m.backward(b, [](const linear_gradient&) {}) == m.loss(b));
}

TEST_CASE("encoder: gradients are the derivatives of the loss", "[engine][oracle]") {
  // As for the transformer: central differences along each tensor's gradient at two steps, extrapolated. The sum of
  // four losses of float logits has an error of about 1e-6; divided by a step of 2^-6 this is 1e-4 of the slope.
  encoder model = random_model(8, 0.3f);
  text_batch b = random_batch({15, 4, 9, 2, 7}, 15, 9);
  b.labels[3] = no_target;
  engine::weights gradient = zeros(model.shape());
  std::vector<float_matrix> products;
  for (const matrix_info& i : model.matrices()) products.emplace_back(i.out, i.in);
  std::vector<int> calls(products.size());
  (void)model.backward(
      b,
      [&](const linear_gradient& g) {
        ++calls[g.matrix];
        float_matrix& p = products[g.matrix];
        REQUIRE(g.input.features == p.cols);
        REQUIRE(g.output_gradient.features == p.rows);
        for (std::size_t s = 0; s < b.sequences; ++s)
          for (std::size_t t = 0; t < b.tokens; ++t)
            for (std::size_t o = 0; o < p.rows; ++o) {
              const float dy = g.output_gradient(s, t)[o];
              if (t >= b.length(s)) CHECK(dy == 0.f);  // padding
              for (std::size_t i = 0; i < p.cols; ++i) p(o, i) += dy * g.input(s, t)[i];
            }
      },
      gradient);
  CHECK(std::ranges::all_of(calls, [](int n) { return n == 1; }));
  const encoder shaped(gradient);  // for the names and views
  for (std::size_t i = 0; i < products.size(); ++i) {
    double worst = 0;
    for (std::size_t r = 0; r < products[i].rows; ++r)
      for (std::size_t c = 0; c < products[i].cols; ++c)
        worst = std::max(worst, static_cast<double>(std::abs(shaped.weights(i)(r, c) - products[i](r, c))));
    CHECK(worst < 1e-5);
  }

  const auto slopes = tensors(std::as_const(gradient));
  const auto values = tensors(model.parameters());
  for (std::size_t i = 0; i < values.size(); ++i) {
    INFO(values[i].name);
    double norm = 0;
    for (const float g : slopes[i].values) norm += static_cast<double>(g) * static_cast<double>(g);
    if (values[i].name.ends_with("key.bias")) {  // adds the same value to all scores of a query
      CHECK(norm < 1e-10);
      continue;
    }
    REQUIRE(norm > 1e-4);
    numbers random(100 + i);
    std::vector<float> direction;
    double predicted = 0;
    for (const float g : slopes[i].values) {
      direction.push_back(static_cast<float>(static_cast<double>(g) / std::sqrt(norm)) +
                          random.next() / std::sqrt(static_cast<float>(slopes[i].values.size())));
      predicted += static_cast<double>(direction.back()) * static_cast<double>(g);
    }
    const std::vector<float> before(values[i].values.begin(), values[i].values.end());
    const auto slope = [&](float step) {
      const auto moved = [&](float by) {
        for (std::size_t k = 0; k < before.size(); ++k) values[i].values[k] = before[k] + by * direction[k];
        const double sum = model.loss(b).sum;
        std::ranges::copy(before, values[i].values.begin());
        return sum;
      };
      return (moved(step) - moved(-step)) / (2.0 * static_cast<double>(step));
    };
    CHECK((4 * slope(0x1p-7f) - slope(0x1p-6f)) / 3 == Approx(predicted).epsilon(5e-3).margin(2e-3));
  }
}

TEST_CASE("encoder: scorers and evaluators that need no tokens accept it", "[engine][property]") {
  encoder m = random_model(10);
  CHECK(m.matrices()[6].name == "encoder.layer.1.attention.self.query");
  CHECK(m.matrices()[11].name == "encoder.layer.1.output.dense");
  CHECK(m.matrices()[11].part == part::mlp);
  CHECK(m.matrices()[9].part == part::attention);
  const std::vector<text_batch> data{random_batch({5, 8}, 8, 11), random_batch({3}, 3, 12)};
  CHECK(score::weight_magnitude{}(m).values.size() == 3);
  CHECK(score::gradient_magnitude{}(m, data).values.size() == 3);
  CHECK(evaluate::perplexity{}(m, data).total.count == 3);
  const auto report = evaluate::accuracy{}(m, data);
  std::size_t correct = 0;
  for (const text_batch& b : data)
    for (std::size_t s = 0; s < b.sequences; ++s)
      correct += measure::argmax(m.logits(b).row(s)) == static_cast<std::size_t>(b.labels[s]);
  CHECK(report.correct == correct);
  CHECK(report.count == 3);
  const nll before = m.loss(data[0]);
  for (std::size_t i = 0; i < m.matrices().size(); ++i) {
    {
      const weight_guard guard(m, std::vector<std::size_t>{i});
      const mutable_weight_view w = m.weights(i);
      REQUIRE(w.rows == m.matrices()[i].out);
      for (std::size_t r = 0; r < w.rows; ++r) w(r, r % w.cols) += 0.5f;
      CHECK_FALSE(m.loss(data[0]) == before);
    }
    CHECK(m.loss(data[0]) == before);
  }
}

TEST_CASE("encoder refuses invalid batches by cause", "[engine][refusal]") {
  const encoder m = random_model(1);
  const auto says = [&](auto change, const std::string& words) {
    text_batch b = random_batch({5, 3}, 5, 13);
    change(b);
    CHECK_THROWS_WITH(m.loss(b), ContainsSubstring(words));
  };
  says([](auto& b) { b.ids[7] = 29; }, "token 29 at sequence 1, position 2; expected 0 to 28");
  says([](auto& b) { b.types[1] = 2; }, "token type 2 at sequence 0, position 1; expected 0 to 1");
  says([](auto& b) { b.labels[1] = 3; }, "label 3 at sequence 1; expected 0 to 2");
  says([](auto& b) { b.labels.clear(); }, "a batch without labels");
  says([](auto& b) { b.labels.pop_back(); }, "with 1 labels; expected 2");
  says([](auto& b) { b.lengths[1] = 6; }, "a sequence of length 6");
  says([](auto& b) { b.lengths[1] = 0; }, "a sequence of length 0");
  says([](auto& b) { b.lengths.pop_back(); }, "with 1 lengths; expected 2");
  says([](auto& b) { b.types.pop_back(); }, "with 9 token types; expected 10");
  says([](auto& b) { b.ids.pop_back(); }, "with 9 ids; expected 10");
  says([](auto& b) { b.sequences = 0; }, "a batch of 0 sequences");
  CHECK_THROWS_WITH(m.logits(random_batch({2}, 81, 1)),
                    ContainsSubstring("sequences of 81 tokens; expected at most 80"));
  CHECK_THROWS_WITH(engine::texts(std::vector<std::vector<token>>{{1}, {}}),
                    ContainsSubstring("text 1 without tokens"));
  CHECK_THROWS_WITH(engine::texts({}), ContainsSubstring("no texts"));

  CHECK_THROWS_WITH(engine::transformer(m.parameters()), ContainsSubstring("a BERT; expected a model that predicts"));
  engine::config c = tiny();
  c.architecture = engine::architecture::gpt2;
  c.token_types = c.labels = 0;
  CHECK_THROWS_WITH(encoder(zeros(c)), ContainsSubstring("a GPT-2; expected an encoder"));
  c.labels = 2;
  CHECK_THROWS_WITH(zeros(c), ContainsSubstring("labels = 2; expected 0"));
  engine::weights w = m.parameters();
  w.classifier.values[5] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH(encoder(w), ContainsSubstring("tensor classifier.weight holds infinity at [0, 5]"));
  w.classifier = {};
  CHECK_THROWS_WITH(encoder(w), ContainsSubstring("map classifier is 0 x 0; expected 3 x 24"));
}
