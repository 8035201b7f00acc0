#include "network.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <utility>

namespace mlp {
namespace {

/// A small portable generator of uniform and normal numbers.
struct dice {
  std::uint64_t state;

  double uniform() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (static_cast<double>(state >> 11) + 0.5) * 0x1p-53;
  }
  double normal() {
    const double radius = std::sqrt(-2.0 * std::log(uniform()));
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
  }
};

}  // namespace

std::vector<float> layer::forward(const std::vector<float>& x) const {
  const std::size_t n = x.size() / in;
  std::vector<float> y(n * out);
  for (std::size_t s = 0; s < n; ++s) {
    float* const row = y.data() + s * out;
    std::copy(bias.begin(), bias.end(), row);
    for (std::size_t i = 0; i < in; ++i)
      for (std::size_t o = 0; o < out; ++o) row[o] += x[s * in + i] * weight[i * out + o];
  }
  return y;
}

std::vector<float> layer::backward(const std::vector<float>& dy) const {
  const std::size_t n = dy.size() / out;
  std::vector<float> dx(n * in);
  for (std::size_t s = 0; s < n; ++s)
    for (std::size_t i = 0; i < in; ++i)
      for (std::size_t o = 0; o < out; ++o) dx[s * in + i] += weight[i * out + o] * dy[s * out + o];
  return dx;
}

network::network(const std::vector<std::size_t>& widths) {
  dice d{1};
  for (std::size_t l = 0; l + 1 < widths.size(); ++l) {
    layer next{widths[l], widths[l + 1], {}, std::vector<float>(widths[l + 1])};
    const double deviation = std::sqrt(2.0 / static_cast<double>(next.in));
    for (std::size_t i = 0; i < next.in * next.out; ++i)
      next.weight.push_back(static_cast<float>(deviation * d.normal()));
    layers.push_back(std::move(next));
  }
}

std::vector<float> network::step(std::size_t l, const std::vector<float>& x) const {
  std::vector<float> y = layers[l].forward(x);
  if (l + 1 < layers.size())
    for (float& v : y) v = std::max(v, 0.f);
  return y;
}

std::vector<std::vector<float>> network::forward(const std::vector<float>& points) const {
  std::vector<std::vector<float>> states{points};
  for (std::size_t l = 0; l < layers.size(); ++l) states.push_back(step(l, states.back()));
  return states;
}

void network::backward(
    const std::vector<std::vector<float>>& states, std::vector<float> d_logits,
    const std::function<void(std::size_t, const std::vector<float>&, const std::vector<float>&)>& each) const {
  std::vector<float> dy = std::move(d_logits);
  for (std::size_t l = layers.size(); l-- > 0;) {
    each(l, states[l], dy);
    if (l == 0) return;
    dy = layers[l].backward(dy);
    for (std::size_t i = 0; i < dy.size(); ++i)
      if (states[l][i] <= 0) dy[i] = 0;  // the ReLU was inactive
  }
}

double cross_entropy(const std::vector<float>& logits, const std::vector<int>& labels, std::vector<float>* d_logits) {
  const std::size_t classes = logits.size() / labels.size();
  double loss = 0;
  if (d_logits != nullptr) d_logits->resize(logits.size());
  for (std::size_t s = 0; s < labels.size(); ++s) {
    const float* const z = logits.data() + s * classes;
    const double top = *std::max_element(z, z + classes);
    double sum = 0;
    for (std::size_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(z[c]) - top);
    const auto label = static_cast<std::size_t>(labels[s]);
    loss += std::log(sum) + top - static_cast<double>(z[label]);
    if (d_logits == nullptr) continue;
    for (std::size_t c = 0; c < classes; ++c)
      (*d_logits)[s * classes + c] =
          static_cast<float>(std::exp(static_cast<double>(z[c]) - top) / sum - (c == label ? 1.0 : 0.0));
  }
  return loss;
}

