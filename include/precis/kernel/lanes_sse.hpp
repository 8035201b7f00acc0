#if !defined(PRECIS_KERNEL_LANES_SSE)
#define PRECIS_KERNEL_LANES_SSE

#include <precis/kernel/constants.hpp>

#if PRECIS_SSE2

#include <precis/kernel/code_planes.hpp>
#include <precis/kernel/half.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/minifloat.hpp>

#include <tmmintrin.h>  // not immintrin.h, which takes as long to compile as all that a kernel includes beside it

#include <array>
#include <cstddef>
#include <cstdint>

namespace precis::kernel {
PRECIS_IEEE_BEGIN

namespace detail {

/// mask ? a : b, bit by bit.
[[nodiscard]] PRECIS_INLINE __m128i select(__m128i mask, __m128i a, __m128i b) noexcept {
  return _mm_or_si128(_mm_and_si128(mask, a), _mm_andnot_si128(mask, b));
}

/// For each set of four bits: how many bits below bit i are set, and a mask that is all ones if bit i is.
inline constexpr auto places_of_bits = [] {
  std::array<std::array<std::uint32_t, 8>, 16> all{};
  for (std::uint32_t bits = 0; bits < 16; ++bits)
    for (std::uint32_t i = 0, set = 0; i < 4; ++i) {
      all[bits][i] = set;
      all[bits][4 + i] = (bits >> i & 1u) != 0 ? ~0u : 0u;
      set += bits >> i & 1u;
    }
  return all;
}();

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
    const __m128d low = _mm_add_pd(low_product, low_c), high = _mm_add_pd(high_product, high_c);
    const vector sum = _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
    const __m128i cut = _mm_castps_si128(_mm_shuffle_ps(_mm_castpd_ps(low), _mm_castpd_ps(high), 0x88));
    const __m128i half = _mm_cmpeq_epi32(_mm_slli_epi32(cut, 3), _mm_set1_epi32(static_cast<int>(0x8000'0000u)));
    const __m128i size = _mm_add_epi32(_mm_slli_epi32(_mm_castps_si128(sum), 1), _mm_set1_epi32(-1));
    const __m128i tiny = _mm_cmpeq_epi32(_mm_srli_epi32(size, 24), _mm_setzero_si128());
    if (__builtin_expect(_mm_movemask_epi8(_mm_or_si128(half, tiny)) != 0, 0))
      return corrected_sums(low_product, low_c, high_product, high_c);
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
  [[nodiscard]] static vector expand(unsigned bits, const float* values) noexcept {
    const std::uint32_t* const from = detail::places_of_bits[bits].data();
    const vector all = _mm_setr_ps(values[0], values[from[1]], values[from[2]], values[from[3]]);
    return _mm_and_ps(all, load(reinterpret_cast<const float*>(from + 4)));
  }
  /// Four vectors of chains of fma, in half its time: the sums stay in double, and are rounded to float after every
  /// product. Whether a sum may have needed the correction that `fma` makes is asked once, after all products. Rounding a
  /// sum to double and then to float gives another result than one rounding only
  ///     - if it then lies halfway between two floats (a tie) or below the smallest normal one (tiny);
  ///     - if the weight has at most four significant bits, only if the sum before is not zero and below 2^-52 times the
  ///       product, or the result is tiny. Else, of the sum before and the product, the larger one is a multiple of 1/16 of
  ///       the unit in which a float of the result's size counts, and the smaller one fits as well or is below 1/4 of it.
  /// So the sums are checked for ties, for ties and tiny results, or for small sums, or (mixed) for small ones and, where
  /// the weight has more than 21 significant bits, for ties; or not at all, if they are known to fit in double.
  /// Where ties are frequent, because weights have few bits, but more than four, sums are corrected at once.
  enum chain_check : std::uint8_t { none, ties, ties_and_tiny, small, mixed, corrected };
  template<chain_check Check>
  struct chains {
    __m128d low[4], high[4];
    __m128i tied[4], least = _mm_set1_epi32(0x7fff'ffff);

    PRECIS_INLINE chains() noexcept {
      for_constants<4>([&](auto v) PRECIS_INLINE_LAMBDA {
        low[v] = high[v] = _mm_setzero_pd();
        tied[v] = _mm_setzero_si128();
      });
    }
    PRECIS_INLINE chains(const float* sums, std::size_t step) noexcept {
      for_constants<4>([&](auto v) PRECIS_INLINE_LAMBDA {
        const vector sum = load(sums + v * step);
        low[v] = _mm_cvtps_pd(sum);
        high[v] = upper(sum);
        tied[v] = _mm_setzero_si128();
      });
    }
    template<std::size_t V>
    PRECIS_INLINE void add(__m128d a, __m128d b, __m128d x, __m128d y) noexcept {
      const __m128d p = _mm_mul_pd(a, x), q = _mm_mul_pd(b, y);
      __m128d s = _mm_add_pd(p, low[V]), t = _mm_add_pd(q, high[V]);
      if constexpr (Check == corrected) {
        const __m128i cut = _mm_slli_epi32(words<0x88>(s, t), 3), top = words<0xdd>(s, t);
        const __m128i tie = _mm_cmpeq_epi32(cut, _mm_set1_epi32(static_cast<int>(0x8000'0000u)));
        const __m128i size = _mm_add_epi32(_mm_add_epi32(top, top), _mm_set1_epi32(0x7fff'ffff));
        const __m128i tiny =
            _mm_cmpgt_epi32(_mm_set1_epi32(static_cast<int>(((1023u - 125u) << 21) + 0x8000'0000u)), size);
        if (__builtin_expect(_mm_movemask_epi8(_mm_or_si128(tie, tiny)) != 0, 0)) {
          s = odd_sum(p, low[V], s);
          t = odd_sum(q, high[V], t);
        }
      } else if constexpr (Check != none && Check != small) {
        __m128i cut = _mm_slli_epi32(words<0x88>(s, t), 3);
        if constexpr (Check == mixed) cut = _mm_or_si128(cut, _mm_cmpeq_epi32(words<0x88>(a, b), _mm_setzero_si128()));
        tied[V] = _mm_min_epi16(tied[V], cut);
      }
      if constexpr (Check == ties_and_tiny || Check == small || Check == mixed) {
        const __m128i top = words<0xdd>(s, t);
        least = _mm_min_epi16(least, _mm_add_epi32(_mm_add_epi32(top, top), _mm_set1_epi32(0x7fff'ffff)));
      }
      low[V] = _mm_cvtps_pd(_mm_cvtpd_ps(s));
      high[V] = _mm_cvtps_pd(_mm_cvtpd_ps(t));
    }
    template<std::size_t V>
    PRECIS_INLINE void add(vector w, const float* x) noexcept {
      const vector v = load(x);
      add<V>(_mm_cvtps_pd(w), upper(w), _mm_cvtps_pd(v), upper(v));
    }
    template<std::size_t V, bool Same>
    PRECIS_INLINE void add(vector w, const double* x) noexcept {
      const __m128d v = _mm_loadu_pd(x);
      add<V>(_mm_cvtps_pd(w), upper(w), v, Same ? v : _mm_loadu_pd(x + 2));
    }
    /// Whether all sums of all vectors, or of vector V, have the bits of fma, if the products are below 2^exponent.
    [[nodiscard]] PRECIS_INLINE bool exact(int exponent) const noexcept {
      const __m128i some = _mm_min_epi16(_mm_min_epi16(tied[0], tied[1]), _mm_min_epi16(tied[2], tied[3]));
      return Check == none || Check == corrected || (not_small(exponent) && no_tie(some));
    }
    template<std::size_t V>
    [[nodiscard]] PRECIS_INLINE bool exact(int exponent) const noexcept {
      return Check == none || Check == corrected || (not_small(exponent) && no_tie(tied[V]));
    }
    template<std::size_t V>
    [[nodiscard]] PRECIS_INLINE vector sum() const noexcept {
      return _mm_movelh_ps(_mm_cvtpd_ps(low[V]), _mm_cvtpd_ps(high[V]));
    }

   private:
    // The upper halves of what was compared decide.
    [[nodiscard]] PRECIS_INLINE static bool no_tie(__m128i smallest) noexcept {
      return (_mm_movemask_epi8(_mm_cmpeq_epi16(smallest, _mm_set1_epi16(-0x8000))) & 0xcccc) == 0;
    }
    [[nodiscard]] PRECIS_INLINE bool not_small(int exponent) const noexcept {
      const int smallest = Check == ties_and_tiny || exponent < -75 ? -125 : exponent - 50;
      const auto limit = static_cast<short>(((smallest + 1023) << 5) - 0x8000);
      return (_mm_movemask_epi8(_mm_cmpgt_epi16(_mm_set1_epi16(limit), least)) & 0xcccc) == 0;
    }
    template<int Select>
    [[nodiscard]] PRECIS_INLINE static __m128i words(__m128d a, __m128d b) noexcept {
      return _mm_castps_si128(_mm_shuffle_ps(_mm_castpd_ps(a), _mm_castpd_ps(b), Select));
    }
  };
  /// The exponents of the smallest and the largest element that is not zero; 128 and -127 if there is none.
  struct exponents {
    int least = 0, most = 0;
  };
  [[nodiscard]] static exponents exponents_of(const float* x, std::size_t count) noexcept {
    __m128i largest = _mm_setzero_si128(), smallest = _mm_set1_epi32(0x7fff);  // the upper halves of |x|, without zeros
    for (std::size_t c = 0; c < count; c += 4) {
      const __m128 four = count - c < 4 ? load_part(x + c, count - c) : load(x + c);
      const __m128i size = _mm_and_si128(_mm_castps_si128(four), _mm_set1_epi32(0x7fff'ffff));
      const __m128i zero = _mm_srli_epi32(_mm_cmpeq_epi32(size, _mm_setzero_si128()), 17),
                    half = _mm_srli_epi32(size, 16);
      largest = _mm_max_epi16(largest, half);
      smallest = _mm_min_epi16(smallest, _mm_or_si128(half, zero));
    }
    std::int32_t large[4], least[4];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(large), largest);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(least), smallest);
    std::int32_t top = 0, bottom = 0x7fff;
    for (std::size_t i = 0; i < 4; ++i) {
      top = large[i] > top ? large[i] : top;
      bottom = least[i] < bottom ? least[i] : bottom;
    }
    return {(bottom >> 7) - 127, (top >> 7) - 127};
  }
  /// Stores each of the `count` elements of x, an even number, twice.
  static void store_twice(const float* x, std::size_t count, double* twice) noexcept {
    for (std::size_t c = 0; c < count; c += 2) {
      const __m128d v = two(x + c);
      _mm_storeu_pd(twice + 2 * c, _mm_unpacklo_pd(v, v));
      _mm_storeu_pd(twice + 2 * c + 2, _mm_unpackhi_pd(v, v));
    }
  }
  static void store_doubles(const float* x, std::size_t count, double* to) noexcept {
    for (std::size_t c = 0; c < count; c += 2) _mm_storeu_pd(to + c, two(x + c));
  }
  /// Four floats that are stored as such or as doubles; if Same, one that is stored twice.
  template<bool Same>
  [[nodiscard]] PRECIS_INLINE static vector four(const float* p) noexcept {
    return load(p);
  }
  template<bool Same>
  [[nodiscard]] PRECIS_INLINE static vector four(const double* p) noexcept {
    return _mm_movelh_ps(_mm_cvtpd_ps(_mm_loadu_pd(p)), _mm_cvtpd_ps(_mm_loadu_pd(Same ? p : p + 2)));
  }
  /// Two numbers as doubles: neighbours, or any two.
  [[nodiscard]] PRECIS_INLINE static __m128d two(const float* p) noexcept {
    return _mm_cvtps_pd(_mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  [[nodiscard]] PRECIS_INLINE static __m128d two(const double* p) noexcept { return _mm_loadu_pd(p); }
  [[nodiscard]] PRECIS_INLINE static __m128d two(const float* a, const float* b) noexcept {
    return _mm_cvtps_pd(_mm_unpacklo_ps(_mm_load_ss(a), _mm_load_ss(b)));
  }
  [[nodiscard]] PRECIS_INLINE static __m128d two(const double* a, const double* b) noexcept {
    return _mm_loadh_pd(_mm_load_sd(a), b);
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
  /// The sums of fma where one needs the correction: rare, and most of its code, so it is not compiled where fma is inlined.
  [[nodiscard, gnu::noinline, gnu::cold]] static vector corrected_sums(__m128d low_product, __m128d low_c,
                                                                       __m128d high_product, __m128d high_c) noexcept {
    const __m128d low = odd_sum(low_product, low_c, _mm_add_pd(low_product, low_c));
    const __m128d high = odd_sum(high_product, high_c, _mm_add_pd(high_product, high_c));
    return _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
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
  /// Adds the products of x and the values in a table of the four codes of each lane, which are bytes, or bytes in memory.
  template<floats::chain_check Check, class T>
  PRECIS_INLINE static void add_levels(floats::chains<Check>& sums, words codes, const T* table, std::size_t step,
                                       const double* x) noexcept {
    const auto low = static_cast<std::uint64_t>(_mm_cvtsi128_si64(codes)),
               high = static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(codes, codes)));
    for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA {
      const __m128d v = _mm_loadu_pd(x + 2 * j);
      sums.template add<j>(
          floats::two(table + (low >> 8 * j & 0xffu), table + step + (low >> (8 * j + 32) & 0xffu)),
          floats::two(table + 2 * step + (high >> 8 * j & 0xffu), table + 3 * step + (high >> (8 * j + 32) & 0xffu)), v,
          v);
    });
  }
  template<floats::chain_check Check, class T>
  PRECIS_INLINE static void add_levels(floats::chains<Check>& sums, const std::byte* codes, const T* table,
                                       std::size_t step, const double* x) noexcept {
    for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA {
      const auto at = [&](std::size_t r) PRECIS_INLINE_LAMBDA {
        return table + r * step + std::to_integer<std::size_t>(codes[4 * r + j]);
      };
      const __m128d v = _mm_loadu_pd(x + 2 * j);
      sums.template add<j>(floats::two(at(0), at(1)), floats::two(at(2), at(3)), v, v);
    });
  }
  /// The same for codes that represent integers.
  template<unsigned Bits, floats::chain_check Check>
  PRECIS_INLINE static void add_numbers(floats::chains<Check>& sums, words codes, const double* x) noexcept {
    for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA {
      const words number = digits<8 * static_cast<int>(decltype(j)::value), (1u << Bits) - 1u>(codes);
      const __m128d v = _mm_loadu_pd(x + 2 * j);
      sums.template add<j>(_mm_cvtepi32_pd(number), _mm_cvtepi32_pd(_mm_unpackhi_epi64(number, number)), v, v);
    });
  }
#if !PRECIS_SSSE3
  /// nibbles for e2m1: 2 * value + 12. The magnitudes 0 ... 7 represent 0, 1, 2, 3, 4, 6, 8 and 12 halves.
  [[nodiscard]] static words e2m1_nibbles(words codes) noexcept {
    const words magnitude = _mm_and_si128(codes, _mm_set1_epi8(7)), negative = _mm_cmpgt_epi8(codes, _mm_set1_epi8(7));
    const auto above = [&](char least) PRECIS_INLINE_LAMBDA { return _mm_cmpgt_epi8(magnitude, _mm_set1_epi8(least)); };
    const words three = _mm_and_si128(above(6), _mm_set1_epi8(3));
    const words halves = _mm_add_epi8(_mm_sub_epi8(_mm_sub_epi8(magnitude, above(4)), above(5)), three);
    return _mm_add_epi8(_mm_sub_epi8(_mm_xor_si128(halves, negative), negative), _mm_set1_epi8(12));
  }
#endif
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
  /// Stores 32 halves as floats.
  template<class = void>
  static void widen_halves(const std::byte* p, float* to) noexcept {
    const words zero = _mm_setzero_si128();
    words largest = zero, subnormal = zero;
    for_constants<4>([&](auto i) PRECIS_INLINE_LAMBDA {
      const words half = load(p + 16 * i), magnitude = _mm_and_si128(half, _mm_set1_epi16(0x7fff));
      const words normal = _mm_cmpgt_epi16(magnitude, _mm_set1_epi16(0x03ff));
      largest = _mm_max_epi16(largest, magnitude);
      subnormal = _mm_or_si128(subnormal, _mm_andnot_si128(normal, magnitude));
      const words high = _mm_add_epi16(_mm_and_si128(_mm_srai_epi16(half, 3), _mm_set1_epi16(-0x7001)),
                                       _mm_and_si128(normal, _mm_set1_epi16(0x3800)));
      const words low = _mm_slli_epi16(half, 13);
      _mm_storeu_ps(to + 8 * i, _mm_castsi128_ps(_mm_unpacklo_epi16(low, high)));
      _mm_storeu_ps(to + 8 * i + 4, _mm_castsi128_ps(_mm_unpackhi_epi16(low, high)));
    });
    const words special = _mm_cmpgt_epi16(largest, _mm_set1_epi16(0x7bff));
    if (__builtin_expect(_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_or_si128(special, subnormal), zero)) != 0xffff, 0))
      for (std::size_t i = 0; i < 32; i += 4) _mm_storeu_ps(to + i, load_halves(p + 2 * i));
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
