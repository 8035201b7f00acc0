#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/math.hpp>
#include <precis/evaluate/interval.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/batch.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/misuse.hpp>

#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace precis::evaluate {
PRECIS_IEEE_BEGIN

/// The loss over several windows of text, in total and per window.
struct nll_report {
  nll total = {};
  std::vector<nll> windows{};

  /// exp of the mean NLL per token.
  [[nodiscard]] double perplexity() const noexcept { return math::exp(total.mean()); }

  /// Standard error of the mean NLL in nats per token, estimated from the variation between windows by the linearised
  /// ratio estimator, which allows for windows of different sizes. No value with fewer than two windows.
  template<class = void>
  [[nodiscard]] std::optional<double> standard_error() const noexcept {
    std::size_t n = 0;
    double squares = 0;
    for (const nll& w : windows) {
      if (w.count == 0) continue;
      ++n;
      const double residual = math::fma(-total.mean(), static_cast<double>(w.count), w.sum);
      squares = math::fma(residual, residual, squares);
    }
    if (n < 2) return std::nullopt;
    const auto count = static_cast<double>(n);
    return math::sqrt(squares * count / (count - 1)) / static_cast<double>(total.count);
  }

  /// 95 % confidence interval for the mean NLL in nats per token; exp of its bounds is an interval for the perplexity.
  /// It treats windows as independent, which is optimistic for consecutive windows of one text.
  template<class = void>
  [[nodiscard]] interval confidence() const noexcept {
    const std::optional<double> se = standard_error();
    if (!se) return {.mean = total.mean()};
    const auto used = std::count_if(windows.begin(), windows.end(), [](const nll& w) { return w.count != 0; });
    return {.mean = total.mean(), .half_width = student_95(static_cast<std::size_t>(used) - 1) * *se};
  }
};

/// Token-weighted negative log-likelihood and perplexity over batches, one window per batch.
///
/// Unit     nats per token; perplexity is exp of that.
/// Errors   nothing to predict; a loss that is not finite, by window.
/// Cost     one forward pass per batch; batches run on the executor.
/// Source   none: the standard definition. A mean of window means would be wrong for windows of different sizes.
/// @post    bit-identical on any executor: sums are merged in order.
struct perplexity {
  template<evaluable_model Model, executor Executor = sequential>
  [[nodiscard]] nll_report operator()(const Model& model, std::span<const batch_of<Model>> batches,
                                      Executor exec = {}) const {
    nll_report report{.total = {}, .windows = std::vector<nll>(batches.size())};
    exec.for_each(batches.size(), [&](std::size_t i) { report.windows[i] = model.loss(batches[i]); });
    for (std::size_t i = 0; i < batches.size(); ++i) {
      if (!kernel::is_finite(report.windows[i].sum))
        refuse({.what = "the loss of window " + std::to_string(i) + " is " + std::to_string(report.windows[i].sum),
                .where = "evaluate::perplexity",
                .expected = "a finite loss: weights and activations without NaN or infinity"});
      report.total += report.windows[i];
    }
    require_predictions(report.total.count, batches.size(), "evaluate::perplexity");
    return report;
  }

  /// Chosen only if the overload above does not match: its error names the missing capability and how to add it.
  template<class Model, class Batches, class... Rest>
    requires(!evaluable_model<Model>)
  refused operator()(const Model&, const Batches&, Rest&&...) const {
    static_assert(evaluable_model<Model>,
                  "precis: evaluate::perplexity needs an evaluable_model. Add nll loss(const batch_type&) const to the "
                  "adaptor. See docs/models.md#evaluable");
    return {};
  }

  /// Chosen only if the model suits, and another argument does not.
  template<class Model, class Data, class... Rest>
    requires(evaluable_model<std::remove_cvref_t<Model>> &&
             misuses<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>)
  refused operator()(Model&&, const Data&, Rest&&...) const {
    return explain_misuse<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>();
  }
};

PRECIS_IEEE_END
}  // namespace precis::evaluate
