#pragma once

#include <precis/core/error.hpp>
#include <precis/core/random.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/product.hpp>
#include <precis/model/batch.hpp>
#include <precis/model/concepts.hpp>
#include <precis/score/eigen/singular.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::score {

/// What singular values of one slice do to the loss.
struct singular_effects {
  matrix_slice where;
  singular_parts parts;
  std::vector<double> effects;  ///< [r] high = keep
};

/// Mean inputs of a matrix, position by position: what pruned parts would have said on average.
struct mean_inputs {
  std::size_t matrix = 0;
  basic_matrix<double> by_token;  ///< [tokens x in]

  /// Over all positions.
  [[nodiscard]] std::vector<double> overall() const {
    std::vector<double> mean(by_token.cols);
    for (std::size_t t = 0; t < by_token.rows; ++t)
      for (std::size_t c = 0; c < by_token.cols; ++c) mean[c] += by_token(t, c) / static_cast<double>(by_token.rows);
    return mean;
  }
};

struct eigen_attributions {
  std::vector<singular_effects> slices;
  std::vector<mean_inputs> means;  ///< of every matrix that has a slice

  [[nodiscard]] const mean_inputs& means_of(std::size_t matrix) const noexcept {
    return *std::ranges::find(means, matrix, &mean_inputs::matrix);
  }
};

/// Scores every singular value of some matrices by its effect on the task: to first order, how much the loss would grow if
/// what enters the matrix came, through that value alone, from another sample.
///
///     D(i, j, t, r) = sigma_r (u_r . g(i, t)) (v_r . (x(j, t) - x(i, t)))        g: gradient of sample i's loss at the output
///     S_r = max over pairs and tokens of D, or max over pairs of the sum over tokens
///
/// Shapes    samples: sequences of one length, each with its targets; slices of the model's matrices.
/// Unit      nats.
/// Sign      high = keep: the lowest are harmful, or do nothing.
/// Pairs     cyclic: of a random order of the samples, each with the one before it. all: each with every other.
/// Errors    fewer than two samples; no slices, or one outside its matrix; inputs or gradients that are not finite, by matrix.
/// Cost      one backward of all samples; 2 samples tokens r (out + in) operations a slice in double, and the decomposition.
///           No rank-one part is ever formed. cyclic keeps three samples' projections, all keeps everybody's: 16 bytes x
///           samples x tokens x r a slice.
/// Source    Vergara-Browne, Soto, Aizawa, "Eigenpruning" (arXiv:2404.03147); methods B8.
/// Differs   the authors' code pairs within batches (within a batch of one, a sample with itself), averages losses over a
///           batch, and takes what enters the norm before a map for the map's input.
/// @post     summed over r, D is g . W (x(j) - x(i)).
struct eigen_attribution {
  enum class pairing { cyclic, all };
  enum class reduction { largest, largest_sum };  ///< over pairs and tokens; over pairs, of sums over tokens

  pairing pairs = pairing::cyclic;
  reduction reduce = reduction::largest;
  std::uint64_t seed = 0;
  bool in_order = false;      ///< cyclic: pairs follow the samples' own order, not a random one
  std::size_t at_a_time = 8;  ///< samples a backward