double accuracy(const network& net, const samples& data) {
  const std::vector<float> logits = net.forward(data.points).back();
  const std::size_t classes = net.layers.back().out;
  std::size_t correct = 0;
  for (std::size_t s = 0; s < data.size(); ++s) {
    const float* const z = logits.data() + s * classes;
    correct += std::max_element(z, z + classes) - z == data.labels[s] ? 1u : 0u;
  }
  return static_cast<double>(correct) / static_cast<double>(data.size());
}

void train(network& net, const samples& data, std::size_t steps) {
  constexpr std::size_t batch = 50;
  struct moments {
    std::vector<float> gradient, first, second;
    explicit moments(std::size_t n) : gradient(n), first(n), second(n) {}
  };
  std::vector<moments> weight, bias;
  for (const layer& l : net.layers) {
    weight.emplace_back(l.weight.size());
    bias.emplace_back(l.bias.size());
  }
  float first_decay = 1, second_decay = 1;
  const auto adam = [&](moments& m, std::vector<float>& value, float rate) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      const float g = m.gradient[i] / static_cast<float>(batch);
      m.first[i] = 0.9f * m.first[i] + 0.1f * g;
      m.second[i] = 0.999f * m.second[i] + 0.001f * g * g;
      value[i] -= rate * (m.first[i] / (1 - first_decay)) / (std::sqrt(m.second[i] / (1 - second_decay)) + 1e-8f);
      m.gradient[i] = 0;
    }
  };

  dice d{2};
  for (std::size_t step = 0; step < steps; ++step) {
    std::vector<float> points;
    std::vector<int> labels;
    for (std::size_t k = 0; k < batch; ++k) {
      const auto s = static_cast<std::size_t>(d.uniform() * static_cast<double>(data.size()));
      points.insert(points.end(), data.points.begin() + static_cast<std::ptrdiff_t>(s * data.inputs),
                    data.points.begin() + static_cast<std::ptrdiff_t>((s + 1) * data.inputs));
      labels.push_back(data.labels[s]);
    }
    const std::vector<std::vector<float>> states = net.forward(points);
    std::vector<float> d_logits;
    static_cast<void>(cross_entropy(states.back(), labels, &d_logits));
    net.backward(states, std::move(d_logits),
                 [&](std::size_t l, const std::vector<float>& x, const std::vector<float>& dy) {
                   const std::size_t in = net.layers[l].in, out = net.layers[l].out;
                   for (std::size_t k = 0; k < batch; ++k) {
                     for (std::size_t i = 0; i < in; ++i)
                       for (std::size_t o = 0; o < out; ++o)
                         weight[l].gradient[i * out + o] += x[k * in + i] * dy[k * out + o];
                     for (std::size_t o = 0; o < out; ++o) bias[l].gradient[o] += dy[k * out + o];
                   }
                 });
    first_decay *= 0.9f;
    second_decay *= 0.999f;
    const float rate = 0.004f * (1 - static_cast<float>(step) / static_cast<float>(steps));
    for (std::size_t l = 0; l < net.layers.size(); ++l) {
      adam(weight[l], net.layers[l].weight, rate);
      adam(bias[l], net.layers[l].bias, rate);
    }
  }
}

samples spirals(int arms, std::size_t per_arm, unsigned draw) {
  dice d{100 + draw};
  samples s{.inputs = 2, .points = {}, .labels = {}};
  for (int arm = 0; arm < arms; ++arm)
    for (std::size_t i = 0; i < per_arm; ++i) {
      const double radius = d.uniform();
      const double angle =
          2.0 * std::numbers::pi * (radius * 0.9 + static_cast<double>(arm) / arms) + 0.15 * d.normal();
      s.points.push_back(static_cast<float>(radius * std::cos(angle)));
      s.points.push_back(static_cast<float>(radius * std::sin(angle)));
      s.labels.push_back(arm);
    }
  return s;
}

}  // namespace mlp
