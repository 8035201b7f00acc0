#pragma once

#include <precis/core/site.hpp>
#include <precis/core/view.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

/// Ready-made taps: what a model calls at every site. A tap is anything callable as tap(site, activations_view<float>).
namespace precis::tap {

/// Looks at nothing.
struct none {
  void operator()(site, activations_view<float>) const noexcept {}
};

/// Copies the activations of every site that `wanted(site)` accepts.
template<class Wanted>
struct record {
  Wanted wanted;
  std::vector<std::pair<site, activations>> seen = {};  ///< in the order of the forward pass

  void operator()(site at, activations_view<float> x) {
    if (!wanted(at)) return;
    activations copy(x.sequences, x.tokens, x.features);
    for (std::size_t s = 0; s < x.sequences; ++s)
      for (std::size_t t = 0; t < x.tokens; ++t) std::ranges::copy(x(s, t), copy.view()(s, t).begin());
    seen.emplace_back(at, std::move(copy));
  }

  /// The recording of one site, or nullptr.
  [[nodiscard]] const activations* find(site at) const noexcept {
    for (const auto& [where, values] : seen)
      if (where == at) return &values;
    return nullptr;
  }
};
template<class Wanted>
record(Wanted) -> record<Wanted>;

/// Overwrites one token of every sequence at one site. Requires values.size() == features.
struct replace {
  site at;
  std::size_t token = 0;
  std::span<const float> values;  ///< [features]

  void operator()(site here, activations_view<float> x) const {
    if (here != at) return;
    for (std::size_t s = 0; s < x.sequences; ++s) std::ranges::copy(values, x(s, token).begin());
  }
};

/// Adds noise to a range of tokens at one site: sequence s gets noise row s.
struct add_noise {
  site at;
  std::size_t first_token = 0;
  activations_view<const float> noise;  ///< [sequences x tokens noised x features]

  void operator()(site here, activations_view<float> x) const {
    if (here != at) return;
    for (std::size_t s = 0; s < x.sequences; ++s)
      for (std::size_t t = 0; t < noise.tokens; ++t) {
        const std::span<float> into = x(s, first_token + t);
        const std::span<const float> from = noise(s, t);
        for (std::size_t f = 0; f < into.size(); ++f) into[f] += from[f];
      }
  }
};

/// One tap after another.
template<class... Taps>
struct chain {
  std::tuple<Taps&...> taps;
  explicit chain(Taps&... t) : taps(t...) {}
  void operator()(site at, activations_view<float> x) {
    std::apply([&](Taps&... t) { (t(at, x), ...); }, taps);
  }
};

}  // namespace precis::tap
