#pragma once

#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/slice.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/linear_algebra/singular_values.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// First-order effects of swapping the input of a singular value's part of a matrix between two samples:
///
///     effect(i, k, t, r) = (left_r . g_it) (right_r . (x_kt - x_it)),    left_r right_r^T = sigma_r u_r v_r^T
///
/// x is what a linear map multiplies and g the gradient of the sample's loss at its output. The parts are never formed, the
/// table of effects is never stored: two products a block of rows, and a running maximum over pairs (and tokens).
namespace precis::score::eigenpruning {

/// How effects at the tokens of pairs become one number a singular value.
enum class reduction {
  max_over_pairs_and_tokens,
  sum_tokens_then_max,  ///< a pair gives one number
};

/// What a matrix saw in a batch. Samples are sequences; all batches of a run have the same tokens.
struct observed {
  activations_view<const float> input;            ///< x [samples x tokens x in]
  activations_view<const float> output_gradient;  ///< g [samples x tokens x out]
  std::span<const unsigned char> counts = {};     ///< [samples x tokens] 0 where a token is padding; empty: all count
  float weight = 1;                               ///< of the gradients
};

/// A slice's parts as the products take them, and the largest effects so far.
struct tracked {
  matrix_slice slice;
  float_matrix left;         ///< [out x rank] column r is left_r
  float_matrix right;        ///< [in x rank]
  std::vector<float> most;   ///< [rank] largest effect at a token
  std::vector<double> sums;  ///< [rank] largest sum over a pair's tokens

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

namespace detail {

inline constexpr std::size_t rows_at_a_time = 512, columns_at_a_time = kernel::product_panel_columns;

/// A piece of work: columns of a slice's parts.
struct columns {
  tracked* of = nullptr;
  std::size_t first = 0, count = 0;
};

[[nodiscard]] inline std::vector<columns> cut(std::vector<tracked>& slices) {
  std::vector<columns> pieces;
  for (tracked& s : slices)
    for (std::size_t c = 0; c < s.rank(); c += columns_at_a_time)
      pieces.push_back({&s, c, std::min(columns_at_a_time, s.rank() - c)});
  return pieces;
}

/// rows * part: the chosen columns of the parts, [rows x columns].
[[nodiscard]] inline float_matrix project(matrix_view<const float> rows, const float_matrix& part, std::size_t first,
                                          const columns& c, std::span<float> workspace) {
  float_matrix image(rows.rows, c.count);
  kernel::product(rows.col_range(first, part.rows), part.view().col_range(c.first, c.count), image.view(), workspace);
  return image;
}

/// to = (a - b) * weight, and whether all of it is finite. b may be null.
[[nodiscard]] inline bool copy_row(const float* a, const float* b, float weight, std::span<float> to) noexcept {
  float trace = 0;  // NaN once anything is not finite
  for (std::size_t i = 0; i < to.size(); ++i) {
    to[i] = (b == nullptr ? a[i] : a[i] - b[i]) * weight;
    trace += to[i] * 0.f;
  }
  return trace == 0;
}

[[noreturn]] inline void refuse_row(const char* what, const std::string& name, std::size_t sample, std::size_t token) {
  refuse({.what = std::string(what) + " of " + name + " at sample " + std::to_string(sample) + ", token " +
                  std::to_string(token) + " is not finite",
          .where = "score::eigen_attribution",
          .expected = "finite activations and gradients"});
}

/// Adds the effects of rows whose projections are p and q to a maximum; `ends` are where pairs end.
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
    std::ranges::fill(sum, 0.0);
    for (; row < end; ++row) {
      const float *const a = p.row(row).data(), *const b = q.row(row).data();
      for (std::size_t r = 0; r < c.count; ++r) sum[r] += static_cast<double>(a[r]) * static_cast<double>(b[r]);
    }
    for (std::size_t r = 0; r < c.count; ++r) best[r] = std::max(best[r], sum[r]);
  }
}

[[nodiscard]] inline bool counts(const observed& o, std::size_t sample, std::size_t token) noexcept {
  return o.counts.empty() || o.counts[sample * o.input.tokens + token] != 0;
}

}  // namespace detail

/// Pairs sample i with sample i - 1 and the first with the last, over all batches: what one roll of one batch would pair.
///
/// Cost     for n counted tokens 2 n rank (in + out) operations in products a slice; memory for 512 tokens or one sample.
/// @post    any split into batches gives the same bits.
class cycle {
 public:
  cycle(std::string name, std::vector<tracked> slices, reduction reduce)
      : name_(std::move(name)), slices_(std::move(slices)), reduce_(reduce) {}

