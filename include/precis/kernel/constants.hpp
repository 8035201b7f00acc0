#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

/// Inlining that the kernels depend on: arrays of vectors that are passed by reference stay in registers only if the
/// function that takes them is inlined.
///
/// PRECIS_INLINE declares such a function. PRECIS_INLINE_LAMBDA does the same for a lambda and is written between its
/// parameters and its body. Without optimization nothing stays in registers, so both leave the choice to the compiler:
/// forcing it would multiply the size of the code and the time to compile it by ten and more, most of all under a
/// sanitizer.
#if defined(__OPTIMIZE__)
#define PRECIS_INLINE __attribute__((always_inline)) inline
#define PRECIS_INLINE_LAMBDA __attribute__((always_inline))
#else
#define PRECIS_INLINE inline
#define PRECIS_INLINE_LAMBDA
#endif

namespace precis::kernel {

/// Calls f(constant 0), ..., f(constant N - 1), each constant a std::integral_constant. Arrays that are indexed by
/// these constants stay in registers; with a loop, g++ 12 keeps an array of accumulators in memory.
template<std::size_t N, class F>
PRECIS_INLINE void for_constants(F&& f) noexcept {
  [&]<std::size_t... I>(std::index_sequence<I...>)
      PRECIS_INLINE_LAMBDA { (f(std::integral_constant<std::size_t, I>{}), ...); }(std::make_index_sequence<N>{});
}

}  // namespace precis::kernel
