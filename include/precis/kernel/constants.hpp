#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

/// Forces a lambda to be inlined: written between its parameters and its body. Arrays of vectors that the lambda
/// captures by reference stay in registers only if it is inlined.
#define PRECIS_INLINE_LAMBDA __attribute__((always_inline))

namespace precis::kernel {

/// Calls f(constant 0), ..., f(constant N - 1), each constant a std::integral_constant. Arrays that are indexed by
/// these constants stay in registers; with a loop, g++ 12 keeps an array of accumulators in memory.
template<std::size_t N, class F>
[[gnu::always_inline]] inline void for_constants(F&& f) noexcept {
  [&]<std::size_t... I>(std::index_sequence<I...>)
      PRECIS_INLINE_LAMBDA { (f(std::integral_constant<std::size_t, I>{}), ...); }(std::make_index_sequence<N>{});
}

}  // namespace precis::kernel
