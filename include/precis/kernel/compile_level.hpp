// Compiles PRECIS_LEVEL_BODY (level_kernels.hpp or fit/level_fits.hpp) for one level:
//
//     PRECIS_LEVEL_NAMESPACE   the namespace of precis that they are declared in
//     PRECIS_LEVEL             the instructions (instructions.hpp); undefined: those of the compiler's flags
//
// Every function is compiled for these instructions, and all names are new, types included. So no call can find the
// function of another level, and the linker has no two copies to choose from.
#if defined(PRECIS_LEVEL_NAMESPACE)

#if !defined(PRECIS_LEVEL)
#define PRECIS_LEVEL_INSTRUCTIONS ""
#elif PRECIS_LEVEL == 1
#define PRECIS_LEVEL_INSTRUCTIONS "ssse3,sse4.1,sse4.2,popcnt"
#elif PRECIS_LEVEL == 2
#define PRECIS_LEVEL_INSTRUCTIONS "avx2,fma,f16c,bmi,bmi2,popcnt"
#elif PRECIS_LEVEL == 3
#define PRECIS_LEVEL_INSTRUCTIONS "avx2,fma,f16c,bmi,bmi2,popcnt,avxvnni"
#elif PRECIS_LEVEL == 4
#define PRECIS_LEVEL_INSTRUCTIONS "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c,bmi,bmi2,popcnt"
#elif PRECIS_LEVEL == 5
#define PRECIS_LEVEL_INSTRUCTIONS "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx512vnni,avx2,fma,f16c,bmi,bmi2,popcnt"
#elif PRECIS_LEVEL == 6 && defined(__clang__)
#define PRECIS_LEVEL_INSTRUCTIONS "dotprod"
#elif PRECIS_LEVEL == 6
#define PRECIS_LEVEL_INSTRUCTIONS "arch=armv8.2-a+dotprod"
#endif

#undef PRECIS_TARGET
#if !defined(PRECIS_LEVEL)
#define PRECIS_TARGET
#else
#define PRECIS_TARGET __attribute__((target(PRECIS_LEVEL_INSTRUCTIONS)))
#define PRECIS_LEVEL_PRAGMA(text) _Pragma(#text)
#define PRECIS_LEVEL_TARGET(names) PRECIS_LEVEL_PRAGMA(GCC target(names))
#if defined(__clang__)
#pragma clang attribute push(PRECIS_TARGET, apply_to = function)
#else
#pragma GCC push_options
PRECIS_LEVEL_TARGET(PRECIS_LEVEL_INSTRUCTIONS)
#endif
#endif

#include <precis/kernel/instructions.hpp>
#include PRECIS_LEVEL_BODY

#if defined(PRECIS_LEVEL)
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef PRECIS_LEVEL_PRAGMA
#undef PRECIS_LEVEL_TARGET
#undef PRECIS_LEVEL
#endif
#undef PRECIS_LEVEL_INSTRUCTIONS
#undef PRECIS_LEVEL_NAMESPACE
#undef PRECIS_TARGET
#define PRECIS_TARGET

#endif
