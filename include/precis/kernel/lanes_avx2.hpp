#if !defined(PRECIS_KERNEL_LANES_AVX2)
#define PRECIS_KERNEL_LANES_AVX2

#include <precis/kernel/constants.hpp>

#if PRECIS_AVX2

#include <precis/kernel/code_planes.hpp>
#include <precis/kernel/half.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/minifloat.hpp>

#include <immintrin.h>
#include <array>
#include <cstddef>
#include <cstdint>

namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// 8 lanes, 16 registers.
struct avx2_lanes {
  using value = float;
  using vector = __m256;
  static constexpr std::size_t width = 8;
  static constexpr std::size_t registers = 16;

  [[nodiscard]] static vector zero() noexcept { return _mm256_setzero_ps(); }
  [[nodiscard]] static vector broadcast(const float* p) noexcept { return _mm256_broadcast_ss(p); }
  [[nodiscard]] static vector load(const float* p) noexcept { return _mm256_loadu_ps(p); }
  [[nodiscard]] static vector load_part(const float* p, std::size_t n) noexcept {
    return _mm256_maskload_ps(p, first(n));
  }
  static void store(float* p, vector v) noexcept { _mm256_storeu_ps(p, v); }
  static void store_part(float* p, vector v, std::size_t n) noexcept { _mm256_maskstore_ps(p, first(n), v); }
  [[nodiscard]] static vector fma(vector a, vector b, vector c) noexcept { return _mm256_fmadd_ps(a, b, c); }
  [[nodiscard]] static vector all(float x) noexcept { return _mm256_set1_ps(x); }
  [[nodiscard]] static vector held(vector v) noexcept {
    asm("" : "+x"(v));
    return v;
  }
  [[nodiscard]] static vector add(vector a, vector b) noexcept { return a + b; }
  [[nodiscard]] static vector subtract(vector a, vector b) noexcept { return a - b; }
  [[nodiscard]] static vector multiply(vector a, vector b) noexcept { return a * b; }
  [[nodiscard]] static vector divide(vector a, vector b) noexcept { return a / b; }
  [[nodiscard]] static vector larger(vector a, vector b) noexcept { return _mm256_max_ps(a, b); }
  [[nodiscard]] static vector larger_size(vector a, vector b) noexcept {
    const __m256i size = _mm256_and_si256(_mm256_castps_si256(b), _mm256_set1_epi32(0x7fff'ffff));
    return _mm256_castsi256_ps(_mm256_max_epu32(_mm256_castps_si256(a), size));
  }
  [[nodiscard]] static vector smaller(vector a, vector b) noexcept { return _mm256_min_ps(a, b); }
  [[nodiscard]] static vector times_power_of_two(vector a, vector n) noexcept {
    const __m256i power = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(power, 1);
    return a * factor(half) * factor(_mm256_sub_epi32(power, half));
  }
  [[nodiscard]] static vector exponent(vector a) noexcept {
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(_mm256_castps_si256(a), 23), _mm256_set1_epi32(127)));
  }
  [[nodiscard]] static vector expand(unsigned bits, const float* values) noexcept {
    const auto* const from = reinterpret_cast<const __m128i*>(value_of_lane[bits].data());
    const __m256i lane = _mm256_cvtepi8_epi32(_mm_loadl_epi64(from));
    const vector moved = _mm256_permutevar8x32_ps(load(values), lane);
    return _mm256_andnot_ps(_mm256_castsi256_ps(_mm256_srai_epi32(lane, 31)), moved);
  }
  [[nodiscard]] static float largest(vector v) noexcept {
    return folded(v, [](__m128 a, __m128 b) PRECIS_INLINE_LAMBDA { return _mm_max_ps(a, b); });
  }
  [[nodiscard]] static float total(vector v) noexcept {
    return folded(v, [](__m128 a, __m128 b) PRECIS_INLINE_LAMBDA { return a + b; });
  }

