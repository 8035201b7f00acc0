#if !defined(PRECIS_KERNEL_LANES_AVX512)
#define PRECIS_KERNEL_LANES_AVX512

#include <precis/kernel/constants.hpp>

#if PRECIS_AVX512F

#include <precis/kernel/code_planes.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/minifloat.hpp>

#include <immintrin.h>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// 16 lanes, 32 registers.
struct avx512_lanes {
  using value = float;
  using vector = __m512;
  static constexpr std::size_t width = 16;
  static constexpr std::size_t registers = 32;

  [[nodiscard]] static vector zero() noexcept { return _mm512_setzero_ps(); }
  [[nodiscard]] static vector broadcast(const float* p) noexcept { return _mm512_set1_ps(*p); }
  [[nodiscard]] static vector load(const float* p) noexcept { return _mm512_loadu_ps(p); }
  [[nodiscard]] static vector load_part(const float* p, std::size_t n) noexcept {
    return _mm512_maskz_loadu_ps(first(n), p);
  }
  static void store(float* p, vector v) noexcept { _mm512_storeu_ps(p, v); }
  static void store_part(float* p, vector v, std::size_t n) noexcept { _mm512_mask_storeu_ps(p, first(n), v); }
  [[nodiscard]] static vector fma(vector a, vector b, vector c) noexcept { return _mm512_fmadd_ps(a, b, c); }
  [[nodiscard]] static vector all(float x) noexcept { return _mm512_set1_ps(x); }
  [[nodiscard]] static vector held(vector v) noexcept {
    asm("" : "+v"(v));
    return v;
  }
  [[nodiscard]] static vector add(vector a, vector b) noexcept { return a + b; }
  [[nodiscard]] static vector subtract(vector a, vector b) noexcept { return a - b; }
  [[nodiscard]] static vector multiply(vector a, vector b) noexcept { return a * b; }
  [[nodiscard]] static vector divide(vector a, vector b) noexcept { return a / b; }
  [[nodiscard]] static vector larger(vector a, vector b) noexcept { return _mm512_maskz_max_ps(every, a, b); }
  [[nodiscard]] static vector larger_size(vector a, vector b) noexcept {
    const __m512i size = _mm512_and_si512(_mm512_castps_si512(b), _mm512_set1_epi32(0x7fff'ffff));
    return _mm512_castsi512_ps(_mm512_maskz_max_epu32(every, _mm512_castps_si512(a), size));
  }
  [[nodiscard]] static vector smaller(vector a, vector b) noexcept { return _mm512_maskz_min_ps(every, a, b); }
  [[nodiscard]] static vector times_power_of_two(vector a, vector n) noexcept {
    return _mm512_maskz_scalef_ps(every, a, n);
  }
  [[nodiscard]] static vector exponent(vector a) noexcept { return _mm512_maskz_getexp_ps(every, a); }
  [[nodiscard]] static vector expand(unsigned bits, const float* values) noexcept {
    return _mm512_maskz_expand_ps(static_cast<__mmask16>(bits), load(values));
  }
  [[nodiscard]] static float largest(vector v) noexcept {
    return folded(v, [](auto a, auto b) PRECIS_INLINE_LAMBDA { return larger_of(a, b); });
  }
  [[nodiscard]] static float total(vector v) noexcept {
    return folded(v, [](auto a, auto b) PRECIS_INLINE_LAMBDA { return a + b; });
  }

  /// Transposes 4 x 4 inside every 128-bit quarter, then the quarters.
  static void transpose(vector (&r)[16]) noexcept {
    vector t[16];
    for (std::size_t i = 0; i < 16; i += 4) {
      const vector a = low(r[i], r[i + 1]), b = high(r[i], r[i + 1]);
      const vector c = low(r[i + 2], r[i + 3]), d = high(r[i + 2], r[i + 3]);
      t[i] = pairs<0x44>(a, c);
      t[i + 1] = pairs<0xee>(a, c);
      t[i + 2] = pairs<0x44>(b, d);
      t[i + 3] = pairs<0xee>(b, d);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      const vector a = quarters<0x44>(t[i], t[i + 4]), b = quarters<0xee>(t[i], t[i + 4]);
      const vector c = quarters<0x44>(t[i + 8], t[i + 12]), d = quarters<0xee>(t[i + 8], t[i + 12]);
      r[i] = quarters<0x88>(a, c);
      r[i + 4] = quarters<0xdd>(a, c);
      r[i + 8] = quarters<0x88>(b, d);
      r[i + 12] = quarters<0xdd>(b, d);
    }
  }

  /// Reduces two rows per vector: their halves onto each other, then the halves of the result, ...
  template<class F>
  [[nodiscard]] static vector fold_rows(vector (&r)[16], F&& f) noexcept {
    for (std::size_t first = 0; first < 16; first += 8)
      for (std::size_t i = first; i < first + 4; ++i)
        r[i] = f(quarters<0x44>(r[i], r[i + 4]), quarters<0xee>(r[i], r[i + 4]));
    for (std::size_t i = 0; i < 4; ++i) r[i] = f(quarters<0x88>(r[i], r[i + 8]), quarters<0xdd>(r[i], r[i + 8]));
    for (std::size_t i = 0; i < 4; i += 2) r[i] = f(pairs<0x44>(r[i], r[i + 1]), pairs<0xee>(r[i], r[i + 1]));
    return f(pairs<0x88>(r[0], r[2]), pairs<0xdd>(r[0], r[2]));
  }

 private:
  // A full mask for the zero-masked intrinsics: g++ 12 warns of an uninitialised variable inside the plain ones.
  static constexpr __mmask16 every = 0xffff;
  [[nodiscard]] static vector low(vector a, vector b) noexcept { return _mm512_maskz_unpacklo_ps(every, a, b); }
  [[nodiscard]] static vector high(vector a, vector b) noexcept { return _mm512_maskz_unpackhi_ps(every, a, b); }
  [[nodiscard]] static vector larger_of(vector a, vector b) noexcept { return larger(a, b); }
  [[nodiscard]] static __m128 larger_of(__m128 a, __m128 b) noexcept { return _mm_max_ps(a, b); }
  /// Reduces the halves onto each other, then the halves of the result, ...
  template<class F>
  [[nodiscard]] static float folded(vector v, F&& f) noexcept {
    v = f(v, quarters<0x4e>(v, v));
    v = f(v, quarters<0xb1>(v, v));
    __m128 quarter = _mm512_maskz_extractf32x4_ps(0xf, v, 0);
    quarter = f(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(f(quarter, _mm_shuffle_ps(quarter, quarter, 1)));
  }
  template<int Order>
  [[nodiscard]] static vector pairs(vector a, vector b) noexcept {
    return _mm512_maskz_shuffle_ps(every, a, b, Order);
  }
  template<int Order>
  [[nodiscard]] static vector quarters(vector a, vector b) noexcept {
    return _mm512_maskz_shuffle_f32x4(every, a, b, Order);
  }
  [[nodiscard]] static __mmask16 first(std::size_t n) noexcept { return static_cast<__mmask16>((1u << n) - 1u); }
};

/// 8 lanes of double, 32 registers.
struct avx512_double_lanes {
  using value = double;
  using vector = __m512d;
  static constexpr std::size_t width = 8;
  static constexpr std::size_t registers = 32;

  [[nodiscard]] static vector zero() noexcept { return _mm512_setzero_pd(); }
  [[nodiscard]] static vector broadcast(const double* p) noexcept { return _mm512_set1_pd(*p); }
  [[nodiscard]] static vector load(const double* p) noexcept { return _mm512_loadu_pd(p); }
  [[nodiscard]] static vector load_floats(const float* p) noexcept {
    return _mm512_maskz_cvtps_pd(every, _mm256_loadu_ps(p));
  }
  [[nodiscard]] static vector load_part(const double* p, std::size_t n) noexcept {
    return _mm512_maskz_loadu_pd(first(n), p);
  }
  static void store(double* p, vector v) noexcept { _mm512_storeu_pd(p, v); }
  static void store_part(double* p, vector v, std::size_t n) noexcept { _mm512_mask_storeu_pd(p, first(n), v); }
  [[nodiscard]] static vector fma(vector a, vector b, vector c) noexcept { return _mm512_fmadd_pd(a, b, c); }

  /// Transposes 2 x 2 inside every 128-bit quarter, then the quarters.
  static void transpose(vector (&r)[8]) noexcept {
    vector t[8];
    for (std::size_t i = 0; i < 8; i += 2) {
      t[i] = _mm512_maskz_unpacklo_pd(every, r[i], r[i + 1]);
      t[i + 1] = _mm512_maskz_unpackhi_pd(every, r[i], r[i + 1]);
    }
    for (std::size_t i = 0; i < 2; ++i) {
      const vector a = quarters<0x44>(t[i], t[i + 2]), b = quarters<0xee>(t[i], t[i + 2]);
      const vector c = quarters<0x44>(t[i + 4], t[i + 6]), d = quarters<0xee>(t[i + 4], t[i + 6]);
      r[i] = quarters<0x88>(a, c);
      r[i + 2] = quarters<0xdd>(a, c);
      r[i + 4] = quarters<0x88>(b, d);
      r[i + 6] = quarters<0xdd>(b, d);
    }
  }

 private:
  static constexpr __mmask8 every = 0xff;  // zero-masked forms, as above
  template<int Order>
  [[nodiscard]] static vector quarters(vector a, vector b) noexcept {
    return _mm512_maskz_shuffle_f64x2(every, a, b, Order);
  }
  [[nodiscard]] static __mmask8 first(std::size_t n) noexcept { return static_cast<__mmask8>((1u << n) - 1u); }
};

#if PRECIS_AVX512BW

/// Packed codes, 16 rows at a time.
struct avx512_code_lanes {
  using floats = avx512_lanes;
  using words = __m512i;
  static constexpr std::size_t rows = 16;
  static constexpr std::size_t tiles = 2;
  static constexpr std::size_t parts = 2;
  static constexpr std::size_t columns = 8;

  [[nodiscard]] static words load(const std::byte* p) noexcept { return _mm512_loadu_si512(p); }
  static void store(std::byte* p, words w) noexcept { _mm512_storeu_si512(p, w); }
  [[nodiscard]] static words held(words w) noexcept {
    asm("" : "+v"(w));
    return w;
  }
  [[nodiscard]] static words all(std::int32_t x) noexcept { return _mm512_set1_epi32(x); }
  [[nodiscard]] static words rounded(__m512 v) noexcept { return _mm512_maskz_cvtps_epi32(0xffff, v); }
  [[nodiscard]] static words bytes_of(words a, words b, words c, words d, const std::int16_t* zeros,
                                      words top) noexcept {
    const words first = _mm512_maskz_broadcast_i32x4(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(zeros)));
    const words last =
        _mm512_maskz_broadcast_i32x4(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(zeros + 8)));
    const words low = _mm512_adds_epi16(_mm512_packs_epi32(a, b), first);
    const words high = _mm512_adds_epi16(_mm512_packs_epi32(c, d), last);
    return _mm512_min_epu8(_mm512_packus_epi16(low, high), top);
  }
  template<std::size_t K>
  [[nodiscard]] static __m512 spread(words w) noexcept {
    constexpr int k = 4 * static_cast<int>(K);
    const words bytes = _mm512_maskz_broadcast_i32x4(0xffff, _mm_setr_epi32(k, k + 1, k + 2, k + 3));
    const words numbers = _mm512_mask_shuffle_epi8(_mm512_set1_epi32(0x4b00'0000), 0x1111'1111'1111'1111, w, bytes);
    return _mm512_castsi512_ps(numbers);
  }
  static void turn_quads(words (&w)[4]) noexcept {
    const words a = quarters<0x44>(w[0], w[1]), b = quarters<0xee>(w[0], w[1]);
    const words c = quarters<0x44>(w[2], w[3]), d = quarters<0xee>(w[2], w[3]);
    w[0] = quarters<0x88>(a, c);
    w[1] = quarters<0xdd>(a, c);
    w[2] = quarters<0x88>(b, d);
    w[3] = quarters<0xdd>(b, d);
  }
#if PRECIS_AVX512VBMI
  template<unsigned Bits>
  [[nodiscard]] static words spread_codes(words w) noexcept {
    constexpr std::uint64_t first = 0x0302'0100u * std::uint64_t{Bits};  // the bits at which the codes start
    const words from = _mm512_set1_epi64(static_cast<long long>((first + 0x2020'2020u) << 32 | first));
    const words bytes = _mm512_maskz_multishift_epi64_epi8(~std::uint64_t{0}, from, w);
    return _mm512_and_si512(bytes, _mm512_set1_epi8((1 << Bits) - 1));
  }
  /// Two vectors hold the streams of 16, 8 or 4 rows. One instruction collects the same four bytes of each.
  static void load_streams(const std::byte* first, std::size_t stride, std::size_t bytes, std::size_t count,
                           words (&w)[4]) noexcept {
    const std::byte* const end = first + ((count - 1) * stride + bytes);  // no byte from here on is read
    const auto part = [&](const std::byte* from) PRECIS_INLINE_LAMBDA {
      const std::ptrdiff_t left = end - from;
      return _mm512_maskz_loadu_epi8(left >= 64 ? ~std::uint64_t{0}
                                     : left > 0 ? (std::uint64_t{1} << left) - 1
                                                : 0,
                                     from);
    };
    const std::size_t held = stride <= 8 ? 16 : stride <= 16 ? 8 : 4;  // rows in two vectors
    const words lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const words row = _mm512_and_si512(lane, _mm512_set1_epi32(static_cast<int>(held) - 1));
    const words start = _mm512_mullo_epi32(row, _mm512_set1_epi32(static_cast<int>(stride) * 0x0101'0101));
    words at[4];
    for_constants<4>([&](auto i) PRECIS_INLINE_LAMBDA {
      at[i] = _mm512_add_epi32(start, _mm512_set1_epi32(0x0302'0100 + 0x0404'0404 * static_cast<int>(i)));
    });
    const words low = part(first), high = part(first + 64);
    for_constants<4>([&](auto i) PRECIS_INLINE_LAMBDA { w[i] = _mm512_permutex2var_epi8(low, at[i], high); });
    for (std::size_t r = held; r < count; r += held) {
      const words next = part(first + r * stride), after = part(first + r * stride + 64);
      const auto lanes = static_cast<__mmask16>(0xffffu << r);
      for_constants<4>([&](auto i) PRECIS_INLINE_LAMBDA {
        w[i] = _mm512_mask_mov_epi32(w[i], lanes, _mm512_permutex2var_epi8(next, at[i], after));
      });
    }
  }
  /// The same for sixteen streams at one distance, again and again.
  class stream_reader {
   public:
    void start(std::size_t stride, std::size_t bytes) noexcept {
      stride_ = stride;
      const words lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
      const words row = _mm512_and_si512(lane, _mm512_set1_epi32(stride <= 8 ? 15 : 7));
      const words start = _mm512_mullo_epi32(row, _mm512_set1_epi32(static_cast<int>(stride) * 0x0101'0101));
      for_constants<4>([&](auto i) PRECIS_INLINE_LAMBDA {
        at_[i] = _mm512_add_epi32(start, _mm512_set1_epi32(0x0302'0100 + 0x0404'0404 * static_cast<int>(i)));
      });
      const auto first = [](std::size_t n) { return n >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1; };
      const std::size_t size = stride <= 8 ? 15 * stride + bytes : stride <= 16 ? 7 * stride + bytes : bytes;
      there_[0] = first(size);  // of the last streams: no byte after them is read
      there_[1] = size > 64 ? first(size - 64) : 0;
    }
    PRECIS_INLINE void read(const std::byte* first, words (&w)[4]) const noexcept {
      if (stride_ > 16) {  // 16 bytes of each stream, transposed: stream 4 q + i is quarter q of v[i]
        words v[4];
        for_constants<16>([&](auto r) PRECIS_INLINE_LAMBDA {
          const auto* const from = reinterpret_cast<const __m128i*>(first + r * stride_);
          const __m128i stream =
              r < 15 ? _mm_loadu_si128(from) : _mm_maskz_loadu_epi8(static_cast<__mmask16>(there_[0]), from);
          v[r % 4] = r < 4 ? _mm512_castsi128_si512(stream)
                           : _mm512_mask_broadcast_i32x4(v[r % 4], static_cast<__mmask16>(0xfu << r / 4 * 4), stream);
        });
        turn_words(v, w);
        return;
      }
      const auto part = [&](std::uint64_t there, const std::byte* from)
                            PRECIS_INLINE_LAMBDA { return _mm512_maskz_loadu_epi8(there, from); };
      if (stride_ <= 8) {
        const words low = part(there_[0], first), high = part(there_[1], first + 64);
        for_constants<4>([&](auto i) PRECIS_INLINE_LAMBDA { w[i] = _mm512_permutex2var_epi8(low, at_[i], high); });
        return;
      }
      const std::byte* const half = first + 8 * stride_;
      const words low = _mm512_loadu_si512(first), high = _mm512_loadu_si512(first + 64);
      const words next = part(there_[0], half), after = part(there_[1], half + 64);
      for_constants<4>([&](auto i) PRECIS_INLINE_LAMBDA {
        w[i] = _mm512_mask_mov_epi32(_mm512_permutex2var_epi8(low, at_[i], high), 0xff00,
                                     _mm512_permutex2var_epi8(next, at_[i], after));
      });
    }

   private:
    words at_[4] = {};
    std::uint64_t there_[2] = {};  // which bytes of the last vectors exist
    std::size_t stride_ = 0;
  };
#else
  static void load_streams(const std::byte* first, std::size_t stride, std::size_t bytes, std::size_t count,
                           words (&w)[4]) noexcept {
    // Quarter q of v[i] is stream 4 q + i. Loads are masked: bytes that do not exist are not read.
    words v[4];
    const auto read = [&](std::size_t i, std::size_t q, std::uint64_t there) PRECIS_INLINE_LAMBDA {
      const auto from = reinterpret_cast<std::uintptr_t>(first + (4 * q + i) * stride) - 16 * q;
      v[i] = _mm512_mask_loadu_epi8(
          q == 0 ? _mm512_setzero_si512() : v[i], there << 16 * q,
          reinterpret_cast<const void*>(from));  // NOLINT(performance-no-int-to-ptr): may lie before the buffer
    };
    const std::uint64_t all = (std::uint64_t{1} << bytes) - 1;
    if (count >= rows) {
      for_constants<16>([&](auto r) PRECIS_INLINE_LAMBDA { read(r % 4, r / 4, all); });
    } else {
      for (std::size_t q = 0; q < 4; ++q)
        for (std::size_t i = 0; i < 4; ++i) read(i, q, 4 * q + i < count ? all : 0);
    }
    turn_words(v, w);
  }
#endif
  template<int Right, std::uint32_t Mask>
  [[nodiscard]] static words digits(words w) noexcept {
    if constexpr (Mask == ~0u) return shift<Right>(w);
    return _mm512_and_si512(shift<Right>(w), _mm512_set1_epi32(static_cast<int>(Mask)));
  }
  template<int Right, std::uint32_t Mask>
  [[nodiscard]] static words merge(words low, words w) noexcept {  // mask ? w : low
    return _mm512_ternarylogic_epi32(low, shift<Right>(w), _mm512_set1_epi32(static_cast<int>(Mask)), 0xd8);
  }
  [[nodiscard]] static words broadcast_quad(const std::int8_t* x) noexcept {
    int quad;
    __builtin_memcpy(&quad, x, 4);
    return _mm512_set1_epi32(quad);
  }
#if PRECIS_AVX512VNNI
  template<unsigned Bits>
  struct products {
    words even_quads, odd_quads = _mm512_setzero_si512();  // two chains hide the latency of five cycles
    explicit products(std::int32_t start = 0) noexcept : even_quads(_mm512_set1_epi32(start)) {}
    template<std::size_t K>
    void add(quad<K>, words codes, words x) noexcept {
      words& sum = K % 2 == 0 ? even_quads : odd_quads;
#if defined(__clang__)
      sum = _mm512_dpbusd_epi32(sum, codes, x);
#else  // with the intrinsic, g++ 12 copies every sum to another register and back, at half the speed
      asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(codes), "v"(x));
#endif
    }
    void end_block() noexcept {}
    [[nodiscard]] words sum() const noexcept { return _mm512_add_epi32(even_quads, odd_quads); }
  };
  /// Codes in the upper halves of bytes stay there: they are multiplied by 16 rather than shifted.
  template<unsigned Bits>
    requires(Bits == 4)
  struct loose_products {
    products<8> sums;
    template<std::size_t K>
    void add(quad<K>, words w, words x) noexcept {
      sums.add(quad<K>{}, digits<0, K % 2 == 0 ? 0x0F0F'0F0Fu : 0xF0F0'F0F0u>(w), x);
    }
    void end_block() noexcept {}
    [[nodiscard]] words sum() const noexcept {
      return _mm512_add_epi32(sums.even_quads, _mm512_maskz_srai_epi32(0xffff, sums.odd_quads, 4));
    }
  };
#else
  /// Sums of pairs have 16 bits: eight of them fit if codes are below 16, so wider codes are split into two nibbles.
  template<unsigned Bits>
  struct products {
    words total, low = _mm512_setzero_si512(), high = low;
    explicit products(std::int32_t start = 0) noexcept : total(_mm512_set1_epi32(start)) {}
    template<std::size_t K>
    void add(quad<K>, words codes, words x) noexcept {
      const words nibbles = Bits <= 4 ? codes : digits<0, 0x0F0F'0F0F>(codes);
      low = _mm512_add_epi16(low, _mm512_maddubs_epi16(nibbles, x));
      if constexpr (Bits > 4) high = _mm512_add_epi16(high, _mm512_maddubs_epi16(digits<4, 0x0F0F'0F0F>(codes), x));
    }
    void end_block() noexcept {
      const words ones = _mm512_set1_epi16(1);
      total = _mm512_add_epi32(total, _mm512_madd_epi16(low, ones));
      low = _mm512_setzero_si512();
      if constexpr (Bits > 4) {
        total = _mm512_add_epi32(total, shift<-4>(_mm512_madd_epi16(high, ones)));
        high = _mm512_setzero_si512();
      }
    }
    [[nodiscard]] words sum() const noexcept { return total; }
  };
#endif
  [[nodiscard]] static __m512 to_float(words w) noexcept { return _mm512_maskz_cvtepi32_ps(0xffff, w); }
  [[nodiscard]] static __m512 signed_bytes(const std::int8_t* p) noexcept {
    return to_float(_mm512_maskz_cvtepi8_epi32(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  /// Codes of up to 5 bits take a permutation, whose index has four or five bits. Two adjacent 2-bit codes share one
  /// shift.
  template<unsigned Bits, unsigned At>
  [[nodiscard]] static __m512 number(words w) noexcept {
    constexpr int at = static_cast<int>(At);
    if constexpr (Bits <= 4) {
      constexpr unsigned low = Bits == 2 ? At % 4 : 0;
      return _mm512_maskz_permutexvar_ps(0xffff, shift<at - static_cast<int>(low)>(w),
                                         _mm512_loadu_ps(fields<Bits, low>.data()));
    } else if constexpr (Bits == 5) {
      const float* const table = fields<Bits, 0>.data();
      return _mm512_permutex2var_ps(_mm512_loadu_ps(table), shift<at>(w), _mm512_loadu_ps(table + 16));
    } else if constexpr (At == 8 || At == 16) {  // one instruction instead of two
      return to_float(_mm512_shuffle_epi8(w, _mm512_maskz_broadcast_i32x4(0xffff, byte_of_words<At / 8>())));
    } else {
      constexpr std::uint32_t mask = At == 24 ? ~0u : 0xffu;
      return to_float(digits<at, mask>(w));
    }
  }
  /// Floats of 8 bits are the upper halves of floats: columns 0 and 2, and 1 and 3, of all rows are decoded at once. What
  /// the calls for the columns of one word have in common, the compiler computes once.
  template<class Float, unsigned At>
  [[nodiscard]] PRECIS_INLINE static __m512 small_float(words codes) noexcept {
    if constexpr (Float::bits <=
                  4) {  // the permutation's index has four bits; decode ignores those the float does not have
      return _mm512_maskz_permutexvar_ps(0xffff, shift<static_cast<int>(At)>(codes),
                                         _mm512_loadu_ps(detail::sixteen_values<Float>.data()));
    } else {
      static_assert(Float::bits == 8, "precis: code lanes decode floats of 4 and 8 bits");
      const words halves = upper_halves<Float, At % 16 / 8>(codes);
      return _mm512_castsi512_ps(At < 16 ? shift<-16>(halves) : digits<0, 0xFFFF'0000u>(halves));
    }
  }
  template<unsigned Bits, std::size_t J>
  [[nodiscard]] PRECIS_INLINE static __m512 look_up(words codes, const float* table, std::size_t step) noexcept {
    const words at = digits<8 * static_cast<int>(J), 0xFF>(codes);
    if constexpr (Bits <= 4) {
      constexpr auto there = static_cast<__mmask16>((1u << (1u << Bits)) - 1u);
      if (step == 0) return _mm512_maskz_permutexvar_ps(0xffff, at, _mm512_maskz_loadu_ps(there, table));
    }
    const words lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const words first = _mm512_mullo_epi32(lane, _mm512_set1_epi32(static_cast<int>(step)));
    return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), 0xffff, _mm512_add_epi32(at, first), table, 4);
  }
  [[nodiscard]] static words nibbles(words codes, const std::uint8_t* table) noexcept {
    const __m128i sixteen = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm512_shuffle_epi8(_mm512_maskz_broadcast_i32x4(0xffff, sixteen), codes);
  }
  [[nodiscard]] static __m512 load_floats(const std::byte* p) noexcept { return _mm512_loadu_ps(p); }
  [[nodiscard]] static __m512 load_halves(const std::byte* p) noexcept {
    return _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static void store_floats(std::byte* p, __m512 v) noexcept { _mm512_storeu_ps(p, v); }
  static void store_halves(std::byte* p, __m512 v) noexcept {
    const __m256i halves = _mm512_maskz_cvtps_ph(0xffff, v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), halves);
  }
  [[nodiscard]] static __m512 load_bfloat16s(const std::byte* p) noexcept {
    const words wide = _mm512_maskz_cvtepu16_epi32(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return _mm512_castsi512_ps(shift<-16>(wide));
  }
  /// The two bytes that hold each code are gathered and shifted down.
  template<unsigned Bits>
  [[nodiscard]] static __m512 zero_points(const std::byte* run, std::size_t) noexcept {
    constexpr __mmask64 there = (1u << 2 * Bits) - 1u;  // a load of fewer bytes would pass through memory
    const words all = _mm512_maskz_loadu_epi8(there, run);
    return zero_points<Bits>(quarters<0>(all, all));
  }
  template<unsigned Bits>
  [[nodiscard]] static __m512 zero_points(two_words run, std::size_t) noexcept {
    const __m128i all = _mm_set_epi64x(static_cast<long long>(run.high), static_cast<long long>(run.low));
    return zero_points<Bits>(_mm512_maskz_broadcast_i32x4(0xffff, all));
  }
  static void store_past_caches(float* p, __m512 v) noexcept { _mm512_stream_ps(p, v); }
  static void finish_stores() noexcept { _mm_sfence(); }
  static void store_low_bytes(std::int8_t* p, __m512 v) noexcept {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_maskz_cvtepi32_epi8(0xffff, _mm512_castps_si512(v)));
  }

 private:
  template<int Order>
  [[nodiscard]] static words quarters(words a, words b) noexcept {
    return _mm512_maskz_shuffle_i32x4(0xffff, a, b, Order);
  }
  /// The first sixteen codes of a stream that is in every quarter.
  template<unsigned Bits>
  [[nodiscard]] static __m512 zero_points(words run) noexcept {
    const words held = _mm512_shuffle_epi8(run, _mm512_loadu_si512(stream<Bits>.bytes.data()));
    const words down = _mm512_maskz_srlv_epi32(0xffff, held, _mm512_loadu_si512(stream<Bits>.shifts.data()));
    return to_float(_mm512_and_si512(down, _mm512_set1_epi32((1 << Bits) - 1)));
  }
  /// Byte J of every word, zero-extended.
  template<int J>
  [[nodiscard]] static __m128i byte_of_words() noexcept {
    constexpr int zeros = static_cast<int>(0x8080'8000u);
    return _mm_setr_epi32(zeros + J, zeros + J + 4, zeros + J + 8, zeros + J + 12);
  }
  /// w[j] holds word j of each quarter of v: that of quarter q of v[i] is word 4 q + i.
  PRECIS_INLINE static void turn_words(const words (&v)[4], words (&w)[4]) noexcept {
    const words a = _mm512_maskz_unpacklo_epi32(0xffff, v[0], v[1]),
                b = _mm512_maskz_unpacklo_epi32(0xffff, v[2], v[3]);
    const words c = _mm512_maskz_unpackhi_epi32(0xffff, v[0], v[1]),
                d = _mm512_maskz_unpackhi_epi32(0xffff, v[2], v[3]);
    w[0] = _mm512_maskz_unpacklo_epi64(0xff, a, b);
    w[1] = _mm512_maskz_unpackhi_epi64(0xff, a, b);
    w[2] = _mm512_maskz_unpacklo_epi64(0xff, c, d);
    w[3] = _mm512_maskz_unpackhi_epi64(0xff, c, d);
  }
  template<int Right>
  [[nodiscard]] static words shift(words w) noexcept {
    if constexpr (Right > 0) return _mm512_maskz_srli_epi32(0xffff, w, Right);
    if constexpr (Right < 0) return _mm512_maskz_slli_epi32(0xffff, w, -Right);
    return w;
  }
#if PRECIS_AVX512VBMI
  /// The upper halves of the floats that bytes Odd and Odd + 2 encode, from tables of both of their bytes.
  template<class Float, unsigned Odd>
  [[nodiscard]] PRECIS_INLINE static words upper_halves(words codes) noexcept {
    const auto look_up = [&](const std::array<std::uint8_t, 128>& table) PRECIS_INLINE_LAMBDA {
      return _mm512_permutex2var_epi8(_mm512_loadu_si512(table.data()), codes, _mm512_loadu_si512(table.data() + 64));
    };
    const words low = look_up(half_bytes<Float, 16>);
    const words high = merge<0, 0x8080'8080u>(look_up(half_bytes<Float, 24>), codes);  // with the sign
    if constexpr (Odd == 0) return merge<-8, 0xFF00'FF00u>(low, high);
    return merge<8, 0x00FF'00FFu>(high, low);
  }
  /// Bits First ... First + 7 of the floats of all magnitudes.
  template<class Float, unsigned First>
  static constexpr auto half_bytes = [] {
    std::array<std::uint8_t, 128> all{};
    for (unsigned c = 0; c < all.size(); ++c)
      all[c] = static_cast<std::uint8_t>(
          std::bit_cast<std::uint32_t>(Float::decode(static_cast<std::uint8_t>(c))) >> First & 0xFFu);
    return all;
  }();
#else
  /// The upper halves of the floats that bytes Odd and Odd + 2 encode. Exponent and fraction of a normal number move to
  /// their positions; subnormal numbers come from a table.
  template<class Float, unsigned Odd>
  [[nodiscard]] PRECIS_INLINE static words upper_halves(words codes) noexcept {
    constexpr unsigned up = 7 - Float::mantissa;
    constexpr __mmask32 every = 0xffff'ffffu;
    const words code = Odd == 0 ? codes : _mm512_maskz_srli_epi16(every, codes, 8);
    const words moved =
        Odd == 0 ? _mm512_maskz_slli_epi16(every, codes, up) : _mm512_maskz_srli_epi16(every, codes, 8 - up);
    const words magnitude = _mm512_and_si512(moved, _mm512_set1_epi16(Float::all_ones << up));
    const words normal = _mm512_add_epi16(magnitude, _mm512_set1_epi16((127 - Float::bias) << 7));
    const __mmask32 small = _mm512_testn_epi16_mask(magnitude, _mm512_set1_epi16(0x7F80));
    const words value =
        _mm512_mask_permutexvar_epi16(normal, small, code, _mm512_loadu_si512(subnormal_halves<Float>.data()));
    return merge<0, 0x8000'8000u>(value, Odd == 0 ? _mm512_maskz_slli_epi16(every, codes, 8) : codes);
  }
  template<class Float>
  static constexpr auto subnormal_halves = [] {
    std::array<std::uint16_t, 32> all{};
    for (unsigned c = 0; c < 1u << Float::mantissa; ++c)
      all[c] =
          static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(Float::decode(static_cast<std::uint8_t>(c))) >> 16);
    return all;
  }();
#endif
  /// The value of the Bits bits of an index from bit Low on.
  template<unsigned Bits, unsigned Low>
  static constexpr auto fields = [] {
    std::array<float, std::size_t{Bits <= 4 ? 16 : 32}> all{};
    for (unsigned i = 0; i < all.size(); ++i) all[i] = static_cast<float>(i >> Low & ((1u << Bits) - 1u));
    return all;
  }();
  template<unsigned Bits>
  struct stream_places {
    std::array<std::uint8_t, 64> bytes{};
    std::array<std::uint32_t, 16> shifts{};
    constexpr stream_places() noexcept {
      for (std::size_t lane = 0; lane < 16; ++lane) {
        const std::size_t first = lane * Bits / 8;
        bytes[4 * lane] = static_cast<std::uint8_t>(first);
        bytes[4 * lane + 1] = static_cast<std::uint8_t>(first + 1 < std::size_t{2} * Bits ? first + 1 : 0x80);
        bytes[4 * lane + 2] = bytes[4 * lane + 3] = 0x80;  // zero
        shifts[lane] = static_cast<std::uint32_t>(lane * Bits % 8);
      }
    }
  };
  template<unsigned Bits>
  static constexpr stream_places<Bits> stream{};
};

#endif

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif

#endif  // PRECIS_KERNEL_LANES_AVX512
