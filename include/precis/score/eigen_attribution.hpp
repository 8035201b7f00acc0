#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/random.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/slice.hpp>
#include <precis/core/spectra.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/linear_algebra/singular_values.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/inputs.hpp>
#include <precis/model/misuse.hpp>
#include <precis/score/eigenpruning/cycle.hpp>
#include <precis/score/eigenpruning/effects.hpp>
#include <precis/score/eigenpruning/every_pair.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace precis::score {
PRECIS_IEEE_BEGIN

/// Scores each singular value of the given slices by the first-order effect on the loss of replacing the input of its
/// rank-one part by that of another sample: the attribution of Eigenpruning.
///
/// Shapes    batches of equal sequence length whose sequences are samples with targets; at least two samples.
/// Unit      nats of a sample's summed loss.
/// Sign      high = keep, as in the paper: a negative effect means that the part degrades the model.
/// Edges     the parts of a matrix that no data reached score 0, with a note.
/// Errors    fewer than two samples; batches of different sequence lengths; no slices, or invalid ones; weights,
///           activations or gradients that are not finite; no pair of samples with a common token.
/// Cost      one forward and backward pass per sample (pairing::all: one more forward pass unless all samples fit one
///           batch), the singular values of each slice, and 2 tokens rank (in + out) operations per slice. Memory: the
///           factors of all slices in float, rank (in + out) values each, twice the weights of a square matrix.
/// Source    Vergara-Browne, Soto, Aizawa, "Eigenpruning: an Interpretability-Inspired PEFT Method".
/// Differs   As in the paper, x is the map's input; the authors' code reads the residual stream before the norm. Their
///           code also divides a batch's loss by its size, pairs within batches of 5 (of 1 from its command line, where
///           every effect is 0), and counts padding; `loss`, `pairs` and `padding` reproduce these three.
/// @post     the effects of one pair and token sum to g . W (x' - x) over all singular values.
/// @post     bit-identical on any executor and for any split into batches.
struct eigen_attribution {
  enum class pairing {
    shuffled_cycle,    ///< each sample with the previous one, after shuffling all samples
    cycle,             ///< the same without the shuffle
    cycle_in_batches,  ///< as in the authors' code: shuffled, within batches of `sequences_at_a_time`
    all,               ///< each sample with every other one
  };
  enum class loss_scale {
    per_sample,  ///< the gradient of a sample's own loss
    batch_mean,  ///< as in the authors' code: divided by the number of predictions in its batch
  };
  pairing pairs = pairing::shuffled_cycle;
  eigenpruning::reduction reduce = eigenpruning::reduction::max_over_pairs_and_tokens;
  loss_scale loss = loss_scale::per_sample;
  std::uint64_t seed = 0;
  token padding = no_target;             ///< id of padding tokens, for batches without length()
  std::size_t sequences_at_a_time = 32;  ///< batch size of the model runs

  bool operator==(const eigen_attribution&) const = default;

  template<differentiable_model Model, executor Executor = sequential>
    requires divisible_batch<batch_of<Model>>
  [[nodiscard]] spectra operator()(const Model& model, std::span<const batch_of<Model>> batches,
                                   std::span<const matrix_slice> slices, Executor&& run = {}) const {
    const std::size_t samples = check_input(batches);
    if (slices.empty()) bad("no slices", "at least one to score, such as the keys of all heads");
    check_slices(slices, model.matrices(), where);

    spectra result{.model = {}, .scorer = name(), .measure = "nats", .slices = {}};
    std::vector<std::vector<eigenpruning::tracked>> of_matrix(model.matrices().size());
    decompose(model, slices, run, result, of_matrix);
    std::vector<bool> reached(of_matrix.size());
    if (pairs == pairing::all)
      pair_all(model, batches, samples, of_matrix, reached, run);
    else
      pair_neighbours(model, batches, samples, of_matrix, reached, run);
    if (std::find(reached.begin(), reached.end(), true) == reached.end())
      bad("no inputs of slice " + slices.front().name + " and all others", "a model that reports its matrices");

    for (std::size_t m = 0; m < of_matrix.size(); ++m)
      if (of_matrix[m].empty()) reached[m] = true;  // not asked for
    result.notes = note_matrices("no data reached", model.matrices(), reached);
    for (spectrum& s : result.slices)
      for (const eigenpruning::tracked& t : of_matrix[s.slice.matrix]) {
        if (t.slice.name != s.slice.name) continue;
        if (!reached[s.slice.matrix]) {
          s.scores.assign(t.rank(), 0.0);
          continue;
        }
        if (reduce == eigenpruning::reduction::max_over_pairs_and_tokens)
          s.scores.assign(t.most.begin(), t.most.end());
        else
          s.scores.assign(t.sums.begin(), t.sums.end());
        if (std::any_of(s.scores.begin(), s.scores.end(), [](double v) { return !kernel::is_finite(v); }))
          bad("no pair of samples has a token in common in slice " + s.slice.name,
              "samples that overlap outside padding, effects within the range of float");
      }
    check(result, where);
    return result;
  }

