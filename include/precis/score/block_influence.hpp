#pragma once

#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/math.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/site.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/misuse.hpp>
#include <precis/model/taps.hpp>
#include <precis/score/stream_parts.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace precis::score {
PRECIS_IEEE_BEGIN

/// The change of one token's activations.
struct displacement {
  double cosine = 0;         ///< cosine of the angle between before and after; 0 if one of them is zero
  double l2 = 0;             ///< |after - before|
  double l2_normalised = 0;  ///< the same with both normalised to length 1 (zero stays zero)
  double norm_ratio = 0;     ///< |after - before| / |after|; 0 if they are equal
};

/// The displacement between two vectors. Sums are in double, in index order.
///
/// Requires  equal sizes.
template<class = void>
[[nodiscard]] inline displacement displace(std::span<const float> before, std::span<const float> after) noexcept {
  PRECIS_EXPECTS(before.size() == after.size(), "two vectors of the same size");
  double product = 0, squares_before = 0, squares_after = 0, moved = 0;
  for (std::size_t f = 0; f < before.size(); ++f) {
    const double b = before[f], a = after[f];
    product = math::fma(a, b, product);
    squares_before = math::fma(b, b, squares_before);
    squares_after = math::fma(a, a, squares_after);
    moved = math::fma(a - b, a - b, moved);
  }
  const double lengths = math::sqrt(squares_before * squares_after);  // |b| |a|; exact if they are equal
  const double longer = math::sqrt(squares_after) - math::sqrt(squares_before);
  displacement d{.cosine = 0,
                 .l2 = math::sqrt(moved),
                 .l2_normalised = squares_before == squares_after ? 0.0 : 1.0,
                 .norm_ratio = 0};
  if (lengths != 0) {  // |a/|a| - b/|b||^2 = (|a - b|^2 - (|a| - |b|)^2) / (|a| |b|)
    d.cosine = product / lengths;
    const double turned = math::fma(-longer, longer, moved) / lengths;
    d.l2_normalised = turned > 0 ? math::sqrt(turned) : turned * 0;  // keeps a NaN
  }
  if (moved != 0) d.norm_ratio = math::sqrt(moved / squares_after);
  return d;
}

/// Scores a block by how much it changes the residual stream.
///
/// Shapes    any batches. A half is measured from the stream entering it to the stream after adding its output
///           (attention first, then MLP); a matrix gets the score of its half. Units outside of the layers (an
///           embedding, the head) are unscored.
/// Unit      see `distance`; mean over all tokens.
/// Sign      high = keep. A block that is the identity scores 0 for every distance.
/// Errors    no tokens; activations that are not finite; for norm_ratio, a stream that becomes zero.
/// Cost      one forward pass per batch. Batches run on the executor.
/// Source    IST-DASLab/EvoPress, its scores for dropping blocks.
/// Differs   EvoPress uses -mean cosine; 1 - mean cosine has the same order and is 0 for the identity.
/// @post     bit-identical on any executor and for any split into batches that gives the same activations.
struct block_influence {
  enum class distance { cosine, l2, l2_normalised, norm_ratio };  ///< cosine: 1 - mean cosine
  distance by = distance::cosine;
  unit_kind units = unit_kind::block;

  bool operator==(const block_influence&) const = default;

  template<tappable_model Model, executor Executor = sequential>
    requires weighted_model<Model>
  [[nodiscard]] scores operator()(const Model& model, std::span<const batch_of<Model>> batches,
                                  Executor&& run = {}) const {
    const std::vector<double> moved = windows(model, batches, 1, run);
    scores s{.model = {},
             .scorer = "block_influence " + std::string(name()),
             .measure = by == distance::cosine ? "1 - mean cosine" : "mean " + std::string(name()),
             .units = {},
             .values = {}};
    stream_parts{model.layers(), units}.score_units(
        s, model.matrices(), [&](std::size_t part) { return moved[part]; }, "score::block_influence");
    return s;
  }

