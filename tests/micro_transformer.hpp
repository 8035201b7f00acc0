#pragma once

#include <precis/model/concepts.hpp>
#include <precis/model/taps.hpp>

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

/// A transformer of two blocks, width two and three tokens: small enough to check by hand. It has no heads, norms or
/// positions, and is an adaptor independent of the example engine.
///
///     a_t = Wa mean(h_0 .. h_t);  h += a;  m_t = Wm relu(h_t);  h += m;  logits = Wu h_last
class micro_transformer {
 public:
  using batch_type = precis::token_batch;
  static constexpr bool causal = true;

  struct cache_type {
    std::vector<precis::activations> states;  // entering layers 0, 1 and the head
    [[nodiscard]] precis::activations_view<const float> residual(std::size_t l) const { return states[l].view(); }
  };

  [[nodiscard]] std::span<const precis::matrix_info> matrices() const { return infos_; }
  [[nodiscard]] precis::weight_view weights(std::size_t i) const { return maps_[i].view(); }
  [[nodiscard]] precis::mutable_weight_view weights(std::size_t i) { return maps_[i].view(); }
  [[nodiscard]] std::size_t layers() const { return 2; }

  template<class Tap>
  [[nodiscard]] precis::float_matrix logits(const batch_type& b, precis::positions which, Tap&& tap) const {
    const precis::activations h = run(b, tap, nullptr);
    const std::size_t each = which == precis::positions::all ? b.tokens : 1;
    precis::float_matrix out(b.sequences * each, 3);
    for (std::size_t s = 0; s < b.sequences; ++s)
      for (std::size_t i = 0; i < each; ++i) head(h.view()(s, b.tokens - each + i), out.row(s * each + i));
    return out;
  }

  template<class Tap>
  [[nodiscard]] precis::nll loss(const batch_type& b, Tap&& tap) const {
    return loss_of(b, logits(b, precis::positions::all, tap));
  }
  [[nodiscard]] precis::nll loss(const batch_type& b) const { return loss(b, precis::tap::none{}); }

  template<class Tap>
  [[nodiscard]] precis::float_matrix capture(const batch_type& b, cache_type& cache, Tap&& tap) const {
    const precis::activations h = run(b, tap, &cache);
    precis::float_matrix out(b.sequences, 3);
    for (std::size_t s = 0; s < b.sequences; ++s) head(h.view()(s, b.tokens - 1), out.row(s));
    return out;
  }

  template<class Tap>
  void run_layer(const precis::layer_run& r, const cache_type& cache, precis::activations_view<float> h,
                 Tap&& tap) const {
    precis::activations a(h.sequences, h.tokens, 2), m(h.sequences, h.tokens, 2);
    for (std::size_t s = 0; s < h.sequences; ++s) {
      float sum[2] = {0, 0};
      for (std::size_t t = 0; t < r.first_token + h.tokens; ++t) {
        const std::span<const float> x = t < r.first_token ? cache.residual(r.layer)(r.sequences[s], t)
                                                           : std::span<const float>(h(s, t - r.first_token));
        sum[0] += x[0];
        sum[1] += x[1];
        if (t < r.first_token) continue;
        const float n = static_cast<float>(t + 1);
        const float mean[2] = {sum[0] / n, sum[1] / n};
        apply(2 * r.layer, mean, a.view()(s, t - r.first_token));
      }
    }
    finish_layer(r.layer, h, a, m, r.outputs, tap);
  }

  [[nodiscard]] precis::float_matrix read_out(precis::matrix_view<const float> last) const {
    precis::float_matrix out(last.rows, 3);
    for (std::size_t i = 0; i < last.rows; ++i) head(last.row(i), out.row(i));
    return out;
  }

  [[nodiscard]] precis::activations enter(const batch_type& b) const {
    precis::activations h(b.sequences, b.tokens, 2);
    for (std::size_t i = 0; i < b.ids.size(); ++i)
      std::ranges::copy(embed_[static_cast<std::size_t>(b.ids[i])], h.view()(i / b.tokens, i % b.tokens).begin());
    return h;
  }
  void run_layer(std::size_t l, precis::activations& h) const {
    run_layer({.layer = l, .first_token = 0, .sequences = {}, .outputs = precis::positions::all}, cache_type{},
              h.view(), precis::tap::none{});
  }
  [[nodiscard]] precis::nll read_loss(const batch_type& b, precis::activations_view<const float> h) const {
    return loss_of(b, read_out(h.as_matrix()));
  }

