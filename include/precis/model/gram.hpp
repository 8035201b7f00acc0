#pragma once

#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/model/concepts.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace precis {

/// Second moments of what a linear map multiplied: G = X'X, one row of X a token.
struct gram {
  std::size_t tokens = 0;
  basic_matrix<double> sum;  ///< [in x in], symmetric

  bool operator==(const gram&) const = default;
};

/// One Gram matrix for every distinct input of a model's matrices.
struct input_grams {
  std::vector<gram> distinct;
  std::vector<std::size_t> index;  ///< [matrices] which of them is this matrix's

  [[nodiscard]] const gram& operator[](std::size_t matrix) const noexcept { return distinct[index[matrix]]; }
  bool operator==(const input_grams&) const = default;
};

namespace detail {

/// to[j] = (((to[j] + f[0] x[0][j]) + f[1] x[1][j]) + f[2] x[2][j]) + f[3] x[3][j]: four steps of a sum in one pass over it,
/// in the order and with the rounding of one step at a time.
template<class T>
inline void add_four(const std::array<double, 4>& f, const std::array<const T*, 4>& x, std::size_t n,
                     double* to) noexcept {
  const T *const a = x[0], *const b = x[1], *const c = x[2], *const d = x[3];
  const double p = f[0], q = f[1], r = f[2], s = f[3];  // copies: `to` could be f otherwise
  for (std::size_t j = 0; j < n; ++j)
    to[j] = to[j] + p * static_cast<double>(a[j]) + q * static_cast<double>(b[j]) + r * static_cast<double>(c[j]) +
            s * static_cast<double>(d[j]);
}

/// Adds the tokens of x to the lower half of a Gram matrix. Every element adds up token by token, in order; a product of two
/// floats is exact in double, so fusing it with the addition changes nothing.
template<executor Executor>
void add_lower_gram(activations_view<const float> x, gram& into, Executor&& run) {
  constexpr std::size_t rows_at_a_time = 64, tokens_at_a_time = 16;
  if (into.sum.rows == 0) into.sum = basic_matrix<double>(x.features, x.features);
  into.tokens += x.rows();
  const auto row = [&](std::size_t t) { return x(t / x.tokens, t % x.tokens).data(); };
  run.for_each((x.features + rows_at_a_time - 1) / rows_at_a_time, [&](std::size_t block) {
    const std::size_t first = block * rows_at_a_time, end = std::min(x.features, first + rows_at_a_time);
    for (std::size_t t0 = 0; t0 < x.rows(); t0 += tokens_at_a_time)
      for (std::size_t i = first; i < end; ++i) {
        double* const to = into.sum.row(i).data();
        const auto factor = [&](std::size_t t) { return static_cast<double>(row(t)[i]); };
        std::size_t t = t0;
        const std::size_t last = std::min(x.rows(), t0 + tokens_at_a_time);
        for (; t + 4 <= last; t += 4)
          add_four<float>({factor(t), factor(t + 1), factor(t + 2), factor(t + 3)},
                          {row(t), row(t + 1), row(t + 2), row(t + 3)}, i + 1, to);
        for (; t < last; ++t)
          for (std::size_t j = 0; j <= i; ++j) to[j] += factor(t) * static_cast<double>(row(t)[j]);
      }
  });
}

inline void mirror(basic_matrix<double>& lower) noexcept {
  for (std::size_t i = 0; i < lower.rows; ++i)
    for (std::size_t j = 0; j < i; ++j) lower(j, i) = lower(i, j);
}

}  // namespace detail

/// The Gram matrix of all tokens of x.
[[nodiscard]] inline gram gram_of(activations_view<const float> x) {
  gram g;
  detail::add_lower_gram(x, g, sequential{});
  detail::mirror(g.sum);
  return g;
}

/// The Gram matrices of all inputs, over all batches. A differentiable_model that is not observable runs backward for them.
///
/// Unit     squared activations, summed over tokens, not averaged and not damped.
/// Errors   no tokens; an input that is not finite, by matrix; a matrix that was handed no input, or one of another width.
/// Cost     one forward a batch; tokens x in^2 / 2 multiply-adds in double for each distinct input; 8 in^2 bytes each. The rows
///          of a Gram matrix are split over the executor.
/// @post    equal on any executor, bit for bit.
/// Source   methods E3, without its factor 2 and its damping, which belong to the methods that invert G.
template<weighted_model Model, executor Executor = sequential>
  requires observable_model<Model> || differentiable_model<Model>