  /// The same for each window of `steps` consecutive blocks (halves, if units are smaller than blocks), for dropping
  /// several neighbours at once: element i compares the stream entering block i with that leaving block i + steps - 1.
  template<tappable_model Model, executor Executor = sequential>
  [[nodiscard]] std::vector<double> windows(const Model& model, std::span<const batch_of<Model>> batches,
                                            std::size_t steps, Executor&& run = {}) const {
    const std::size_t parts = stream_parts{model.layers(), units}.count();
    if (steps == 0 || steps > parts)
      refuse({.what = "windows of " + std::to_string(steps),
              .where = "score::block_influence",
              .expected = "1 to " + std::to_string(parts)});
    const std::size_t count = parts - steps + 1;
    std::vector<tally> tallies(batches.size());
    run.for_each(batches.size(), [&](std::size_t b) {
      tally& t = tallies[b];
      std::vector<activations> streams(parts + 1);  // emptied once no longer needed
      std::size_t reached = 0;
      const auto arrive = [&](activations stream) {
        PRECIS_EXPECTS(reached <= parts,
                       "one residual and one attention site per layer, and a residual site for the head");
        if (reached >= steps) add_distances(streams[reached - steps], stream, t, count, reached - steps);
        if (reached >= steps) streams[reached - steps] = {};
        streams[reached++] = std::move(stream);
      };
      const auto observe = [&](site at, activations_view<float> x) {
        if (at.kind == site_kind::residual) arrive(tap::copy_of(x));
        if (at.kind != site_kind::attention || units == unit_kind::block) return;
        activations middle = streams[reached - 1];
        for (std::size_t s = 0; s < x.sequences; ++s)
          for (std::size_t token = 0; token < x.tokens; ++token)
            for (std::size_t f = 0; f < x.features; ++f) middle.view()(s, token)[f] += x(s, token)[f];
        arrive(std::move(middle));
      };
      static_cast<void>(model.logits(batches[b], positions::last, tap::reference(observe)));
    });

    std::vector<double> sums(count);
    std::size_t tokens = 0;
    for (const tally& t : tallies) {
      tokens += t.tokens;
      for (std::size_t s = 0; s * count < t.sums.size(); ++s)
        for (std::size_t i = 0; i < count; ++i) sums[i] += t.sums[s * count + i];
    }
    if (tokens == 0)
      refuse({.what = "no tokens in " + std::to_string(batches.size()) + " batches",
              .where = "score::block_influence",
              .expected = "at least one"});
    for (std::size_t i = 0; i < count; ++i) {
      sums[i] /= static_cast<double>(tokens);
      if (by == distance::cosine) sums[i] = 1 - sums[i];
      if (!kernel::is_finite(sums[i]))
        refuse({.what = "the stream through " + std::string(units == unit_kind::block ? "block " : "half ") +
                        std::to_string(i) + " moves by " + std::to_string(sums[i]),
                .where = "score::block_influence",
                .expected = "finite activations, and for norm_ratio a stream that stays non-zero"});
    }
    return sums;
  }

  /// Chosen only if the overload above does not match: its error names the missing capability and how to add it.
  template<class Model, class Batches, class... Rest>
    requires(!(tappable_model<Model> && weighted_model<Model>))
  refused operator()(const Model&, const Batches&, Rest&&...) const {
    static_assert(
        tappable_model<Model>,
        "precis: score::block_influence needs a tappable_model. Add layers(), logits(batch, positions, tap) and "
        "loss(batch, tap) to the adaptor. See docs/models.md#tappable");
    static_assert(
        weighted_model<Model>,
        "precis: score::block_influence needs a weighted_model to know the units. Add matrices() and weights(i) "
        "to the adaptor. See docs/models.md#weighted");
    return {};
  }

  /// Chosen only if the model suits, and another argument does not.
  template<class Model, class Data, class... Rest>
    requires(tappable_model<std::remove_cvref_t<Model>> && weighted_model<std::remove_cvref_t<Model>> &&
             misuses<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>)
  refused operator()(Model&&, const Data&, Rest&&...) const {
    return explain_misuse<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>();
  }

 private:
  /// Sums of one batch, kept per sequence so that the order of addition does not depend on the batching.
  struct tally {
    std::vector<double> sums{};  ///< [sequences x windows]
    std::size_t tokens = 0;
  };

  template<class = void>
  [[nodiscard]] std::string_view name() const noexcept {
    switch (by) {
      case distance::cosine: return "cosine";
      case distance::l2: return "l2";
      case distance::l2_normalised: return "l2_normalised";
      case distance::norm_ratio: break;
    }
    return "norm_ratio";
  }

  template<class = void>
  void add_distances(const activations& before, const activations& after, tally& t, std::size_t count,
                     std::size_t window) const {
    t.sums.resize(after.sequences * count);
    t.tokens = after.sequences * after.tokens;
    for (std::size_t s = 0; s < after.sequences; ++s)
      for (std::size_t token = 0; token < after.tokens; ++token) {
        const displacement d = displace(before.view()(s, token), after.view()(s, token));
        t.sums[s * count + window] += by == distance::cosine          ? d.cosine
                                      : by == distance::l2            ? d.l2
                                      : by == distance::l2_normalised ? d.l2_normalised
                                                                      : d.norm_ratio;
      }
  }
};

PRECIS_IEEE_END
}  // namespace precis::score
