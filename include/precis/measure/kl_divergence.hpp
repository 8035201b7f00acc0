#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/measure/exponential.hpp>
#include <precis/measure/lane_sum.hpp>
#include <precis/measure/log_sum_exp.hpp>
#include <precis/measure/positions.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/taps.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace precis::measure {
PRECIS_IEEE_BEGIN

/// KL(p || q) = sum p (log p - log q), in nats, for two predictions given by their logits. `p_norm` and `q_norm` are
/// their log_sum_exp, so that it is computed only once for a prediction compared with many others.
///
/// Requires  equal, non-zero sizes.
template<class = void>
[[nodiscard]] inline double kl_of_logits(std::span<const float> p_logits, double p_norm,
                                         std::span<const float> q_logits, double q_norm) noexcept {
  PRECIS_EXPECTS(p_logits.size() == q_logits.size() && !p_logits.empty(), "two predictions over the same vocabulary");
  lane_sum sum;
  sum.add(p_logits.size(), [&](std::size_t i) {
    const double log_p = static_cast<double>(p_logits[i]) - p_norm;
    const double log_q = static_cast<double>(q_logits[i]) - q_norm;
    return exponential(log_p) * (log_p - log_q);
  });
  return sum.value();
}

/// The same, computing both norms.
template<class = void>
[[nodiscard]] inline double kl_of_logits(std::span<const float> p_logits, std::span<const float> q_logits) noexcept {
  return kl_of_logits(p_logits, log_sum_exp(p_logits), q_logits, log_sum_exp(q_logits));
}

/// A divergence summed over positions.
struct kl_report {
  double sum_nats = 0;
  double worst_nats = 0;  ///< largest at a single position
  std::size_t count = 0;  ///< positions
  [[nodiscard]] double mean_nats() const noexcept { return count == 0 ? 0.0 : sum_nats / static_cast<double>(count); }
};

/// How far a compressed model's predictions diverge from the original's: KL(original || compressed), averaged over the
/// positions that `predicts` counts.
///
/// Unit     nats per position.
/// Errors   models with different vocabularies; a divergence that is not finite, by batch and position; no positions.
/// Cost     one forward pass per batch and model; each thread holds both models' logits for one batch.
/// Source   Kullback and Leibler 1951, "On Information and Sufficiency".
struct kl_divergence {
  template<tappable_model Original, tappable_model Compressed, executor Executor = sequential>
    requires std::same_as<batch_of<Original>, batch_of<Compressed>>
  [[nodiscard]] kl_report operator()(const Original& original, const Compressed& compressed,
                                     std::span<const batch_of<Original>> batches, Executor exec = {}) const {
    std::vector<kl_report> parts(batches.size());
    exec.for_each(batches.size(), [&](std::size_t b) {
      const float_matrix p = original.logits(batches[b], positions::all, tap::none{});
      const float_matrix q = compressed.logits(batches[b], positions::all, tap::none{});
      if (p.rows != q.rows || p.cols != q.cols)
        refuse({.what = "logits of " + std::to_string(p.rows) + " x " + std::to_string(p.cols) + " and " +
                        std::to_string(q.rows) + " x " + std::to_string(q.cols),
                .where = "measure::kl_divergence",
                .expected = "two models with the same vocabulary"});
      for (std::size_t r = 0; r < p.rows; ++r) {
        if (p.cols == 0 || !predicts(batches[b], r)) continue;
        const double kl = kl_of_logits(p.row(r), q.row(r));
        if (!kernel::is_finite(kl))
          refuse({.what = "the divergence at position " + std::to_string(r) + " of batch " + std::to_string(b) +
                          " is " + std::to_string(kl),
                  .where = "measure::kl_divergence",
                  .expected = "finite logits"});
        parts[b].sum_nats += kl;
        parts[b].worst_nats = std::max(parts[b].worst_nats, kl);
        ++parts[b].count;
      }
    });
    kl_report all;
    for (const kl_report& part : parts) {
      all.sum_nats += part.sum_nats;
      all.worst_nats = std::max(all.worst_nats, part.worst_nats);
      all.count += part.count;
    }
    require_predictions(all.count, batches.size(), "measure::kl_divergence", "at least one position");
    return all;
  }

  /// Chosen only if the overload above does not match: its error names the missing capability and how to add it.
  template<class Original, class Compressed, class... Rest>
    requires(!(tappable_model<Original> && tappable_model<Compressed>))
  refused operator()(const Original&, const Compressed&, Rest&&...) const {
    static_assert(
        tappable_model<Original> && tappable_model<Compressed>,
        "precis: measure::kl_divergence needs two tappable_models. Add logits(const batch_type&, positions, tap) "
        "const to the adaptor. See docs/models.md#tappable");
    return {};
  }
};

PRECIS_IEEE_END
}  // namespace precis::measure