  /// Chosen only if the overload above does not match: its error names the missing capability and how to add it.
  template<class Model, class Batches, class Slices, class... Rest>
    requires(!(differentiable_model<Model> && divisible_batch<batch_of<Model>>))
  refused operator()(const Model&, const Batches&, const Slices&, Rest&&...) const {
    static_assert(
        differentiable_model<Model>,
        "precis: score::eigen_attribution needs a differentiable_model. Add nll backward(batch, sink) to the adaptor. "
        "See docs/models.md#differentiable");
    static_assert(!differentiable_model<Model> || divisible_batch<batch_of<Model>>,
                  "precis: score::eigen_attribution needs a divisible_batch: it pairs sequences of any batches. Give "
                  "the batch members "
                  "sequences and tokens, and overload gather_sequences(batches, order) for it. See "
                  "docs/models.md#differentiable");
    return {};
  }

  /// Chosen only if the model suits, and another argument does not.
  template<class Model, class Data, class Slices, class... Rest>
    requires(differentiable_model<std::remove_cvref_t<Model>> &&
             divisible_batch<batch_of<std::remove_cvref_t<Model>>> &&
             std::convertible_to<const Slices&, std::span<const matrix_slice>> &&
             misuses<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>)
  refused operator()(Model&&, const Data&, const Slices&, Rest&&...) const {
    return explain_misuse<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>();
  }

 private:
  static constexpr const char* where = "score::eigen_attribution";
  template<class = void>
  [[noreturn]] static void bad(const std::string& what, const std::string& expected) {
    refuse({.what = what, .where = where, .expected = expected});
  }

  template<class = void>
  [[nodiscard]] std::string name() const {
    std::string n = "eigen_attribution ";
    if (pairs == pairing::all) n += "all";
    if (pairs == pairing::cycle) n += "cycle";
    if (pairs == pairing::shuffled_cycle) n += "shuffled_cycle seed=" + std::to_string(seed);
    if (pairs == pairing::cycle_in_batches)
      n += "cycle_in_batches=" + std::to_string(sequences_at_a_time) + " seed=" + std::to_string(seed);
    if (reduce == eigenpruning::reduction::sum_tokens_then_max) n += " sum_tokens";
    if (loss == loss_scale::batch_mean) n += " batch_mean";
    return n;
  }

  template<class Batch>
  [[nodiscard]] std::size_t check_input(std::span<const Batch> batches) const {
    std::size_t samples = 0;
    for (std::size_t b = 0; b < batches.size(); ++b) {
      samples += batches[b].sequences;
      if (batches[b].tokens != batches[0].tokens)
        bad("batch " + std::to_string(b) + " has sequences of " + std::to_string(batches[b].tokens) + " tokens",
            std::to_string(batches[0].tokens) + " as in batch 0, because pairs are compared token by token");
    }
    if (samples < 2)
      bad(std::to_string(samples) + " samples", "at least two, because effects are differences between samples");
    if (sequences_at_a_time == 0 || (pairs == pairing::cycle_in_batches && sequences_at_a_time < 2))
      bad("sequences_at_a_time = " + std::to_string(sequences_at_a_time),
          "at least 1, or 2 for cycle_in_batches, where each sample needs a partner in its batch");
    return samples;
  }

  /// A random permutation of all samples (Fisher-Yates shuffle).
  template<class = void>
  [[nodiscard]] std::vector<std::size_t> order_of(std::size_t samples) const {
    std::vector<std::size_t> order(samples);
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (pairs == pairing::cycle || pairs == pairing::all) return order;
    const random_stream draw(seed, purpose("eigen_attribution pairs"));
    for (std::size_t i = samples; i > 1; --i)
      std::swap(order[i - 1], order[static_cast<std::size_t>(draw.below(i, i))]);
    return order;
  }

