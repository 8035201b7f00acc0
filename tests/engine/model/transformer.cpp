#include <engine/model/transformer.hpp>

#include <engine/model/math.hpp>

#include <precis/model/concepts.hpp>
#include <precis/model/guard.hpp>
#include <precis/model/taps.hpp>

#include "catch.hpp"
#include "engine/random_models.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <thread>
#include <vector>

using namespace precis;
using engine::architecture;
using engine::transformer;
using namespace random_models;

static_assert(weighted_model<transformer>);
static_assert(mutable_model<transformer>);
static_assert(evaluable_model<transformer>);
static_assert(tappable_model<transformer>);
static_assert(resumable_model<transformer>);
static_assert(layered_model<transformer>);
static_assert(observable_model<transformer>);
static_assert(transformer::causal);
static_assert(differentiable_model<transformer>);
static_assert(token_model<transformer>);

namespace {

token_batch rows_of(const token_batch& b, std::size_t first, std::size_t count) {
  const auto cut = [&](const std::vector<token>& v) {
    return std::vector<token>(v.begin() + static_cast<std::ptrdiff_t>(first * b.tokens),
                              v.begin() + static_cast<std::ptrdiff_t>((first + count) * b.tokens));
  };
  return {.sequences = count, .tokens = b.tokens, .ids = cut(b.ids), .targets = cut(b.targets)};
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return std::ranges::equal(
      a, b, [](float x, float y) { return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y); });
}

/// Records the activations of a run at all sites.
struct everything {
  bool operator()(site) const { return true; }
};

/// Runs every layer from `first` on with run_layer, for tokens [first_token, tokens) of the given cached sequences.
float_matrix resumed_logits(const transformer& m, const engine::cache& from, std::size_t first, std::size_t first_token,
                            const std::vector<std::size_t>& sequences, bool last_at_the_end) {
  const std::size_t tokens = from.tokens() - first_token, width = m.shape().width;
  activations x(sequences.size(), tokens, width);
  for (std::size_t i = 0; i < sequences.size(); ++i)
    for (std::size_t t = 0; t < tokens; ++t)
      std::ranges::copy(from.residual(first)(sequences[i], first_token + t), x.view()(i, t).begin());
  for (std::size_t l = first; l < m.layers(); ++l) {
    const bool last = last_at_the_end && l + 1 == m.layers();
    m.run_layer({.layer = l,
                 .first_token = first_token,
                 .sequences = sequences,
                 .outputs = last ? positions::last : positions::all},
                from, x.view(), tap::none{});
  }
  return m.read_out({x.values.data() + (tokens - 1) * width, sequences.size(), width,
                     static_cast<std::ptrdiff_t>(tokens * width), 1});
}

}  // namespace

TEST_CASE("transformer: running its parts gives bit-identical loss and logits", "[engine][property]") {
  for (const auto& [name, m] : models()) {
    INFO(name);
    const token_batch b = random_batch(m, 5, 13, 8);
    activations x = m.enter(b);
    for (std::size_t l = 0; l < m.layers(); ++l) m.run_layer(l, x);
    CHECK(m.read_loss(b, std::as_const(x).view()) == m.loss(b));
    CHECK(same_bits(m.read_out(std::as_const(x).view().as_matrix()).values, m.logits(b, positions::all).values));
  }
}

TEST_CASE("transformer: forward and backward report the same inputs, once per matrix", "[engine][property]") {
  for (const auto& [name, m] : models()) {
    INFO(name);
    const token_batch b = random_batch(m, 3, 11, 9);
    std::vector<std::vector<float>> seen(m.matrices().size());
    token_batch without_targets = b;
    without_targets.targets.clear();
    m.inputs(without_targets, [&](const linear_input& i) {
      REQUIRE(i.input.rows() == 33);
      for (const std::size_t matrix : i.matrices) {
        REQUIRE(seen[matrix].empty());
        for (std::size_t r = 0; r < 33; ++r)
          seen[matrix].insert(seen[matrix].end(), i.input(r / 11, r % 11).begin(), i.input(r / 11, r % 11).end());
      }
    });
    static_cast<void>(m.backward(b, [&](const linear_gradient& g) {
      CAPTURE(m.matrices()[g.matrix].name);
      std::vector<float> expected;
      for (std::size_t r = 0; r < 33; ++r)
        expected.insert(expected.end(), g.input(r / 11, r % 11).begin(), g.input(r / 11, r % 11).end());
      CHECK(same_bits(seen[g.matrix], expected));
    }));
  }
}

