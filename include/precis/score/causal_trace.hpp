#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/text.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/misuse.hpp>
#include <precis/model/taps.hpp>
#include <precis/score/causal/corruption.hpp>
#include <precis/score/causal/fact.hpp>
#include <precis/score/causal/restoration.hpp>
#include <precis/score/causal/trace.hpp>
#include <precis/score/stream_parts.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace precis::score {
PRECIS_IEEE_BEGIN

/// How the effects at all tokens are reduced to one number per layer.
enum class effect_reduction {
  mean_roles,    ///< mean over the roles present (default); each role has equal weight, regardless of its length
  max_roles,     ///< the largest of them; biased upward by noise
  last_subject,  ///< the role where the causal tracing paper locates factual recall
  last_token,
  mean_tokens,  ///< mean over all positions from the subject on; long prompts have more weight
};

/// The probability of the answer, or the share of noisy runs that answer correctly again.
enum class effect_statistic { probability, recovery };

/// Indirect effects, or each fact's effects relative to its total effect (facts with a total effect <= 1e-6 are
/// skipped).
enum class effect_scale { absolute, of_total };

/// The effects of one restoration averaged over facts, by token role.
struct role_effects {
  restoration what;
  std::size_t layers = 0;
  std::array<std::vector<double>, token_roles.size()> effect{};  ///< [roles][layers]; empty for an absent role
  std::array<std::size_t, token_roles.size()> pairs{};           ///< number of (fact, position) pairs per role
  std::vector<double> token_effect{};                            ///< [layers] mean over positions from the subject on
  double total = 0;                                              ///< mean total effect of the facts counted
  std::size_t facts = 0;                                         ///< facts counted
};

/// Scores a layer's attention and MLP by how much of a fact they recover: causal tracing as a score.
///
/// Shapes    facts of any lengths. A block's score is the mean of its attention score and its MLP score; a matrix gets
///           the score of its half. Units outside of the layers (an embedding, the head) are unscored.
/// Unit      probability (indirect effect), or share of recovered runs.
/// Sign      high = keep; may be negative.
/// Errors    no fact that the model completes correctly on the clean prompt; those of trace_fact.
/// Cost      that of trace_fact per fact; facts run on the executor.
/// Source    Meng et al. 2022, "Locating and Editing Factual Associations in GPT", arXiv:2202.05262; as a layer score
///           in Scarlatescu, Mehta, "Information-Aware Compression Schemes Using Causal Tracing".
/// Differs   The default window is 1 instead of 10, which in a model of twelve layers gives all of them similar scores.
///           Only attention and MLP outputs are restored, because restoring the last block's output reproduces the
///           clean run. The score is the mean over token roles; the second paper gives no formula.
/// @post     amount == 0: every effect is 0.
/// @post     bit-identical with and without resumable_model, and on any executor.
struct causal_trace {
  corruption noise = {};
  std::size_t window = 1;
  effect_reduction reduce = effect_reduction::mean_roles;
  effect_statistic statistic = effect_statistic::probability;
  effect_scale scale = effect_scale::absolute;
  unit_kind units = unit_kind::block;

  bool operator==(const causal_trace&) const = default;

  /// The restorations that the score needs.
  [[nodiscard]] std::array<restoration, 2> restorations() const noexcept {
    return {restoration{site_kind::attention, window}, restoration{site_kind::mlp, window}};
  }

  template<tappable_model Model, executor Executor = sequential>
    requires token_model<Model> && weighted_model<Model>
  [[nodiscard]] scores operator()(const Model& model, std::span<const fact> facts, Executor&& run = {}) const {
    const double sigma = noise_scale(noise, model, facts);
    std::vector<fact_trace> traces(facts.size());
    run.for_each(facts.size(), [&](std::size_t i) { traces[i] = trace(model, facts[i], sigma, restorations()); });
    return combine(model.matrices(), traces);
  }

  /// Chosen only if the overload above does not match: its error names the missing capability and how to add it.
  template<class Model, class... Rest>
    requires(!(tappable_model<Model> && token_model<Model> && weighted_model<Model>))
  refused operator()(const Model&, Rest&&...) const {
    static_assert(tappable_model<Model>,
                  "precis: score::causal_trace needs a tappable_model. Add layers(), logits(batch, positions, tap) and "
                  "loss(batch, tap) to the adaptor. See docs/models.md#tappable");
    static_assert(token_model<Model>,
                  "precis: score::causal_trace needs a token_model: prompts are made of tokens. Set batch_type to "
                  "precis::token_batch in the adaptor. See docs/models.md#batches");
    static_assert(
        weighted_model<Model>,
        "precis: score::causal_trace needs a weighted_model to know the units. Add matrices() and weights(i) to "
        "the adaptor. See docs/models.md#weighted");
    return {};
  }

  /// Chosen only if the model suits, and another argument does not.
  template<class Model, class Data, class... Rest>
    requires(tappable_model<std::remove_cvref_t<Model>> && token_model<std::remove_cvref_t<Model>> &&
             weighted_model<std::remove_cvref_t<Model>> &&
             misuses<reads_weights, std::span<const fact>, Model, Data, Rest...>)
  refused operator()(Model&&, const Data&, Rest&&...) const {
    return explain_misuse<reads_weights, std::span<const fact>, Model, Data, Rest...>();
  }

