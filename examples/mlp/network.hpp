#pragma once

#include <cstddef>
#include <functional>
#include <vector>

/// A multi-layer perceptron that is independent of precis: plain arrays and its own data type.
namespace mlp {

/// Labelled points.
struct samples {
  std::size_t inputs = 0;
  std::vector<float> points;  ///< [labels.size() x inputs]
  std::vector<int> labels;

  [[nodiscard]] std::size_t size() const { return labels.size(); }
};

/// y = x W + b, with W stored `in x out`: the weights of an input are contiguous.
struct layer {
  std::size_t in = 0;
  std::size_t out = 0;
  std::vector<float> weight;  ///< [in x out]
  std::vector<float> bias;    ///< [out]

  [[nodiscard]] std::vector<float> forward(const std::vector<float>& x) const;    ///< x [n x in] -> [n x out]
  [[nodiscard]] std::vector<float> backward(const std::vector<float>& dy) const;  ///< dy [n x out] -> dx [n x in]
};

/// Layers with ReLU between them. The outputs of the last layer are the logits of the classes.
struct network {
  std::vector<layer> layers;

  explicit network(const std::vector<std::size_t>& widths);  ///< random weights from a fixed seed

  /// One layer followed by ReLU, except for the last layer.
  [[nodiscard]] std::vector<float> step(std::size_t l, const std::vector<float>& x) const;

  /// The input of every layer, followed by the logits.
  [[nodiscard]] std::vector<std::vector<float>> forward(const std::vector<float>& points) const;

  /// Calls each(l, input of the layer, gradient at its output) from the last layer to the first.
  void backward(
      const std::vector<std::vector<float>>& states, std::vector<float> d_logits,
      const std::function<void(std::size_t, const std::vector<float>&, const std::vector<float>&)>& each) const;
};

/// Sum over samples of -log softmax(logits)[label]. Sets d_logits to its gradient unless it is null.
[[nodiscard]] double cross_entropy(const std::vector<float>& logits, const std::vector<int>& labels,
                                   std::vector<float>* d_logits);

/// Fraction of samples whose largest logit is that of their label.
[[nodiscard]] double accuracy(const network& net, const samples& data);

/// Trains with Adam on batches of 50 in a fixed order.
void train(network& net, const samples& data, std::size_t steps);

/// Noisy points on the arms of a spiral in the plane, one class per arm. `draw` is the seed of the random points.
[[nodiscard]] samples spirals(int arms, std::size_t per_arm, unsigned draw);

}  // namespace mlp