TEST_CASE("transformer: mismatched parts are refused", "[engine][refusal]") {
  const transformer m = random_model(tiny(architecture::gpt2, engine::activation::gelu_tanh), 1);
  const token_batch b = random_batch(m, 2, 5, 8);
  activations x = m.enter(b), narrow(2, 5, 8), long_one(1, 81, 24);
  CHECK_THROWS_WITH(m.run_layer(3, x), ContainsSubstring("layer 3; expected less than 3"));
  CHECK_THROWS_WITH(m.run_layer(0, narrow), ContainsSubstring("5 tokens x 8 features"));
  CHECK_THROWS_WITH(m.run_layer(0, long_one), ContainsSubstring("1 to 80 tokens of 24 features"));
  CHECK_THROWS_WITH(m.read_loss(b, x.view().sequence_range(0, 1)), ContainsSubstring("a residual of 1 x 5 x 24"));
  CHECK_THROWS_WITH(m.read_loss(prompts(1, {1}), x.view()), ContainsSubstring("without targets"));
}

TEST_CASE("transformer: a run resumed at any layer and token is bit-identical to the full run", "[engine][property]") {
  for (const auto& [name, m] : models()) {
    INFO(name);
    const token_batch b = random_batch(m, 5, 13, 7);
    engine::cache filled;
    const float_matrix full = m.capture(b, filled, tap::none{});
    CHECK(same_bits(full.values, m.logits(b, positions::last).values));

    const std::vector<std::size_t> sequences{3, 0, 4, 4};
    for (std::size_t layer = 0; layer <= m.layers(); ++layer)
      for (std::size_t first_token = 0; first_token < b.tokens; first_token += 3)
        for (const bool last : {false, true}) {
          const float_matrix resumed = resumed_logits(m, filled, layer, first_token, sequences, last);
          bool equal = true;
          for (std::size_t i = 0; i < sequences.size(); ++i)
            equal = equal && same_bits(resumed.row(i), full.row(sequences[i]));
          CHECK(equal);
        }
  }
}

TEST_CASE("transformer: run_layer returns the residual of the full run and taps the same sites", "[engine][property]") {
  for (const auto& [name, m] : models()) {
    INFO(name);
    const token_batch b = random_batch(m, 3, 70, 8);  // more than one block of queries
    engine::cache filled;
    tap::record full{everything{}};
    (void)m.capture(b, filled, full);

    const std::size_t first = 66, tokens = b.tokens - first;
    const std::vector<std::size_t> sequences{2, 1};
    for (std::size_t l = 0; l < m.layers(); ++l)
      for (const positions outputs : {positions::all, positions::last}) {
        activations x(2, tokens + 2, m.shape().width);  // part of a wider buffer
        const activations_view<float> part = x.view().token_range(1, tokens);
        for (std::size_t i = 0; i < 2; ++i)
          for (std::size_t t = 0; t < tokens; ++t)
            std::ranges::copy(filled.residual(l)(sequences[i], first + t), part(i, t).begin());
        tap::record seen{everything{}};
        m.run_layer({.layer = l, .first_token = first, .sequences = sequences, .outputs = outputs}, filled, part, seen);

        REQUIRE(seen.seen.size() == 2);
        const std::size_t shown = outputs == positions::last ? 1 : tokens;
        for (const auto& [at, values] : seen.seen) {
          REQUIRE(values.sequences == 2);
          REQUIRE(values.tokens == shown);
          for (std::size_t i = 0; i < 2; ++i)
            for (std::size_t t = 0; t < shown; ++t)
              CHECK(same_bits(values.view()(i, t), full.find(at)->view()(sequences[i], b.tokens - shown + t)));
        }
        for (std::size_t i = 0; i < 2; ++i)
          for (std::size_t t = tokens - shown; t < tokens; ++t)
            CHECK(same_bits(part(i, t), filled.residual(l + 1)(sequences[i], first + t)));
      }
  }
}