  /// Transposes 4 x 4 inside both 128-bit halves, then exchanges the halves.
  static void transpose(vector (&r)[8]) noexcept {
    vector t[8];
    for (std::size_t i = 0; i < 8; i += 4) {
      const vector a = _mm256_unpacklo_ps(r[i], r[i + 1]), b = _mm256_unpackhi_ps(r[i], r[i + 1]);
      const vector c = _mm256_unpacklo_ps(r[i + 2], r[i + 3]), d = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
      t[i] = _mm256_shuffle_ps(a, c, 0x44);
      t[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
      t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
      t[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
      r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
  }

  /// Reduces two rows per vector: their halves onto each other, then the halves of the result, ...
  template<class F>
  [[nodiscard]] static vector fold_rows(vector (&r)[8], F&& f) noexcept {
    for (std::size_t i = 0; i < 4; ++i)
      r[i] = f(_mm256_permute2f128_ps(r[i], r[i + 4], 0x20), _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    for (std::size_t i = 0; i < 4; i += 2)
      r[i] = f(_mm256_shuffle_ps(r[i], r[i + 1], 0x44), _mm256_shuffle_ps(r[i], r[i + 1], 0xee));
    return f(_mm256_shuffle_ps(r[0], r[2], 0x88), _mm256_shuffle_ps(r[0], r[2], 0xdd));
  }

 private:
  /// The index of the value that each lane gets for these bits; -1: none.
  static constexpr auto value_of_lane = [] {
    std::array<std::array<std::int8_t, 8>, 256> all{};
    for (unsigned bits = 0; bits < 256; ++bits) {
      std::int8_t next = 0;
      for (unsigned l = 0; l < 8; ++l) all[bits][l] = (bits >> l & 1u) != 0 ? next++ : std::int8_t{-1};
    }
    return all;
  }();
  /// Reduces the halves onto each other, then the halves of the result, ...
  template<class F>
  [[nodiscard]] static float folded(vector v, F&& f) noexcept {
    __m128 quarter = f(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    quarter = f(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(f(quarter, _mm_shuffle_ps(quarter, quarter, 1)));
  }
  /// 2^power, for -126 <= power <= 127.
  [[nodiscard]] static vector factor(__m256i power) noexcept {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(power, _mm256_set1_epi32(127)), 23));
  }
  [[nodiscard]] static __m256i first(std::size_t n) noexcept {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
  }
};

/// 4 lanes of double, 16 registers.
struct avx2_double_lanes {
  using value = double;
  using vector = __m256d;
  static constexpr std::size_t width = 4;
  static constexpr std::size_t registers = 16;

  [[nodiscard]] static vector zero() noexcept { return _mm256_setzero_pd(); }
  [[nodiscard]] static vector broadcast(const double* p) noexcept { return _mm256_broadcast_sd(p); }
  [[nodiscard]] static vector load(const double* p) noexcept { return _mm256_loadu_pd(p); }
  [[nodiscard]] static vector load_floats(const float* p) noexcept { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
  [[nodiscard]] static vector load_part(const double* p, std::size_t n) noexcept {
    return _mm256_maskload_pd(p, first(n));
  }
  static void store(double* p, vector v) noexcept { _mm256_storeu_pd(p, v); }
  static void store_part(double* p, vector v, std::size_t n) noexcept { _mm256_maskstore_pd(p, first(n), v); }
  [[nodiscard]] static vector fma(vector a, vector b, vector c) noexcept { return _mm256_fmadd_pd(a, b, c); }

  /// Transposes 2 x 2 inside both 128-bit halves, then exchanges the halves.
  static void transpose(vector (&r)[4]) noexcept {
    const vector a = _mm256_unpacklo_pd(r[0], r[1]), b = _mm256_unpackhi_pd(r[0], r[1]);
    const vector c = _mm256_unpacklo_pd(r[2], r[3]), d = _mm256_unpackhi_pd(r[2], r[3]);
    r[0] = _mm256_permute2f128_pd(a, c, 0x20);
    r[1] = _mm256_permute2f128_pd(b, d, 0x20);
    r[2] = _mm256_permute2f128_pd(a, c, 0x31);
    r[3] = _mm256_permute2f128_pd(b, d, 0x31);
  }

 private:
  [[nodiscard]] static __m256i first(std::size_t n) noexcept {
    const long long count = static_cast<long long>(n);
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
  }
};

/// Packed codes, 8 rows at a time.
struct avx2_code_lanes {
  using floats = avx2_lanes;
  using words = __m256i;
  static constexpr std::size_t rows = 8;
  static constexpr std::size_t tiles = 1;
  static constexpr std::size_t parts = 2;
  static constexpr std::size_t columns = 2;

  [[nodiscard]] static words load(const std::byte* p) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static void store(std::byte* p, words w) noexcept { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), w); }
  [[nodiscard]] static words all(std::int32_t x) noexcept { return _mm256_set1_epi32(x); }
  [[nodiscard]] static words rounded(__m256 v) noexcept { return _mm256_cvtps_epi32(v); }
  [[nodiscard]] static words bytes_of(words a, words b, words c, words d, const std::int16_t* zeros,
                                      words top) noexcept {
    const words first = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(zeros)));
    const words last = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(zeros + 8)));
    const words low = _mm256_adds_epi16(_mm256_packs_epi32(a, b), first);
    const words high = _mm256_adds_epi16(_mm256_packs_epi32(c, d), last);
    return _mm256_min_epu8(_mm256_packus_epi16(low, high), top);
  }
  template<std::size_t K>
  [[nodiscard]] static __m256 spread(words w) noexcept {
    constexpr int k = static_cast<int>(0x8080'8000u) + 4 * static_cast<int>(K);  // 0x80 selects a zero byte
    const words bytes = _mm256_setr_epi32(k, k + 1, k + 2, k + 3, k, k + 1, k + 2, k + 3);
    return _mm256_castsi256_ps(_mm256_or_si256(_mm256_shuffle_epi8(w, bytes), _mm256_set1_epi32(0x4b00'0000)));
  }
  static void turn_quads(words (&w)[2]) noexcept {
    const words low = _mm256_permute2x128_si256(w[0], w[1], 0x20);
    w[1] = _mm256_permute2x128_si256(w[0], w[1], 0x31);
    w[0] = low;
  }
  static void load_streams(const std::byte* first, std::size_t stride, std::size_t bytes, std::size_t count,
                           words (&w)[4]) noexcept {
    const auto stream = [&](std::size_t r) PRECIS_INLINE_LAMBDA {
      const two_words held = r < count ? get_bytes(first + r * stride, bytes) : two_words{};
      return _mm_set_epi64x(static_cast<long long>(held.high), static_cast<long long>(held.low));
    };
    words v[4];  // its halves are the streams i and i + 4
    for (std::size_t i = 0; i < 4; ++i)
      v[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(stream(i)), stream(i + 4), 1);
    const words a = _mm256_unpacklo_epi32(v[0], v[1]), b = _mm256_unpacklo_epi32(v[2], v[3]);
    const words c = _mm256_unpackhi_epi32(v[0], v[1]), d = _mm256_unpackhi_epi32(v[2], v[3]);
    w[0] = _mm256_unpacklo_epi64(a, b);
    w[1] = _mm256_unpackhi_epi64(a, b);
    w[2] = _mm256_unpacklo_epi64(c, d);
    w[3] = _mm256_unpackhi_epi64(c, d);
  }
  template<int Right, std::uint32_t Mask>
  [[nodiscard]] static words digits(words w) noexcept {
    if constexpr (Mask == ~0u) return shift<Right>(w);
    return _mm256_and_si256(shift<Right>(w), _mm256_set1_epi32(static_cast<int>(Mask)));
  }
  template<int Right, std::uint32_t Mask>
  [[nodiscard]] static words merge(words low, words w) noexcept {
    return _mm256_or_si256(digits<0, ~Mask>(low), digits<Right, Mask>(w));
  }
  [[nodiscard]] static words broadcast_quad(const std::int8_t* x) noexcept {
    int quad;
    __builtin_memcpy(&quad, x, 4);
    return _mm256_set1_epi32(quad);
  }
#if PRECIS_AVXVNNI
  template<unsigned Bits>
  struct products {
    words even_quads, odd_quads = _mm256_setzero_si256();  // two chains hide the latency of five cycles
    explicit products(std::int32_t start = 0) noexcept : even_quads(_mm256_set1_epi32(start)) {}
    template<std::size_t K>
    void add(quad<K>, words codes, words x) noexcept {
      words& sum = K % 2 == 0 ? even_quads : odd_quads;
      sum = _mm256_dpbusd_avx_epi32(sum, codes, x);
    }
    void end_block() noexcept {}
    [[nodiscard]] words sum() const noexcept { return _mm256_add_epi32(even_quads, odd_quads); }
  };
#else
  /// Sums of pairs have 16 bits: eight of them fit if codes are below 16, so wider codes are split into two nibbles.
  template<unsigned Bits>
  struct products {
    words total, low = _mm256_setzero_si256(), high = low;
    explicit products(std::int32_t start = 0) noexcept : total(_mm256_set1_epi32(start)) {}
    template<std::size_t K>
    void add(quad<K>, words codes, words x) noexcept {
      const words nibbles = Bits <= 4 ? codes : digits<0, 0x0F0F'0F0F>(codes);
      low = _mm256_add_epi16(low, _mm256_maddubs_epi16(nibbles, x));
      if constexpr (Bits > 4) high = _mm256_add_epi16(high, _mm256_maddubs_epi16(digits<4, 0x0F0F'0F0F>(codes), x));
    }
    void end_block() noexcept {
      const words ones = _mm256_set1_epi16(1);
      total = _mm256_add_epi32(total, _mm256_madd_epi16(low, ones));
      low = _mm256_setzero_si256();
      if constexpr (Bits > 4) {
        total = _mm256_add_epi32(total, shift<-4>(_mm256_madd_epi16(high, ones)));
        high = _mm256_setzero_si256();
      }
    }
    [[nodiscard]] words sum() const noexcept { return total; }
  };
#endif
  [[nodiscard]] static __m256 to_float(words w) noexcept { return _mm256_cvtepi32_ps(w); }
  [[nodiscard]] static __m256 signed_bytes(const std::int8_t* p) noexcept {
    return to_float(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  template<unsigned Bits, unsigned At>
  [[nodiscard]] static __m256 number(words w) noexcept {
    return to_float(digits<static_cast<int>(At), At + Bits == 32 ? ~0u : (1u << Bits) - 1u>(w));
  }
  /// Moves exponent and fraction to their positions in a float; for subnormal numbers, the implicit one is subtracted
  /// again.
  template<class Float, unsigned At>
  [[nodiscard]] static __m256 small_float(words codes) noexcept {
    if constexpr (!requires { Float::mantissa; }) {  // no exponent and fraction: two lookups of eight entries
      constexpr const float* values = detail::sixteen_values<Float>.data();
      const words at = shift<static_cast<int>(At)>(codes);
      const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(values), at);
      const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(values + 8), at);
      return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(at, 28)));
    } else {
      constexpr int at = static_cast<int>(At), up = 23 - static_cast<int>(Float::mantissa);
      constexpr std::uint32_t bits = static_cast<std::uint32_t>(Float::all_ones) << up;
      const words magnitude = digits<at - up, bits>(codes);
      const words normal = _mm256_add_epi32(magnitude, _mm256_set1_epi32((127 - Float::bias) << 23));
      const words twice = _mm256_add_epi32(magnitude, _mm256_set1_epi32((128 - Float::bias) << 23));
      const words small = _mm256_cmpgt_epi32(_mm256_set1_epi32(1 << 23), magnitude);
      const __m256 least = _mm256_castsi256_ps(_mm256_set1_epi32((128 - Float::bias) << 23));
      const __m256 value = _mm256_blendv_ps(
          _mm256_castsi256_ps(normal), _mm256_sub_ps(_mm256_castsi256_ps(twice), least), _mm256_castsi256_ps(small));
      constexpr int sign = at + static_cast<int>(Float::bits) - 32;
      return _mm256_castsi256_ps(merge<sign, 0x8000'0000u>(_mm256_castps_si256(value), codes));
    }
  }
  template<unsigned Bits, std::size_t J>
  [[nodiscard]] PRECIS_INLINE static __m256 look_up(words codes, const float* table, std::size_t step) noexcept {
    const words lane = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    const words first = _mm256_mullo_epi32(lane, _mm256_set1_epi32(static_cast<int>(step)));
    const words at = _mm256_add_epi32(digits<8 * static_cast<int>(J), 0xFF>(codes), first);
    const __m256 every = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
    return _mm256_mask_i32gather_ps(_mm256_setzero_ps(), table, at, every, 4);
  }
  [[nodiscard]] static words nibbles(words codes, const std::uint8_t* table) noexcept {
    const __m128i sixteen = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(sixteen), codes);
  }
  [[nodiscard]] static __m256 load_floats(const std::byte* p) noexcept {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
  }
  [[nodiscard]] static __m256 load_halves(const std::byte* p) noexcept {
#if PRECIS_F16C
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
    std::uint16_t halves[8];
    float values[8];
    __builtin_memcpy(halves, p, 16);
    for (std::size_t i = 0; i < 8; ++i) values[i] = half_to_float(halves[i]);
    return _mm256_loadu_ps(values);
#endif
  }
  static void store_floats(std::byte* p, __m256 v) noexcept { store(p, _mm256_castps_si256(v)); }
  static void store_halves(std::byte* p, __m256 v) noexcept {
#if PRECIS_F16C
    const __m128i halves = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), halves);
#else
    std::uint16_t halves[8];
    float values[8];
    _mm256_storeu_ps(values, v);
    for (std::size_t i = 0; i < 8; ++i) halves[i] = float_to_half(values[i]);
    __builtin_memcpy(p, halves, 16);
#endif
  }
  [[nodiscard]] static __m256 load_bfloat16s(const std::byte* p) noexcept {
    const words wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm256_castsi256_ps(shift<-16>(wide));
  }
  /// Eight codes of a stream fill Bits bytes: the bytes that hold each code are gathered and shifted down.
  template<unsigned Bits>
  [[nodiscard]] static __m256 zero_points(const std::byte* run, std::size_t first) noexcept {
    return zero_points<Bits>(get_bytes(run + first / 8 * Bits, Bits), 0);
  }
  template<unsigned Bits>
  [[nodiscard]] static __m256 zero_points(two_words run, std::size_t first) noexcept {
    const auto held = static_cast<long long>(first == 0  ? run.low
                                             : Bits == 8 ? run.high
                                                         : run.low >> 8 * Bits % 64 | run.high << (64 - 8 * Bits) % 64);
    const words bytes = _mm256_shuffle_epi8(
        _mm256_set1_epi64x(held), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(stream<Bits>.bytes.data())));
    const words down =
        _mm256_srlv_epi32(bytes, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(stream<Bits>.shifts.data())));
    return to_float(_mm256_and_si256(down, _mm256_set1_epi32((1 << Bits) - 1)));
  }
  static void store_past_caches(float* p, __m256 v) noexcept { _mm256_stream_ps(p, v); }
  static void finish_stores() noexcept { _mm_sfence(); }
  static void store_low_bytes(std::int8_t* p, __m256 v) noexcept {
    const words low = _mm256_shuffle_epi8(_mm256_castps_si256(v),
                                          _mm256_setr_epi32(0x0c08'0400, -1, -1, -1, 0x0c08'0400, -1, -1, -1));
    const int a = _mm256_extract_epi32(low, 0), b = _mm256_extract_epi32(low, 4);
    __builtin_memcpy(p, &a, 4);
    __builtin_memcpy(p + 4, &b, 4);
  }

 private:
  template<int Right>
  [[nodiscard]] static words shift(words w) noexcept {
    if constexpr (Right > 0) return _mm256_srli_epi32(w, Right);
    if constexpr (Right < 0) return _mm256_slli_epi32(w, -Right);
    return w;
  }
  template<unsigned Bits>
  struct stream_places {
    std::array<std::uint8_t, 32> bytes{};
    std::array<std::uint32_t, 8> shifts{};
    constexpr stream_places() noexcept {
      for (std::size_t lane = 0; lane < 8; ++lane) {
        const std::size_t first = lane * Bits / 8;
        bytes[4 * lane] = static_cast<std::uint8_t>(first);
        bytes[4 * lane + 1] = static_cast<std::uint8_t>(first + 1 < 8 ? first + 1 : 0x80);
        bytes[4 * lane + 2] = bytes[4 * lane + 3] = 0x80;  // zero
        shifts[lane] = static_cast<std::uint32_t>(lane * Bits % 8);
      }
    }
  };
  template<unsigned Bits>
  static constexpr stream_places<Bits> stream{};
};

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif

#endif  // PRECIS_KERNEL_LANES_AVX2