  template<executor Executor>
  void add(const observed& o, Executor&& run) {
    const std::size_t samples = o.input.sequences, tokens = o.input.tokens;
    const std::size_t each = std::max<std::size_t>(1, detail::rows_at_a_time / std::max<std::size_t>(1, tokens));
    for (std::size_t first = 0; first < samples; first += each) {
      start(each * tokens, o.input.features, o.output_gradient.features);
      for (std::size_t s = first; s < std::min(samples, first + each); ++s, ++seen_) {
        if (seen_ == 0) {
          first_ = keep(o, s);
        } else {
          for (std::size_t t = 0; t < tokens; ++t) {
            const bool kept = s == 0;  // the partner came with the batch before
            if (!detail::counts(o, s, t) || (kept ? last_.counts[t] == 0 : !detail::counts(o, s - 1, t))) continue;
            put(o.input(s, t).data(), kept ? last_.input.row(t).data() : o.input(s - 1, t).data(),
                o.output_gradient(s, t).data(), o.weight, seen_, t);
          }
          ends_.push_back(rows_);
        }
      }
      flush(run);
    }
    if (samples != 0) last_ = keep(o, samples - 1);
  }

  /// Pairs the first sample with the last one. What is added next begins another cycle.
  template<executor Executor>
  void close(Executor&& run) {
    if (seen_ > 1) {
      start(first_.input.rows, first_.input.cols, first_.output_gradient.cols);
      for (std::size_t t = 0; t < first_.input.rows; ++t)
        if (first_.counts[t] != 0 && last_.counts[t] != 0)
          put(first_.input.row(t).data(), last_.input.row(t).data(), first_.output_gradient.row(t).data(),
              first_.weight, 0, t);
      ends_.push_back(rows_);
      flush(run);
    }
    seen_ = 0;
  }

  [[nodiscard]] std::span<const tracked> slices() const noexcept { return slices_; }

 private:
  struct sample {
    float_matrix input, output_gradient;
    std::vector<unsigned char> counts;
    float weight = 1;
  };

  [[nodiscard]] static sample keep(const observed& o, std::size_t s) {
    sample k{float_matrix(o.input.tokens, o.input.features), float_matrix(o.input.tokens, o.output_gradient.features),
             std::vector<unsigned char>(o.input.tokens), o.weight};
    for (std::size_t t = 0; t < o.input.tokens; ++t) {
      std::ranges::copy(o.input(s, t), k.input.row(t).begin());
      std::ranges::copy(o.output_gradient(s, t), k.output_gradient.row(t).begin());
      k.counts[t] = detail::counts(o, s, t);
    }
    return k;
  }

  void start(std::size_t rows, std::size_t in, std::size_t out) {
    if (difference_.rows < rows || difference_.cols != in || gradient_.cols != out) {
      difference_ = float_matrix(rows, in);
      gradient_ = float_matrix(rows, out);
    }
    rows_ = 0;
    ends_.clear();
  }

  void put(const float* x, const float* partner, const float* g, float weight, std::size_t which, std::size_t token) {
    if (!detail::copy_row(partner, x, 1, difference_.row(rows_))) detail::refuse_row("an input", name_, which, token);
    if (!detail::copy_row(g, nullptr, weight, gradient_.row(rows_)))
      detail::refuse_row("the gradient at the output", name_, which, token);
    ++rows_;
  }

  template<executor Executor>
  void flush(Executor&& run) {
    std::erase_if(ends_, [before = std::size_t{0}](std::size_t end) mutable {  // pairs without a token in common
      return std::exchange(before, end) == end;
    });
    if (rows_ == 0) return;
    const auto d = std::as_const(difference_).view().row_range(0, rows_);
    const auto g = std::as_const(gradient_).view().row_range(0, rows_);
    const std::vector<detail::columns> pieces = detail::cut(slices_);
    run.for_each(pieces.size(), [&](std::size_t i) {
      const detail::columns& c = pieces[i];
      std::vector<float> workspace(kernel::product_workspace);
      const float_matrix p = detail::project(g, c.of->left, c.of->slice.first_out, c, workspace);
      const float_matrix q = detail::project(d, c.of->right, c.of->slice.first_in, c, workspace);
      detail::add_pairs(p, q, c, ends_, reduce_);
    });
  }

  std::string name_;
  std::vector<tracked> slices_;
  reduction reduce_;
  std::size_t seen_ = 0;
  sample first_, last_;
  float_matrix difference_, gradient_;  ///< [rows x in], [rows x out]
  std::size_t rows_ = 0;
  std::vector<std::size_t> ends_;  ///< where each pair's rows end
};

}  // namespace precis::score::eigenpruning
