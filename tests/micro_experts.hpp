#pragma once

#include <precis/core/random.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/taps.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

/// A transformer with experts: two layers, width 32, six tokens. The embedding is also the output head. Each token is
/// routed to expert 0 or 1 of three by two features of its residual, so expert 2 is never used.
///
///     h_t = E[id_t];  h_t += A mean(h_0 .. h_t);  h_t += D_e relu(U_e h_t), e = route(h_t);  logits = E h_t
///
/// Units: "table" (E) and "l.expert.e" (U_e and D_e of layer l); A names no unit.
class micro_experts {
 public:
  using batch_type = precis::token_batch;
  static constexpr std::size_t width = 32, vocabulary = 6, experts = 3, table = 0;

  micro_experts() {
    add("table", precis::before_layers, precis::part::other, vocabulary, "table", 0.3);
    for (std::size_t l = 0; l < layers(); ++l) {
      const std::string layer = std::to_string(l);
      add(layer + ".mix", l, precis::part::attention, width, "", 0.1);
      for (std::size_t e = 0; e < experts; ++e) {
        const std::string unit = layer + ".expert." + std::to_string(e);
        add(unit + ".up", l, precis::part::mlp, width, unit, 0.1);
        add(unit + ".down", l, precis::part::mlp, width, unit, 0.1);
      }
    }
  }

  [[nodiscard]] std::span<const precis::matrix_info> matrices() const { return infos_; }
  [[nodiscard]] precis::weight_view weights(std::size_t i) const { return maps_[i].view(); }
  [[nodiscard]] precis::mutable_weight_view weights(std::size_t i) { return maps_[i].view(); }
  [[nodiscard]] std::size_t layers() const { return 2; }
  [[nodiscard]] static std::size_t mix(std::size_t layer) { return 1 + layer * (1 + 2 * experts); }
  [[nodiscard]] static std::size_t up(std::size_t layer, std::size_t expert) { return mix(layer) + 1 + 2 * expert; }

  [[nodiscard]] precis::activations enter(const batch_type& b) const {
    precis::activations h(b.sequences, b.tokens, width);
    for (std::size_t i = 0; i < b.ids.size(); ++i)
      std::ranges::copy(maps_[table].row(static_cast<std::size_t>(b.ids[i])),
                        h.view()(i / b.tokens, i % b.tokens).begin());
    return h;
  }
  void run_layer(std::size_t l, precis::activations& h) const { static_cast<void>(layer(l, h, precis::tap::none{})); }
  [[nodiscard]] precis::float_matrix read_out(precis::matrix_view<const float> rows) const {
    precis::float_matrix z(rows.rows, vocabulary);
    for (std::size_t r = 0; r < rows.rows; ++r) apply(table, rows.row(r), z.row(r));
    return z;
  }
  [[nodiscard]] precis::nll read_loss(const batch_type& b, precis::activations_view<const float> h) const {
    const precis::float_matrix z = read_out(h.as_matrix());
    precis::nll sum;
    for (std::size_t i = 0; i < z.rows; ++i)
      if (b.targets[i] != precis::no_target)
        sum += {.sum = log_sum_exp(z.row(i)) - static_cast<double>(z(i, static_cast<std::size_t>(b.targets[i]))),
                .count = 1};
    return sum;
  }

  template<class Tap>
  [[nodiscard]] precis::float_matrix logits(const batch_type& b, precis::positions which, Tap&& tap) const {
    const precis::activations h = run(b, tap);
    const precis::float_matrix all = read_out(h.view().as_matrix());
    if (which == precis::positions::all) return all;
    precis::float_matrix last(b.sequences, vocabulary);
    for (std::size_t s = 0; s < b.sequences; ++s)
      std::ranges::copy(all.row((s + 1) * b.tokens - 1), last.row(s).begin());
    return last;
  }
  template<class Tap>
  [[nodiscard]] precis::nll loss(const batch_type& b, Tap&& tap) const {
    const precis::activations h = run(b, tap);
    return read_loss(b, h.view());
  }
  [[nodiscard]] precis::nll loss(const batch_type& b) const { return loss(b, precis::tap::none{}); }

