#pragma once

#if defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>
#include <cstddef>

namespace precis::kernel {

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
  [[nodiscard]] static vector add(vector a, vector b) noexcept { return _mm256_add_ps(a, b); }
  [[nodiscard]] static vector subtract(vector a, vector b) noexcept { return _mm256_sub_ps(a, b); }
  [[nodiscard]] static vector multiply(vector a, vector b) noexcept { return _mm256_mul_ps(a, b); }
  [[nodiscard]] static vector divide(vector a, vector b) noexcept { return _mm256_div_ps(a, b); }
  [[nodiscard]] static vector larger(vector a, vector b) noexcept { return _mm256_max_ps(a, b); }
  [[nodiscard]] static vector smaller(vector a, vector b) noexcept { return _mm256_min_ps(a, b); }
  [[nodiscard]] static vector times_power_of_two(vector a, vector n) noexcept {
    const __m256i power = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(power, 1);
    return _mm256_mul_ps(_mm256_mul_ps(a, factor(half)), factor(_mm256_sub_epi32(power, half)));
  }

  /// 4 x 4 inside both 128-bit halves, then the halves themselves.
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

 private:
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
  [[nodiscard]] static vector load_part(const double* p, std::size_t n) noexcept {
    return _mm256_maskload_pd(p, first(n));
  }
  static void store(double* p, vector v) noexcept { _mm256_storeu_pd(p, v); }
  static void store_part(double* p, vector v, std::size_t n) noexcept { _mm256_maskstore_pd(p, first(n), v); }
  [[nodiscard]] static vector fma(vector a, vector b, vector c) noexcept { return _mm256_fmadd_pd(a, b, c); }

  /// 2 x 2 inside every 128-bit half, then the halves themselves.
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

}  // namespace precis::kernel

#endif
