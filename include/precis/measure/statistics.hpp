#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/measure/gram.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::measure {
PRECIS_IEEE_BEGIN

namespace detail {

/// Adds the tokens of x to the lower triangle of a Gram matrix: products of 256 tokens in float, whose sums are added in
/// double.
template<executor Executor>
void add_lower_gram_in_blocks(activations_view<const float> x, gram& into, Executor&& run) {
  if (into.sum.rows == 0) into.sum = basic_matrix<double>(x.features, x.features);
  into.tokens += x.rows();
  each_part_of_gram<float>(x, run, [&](const auto& tokens, std::size_t first, std::size_t height) {
    std::vector<float> workspace(kernel::product_workspace);
    float_matrix sums(height, first + height);
    kernel::product<>(tokens.col_range(first, height).transposed(), tokens.col_range(0, first + height), sums.view(),
                      as_writable_span(workspace));
    for (std::size_t r = 0; r < height; ++r)
      for (std::size_t c = 0; c < first + height; ++c) into.sum(first + r, c) += static_cast<double>(sums(r, c));
  });
}

/// Adds sum over tokens of (x - y) y' to `into`, in the same way. Requires inputs of the same shape.
template<executor Executor>
void add_cross_moments(activations_view<const float> x, activations_view<const float> y, basic_matrix<double>& into,
                       Executor&& run) {
  constexpr std::size_t rows_at_a_time = 128, tokens_at_a_time = 256;
  if (into.rows == 0) into = basic_matrix<double>(x.features, x.features);
  float_matrix moved(std::min(tokens_at_a_time, x.rows()), x.features), of(moved.rows, x.features);
  for (std::size_t t0 = 0; t0 < x.rows(); t0 += tokens_at_a_time) {
    const std::size_t tokens = std::min(tokens_at_a_time, x.rows() - t0);
    for (std::size_t t = 0; t < tokens; ++t) {
      const std::span<const float> a = x((t0 + t) / x.tokens, (t0 + t) % x.tokens);
      const std::span<const float> b = y((t0 + t) / x.tokens, (t0 + t) % x.tokens);
      for (std::size_t i = 0; i < a.size(); ++i) {
        moved(t, i) = a[i] - b[i];
        of(t, i) = b[i];
      }
    }
    run.for_each((x.features + rows_at_a_time - 1) / rows_at_a_time, [&](std::size_t block) {
      const std::size_t first = block * rows_at_a_time, height = std::min(rows_at_a_time, x.features - first);
      std::vector<float> workspace(kernel::product_workspace);
      float_matrix sums(height, x.features);
      kernel::product<>(std::as_const(moved).view().row_range(0, tokens).col_range(first, height).transposed(),
                        std::as_const(of).view().row_range(0, tokens), sums.view(), as_writable_span(workspace));
      for (std::size_t r = 0; r < height; ++r)
        for (std::size_t c = 0; c < x.features; ++c) into(first + r, c) += static_cast<double>(sums(r, c));
    });
  }
}

}  // namespace detail

/// What calibration data say about one input of a model: everything that a fit, a scale search or a pruner asks for.
///
/// Unit     activations: sums over tokens, in double; products of 256 tokens at a time in float. The number of tokens is also the routing count of an expert.
struct input_statistics {
  gram moments{};                       ///< until `finish`, only its lower triangle is filled
  std::vector<double> sums{};           ///< [in] of x
  std::vector<double> absolute_sums{};  ///< [in] of |x|
  std::vector<float> maxima{};          ///< [in] the largest |x|

  [[nodiscard]] std::size_t width() const noexcept { return sums.size(); }
  [[nodiscard]] std::size_t tokens() const noexcept { return moments.tokens; }

  /// Adds the tokens of x. Cost: tokens x in^2 / 2 multiply-adds in float. The executor distributes rows.
  template<executor Executor = sequential>
  void add(activations_view<const float> x, Executor&& run = {}) {
    require_width(x.features);
    for (std::size_t s = 0; s < x.sequences; ++s)
      for (std::size_t t = 0; t < x.tokens; ++t) {
        const std::span<const float> token = x(s, t);
        for (std::size_t i = 0; i < token.size(); ++i) {
          const float magnitude = token[i] < 0 ? -token[i] : token[i];
          sums[i] += static_cast<double>(token[i]);
          absolute_sums[i] += static_cast<double>(magnitude);
          maxima[i] = magnitude > maxima[i] ? magnitude : maxima[i];
        }
      }
    detail::add_lower_gram_in_blocks(x, moments, run);
  }

  /// Adds the statistics of other tokens of the same input. Errors: another width.
  template<class = void>
  void merge(const input_statistics& other) {
    if (other.width() == 0) return;
    require_width(other.width());
    if (moments.sum.rows == 0) moments.sum = basic_matrix<double>(width(), width());
    moments.tokens += other.moments.tokens;
    for (std::size_t i = 0; i < moments.sum.values.size(); ++i) moments.sum.values[i] += other.moments.sum.values[i];
    for (std::size_t i = 0; i < width(); ++i) {
      sums[i] += other.sums[i];
      absolute_sums[i] += other.absolute_sums[i];
      maxima[i] = std::max(maxima[i], other.maxima[i]);
    }
  }

  /// Fills the upper triangle of the Gram matrix, after the last `add` or `merge`. Errors: an input that is not finite,
  /// by its index; `where` names the matrix that reads it.
  template<class = void>
  void finish(const std::string& where) {
    for (std::size_t i = 0; i < width(); ++i)
      if (!kernel::is_finite(moments.sum(i, i)))
        refuse({.what = "input " + std::to_string(i) + " is not finite",
                .where = where,
                .expected = "finite activations"});
    detail::mirror(moments.sum);
  }
  bool operator==(const input_statistics&) const = default;

 private:
  template<class = void>
  void require_width(std::size_t features) {
    if (sums.empty()) {
      sums.resize(features);
      absolute_sums.resize(features);
      maxima.resize(features);
    }
    if (features != width())
      refuse({.what = std::to_string(features) + " inputs",
              .where = "measure::input_statistics",
              .expected = std::to_string(width()) + ", as before"});
  }
};

PRECIS_IEEE_END
}  // namespace precis::measure
