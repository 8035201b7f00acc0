#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/score/eigenpruning/effects.hpp>

#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::score::eigenpruning {
PRECIS_IEEE_BEGIN

/// Pairs each sample with every other one: the exact maximum over n (n - 1) pairs at a cost linear in n.
///
/// At a token, the best partner of a sample has the largest or the smallest projection of all, depending on the sign of
/// the gradient's projection; so the two extremes and their runners-up (for the samples that are the extremes) suffice.
/// Sums over tokens have no such shortcut: all projections of inputs are kept, at n^2 tokens rank more operations.
///
/// Call see(...) with all batches and then add(...) with the same batches in the same order, or add_all_samples(...)
/// with one batch that holds every sample. Inputs are taken relative to the first sample's, which reduces the rounding
/// of differences.
///
/// Cost     2 n rank in + 2 n rank (in + out) operations per slice for n tokens; add_all_samples: 2 n rank (in + out).
///          Memory: 4 tokens rank floats per slice; for sums samples tokens rank floats.
/// @post    bit-identical for any split into batches and on any executor.
class every_pair {
 public:
  template<class = void>
  every_pair(std::string name, std::vector<tracked> slices, reduction reduce)
      : name_(std::move(name)), slices_(std::move(slices)), reduce_(reduce), extremes_(slices_.size()) {}

  /// First pass: records the projections of the inputs.
  template<executor Executor>
  void see(activations_view<const float> input, std::span<const unsigned char> counts, Executor&& run) {
    const observed o{input, {}, counts};
    begin(input);
    each_block(o, false, [&] {
      const std::vector<columns> pieces = cut(slices_);
      run.for_each(pieces.size(), [&](std::size_t i) {
        const columns& c = pieces[i];
        std::vector<float> workspace(kernel::product_workspace);
        const float_matrix q = project_inputs(c, as_writable_span(workspace));
        extremes& e = of(c);
        if (reduce_ == reduction::sum_tokens_then_max) {
          for (std::size_t row = 0; row < q.rows; ++row)
            copy_span(q.row(row), std::span(e.values).subspan(static_cast<std::size_t>(offset(e.from + row, c))));
        } else {
          for (std::size_t row = 0; row < q.rows; ++row) widen(e, rows_[row].token, q.row(row).data(), c);
        }
      });
      for (const place& at : rows_) ++seen_at_[at.token];
      for (extremes& e : extremes_) e.from += rows_.size();
      places_.insert(places_.end(), rows_.begin(), rows_.end());
    });
    samples_ += input.sequences;
  }

  /// Second pass: updates the largest effects.
  template<executor Executor>
  void add(const observed& o, Executor&& run) {
    each_block(o, true, [&] {
      const std::vector<columns> pieces = cut(slices_);
      run.for_each(pieces.size(), [&](std::size_t i) {
        const columns& c = pieces[i];
        std::vector<float> workspace(kernel::product_workspace);
        const float_matrix p = project_gradients(c, as_writable_span(workspace));
        if (reduce_ == reduction::sum_tokens_then_max) {
          add_sums(p, c);
          return;
        }
        const float_matrix q = project_inputs(c, as_writable_span(workspace));
        const extremes& e = of(c);
        for (std::size_t row = 0; row < q.rows; ++row)
          if (seen_at_[rows_[row].token] > 1) add_best(e, rows_[row].token, p.row(row).data(), q.row(row).data(), c);
      });
    });
    added_ += o.input.sequences;
  }

  /// Pairs all samples of one batch, a few tokens at a time.
  template<executor Executor>
  void add_all_samples(const observed& o, Executor&& run) {
    if (reduce_ == reduction::sum_tokens_then_max) {
      see(o.input, o.counts, run);
      add(o, run);
      return;
    }
    begin(o.input);
    const std::size_t samples = std::max<std::size_t>(1, o.input.sequences), tokens = o.input.tokens;
    const std::size_t each = std::max<std::size_t>(1, rows_at_a_time / samples);
    for (std::size_t first = 0; first < tokens; first += each) {
      rows_.clear();
      for (std::size_t t = first; t < std::min(tokens, first + each); ++t)
        for (std::size_t s = 0; s < o.input.sequences; ++s)
          if (counts(o, s, t)) rows_.push_back({s, t});
      take_rows(o, true, 0);
      for (const place& at : rows_) ++seen_at_[at.token];
      const std::vector<columns> pieces = cut(slices_);
      run.for_each(pieces.size(), [&](std::size_t i) {
        const columns& c = pieces[i];
        std::vector<float> workspace(kernel::product_workspace);
        const float_matrix p = project_gradients(c, as_writable_span(workspace)),
                           q = project_inputs(c, as_writable_span(workspace));
        extremes& e = of(c);
        for (std::size_t row = 0; row < q.rows; ++row) widen(e, rows_[row].token, q.row(row).data(), c);
        for (std::size_t row = 0; row < q.rows; ++row)
          if (seen_at_[rows_[row].token] > 1) add_best(e, rows_[row].token, p.row(row).data(), q.row(row).data(), c);
      });
    }
    samples_ = added_ = o.input.sequences;
  }

