#pragma once

#include <precis/kernel/instructions.hpp>

#include <atomic>
#include <cstdint>
#if PRECIS_SSE2
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

// The level that the compiler's flags allow; the levels above it are compiled as well. PRECIS_FLAGS distinguishes functions
// that translation units with different flags compile from each other.
#if PRECIS_AVX512BW && PRECIS_AVX512VNNI && PRECIS_F16C
#define PRECIS_FLAGS_LEVEL 5
#elif PRECIS_AVX512BW && PRECIS_F16C
#define PRECIS_FLAGS_LEVEL 4
#elif PRECIS_AVX2 && PRECIS_F16C && PRECIS_AVXVNNI
#define PRECIS_FLAGS_LEVEL 3
#elif PRECIS_AVX2 && PRECIS_F16C
#define PRECIS_FLAGS_LEVEL 2
#elif PRECIS_SSE41
#define PRECIS_FLAGS_LEVEL 1
#elif PRECIS_SSE2
#define PRECIS_FLAGS_LEVEL 0
#elif defined(__ARM_NEON) && defined(__aarch64__) && !defined(__ARM_BIG_ENDIAN) && defined(__linux__) && !PRECIS_DOTPROD
#define PRECIS_FLAGS_LEVEL 5
#else
#define PRECIS_FLAGS_LEVEL 6
#endif
#if defined(__AVX512FP16__)
#define PRECIS_FLAGS with_avx512_fp16
#elif defined(__AVX512VBMI2__)
#define PRECIS_FLAGS with_avx512_vbmi2
#elif PRECIS_AVX512VNNI
#define PRECIS_FLAGS with_avx512_vnni
#elif PRECIS_AVX512F
#define PRECIS_FLAGS with_avx512
#elif PRECIS_AVXVNNI
#define PRECIS_FLAGS with_avx_vnni
#elif PRECIS_AVX2
#define PRECIS_FLAGS with_avx2
#elif defined(__AVX__)
#define PRECIS_FLAGS with_avx
#elif PRECIS_SSE41
#define PRECIS_FLAGS with_sse4
#elif PRECIS_SSSE3
#define PRECIS_FLAGS with_ssse3
#elif PRECIS_DOTPROD
#define PRECIS_FLAGS with_dotprod
#else
#define PRECIS_FLAGS plain
#endif

/// The instruction sets that dispatch.hpp and dispatched_fit.hpp choose from when the program runs.
namespace precis::dispatch {

/// Instruction sets, each of which contains those before it, except that avx512 lacks avx_vnni.
enum class level : std::uint8_t {
  baseline,     ///< those of the compiler's flags
  sse4,         ///< SSE4.2
  avx2,         ///< AVX2, FMA, F16C, BMI2
  avx_vnni,     ///< and VNNI for 256 bits
  avx512,       ///< AVX-512 F, BW, DQ, VL, CD
  avx512_vnni,  ///< and VNNI for 512 bits
  dotprod       ///< 64-bit ARM: the dot products of Armv8.2
};

namespace detail {

inline std::atomic<std::uint8_t> level_in_use{0};  ///< 1 + the level; 0: not chosen yet

}  // namespace detail

inline namespace PRECIS_FLAGS {

/// Whether the processor and the operating system support a level. One that this translation unit does not compile,
/// because its flags allow more, counts as not supported.
[[nodiscard]] inline bool supports(level l) noexcept {
  if (l == level::baseline) return true;
  if (l == level::dotprod) {
#if PRECIS_FLAGS_LEVEL == 5 && defined(__aarch64__)
    return (getauxval(AT_HWCAP) >> 20 & 1u) != 0;
#else
    return false;
#endif
  }
  if (static_cast<unsigned>(l) <= PRECIS_FLAGS_LEVEL) return false;
#if PRECIS_SSE2
  __builtin_cpu_init();
  if (l == level::sse4) return __builtin_cpu_supports("sse4.2") != 0 && __builtin_cpu_supports("popcnt") != 0;
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool f16c = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c >> 29 & 1u) != 0;
  if (!f16c || __builtin_cpu_supports("avx2") == 0 || __builtin_cpu_supports("fma") == 0 ||
      __builtin_cpu_supports("bmi") == 0 || __builtin_cpu_supports("bmi2") == 0)
    return false;
  if (l == level::avx2) return true;
  if (l == level::avx_vnni) return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1u) != 0;
  if (__builtin_cpu_supports("avx512f") == 0 || __builtin_cpu_supports("avx512bw") == 0 ||
      __builtin_cpu_supports("avx512dq") == 0 || __builtin_cpu_supports("avx512vl") == 0 ||
      __builtin_cpu_supports("avx512cd") == 0)
    return false;
  return l == level::avx512 || __builtin_cpu_supports("avx512vnni") != 0;
#else
  return false;
#endif
}

/// The widest level that is supported.
[[nodiscard]] inline level best() noexcept {
  for (const level l : {level::dotprod, level::avx512_vnni, level::avx512, level::avx_vnni, level::avx2, level::sse4})
    if (supports(l)) return l;
  return level::baseline;
}

/// The level of the calls that follow: `best` unless `use` was called.
[[nodiscard]] inline level current() noexcept {
  std::uint8_t chosen = dispatch::detail::level_in_use.load(std::memory_order_relaxed);
  if (chosen == 0) {
    chosen = static_cast<std::uint8_t>(1 + static_cast<unsigned>(best()));
    dispatch::detail::level_in_use.store(chosen, std::memory_order_relaxed);
  }
  return static_cast<level>(chosen - 1);
}

/// Sets the level of all calls of the program that follow, for tests and comparisons. Requires supports(l).
inline void use(level l) noexcept {
  dispatch::detail::level_in_use.store(static_cast<std::uint8_t>(1 + static_cast<unsigned>(l)),
                                       std::memory_order_relaxed);
}

}  // namespace PRECIS_FLAGS

}  // namespace precis::dispatch
