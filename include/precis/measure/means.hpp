#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/batch.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/inputs.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace precis::measure {
PRECIS_IEEE_BEGIN

/// Mean inputs of selected matrices at each token position.
struct input_means {
  std::vector<std::size_t> samples{};            ///< [tokens] number of sequences whose token there is not padding
  std::vector<basic_matrix<double>> by_token{};  ///< [matrices] [tokens x in]; empty for matrices not selected

  [[nodiscard]] std::size_t tokens() const noexcept { return samples.size(); }

  /// The mean over all positions that are not padding. Requires a selected matrix.
  template<class = void>
  [[nodiscard]] std::vector<double> over_all(std::size_t matrix) const {
    const basic_matrix<double>& means = by_token[matrix];
    std::vector<double> sum(means.cols);
    std::size_t count = 0;
    for (std::size_t t = 0; t < means.rows; ++t) {
      count += samples[t];
      for (std::size_t i = 0; i < means.cols; ++i)
        sum[i] = math::fma(static_cast<double>(samples[t]), means(t, i), sum[i]);
    }
    for (double& s : sum) s /= static_cast<double>(std::max<std::size_t>(1, count));
    return sum;
  }
  bool operator==(const input_means&) const = default;
};

/// Mean inputs over all sequences of all batches, without padding (see counted_tokens). Batches may differ in sequence
/// length; `matrices` may repeat an index.
///
/// Unit     activations.
/// Errors   no token that is not padding; a matrix without inputs, or with inputs that are not finite.
/// Cost     that of each_input per batch. Sums are in double, sequence by sequence.
/// @post    bit-identical for any split into batches.
template<differentiable_model Model>
[[nodiscard]] input_means gather_means(const Model& model, std::span<const batch_of<Model>> batches,
                                       std::span<const std::size_t> matrices, token padding = no_target) {
  input_means means{.samples = {}, .by_token = std::vector<basic_matrix<double>>(model.matrices().size())};
  for (const batch_of<Model>& batch : batches)
    if (batch.tokens > means.samples.size()) means.samples.resize(batch.tokens);
  for (const std::size_t m : matrices) means.by_token[m] = basic_matrix<double>(means.tokens(), model.matrices()[m].in);

  std::vector<bool> reached(means.by_token.size());
  for (const batch_of<Model>& batch : batches) {
    const std::vector<unsigned char> counts = counted_tokens(batch, padding);
    for (std::size_t i = 0; i < batch.sequences * batch.tokens; ++i)
      if (counts.empty() || counts[i] != 0) ++means.samples[i % batch.tokens];
    const auto add_to = [&](std::size_t m, activations_view<const float> x) {
      reached[m] = true;
      basic_matrix<double>& sum = means.by_token[m];
      if (sum.cols == 0) return;
      for (std::size_t s = 0; s < x.sequences; ++s)
        for (std::size_t t = 0; t < x.tokens; ++t) {
          if (!counts.empty() && counts[s * x.tokens + t] == 0) continue;
          const std::span<const float> from = x(s, t);
          for (std::size_t i = 0; i < sum.cols; ++i) sum(t, i) += static_cast<double>(from[i]);
        }
    };
    each_input(model, batch, [&](std::span<const std::size_t> readers, activations_view<const float> x) {
      for (const std::size_t m : readers) add_to(m, x);
    });
  }
  if (std::all_of(means.samples.begin(), means.samples.end(), [](std::size_t n) { return n == 0; }))
    refuse({.what = "no tokens to average",
            .where = "measure::gather_means",
            .expected = "at least one that is not padding"});
  for (std::size_t m = 0; m < means.by_token.size(); ++m) {
    if (means.by_token[m].cols == 0) continue;  // not selected
    const std::string& name = model.matrices()[m].name;
    if (!reached[m])
      refuse({.what = "no inputs of " + name,
              .where = "measure::gather_means",
              .expected = "a model that reports the inputs of all its matrices"});
    basic_matrix<double>& mean = means.by_token[m];
    for (std::size_t t = 0; t < mean.rows; ++t)
      for (std::size_t i = 0; i < mean.cols; ++i) {
        mean(t, i) /= static_cast<double>(std::max<std::size_t>(1, means.samples[t]));
        if (!kernel::is_finite(mean(t, i)))
          refuse({.what = "the mean input of " + name + " at token " + std::to_string(t) + " is not finite",
                  .where = "measure::gather_means",
                  .expected = "finite activations"});
      }
  }
  return means;
}

PRECIS_IEEE_END
}  // namespace precis::measure
