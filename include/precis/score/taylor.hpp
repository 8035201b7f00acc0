#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/math.hpp>
#include <precis/core/random.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/text.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/changes.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/misuse.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace precis::score {
PRECIS_IEEE_BEGIN

/// Losses of a model with noise added to one unit at a time.
struct perturbed_losses {
  std::vector<nll> unchanged{};             ///< [batches]
  std::vector<std::vector<nll>> changed{};  ///< [units * draws][batches]; the draws of a unit are consecutive

  bool operator==(const perturbed_losses&) const = default;
};

/// The standard deviation of noise added to weights.
struct weight_noise {
  enum class scaling { by_rms, absolute };
  double size = 0.01;
  scaling scale = scaling::by_rms;  ///< by_rms: `size` is relative to the root mean square of the matrix

  /// The standard deviation for one matrix: size * rms(W), or size itself if rms(W) is zero.
  template<class = void>
  [[nodiscard]] double deviation(weight_view w) const {
    const double unit = scale == scaling::absolute ? 1.0 : rms(w);
    return unit == 0 ? size : size * unit;
  }
  /// " absolute:NAME" for each matrix whose rms is zero, for a scorer's description.
  template<weighted_model Model>
  [[nodiscard]] std::string exceptions(const Model& model) const {
    std::string names;
    for (std::size_t m = 0; scale == scaling::by_rms && m < model.matrices().size(); ++m)
      if (rms(model.weights(m)) == 0) names += " absolute:" + model.matrices()[m].name;
    return names;
  }
  template<class = void>
  [[nodiscard]] std::string describe() const {
    return "noise=" + text::number(size) + (scale == scaling::by_rms ? "rms" : "");
  }
  bool operator==(const weight_noise&) const = default;

 private:
  template<class = void>
  [[nodiscard]] static double rms(weight_view w) {
    double squares = 0;
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c) squares += static_cast<double>(w(r, c)) * static_cast<double>(w(r, c));
    return w.empty() ? 0 : math::sqrt(squares / static_cast<double>(w.size()));
  }
};

/// Scores a unit by the variation of the loss when its weights are perturbed by noise: TDMPQ of CPTQuant.
///
///     variation   mean over draws of | L(W + e) - L(W) |, where L is the mean loss of all batches
///     per_sample  the same with the absolute value per batch, so that gains and losses of batches do not cancel
///     curvature   mean over pairs of (L(W + e) + L(W - e)) / 2 - L(W): the second-order term alone
///     total       mean over draws of (sum over batches of the mean loss at W + e) / samples: the paper's TV / N
///
/// e = deviation * xi, where xi is standard normal and drawn for (seed, matrix name, pair, position); so it does not
/// depend on the units, their order or their grouping. Antithetic draws 2i and 2i + 1 are +e and -e.
///
/// Shapes    any batches of the model; for per_sample, one sample per batch.
/// Unit      nats per prediction.
/// Sign      high = keep. Only curvature can be negative.
/// Edges     a unit whose noise changes no loss scores 0 (total: the loss), with a note: no data reached it.
/// Errors    no draws; an odd number of antithetic draws; curvature with independent draws; noise that is not positive
///           and finite; those of read_changes.
/// Cost      that of read_changes: 1 + draws x units forward passes of all batches, about half with layered_model; one
///           normal number per weight and draw.
/// Source    Nanda, Balija, Sahoo, "CPTQuant", method TDMPQ.
/// Differs   The paper perturbs the first parameter of a layer with noise of deviation 1 and sums losses without
///           comparing them to the original; literal() does that. By default, all matrices are perturbed by 0.01 of
///           their rms, and the score is the variation.
/// @post     bit-identical with and without layered_model, and on any executor.
/// @post     every weight has its original bits after the call, even if the call is refused.
struct taylor {
  enum class statistic { variation, per_sample, curvature, total };
  enum class signs { antithetic, independent };
  enum class target { all_matrices, first_matrix };

  statistic of = statistic::variation;
  weight_noise noise = {};
  std::size_t draws = 4;
  signs draw = signs::antithetic;
  target perturb = target::all_matrices;
  std::uint64_t seed = 0;
  unit_kind units = unit_kind::block;

  bool operator==(const taylor&) const = default;

