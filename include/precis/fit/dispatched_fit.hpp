#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/fit/clip_search.hpp>
#include <precis/kernel/dispatch_level.hpp>
#include <precis/kernel/lanes_avx2.hpp>
#include <precis/kernel/lanes_avx512.hpp>
#include <precis/kernel/lanes_neon.hpp>
#include <precis/kernel/lanes_scalar.hpp>
#include <precis/kernel/lanes_sse.hpp>

// Everything that a level includes: headers other than its own must not be compiled for its instructions.
#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>
#if PRECIS_SSE2
#include <immintrin.h>
#endif

// NOLINTNEXTLINE(bugprone-macro-parentheses): a header
#define PRECIS_LEVEL_BODY <precis/fit/level_fits.hpp>
#define PRECIS_LEVEL_FITS
#define PRECIS_LEVELS levels::PRECIS_FLAGS::fits
#include <precis/kernel/every_level.hpp>
#undef PRECIS_LEVELS
#undef PRECIS_LEVEL_FITS
#undef PRECIS_LEVEL_BODY

/// Encoding and the clip search, compiled for several instruction sets in one translation unit as kernel/dispatch.hpp
/// compiles the kernels. Each call runs the current level; all levels write the same bytes.
///
///     precis::pack<menu>(model, plan, precis::dispatch::clip_search{});
///
/// Cost    compilation: three times that of fit::clip_search.
namespace precis::dispatch {

inline namespace PRECIS_FLAGS {

namespace detail {

/// Calls f(the fits of a level), which use AVX2 and AVX-512 but no more.
template<class F>
void fit_at_level(level l, F&& f) {
  namespace all = levels::PRECIS_FLAGS::fits;
#if PRECIS_FLAGS_LEVEL < 4
  if (l == level::avx512 || l == level::avx512_vnni) return f(all::avx512::fit::level_fits{});
#endif
#if PRECIS_FLAGS_LEVEL < 2
  if (l == level::avx2 || l == level::avx_vnni) return f(all::avx2::fit::level_fits{});
#endif
  f(all::baseline::fit::level_fits{});
  static_cast<void>(l);
}

}  // namespace detail

/// codec::encode.
template<class = void>
void encode(const kernel::grid_format& f, weight_view weights, std::span<std::byte> packed) {
  detail::fit_at_level(current(), [&]<class Fits>(Fits) { Fits::encode(f, weights, packed); });
}

/// fit::nearest.
struct nearest {
  void operator()(const kernel::grid_format& f, weight_view weights, std::span<std::byte> packed) const {
    dispatch::encode<>(f, weights, packed);
  }
};
/// fit::clip_search.
struct clip_search {
  std::size_t steps = 80;
  double step = 0.01;
  double power = 2.4;

  void operator()(const kernel::grid_format& f, weight_view weights, std::span<std::byte> packed) const {
    detail::fit_at_level(current(), [&]<class Fits>(Fits) { Fits::search(steps, step, power, f, weights, packed); });
  }
};

}  // namespace PRECIS_FLAGS

}  // namespace precis::dispatch