  /// The inputs of an expert are those of the tokens routed to it; an expert without tokens is not reported.
  template<class Sink>
  void inputs(const batch_type& b, Sink&& sink) const {
    precis::activations h = enter(b);
    const auto report = [&](std::size_t m, const precis::activations& x) {
      sink(precis::linear_input{std::span(&m, 1), x.view()});
    };
    for (std::size_t l = 0; l < layers(); ++l) {
      const kept_values kept = layer(l, h, precis::tap::none{});
      report(mix(l), kept.means);
      for (std::size_t e = 0; e < experts; ++e) {
        if (kept.of_expert(e).empty()) continue;
        report(up(l, e), rows_of(kept.middle, kept.of_expert(e)));
        report(up(l, e) + 1, rows_of(kept.active, kept.of_expert(e)));
      }
    }
    report(table, h);
  }

  /// The table's gradient is that of its use as the head.
  template<class Sink>
  [[nodiscard]] precis::nll backward(const batch_type& b, Sink&& sink) const {
    precis::activations h = enter(b);
    std::vector<kept_values> kept;
    for (std::size_t l = 0; l < layers(); ++l) kept.push_back(layer(l, h, precis::tap::none{}));
    precis::activations dz(b.sequences, b.tokens, vocabulary), dh(b.sequences, b.tokens, width);
    precis::nll sum;
    const std::size_t rows = b.ids.size();
    for (std::size_t i = 0; i < rows; ++i) {
      if (b.targets[i] == precis::no_target) continue;
      const auto target = static_cast<std::size_t>(b.targets[i]);
      std::array<float, vocabulary> z{};
      apply(table, row(h, i), z);
      const double lse = log_sum_exp(z);
      sum += {.sum = lse - static_cast<double>(z[target]), .count = 1};
      for (std::size_t v = 0; v < vocabulary; ++v)
        row(dz, i)[v] = static_cast<float>(std::exp(static_cast<double>(z[v]) - lse) - (v == target ? 1.0 : 0.0));
      add_back(table, row(dz, i), row(dh, i));
    }
    report(sink, table, h, dz);
    for (std::size_t l = layers(); l-- > 0;) {
      const kept_values& k = kept[l];
      precis::activations d_active(b.sequences, b.tokens, width), d_middle = dh;
      for (std::size_t i = 0; i < rows; ++i) {
        add_back(up(l, k.expert[i]) + 1, row(dh, i), row(d_active, i));
        for (std::size_t f = 0; f < width; ++f)
          if (!(row(k.active, i)[f] > 0)) row(d_active, i)[f] = 0;
        add_back(up(l, k.expert[i]), row(d_active, i), row(d_middle, i));
      }
      for (std::size_t e = 0; e < experts; ++e) {
        const std::vector<std::size_t> of = k.of_expert(e);
        if (of.empty()) continue;
        report(sink, up(l, e) + 1, rows_of(k.active, of), rows_of(dh, of));
        report(sink, up(l, e), rows_of(k.middle, of), rows_of(d_active, of));
      }
      report(sink, mix(l), k.means, d_middle);
      dh = d_middle;
      for (std::size_t i = 0; i < rows; ++i) {
        std::array<float, width> back{};
        add_back(mix(l), row(d_middle, i), back);
        const std::size_t t = i % b.tokens;
        for (std::size_t earlier = i - t; earlier <= i; ++earlier)
          for (std::size_t f = 0; f < width; ++f) row(dh, earlier)[f] += back[f] / static_cast<float>(t + 1);
      }
    }
    return sum;
  }

  /// Every token predicts the next one of 0 1 2 3 4 5 0 1 ...; sequence s begins with token s.
  [[nodiscard]] static batch_type counting(std::size_t sequences = 6, std::size_t tokens = 4) {
    batch_type b{.sequences = sequences, .tokens = tokens, .ids = {}, .targets = {}};
    for (std::size_t i = 0; i < sequences * tokens; ++i) {
      b.ids.push_back(static_cast<precis::token>((i / tokens + i % tokens) % vocabulary));
      b.targets.push_back((b.ids.back() + 1) % static_cast<precis::token>(vocabulary));
    }
    return b;
  }

 private:
  [[nodiscard]] static std::span<float> row(precis::activations& x, std::size_t i) {
    return x.view()(i / x.tokens, i % x.tokens);
  }
  [[nodiscard]] static std::span<const float> row(const precis::activations& x, std::size_t i) {
    return x.view()(i / x.tokens, i % x.tokens);
  }

  struct kept_values {
    precis::activations means, middle, active;
    std::vector<std::size_t> expert;  // [rows]

