#if !defined(PRECIS_KERNEL_LANES_SSE)
#define PRECIS_KERNEL_LANES_SSE

#include <precis/kernel/constants.hpp>

#if PRECIS_SSE2

#include <precis/kernel/code_planes.hpp>
#include <precis/kernel/half.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/minifloat.hpp>

#include <tmmintrin.h>  // not immintrin.h, which takes as long to compile as all that a kernel includes beside it

#include <cstddef>
#include <cstdint>

namespace precis::kernel {
PRECIS_IEEE_BEGIN

namespace detail {

/// mask ? a : b, bit by bit.
[[nodiscard]] PRECIS_INLINE __m128i select(__m128i mask, __m128i a, __m128i b) noexcept {
  return _mm_or_si128(_mm_and_si128(mask, a), _mm_andnot_si128(mask, b));
}

}  // namespace detail

/// 4 lanes, 16 registers: the instructions of every 64-bit x86 processor.
struct sse_lanes {
  using value = float;
  using vector = __m128;
  static constexpr std::size_t width = 4;
  static constexpr std::size_t registers = 16;

  [[nodiscard]] static vector zero() noexcept { return _mm_setzero_ps(); }
  [[nodiscard]] static vector broadcast(const float* p) noexcept { return _mm_load1_ps(p); }
  [[nodiscard]] static vector load(const float* p) noexcept { return _mm_loadu_ps(p); }
  [[nodiscard]] static vector load_part(const float* p, std::size_t n) noexcept {
    float values[4] = {};
    for (std::size_t i = 0; i < n; ++i) values[i] = p[i];
    return load(values);
  }
  static void store(float* p, vector v) noexcept { _mm_storeu_ps(p, v); }
  static void store_part(float* p, vector v, std::size_t n) noexcept {
    float values[4];
    store(values, v);
    for (std::size_t i = 0; i < n; ++i) p[i] = values[i];
  }
  /// In double, the product is exact and the sum is rounded once. Rounding it again, to float, gives another result than
  /// one rounding only if the sum lies halfway between two floats, or below the smallest normal float. Then a sum that is
  /// not exact is rounded to the neighbour whose last bit is odd, which rounds to the same float as the sum itself.
  /// Source    Boldo and Melquiond 2008, doi:10.1109/TC.2007.70819, theorem 2.
  [[nodiscard]] PRECIS_INLINE static vector fma(vector a, vector b, vector c) noexcept {
    const __m128d low_product = _mm_mul_pd(_mm_cvtps_pd(a), _mm_cvtps_pd(b)), low_c = _mm_cvtps_pd(c);
    const __m128d high_product = _mm_mul_pd(upper(a), upper(b)), high_c = upper(c);
    __m128d low = _mm_add_pd(low_product, low_c), high = _mm_add_pd(high_product, high_c);
    vector sum = _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
    const __m128i cut = _mm_castps_si128(_mm_shuffle_ps(_mm_castpd_ps(low), _mm_castpd_ps(high), 0x88));
    const __m128i half = _mm_cmpeq_epi32(_mm_slli_epi32(cut, 3), _mm_set1_epi32(static_cast<int>(0x8000'0000u)));
    const __m128i size = _mm_add_epi32(_mm_slli_epi32(_mm_castps_si128(sum), 1), _mm_set1_epi32(-1));
    const __m128i tiny = _mm_cmpeq_epi32(_mm_srli_epi32(size, 24), _mm_setzero_si128());
    if (__builtin_expect(_mm_movemask_epi8(_mm_or_si128(half, tiny)) != 0, 0)) {
      low = odd_sum(low_product, low_c, low);
      high = odd_sum(high_product, high_c, high);
      sum = _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
    }
    return sum;
  }
  [[nodiscard]] static vector all(float x) noexcept { return _mm_set1_ps(x); }
  [[nodiscard]] static vector held(vector v) noexcept {
    asm("" : "+x"(v));
    return v;
  }
  [[nodiscard]] static vector add(vector a, vector b) noexcept { return _mm_add_ps(a, b); }
  [[nodiscard]] static vector subtract(vector a, vector b) noexcept { return _mm_sub_ps(a, b); }
  [[nodiscard]] static vector multiply(vector a, vector b) noexcept { return _mm_mul_ps(a, b); }
  [[nodiscard]] static vector divide(vector a, vector b) noexcept { return _mm_div_ps(a, b); }
  [[nodiscard]] static vector larger(vector a, vector b) noexcept { return _mm_max_ps(a, b); }
  [[nodiscard]] static vector larger_size(vector a, vector b) noexcept {
    const __m128i old = _mm_castps_si128(a), size = _mm_and_si128(_mm_castps_si128(b), _mm_set1_epi32(0x7fff'ffff));
    return _mm_castsi128_ps(detail::select(_mm_cmpgt_epi32(old, size), old, size));
  }
  [[nodiscard]] static vector smaller(vector a, vector b) noexcept { return _mm_min_ps(a, b); }
  [[nodiscard]] static vector times_power_of_two(vector a, vector n) noexcept {
    const __m128i power = _mm_cvtps_epi32(n), half = _mm_srai_epi32(power, 1);
    return _mm_mul_ps(_mm_mul_ps(a, factor(half)), factor(_mm_sub_epi32(power, half)));
  }
  [[nodiscard]] static vector exponent(vector a) noexcept {
    return _mm_cvtepi32_ps(_mm_sub_epi32(_mm_srli_epi32(_mm_castps_si128(a), 23), _mm_set1_epi32(127)));
  }
  [[nodiscard]] static float largest(vector v) noexcept {
    return folded(v, [](vector a, vector b) PRECIS_INLINE_LAMBDA { return _mm_max_ps(a, b); });
  }
  [[nodiscard]] static float total(vector v) noexcept {
    return folded(v, [](vector a, vector b) PRECIS_INLINE_LAMBDA { return _mm_add_ps(a, b); });
  }
  static void transpose(vector (&r)[4]) noexcept {
    const vector a = _mm_unpacklo_ps(r[0], r[1]), b = _mm_unpackhi_ps(r[0], r[1]);
    const vector c = _mm_unpacklo_ps(r[2], r[3]), d = _mm_unpackhi_ps(r[2], r[3]);
    r[0] = _mm_movelh_ps(a, c);
    r[1] = _mm_movehl_ps(c, a);
    r[2] = _mm_movelh_ps(b, d);
    r[3] = _mm_movehl_ps(d, b);
  }
  /// Reduces two rows per vector: their halves onto each other, then the halves of the result.
  template<class F>
  [[nodiscard]] static vector fold_rows(vector (&r)[4], F&& f) noexcept {
    for (std::size_t i = 0; i < 4; i += 2)
      r[i] = f(_mm_shuffle_ps(r[i], r[i + 1], 0x44), _mm_shuffle_ps(r[i], r[i + 1], 0xee));
    return f(_mm_shuffle_ps(r[0], r[2], 0x88), _mm_shuffle_ps(r[0], r[2], 0xdd));
  }

 private:
  [[nodiscard]] PRECIS_INLINE static __m128d upper(vector v) noexcept { return _mm_cvtps_pd(_mm_movehl_ps(v, v)); }
  /// a + b rounded to odd, from the rounded sum: one unit towards the error if there is one and the last bit is even.
  [[nodiscard]] PRECIS_INLINE static __m128d odd_sum(__m128d a, __m128d b, __m128d sum) noexcept {
    const __m128d of_b = _mm_sub_pd(sum, a);
    const __m128d error = _mm_add_pd(_mm_sub_pd(a, _mm_sub_pd(sum, of_b)), _mm_sub_pd(b, of_b)),
                  zero = _mm_setzero_pd();
    const __m128i inexact = _mm_castpd_si128(_mm_or_pd(_mm_cmplt_pd(error, zero), _mm_cmpgt_pd(error, zero)));
    const __m128i even = _mm_andnot_si128(_mm_castpd_si128(sum), _mm_set1_epi64x(1));
    const __m128i signs = _mm_srai_epi32(_mm_castpd_si128(_mm_xor_pd(error, sum)), 31);
    const __m128i smaller = _mm_shuffle_epi32(signs, 0xf5);  // all ones: the error has the other sign
    const __m128i unit = _mm_sub_epi64(_mm_xor_si128(_mm_and_si128(even, inexact), smaller), smaller);
    return _mm_castsi128_pd(_mm_add_epi64(_mm_castpd_si128(sum), unit));
  }
  template<class F>
  [[nodiscard]] static float folded(vector v, F&& f) noexcept {
    v = f(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(f(v, _mm_shuffle_ps(v, v, 1)));
  }
  /// 2^power, for -126 <= power <= 127.
  [[nodiscard]] static vector factor(__m128i power) noexcept {
    return _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(power, _mm_set1_epi32(127)), 23));
  }
};

/// Packed codes, 4 rows at a time.
struct sse_code_lanes {
  using floats = sse_lanes;
  using words = __m128i;
  static constexpr std::size_t rows = 4;
  static constexpr std::size_t tiles = 1;
  static constexpr std::size_t parts = 4;
  static constexpr std::size_t columns = 2;

  [[nodiscard]] static words load(const std::byte* p) noexcept {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
  static void store(std::byte* p, words w) noexcept { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), w); }
  [[nodiscard]] static words all(std::int32_t x) noexcept { return _mm_set1_epi32(x); }
  [[nodiscard]] static words rounded(__m128 v) noexcept { return _mm_cvtps_epi32(v); }
  [[nodiscard]] static words bytes_of(words a, words b, words c, words d, const std::int16_t* zeros,
                                      words top) noexcept {
    const words first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(zeros));
    const words last = _mm_loadu_si128(reinterpret_cast<const __m128i*>(zeros + 8));
    const words low = _mm_adds_epi16(_mm_packs_epi32(a, b), first);
    const words high = _mm_adds_epi16(_mm_packs_epi32(c, d), last);
    return _mm_min_epu8(_mm_packus_epi16(low, high), top);
  }
  template<std::size_t K>
  [[nodiscard]] static __m128 spread(words w) noexcept {
    const words halves = _mm_unpacklo_epi8(_mm_srli_si128(w, 4 * static_cast<int>(K)), _mm_setzero_si128());
    return _mm_castsi128_ps(_mm_unpacklo_epi16(halves, _mm_set1_epi16(0x4b00)));
  }
  static void turn_quads(words (&)[1]) noexcept {}
  template<int Right, std::uint32_t Mask>
  [[nodiscard]] static words digits(words w) noexcept {
    if constexpr (Mask == ~0u) return shift<Right>(w);
    return _mm_and_si128(shift<Right>(w), _mm_set1_epi32(static_cast<int>(Mask)));
  }
  template<int Right, std::uint32_t Mask>
  [[nodiscard]] static words merge(words low, words w) noexcept {
    return _mm_or_si128(digits<0, ~Mask>(low), digits<Right, Mask>(w));
  }
#if PRECIS_SSSE3
  [[nodiscard]] static words broadcast_quad(const std::int8_t* x) noexcept {
    int quad;
    __builtin_memcpy(&quad, x, 4);
    return _mm_set1_epi32(quad);
  }
  /// Sums of pairs have 16 bits: eight of them fit if codes are below 16, so wider codes are split into two nibbles.
  template<unsigned Bits>
  struct products {
    words total, low = _mm_setzero_si128(), high = low;
    explicit products(std::int32_t start = 0) noexcept : total(_mm_set1_epi32(start)) {}
    template<std::size_t K>
    void add(quad<K>, words codes, words x) noexcept {
      const words nibbles = Bits <= 4 ? codes : digits<0, 0x0F0F'0F0F>(codes);
      low = _mm_add_epi16(low, _mm_maddubs_epi16(nibbles, x));
      if constexpr (Bits > 4) high = _mm_add_epi16(high, _mm_maddubs_epi16(digits<4, 0x0F0F'0F0F>(codes), x));
    }
    void end_block() noexcept {
      const words ones = _mm_set1_epi16(1);
      total = _mm_add_epi32(total, _mm_madd_epi16(low, ones));
      low = _mm_setzero_si128();
      if constexpr (Bits > 4) {
        total = _mm_add_epi32(total, shift<-4>(_mm_madd_epi16(high, ones)));
        high = _mm_setzero_si128();
      }
    }
    [[nodiscard]] words sum() const noexcept { return total; }
  };
#else
  /// The even and the odd ones of four bytes, as 16-bit numbers.
  struct quad_of_halves {
    words even, odd;
  };
  [[nodiscard]] static quad_of_halves broadcast_quad(const std::int8_t* x) noexcept {
    int bytes;
    __builtin_memcpy(&bytes, x, 4);
    const words quad = _mm_set1_epi32(bytes);
    return {_mm_srai_epi16(_mm_slli_epi16(quad, 8), 8), _mm_srai_epi16(quad, 8)};
  }
  template<unsigned Bits>
  struct products {
    words total;
    explicit products(std::int32_t start = 0) noexcept : total(_mm_set1_epi32(start)) {}
    template<std::size_t K>
    void add(quad<K>, words codes, quad_of_halves x) noexcept {
      const words even = _mm_madd_epi16(digits<0, 0x00FF'00FF>(codes), x.even);
      total = _mm_add_epi32(total, _mm_add_epi32(even, _mm_madd_epi16(_mm_srli_epi16(codes, 8), x.odd)));
    }
    void end_block() noexcept {}
    [[nodiscard]] words sum() const noexcept { return total; }
  };
#endif
  /// Sums of products of numbers of few bits and floats, each rounded to float as by fma, three times as fast: every
  /// element of x is a multiple of a unit, and so are the products and the sums, which have at most 52 bits if the elements
  /// are not of too different sizes. So a sum is exact in double, and the difference s + 2^29 s - 2^29 s is s rounded to 24
  /// bits, ties to even.
  struct float_sums {
    __m128d low = _mm_setzero_pd(), high = _mm_setzero_pd();

    /// Stores each of the `count` elements of x twice, a multiple of four. Returns whether up to 32 products with numbers
    /// that are multiples of a unit below 2^bits units can be summed.
    [[nodiscard]] static bool prepare(const float* x, std::size_t count, unsigned bits, double* twice) noexcept {
      words largest = _mm_setzero_si128(), smallest = _mm_set1_epi32(0x7fff);  // the upper halves of |x|, without zeros
      for (std::size_t c = 0; c < count; c += 4) {
        const __m128 four = _mm_loadu_ps(x + c);
        const words size = _mm_and_si128(_mm_castps_si128(four), _mm_set1_epi32(0x7fff'ffff));
        const words none = _mm_srli_epi32(_mm_cmpeq_epi32(size, _mm_setzero_si128()), 17),
                    half = _mm_srli_epi32(size, 16);
        largest = _mm_max_epi16(largest, half);
        smallest = _mm_min_epi16(smallest, _mm_or_si128(half, none));
        const __m128d front = _mm_cvtps_pd(four), back = _mm_cvtps_pd(_mm_movehl_ps(four, four));
        _mm_storeu_pd(twice + 2 * c, _mm_unpacklo_pd(front, front));
        _mm_storeu_pd(twice + 2 * c + 2, _mm_unpackhi_pd(front, front));
        _mm_storeu_pd(twice + 2 * c + 4, _mm_unpacklo_pd(back, back));
        _mm_storeu_pd(twice + 2 * c + 6, _mm_unpackhi_pd(back, back));
      }
      std::int32_t large[4], small[4];
      store(reinterpret_cast<std::byte*>(large), largest);
      store(reinterpret_cast<std::byte*>(small), smallest);
      std::int32_t top = 0, bottom = 0x7fff;
      for (std::size_t i = 0; i < 4; ++i) {
        top = large[i] > top ? large[i] : top;
        bottom = small[i] < bottom ? small[i] : bottom;
      }
      const std::int32_t most = top >> 7, least = bottom >> 7;  // biased exponents; 255 and 0 if all elements are zero
      return least > 60 && most < 200 && most - least + static_cast<std::int32_t>(bits) <= 22;
    }
    PRECIS_INLINE void add(__m128d a, __m128d b, const double* x) noexcept {
      const __m128d v = _mm_loadu_pd(x);
      low = rounded(_mm_add_pd(_mm_mul_pd(a, v), low));
      high = rounded(_mm_add_pd(_mm_mul_pd(b, v), high));
    }
    PRECIS_INLINE void add(__m128 number, const double* x) noexcept {
      add(_mm_cvtps_pd(number), _mm_cvtps_pd(_mm_movehl_ps(number, number)), x);
    }
    /// The same for the Bits bits of every lane from bit At on: below the exponent of 2^52 they are a double.
    template<unsigned Bits, unsigned At>
    PRECIS_INLINE void add_number(words codes, const double* x) noexcept {
      const words number = digits<static_cast<int>(At), At + Bits == 32 ? ~0u : (1u << Bits) - 1u>(codes);
      const words exponent = _mm_set1_epi32(0x4330'0000);
      const __m128d zero = _mm_set1_pd(0x1p52);
      add(_mm_sub_pd(_mm_castsi128_pd(_mm_unpacklo_epi32(number, exponent)), zero),
          _mm_sub_pd(_mm_castsi128_pd(_mm_unpackhi_epi32(number, exponent)), zero), x);
    }
    [[nodiscard]] __m128 sum() const noexcept { return _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high)); }

   private:
    [[nodiscard]] PRECIS_INLINE static __m128d rounded(__m128d s) noexcept {
      const __m128d large = _mm_mul_pd(s, _mm_set1_pd(0x1p29));
      return _mm_sub_pd(_mm_add_pd(s, large), large);
    }
  };
  [[nodiscard]] static __m128 to_float(words w) noexcept { return _mm_cvtepi32_ps(w); }
  template<unsigned Bits, unsigned At>
  [[nodiscard]] static __m128 number(words w) noexcept {
    return to_float(digits<static_cast<int>(At), At + Bits == 32 ? ~0u : (1u << Bits) - 1u>(w));
  }
  /// Moves exponent and fraction to their positions in a float; for subnormal numbers, the implicit one is subtracted
  /// again.
  template<class Float, unsigned At>
  [[nodiscard]] static __m128 small_float(words codes) noexcept {
    if constexpr (!requires { Float::mantissa; }) {  // no exponent and fraction
      return gathered(digits<static_cast<int>(At), 15>(codes), detail::sixteen_values<Float>.data(), 0);
    } else {
      constexpr int at = static_cast<int>(At), up = 23 - static_cast<int>(Float::mantissa);
      constexpr std::uint32_t bits = static_cast<std::uint32_t>(Float::all_ones) << up;
      const words magnitude = digits<at - up, bits>(codes);
      const words normal = _mm_add_epi32(magnitude, _mm_set1_epi32((127 - Float::bias) << 23));
      const words twice = _mm_add_epi32(magnitude, _mm_set1_epi32((128 - Float::bias) << 23));
      const words small = _mm_cmpgt_epi32(_mm_set1_epi32(1 << 23), magnitude);
      const __m128 least = _mm_castsi128_ps(_mm_set1_epi32((128 - Float::bias) << 23));
      const words rest = _mm_castps_si128(_mm_sub_ps(_mm_castsi128_ps(twice), least));
      constexpr int sign = at + static_cast<int>(Float::bits) - 32;
      return _mm_castsi128_ps(merge<sign, 0x8000'0000u>(detail::select(small, rest, normal), codes));
    }
  }
  template<unsigned Bits, std::size_t J>
  [[nodiscard]] static __m128 look_up(words codes, const float* table, std::size_t step) noexcept {
    return gathered(digits<8 * static_cast<int>(J), 0xFF>(codes), table, step);
  }
  [[nodiscard]] static words nibbles(words codes, const std::uint8_t* table) noexcept {
#if PRECIS_SSSE3
    return _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)), codes);
#else
    words found = _mm_setzero_si128();
    for (int i = 0; i < 16; ++i) {
      const words here = _mm_cmpeq_epi8(codes, _mm_set1_epi8(static_cast<char>(i)));
      found = _mm_or_si128(found, _mm_and_si128(here, _mm_set1_epi8(static_cast<char>(table[i]))));
    }
    return found;
#endif
  }
  [[nodiscard]] static __m128 load_floats(const std::byte* p) noexcept {
    return _mm_loadu_ps(reinterpret_cast<const float*>(p));
  }
  /// As half_to_float, in lanes.
  [[nodiscard]] PRECIS_INLINE static __m128 load_halves(const std::byte* p) noexcept {
    const words half = _mm_unpacklo_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)), _mm_setzero_si128());
    const words magnitude = shift<-13>(_mm_and_si128(half, _mm_set1_epi32(0x7fff)));
    words value = _mm_add_epi32(magnitude, _mm_set1_epi32(112 << 23));
    // Exponents of 0 and 31, compared as signed numbers from the most negative one on.
    const words first = _mm_add_epi32(magnitude, _mm_set1_epi32(static_cast<int>(0x8000'0000u - (1u << 23))));
    const words other = _mm_cmpgt_epi32(first, _mm_set1_epi32(static_cast<int>(0x8000'0000u + (30u << 23) - 1u)));
    if (__builtin_expect(_mm_movemask_epi8(other) != 0, 0)) value = any_half(magnitude);
    return _mm_castsi128_ps(_mm_or_si128(value, shift<-16>(_mm_and_si128(half, _mm_set1_epi32(0x8000)))));
  }
  static void store_floats(std::byte* p, __m128 v) noexcept { store(p, _mm_castps_si128(v)); }
  static void store_halves(std::byte* p, __m128 v) noexcept {
    std::uint16_t halves[4];
    float values[4];
    _mm_storeu_ps(values, v);
    for (std::size_t i = 0; i < 4; ++i) halves[i] = float_to_half(values[i]);
    __builtin_memcpy(p, halves, 8);
  }
  [[nodiscard]] static __m128 load_bfloat16s(const std::byte* p) noexcept {
    return _mm_castsi128_ps(
        _mm_unpacklo_epi16(_mm_setzero_si128(), _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  template<unsigned Bits>
  [[nodiscard]] static __m128 zero_points(const std::byte* run, std::size_t first) noexcept {
    const auto code = [&](std::size_t i)
                          PRECIS_INLINE_LAMBDA { return static_cast<int>(code_at<Bits>(run, first + i)); };
    return to_float(_mm_setr_epi32(code(0), code(1), code(2), code(3)));
  }
  static void store_past_caches(float* p, __m128 v) noexcept { _mm_stream_ps(p, v); }
  static void finish_stores() noexcept { _mm_sfence(); }
  static void store_low_bytes(std::int8_t* p, __m128 v) noexcept {
    const words low = _mm_and_si128(_mm_castps_si128(v), _mm_set1_epi32(0xFF)), halves = _mm_packs_epi32(low, low);
    const int bytes = _mm_cvtsi128_si32(_mm_packus_epi16(halves, halves));
    __builtin_memcpy(p, &bytes, 4);
  }

 private:
  /// Any non-negative half, from its bits << 13. A subnormal one is the difference of two normal floats.
  [[nodiscard]] PRECIS_INLINE static words any_half(words magnitude) noexcept {
    const words special = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32((31 << 23) - 1));
    const words fraction = _mm_and_si128(magnitude, _mm_set1_epi32(0x7f'ffff));
    const words nan = _mm_andnot_si128(_mm_cmpeq_epi32(fraction, _mm_setzero_si128()), special);
    words normal = _mm_add_epi32(magnitude, _mm_set1_epi32(112 << 23));
    normal = _mm_add_epi32(normal, _mm_and_si128(special, _mm_set1_epi32(112 << 23)));
    normal = _mm_or_si128(normal, _mm_and_si128(nan, _mm_set1_epi32(0x0040'0000)));
    const words least = _mm_set1_epi32(113 << 23), small = _mm_cmpgt_epi32(_mm_set1_epi32(1 << 23), magnitude);
    const __m128 subnormal = _mm_sub_ps(_mm_castsi128_ps(_mm_add_epi32(magnitude, least)), _mm_castsi128_ps(least));
    return detail::select(small, _mm_castps_si128(subnormal), normal);
  }
  /// table[lane * step + the lane's index].
  [[nodiscard]] static __m128 gathered(words indices, const float* table, std::size_t step) noexcept {
    const auto at = [&](int index) PRECIS_INLINE_LAMBDA { return static_cast<std::size_t>(index); };
    const auto low = at(_mm_cvtsi128_si32(indices)), second = at(_mm_extract_epi16(indices, 2));
    const auto third = at(_mm_extract_epi16(indices, 4)), high = at(_mm_extract_epi16(indices, 6));
    return _mm_setr_ps(table[low], table[step + second], table[2 * step + third], table[3 * step + high]);
  }
  template<int Right>
  [[nodiscard]] static words shift(words w) noexcept {
    if constexpr (Right > 0) return _mm_srli_epi32(w, Right);
    if constexpr (Right < 0) return _mm_slli_epi32(w, -Right);
    return w;
  }
};

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif

#endif  // PRECIS_KERNEL_LANES_SSE
