#include <precis/measure/gram.hpp>

#include <precis/core/executor.hpp>
#include <precis/core/thread_pool.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using namespace precis;

namespace {

/// Three tokens of two features.
const std::vector<float> worked_x{1, 2, 0, 1, 3, -1};
activations_view<const float> worked_inputs() { return {std::span<const float>(worked_x), 1, 3, 2}; }

const std::vector<token_batch> batches{micro_transformer::labelled(0, 2), micro_transformer::labelled(2, 3)};

/// A model with synthetic inputs of different widths: 70 features shared by two maps, and 3 features for a third.
struct synthetic_inputs {
  using batch_type = std::size_t;  // tokens
  std::vector<matrix_info> infos{
      {"query", 0, part::attention, 1, 70}, {"down", 0, part::mlp, 1, 3}, {"key", 0, part::attention, 2, 70}};
  float bad = 0;
  [[nodiscard]] std::span<const matrix_info> matrices() const { return infos; }
  [[nodiscard]] weight_view weights(std::size_t) const { return {}; }
  [[nodiscard]] static float value(std::size_t t, std::size_t f) {
    return static_cast<float>((t * 7 + f * 13) % 11) / 4 - 1;
  }
  template<class Sink>
  void inputs(batch_type tokens, Sink&& sink) const {
    activations wide(2, tokens / 2, 70), narrow(2, tokens / 2, 3);
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t f = 0; f < 70; ++f) wide.values[t * 70 + f] = value(t, f);
    for (std::size_t i = 0; i < narrow.values.size(); ++i) narrow.values[i] = 1;
    narrow.values[1] += bad;
    const std::size_t attention[] = {0, 2}, mlp[] = {1};
    sink(linear_input{attention, std::as_const(wide).view()});
    sink(linear_input{mlp, std::as_const(narrow).view()});
  }
};
static_assert(observable_model<synthetic_inputs> && !differentiable_model<synthetic_inputs>);

/// The micro-transformer without inputs(): only its backward pass.
struct gradients_only {
  using batch_type = token_batch;
  micro_transformer model;
  [[nodiscard]] std::span<const matrix_info> matrices() const { return model.matrices(); }
  [[nodiscard]] weight_view weights(std::size_t i) const { return model.weights(i); }
  template<class Sink>
  [[nodiscard]] nll backward(const token_batch& b, Sink&& sink) const {
    return model.backward(b, sink);
  }
};
static_assert(differentiable_model<gradients_only> && !observable_model<gradients_only>);

}  // namespace

TEST_CASE("the Gram matrix of three tokens by hand", "[measure][gram][worked-example]") {
  const measure::gram g = measure::gram_of(worked_inputs());
  CHECK(g.tokens == 3);
  CHECK(g.sum == basic_matrix<double>(2, 2, {10, -1, -1, 6}));  // 1 + 9, 2 - 3, 4 + 1 + 1
}

TEST_CASE("relative output error by hand", "[measure][gram][worked-example]") {
  const float_matrix w(2, 2, {1, -.5f, .2f, .8f}), compressed(2, 2, {1, -.4f, 0, .8f});
  const basic_matrix<double> g = measure::gram_of(worked_inputs()).sum;
  CHECK(measure::squared_output_error(w.view(), compressed.view(), g) / measure::squared_outputs(w.view(), g) ==
        Approx(0.0280146163).epsilon(1e-6));  // weights are rounded to float
  // From the weights alone: (0.1^2 + 0.2^2) / (1 + .25 + .04 + .64).
  CHECK(measure::squared_output_error(w.view(), compressed.view(), {}) / measure::squared_outputs(w.view(), {}) ==
        Approx(0.05 / 1.93).epsilon(1e-6));
}

TEST_CASE("tr(D G D') is the squared norm of the outputs X D'", "[measure][gram][oracle]") {
  // Small integers make both sides exact. 19 rows are no multiple of a vector.
  const std::size_t out = 19, in = 37, tokens = 21;
  activations x(3, 7, in);
  for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] = static_cast<float>((i * 31) % 17) - 8;
  basic_matrix<double> d(out, in);
  for (std::size_t i = 0; i < d.values.size(); ++i) d.values[i] = static_cast<double>((i * 29) % 13) - 6;
  double expected = 0;
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t r = 0; r < out; ++r) {
      double y = 0;
      for (std::size_t i = 0; i < in; ++i) y += d(r, i) * static_cast<double>(x.values[t * in + i]);
      expected += y * y;
    }
  const auto row = [&](std::size_t r, std::span<double> to) { std::ranges::copy(d.row(r), to.begin()); };
  CHECK(measure::squared_outputs(out, in, row, measure::gram_of(std::as_const(x).view()).sum) == expected);
}

