#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/slice.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/linear_algebra/singular_values.hpp>

#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// First-order effects on the loss of replacing the input of a rank-one part of a matrix by that of another sample:
///
///     effect(i, k, t, r) = (left_r . g_it) (right_r . (x_kt - x_it)),    left_r right_r^T = sigma_r u_r v_r^T
///
/// x is the input of a linear map and g the gradient of the sample's loss at its output. Neither the parts nor the
/// table of effects are stored: there are two products per block of rows, and a running maximum over pairs (and
/// tokens).
namespace precis::score::eigenpruning {
PRECIS_IEEE_BEGIN

/// How the effects at the tokens of all pairs are reduced to one number per singular value.
enum class reduction {
  max_over_pairs_and_tokens,
  sum_tokens_then_max,  ///< summed over the tokens of a pair, then the maximum over pairs
};

/// The inputs and output gradients of a matrix in one batch. Samples are sequences; all batches of a run have the same
/// number of tokens.
struct observed {
  activations_view<const float> input = {};            ///< x [samples x tokens x in]
  activations_view<const float> output_gradient = {};  ///< g [samples x tokens x out]
  std::span<const unsigned char> counts{};             ///< [samples x tokens] 0 for padding; empty if there is none
  float weight = 1;                                    ///< factor on the gradients
};

/// A slice's rank-one parts in the layout of the products, and their largest effects so far.
struct tracked {
  matrix_slice slice = {};
  float_matrix left = {};      ///< [out x rank] column r is left_r
  float_matrix right = {};     ///< [in x rank]
  std::vector<float> most{};   ///< [rank] largest effect at a token
  std::vector<double> sums{};  ///< [rank] largest sum over the tokens of a pair

  template<class = void>
  tracked(matrix_slice s, const linear_algebra::singular_system& parts)
      : slice(std::move(s)),
        left(parts.left.cols, parts.count()),
        right(parts.right.cols, parts.count()),
        most(parts.count(), -std::numeric_limits<float>::infinity()),
        sums(parts.count(), -std::numeric_limits<double>::infinity()) {
    for (std::size_t r = 0; r < parts.count(); ++r) {
      for (std::size_t o = 0; o < left.rows; ++o) left(o, r) = static_cast<float>(parts.left(r, o));
      for (std::size_t i = 0; i < right.rows; ++i) right(i, r) = static_cast<float>(parts.right(r, i));
    }
  }
  [[nodiscard]] std::size_t rank() const noexcept { return most.size(); }
};

inline constexpr std::size_t rows_at_a_time = 512;
inline constexpr std::size_t columns_at_a_time = kernel::product_panel_columns;

/// A range of a slice's parts: the unit of parallel work.
struct columns {
  tracked* of = nullptr;
  std::size_t first = 0, count = 0;
};

/// Divides the parts of all slices into ranges.
template<class = void>
[[nodiscard]] inline std::vector<columns> cut(std::vector<tracked>& slices) {
  std::vector<columns> pieces;
  for (tracked& s : slices)
    for (std::size_t c = 0; c < s.rank(); c += columns_at_a_time)
      pieces.push_back({&s, c, std::min(columns_at_a_time, s.rank() - c)});
  return pieces;
}

/// The product of rows and the columns `c` of the parts, [rows x c.count]; `first` is the slice's first column in the
/// rows.
template<class = void>
[[nodiscard]] inline float_matrix project(matrix_view<const float> rows, const float_matrix& part, std::size_t first,
                                          const columns& c, std::span<float> workspace) {
  float_matrix image(rows.rows, c.count);
  kernel::product(rows.col_range(first, part.rows), part.view().col_range(c.first, c.count), image.view(), workspace);
  return image;
}

/// to = (a - b) * weight, where b may be null. Returns whether the result is finite.
template<class = void>
[[nodiscard]] inline bool copy_row(const float* a, const float* b, float weight, std::span<float> to) noexcept {
  float trace = 0;  // becomes NaN if an element is not finite
  for (std::size_t i = 0; i < to.size(); ++i) {
    to[i] = (b == nullptr ? a[i] : a[i] - b[i]) * weight;
    trace += to[i] * 0.f;
  }
  return trace == 0;
}

/// Refuses a row that is not finite.
template<class = void>
[[noreturn]] inline void refuse_row(const char* what, const std::string& name, std::size_t sample, std::size_t token) {
  refuse({.what = std::string(what) + " of " + name + " at sample " + std::to_string(sample) + ", token " +
                  std::to_string(token) + " is not finite",
          .where = "score::eigen_attribution",
          .expected = "finite activations and gradients"});
}

/// Updates the maxima with the effects of rows whose projections are p and q. `ends` holds the end of each pair's rows.
template<class = void>
inline void add_pairs(const float_matrix& p, const float_matrix& q, const columns& c, std::span<const std::size_t> ends,
                      reduction reduce) {
  if (reduce == reduction::max_over_pairs_and_tokens) {
    float* const most = c.of->most.data() + c.first;
    for (std::size_t row = 0; row < p.rows; ++row) {
      const float *const a = p.row(row).data(), *const b = q.row(row).data();
      for (std::size_t r = 0; r < c.count; ++r) {
        const float effect = a[r] * b[r];
        most[r] = effect > most[r] ? effect : most[r];
      }
    }
    return;
  }
  std::vector<double> sum(c.count);
  double* const best = c.of->sums.data() + c.first;
  for (std::size_t row = 0; const std::size_t end : ends) {
    std::fill(sum.begin(), sum.end(), 0.0);
    for (; row < end; ++row) {
      const float *const a = p.row(row).data(), *const b = q.row(row).data();
      for (std::size_t r = 0; r < c.count; ++r) sum[r] += static_cast<double>(a[r]) * static_cast<double>(b[r]);
    }
    for (std::size_t r = 0; r < c.count; ++r) best[r] = std::max(best[r], sum[r]);
  }
}

/// Whether a token is not padding.
[[nodiscard]] inline bool counts(const observed& o, std::size_t sample, std::size_t token) noexcept {
  return o.counts.empty() || o.counts[sample * o.input.tokens + token] != 0;
}

PRECIS_IEEE_END
}  // namespace precis::score::eigenpruning
