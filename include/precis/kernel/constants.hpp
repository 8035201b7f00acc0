#if !defined(PRECIS_KERNEL_CONSTANTS)
#define PRECIS_KERNEL_CONSTANTS

#include <precis/kernel/instructions.hpp>

#include <cstddef>
#include <type_traits>
#include <utility>

namespace precis::kernel {

/// Calls f(constant 0), ..., f(constant N - 1), each constant a std::integral_constant. Arrays that are indexed by
/// these constants stay in registers; with a loop, g++ 12 keeps an array of accumulators in memory.
template<std::size_t N, class F>
PRECIS_INLINE void for_constants(F&& f) noexcept {
  [&]<std::size_t... I>(std::index_sequence<I...>)
      PRECIS_INLINE_LAMBDA { (f(std::integral_constant<std::size_t, I>{}), ...); }(std::make_index_sequence<N>{});
}

}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_CONSTANTS