  template<class = void>
  [[nodiscard]] std::span<const tracked> slices() const noexcept {
    return as_span(slices_);
  }

 private:
  struct place {
    std::size_t sample, token;
  };
  /// The projections kept for one slice: per token the largest, second largest, smallest and second smallest; for sums
  /// over tokens, all projections in the order seen.
  struct extremes {
    std::vector<float> values;  ///< [4 tokens x rank] or [rows x rank]
    std::size_t rank = 0, from = 0;
  };

  [[nodiscard]] extremes& of(const columns& c) noexcept {
    return extremes_[static_cast<std::size_t>(c.of - slices_.data())];
  }
  [[nodiscard]] static std::ptrdiff_t offset(std::size_t row, const columns& c) noexcept {
    return static_cast<std::ptrdiff_t>(row * c.of->rank() + c.first);
  }

  /// Stores the first sample's inputs and resets the extremes.
  template<class = void>
  void begin(activations_view<const float> x) {
    if (origin_.rows != 0 || x.sequences == 0) return;
    origin_ = float_matrix(x.tokens, x.features);
    for (std::size_t t = 0; t < x.tokens; ++t) copy_span(x(0, t), origin_.row(t));
    seen_at_.assign(x.tokens, 0);
    if (reduce_ == reduction::sum_tokens_then_max) return;
    constexpr float inf = std::numeric_limits<float>::infinity();
    for (std::size_t i = 0; i < slices_.size(); ++i) {
      std::vector<float>& v = extremes_[i].values;
      const std::size_t rank = slices_[i].rank();
      v.resize(4 * x.tokens * rank);
      for (std::size_t t = 0; t < x.tokens; ++t) {
        const auto at = v.begin() + static_cast<std::ptrdiff_t>(4 * t * rank);
        std::fill_n(at, 2 * rank, -inf);
        std::fill_n(at + static_cast<std::ptrdiff_t>(2 * rank), 2 * rank, inf);
      }
    }
  }

  /// Calls f() for a few samples at a time, with their rows in input_ and gradient_.
  template<class F>
  void each_block(const observed& o, bool gradients, F&& f) {
    const std::size_t samples = o.input.sequences, tokens = o.input.tokens;
    const std::size_t each = std::max<std::size_t>(1, rows_at_a_time / std::max<std::size_t>(1, tokens));
    for (std::size_t first = 0; first < samples; first += each) {
      rows_.clear();
      for (std::size_t s = first; s < std::min(samples, first + each); ++s)
        for (std::size_t t = 0; t < tokens; ++t)
          if (counts(o, s, t)) rows_.push_back({s, t});
      take_rows(o, gradients, gradients ? added_ : samples_);
      for (place& at : rows_) at.sample += gradients ? added_ : samples_;
      if (reduce_ == reduction::sum_tokens_then_max && !gradients)
        for (std::size_t i = 0; i < slices_.size(); ++i)
          extremes_[i].values.resize((extremes_[i].from + rows_.size()) * slices_[i].rank());
      if (!rows_.empty()) f();
    }
  }

  template<class = void>
  void take_rows(const observed& o, bool gradients, std::size_t first_sample) {
    if (input_.rows < rows_.size() || input_.cols != o.input.features)
      input_ = float_matrix(rows_.size(), o.input.features);
    if (gradients && (gradient_.rows < rows_.size() || gradient_.cols != o.output_gradient.features))
      gradient_ = float_matrix(rows_.size(), o.output_gradient.features);
    for (std::size_t row = 0; row < rows_.size(); ++row) {
      const auto [s, t] = rows_[row];
      if (!copy_row(o.input(s, t).data(), origin_.row(t).data(), 1, input_.row(row)))
        refuse_row("an input", name_, first_sample + s, t);
      if (gradients && !copy_row(o.output_gradient(s, t).data(), nullptr, o.weight, gradient_.row(row)))
        refuse_row("the gradient at the output", name_, first_sample + s, t);
    }
  }

