#pragma once

#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/site.hpp>
#include <precis/model/concepts.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace precis::score {

/// How far a token's activations move.
struct displacement {
  double cosine = 0;         ///< of the angle between before and after; 0 where one of them is zero
  double l2 = 0;             ///< |after - before|
  double l2_normalised = 0;  ///< the same with both scaled to length 1 (zero stays zero)
  double norm_ratio = 0;     ///< |after - before| / |after|; 0 where nothing moved
};

/// Requires equal sizes. Sums in double, in order.
[[nodiscard]] inline displacement displace(std::span<const float> before, std::span<const float> after) noexcept {
  PRECIS_EXPECTS(before.size() == after.size(), "one token before and after");
  double product = 0, x = 0, y = 0, moved = 0;
  for (std::size_t f = 0; f < before.size(); ++f) {
    const double b = before[f], a = after[f];
    product = std::fma(a, b, product);
    x = std::fma(b, b, x);
    y = std::fma(a, a, y);
    moved = std::fma(a - b, a - b, moved);
  }
  const double lengths = std::sqrt(x * y);  // of both at once: exactly x where y == x
  const double longer = std::sqrt(y) - std::sqrt(x);
  displacement d{.cosine = 0, .l2 = std::sqrt(moved), .l2_normalised = x == y ? 0.0 : 1.0, .norm_ratio = 0};
  if (lengths != 0) {  // |a/|a| - b/|b||^2 = (|a - b|^2 - (|a| - |b|)^2) / (|a| |b|)
    d.cosine = product / lengths;
    const double turned = std::fma(-longer, longer, moved) / lengths;
    d.l2_normalised = turned > 0 ? std::sqrt(turned) : turned * 0;  // NaN stays
  }
  if (moved != 0) d.norm_ratio = std::sqrt(moved / y);
  return d;
}

/// Scores a block by how much it changes the stream that passes through it.
///
/// Shapes    any batches. A half is measured from the stream entering it to the stream after its output was added
///           (attention first, then MLP); a matrix gets the score of its half.
/// Unit      see `measure`; mean over all tokens.
/// Sign      high = keep. A block that is the identity scores 0 in all measures.
/// Errors    no batches; activations that are not finite; norm_ratio where a stream becomes zero.
/// Cost      one forward a batch. Batches run on the executor.
/// Source    IST-DASLab/EvoPress (its scores for dropping blocks); methods B14.
/// Differs   1 - mean cosine where EvoPress has - mean cosine: the same order, and 0 for the identity.
/// @post     equal on any executor and for any split into batches that gives the same activations, bit for bit.
struct block_influence {
  enum class measure { cosine, l2, l2_normalised, norm_ratio };  ///< cosine: 1 - mean cosine
  measure by = measure::cosine;
  unit_kind units = unit_kind::block;

  bool operator==(const block_influence&) const = default;

  template<tappable_model Model, executor Executor = sequential>
    requires weighted_model<Model>
  [[nodiscard]] scores operator()(const Model& model, std::span<const batch_of<Model>> batches,
                                  Executor&& run = {}) const {
    const std::vector<double> moved = windows(model, batches, 1, run);
    scores s{.model = {},
             .scorer = "block_influence " + std::string(name()),
             .measure = by == measure::cosine ? "1 - mean cosine" : "mean " + std::string(name()),
             .units = group_units(model.matrices(), units),
             .values = {}};
    for (const unit& u : s.units) {
      if (u.layer >= model.layers())
        refuse({.what = "unit " + u.name + " is in layer " + std::to_string(u.layer),
                .where = "score::block_influence",
                .expected = "one of the model's " + std::to_string(model.layers()) + " layers"});
      s.values.push_back(
          moved[u.kind == unit_kind::block ? u.layer : 2 * u.layer + (u.part == part::attention ? 0 : 1)]);
    }
    return s;
  }

