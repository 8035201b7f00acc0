#pragma once

#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/measure/log_sum_exp.hpp>
#include <precis/measure/positions.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/taps.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace precis::measure {

/// KL(p || q) = sum p (log p - log q), nats, of two predictions given by their logits. Requires equal sizes, not empty, and
/// `p_norm`, `q_norm` what log_sum_exp says of them: who compares many predictions with one takes that one's once.
[[nodiscard]] inline double kl_of_logits(std::span<const float> p_logits, double p_norm,
                                         std::span<const float> q_logits, double q_norm) noexcept {
  PRECIS_EXPECTS(p_logits.size() == q_logits.size() && !p_logits.empty(), "two predictions over one vocabulary");
  detail::lane_sum sum;
  sum.add(p_logits.size(), [&](std::size_t i) {
    const double log_p = static_cast<double>(p_logits[i]) - p_norm;
    const double log_q = static_cast<double>(q_logits[i]) - q_norm;
    return detail::exponential(log_p) * (log_p - log_q);
  });
  return sum.value();
}

/// The same from the logits alone.
[[nodiscard]] inline double kl_of_logits(std::span<const float> p_logits, std::span<const float> q_logits) noexcept {
  return kl_of_logits(p_logits, log_sum_exp(p_logits), q_logits, log_sum_exp(q_logits));
}

struct kl_report {
  double sum_nats = 0;
  double worst_nats = 0;  ///< of a single position
  std::size_t count = 0;  ///< positions
  [[nodiscard]] double mean_nats() const noexcept { return count == 0 ? 0.0 : sum_nats / static_cast<double>(count); }
};

/// How far a compressed model's predictions are from the original's: KL(original || compressed), mean over positions.
///
/// Positions  those that predict something: where a token batch has targets; without targets, all but the last of each
///            sequence; every row of other batches.
/// Unit       nats per position.
/// Errors     models of different vocabularies; logits that are not finite (named by batch); nothing to predict.
/// Cost       one forward a batch of each model; logits of one batch of both in memory for each thread.
/// Source     methods A4.
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
                .expected = "two models of one vocabulary"});
      for (std::size_t r = 0; r < p.rows; ++r) {
        if (p.cols == 0 || !predicts(batches[b], r)) continue;
        const double kl = kl_of_logits(p.row(r), q.row(r));
        if (!std::isfinite(kl))
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
    if (all.count == 0)
      refuse({.what = "nothing to predict in " + std::to_string(batches.size()) + " batches",
              .where = "measure::kl_divergence",
              .expected = "at least one position"});
    return all;
  }

  /// Chosen only when the overload above is not: says what is missing, and how to add it.
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

}  // namespace precis::measure