  template<class Sink>
  void inputs(const batch_type& b, Sink&& sink) const {
    batch_type answered = b;
    answered.targets.assign(b.ids.size(), 0);
    static_cast<void>(backward(answered, [&](const precis::linear_gradient& g) {
      sink(precis::linear_input{std::span(&g.matrix, 1), g.input});
    }));
  }

  template<class Sink>
  [[nodiscard]] precis::nll backward(const batch_type& b, Sink&& sink) const {
    cache_type cache;
    std::vector<precis::activations> middle(2);  // after attention
    const auto keep = [](precis::site, precis::activations_view<float>) {};
    const precis::activations h = run(b, keep, &cache);
    precis::nll sum;
    precis::activations dh(b.sequences, b.tokens, 2);
    for (std::size_t s = 0; s < b.sequences; ++s)
      for (std::size_t t = 0; t < b.tokens; ++t) {
        const precis::token y = b.targets[s * b.tokens + t];
        if (y == precis::no_target) continue;
        std::vector<float> z(3);
        head(h.view()(s, t), z);
        const double lse = log_sum_exp(z);
        sum.sum += lse - static_cast<double>(z[static_cast<std::size_t>(y)]);
        ++sum.count;
        for (std::size_t v = 0; v < 3; ++v) {
          const double p = std::exp(static_cast<double>(z[v]) - lse) - (static_cast<std::size_t>(y) == v ? 1.0 : 0.0);
          for (std::size_t f = 0; f < 2; ++f)
            dh.view()(s, t)[f] += static_cast<float>(p * static_cast<double>(unembed_[v][f]));
        }
      }
    for (std::size_t l = 2; l-- > 0;) {
      precis::activations means(b.sequences, b.tokens, 2), rectified(b.sequences, b.tokens, 2),
          da(b.sequences, b.tokens, 2);
      for (std::size_t s = 0; s < b.sequences; ++s) {
        float total[2] = {0, 0};
        for (std::size_t t = 0; t < b.tokens; ++t) {
          const auto x = cache.residual(l)(s, t);
          float a[2], mean[2];
          for (std::size_t f = 0; f < 2; ++f) mean[f] = (total[f] += x[f]) / static_cast<float>(t + 1);
          apply(2 * l, mean, a);
          for (std::size_t f = 0; f < 2; ++f) {
            means.view()(s, t)[f] = mean[f];
            const float mid = x[f] + a[f];
            rectified.view()(s, t)[f] = mid > 0 ? mid : 0;
            float back = 0;
            for (std::size_t o = 0; o < 2; ++o) back += maps_[2 * l + 1](o, f) * dh.view()(s, t)[o];
            da.view()(s, t)[f] = dh.view()(s, t)[f] + (mid > 0 ? back : 0);
          }
        }
      }
      sink(precis::linear_gradient{2 * l + 1, std::as_const(rectified).view(), std::as_const(dh).view()});
      sink(precis::linear_gradient{2 * l, std::as_const(means).view(), std::as_const(da).view()});
      dh = da;
      for (std::size_t s = 0; s < b.sequences; ++s)
        for (std::size_t t = 0; t < b.tokens; ++t)
          for (std::size_t f = 0; f < 2; ++f) {
            float back = 0;
            for (std::size_t o = 0; o < 2; ++o) back += maps_[2 * l](o, f) * da.view()(s, t)[o];
            for (std::size_t earlier = 0; earlier <= t; ++earlier)
              dh.view()(s, earlier)[f] += back / static_cast<float>(t + 1);
          }
    }
    return sum;
  }

  /// Five labelled prompts, each with one target at the last position.
  [[nodiscard]] static batch_type labelled(std::size_t first = 0, std::size_t count = 5) {
    const std::vector<precis::token> ids{0, 1, 2, 1, 0, 2, 2, 2, 0, 1, 1, 0, 0, 0, 1}, answers{1, 0, 0, 1, 2};
    batch_type b{.sequences = count, .tokens = 3, .ids = {}, .targets = {}};
    for (std::size_t s = first; s < first + count; ++s)
      for (std::size_t t = 0; t < 3; ++t) {
        b.ids.push_back(ids[s * 3 + t]);
        b.targets.push_back(t == 2 ? answers[s] : precis::no_target);
      }
    return b;
  }

