#pragma once

#include <cstddef>
#include <functional>
#include <vector>

/// A multi-layer perceptron as somebody might have written it: plain arrays, its own data type, no precis anywhere.
namespace mlp {

/// Labelled points.
struct samples {
  std::size_t inputs = 0;
  std::vector<float> points;  ///< [labels.size() x inputs]
  std::vector<int> labels;

  [[nodiscard]] std::size_t size() const { return labels.size(); }
};

/// y = x W + b, with W stored `in x out`: input i's weights lie side by side.
struct layer {
  std::size_t in = 0;
  std::size_t out = 0;
  std::vector<float> weight;  ///< [in x out]
  std::vector<float> bias;    ///< [out]

  [[nodiscard]] std::vector<float> forward(const std::vector<float>& x) const;    ///< x [n x in] -> [n x out]
  [[nodiscard]] std::vector<float> backward(const std::vector<float>& dy) const;  ///< dy [n x out] -> dx [n x in]
};

/// Layers with ReLU between them; the last one's outputs are the logits of the classes.
struct network {
  std::vector<layer> layers;

  explicit network(const std::vector<std::size_t>& widths);  ///< random weights, always the same

  /// One layer and, but for the last, its ReLU.
  [[nodiscard]] std::vector<float> step(std::size_t l, const std::vector<float>& x) const;

  /// What enters every layer, and the logits last.
  [[nodiscard]] std::vector<std::vector<float>> forward(const std::vector<float>& points) const;

  /// From the last layer to the first: each(l, what entered the layer, the gradient at its output).
  void backward(
      const std::vector<std::vector<float>>& states, std::vector<float> d_logits,
      const std::function<void(std::size_t, const std::vector<float>&, const std::vector<float>&)>& each) const;
};

/// Sum over samples of -log softmax(logits)[label]; d_logits, unless null, becomes its gradient.
[[nodiscard]] double cross_entropy(const std::vector<float>& logits, const std::vector<int>& labels,
                                   std::vector<float>* d_logits);

/// Share of samples whose largest logit is their label.
[[nodiscard]] double accuracy(const network& net, const samples& data);

/// Adam on batches of 50, in an order that is always the same.
void train(network& net, const samples& data, std::size_t steps);

/// Arms of a spiral in the plane, one class each, with some noise. `draw` picks the random points.
[[nodiscard]] samples spirals(int arms, std::size_t per_arm, unsigned draw);

}  // namespace mlp
