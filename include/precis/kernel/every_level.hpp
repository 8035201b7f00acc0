// Compiles every level that the compiler's flags do not allow anyway, in the namespace PRECIS_LEVELS: the kernels, for
// dispatch.hpp, or, if PRECIS_LEVEL_FITS is defined, the fits, for dispatched_fit.hpp: they use AVX2 and AVX-512, but no more.
#if defined(PRECIS_LEVEL_BODY)

#define PRECIS_LEVEL_NAMESPACE PRECIS_LEVELS::baseline
#include <precis/kernel/compile_level.hpp>
#if PRECIS_FLAGS_LEVEL < 1 && !defined(PRECIS_LEVEL_FITS)
#define PRECIS_LEVEL 1
#define PRECIS_LEVEL_NAMESPACE PRECIS_LEVELS::sse4
#include <precis/kernel/compile_level.hpp>
#endif
#if PRECIS_FLAGS_LEVEL < 2
#define PRECIS_LEVEL 2
#define PRECIS_LEVEL_NAMESPACE PRECIS_LEVELS::avx2
#include <precis/kernel/compile_level.hpp>
#endif
#if PRECIS_FLAGS_LEVEL < 3 && !defined(PRECIS_LEVEL_FITS)
#define PRECIS_LEVEL 3
#define PRECIS_LEVEL_NAMESPACE PRECIS_LEVELS::avx_vnni
#include <precis/kernel/compile_level.hpp>
#endif
#if PRECIS_FLAGS_LEVEL < 4
#define PRECIS_LEVEL 4
#define PRECIS_LEVEL_NAMESPACE PRECIS_LEVELS::avx512
#include <precis/kernel/compile_level.hpp>
#endif
#if PRECIS_FLAGS_LEVEL < 5 && !defined(PRECIS_LEVEL_FITS)
#define PRECIS_LEVEL 5
#define PRECIS_LEVEL_NAMESPACE PRECIS_LEVELS::avx512_vnni
#include <precis/kernel/compile_level.hpp>
#endif
#if PRECIS_FLAGS_LEVEL == 5 && defined(__aarch64__) && !defined(PRECIS_LEVEL_FITS)
#define PRECIS_LEVEL 6
#define PRECIS_LEVEL_NAMESPACE PRECIS_LEVELS::dotprod
#include <precis/kernel/compile_level.hpp>
#endif
#include <precis/kernel/instructions.hpp>  // of the flags again

#endif
