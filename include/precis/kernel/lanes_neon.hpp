#pragma once

#if defined(__ARM_NEON) && defined(__aarch64__)

#include <arm_neon.h>
#include <cstddef>

namespace precis::kernel {

/// 4 lanes, 32 registers (64-bit ARM; 32-bit NEON flushes subnormals and is served by the scalar lanes).
struct neon_lanes {
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
  static void transpose(vector (&r)[4]) noexcept {
    const float32x4x2_t low = vtrnq_f32(r[0], r[1]), high = vtrnq_f32(r[2], r[3]);
    r[0] = vcombine_f32(vget_low_f32(low.val[0]), vget_low_f32(high.val[0]));
    r[1] = vcombine_f32(vget_low_f32(low.val[1]), vget_low_f32(high.val[1]));
    r[2] = vcombine_f32(vget_high_f32(low.val[0]), vget_high_f32(high.val[0]));
    r[3] = vcombine_f32(vget_high_f32(low.val[1]), vget_high_f32(high.val[1]));
  }
};

}  // namespace precis::kernel

#endif