  /// Traces one fact with noise of the given scale. Long runs save these traces so that they can resume.
  template<tappable_model Model>
    requires token_model<Model>
  [[nodiscard]] fact_trace trace(const Model& model, const fact& f, double sigma,
                                 std::span<const restoration> what) const {
    check(f);
    std::size_t features = 0;
    const auto read_width = [&](site at, activations_view<float> x) {
      if (at.kind == site_kind::embedding) features = x.features;
    };
    static_cast<void>(model.logits(prompts(1, {f.prompt.front()}), positions::last, tap::reference(read_width)));
    const activations drawn = draw_noise(noise, sigma, f.subject_end - f.subject_begin, features);
    return trace_fact(model, f, drawn.view(), noise.how, what);
  }

  /// The effects of one restoration averaged over the known facts.
  template<class = void>
  [[nodiscard]] role_effects average(std::span<const fact_trace> traces, restoration what) const {
    role_effects sum;
    sum.what = what;
    std::size_t token_pairs = 0;
    for (const fact_trace& f : traces) {
      const auto table =
          std::find_if(f.tables.begin(), f.tables.end(), [&](const restoration_table& t) { return t.what == what; });
      if (!f.known || table == f.tables.end()) continue;
      const bool by_probability = statistic == effect_statistic::probability;
      const basic_matrix<double>& restored = by_probability ? table->probability : table->recovery;
      const double low = by_probability ? f.corrupted : f.corrupted_recovery;
      const double total = (by_probability ? f.clean : 1.0) - low;
      if (scale == effect_scale::of_total && total <= 1e-6) continue;
      const double unit = scale == effect_scale::of_total ? 1.0 / total : 1.0;
      sum.layers = restored.cols;
      sum.token_effect.resize(sum.layers);
      sum.total += total;
      ++sum.facts;
      const auto add = [&](std::vector<double>& into, std::size_t t) {
        into.resize(sum.layers);
        for (std::size_t l = 0; l < sum.layers; ++l) into[l] += (restored(t, l) - low) * unit;
      };
      for (std::size_t r = 0; r < token_roles.size(); ++r)
        for (const std::size_t t : positions_of(token_roles[r], f.subject_begin, f.subject_end, f.tokens)) {
          add(sum.effect[r], t);
          ++sum.pairs[r];
        }
      for (std::size_t t = f.subject_begin; t < f.tokens; ++t, ++token_pairs) add(sum.token_effect, t);
    }
    if (sum.facts == 0)
      refuse({.what = "none of the " + std::to_string(traces.size()) + " facts can be used",
              .where = "score::causal_trace",
              .expected = "at least one prompt that the model completes with its answer"});
    sum.total /= static_cast<double>(sum.facts);
    for (std::size_t r = 0; r < token_roles.size(); ++r)
      for (double& e : sum.effect[r]) e /= static_cast<double>(sum.pairs[r]);
    for (double& e : sum.token_effect) e /= static_cast<double>(token_pairs);
    return sum;
  }

  /// One score per layer.
  template<class = void>
  [[nodiscard]] std::vector<double> layer_scores(const role_effects& effects) const {
    const auto role = [&](token_role wanted) {
      const auto& e = effects.effect[static_cast<std::size_t>(wanted)];
      if (e.empty())
        refuse({.what = "no fact has a " + std::string(to_string(wanted)),
                .where = "score::causal_trace",
                .expected = "another reduction"});
      return e;
    };
    if (reduce == effect_reduction::last_subject) return role(token_role::last_subject);
    if (reduce == effect_reduction::last_token) return role(token_role::last);
    if (reduce == effect_reduction::mean_tokens) return effects.token_effect;
    std::vector<double> out(effects.layers);
    for (std::size_t l = 0; l < effects.layers; ++l) {
      std::optional<double> reduced;
      std::size_t present = 0;
      for (const std::vector<double>& e : effects.effect) {
        if (e.empty()) continue;
        ++present;
        if (!reduced)
          reduced = e[l];
        else
          reduced = reduce == effect_reduction::max_roles ? std::max(*reduced, e[l]) : *reduced + e[l];
      }
      out[l] = reduce == effect_reduction::max_roles ? *reduced : *reduced / static_cast<double>(present);
    }
    return out;
  }

  /// Scores of the units, from traces with both restorations(), possibly of several runs.
  template<class = void>
  [[nodiscard]] scores combine(std::span<const matrix_info> matrices, std::span<const fact_trace> traces) const {
    const auto [attention_sites, mlp_sites] = restorations();
    const std::vector<double> attention = layer_scores(average(traces, attention_sites));
    const std::vector<double> mlp = layer_scores(average(traces, mlp_sites));
    scores s{.model = {},
             .scorer = "causal_trace window=" + std::to_string(window) + " noise_runs=" + std::to_string(noise.runs),
             .measure = statistic == effect_statistic::probability ? "indirect effect (probability)"
                                                                   : "recovered share of runs",
             .units = {},
             .values = {}};
    const stream_parts parts{attention.size(), units};
    const auto score_of = [&](std::size_t i) {
      if (!parts.halves()) return 0.5 * (attention[i] + mlp[i]);
      return i % 2 == 0 ? attention[i / 2] : mlp[i / 2];
    };
    parts.score_units(s, matrices, score_of, "score::causal_trace");
    check_finite(s, "score::causal_trace");
    return s;
  }
};

PRECIS_IEEE_END
}  // namespace precis::score
