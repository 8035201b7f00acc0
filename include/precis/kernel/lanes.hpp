#if !defined(PRECIS_KERNEL_LANES)
#define PRECIS_KERNEL_LANES

#include <precis/kernel/constants.hpp>

#if PRECIS_AVX512F
#include <precis/kernel/lanes_avx512.hpp>
#elif PRECIS_AVX2
#include <precis/kernel/lanes_avx2.hpp>
#elif PRECIS_SSE2
#include <precis/kernel/lanes_sse.hpp>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <precis/kernel/lanes_neon.hpp>
#else
#include <precis/kernel/lanes_scalar.hpp>
#endif

// Code lanes need more: AVX-512BW, and little-endian NEON. Without it they come from another header, as do the lanes over
// double of SSE, which has no fused multiply-add.
#if PRECIS_AVX512F && !PRECIS_AVX512BW && PRECIS_AVX2
#include <precis/kernel/lanes_avx2.hpp>
#elif PRECIS_AVX512F && !PRECIS_AVX512BW
#include <precis/kernel/lanes_sse.hpp>
#elif (PRECIS_SSE2 && !PRECIS_AVX512F && !PRECIS_AVX2) || (defined(__aarch64__) && defined(__ARM_BIG_ENDIAN))
#include <precis/kernel/lanes_scalar.hpp>
#endif