  template<differentiable_model Model>
    requires token_model<Model>
  [[nodiscard]] eigen_attributions operator()(const Model& model, const token_batch& samples,
                                              std::span<const matrix_slice> slices) const {
    const std::span<const matrix_info> matrices = model.matrices();
    if (samples.sequences < 2)
      bad(std::to_string(samples.sequences) + " samples", "at least two: an effect is the difference to another one");
    if (slices.empty()) bad("no slices", "at least one");
    if (at_a_time == 0) bad("no samples at a time", "at least one");
    eigen_attributions out;
    std::vector<running> states;
    for (const matrix_slice& s : slices) {
      check(s, matrices, where);
      out.slices.push_back(
          {.where = s, .parts = decompose(s.of(weight_view(model.weights(s.matrix))), s.name), .effects = {}});
      const std::size_t r = out.slices.back().parts.size();
      out.slices.back().effects.assign(r, -std::numeric_limits<double>::infinity());
      states.emplace_back(samples.tokens * r, pairs == pairing::all ? samples.sequences : 3);
      if (std::ranges::find(out.means, s.matrix, &mean_inputs::matrix) == out.means.end())
        out.means.push_back(
            {.matrix = s.matrix, .by_token = basic_matrix<double>(samples.tokens, matrices[s.matrix].in)});
    }

    std::vector<std::size_t> order(samples.sequences);
    std::iota(order.begin(), order.end(), std::size_t{0});
    const random_stream random(seed, purpose("score::eigen_attribution"));
    if (!in_order && pairs == pairing::cyclic)
      for (std::size_t k = order.size(); k > 1; --k) std::swap(order[k - 1], order[random.below(k, k)]);

    for (std::size_t first = 0; first < order.size(); first += at_a_time) {
      const std::size_t count = std::min(at_a_time, order.size() - first);
      token_batch batch{.sequences = count, .tokens = samples.tokens, .ids = {}, .targets = {}};
      for (std::size_t k = first; k < first + count; ++k)
        for (auto [from, to] : {std::pair{&samples.ids, &batch.ids}, {&samples.targets, &batch.targets}})
          if (!from->empty())
            to->insert(to->end(), from->begin() + static_cast<std::ptrdiff_t>(order[k] * samples.tokens),
                       from->begin() + static_cast<std::ptrdiff_t>((order[k] + 1) * samples.tokens));
      static_cast<void>(model.backward(batch, [&](const linear_gradient& g) {
        for (mean_inputs& m : out.means)
          if (m.matrix == g.matrix) add_inputs(g.input, samples.sequences, m);
        for (std::size_t i = 0; i < out.slices.size(); ++i)
          if (out.slices[i].where.matrix == g.matrix)
            add_samples(g, first, samples.sequences, matrices[g.matrix].name, out.slices[i], states[i]);
      }));
    }
    for (std::size_t i = 0; i < out.slices.size(); ++i) finish(samples, out.slices[i], states[i]);
    return out;
  }

  /// Chosen only when the overload above is not: says why, and what to do about it.
  template<class Model, class Samples, class... Rest>
    requires(!(differentiable_model<Model> && token_model<Model>))
  refused operator()(const Model&, const Samples&, Rest&&...) const {
    static_assert(
        differentiable_model<Model> && token_model<Model>,
        "precis: score::eigen_attribution needs a differentiable_model of token_batch. Add nll backward(const "
        "batch_type&, sink) const to the adaptor. See docs/models.md#differentiable");
    return {};
  }

 private:
  static constexpr const char* where = "score::eigen_attribution";

  [[noreturn]] static void bad(std::string what, std::string expected) {
    refuse({.what = std::move(what), .where = where, .expected = std::move(expected)});
  }

  /// Projections of samples, [tokens x r] each: p = u . g, q = sigma v . x.
  struct running {
    std::vector<std::vector<double>> p, q;  // all: of everybody; cyclic: of the first, the one before, this one
    running(std::size_t size, std::size_t count)
        : p(count, std::vector<double>(size)), q(count, std::vector<double>(size)) {}
  };

  static void add_inputs(activations_view<const float> x, std::size_t samples, mean_inputs& m) {
    for (std::size_t s = 0; s < x.sequences; ++s)
      for (std::size_t t = 0; t < x.tokens; ++t)
        for (std::size_t f = 0; f < x.features; ++f)
          m.by_token(t, f) += static_cast<double>(x(s, t)[f]) / static_cast<double>(samples);
  }

