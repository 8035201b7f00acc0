#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/math.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/inputs.hpp>

#include <concepts>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::measure {
PRECIS_IEEE_BEGIN

/// Uncentred second moments of the inputs of a linear map: G = X'X, where each row of X is a token.
struct gram {
  std::size_t tokens = 0;
  basic_matrix<double> sum = {};  ///< [in x in], symmetric

  bool operator==(const gram&) const = default;
};

/// One Gram matrix per distinct input of a model's matrices.
struct input_grams {
  std::vector<gram> distinct{};
  std::vector<std::size_t> index{};  ///< [matrices] position in `distinct` of each matrix's Gram matrix

  [[nodiscard]] const gram& operator[](std::size_t matrix) const noexcept { return distinct[index[matrix]]; }
  /// The notes of what is computed from these: the matrices that no token reached, and the tables whose rows count once.
  template<class = void>
  [[nodiscard]] std::vector<std::string> notes(std::span<const matrix_info> matrices) const {
    std::vector<bool> reached, reported;
    for (const std::size_t i : index) {
      reported.push_back(distinct[i].tokens != 0 || distinct[i].sum.rows != 0);
      reached.push_back(distinct[i].tokens != 0 || !reported.back());
    }
    std::vector<std::string> all = note_matrices("no data reached", matrices, reached);
    for (std::string& note : note_matrices("every row counts once in", matrices, reported))
      all.push_back(std::move(note));
    return all;
  }
  bool operator==(const input_grams&) const = default;
};

namespace detail {

/// Calls add(tokens [256 x in], first, height) for every 256 tokens of x, as values of type T, and every 128 rows of their
/// Gram matrix. The executor distributes rows.
template<class T, executor Executor, class Add>
void each_part_of_gram(activations_view<const float> x, Executor&& run, const Add& add) {
  constexpr std::size_t rows_at_a_time = 128, tokens_at_a_time = 256;
  basic_matrix<T> buffer(std::min(tokens_at_a_time, x.rows()), x.features);
  for (std::size_t t0 = 0; t0 < x.rows(); t0 += tokens_at_a_time) {
    const std::size_t tokens = std::min(tokens_at_a_time, x.rows() - t0);
    for (std::size_t t = 0; t < tokens; ++t) copy_span(x((t0 + t) / x.tokens, (t0 + t) % x.tokens), buffer.row(t));
    const auto rows = std::as_const(buffer).view().row_range(0, tokens);
    run.for_each((x.features + rows_at_a_time - 1) / rows_at_a_time, [&](std::size_t block) {
      const std::size_t first = block * rows_at_a_time;
      add(rows, first, std::min(rows_at_a_time, x.features - first));
    });
  }
}

/// Adds the tokens of x to the lower triangle of a Gram matrix. Each element is summed token by token, in order.
template<executor Executor>
void add_lower_gram(activations_view<const float> x, gram& into, Executor&& run) {
  if (into.sum.rows == 0) into.sum = basic_matrix<double>(x.features, x.features);
  into.tokens += x.rows();
  each_part_of_gram<double>(x, run, [&](const auto& tokens, std::size_t first, std::size_t height) {
    std::vector<double> workspace(kernel::product_workspace);
    kernel::product_add<kernel::native_double_lanes>(
        tokens.col_range(first, height).transposed(), tokens.col_range(0, first + height),
        into.sum.view().row_range(first, height).col_range(0, first + height), as_writable_span(workspace));
  });
}

/// Copies the lower triangle to the upper one.
template<class = void>
inline void mirror(basic_matrix<double>& lower) noexcept {
  for (std::size_t i = 0; i < lower.rows; ++i)
    for (std::size_t j = 0; j < i; ++j) lower(j, i) = lower(i, j);
}

}  // namespace detail