TEST_CASE("matrices with the same input share its Gram matrix, which is summed over batches",
          "[measure][gram][oracle]") {
  const synthetic_inputs model;
  const std::vector<std::size_t> data{40, 6};
  const measure::input_grams grams = measure::gather_grams(model, std::span<const std::size_t>(data));
  REQUIRE(grams.distinct.size() == 2);
  CHECK(&grams[0] == &grams[2]);
  CHECK(grams[0].tokens == 46);
  CHECK(grams[1].sum == basic_matrix<double>(3, 3, 46.0));
  for (const auto& [i, j] : {std::pair<std::size_t, std::size_t>{0, 0}, {69, 1}, {1, 69}, {64, 63}, {33, 33}}) {
    double expected = 0;  // quarters: exact
    for (const std::size_t tokens : data)
      for (std::size_t t = 0; t < tokens; ++t)
        expected +=
            static_cast<double>(synthetic_inputs::value(t, i)) * static_cast<double>(synthetic_inputs::value(t, j));
    CHECK(grams[0].sum(i, j) == expected);
  }
  CHECK(measure::gather_grams(model, std::span<const std::size_t>(data), thread_pool{3}) == grams);
}

TEST_CASE("Gram matrices from forward and from backward passes are equal", "[measure][gram][property]") {
  const micro_transformer model;
  const measure::input_grams forward = measure::gather_grams(model, std::span<const token_batch>(batches));
  CHECK(measure::gather_grams(gradients_only{model}, std::span<const token_batch>(batches)) == forward);
  REQUIRE(forward.distinct.size() == 4);
  CHECK(forward[0].tokens == 15);
}

TEST_CASE("matrices that no token reached have a Gram matrix of zeros; tables that are looked up, an empty one",
          "[measure][gram][worked-example]") {
  synthetic_inputs model;
  const std::size_t known = model.infos.size();
  model.infos.push_back({"unused", 1, part::other, 1, 2});
  model.infos.push_back({"table", before_layers, part::other, 5, 2});
  const std::vector<std::size_t> one{4};
  const measure::input_grams g = measure::gather_grams(model, std::span<const std::size_t>(one));
  CHECK(g[known] == measure::gram{.tokens = 0, .sum = basic_matrix<double>(2, 2)});
  CHECK(g[known + 1] == measure::gram{});
  CHECK(g.notes(model.infos) == std::vector<std::string>{"no data reached unused", "every row counts once in table"});
}

TEST_CASE("missing, misshapen and non-finite inputs are refused", "[measure][gram][refusal]") {
  const std::vector<std::size_t> none, one{4};
  const auto gather = [](const synthetic_inputs& m, const std::vector<std::size_t>& data) {
    return refusal([&] { static_cast<void>(measure::gather_grams(m, std::span<const std::size_t>(data))); });
  };
  synthetic_inputs model;
  CHECK_THAT(gather(model, none), ContainsSubstring("no inputs of query and all other matrices in 0 batches"));
  model.bad = std::numeric_limits<float>::infinity();
  CHECK_THAT(gather(model, one), ContainsSubstring("input 1 of down is not finite"));
  model.infos[1].in = 4;
  CHECK_THAT(gather(model, one), ContainsSubstring("an input of 3 features for down; expected 4"));
  model.bad = 0;

  CHECK(measure::relative_output_error(0, 0, "w", "test") == 0);
  CHECK_THROWS_WITH(measure::relative_output_error(1, 0, "w", "test"),
                    ContainsSubstring("test: the outputs of w are zero"));
  CHECK_THROWS_WITH(measure::squared_output_error(float_matrix(1, 2).view(), float_matrix(2, 1).view(), {}),
                    ContainsSubstring("1 x 2 against 2 x 1"));
}