namespace precis::kernel {

/// The widest lanes that the compiler may use in this translation unit. Every kernel takes its lanes as a template
/// parameter with this default, so translation units built with different flags instantiate different functions. Only
/// the native lanes are included here; to use another family, such as `scalar_lanes` in a test, include its header.
///
/// A lane type over float has the members `value` (float), `vector`, `width` (lanes per vector), `registers`, and these
/// functions. Loads and stores may be unaligned.
///   zero, all(x)                a vector of zeros; a vector of x
///   broadcast(p)                the float at p in every lane
///   load, store                 `width` floats
///   load_part, store_part       the first n < width floats: the others are neither read nor written, and load as 0
///   held(v)                     v, kept in a register: g++ 12 otherwise reads memory again for every use
///   add, subtract, multiply, divide
///   fma(a, b, c)                a * b + c, rounded once
///   larger(a, b)                a > b ? a : b, so a NaN in b propagates
///   smaller(a, b)               a < b ? a : b, so a NaN in b propagates
///   larger_size(a, b)           the larger of a >= 0 and |b|; a NaN propagates
///   times_power_of_two(a, n)    a * 2^n, rounded once, for integers -252 <= n <= 254. Requires |a| near 1, or a result
///                               no further from 1 than a is.
///   exponent(a)                 the integer n with 2^n <= a < 2^(n + 1), for normal a > 0
///   largest(v), total(v)        over the lanes, without NaN; the total is defined only if every order of addition
///                               gives the same
///   transpose(rows)             of a width x width tile
///   fold_rows(rows, f)          lane r is rows[r] reduced with f: its halves onto each other, then the halves of
///                               the result, ...
///   expand(bits, values)        optional: consecutive values at the bits that are set, zeros elsewhere; `width` values
///                               may be read
///   chains                      optional, where there is no instruction for fma: four vectors of chains of fma, with its
///                               bits if `exact` says so (fma_chains.hpp)
///
/// A lane type over double, for statistics, has the functions that products need: zero, broadcast, load, store,
/// load_part, store_part, fma and transpose, as well as load_floats.
///
/// Code lanes, for packed matrices (code_planes.hpp), have `floats`, the lane type over float, and `words`, a vector
/// with one 32-bit word of each of `rows` rows of a tile. Kernels process `tiles` tiles at a time, with `parts` vectors
/// of words in flight, times `columns` vectors of activations. Functions:
///   load                        adjacent words
///   load_streams(first, stride, bytes, count, w)    optional: w[i] holds bytes 4 i ... 4 i + 3 of each of `count` <=
///                               `rows` streams, `stride` apart, of which `bytes` <= 16 bytes and no others are read;
///                               what follows them is undefined. Requires bytes > 0, count > 0.
///   stream_reader               optional, with all rows in a vector: start(stride, bytes), then read(first, w) as
///                               load_streams, again and again
///   spread_codes<Bits>(w)       optional: byte j of every lane is the Bits bits from bit j * Bits on
///   digits<Right, Mask>(w)      (w >> Right) & Mask in every lane; a negative Right shifts to the left
///   merge<Right, Mask>(low, w)  the bits of Mask from digits(w), the others from low
///   broadcast_quad(x)           four signed bytes of at least -127, in every lane
///   products<Bits>(start)       a sum of products that starts from `start` (default 0): add(quad<K>, codes, quad of x)
///                               for K = 0 ... 7, then end_block(), once per block; sum() is exact for up to 128
///                               columns
///   loose_products<Bits>        optional: the same for words that hold the codes of the quad among others
///   held(w)                     optional: w, kept in a register
///   number<Bits, At>(w)         the Bits bits of every lane from bit At on, as a float; Bits <= 5, or 8 in a byte
///   add_levels, add_numbers     where the float lanes have `chains`: add the products of x and the values of four codes
///                               per lane, in a table or integers
///   small_float<Float, At>(w)   the same bits, decoded as a finite minifloat
///   look_up<Bits, J>(codes, table, step)    table[lane * step + byte J of the lane]. Requires bytes below 2^Bits, a
///                               step of 0 or at least 2^Bits, and 2^Bits readable floats.
///   nibbles(codes, table)       every byte, which is below 16, replaced by its entry in a table of sixteen bytes
///   e2m1_nibbles(codes)         optional: the same for the table of e2m1, faster
///   to_float                    each lane of a sum as float
///   signed_bytes(p)             optional: `floats::width` signed bytes as floats
///   load_floats, load_halves, load_bfloat16s    one stored value per lane, as `floats::vector`
///   widen_halves(p, to)         optional: 32 halves as floats, faster
///   zero_points<Bits>(stream, first)    codes first, first + 1, ... of the sixteen in a stream, as floats
///   zero_points<Bits>(two_words, first)    the same for a stream in two words; needed if `first` must be a multiple of 8
///   store_low_bytes(p, v)       the low byte of every lane's bits
///
/// Code lanes of more than one row also have, for encoding (precis/codec):
///   store_floats, store_halves  `floats::vector` rounded to what load_floats and load_halves read
///   store, all                  words to where `load` reads them; one integer in every lane
///   rounded(v)                  the nearest integers of floats below 2^31, ties to even
///   bytes_of(a, b, c, d, zeros, top)    integers of four rows, one column per lane, saturated to 16 bits, plus
///                               zeros[4 k] = ... = zeros[4 k + 3] for row k, clamped to 0 ... the byte in top: byte j
///                               of dword k of the i-th 16 bytes is column 4 i + j of row k
///   turn_quads(words)           transposes such words of all rows (the first four rows first) to words of columns 4 i
///                               ... 4 i + 3, one row per lane, i = 0 first; and back
///   spread<K>(w)                2^23 + the bytes of the K-th row of such words, one column per lane
///   store_past_caches(p, v)     a store that bypasses the caches if there is an instruction for it; p is aligned to
///                               the vector. finish_stores() is required before another thread reads.
#if PRECIS_AVX512F
using native_lanes = avx512_lanes;
using native_double_lanes = avx512_double_lanes;
#elif PRECIS_AVX2
using native_lanes = avx2_lanes;
using native_double_lanes = avx2_double_lanes;
#elif PRECIS_SSE2
using native_lanes = sse_lanes;
using native_double_lanes = scalar_double_lanes;
#elif defined(__ARM_NEON) && defined(__aarch64__)
using native_lanes = neon_lanes;
using native_double_lanes = neon_double_lanes;
#else
using native_lanes = scalar_lanes;
using native_double_lanes = scalar_double_lanes;
#endif

#if PRECIS_AVX512BW
using native_code_lanes = avx512_code_lanes;
#elif PRECIS_AVX2
using native_code_lanes = avx2_code_lanes;
#elif PRECIS_SSE2
using native_code_lanes = sse_code_lanes;
#elif defined(__ARM_NEON) && defined(__aarch64__) && !defined(__ARM_BIG_ENDIAN)
using native_code_lanes = neon_code_lanes;
#else
using native_code_lanes = scalar_code_lanes;
#endif

}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_LANES