/// The Gram matrix of all tokens of x.
template<class = void>
[[nodiscard]] inline gram gram_of(activations_view<const float> x) {
  gram g;
  detail::add_lower_gram(x, g, sequential{});
  detail::mirror(g.sum);
  return g;
}

/// The Gram matrices of all inputs, over all batches. A matrix that no token reached, such as that of an expert to which
/// none was routed, has a Gram matrix of zeros: no error of its weights changes an output. A table that is used before
/// the layers (before_layers) and reports no input, because its rows are looked up, has an empty one, which stands for
/// the identity: one lookup per row.
///
/// Unit     squared activations, summed over tokens, neither averaged nor damped.
/// Errors   no tokens; an input that is not finite, by matrix, or of the wrong width.
/// Cost     that of each_input per batch, and tokens x in^2 / 2 multiply-adds in double and 8 in^2 bytes per distinct
///          input. The executor distributes the rows of each Gram matrix.
/// Source   IST-DASLab/gptq, which averages over sequences and doubles; scale and damping are left to the fit that
///          inverts G.
/// @post    bit-identical on any executor.
template<weighted_model Model, executor Executor = sequential>
  requires observable_model<Model> || differentiable_model<Model>
[[nodiscard]] input_grams gather_grams(const Model& model, std::span<const batch_of<Model>> batches,
                                       Executor&& run = {}) {
  const std::span<const matrix_info> matrices = model.matrices();
  constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  const auto bad = [](std::string what, std::string expected) {
    refuse({.what = std::move(what), .where = "measure::gather_grams", .expected = std::move(expected)});
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
            std::to_string(matrices[m].in) + ", one per column");
    detail::add_lower_gram(x, result.distinct[result.index[readers.front()]], run);
  };
  for (const batch_of<Model>& batch : batches) {
    each_input(model, batch, add);
  }
  if (!matrices.empty() &&
      std::all_of(result.distinct.begin(), result.distinct.end(), [](const gram& g) { return g.tokens == 0; }))
    bad("no inputs of " + matrices.front().name + " and all other matrices in " + std::to_string(batches.size()) +
            " batches",
        "at least one token, and a model that reports the inputs of its matrices");
  const std::size_t reached = result.distinct.size();
  for (std::size_t m = 0; m < matrices.size(); ++m) {
    if (result.index[m] == none || result[m].tokens == 0) {
      const std::size_t width = matrices[m].layer == before_layers ? 0 : matrices[m].in;
      std::size_t at = reached;
      while (at < result.distinct.size() && result.distinct[at].sum.rows != width) ++at;
      if (at == result.distinct.size())
        result.distinct.push_back({.tokens = 0, .sum = basic_matrix<double>(width, width)});
      result.index[m] = at;
      continue;
    }
    for (std::size_t i = 0; i < matrices[m].in; ++i)
      if (!kernel::is_finite(result[m].sum(i, i)))
        bad("input " + std::to_string(i) + " of " + matrices[m].name + " is not finite", "finite activations");
  }
  for (gram& g : result.distinct) detail::mirror(g.sum);
  return result;
}

