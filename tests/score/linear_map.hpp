#pragma once

#include <precis/core/random.hpp>
#include <precis/model/concepts.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// Samples of a single linear map: its inputs, and the gradients of a loss at its outputs.
struct map_batch {
  std::size_t sequences = 0, tokens = 0;
  std::vector<std::vector<float>> inputs, gradients;  ///< [sequences * tokens][in], [..][out]
  std::vector<std::size_t> lengths;                   ///< [sequences] or empty

  [[nodiscard]] std::size_t length(std::size_t s) const { return lengths.empty() ? tokens : lengths[s]; }
};

[[nodiscard]] inline map_batch gather_sequences(std::span<const map_batch> batches,
                                                std::span<const std::size_t> order) {
  map_batch b{.sequences = order.size(), .tokens = batches[0].tokens, .inputs = {}, .gradients = {}, .lengths = {}};
  for (std::size_t s : order) {
    std::size_t from = 0;
    while (s >= batches[from].sequences) s -= batches[from++].sequences;
    for (std::size_t t = 0; t < b.tokens; ++t) {
      b.inputs.push_back(batches[from].inputs[s * b.tokens + t]);
      b.gradients.push_back(batches[from].gradients[s * b.tokens + t]);
    }
    b.lengths.push_back(batches[from].length(s));
  }
  return b;
}

/// A model of one linear map y = W x + b that passes on the inputs and gradients of its batch.
struct map_model {
  using batch_type = map_batch;
  std::vector<precis::matrix_info> infos;
  precis::float_matrix weight;
  std::vector<double> bias;                        ///< [out]
  std::vector<std::vector<double>> bias_by_token;  ///< [tokens][out], added to it
  std::vector<double> later;

  explicit map_model(precis::float_matrix w)
      : infos{{"map", 0, precis::part::attention, w.rows, w.cols}}, weight(std::move(w)), bias(weight.rows) {}

  [[nodiscard]] std::span<const precis::matrix_info> matrices() const { return infos; }
  [[nodiscard]] precis::weight_view weights(std::size_t) const { return weight.view(); }
  [[nodiscard]] precis::mutable_weight_view weights(std::size_t) { return weight.view(); }

  template<class Sink>
  [[nodiscard]] precis::nll backward(const map_batch& b, Sink&& sink) const {
    precis::activations x(b.sequences, b.tokens, weight.cols), g(b.sequences, b.tokens, weight.rows);
    for (std::size_t i = 0; i < b.inputs.size(); ++i) {
      std::ranges::copy(b.inputs[i], x.view()(i / b.tokens, i % b.tokens).begin());
      std::ranges::copy(b.gradients[i], g.view()(i / b.tokens, i % b.tokens).begin());
    }
    sink(precis::linear_gradient{0, std::as_const(x).view(), std::as_const(g).view()});
    return {1.0, b.sequences};
  }
  template<class Sink>
  void inputs(const map_batch& b, Sink&& sink) const {
    const std::size_t matrix = 0;
    static_cast<void>(backward(
        b, [&](const precis::linear_gradient& g) { sink(precis::linear_input{std::span(&matrix, 1), g.input}); }));
  }

  void add_bias(std::size_t, std::span<const double> added) {
    for (std::size_t o = 0; o < bias.size(); ++o) bias[o] += added[o];
  }
  void add_token_bias(std::size_t, precis::matrix_view<const double> by_token, std::span<const double> after) {
    bias_by_token.resize(by_token.rows, std::vector<double>(bias.size()));
    for (std::size_t t = 0; t < by_token.rows; ++t)
      for (std::size_t o = 0; o < bias.size(); ++o) bias_by_token[t][o] += by_token(t, o);
    later.assign(after.begin(), after.end());
  }
  [[nodiscard]] std::vector<double> output(const std::vector<float>& x, std::size_t token) const {
    std::vector<double> y = bias;
    for (std::size_t o = 0; o < y.size(); ++o) {
      if (token < bias_by_token.size()) y[o] += bias_by_token[token][o];
      for (std::size_t i = 0; i < x.size(); ++i) y[o] += static_cast<double>(weight(o, i)) * static_cast<double>(x[i]);
    }
    return y;
  }
};
static_assert(precis::differentiable_model<map_model> && precis::observable_model<map_model> &&
              precis::mutable_model<map_model> && precis::token_bias_model<map_model> &&
              precis::divisible_batch<map_batch>);

/// W = [[2,0,1],[0,1,-1]] and three samples of two tokens, the example of docs/methods/eigenpruning.md.
inline map_model example_map() { return map_model(precis::float_matrix(2, 3, std::vector<float>{2, 0, 1, 0, 1, -1})); }
inline map_batch example_samples() {
  return {.sequences = 3,
          .tokens = 2,
          .inputs = {{1, 0, 2}, {0, 1, 1}, {2, 1, 0}, {1, 1, -1}, {0, 2, 1}, {1, -1, 0}},
          .gradients = {{.2f, -.1f}, {.1f, .3f}, {-.3f, .2f}, {0, -.2f}, {.1f, .1f}, {-.2f, .4f}},
          .lengths = {}};
}

/// Samples of normal numbers, the inputs with mean 3.
inline map_batch random_samples(std::size_t samples, std::size_t tokens, std::size_t in, std::size_t out,
                                std::uint64_t seed) {
  map_batch b{.sequences = samples, .tokens = tokens, .inputs = {}, .gradients = {}, .lengths = {}};
  const precis::random_stream draw(seed, precis::purpose("linear map samples"));
  std::uint64_t at = 0;
  for (std::size_t i = 0; i < samples * tokens; ++i) {
    b.inputs.emplace_back();
    b.gradients.emplace_back();
    for (std::size_t f = 0; f < in; ++f) b.inputs.back().push_back(static_cast<float>(draw.normal(at++)) + 3.f);
    for (std::size_t f = 0; f < out; ++f) b.gradients.back().push_back(static_cast<float>(draw.normal(at++)));
  }
  return b;
}