TEST_CASE("transformer: logits and losses do not depend on how sequences are batched", "[engine][property]") {
  for (const auto& [name, m] : models()) {
    INFO(name);
    const token_batch b = random_batch(m, 9, 67, 9);
    const float_matrix whole = m.logits(b, positions::all);
    const nll loss = m.loss(b);
    for (const std::size_t step : {1u, 2u, 4u}) {
      nll parts;
      for (std::size_t s = 0; s < b.sequences; s += step) {
        const std::size_t n = std::min(step, b.sequences - s);
        const token_batch part = rows_of(b, s, n);
        parts += m.loss(part);
        CHECK(same_bits(
            m.logits(part, positions::all).values,
            std::span<const float>(whole.values).subspan(s * b.tokens * whole.cols, n * b.tokens * whole.cols)));
      }
      CHECK(parts == loss);  // the sum too, exactly
    }
  }
}

TEST_CASE("transformer: a position depends only on itself and earlier ones, even with a NaN", "[engine][property]") {
  for (const auto& [name, m] : models()) {
    INFO(name);
    const token_batch b = random_batch(m, 2, 20, 10);
    const float_matrix plain = m.logits(b, positions::all);
    const std::vector<float> nan(m.shape().width, std::numeric_limits<float>::quiet_NaN());
    const float_matrix broken =
        m.logits(b, positions::all, tap::replace{.at = {site_kind::residual, 1}, .token = 12, .values = nan});
    for (std::size_t s = 0; s < 2; ++s)
      for (std::size_t t = 0; t < 20; ++t) {
        const std::size_t r = s * 20 + t;
        CHECK(same_bits(plain.row(r), broken.row(r)) == (t < 12));
      }
  }
}

TEST_CASE("transformer: values that a tap writes at a site are used", "[engine][property]") {
  for (const auto& [name, m] : models()) {
    INFO(name);
    const token_batch b = random_batch(m, 2, 6, 11);
    tap::record seen{everything{}};
    const float_matrix plain = m.logits(b, positions::last, seen);
    REQUIRE(seen.seen.size() == 1 + 3 * m.layers() + 1);
    CHECK(same_bits(plain.values, m.logits(b, positions::last).values));
    CHECK(m.loss(b, tap::none{}) == m.loss(b));

    // The residual is the sum of the activations at its sites, added in order.
    for (std::size_t l = 0; l < m.layers(); ++l) {
      const auto at = [&](site_kind k, std::size_t layer) { return seen.find({k, layer})->values; };
      std::vector<float> stream = at(site_kind::residual, l);
      for (std::size_t i = 0; i < stream.size(); ++i) stream[i] += at(site_kind::attention, l)[i];
      for (std::size_t i = 0; i < stream.size(); ++i) stream[i] += at(site_kind::mlp, l)[i];
      CHECK(same_bits(stream, at(site_kind::residual, l + 1)));
    }

    // Writing back the same values changes nothing; replacing the first layer's whole input with that of other prompts
    // gives the other prompts' logits.
    const auto replay = [](tap::record<everything>& from, site where) {
      return [&from, where](site here, activations_view<float> x) {
        if (here == where) std::ranges::copy(from.find(here)->values, x.data);
      };
    };
    for (const auto& [where, values] : seen.seen)
      CHECK(same_bits(m.logits(b, positions::last, replay(seen, where)).values, plain.values));
    tap::record other{everything{}};
    const float_matrix others = m.logits(random_batch(m, 2, 6, 12), positions::last, other);
    CHECK(same_bits(m.logits(b, positions::last, replay(other, {site_kind::embedding, 0})).values, others.values));
    for (std::size_t l = 0; l <= m.layers(); ++l)
      CHECK(same_bits(m.logits(b, positions::last, replay(other, {site_kind::residual, l})).values, others.values));
    for (const site_kind k : {site_kind::attention, site_kind::mlp})
      CHECK_FALSE(same_bits(m.logits(b, positions::last, replay(other, {k, 1})).values, plain.values));
  }
}

TEST_CASE("transformer: the embedding site precedes position embeddings", "[engine][worked-example]") {
  const transformer m = random_model(tiny(architecture::gpt2, engine::activation::gelu_tanh), 4);
  tap::record seen{everything{}};
  const token_batch b = prompts(1, {5, 28, 5});
  (void)m.logits(b, positions::last, seen);
  const engine::weights& w = m.parameters();
  for (std::size_t t = 0; t < 3; ++t)
    for (std::size_t f = 0; f < 24; ++f) {
      const float embedded = w.token_embedding[static_cast<std::size_t>(b.ids[t]) * 24 + f];
      CHECK(seen.find({site_kind::embedding, 0})->view()(0, t)[f] == embedded);
      CHECK(seen.find({site_kind::residual, 0})->view()(0, t)[f] == embedded + w.position_embedding[t * 24 + f]);
    }
}

