#pragma once

#include <precis/kernel/ieee.hpp>

/// The functions of `cmath` that the library calls, with the same results. To include that header would take g++ 12 as long as
/// a third of the library's own core, because it declares all special functions.
namespace precis::math {
PRECIS_IEEE_BEGIN

[[nodiscard]] PRECIS_INLINE double sqrt(double x) noexcept { return __builtin_sqrt(x); }
[[nodiscard]] PRECIS_INLINE double exp(double x) noexcept { return __builtin_exp(x); }
[[nodiscard]] PRECIS_INLINE double log(double x) noexcept { return __builtin_log(x); }
[[nodiscard]] PRECIS_INLINE float log2(float x) noexcept { return __builtin_log2f(x); }
[[nodiscard]] PRECIS_INLINE double log10(double x) noexcept { return __builtin_log10(x); }
[[nodiscard]] PRECIS_INLINE double pow(double x, double power) noexcept { return __builtin_pow(x, power); }
[[nodiscard]] PRECIS_INLINE double sin(double x) noexcept { return __builtin_sin(x); }
[[nodiscard]] PRECIS_INLINE double cos(double x) noexcept { return __builtin_cos(x); }
[[nodiscard]] PRECIS_INLINE double atan(double x) noexcept { return __builtin_atan(x); }

[[nodiscard]] PRECIS_INLINE float fma(float x, float y, float z) noexcept { return __builtin_fmaf(x, y, z); }
[[nodiscard]] PRECIS_INLINE double fma(double x, double y, double z) noexcept { return __builtin_fma(x, y, z); }

[[nodiscard]] PRECIS_INLINE float floor(float x) noexcept { return __builtin_floorf(x); }
[[nodiscard]] PRECIS_INLINE double floor(double x) noexcept { return __builtin_floor(x); }
[[nodiscard]] PRECIS_INLINE double ceil(double x) noexcept { return __builtin_ceil(x); }
[[nodiscard]] PRECIS_INLINE double nearbyint(double x) noexcept { return __builtin_nearbyint(x); }
[[nodiscard]] PRECIS_INLINE double fmod(double x, double y) noexcept { return __builtin_fmod(x, y); }
[[nodiscard]] PRECIS_INLINE long long llround(double x) noexcept { return __builtin_llround(x); }

[[nodiscard]] PRECIS_INLINE float nextafter(float x, float to) noexcept { return __builtin_nextafterf(x, to); }
[[nodiscard]] PRECIS_INLINE double nextafter(double x, double to) noexcept { return __builtin_nextafter(x, to); }
[[nodiscard]] PRECIS_INLINE float copysign(float x, float sign) noexcept { return __builtin_copysignf(x, sign); }
[[nodiscard]] PRECIS_INLINE double copysign(double x, double sign) noexcept { return __builtin_copysign(x, sign); }
[[nodiscard]] PRECIS_INLINE float ldexp(float x, int exponent) noexcept { return __builtin_ldexpf(x, exponent); }
[[nodiscard]] PRECIS_INLINE double ldexp(double x, int exponent) noexcept { return __builtin_ldexp(x, exponent); }
[[nodiscard]] PRECIS_INLINE double frexp(double x, int* exponent) noexcept { return __builtin_frexp(x, exponent); }
[[nodiscard]] PRECIS_INLINE int ilogb(double x) noexcept { return __builtin_ilogb(x); }

PRECIS_IEEE_END
}  // namespace precis::math