  /// [tokens x r] = rows [tokens x n], from column `first` on, times factors^T [n x r].
  static void project(activations_view<const float> rows, std::size_t s, std::size_t first,
                      const basic_matrix<double>& factors, const std::string& what, std::vector<double>& to) {
    basic_matrix<double> x(rows.tokens, factors.cols);
    for (std::size_t t = 0; t < rows.tokens; ++t)
      for (std::size_t c = 0; c < factors.cols; ++c) {
        x(t, c) = static_cast<double>(rows(s, t)[first + c]);
        if (!std::isfinite(x(t, c)))
          bad(what + " at position " + std::to_string(t) + " is not finite", "finite numbers");
      }
    std::vector<double> workspace(kernel::product_workspace);
    kernel::product<kernel::native_double_lanes>(std::as_const(x).view(), factors.view().transposed(),
                                                 matrix_view<double>(to, rows.tokens, factors.rows), workspace);
  }

  void add_samples(const linear_gradient& g, std::size_t first, std::size_t samples, const std::string& name,
                   singular_effects& slice, running& state) const {
    const matrix_slice& at = slice.where;
    for (std::size_t s = 0; s < g.input.sequences; ++s) {
      const std::size_t k = first + s, place = pairs == pairing::all ? k : 2;
      project(g.output_gradient, s, at.first_row, slice.parts.left, "a gradient at the output of " + name,
              state.p[place]);
      project(g.input, s, at.first_col, slice.parts.right, "an input of " + name, state.q[place]);
      if (pairs == pairing::all) continue;
      if (k == 0) {
        state.p[0] = state.p[2];
        state.q[0] = state.q[2];
      } else {
        compare(state.p[2], state.q[2], state.q[1], slice.effects);
      }
      std::swap(state.q[1], state.q[2]);
      if (k + 1 == samples) compare(state.p[0], state.q[0], state.q[1], slice.effects);
    }
  }

  void finish(const token_batch& samples, singular_effects& slice, const running& state) const {
    if (pairs == pairing::cyclic) return;
    const std::size_t n = samples.sequences, size = state.p.front().size(), r = slice.effects.size();
    if (reduce == reduction::largest_sum) {
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j)
          if (i != j) compare(state.p[i], state.q[i], state.q[j], slice.effects);
      return;
    }
    // The best partner has the largest q, or the smallest: of everybody but the sample itself, so the two best are kept.
    for (std::size_t k = 0; k < size; ++k) {
      constexpr double infinity = std::numeric_limits<double>::infinity();
      double high[2] = {-infinity, -infinity}, low[2] = {infinity, infinity};
      std::size_t highest = 0, lowest = 0;
      for (std::size_t i = 0; i < n; ++i) {
        const double q = state.q[i][k];
        if (q > high[0]) {
          high[1] = std::exchange(high[0], q);
          highest = i;
        } else {
          high[1] = std::max(high[1], q);
        }
        if (q < low[0]) {
          low[1] = std::exchange(low[0], q);
          lowest = i;
        } else {
          low[1] = std::min(low[1], q);
        }
      }
      double& effect = slice.effects[k % r];
      for (std::size_t i = 0; i < n; ++i) {
        const double p = state.p[i][k];
        const double best = p >= 0 ? (i == highest ? high[1] : high[0]) : (i == lowest ? low[1] : low[0]);
        effect = std::max(effect, p * (best - state.q[i][k]));
      }
    }
  }

  void compare(const std::vector<double>& p, const std::vector<double>& q, const std::vector<double>& other,
               std::vector<double>& effects) const {
    const std::size_t r = effects.size(), tokens = r == 0 ? 0 : p.size() / r;
    std::vector<double> sums(reduce == reduction::largest_sum ? r : 0);
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t k = 0; k < r; ++k) {
        const double d = p[t * r + k] * (other[t * r + k] - q[t * r + k]);
        if (sums.empty())
          effects[k] = std::max(effects[k], d);
        else
          sums[k] += d;
      }
    for (std::size_t k = 0; k < sums.size(); ++k) effects[k] = std::max(effects[k], sums[k]);
  }
};

}  // namespace precis::score