TEST_CASE("transformer: an OPT's first token uses row 2 of the position table", "[engine][worked-example]") {
  const transformer m = random_model(tiny(architecture::opt, engine::activation::relu), 4);
  tap::record seen{everything{}};
  (void)m.logits(prompts(1, {7, 7}), positions::last, seen);
  const engine::weights& w = m.parameters();
  REQUIRE(w.position_embedding.size() == 82 * 24);  // the longest sequence has 80
  for (std::size_t t = 0; t < 2; ++t)
    for (std::size_t f = 0; f < 24; ++f)
      CHECK(seen.find({site_kind::residual, 0})->view()(0, t)[f] ==
            w.token_embedding[7 * 24 + f] + w.position_embedding[(t + 2) * 24 + f]);
}

TEST_CASE("transformer: the loss is the mean of -log softmax at the known targets", "[engine][oracle]") {
  for (const auto& [name, m] : models()) {
    INFO(name);
    token_batch b = random_batch(m, 3, 9, 13);
    b.targets[0] = b.targets[4] = b.targets[26] = no_target;
    const float_matrix z = m.logits(b, positions::all);
    double sum = 0;
    for (std::size_t r = 0; r < z.rows; ++r) {
      if (b.targets[r] == no_target) continue;
      double total = 0;
      for (const float x : z.row(r)) total += std::exp(static_cast<double>(x));
      sum += std::log(total) - static_cast<double>(z(r, static_cast<std::size_t>(b.targets[r])));
    }
    CHECK(m.loss(b).count == 24);
    CHECK(m.loss(b).sum == Approx(sum).epsilon(1e-7));
    CHECK(m.backward(b, [](const linear_gradient&) {}) == m.loss(b));
  }
}

TEST_CASE("transformer: gradients are the derivatives of the loss", "[engine][oracle]") {
  // Central differences of the loss along a direction of each parameter tensor, at two steps, extrapolated so that the
  // third-order term cancels. The forward pass is float, so its sum over 42 predictions has an error of about 1e-5;
  // divided by a step of 2 * 2^-7 this is 1e-3 of the slope.
  for (auto& [name, m] : models()) {
    INFO(name);
    engine::config smooth =
        m.shape();  // ReLU is not smooth, which would distort the differences; a separate test checks its slope
    if (smooth.activation == engine::activation::relu) smooth.activation = engine::activation::gelu_erf;
    transformer model = random_model(smooth, 21, 0.15f);
    token_batch b = random_batch(model, 3, 15, 14);
    b.targets[3] = b.targets[17] = b.targets[40] = no_target;
    engine::weights gradient = zeros(model.shape());
    std::vector<int> calls(model.matrices().size());
    std::vector<float_matrix> products;
    for (const matrix_info& i : model.matrices()) products.emplace_back(i.out, i.in);
    (void)model.backward(
        b,
        [&](const linear_gradient& g) {
          ++calls[g.matrix];
          float_matrix& p = products[g.matrix];
          REQUIRE(g.input.features == p.cols);
          REQUIRE(g.output_gradient.features == p.rows);
          for (std::size_t s = 0; s < b.sequences; ++s)
            for (std::size_t t = 0; t < b.tokens; ++t)
              for (std::size_t o = 0; o < p.rows; ++o)
                for (std::size_t i = 0; i < p.cols; ++i) p(o, i) += g.output_gradient(s, t)[o] * g.input(s, t)[i];
        },
        gradient);
    CHECK(std::ranges::all_of(calls, [](int n) { return n == 1; }));

    // The products of the sink's inputs and output gradients are the weight gradients.
    const transformer shaped(gradient);
    for (std::size_t i = 0; i < products.size(); ++i) {
      const weight_view g = shaped.weights(i);
      double worst = 0;
      for (std::size_t r = 0; r < g.rows; ++r)
        for (std::size_t c = 0; c < g.cols; ++c)
          worst = std::max(worst, static_cast<double>(std::abs(g(r, c) - products[i](r, c))));
      CHECK(worst < 1e-4);
    }

    const std::vector<engine::tensor<const float>> slopes = tensors(std::as_const(gradient));
    const std::vector<engine::tensor<float>> values = tensors(model.parameters());
    for (std::size_t i = 0; i < values.size(); ++i) {
      INFO(values[i].name);
      numbers random{100 + i};
      std::vector<float> direction(values[i].values.size());
      double norm = 0, predicted = 0;
      for (std::size_t k = 0; k < direction.size(); ++k) {
        direction[k] = slopes[i].values[k];
        norm += static_cast<double>(direction[k]) * static_cast<double>(direction[k]);
      }
      const double length = std::sqrt(norm);
      REQUIRE(length > 0);
      // The direction is the gradient plus a random one, so that the slope along it is not near zero.
      for (std::size_t k = 0; k < direction.size(); ++k) {
        direction[k] = static_cast<float>(static_cast<double>(direction[k]) / length) +
                       random.next() / std::sqrt(static_cast<float>(direction.size()));
        predicted += static_cast<double>(direction[k]) * static_cast<double>(slopes[i].values[k]);
      }
      const std::vector<float> before(values[i].values.begin(), values[i].values.end());
      const float step = 0x1p-7f;
      const auto moved = [&](float by) {
        for (std::size_t k = 0; k < before.size(); ++k) values[i].values[k] = before[k] + by * direction[k];
        const double sum = model.loss(b).sum;
        std::ranges::copy(before, values[i].values.begin());
        return sum;
      };
      const auto slope = [&](float h) { return (moved(h) - moved(-h)) / (2.0 * static_cast<double>(h)); };
      const double measured = (4 * slope(step) - slope(2 * step)) / 3;
      CHECK(measured == Approx(predicted).epsilon(5e-3).margin(5e-3));
    }
  }
}