 private:
  template<class Tap>
  [[nodiscard]] precis::activations run(const batch_type& b, Tap&& tap, cache_type* cache) const {
    precis::activations h = enter(b);
    tap(precis::site{precis::site_kind::embedding, 0}, h.view());
    cache_type own;
    if (cache == nullptr) cache = &own;
    cache->states.clear();
    std::vector<std::size_t> all(b.sequences);
    for (std::size_t s = 0; s < b.sequences; ++s) all[s] = s;
    for (std::size_t l = 0; l < 2; ++l) {
      tap(precis::site{precis::site_kind::residual, l}, h.view());
      cache->states.push_back(h);
      run_layer({.layer = l, .first_token = 0, .sequences = all, .outputs = precis::positions::all}, *cache, h.view(),
                tap);
    }
    tap(precis::site{precis::site_kind::residual, 2}, h.view());
    cache->states.push_back(h);
    return h;
  }

  template<class Tap>
  void finish_layer(std::size_t l, precis::activations_view<float> h, precis::activations& a, precis::activations& m,
                    precis::positions outputs, Tap&& tap) const {
    const std::size_t skip = outputs == precis::positions::last ? h.tokens - 1 : 0;
    tap(precis::site{precis::site_kind::attention, l}, a.view().token_range(skip, h.tokens - skip));
    for (std::size_t s = 0; s < h.sequences; ++s)
      for (std::size_t t = skip; t < h.tokens; ++t) {
        float rectified[2];
        for (std::size_t f = 0; f < 2; ++f) {
          h(s, t)[f] += a.view()(s, t)[f];
          rectified[f] = h(s, t)[f] > 0 ? h(s, t)[f] : 0;
        }
        apply(2 * l + 1, rectified, m.view()(s, t));
      }
    tap(precis::site{precis::site_kind::mlp, l}, m.view().token_range(skip, h.tokens - skip));
    for (std::size_t s = 0; s < h.sequences; ++s)
      for (std::size_t t = skip; t < h.tokens; ++t)
        for (std::size_t f = 0; f < 2; ++f) h(s, t)[f] += m.view()(s, t)[f];
  }

  void apply(std::size_t map, std::span<const float> x, std::span<float> y) const {
    for (std::size_t o = 0; o < 2; ++o) y[o] = maps_[map](o, 0) * x[0] + maps_[map](o, 1) * x[1];
  }
  void head(std::span<const float> h, std::span<float> z) const {
    for (std::size_t v = 0; v < 3; ++v) z[v] = unembed_[v][0] * h[0] + unembed_[v][1] * h[1];
  }
  static precis::nll loss_of(const batch_type& b, const precis::float_matrix& z) {
    precis::nll sum;
    for (std::size_t i = 0; i < z.rows; ++i) {
      if (b.targets[i] == precis::no_target) continue;
      sum.sum += log_sum_exp(z.row(i)) - static_cast<double>(z(i, static_cast<std::size_t>(b.targets[i])));
      ++sum.count;
    }
    return sum;
  }
  static double log_sum_exp(std::span<const float> z) {
    double top = z[0], sum = 0;
    for (const float v : z) top = std::max(top, static_cast<double>(v));
    for (const float v : z) sum += std::exp(static_cast<double>(v) - top);
    return top + std::log(sum);
  }

  float embed_[3][2] = {{1, 0}, {0, 1}, {1, 1}};
  float unembed_[3][2] = {{1, 0}, {0, 1}, {-1, 1}};
  std::vector<precis::matrix_info> infos_{{"block.0.attn", 0, precis::part::attention, 2, 2},
                                          {"block.0.mlp", 0, precis::part::mlp, 2, 2},
                                          {"block.1.attn", 1, precis::part::attention, 2, 2},
                                          {"block.1.mlp", 1, precis::part::mlp, 2, 2}};
  std::vector<precis::float_matrix> maps_{{2, 2, std::vector<float>{.5f, .25f, -.25f, .5f}},
                                          {2, 2, std::vector<float>{.5f, -1.f, 1.f, .5f}},
                                          {2, 2, std::vector<float>{.25f, -.5f, .5f, .25f}},
                                          {2, 2, std::vector<float>{1.f, .5f, -.5f, 1.f}}};
};
static_assert(precis::weighted_model<micro_transformer> && precis::mutable_model<micro_transformer> &&
              precis::evaluable_model<micro_transformer> && precis::tappable_model<micro_transformer> &&
              precis::resumable_model<micro_transformer> && precis::layered_model<micro_transformer> &&
              precis::observable_model<micro_transformer> && precis::differentiable_model<micro_transformer> &&
              precis::token_model<micro_transformer>);

/// All weights by matrix and row, to check that a method restored them.
[[nodiscard]] inline std::vector<float> all_weights(const micro_transformer& model) {
  std::vector<float> all;
  for (std::size_t m = 0; m < model.matrices().size(); ++m) {
    const precis::weight_view w = model.weights(m);
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c) all.push_back(w(r, c));
  }
  return all;
}