  template<class = void>
  [[nodiscard]] float_matrix project_inputs(const columns& c, std::span<float> workspace) const {
    return project(input_.view().row_range(0, rows_.size()), c.of->right, c.of->slice.first_in, c, workspace);
  }
  template<class = void>
  [[nodiscard]] float_matrix project_gradients(const columns& c, std::span<float> workspace) const {
    return project(gradient_.view().row_range(0, rows_.size()), c.of->left, c.of->slice.first_out, c, workspace);
  }

  /// Updates the extremes at a token with the projections q.
  template<class = void>
  static void widen(extremes& e, std::size_t token, const float* q, const columns& c) noexcept {
    float* const high = e.values.data() + offset(4 * token, c);
    float *const next_high = high + c.of->rank(), *const low = next_high + c.of->rank(),
                 *const next_low = low + c.of->rank();
    for (std::size_t r = 0; r < c.count; ++r) {
      const float value = q[r], h = high[r], l = low[r];
      const float below_high = value < h ? value : h, above_low = value > l ? value : l;
      next_high[r] = below_high > next_high[r] ? below_high : next_high[r];
      next_low[r] = above_low < next_low[r] ? above_low : next_low[r];
      high[r] = value > h ? value : h;
      low[r] = value < l ? value : l;
    }
  }

  /// Updates the largest effects with that of the best partner of a sample whose projections are p and q.
  template<class = void>
  static void add_best(const extremes& e, std::size_t token, const float* p, const float* q,
                       const columns& c) noexcept {
    const float* const high = e.values.data() + offset(4 * token, c);
    const float *const next_high = high + c.of->rank(), *const low = next_high + c.of->rank(),
                       *const next_low = low + c.of->rank();
    float* const most = c.of->most.data() + c.first;
    for (std::size_t r = 0; r < c.count; ++r) {
      const float largest = q[r] == high[r] ? next_high[r] : high[r];
      const float smallest = q[r] == low[r] ? next_low[r] : low[r];
      const float effect = p[r] * ((p[r] >= 0 ? largest : smallest) - q[r]);
      most[r] = effect > most[r] ? effect : most[r];
    }
  }

  /// Updates the largest sums over common tokens, for the samples whose gradient projections are p and all partners.
  template<class = void>
  void add_sums(const float_matrix& p, const columns& c) {
    const extremes& e = of(c);
    double* const best = c.of->sums.data() + c.first;
    std::vector<double> sum(c.count);
    for (std::size_t from = 0; from < rows_.size();) {
      std::size_t end = from;
      while (end < rows_.size() && rows_[end].sample == rows_[from].sample) ++end;
      const std::size_t own = first_of(rows_[from].sample);
      for (std::size_t other = 0; other < places_.size();) {
        const std::size_t sample = places_[other].sample;
        std::fill(sum.begin(), sum.end(), 0.0);
        bool any = false;
        std::size_t mine = from;
        for (; other < places_.size() && places_[other].sample == sample; ++other) {
          while (mine < end && rows_[mine].token < places_[other].token) ++mine;
          if (mine == end || rows_[mine].token != places_[other].token || sample == rows_[from].sample) continue;
          any = true;
          const float *const a = p.row(mine).data(), *const partner = e.values.data() + offset(other, c),
                             *const q = e.values.data() + offset(own + mine - from, c);
          for (std::size_t r = 0; r < c.count; ++r)
            sum[r] += static_cast<double>(a[r]) * static_cast<double>(partner[r] - q[r]);
        }
        for (std::size_t r = 0; any && r < c.count; ++r) best[r] = std::max(best[r], sum[r]);
      }
      from = end;
    }
  }
  template<class = void>
  [[nodiscard]] std::size_t first_of(std::size_t sample) const {
    const auto at = std::lower_bound(places_.begin(), places_.end(), sample,
                                     [](const place& p, std::size_t s) { return p.sample < s; });
    return static_cast<std::size_t>(at - places_.begin());
  }

  std::string name_;
  std::vector<tracked> slices_;
  reduction reduce_;
  std::vector<extremes> extremes_;
  float_matrix origin_;               ///< [tokens x in]
  float_matrix input_, gradient_;     ///< the rows of rows_
  std::vector<place> rows_;           ///< of the current block
  std::vector<place> places_;         ///< of all rows seen
  std::vector<std::size_t> seen_at_;  ///< [tokens] number of samples seen
  std::size_t samples_ = 0, added_ = 0;
};

PRECIS_IEEE_END
}  // namespace precis::score::eigenpruning