TEST_CASE("transformer: matrices are out x in for any storage order, and restore exactly", "[engine][property]") {
  for (auto& [name, m] : models()) {
    INFO(name);
    const std::size_t in_a_block = m.matrices().size() / m.layers();
    REQUIRE(m.matrices().size() == 3 * in_a_block);
    std::vector<std::string> names;
    for (const matrix_info& i : m.matrices().subspan(in_a_block, in_a_block)) names.push_back(i.name);
    switch (m.shape().architecture) {
      case architecture::gpt2:
        CHECK(names ==
              std::vector<std::string>{"h.1.attn.c_attn", "h.1.attn.c_proj", "h.1.mlp.c_fc", "h.1.mlp.c_proj"});
        break;
      case architecture::opt:
        CHECK(names == std::vector<std::string>{"layers.1.self_attn.q_proj", "layers.1.self_attn.k_proj",
                                                "layers.1.self_attn.v_proj", "layers.1.self_attn.out_proj",
                                                "layers.1.fc1", "layers.1.fc2"});
        break;
      case architecture::phi:
        CHECK(names == std::vector<std::string>{"layers.1.self_attn.q_proj", "layers.1.self_attn.k_proj",
                                                "layers.1.self_attn.v_proj", "layers.1.self_attn.dense",
                                                "layers.1.mlp.fc1", "layers.1.mlp.fc2"});
        break;
      default:
        CHECK(names == std::vector<std::string>{"layers.1.attention.wq", "layers.1.attention.wk",
                                                "layers.1.attention.wv", "layers.1.attention.wo",
                                                "layers.1.feed_forward.w1", "layers.1.feed_forward.w2",
                                                "layers.1.feed_forward.w3"});
    }
    for (const matrix_info& i : m.matrices()) {
      const bool mlp =
          i.name.find("mlp") != i.name.npos || i.name.find("feed") != i.name.npos || i.name.find("fc") != i.name.npos;
      CHECK(i.part == (mlp ? part::mlp : part::attention));
    }
    const token_batch b = random_batch(m, 2, 5, 15);
    const nll before = m.loss(b);
    for (std::size_t i = 0; i < m.matrices().size(); ++i) {
      const weight_view w = std::as_const(m).weights(i);
      CHECK(w.rows == m.matrices()[i].out);
      CHECK(w.cols == m.matrices()[i].in);
      {
        const weight_guard guard(m, std::vector<std::size_t>{i});
        const mutable_weight_view change = m.weights(i);
        for (std::size_t r = 0; r < change.rows; ++r) change(r, r % change.cols) += 0.5f;
        CHECK_FALSE(m.loss(b) == before);
      }
      CHECK(m.loss(b) == before);
    }
  }
}

