#pragma once

#include <precis/kernel/lanes_avx2.hpp>
#include <precis/kernel/lanes_avx512.hpp>
#include <precis/kernel/lanes_neon.hpp>
#include <precis/kernel/lanes_scalar.hpp>

namespace precis::kernel {

/// The widest lanes the compiler may use here. Every kernel takes its lanes as a template parameter with this default,
/// so translation units built with different flags instantiate different functions, and tests can ask for `scalar_lanes`.
///
/// A lane type offers, over float: `vector`, `width`, zero, broadcast, load, store, load_part, store_part (the first
/// n < width elements; the others are neither read nor written, and load as 0), all (one value everywhere), add, subtract,
/// multiply, divide, fma(a, b, c) = a*b + c rounded once, larger(a, b) = a > b ? a : b, smaller(a, b) = a < b ? a : b
/// (so a NaN in b stays), times_power_of_two(a, n) = a * 2^n for whole -252 <= n <= 254 and |a| near 1, rounded once, and
/// transpose of a width x width tile. Loads and stores need no alignment. `value` names float.
///
/// Lane types over double, for statistics, offer what products need: zero, broadcast, load, store, load_part, store_part,
/// fma and transpose.
#if defined(__AVX512F__)
using native_lanes = avx512_lanes;
using native_double_lanes = avx512_double_lanes;
#elif defined(__AVX2__) && defined(__FMA__)
using native_lanes = avx2_lanes;
using native_double_lanes = avx2_double_lanes;
#elif defined(__ARM_NEON) && defined(__aarch64__)
using native_lanes = neon_lanes;
using native_double_lanes = neon_double_lanes;
#else
using native_lanes = scalar_lanes;
using native_double_lanes = scalar_double_lanes;
#endif

}  // namespace precis::kernel