/// tr(D G D'): the squared outputs of D, summed over the tokens behind G. row(r, d) fills d with row r of D. An empty G
/// stands for the identity: the result is then the squared Frobenius norm of D.
///
/// Cost     out * in^2 / 2 multiply-adds in double; blocks on the diagonal of G are computed in full.
template<std::invocable<std::size_t, std::span<double>> Row>
[[nodiscard]] double squared_outputs(std::size_t out, std::size_t in, Row&& row, const basic_matrix<double>& g) {
  PRECIS_EXPECTS(g.rows == 0 || (g.rows == in && g.cols == in), "a Gram matrix of this matrix's inputs");
  using lanes = kernel::native_double_lanes;
  constexpr std::size_t rows_at_a_time = 64, columns_at_a_time = 192;
  basic_matrix<double> d(std::min(rows_at_a_time, out), in), y(d.rows, std::min(columns_at_a_time, in));
  std::vector<double> workspace(g.rows == 0 ? 0 : kernel::product_workspace);
  double sum = 0;
  for (std::size_t r0 = 0; r0 < out; r0 += rows_at_a_time) {
    const std::size_t rows = std::min(rows_at_a_time, out - r0);
    for (std::size_t r = 0; r < rows; ++r) row(r0 + r, d.row(r));
    if (g.rows == 0) {
      for (std::size_t r = 0; r < rows; ++r)
        for (const double x : d.row(r)) sum += x * x;
      continue;
    }
    // G is symmetric: elements below a diagonal block are counted twice, those above it are skipped.
    const auto left = std::as_const(d).view().row_range(0, rows);
    for (std::size_t j0 = 0; j0 < in; j0 += columns_at_a_time) {
      const std::size_t columns = std::min(columns_at_a_time, in - j0), below = j0 + columns;
      const auto of_columns = g.view().col_range(j0, columns);
      const auto products = y.view().row_range(0, rows).col_range(0, columns);
      kernel::product<lanes>(left.col_range(below, in - below), of_columns.row_range(below, in - below), products,
                             as_writable_span(workspace));
      for (std::size_t r = 0; r < rows; ++r)
        for (double& v : products.row(r)) v *= 2;
      kernel::product_add<lanes>(left.col_range(j0, columns), of_columns.row_range(j0, columns), products,
                                 as_writable_span(workspace));
      for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t j = 0; j < columns; ++j) sum = math::fma(products(r, j), d(r, j0 + j), sum);
    }
  }
  return sum;
}

/// tr(W G W'): the squared outputs of a matrix for the inputs behind G, or its squared norm if G is empty.
template<class = void>
[[nodiscard]] inline double squared_outputs(weight_view w, const basic_matrix<double>& g) {
  const auto row = [&](std::size_t r, std::span<double> d) {
    for (std::size_t c = 0; c < d.size(); ++c) d[c] = static_cast<double>(w(r, c));
  };
  return std::max(0.0, squared_outputs(w.rows, w.cols, row, g));  // rounding can make it negative
}

/// tr((W - Wc) G (W - Wc)'): the squared error of a compressed matrix's outputs.
///
/// Errors   matrices of different shapes.
/// Source   IST-DASLab/EvoPress, its estimator of layer errors.
/// Differs  EvoPress gives an input that is always zero a second moment of 1; here it adds no error, as in the model.
template<class = void>
[[nodiscard]] inline double squared_output_error(weight_view original, weight_view compressed,
                                                 const basic_matrix<double>& g) {
  if (original.rows != compressed.rows || original.cols != compressed.cols)
    refuse({.what = std::to_string(original.rows) + " x " + std::to_string(original.cols) + " against " +
                    std::to_string(compressed.rows) + " x " + std::to_string(compressed.cols),
            .where = "measure::squared_output_error",
            .expected = "two matrices of the same shape"});
  const auto row = [&](std::size_t r, std::span<double> d) {
    for (std::size_t c = 0; c < d.size(); ++c)
      d[c] = static_cast<double>(original(r, c)) - static_cast<double>(compressed(r, c));
  };
  return std::max(0.0, squared_outputs(original.rows, original.cols, row, g));
}

/// Normalised mean squared error (NMSE): error / signal, 0 if both are 0.
///
/// Errors   a non-zero error without a signal. `matrix` and `where` appear in the message.
template<class = void>
[[nodiscard]] inline double relative_output_error(double error, double signal, const std::string& matrix,
                                                  const std::string& where) {
  if (error == 0) return 0;
  if (!(signal > 0) || !kernel::is_finite(error / signal))
    refuse({.what = "the outputs of " + matrix + " are zero, but those of its compressed version are not",
            .where = where,
            .expected = "inputs with non-zero outputs, or absolute errors"});
  return error / signal;
}

PRECIS_IEEE_END
}  // namespace precis::measure