  /// The same over every run of `steps` blocks (halves, where units are not blocks): element i is from the stream
  /// entering block i to the stream leaving block i + steps - 1. For dropping several neighbours at once.
  template<tappable_model Model, executor Executor = sequential>
  [[nodiscard]] std::vector<double> windows(const Model& model, std::span<const batch_of<Model>> batches,
                                            std::size_t steps, Executor&& run = {}) const {
    const std::size_t parts = model.layers() * (units == unit_kind::block ? 1 : 2);
    if (steps == 0 || steps > parts)
      refuse({.what = "windows of " + std::to_string(steps),
              .where = "score::block_influence",
              .expected = "1 to " + std::to_string(parts)});
    const std::size_t count = parts - steps + 1;
    std::vector<tally> tallies(batches.size());
    run.for_each(batches.size(), [&](std::size_t b) {
      tally& t = tallies[b];
      std::vector<activations> streams(parts + 1);  // those still needed are not empty
      std::size_t reached = 0;
      const auto arrive = [&](activations stream) {
        PRECIS_EXPECTS(reached <= parts, "one residual site a layer and one for the head, one attention site a layer");
        if (reached >= steps) measure_all(streams[reached - steps], stream, t, count, reached - steps);
        if (reached >= steps) streams[reached - steps] = {};
        streams[reached++] = std::move(stream);
      };
      const auto tap = [&](site at, activations_view<float> x) {
        if (at.kind == site_kind::residual) arrive(copy_of(x));
        if (at.kind != site_kind::attention || units == unit_kind::block) return;
        activations middle = streams[reached - 1];
        for (std::size_t s = 0; s < x.sequences; ++s)
          for (std::size_t token = 0; token < x.tokens; ++token)
            for (std::size_t f = 0; f < x.features; ++f) middle.view()(s, token)[f] += x(s, token)[f];
        arrive(std::move(middle));
      };
      static_cast<void>(model.logits(batches[b], positions::last, tap));
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
      if (by == measure::cosine) sums[i] = 1 - sums[i];
      if (!std::isfinite(sums[i]))
        refuse({.what = "the stream through " + std::string(units == unit_kind::block ? "block " : "half ") +
                        std::to_string(i) + " moves by " + std::to_string(sums[i]),
                .where = "score::block_influence",
                .expected = "finite activations, and for norm_ratio none that become zero"});
    }
    return sums;
  }

  /// Chosen only when the overload above is not: says why, and what to do about it.
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

 private:
  /// Sums of one batch, sequence by sequence: so that they add up in one order however sequences are batched.
  struct tally {
    std::vector<double> sums = {};  ///< [sequences x windows]
    std::size_t tokens = 0;
  };

  [[nodiscard]] std::string_view name() const noexcept {
    switch (by) {
      case measure::cosine: return "cosine";
      case measure::l2: return "l2";
      case measure::l2_normalised: return "l2_normalised";
      case measure::norm_ratio: break;
    }
    return "norm_ratio";
  }

  [[nodiscard]] static activations copy_of(activations_view<const float> x) {
    activations copy(x.sequences, x.tokens, x.features);
    for (std::size_t s = 0; s < x.sequences; ++s)
      for (std::size_t t = 0; t < x.tokens; ++t) std::ranges::copy(x(s, t), copy.view()(s, t).begin());
    return copy;
  }

  void measure_all(const activations& before, const activations& after, tally& t, std::size_t count,
                   std::size_t window) const {
    t.sums.resize(after.sequences * count);
    t.tokens = after.sequences * after.tokens;
    for (std::size_t s = 0; s < after.sequences; ++s)
      for (std::size_t token = 0; token < after.tokens; ++token) {
        const displacement d = displace(before.view()(s, token), after.view()(s, token));
        t.sums[s * count + window] += by == measure::cosine          ? d.cosine
                                      : by == measure::l2            ? d.l2
                                      : by == measure::l2_normalised ? d.l2_normalised
                                                                     : d.norm_ratio;
      }
  }
};

}  // namespace precis::score
