#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/score/eigenpruning/effects.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::score::eigenpruning {
PRECIS_IEEE_BEGIN

/// Pairs sample i with sample i - 1, and the first with the last, over all batches.
///
/// Cost     2 n rank (in + out) operations per slice for n tokens; memory for 512 tokens or one sample.
/// @post    bit-identical for any split into batches and on any executor.
class cycle {
 public:
  template<class = void>
  cycle(std::string name, std::vector<tracked> slices, reduction reduce)
      : name_(std::move(name)), slices_(std::move(slices)), reduce_(reduce) {}

  template<executor Executor>
  void add(const observed& o, Executor&& run) {
    const std::size_t samples = o.input.sequences, tokens = o.input.tokens;
    const std::size_t each = std::max<std::size_t>(1, rows_at_a_time / std::max<std::size_t>(1, tokens));
    for (std::size_t first = 0; first < samples; first += each) {
      start(each * tokens, o.input.features, o.output_gradient.features);
      for (std::size_t s = first; s < std::min(samples, first + each); ++s, ++seen_) {
        if (seen_ == 0) {
          first_ = keep(o, s);
        } else {
          for (std::size_t t = 0; t < tokens; ++t) {
            const bool kept = s == 0;  // the partner was in the previous batch
            if (!counts(o, s, t) || (kept ? last_.counts[t] == 0 : !counts(o, s - 1, t))) continue;
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

  /// Pairs the first sample with the last one. The next sample added starts another cycle.
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

  template<class = void>
  [[nodiscard]] std::span<const tracked> slices() const noexcept {
    return as_span(slices_);
  }

 private:
  struct sample {
    float_matrix input, output_gradient;
    std::vector<unsigned char> counts;
    float weight = 1;
  };

  template<class = void>
  [[nodiscard]] static sample keep(const observed& o, std::size_t s) {
    sample k{float_matrix(o.input.tokens, o.input.features), float_matrix(o.input.tokens, o.output_gradient.features),
             std::vector<unsigned char>(o.input.tokens), o.weight};
    for (std::size_t t = 0; t < o.input.tokens; ++t) {
      copy_span(o.input(s, t), k.input.row(t));
      copy_span(o.output_gradient(s, t), k.output_gradient.row(t));
      k.counts[t] = counts(o, s, t);
    }
    return k;
  }

  template<class = void>
  void start(std::size_t rows, std::size_t in, std::size_t out) {
    if (difference_.rows < rows || difference_.cols != in || gradient_.cols != out) {
      difference_ = float_matrix(rows, in);
      gradient_ = float_matrix(rows, out);
    }
    rows_ = 0;
    ends_.clear();
  }

  template<class = void>
  void put(const float* x, const float* partner, const float* g, float weight, std::size_t sample_index,
           std::size_t token) {
    if (!copy_row(partner, x, 1, difference_.row(rows_))) refuse_row("an input", name_, sample_index, token);
    if (!copy_row(g, nullptr, weight, gradient_.row(rows_)))
      refuse_row("the gradient at the output", name_, sample_index, token);
    ++rows_;
  }

  template<executor Executor>
  void flush(Executor&& run) {
    std::erase_if(ends_, [before = std::size_t{0}](std::size_t end) mutable {  // drop pairs without a token in common
      return std::exchange(before, end) == end;
    });
    if (rows_ == 0) return;
    const auto d = std::as_const(difference_).view().row_range(0, rows_);
    const auto g = std::as_const(gradient_).view().row_range(0, rows_);
    const std::vector<columns> pieces = cut(slices_);
    run.for_each(pieces.size(), [&](std::size_t i) {
      const columns& c = pieces[i];
      std::vector<float> workspace(kernel::product_workspace);
      const float_matrix p = project(g, c.of->left, c.of->slice.first_out, c, as_writable_span(workspace));
      const float_matrix q = project(d, c.of->right, c.of->slice.first_in, c, as_writable_span(workspace));
      add_pairs(p, q, c, as_span(ends_), reduce_);
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

PRECIS_IEEE_END
}  // namespace precis::score::eigenpruning