  template<class Model, class Executor>
  static void decompose(const Model& model, std::span<const matrix_slice> slices, Executor& run, spectra& result,
                        std::vector<std::vector<eigenpruning::tracked>>& of_matrix) {
    constexpr std::size_t at_a_time = 16;
    for (std::size_t first = 0; first < slices.size(); first += at_a_time) {
      const std::span<const matrix_slice> block = slices.subspan(first, std::min(at_a_time, slices.size() - first));
      std::vector<float_matrix> weights;  // copies, because a view is valid only until the next call of weights()
      for (const matrix_slice& s : block) {
        const weight_view w = part_of(weight_view(model.weights(s.matrix)), s);
        weights.emplace_back(s.out, s.in);
        for (std::size_t o = 0; o < s.out; ++o)
          for (std::size_t i = 0; i < s.in; ++i) weights.back()(o, i) = w(o, i);
      }
      std::vector<linear_algebra::singular_system> parts(block.size());
      run.for_each(block.size(), [&](std::size_t i) {
        parts[i] = linear_algebra::singular_values(weights[i].view(), block[i].name);
      });
      for (std::size_t i = 0; i < block.size(); ++i) {
        of_matrix[block[i].matrix].emplace_back(block[i], parts[i]);
        result.slices.push_back({.slice = block[i], .values = std::move(parts[i].values), .scores = {}});
      }
    }
  }

  /// Gathers the samples into batches of sequences_at_a_time and calls f(batch, counts) for each.
  template<class Batch, class F>
  void each_batch(std::span<const Batch> batches, std::span<const std::size_t> order, F&& f) const {
    for (std::size_t first = 0; first < order.size(); first += sequences_at_a_time) {
      const Batch batch =
          gather_sequences(batches, order.subspan(first, std::min(sequences_at_a_time, order.size() - first)));
      const std::vector<unsigned char> counts = counted_tokens(batch, padding);
      f(batch, std::span<const unsigned char>(counts));
    }
  }

  /// Runs the backward pass and calls f(matrix, observed) for the chosen matrices. The gradients arrive before the
  /// loss, so for batch_mean the predictions are counted beforehand.
  template<class Model, class F>
  void observe(const Model& model, const batch_of<Model>& batch, std::span<const unsigned char> counts,
               const std::vector<bool>& chosen, std::vector<bool>& reached, F&& f) const {
    float weight = 1;
    if (loss == loss_scale::batch_mean) {
      if constexpr (requires {
                      { batch.targets[0] } -> std::convertible_to<token>;
                    })
        weight =
            1.f /
            static_cast<float>(std::max<std::ptrdiff_t>(
                1, std::count_if(batch.targets.begin(), batch.targets.end(), [](token t) { return t != no_target; })));
      else
        weight = 1.f / static_cast<float>(batch.sequences);
    }
    const nll total = model.backward(batch, [&](const linear_gradient& g) {
      if (!chosen[g.matrix] || g.input.rows() == 0) return;
      reached[g.matrix] = true;
      f(g.matrix, eigenpruning::observed{g.input, g.output_gradient, counts, weight});
    });
    if (total.count == 0) bad("a batch without a prediction", "at least one target per batch");
    if (!kernel::is_finite(total.sum)) bad("a loss of " + std::to_string(total.sum), "a finite loss");
  }

  template<class Pairs, class Model>
  [[nodiscard]] std::vector<Pairs> pairs_of(const Model& model,
                                            std::vector<std::vector<eigenpruning::tracked>>& of_matrix,
                                            std::vector<std::size_t>& index, std::vector<bool>& chosen) const {
    std::vector<Pairs> all;
    index.assign(of_matrix.size(), 0);
    chosen.assign(of_matrix.size(), false);
    for (std::size_t m = 0; m < of_matrix.size(); ++m) {
      if (of_matrix[m].empty()) continue;
      index[m] = all.size();
      chosen[m] = true;
      all.emplace_back(model.matrices()[m].name, std::move(of_matrix[m]), reduce);
    }
    return all;
  }
  template<class Pairs>
  static void take_back(const std::vector<Pairs>& all, std::span<const std::size_t> index,
                        const std::vector<bool>& chosen, std::vector<std::vector<eigenpruning::tracked>>& of_matrix) {
    for (std::size_t m = 0; m < of_matrix.size(); ++m)
      if (chosen[m]) of_matrix[m].assign(all[index[m]].slices().begin(), all[index[m]].slices().end());
  }

  template<class Model, class Executor>
  void pair_neighbours(const Model& model, std::span<const batch_of<Model>> batches, std::size_t samples,
                       std::vector<std::vector<eigenpruning::tracked>>& of_matrix, std::vector<bool>& reached,
                       Executor& run) const {
    std::vector<std::size_t> index;
    std::vector<bool> chosen;
    std::vector<eigenpruning::cycle> all = pairs_of<eigenpruning::cycle>(model, of_matrix, index, chosen);
    each_batch(batches, order_of(samples), [&](const auto& batch, auto counts) {
      observe(model, batch, counts, chosen, reached,
              [&](std::size_t m, const eigenpruning::observed& o) { all[index[m]].add(o, run); });
      if (pairs == pairing::cycle_in_batches)
        for (eigenpruning::cycle& c : all) c.close(run);
    });
    for (eigenpruning::cycle& c : all) c.close(run);
    take_back(all, as_span(index), chosen, of_matrix);
  }

