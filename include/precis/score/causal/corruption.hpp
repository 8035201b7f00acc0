#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/core/random.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/taps.hpp>
#include <precis/score/causal/fact.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace precis::score {
PRECIS_IEEE_BEGIN

/// How the subject of a fact is corrupted by noise.
///
/// Unit      `amount`: a factor on the standard deviation of the subjects' embeddings, or embedding units.
/// Source    Meng et al. 2022, "Locating and Editing Factual Associations in GPT", arXiv:2202.05262, section 2.
/// Differs   As in the authors' code, the standard deviation is over the subjects of the facts; the paper names a
///           corpus.
struct corruption {
  enum class rule {
    gaussian_factor,  ///< N(0, (amount x deviation of the subjects' embeddings)^2); the paper's rule, with amount 3
    gaussian,         ///< N(0, amount^2)
    uniform,          ///< uniform on [-amount, amount]
  };
  enum class mode { add, replace };              ///< added to the embedding, or in place of it
  enum class generator { counter_based, rome };  ///< rome: the authors' (Mersenne Twister, polar method)

  rule draw = rule::gaussian_factor;
  double amount = 3;
  mode how = mode::add;
  generator source = generator::counter_based;
  std::uint32_t seed = 1;
  std::size_t runs = 10;  ///< noisy runs per fact; every site and fact gets the same noise

  bool operator==(const corruption&) const = default;
};

/// Unbiased standard deviation of all elements of the token embeddings of the given token strings together.
///
/// Unit      embedding units.
/// Errors    fewer than two elements.
/// Cost      one forward pass per string, of which only the embeddings are used.
template<tappable_model Model>
  requires token_model<Model>
[[nodiscard]] double embedding_deviation(const Model& model, std::span<const std::vector<token>> strings) {
  double sum = 0, squares = 0;
  std::size_t count = 0;
  const auto pass = [&](auto&& per_scalar) {
    for (const std::vector<token>& s : strings) {
      const auto tap = [&](site at, activations_view<float> x) {
        if (at.kind != site_kind::embedding) return;
        for (std::size_t t = 0; t < x.tokens; ++t)
          for (const float v : x(0, t)) per_scalar(static_cast<double>(v));
      };
      static_cast<void>(model.logits(prompts(1, s), positions::last, precis::tap::reference(tap)));
    }
  };
  pass([&](double v) {
    sum += v;
    squares += v * v;
    ++count;
  });
  if (count < 2)
    refuse({.what = "no subject to derive the noise scale from",
            .where = "score::causal_trace",
            .expected = "at least one fact"});
  const double mean = sum / static_cast<double>(count);
  const double variance = (squares - static_cast<double>(count) * mean * mean) / static_cast<double>(count - 1);
  return math::sqrt(std::max(variance, 0.0));
}

/// The absolute scale of the noise: its standard deviation, or half its range for uniform noise.
///
/// Errors    an amount that is negative or not finite; no facts; a subject outside its prompt.
template<tappable_model Model>
  requires token_model<Model>
[[nodiscard]] double noise_scale(const corruption& c, const Model& model, std::span<const fact> facts) {
  if (!(c.amount >= 0) || !kernel::is_finite(c.amount))
    refuse({.what = "a noise amount of " + std::to_string(c.amount),
            .where = "score::causal_trace",
            .expected = "a finite number >= 0"});
  if (c.draw != corruption::rule::gaussian_factor) return c.amount;
  std::vector<std::vector<token>> subjects;
  for (const fact& f : facts) {
    check(f);
    subjects.push_back(f.subject_alone.empty()
                           ? std::vector<token>(f.prompt.begin() + static_cast<std::ptrdiff_t>(f.subject_begin),
                                                f.prompt.begin() + static_cast<std::ptrdiff_t>(f.subject_end))
                           : f.subject_alone);
  }
  return c.amount * embedding_deviation(model, subjects);
}

/// Noise of a given scale, [runs x subject tokens x features], drawn in that order. Equal arguments give equal noise.
///
/// Errors    no runs.
template<class = void>
[[nodiscard]] inline activations draw_noise(const corruption& c, double scale, std::size_t subject_tokens,
                                            std::size_t features) {
  if (c.runs == 0)
    refuse({.what = "no noisy runs", .where = "score::causal_trace", .expected = "corruption.runs of at least 1"});
  activations noise(c.runs, subject_tokens, features);
  const random_stream stream(c.seed, purpose("causal_trace noise"));
  legacy_gaussian rome(c.seed);
  mersenne_twister rome_uniform(c.seed);
  for (std::size_t i = 0; i < noise.values.size(); ++i) {
    double x = 0;
    if (c.draw == corruption::rule::uniform)
      x = c.source == corruption::generator::rome ? 2.0 * legacy_uniform(rome_uniform) - 1.0
                                                  : 2.0 * stream.uniform(i) - 1.0;
    else
      x = c.source == corruption::generator::rome ? rome() : stream.normal(i);
    noise.values[i] = static_cast<float>(scale * x);
  }
  return noise;
}

PRECIS_IEEE_END
}  // namespace precis::score