    [[nodiscard]] std::vector<std::size_t> of_expert(std::size_t e) const {
      std::vector<std::size_t> rows;
      for (std::size_t i = 0; i < expert.size(); ++i)
        if (expert[i] == e) rows.push_back(i);
      return rows;
    }
  };

  void add(std::string name, std::size_t layer, precis::part part, std::size_t out, std::string unit, double scale) {
    const precis::random_stream normal(1, precis::purpose(name));
    maps_.emplace_back(out, width);
    for (std::size_t i = 0; i < maps_.back().values.size(); ++i)
      maps_.back().values[i] = static_cast<float>(scale * normal.normal(i));
    infos_.push_back({std::move(name), layer, part, out, width, std::move(unit)});
  }

  /// Rows as one sequence.
  [[nodiscard]] static precis::activations rows_of(const precis::activations& x, const std::vector<std::size_t>& rows) {
    precis::activations some(1, rows.size(), x.features);
    for (std::size_t i = 0; i < rows.size(); ++i) std::ranges::copy(row(x, rows[i]), some.view()(0, i).begin());
    return some;
  }
  template<class Sink>
  static void report(Sink& sink, std::size_t m, const precis::activations& x, const precis::activations& dy) {
    sink(precis::linear_gradient{m, x.view(), dy.view()});
  }

  template<class Tap>
  [[nodiscard]] precis::activations run(const batch_type& b, Tap&& tap) const {
    precis::activations h = enter(b);
    tap(precis::site{precis::site_kind::embedding, 0}, h.view());
    for (std::size_t l = 0; l < layers(); ++l) {
      tap(precis::site{precis::site_kind::residual, l}, h.view());
      static_cast<void>(layer(l, h, tap));
    }
    tap(precis::site{precis::site_kind::residual, layers()}, h.view());
    return h;
  }
  template<class Tap>
  [[nodiscard]] kept_values layer(std::size_t l, precis::activations& h, Tap&& tap) const {
    kept_values k{h, h, h, {}};
    precis::activations y = h;
    const std::size_t rows = h.sequences * h.tokens;
    for (std::size_t i = 0; i < rows; ++i) {
      const std::size_t t = i % h.tokens;
      for (std::size_t f = 0; f < width; ++f) {
        float sum = 0;
        for (std::size_t earlier = i - t; earlier <= i; ++earlier) sum += row(h, earlier)[f];
        row(k.means, i)[f] = sum / static_cast<float>(t + 1);
      }
      apply(mix(l), row(k.means, i), row(y, i));
    }
    tap(precis::site{precis::site_kind::attention, l}, y.view());
    for (std::size_t i = 0; i < h.values.size(); ++i) h.values[i] += y.values[i];
    k.middle = h;
    for (std::size_t i = 0; i < rows; ++i) {
      k.expert.push_back(row(h, i)[0] > row(h, i)[1] ? 0 : 1);
      apply(up(l, k.expert[i]), row(h, i), row(k.active, i));
      for (float& v : row(k.active, i)) v = v > 0 ? v : 0;
      apply(up(l, k.expert[i]) + 1, row(k.active, i), row(y, i));
    }
    tap(precis::site{precis::site_kind::mlp, l}, y.view());
    for (std::size_t i = 0; i < h.values.size(); ++i) h.values[i] += y.values[i];
    return k;
  }

  void apply(std::size_t m, std::span<const float> x, std::span<float> y) const {
    for (std::size_t o = 0; o < y.size(); ++o) {
      float sum = 0;
      for (std::size_t i = 0; i < x.size(); ++i) sum += maps_[m](o, i) * x[i];
      y[o] = sum;
    }
  }
  /// dx += W^T dy
  void add_back(std::size_t m, std::span<const float> dy, std::span<float> dx) const {
    for (std::size_t o = 0; o < dy.size(); ++o)
      for (std::size_t i = 0; i < dx.size(); ++i) dx[i] += maps_[m](o, i) * dy[o];
  }
  static double log_sum_exp(std::span<const float> z) {
    double sum = 0;
    for (const float v : z) sum += std::exp(static_cast<double>(v));
    return std::log(sum);
  }

  std::vector<precis::matrix_info> infos_;
  std::vector<precis::float_matrix> maps_;
};
static_assert(precis::mutable_model<micro_experts> && precis::layered_model<micro_experts> &&
              precis::tappable_model<micro_experts> && precis::observable_model<micro_experts> &&
              precis::differentiable_model<micro_experts> && precis::token_model<micro_experts>);
