#pragma once

#include "network.hpp"

#include <precis/model.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// A non-intrusive adaptor that gives precis access to an mlp::network.
class mlp_adaptor {
 public:
  using batch_type = mlp::samples;

  explicit mlp_adaptor(mlp::network& net) : net_(&net) {
    for (std::size_t l = 0; l < net.layers.size(); ++l)
      infos_.push_back({.name = "layer." + std::to_string(l),
                        .layer = l,
                        .part = precis::part::mlp,
                        .out = net.layers[l].out,
                        .in = net.layers[l].in});
  }

  // weighted_model, mutable_model: the network stores `in x out`, precis uses `out x in`; nothing is copied.
  [[nodiscard]] std::span<const precis::matrix_info> matrices() const { return infos_; }
  [[nodiscard]] precis::mutable_weight_view weights(std::size_t i) {
    mlp::layer& l = net_->layers[i];
    return precis::mutable_weight_view(l.weight, l.in, l.out).transposed();
  }
  [[nodiscard]] precis::weight_view weights(std::size_t i) const {
    const mlp::layer& l = net_->layers[i];
    return precis::weight_view(l.weight, l.in, l.out).transposed();
  }

  // tappable_model: the input of a layer is its residual site, and a sample is a sequence of one token.
  [[nodiscard]] std::size_t layers() const { return net_->layers.size(); }
  template<class Tap>
  [[nodiscard]] precis::float_matrix logits(const batch_type& b, precis::positions, Tap&& tap) const {
    std::vector<float> x = b.points;
    for (std::size_t l = 0; l <= layers(); ++l) {
      tap(precis::site{precis::site_kind::residual, l}, view<float>(x, b));
      if (l < layers()) x = net_->step(l, x);
    }
    return {b.size(), x.size() / b.size(), std::move(x)};
  }

  // evaluable_model, with and without a tap
  template<class Tap>
  [[nodiscard]] precis::nll loss(const batch_type& b, Tap&& tap) const {
    return {mlp::cross_entropy(logits(b, precis::positions::all, tap).values, b.labels, nullptr), b.size()};
  }
  [[nodiscard]] precis::nll loss(const batch_type& b) const { return loss(b, precis::tap::none{}); }

  // differentiable_model
  template<class Sink>
  [[nodiscard]] precis::nll backward(const batch_type& b, Sink&& sink) const {
    const std::vector<std::vector<float>> states = net_->forward(b.points);
    std::vector<float> d_logits;
    const double loss = mlp::cross_entropy(states.back(), b.labels, &d_logits);
    net_->backward(states, d_logits, [&](std::size_t l, const std::vector<float>& x, const std::vector<float>& dy) {
      sink(precis::linear_gradient{l, view<const float>(x, b), view<const float>(dy, b)});
    });
    return {loss, b.size()};
  }

 private:
  /// [samples x 1 x features]
  template<class T, class Values>
  [[nodiscard]] static precis::activations_view<T> view(Values& values, const batch_type& b) {
    return {std::span<T>(values), b.size(), 1, values.size() / b.size()};
  }

  mlp::network* net_;
  std::vector<precis::matrix_info> infos_;
};

static_assert(precis::mutable_model<mlp_adaptor> && precis::evaluable_model<mlp_adaptor> &&
              precis::tappable_model<mlp_adaptor> && precis::differentiable_model<mlp_adaptor>);
static_assert(!precis::token_model<mlp_adaptor>);  // so causal tracing gives a compile error with the reason
