#pragma once

#if defined(__ARM_NEON) && defined(__aarch64__)

#include <arm_neon.h>
#include <cstddef>

namespace precis::kernel {

/// 4 lanes, 32 registers (64-bit ARM; 32-bit NEON flushes subnormals and is served by the scalar lanes).
struct neon_lanes {
  using value = float;
  using vector = float32x4_t;
  static constexpr std::size_t width = 4;
  static constexpr std::size_t registers = 32;

  [[nodiscard]] static vector zero() noexcept { return vdupq_n_f32(0.f); }
  [[nodiscard]] static vector broadcast(const float* p) noexcept { return vld1q_dup_f32(p); }
  [[nodiscard]] static vector load(const float* p) noexcept { return vld1q_f32(p); }
  [[nodiscard]] static vector load_part(const float* p, std::size_t n) noexcept {
    float part[4] = {};
    for (std::size_t i = 0; i < n; ++i) part[i] = p[i];
    return vld1q_f32(part);
  }
  static void store(float* p, vector v) noexcept { vst1q_f32(p, v); }
  static void store_part(float* p, vector v, std::size_t n) noexcept {
    float part[4];
    vst1q_f32(part, v);
    for (std::size_t i = 0; i < n; ++i) p[i] = part[i];
  }
  [[nodiscard]] static vector fma(vector a, vector b, vector c) noexcept { return vfmaq_f32(c, a, b); }
  [[nodiscard]] static vector all(float x) noexcept { return vdupq_n_f32(x); }
  [[nodiscard]] static vector add(vector a, vector b) noexcept { return vaddq_f32(a, b); }
  [[nodiscard]] static vector subtract(vector a, vector b) noexcept { return vsubq_f32(a, b); }
  [[nodiscard]] static vector multiply(vector a, vector b) noexcept { return vmulq_f32(a, b); }
  [[nodiscard]] static vector divide(vector a, vector b) noexcept { return vdivq_f32(a, b); }
  [[nodiscard]] static vector larger(vector a, vector b) noexcept { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  [[nodiscard]] static vector smaller(vector a, vector b) noexcept { return vbslq_f32(vcltq_f32(a, b), a, b); }
  [[nodiscard]] static vector times_power_of_two(vector a, vector n) noexcept {
    const int32x4_t power = vcvtq_s32_f32(n), half = vshrq_n_s32(power, 1);
    return vmulq_f32(vmulq_f32(a, factor(half)), factor(vsubq_s32(power, half)));
  }
  static void transpose(vector (&r)[4]) noexcept {
    const float32x4x2_t low = vtrnq_f32(r[0], r[1]), high = vtrnq_f32(r[2], r[3]);
    r[0] = vcombine_f32(vget_low_f32(low.val[0]), vget_low_f32(high.val[0]));
    r[1] = vcombine_f32(vget_low_f32(low.val[1]), vget_low_f32(high.val[1]));
    r[2] = vcombine_f32(vget_high_f32(low.val[0]), vget_high_f32(high.val[0]));
    r[3] = vcombine_f32(vget_high_f32(low.val[1]), vget_high_f32(high.val[1]));
  }

 private:
  /// 2^power, for -126 <= power <= 127.
  [[nodiscard]] static vector factor(int32x4_t power) noexcept {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(power, vdupq_n_s32(127)), 23));
  }
};

/// 2 lanes of double, 32 registers.
struct neon_double_lanes {
  using value = double;
  using vector = float64x2_t;
  static constexpr std::size_t width = 2;
  static constexpr std::size_t registers = 32;

  [[nodiscard]] static vector zero() noexcept { return vdupq_n_f64(0.0); }
  [[nodiscard]] static vector broadcast(const double* p) noexcept { return vld1q_dup_f64(p); }
  [[nodiscard]] static vector load(const double* p) noexcept { return vld1q_f64(p); }
  [[nodiscard]] static vector load_part(const double* p, std::size_t n) noexcept {
    const double part[2] = {n > 0 ? p[0] : 0.0, n > 1 ? p[1] : 0.0};
    return vld1q_f64(part);
  }
  static void store(double* p, vector v) noexcept { vst1q_f64(p, v); }
  static void store_part(double* p, vector v, std::size_t n) noexcept {
    if (n > 0) p[0] = vgetq_lane_f64(v, 0);
    if (n > 1) p[1] = vgetq_lane_f64(v, 1);
  }
  [[nodiscard]] static vector fma(vector a, vector b, vector c) noexcept { return vfmaq_f64(c, a, b); }
  static void transpose(vector (&r)[2]) noexcept {
    const vector low = vtrn1q_f64(r[0], r[1]);
    r[1] = vtrn2q_f64(r[0], r[1]);
    r[0] = low;
  }
};

}  // namespace precis::kernel

#endif
