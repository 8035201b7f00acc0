// Compiles every level that the compiler's flags do not allow anyway: the kernels, for dispatch.hpp, or, if
// PRECIS_LEVEL_FITS is defined, the fits, for dispatched_fit.hpp: they use AVX2 and AVX-512, but no more.
#if defined(PRECIS_LEVEL_BODY)

#if !defined(PRECIS_FLAGS)
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

#endif

#define PRECIS_LEVEL_NAMESPACE levels::PRECIS_FLAGS::baseline
#include <precis/kernel/compile_level.hpp>
#if PRECIS_FLAGS_LEVEL < 1 && !defined(PRECIS_LEVEL_FITS)
#define PRECIS_LEVEL 1
#define PRECIS_LEVEL_NAMESPACE levels::PRECIS_FLAGS::sse4
#include <precis/kernel/compile_level.hpp>
#endif
#if PRECIS_FLAGS_LEVEL < 2
#define PRECIS_LEVEL 2
#define PRECIS_LEVEL_NAMESPACE levels::PRECIS_FLAGS::avx2
#include <precis/kernel/compile_level.hpp>
#endif
#if PRECIS_FLAGS_LEVEL < 3 && !defined(PRECIS_LEVEL_FITS)
#define PRECIS_LEVEL 3
#define PRECIS_LEVEL_NAMESPACE levels::PRECIS_FLAGS::avx_vnni
#include <precis/kernel/compile_level.hpp>
#endif
#if PRECIS_FLAGS_LEVEL < 4
#define PRECIS_LEVEL 4
#define PRECIS_LEVEL_NAMESPACE levels::PRECIS_FLAGS::avx512
#include <precis/kernel/compile_level.hpp>
#endif
#if PRECIS_FLAGS_LEVEL < 5 && !defined(PRECIS_LEVEL_FITS)
#define PRECIS_LEVEL 5
#define PRECIS_LEVEL_NAMESPACE levels::PRECIS_FLAGS::avx512_vnni
#include <precis/kernel/compile_level.hpp>
#endif
#if PRECIS_FLAGS_LEVEL == 5 && defined(__aarch64__) && !defined(PRECIS_LEVEL_FITS)
#define PRECIS_LEVEL 6
#define PRECIS_LEVEL_NAMESPACE levels::PRECIS_FLAGS::dotprod
#include <precis/kernel/compile_level.hpp>
#endif
#include <precis/kernel/instructions.hpp>  // of the flags again

#endif
