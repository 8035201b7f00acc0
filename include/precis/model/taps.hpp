#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/site.hpp>
#include <precis/core/view.hpp>

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

/// Ready-made taps. A tap is any callable tap(site, activations_view<float>); a model calls it at every site.
namespace precis::tap {

/// Does nothing.
struct none {
  void operator()(site, activations_view<float>) const noexcept {}
};

/// Any tap, by reference: all taps that are passed this way have one type, so a program compiles the model's forward pass once
/// for all of them. The tap must outlive the call.
class reference {
 public:
  template<class Tap>
  explicit reference(Tap& tap) noexcept
      : tap_(const_cast<void*>(static_cast<const void*>(&tap))),
        call_([](void* t, site at, activations_view<float> x) { (*static_cast<Tap*>(t))(at, x); }) {}

  void operator()(site at, activations_view<float> x) const { call_(tap_, at, x); }

 private:
  void* tap_;
  void (*call_)(void*, site, activations_view<float>);
};

/// A copy of activations, which are valid only during the call of the tap.
template<class = void>
[[nodiscard]] inline activations copy_of(activations_view<const float> x) {
  activations copy(x.sequences, x.tokens, x.features);
  for (std::size_t s = 0; s < x.sequences; ++s)
    for (std::size_t t = 0; t < x.tokens; ++t) copy_span(x(s, t), copy.view()(s, t));
  return copy;
}

/// Overwrites activations with others of the same shape.
template<class = void>
inline void assign(activations_view<float> to, activations_view<const float> from) {
  PRECIS_EXPECTS(to.sequences == from.sequences && to.tokens == from.tokens && to.features == from.features,
                 "activations of the same shape");
  for (std::size_t s = 0; s < to.sequences; ++s)
    for (std::size_t t = 0; t < to.tokens; ++t) copy_span(from(s, t), to(s, t));
}

/// Records a copy of the activations at each site that `wanted(site)` accepts.
template<class Wanted>
struct record {
  Wanted wanted;
  std::vector<std::pair<site, activations>> seen{};  ///< in the order of the forward passes

  void operator()(site at, activations_view<float> x) {
    if (wanted(at)) seen.emplace_back(at, copy_of(x));
  }

  /// The first recording at a site, or nullptr.
  [[nodiscard]] const activations* find(site at) const noexcept {
    for (const auto& [recorded, values] : seen)
      if (recorded == at) return &values;
    return nullptr;
  }
};
template<class Wanted>
record(Wanted) -> record<Wanted>;

/// Overwrites one token of every sequence at one site.
///
/// Requires  values.size() == features.
struct replace {
  site at = {};
  std::size_t token = 0;
  std::span<const float> values{};  ///< [features]

  template<class = void>
  void operator()(site here, activations_view<float> x) const {
    if (here != at) return;
    for (std::size_t s = 0; s < x.sequences; ++s) copy_span(values, x(s, token));
  }
};

/// Adds noise to a range of tokens at one site: sequence s receives noise sequence s.
struct add_noise {
  site at = {};
  std::size_t first_token = 0;
  activations_view<const float> noise = {};  ///< [sequences x noisy tokens x features]

  template<class = void>
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

/// Calls several taps in order.
template<class... Taps>
struct chain {
  void operator()(site, activations_view<float>) const noexcept {}
};
template<class First, class... Others>
struct chain<First, Others...> {
  First& first;
  chain<Others...> others;
  explicit chain(First& f, Others&... o) : first(f), others(o...) {}
  void operator()(site at, activations_view<float> x) {
    first(at, x);
    others(at, x);
  }
};
template<class... Taps>
chain(Taps&...) -> chain<Taps...>;

}  // namespace precis::tap