TEST_CASE("transformer: several threads can use one model", "[engine][property]") {
  const transformer m = random_model(tiny(architecture::llama, engine::activation::silu), 5);
  const token_batch b = random_batch(m, 4, 30, 16);
  const nll expected = m.loss(b);
  std::vector<nll> found(4);
  {
    std::vector<std::jthread> threads;
    for (nll& f : found)
      threads.emplace_back([&] {
        for (int i = 0; i < 20; ++i) f = m.loss(b);
      });
  }
  for (const nll& f : found) CHECK(f == expected);
}

TEST_CASE("transformer: a tap may run another model", "[engine][property]") {
  const transformer m = random_model(tiny(architecture::gpt2, engine::activation::gelu_tanh), 6);
  const token_batch b = random_batch(m, 2, 8, 17);
  const nll plain = m.loss(b);
  CHECK(m.loss(b, [&](site, activations_view<float>) { CHECK(m.loss(b) == plain); }) == plain);
}

TEST_CASE("transformer refuses invalid batches by cause", "[engine][refusal]") {
  const transformer m = random_model(tiny(architecture::gpt2, engine::activation::gelu_tanh), 6);
  const auto says = [&](const token_batch& b, const std::string& words) {
    CHECK_THROWS_WITH(m.logits(b, positions::last), ContainsSubstring(words));
  };
  says(prompts(2, {1, 2, 3, 29}), "token 29 at sequence 1, position 1; expected 0 to 28");
  says(prompts(1, {-1}), "token -1 at sequence 0, position 0");
  says(prompts(1, std::vector<token>(81)), "sequences of 81 tokens; expected at most 80");
  says({}, "a batch of 0 sequences of 0 tokens");
  says({.sequences = 2, .tokens = 3, .ids = {1, 2, 3}, .targets = {}}, "with 3 ids");
  CHECK_THROWS_WITH(m.loss(prompts(1, {1, 2})), ContainsSubstring("a batch without targets"));
  token_batch b = random_batch(m, 1, 4, 18);
  b.targets[2] = 29;
  CHECK_THROWS_WITH(m.loss(b), ContainsSubstring("target 29 at sequence 0, position 2"));

  engine::cache filled;
  activations x(1, 2, 24);
  const std::vector<std::size_t> first{0}, third{2};
  CHECK_THROWS_WITH(m.run_layer({.layer = 0, .first_token = 0, .sequences = first}, filled, x.view()),
                    ContainsSubstring("a cache that this model did not fill"));
  (void)m.capture(prompts(2, {1, 2, 3, 4}), filled, tap::none{});
  CHECK_THROWS_WITH(m.run_layer({.layer = 3, .first_token = 0, .sequences = first}, filled, x.view()),
                    ContainsSubstring("layer 3; expected less than 3"));
  CHECK_THROWS_WITH(m.run_layer({.layer = 0, .first_token = 0, .sequences = third}, filled, x.view()),
                    ContainsSubstring("cached sequence 2; expected less than 2"));
  CHECK_THROWS_WITH(m.run_layer({.layer = 0, .first_token = 3, .sequences = first}, filled, x.view()),
                    ContainsSubstring("after 2 cached ones"));
}

TEST_CASE("weights that do not match their shape are refused by name", "[engine][refusal]") {
  engine::weights w = zeros(tiny(architecture::gpt2, engine::activation::gelu_tanh));
  w.blocks[1].up.values[3 * 40 + 7] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(transformer(w), ContainsSubstring("tensor h.1.mlp.c_fc.weight holds NaN at [3, 7]"));
  w.blocks[1].up.values.resize(w.blocks[1].up.values.size() - 1);
  CHECK_THROWS_WITH(transformer(w), ContainsSubstring("tensor h.1.mlp.c_fc.weight has 959 values; expected 960"));
  engine::config invalid = tiny(architecture::llama, engine::activation::silu);
  invalid.kv_heads = 4;
  CHECK_THROWS_WITH(zeros(invalid), ContainsSubstring("6 heads with 4 key-value heads"));
}
