// The instructions that the kernels use, as macros: those of the compiler's flags, or of the level that dispatch.hpp is
// compiling (PRECIS_LEVEL). Not guarded: dispatch.hpp includes this file once per level. Compilers do not agree on whether
// macros such as __AVX2__ follow a change of the target inside a file, so the kernels test these instead.

#undef PRECIS_SSE2
#undef PRECIS_SSSE3
#undef PRECIS_SSE41
#undef PRECIS_AVX2
#undef PRECIS_F16C
#undef PRECIS_AVXVNNI
#undef PRECIS_AVX512F
#undef PRECIS_AVX512BW
#undef PRECIS_AVX512VNNI
#undef PRECIS_AVX512VBMI
#undef PRECIS_DOTPROD
#undef PRECIS_FUSES  // whether the compiler may write a fused multiply-add where the code has a product and a sum

#if defined(PRECIS_LEVEL) && defined(__aarch64__)
#define PRECIS_SSE2 0
#define PRECIS_SSSE3 0
#define PRECIS_SSE41 0
#define PRECIS_AVX2 0
#define PRECIS_F16C 0
#define PRECIS_AVXVNNI 0
#define PRECIS_AVX512F 0
#define PRECIS_AVX512BW 0
#define PRECIS_AVX512VNNI 0
#define PRECIS_AVX512VBMI 0
#define PRECIS_DOTPROD 1
#define PRECIS_FUSES 1
#elif defined(PRECIS_LEVEL)
#define PRECIS_SSE2 1
#define PRECIS_SSSE3 (PRECIS_LEVEL >= 1)
#define PRECIS_SSE41 (PRECIS_LEVEL >= 1)
#define PRECIS_AVX2 (PRECIS_LEVEL >= 2)
#define PRECIS_F16C (PRECIS_LEVEL >= 2)
#define PRECIS_AVXVNNI (PRECIS_LEVEL == 3)
#define PRECIS_AVX512F (PRECIS_LEVEL >= 4)
#define PRECIS_AVX512BW (PRECIS_LEVEL >= 4)
#define PRECIS_AVX512VNNI (PRECIS_LEVEL >= 5)
#define PRECIS_AVX512VBMI 0
#define PRECIS_DOTPROD 0
#if PRECIS_LEVEL >= 2
#define PRECIS_FUSES 1
#else
#define PRECIS_FUSES 0
#endif
#else
#if defined(__SSE2__) && defined(__x86_64__)
#define PRECIS_SSE2 1
#else
#define PRECIS_SSE2 0
#endif
#if defined(__SSSE3__)
#define PRECIS_SSSE3 1
#else
#define PRECIS_SSSE3 0
#endif
#if defined(__SSE4_1__)
#define PRECIS_SSE41 1
#else
#define PRECIS_SSE41 0
#endif
#if defined(__AVX2__) && defined(__FMA__)
#define PRECIS_AVX2 1
#else
#define PRECIS_AVX2 0
#endif
#if defined(__F16C__)
#define PRECIS_F16C 1
#else
#define PRECIS_F16C 0
#endif
#if defined(__AVXVNNI__)
#define PRECIS_AVXVNNI 1
#else
#define PRECIS_AVXVNNI 0
#endif
#if defined(__AVX512F__)
#define PRECIS_AVX512F 1
#else
#define PRECIS_AVX512F 0
#endif
#if defined(__AVX512BW__)
#define PRECIS_AVX512BW 1
#else
#define PRECIS_AVX512BW 0
#endif
#if defined(__AVX512VNNI__)
#define PRECIS_AVX512VNNI 1
#else
#define PRECIS_AVX512VNNI 0
#endif
#if defined(__AVX512VBMI__)
#define PRECIS_AVX512VBMI 1
#else
#define PRECIS_AVX512VBMI 0
#endif
#if defined(__ARM_FEATURE_DOTPROD)
#define PRECIS_DOTPROD 1
#else
#define PRECIS_DOTPROD 0
#endif
#if defined(__x86_64__) && !defined(__FP_FAST_FMA) && !defined(__FP_FAST_FMAF)
#define PRECIS_FUSES 0
#else
#define PRECIS_FUSES 1
#endif
#endif

// Inlining that the kernels depend on: arrays of vectors that are passed by reference stay in registers only if the
// function that takes them is inlined.
//
// PRECIS_INLINE declares such a function. PRECIS_INLINE_LAMBDA does the same for a lambda and is written between its
// parameters and its body; it stands behind the parameters of every lambda that computes with vectors, because lambdas do
// not follow a change of the target inside a file. Without optimization nothing stays in registers, so both leave the
// choice to the compiler: forcing it would multiply the size of the code and the time to compile it by ten and more, most of
// all under a sanitizer.
#undef PRECIS_INLINE
#undef PRECIS_INLINE_LAMBDA
#if defined(__OPTIMIZE__)
#define PRECIS_INLINE __attribute__((always_inline)) inline
#define PRECIS_INLINE_LAMBDA __attribute__((always_inline)) PRECIS_TARGET
#else
#define PRECIS_INLINE inline
#define PRECIS_INLINE_LAMBDA PRECIS_TARGET
#endif
// The instructions of a level, for a lambda that computes with vectors and need not be inlined.
#if !defined(PRECIS_LEVEL)
#undef PRECIS_TARGET
#define PRECIS_TARGET
#endif
