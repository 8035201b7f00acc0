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
/// n < width elements; the others are neither read nor written, and load as 0), all (one value everywhere), held(v) = v, loaded
/// once (g++ 12 reads memory again for every use instead of keeping what it loaded in a register), add, subtract, multiply,
/// divide, fma(a, b, c) = a*b + c rounded once, larger(a, b) = a > b ? a : b, smaller(a, b) = a < b ? a : b
/// (so a NaN in b stays), larger_size(a, b) = the larger of a >= 0 and |b| (a NaN stays),
/// times_power_of_two(a, n) = a * 2^n for whole -252 <= n <= 254 and |a| near 1, or where a 2^n is no further from 1 than a,
/// rounded once, exponent(a) = the whole n with 2^n <= a < 2^(n+1) for normal a > 0,
/// largest(v) and total(v) over the lanes (no NaN; the total is defined only where every order gives the same),
/// transpose of a width x width tile, and fold_rows(rows, f): lane r is all of rows[r] brought together by f, its halves
/// onto each other, then the halves of that, .... Loads and stores need no alignment. `value` names float. Lanes with an
/// instruction for it offer expand(bits, values): the values one after another at the set bits, zeros elsewhere; `width` of
/// them may be read.
///
/// Lane types over double, for statistics, offer what products need: zero, broadcast, load, store, load_part, store_part,
/// fma and transpose; and load_floats.
///
/// Code lanes, for packed matrices (grid_format.hpp), hold one 32-bit word of each of `rows` rows of a tile; kernels take
/// `tiles` tiles at once and have `together` such vectors in flight, times `columns` vectors of activations. They offer:
///   load                        the words that lie side by side from p on
///   digits<Right, Mask>(w)      (w >> Right) & Mask in every lane; negative: shifted to the left
///   merge<Right, Mask>(low, w)  digits(w) where Mask is, elsewhere low
///   four(x)                     four signed bytes of at least -127, in every lane
///   products<Bits>(start)       a sum of products, from `start` or 0 on: add(quad<K>, codes, four) for K = 0 ... 7, then end_block(),
///                               again for other blocks; sum() is exact for up to 128 columns
///   number<Bits, At>(w)         the Bits bits of every lane from bit At on, as a float; Bits <= 5, or 8 in a byte
///   small_float<Float, At>(w)   likewise, as the value of a finite minifloat
///   look_up<Bits, J>(codes, table, step)    table[lane * step + byte J of the lane], given that it is below 2^Bits; step is 0 or
///                               at least 2^Bits, and 2^Bits floats can be read there
///   nibbles(codes, table)       every byte, below 16, replaced by that one of sixteen
///   to_float                    a lane of such sums as float
///   load_floats, load_halves, load_bfloat16s    one stored number a lane, as `floats::vector`
///   zero_points<Bits>(run, first)    codes first, first + 1, ... of the sixteen of a stream that starts at run, as floats
///   store_low_bytes(p, v)       the low byte of every lane's bits
///
/// Those of more than one row also have, for codec/tiles.hpp:
///   store_floats, store_halves  `floats::vector` to where load_floats and load_halves have it from, rounded
///   store, all                  where `load` has words from; one whole number everywhere
///   rounded(v)                  whole numbers nearest to floats of less than 2^31, ties to even
///   bytes_of(a, b, c, d, zeros, top)    whole numbers of four rows, a column a lane, brought to 16 bits, plus zeros[4 k] =
///                               ... = zeros[4 k + 3] for row k, cut to 0 ... a byte of top: byte j of dword k of the i-th 16
///                               bytes is column 4 i + j of row k
///   turn_quads(words)           such words of all rows, the first four rows first, to words of columns 4 i ... 4 i + 3, a row a
///                               lane, i = 0 first; and back
///   spread<K>(w)                2^23 + the bytes of the K-th row of such words, a column a lane
///   store_past_caches(p, v)     v to p, a multiple of its bytes, past the caches where there is an instruction for it;
///                               finish_stores() before another thread reads it
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

#if defined(__AVX512BW__)
using native_code_lanes = avx512_code_lanes;
#elif defined(__AVX2__) && defined(__FMA__)
using native_code_lanes = avx2_code_lanes;
#elif defined(__ARM_NEON) && defined(__aarch64__) && !defined(__ARM_BIG_ENDIAN)
using native_code_lanes = neon_code_lanes;
#else
using native_code_lanes = scalar_code_lanes;
#endif

}  // namespace precis::kernel