[[nodiscard]] input_grams gather_grams(const Model& model, std::span<const batch_of<Model>> batches,
                                       Executor&& run = {}) {
  const std::span<const matrix_info> matrices = model.matrices();
  constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  const auto bad = [](std::string what, std::string expected) {
    refuse({.what = std::move(what), .where = "gather_grams", .expected = std::move(expected)});
  };
  input_grams result{.distinct = {}, .index = std::vector<std::size_t>(matrices.size(), none)};
  const auto add = [&](std::span<const std::size_t> readers, activations_view<const float> x) {
    if (result.index[readers.front()] == none) {
      for (const std::size_t m : readers) result.index[m] = result.distinct.size();
      result.distinct.emplace_back();
    }
    for (const std::size_t m : readers)
      if (x.features != matrices[m].in)
        bad("an input of " + std::to_string(x.features) + " features for " + matrices[m].name,
            std::to_string(matrices[m].in) + ", its columns");
    detail::add_lower_gram(x, result.distinct[result.index[readers.front()]], run);
  };
  for (const batch_of<Model>& batch : batches) {
    if constexpr (observable_model<Model>)
      model.inputs(batch, [&](const linear_input& i) { add(i.matrices, i.input); });
    else
      static_cast<void>(model.backward(batch, [&](const linear_gradient& g) { add(std::array{g.matrix}, g.input); }));
  }
  for (std::size_t m = 0; m < matrices.size(); ++m) {
    if (result.index[m] == none || result[m].tokens == 0)
      bad("no inputs of " + matrices[m].name + " in " + std::to_string(batches.size()) + " batches",
          "at least one token, and a model that hands over the inputs of all its matrices");
    for (std::size_t i = 0; i < matrices[m].in; ++i)
      if (!std::isfinite(result[m].sum(i, i)))
        bad("input " + std::to_string(i) + " of " + matrices[m].name + " is not finite", "finite activations");
  }
  for (gram& g : result.distinct) detail::mirror(g.sum);
  return result;
}

/// tr(D G D'), where row(r, d) fills d with row r of D: the squared outputs of D, summed over the tokens behind G.
/// Without G (an empty matrix) G is the identity: the squared norm of D.
///
/// Cost     out * in^2 / 2 multiply-adds in double; rows in order.
template<std::invocable<std::size_t, std::span<double>> Row>
[[nodiscard]] double squared_outputs(std::size_t out, std::size_t in, Row&& row, const basic_matrix<double>& g) {
  PRECIS_EXPECTS(g.rows == 0 || (g.rows == in && g.cols == in), "a Gram matrix of this matrix's inputs");
  constexpr std::size_t rows_at_a_time = 8;  // that share one reading of G
  basic_matrix<double> d(rows_at_a_time, in), lower(rows_at_a_time, in);
  double sum = 0;
  for (std::size_t r0 = 0; r0 < out; r0 += rows_at_a_time) {
    const std::size_t rows = std::min(rows_at_a_time, out - r0);
    for (std::size_t r = 0; r < rows; ++r) row(r0 + r, d.row(r));
    if (g.rows == 0) {
      for (std::size_t r = 0; r < rows; ++r)
        for (const double x : d.row(r)) sum += x * x;
      continue;
    }
    std::ranges::fill(lower.values, 0.0);  // becomes the strictly lower half of G times d
    std::size_t i = 0;
    for (; i + 4 <= in; i += 4)
      for (std::size_t r = 0; r < rows; ++r) {
        double* const to = lower.row(r).data();
        detail::add_four<double>({d(r, i), d(r, i + 1), d(r, i + 2), d(r, i + 3)},
                                 {&g(i, 0), &g(i + 1, 0), &g(i + 2, 0), &g(i + 3, 0)}, i, to);
        for (std::size_t k = i; k < i + 4; ++k)  // the corner on the diagonal
          for (std::size_t j = i; j < k; ++j) to[j] += d(r, k) * g(k, j);
      }
    for (; i < in; ++i)
      for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t j = 0; j < i; ++j) lower(r, j) += d(r, i) * g(i, j);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t j = 0; j < in; ++j) sum += d(r, j) * (2 * lower(r, j) + g(j, j) * d(r, j));
  }
  return sum;
}

/// tr(W G W'): the squared outputs of a matrix on the inputs behind G; of its weights, where G is empty.
[[nodiscard]] inline double squared_outputs(weight_view w, const basic_matrix<double>& g) {
  const auto row = [&](std::size_t r, std::span<double> d) {
    for (std::size_t c = 0; c < d.size(); ++c) d[c] = static_cast<double>(w(r, c));
  };
  return std::max(0.0, squared_outputs(w.rows, w.cols, row, g));  // rounding alone can take a square below zero
}

/// tr((W - Wc) G (W - Wc)'): how far a compressed matrix's outputs are from the original's.
///
/// Errors   weights that differ in shape.
/// Source   methods B9 (EvoPress's estimator of layer errors).
/// Differs  there an input that is always zero gets a second moment of 1; here it costs nothing, as it does in the model.
[[nodiscard]] inline double squared_output_error(weight_view original, weight_view compressed,
                                                 const basic_matrix<double>& g) {
  if (original.rows != compressed.rows || original.cols != compressed.cols)
    refuse({.what = std::to_string(original.rows) + " x " + std::to_string(original.cols) + " against " +
                    std::to_string(compressed.rows) + " x " + std::to_string(compressed.cols),
            .where = "squared_output_error",
            .expected = "two matrices of one shape"});
  const auto row = [&](std::size_t r, std::span<double> d) {
    for (std::size_t c = 0; c < d.size(); ++c)
      d[c] = static_cast<double>(original(r, c)) - static_cast<double>(compressed(r, c));
  };
  return std::max(0.0, squared_outputs(original.rows, original.cols, row, g));
}

/// The share of the squared outputs that is lost: error / signal (NMSE), 0 when both are 0. Errors: an error without any
/// signal, by the matrix's name.
[[nodiscard]] inline double relative_output_error(double error, double signal, const std::string& matrix,
                                                  const std::string& where) {
  if (error == 0) return 0;
  if (!(signal > 0) || !std::isfinite(error / signal))
    refuse({.what = "the outputs of " + matrix + " are zero, those of its compressed version are not",
            .where = where,
            .expected = "inputs that its weights react to, or absolute errors"});
  return error / signal;
}

}  // namespace precis
