#pragma once

#if defined(__AVX512F__)

#include <immintrin.h>
#include <cstddef>

namespace precis::kernel {

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
  [[nodiscard]] static vector add(vector a, vector b) noexcept { return _mm512_add_ps(a, b); }
  [[nodiscard]] static vector subtract(vector a, vector b) noexcept { return _mm512_sub_ps(a, b); }
  [[nodiscard]] static vector multiply(vector a, vector b) noexcept { return _mm512_mul_ps(a, b); }
  [[nodiscard]] static vector divide(vector a, vector b) noexcept { return _mm512_div_ps(a, b); }
  [[nodiscard]] static vector larger(vector a, vector b) noexcept { return _mm512_maskz_max_ps(every, a, b); }
  [[nodiscard]] static vector smaller(vector a, vector b) noexcept { return _mm512_maskz_min_ps(every, a, b); }
  [[nodiscard]] static vector times_power_of_two(vector a, vector n) noexcept {
    return _mm512_maskz_scalef_ps(every, a, n);
  }

  /// 4 x 4 inside every 128-bit quarter, then the quarters themselves.
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

 private:
  // The zero-masked forms under a full mask: g++ 12 warns of an uninitialised variable inside the plain ones.
  static constexpr __mmask16 every = 0xffff;
  [[nodiscard]] static vector low(vector a, vector b) noexcept { return _mm512_maskz_unpacklo_ps(every, a, b); }
  [[nodiscard]] static vector high(vector a, vector b) noexcept { return _mm512_maskz_unpackhi_ps(every, a, b); }
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
  [[nodiscard]] static vector load_part(const double* p, std::size_t n) noexcept {
    return _mm512_maskz_loadu_pd(first(n), p);
  }
  static void store(double* p, vector v) noexcept { _mm512_storeu_pd(p, v); }
  static void store_part(double* p, vector v, std::size_t n) noexcept { _mm512_mask_storeu_pd(p, first(n), v); }
  [[nodiscard]] static vector fma(vector a, vector b, vector c) noexcept { return _mm512_fmadd_pd(a, b, c); }

  /// 2 x 2 inside every 128-bit quarter, then the quarters themselves.
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

}  // namespace precis::kernel

#endif