  /// The method as the paper states it: one draw of deviation 1 on the first matrix of a unit, scored by the loss
  /// itself.
  [[nodiscard]] static constexpr taylor literal() noexcept {
    return {.of = statistic::total,
            .noise = {.size = 1, .scale = weight_noise::scaling::absolute},
            .draws = 1,
            .draw = signs::independent,
            .perturb = target::first_matrix};
  }

  template<mutable_model Model, executor Executor = sequential>
    requires evaluable_model<Model>
  [[nodiscard]] scores operator()(Model& model, std::span<const batch_of<Model>> batches, Executor&& run = {}) const {
    return resume(model, batches, no_memory{}, run);
  }

  /// The same with the losses of units that an earlier run finished; see no_memory.
  template<mutable_model Model, class Memory, executor Executor = sequential>
    requires evaluable_model<Model>
  [[nodiscard]] scores resume(Model& model, std::span<const batch_of<Model>> batches, Memory&& memory,
                              Executor&& run = {}) const {
    const auto drawn = [this](const matrix_info& m, std::size_t pair, double deviation, std::span<double> e) {
      const random_stream normal(seed, purpose("score::taylor " + m.name) + pair);
      for (std::size_t i = 0; i < e.size(); ++i) e[i] = deviation * normal.normal(i);
    };
    std::size_t samples = 0;
    for (const batch_of<Model>& b : batches) samples += samples_in(b);
    scores s = combine(model.matrices(), losses_of(model, batches, drawn, run, memory), samples);
    s.scorer += noise.exceptions(model);
    return s;
  }

  /// The losses behind the scores, for noise from the caller: source(matrix_info, pair, deviation, e) fills
  /// e, [out x in].
  template<mutable_model Model, class Noise, executor Executor = sequential, class Memory = no_memory>
    requires evaluable_model<Model> &&
             std::invocable<Noise&, const matrix_info&, std::size_t, double, std::span<double>>
  [[nodiscard]] perturbed_losses losses_of(Model& model, std::span<const batch_of<Model>> batches, Noise&& source,
                                           Executor&& run = {}, Memory&& memory = {}) const {
    check();
    const std::vector<unit> all = group_units(model.matrices(), units);
    perturbed_losses result{.unchanged = {}, .changed = std::vector<std::vector<nll>>(all.size() * draws)};
    const remembered_losses done{memory, [&](std::size_t u, std::size_t v, std::span<const nll> losses) {
                                   result.changed[u * draws + v].assign(losses.begin(), losses.end());
                                 }};
    const perturbation<Model, Noise> change{*this, model, source};
    result.unchanged =
        read_changes(model, batches, all, draws, loss_reading<Model>{batches}, change, done, "score::taylor", run);
    return result;
  }

  /// Scores of the units from their losses; `samples` is the N of TV / N.
  ///
  /// Errors   losses for another number of units or draws.
  template<class = void>
  [[nodiscard]] scores combine(std::span<const matrix_info> matrices, const perturbed_losses& losses,
                               std::size_t samples) const {
    return combine(group_units(matrices, units), losses, samples);
  }
  template<class = void>
  [[nodiscard]] scores combine(std::vector<unit> scored, const perturbed_losses& losses, std::size_t samples) const {
    check();
    scores s{.model = {},
             .scorer = "taylor " + std::string(to_string(of)) + " " + noise.describe() +
                       " draws=" + std::to_string(draws) + (draw == signs::antithetic ? " antithetic" : "") +
                       (perturb == target::first_matrix ? " first_matrix" : ""),
             .measure = of == statistic::total ? "perturbed loss (nats)" : "change of the loss (nats)",
             .units = std::move(scored),
             .values = {}};
    if (losses.changed.size() != s.units.size() * draws)
      refuse({.what = std::to_string(losses.changed.size()) + " perturbed losses",
              .where = "score::taylor",
              .expected = std::to_string(draws) + " for each of " + std::to_string(s.units.size()) + " units"});
    for (std::size_t u = 0; u < s.units.size(); ++u) {
      double sum = 0;
      for (std::size_t r = 0; r < draws; ++r)
        sum += one_draw(as_span(losses.unchanged), as_span(losses.changed[u * draws + r]), samples);
      s.values.push_back(sum / static_cast<double>(draws));
    }
    s.notes = note_unchanged(s.units, [&](std::size_t u) {
      const auto of_unit = std::span(losses.changed).subspan(u * draws, draws);
      return std::all_of(of_unit.begin(), of_unit.end(),
                         [&](const std::vector<nll>& l) { return l == losses.unchanged; });
    });
    check_finite(s, "score::taylor");
    return s;
  }

