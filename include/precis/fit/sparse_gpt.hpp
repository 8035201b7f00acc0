#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/select.hpp>
#include <precis/core/view.hpp>
#include <precis/fit/compensation.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::fit {
PRECIS_IEEE_BEGIN

/// Prunes a matrix in place; the weights that remain make up for those that are removed.
///
/// Formula   columns from left to right in blocks; at the start of a block the weights with the smallest w^2 / U_jj^2 are
///           removed; the error e = w_j / U_jj of a removed weight is pushed into the later columns.
/// Unit      sparsity: share of the weights of every block, over all rows together, 0 to 1.
/// Requires  a usable compensation in the order of columns (compensation_options::by_magnitude false).
/// Errors    a sparsity outside [0, 1]; a block of no columns; a compensation of another width or order.
/// Cost      out * in^2 / 2 multiply-adds in float, in products of blocks.
/// Source    docs/methods/gptq.md: SparseGPT, Frantar and Alistarh 2023, arXiv:2301.00774, algorithm 1.
/// Differs   Exactly floor(s n + 0.5) weights of a block of n are removed; the authors' threshold removes at least one.
/// @post     the returned error is tr((W - Wc) H (W - Wc)') up to rounding; 0, and no weight changes, if none is removed.
struct sparse_gpt {
  double sparsity = 0.5;
  std::size_t block = 128;  ///< columns whose weights compete

  /// Returns the error, in the unit of H = G + ridge I.
  template<class = void>
  double operator()(mutable_weight_view weights, const compensation& by) const {
    check(weights, by);
    float_matrix w(weights.rows, weights.cols);
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c) w(r, c) = weights(r, c);
    std::vector<float> workspace(kernel::product_workspace), keys;
    float_matrix errors(w.rows, std::min(block, w.cols));  // negated
    double squares = 0;
    for (std::size_t first = 0; first < w.cols; first += block) {
      const std::size_t end = std::min(first + block, w.cols), width = end - first;
      const std::vector<bool> removed = choose(w, by, first, width, keys);
      for (std::size_t j = first; j < end; ++j)
        for (std::size_t r = 0; r < w.rows; ++r) {
          float& e = errors(r, j - first);
          e = removed[r * width + j - first] ? -w(r, j) / by.factor(j, j) : 0.f;
          if (e == 0) continue;
          squares += static_cast<double>(e) * static_cast<double>(e);
          for (std::size_t k = j + 1; k < end; ++k) w(r, k) += e * by.factor(j, k);
          w(r, j) = 0;
        }
      if (end < w.cols)
        kernel::product_add<>(std::as_const(errors).view().col_range(0, width),
                              by.factor.view().row_range(first, width).col_range(end, w.cols - end),
                              w.view().col_range(end, w.cols - end), as_writable_span(workspace));
      for (std::size_t r = 0; r < w.rows; ++r)
        for (std::size_t i = 0; i < width; ++i)
          if (removed[r * width + i]) w(r, first + i) = 0;
    }
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c) weights(r, c) = w(r, c);
    return squares;
  }

 private:
  template<class = void>
  void check(mutable_weight_view w, const compensation& by) const {
    const auto bad = [](std::string what, std::string expected) {
      refuse({.what = std::move(what), .where = "fit::sparse_gpt", .expected = std::move(expected)});
    };
    if (block == 0) bad("blocks of no columns", "128 columns, or more");
    if (by.order.size() != w.cols || !by.usable())
      bad("a compensation of " + std::to_string(by.order.size()) + " inputs for rows of " + std::to_string(w.cols),
          "a usable one of this matrix's inputs");
    for (std::size_t c = 0; c < w.cols; ++c)
      if (by.order[c] != c) bad("a compensation in another order", "columns from left to right");
    static_cast<void>(exact_count(sparsity, w.cols));
  }
  /// [rows x width] whether a weight of a block is removed.
  template<class = void>
  [[nodiscard]] std::vector<bool> choose(const float_matrix& w, const compensation& by, std::size_t first,
                                         std::size_t width, std::vector<float>& keys) const {
    keys.resize(w.rows * width);
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t i = 0; i < width; ++i) {
        const float x = w(r, first + i) / by.factor(first + i, first + i);
        keys[r * width + i] = x * x;
      }
    std::vector<bool> removed(keys.size());
    for (const std::size_t i : indices_of_smallest(std::span<const float>(keys), exact_count(sparsity, keys.size())))
      removed[i] = true;
    return removed;
  }
};

PRECIS_IEEE_END
}  // namespace precis::fit