  template<class Model, class Executor>
  void pair_all(const Model& model, std::span<const batch_of<Model>> batches, std::size_t samples,
                std::vector<std::vector<eigenpruning::tracked>>& of_matrix, std::vector<bool>& reached,
                Executor& run) const {
    std::vector<std::size_t> index;
    std::vector<bool> chosen;
    std::vector<eigenpruning::every_pair> all = pairs_of<eigenpruning::every_pair>(model, of_matrix, index, chosen);
    const std::vector<std::size_t> order = order_of(samples);
    const bool at_once = samples <= sequences_at_a_time;
    if (!at_once)
      each_batch(batches, order, [&](const auto& batch, auto counts) {
        const auto see = [&](std::size_t m, activations_view<const float> x) {
          if (chosen[m]) all[index[m]].see(x, counts, run);
        };
        each_input(model, batch, [&](std::span<const std::size_t> readers, activations_view<const float> x) {
          for (const std::size_t m : readers) see(m, x);
        });
      });
    each_batch(batches, order, [&](const auto& batch, auto counts) {
      observe(model, batch, counts, chosen, reached, [&](std::size_t m, const eigenpruning::observed& o) {
        if (at_once)
          all[index[m]].add_all_samples(o, run);
        else
          all[index[m]].add(o, run);
      });
    });
    take_back(all, as_span(index), chosen, of_matrix);
  }
};

/// Scores a unit by its share of useful singular values: those not among the lowest `portion` of all singular values.
///
/// Unit      share of singular values, in [0, 1].
/// Sign      high = keep.
/// Edges     a unit without scored slices is unscored.
/// Errors    a portion outside [0, 1]; no unit with scored slices.
/// Source    Vergara-Browne, Soto, Aizawa, "Eigenpruning", whose pruning removes the same lowest portion.
/// @post     portion == 0: every unit scores 1.
struct useful_singular_values {
  double portion = 0.5;  ///< share of all singular values that counts as useless; ties are broken by slice and index
  unit_kind units = unit_kind::block;

  bool operator==(const useful_singular_values&) const = default;

  template<class = void>
  [[nodiscard]] scores operator()(std::span<const matrix_info> matrices, const spectra& all) const {
    check(all, "score::useful_singular_values");
    if (!(portion >= 0 && portion <= 1))
      refuse({.what = "a portion of " + std::to_string(portion),
              .where = "score::useful_singular_values",
              .expected = "a number in [0, 1]"});
    std::vector<double> pooled;
    std::vector<std::size_t> owner, total(matrices.size()), useless(matrices.size());
    for (const spectrum& s : all.slices) {
      if (s.slice.matrix >= matrices.size())
        refuse({.what = "slice " + s.slice.name + " of matrix " + std::to_string(s.slice.matrix),
                .where = "score::useful_singular_values",
                .expected = "spectra of this model"});
      pooled.insert(pooled.end(), s.scores.begin(), s.scores.end());
      owner.insert(owner.end(), s.scores.size(), s.slice.matrix);
      total[s.slice.matrix] += s.scores.size();
    }
    const std::vector<std::size_t> order = ascending(as_span(pooled));
    const auto lowest = static_cast<std::size_t>(portion * static_cast<double>(order.size()));
    for (std::size_t i = 0; i < lowest; ++i) ++useless[owner[order[i]]];

    scores s{.model = all.model,
             .scorer = "useful_singular_values of " + all.scorer,
             .measure = "share of singular values",
             .units = {},
             .values = {},
             .notes = all.notes};
    for (unit& u : group_units(matrices, units)) {
      std::size_t of_unit = 0, lost = 0;
      for (const std::size_t m : u.matrices) {
        of_unit += total[m];
        lost += useless[m];
      }
      if (of_unit == 0) {
        s.unscored.push_back(std::move(u));
        continue;
      }
      s.values.push_back(1.0 - static_cast<double>(lost) / static_cast<double>(of_unit));
      s.units.push_back(std::move(u));
    }
    if (s.units.empty() && !s.unscored.empty())
      refuse({.what = "unit " + s.unscored.front().name + " and all others have no scored singular values",
              .where = "score::useful_singular_values",
              .expected = "slices in some unit"});
    return s;
  }
};

PRECIS_IEEE_END
}  // namespace precis::score