  /// The number of sequences of a batch; 1 for batches without that member.
  template<class Batch>
  [[nodiscard]] static std::size_t samples_in(const Batch& batch) noexcept {
    if constexpr (requires { static_cast<std::size_t>(batch.sequences); }) return batch.sequences;
    return 1;
  }

  /// Refuses invalid settings.
  template<class = void>
  void check() const {
    const auto bad = [](std::string what, std::string expected) {
      refuse({.what = std::move(what), .where = "score::taylor", .expected = std::move(expected)});
    };
    if (draws == 0) bad("no draws", "at least one");
    if (draw == signs::antithetic && draws % 2 != 0)
      bad(std::to_string(draws) + " antithetic draws", "an even number, because they come in pairs");
    if (draw != signs::antithetic && of == statistic::curvature)
      bad("curvature of independent draws", "antithetic draws, because it compares +e with -e");
    if (!(noise.size > 0 && kernel::is_finite(noise.size)))
      bad("noise of size " + text::number(noise.size), "a positive, finite size");
  }

  /// Chosen only if the overload above does not match: its error names the missing capability and how to add it.
  template<class Model, class Batches, class... Rest>
    requires(!(mutable_model<Model> && evaluable_model<Model>))
  refused operator()(const Model&, const Batches&, Rest&&...) const {
    static_assert(
        evaluable_model<Model>,
        "precis: score::taylor needs an evaluable_model. Add nll loss(const batch_type&) const to the adaptor, "
        "or use score::weight_magnitude, which needs only weights. See docs/models.md#evaluable");
    static_assert(mutable_model<Model>,
                  "precis: score::taylor needs a mutable_model: it perturbs and restores weights. Add "
                  "mutable_weight_view weights(i) to the adaptor, and pass a model that is not const; or use "
                  "score::first_order_taylor, which reads gradients. See docs/models.md#mutable");
    return {};
  }

  /// Chosen only if the model suits, and another argument does not.
  template<class Model, class Data, class... Rest>
    requires(mutable_model<std::remove_cvref_t<Model>> && evaluable_model<std::remove_cvref_t<Model>> &&
             misuses<changes_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>)
  refused operator()(Model&&, const Data&, Rest&&...) const {
    return explain_misuse<changes_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data,
                          Rest...>();
  }

 private:
  [[nodiscard]] static constexpr std::string_view to_string(statistic s) noexcept {
    switch (s) {
      case statistic::variation: return "variation";
      case statistic::per_sample: return "per_sample";
      case statistic::curvature: return "curvature";
      case statistic::total: break;
    }
    return "total";
  }

  template<class = void>
  [[nodiscard]] double one_draw(std::span<const nll> before, std::span<const nll> after, std::size_t samples) const {
    const double change = precis::total(after).mean() - precis::total(before).mean();
    if (of == statistic::variation) return std::abs(change);
    if (of == statistic::curvature) return change;  // the mean over a pair is (L+ + L-) / 2 - L
    double sum = 0;
    for (std::size_t b = 0; b < after.size(); ++b)
      sum += of == statistic::total ? after[b].mean() : std::abs(after[b].mean() - before[b].mean());
    return sum / static_cast<double>(of == statistic::total ? samples : after.size());
  }

  template<class Model, class Noise>
  struct perturbation {
    const taylor& how;
    Model& model;
    Noise& source;

    void operator()(const unit& u, std::size_t version) const {
      const bool pairs = how.draw == signs::antithetic;
      const double sign = pairs && version % 2 == 1 ? -1.0 : 1.0;
      std::vector<double> e;
      for (const std::size_t m : u.matrices) {
        const mutable_weight_view w = model.weights(m);
        e.assign(w.size(), 0.0);
        source(model.matrices()[m], pairs ? version / 2 : version, how.noise.deviation(w), std::span<double>(e));
        for (std::size_t r = 0; r < w.rows; ++r)
          for (std::size_t c = 0; c < w.cols; ++c)
            w(r, c) = static_cast<float>(static_cast<double>(w(r, c)) + sign * e[r * w.cols + c]);
        if (how.perturb == target::first_matrix) break;
      }
    }
    [[nodiscard]] std::string describe(std::size_t version) const {
      return "perturbed, draw " + std::to_string(version);
    }
  };
};

PRECIS_IEEE_END
}  // namespace precis::score
