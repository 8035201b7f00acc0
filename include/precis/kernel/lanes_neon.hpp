#if !defined(PRECIS_KERNEL_LANES_NEON)
#define PRECIS_KERNEL_LANES_NEON

#if defined(__ARM_NEON) && defined(__aarch64__)

#include <precis/kernel/code_planes.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/minifloat.hpp>

#include <arm_neon.h>
#include <array>
#include <cstddef>
#include <cstdint>

namespace precis::kernel {
PRECIS_IEEE_BEGIN

namespace detail {

/// For each set of four bits: where the bytes of the values at the bits that are set come from; 0xff: nowhere, a zero.
inline constexpr auto places_of_bits = [] {
  std::array<std::array<std::uint8_t, 16>, 16> all{};
  for (unsigned bits = 0; bits < 16; ++bits)
    for (unsigned i = 0, set = 0; i < 16; ++i) {
      const bool kept = (bits >> i / 4 & 1u) != 0;
      all[bits][i] = static_cast<std::uint8_t>(kept ? set++ : 0xffu);
    }
  return all;
}();

}  // namespace detail

/// 4 lanes, 32 registers. 64-bit ARM only: 32-bit NEON flushes subnormals, so 32-bit ARM uses the scalar lanes.
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
  [[nodiscard]] static vector held(vector v) noexcept {
    asm("" : "+w"(v));
    return v;
  }
  [[nodiscard]] static vector add(vector a, vector b) noexcept { return a + b; }
  [[nodiscard]] static vector subtract(vector a, vector b) noexcept { return a - b; }
  [[nodiscard]] static vector multiply(vector a, vector b) noexcept { return a * b; }
  [[nodiscard]] static vector divide(vector a, vector b) noexcept { return a / b; }
  [[nodiscard]] static vector larger(vector a, vector b) noexcept { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  [[nodiscard]] static vector larger_size(vector a, vector b) noexcept {
    return vreinterpretq_f32_u32(vmaxq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(vabsq_f32(b))));
  }
  [[nodiscard]] static vector smaller(vector a, vector b) noexcept { return vbslq_f32(vcltq_f32(a, b), a, b); }
  [[nodiscard]] static vector times_power_of_two(vector a, vector n) noexcept {
    const int32x4_t power = vcvtq_s32_f32(n), half = vshrq_n_s32(power, 1);
    return a * factor(half) * factor(vsubq_s32(power, half));
  }
  [[nodiscard]] static vector exponent(vector a) noexcept {
    return vcvtq_f32_s32(vsubq_s32(vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_f32(a), 23)), vdupq_n_s32(127)));
  }
  [[nodiscard]] static float largest(vector v) noexcept { return vmaxvq_f32(v); }
  [[nodiscard]] static float total(vector v) noexcept {  // reduces the halves onto each other
    const float32x2_t two = vget_low_f32(v) + vget_high_f32(v);
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
  }
  /// Reduces two rows per vector: their halves onto each other, then the halves of the result.
  template<class F>
  [[nodiscard]] static vector fold_rows(vector (&r)[4], F&& f) noexcept {
    for (std::size_t i = 0; i < 4; i += 2)
      r[i] = f(vcombine_f32(vget_low_f32(r[i]), vget_low_f32(r[i + 1])),
               vcombine_f32(vget_high_f32(r[i]), vget_high_f32(r[i + 1])));
    return f(vuzp1q_f32(r[0], r[2]), vuzp2q_f32(r[0], r[2]));
  }
  [[nodiscard]] static vector expand(unsigned bits, const float* values) noexcept {
    const uint8x16_t from = vld1q_u8(detail::places_of_bits[bits].data());
    return vreinterpretq_f32_u8(vqtbl1q_u8(vreinterpretq_u8_f32(vld1q_f32(values)), from));
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
  [[nodiscard]] static vector load_floats(const float* p) noexcept { return vcvt_f64_f32(vld1_f32(p)); }
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

/// Packed codes, 4 rows at a time.
struct neon_code_lanes {
  using floats = neon_lanes;
  using words = uint32x4_t;
  static constexpr std::size_t rows = 4;
  static constexpr std::size_t tiles = 1;
  static constexpr std::size_t parts = 4;
  static constexpr std::size_t columns = 2;

  [[nodiscard]] static words load(const std::byte* p) noexcept {
    return vreinterpretq_u32_u8(vld1q_u8(reinterpret_cast<const std::uint8_t*>(p)));
  }
  static void store(std::byte* p, words w) noexcept {
    vst1q_u8(reinterpret_cast<std::uint8_t*>(p), vreinterpretq_u8_u32(w));
  }
  [[nodiscard]] static words all(std::int32_t x) noexcept { return vreinterpretq_u32_s32(vdupq_n_s32(x)); }
  [[nodiscard]] static words rounded(float32x4_t v) noexcept { return vreinterpretq_u32_s32(vcvtnq_s32_f32(v)); }
  [[nodiscard]] static words bytes_of(words a, words b, words c, words d, const std::int16_t* zeros,
                                      words top) noexcept {
    const auto half = [](words v) { return vqmovn_s32(vreinterpretq_s32_u32(v)); };
    const int16x8_t low = vqaddq_s16(vcombine_s16(half(a), half(b)), vld1q_s16(zeros));
    const int16x8_t high = vqaddq_s16(vcombine_s16(half(c), half(d)), vld1q_s16(zeros + 8));
    const uint8x16_t bytes = vcombine_u8(vqmovun_s16(low), vqmovun_s16(high));
    return vreinterpretq_u32_u8(vminq_u8(bytes, vreinterpretq_u8_u32(top)));
  }
  template<std::size_t K>
  [[nodiscard]] static float32x4_t spread(words w) noexcept {
    constexpr std::uint32_t k =
        0xffff'ff00u + 4 * static_cast<std::uint32_t>(K);  // 0xff keeps the byte of the first operand
    const std::uint32_t bytes[4] = {k, k + 1, k + 2, k + 3};
    const uint8x16_t there = vreinterpretq_u8_u32(vdupq_n_u32(0x4b00'0000u));
    const uint8x16_t from = vreinterpretq_u8_u32(vld1q_u32(bytes));
    return vreinterpretq_f32_u8(vqtbx1q_u8(there, vreinterpretq_u8_u32(w), from));
  }
  static void turn_quads(words (&)[1]) noexcept {}
  template<int Right, std::uint32_t Mask>
  [[nodiscard]] static words digits(words w) noexcept {
    if constexpr (Mask == ~0u) return shift<Right>(w);
    return vandq_u32(shift<Right>(w), vdupq_n_u32(Mask));
  }
  template<int Right, std::uint32_t Mask>
  [[nodiscard]] static words merge(words low, words w) noexcept {
    return vbslq_u32(vdupq_n_u32(Mask), shift<Right>(w), low);
  }
  [[nodiscard]] static int8x16_t broadcast_quad(const std::int8_t* x) noexcept {
    std::int32_t quad;
    __builtin_memcpy(&quad, x, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(quad));
  }
  template<unsigned Bits>
  struct products {
    int32x4_t total, high = vdupq_n_s32(0);
    explicit products(std::int32_t start = 0) noexcept : total(vdupq_n_s32(start)) {}
    template<std::size_t K>
    void add(quad<K>, words codes, int8x16_t x) noexcept {
      if constexpr (Bits <= 7) {
        total = dot(total, codes, x);
      } else {  // codes up to 255 do not fit a signed byte
        total = dot(total, digits<0, 0x0F0F'0F0F>(codes), x);
        high = dot(high, digits<4, 0x0F0F'0F0F>(codes), x);
      }
    }
    void end_block() noexcept {}
    [[nodiscard]] words sum() const noexcept {
      return vreinterpretq_u32_s32(Bits <= 7 ? total : vaddq_s32(total, vshlq_n_s32(high, 4)));
    }
  };
  [[nodiscard]] static float32x4_t to_float(words w) noexcept { return vcvtq_f32_s32(vreinterpretq_s32_u32(w)); }
  template<unsigned Bits, unsigned At>
  [[nodiscard]] static float32x4_t number(words w) noexcept {
    return to_float(digits<static_cast<int>(At), (1u << Bits) - 1u>(w));
  }
  /// Moves exponent and fraction to their positions in a float; for subnormal numbers, the implicit one is subtracted
  /// again.
  template<class Float, unsigned At>
  [[nodiscard]] static float32x4_t small_float(words codes) noexcept {
    if constexpr (!requires {
                    Float::mantissa;
                  }) {  // no exponent and fraction: the four bytes of each value are looked up
      const auto* const values = reinterpret_cast<const std::uint8_t*>(detail::sixteen_values<Float>.data());
      const words first = vmulq_n_u32(digits<static_cast<int>(At), 15>(codes), 0x0404'0404u);
      const words at = vaddq_u32(first, vdupq_n_u32(0x0302'0100u));
      return vreinterpretq_f32_u8(vqtbl4q_u8(vld1q_u8_x4(values), vreinterpretq_u8_u32(at)));
    } else {
      constexpr int at = static_cast<int>(At), up = 23 - static_cast<int>(Float::mantissa);
      constexpr std::uint32_t bits = static_cast<std::uint32_t>(Float::all_ones) << up;
      constexpr auto least = static_cast<std::uint32_t>(128 - Float::bias) << 23;
      const words magnitude = digits<at - up, bits>(codes);
      const words normal = vaddq_u32(magnitude, vdupq_n_u32(static_cast<std::uint32_t>(127 - Float::bias) << 23));
      const float32x4_t twice = vreinterpretq_f32_u32(vaddq_u32(magnitude, vdupq_n_u32(least)));
      const float32x4_t rest = vsubq_f32(twice, vreinterpretq_f32_u32(vdupq_n_u32(least)));
      const words small = vcltq_u32(magnitude, vdupq_n_u32(1u << 23));
      const words value = vbslq_u32(small, vreinterpretq_u32_f32(rest), normal);
      constexpr int sign = at + static_cast<int>(Float::bits) - 32;
      return vreinterpretq_f32_u32(merge<sign, 0x8000'0000u>(value, codes));
    }
  }
  template<unsigned Bits, std::size_t J>
  [[nodiscard]] static float32x4_t look_up(words codes, const float* table, std::size_t step) noexcept {
    const words at = digits<8 * static_cast<int>(J), 0xFF>(codes);
    float32x4_t found = vdupq_n_f32(table[vgetq_lane_u32(at, 0)]);
    found = vsetq_lane_f32(table[step + vgetq_lane_u32(at, 1)], found, 1);
    found = vsetq_lane_f32(table[2 * step + vgetq_lane_u32(at, 2)], found, 2);
    return vsetq_lane_f32(table[3 * step + vgetq_lane_u32(at, 3)], found, 3);
  }
  [[nodiscard]] static words nibbles(words codes, const std::uint8_t* table) noexcept {
    return vreinterpretq_u32_u8(vqtbl1q_u8(vld1q_u8(table), vreinterpretq_u8_u32(codes)));
  }
  [[nodiscard]] static float32x4_t load_floats(const std::byte* p) noexcept {
    return vreinterpretq_f32_u8(vld1q_u8(reinterpret_cast<const std::uint8_t*>(p)));
  }
  [[nodiscard]] static float32x4_t load_halves(const std::byte* p) noexcept {
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(reinterpret_cast<const std::uint8_t*>(p))));
  }
  static void store_floats(std::byte* p, float32x4_t v) noexcept { store(p, vreinterpretq_u32_f32(v)); }
  static void store_halves(std::byte* p, float32x4_t v) noexcept {
    vst1_u8(reinterpret_cast<std::uint8_t*>(p), vreinterpret_u8_f16(vcvt_f16_f32(v)));
  }
  [[nodiscard]] static float32x4_t load_bfloat16s(const std::byte* p) noexcept {
    const uint16x4_t halves = vreinterpret_u16_u8(vld1_u8(reinterpret_cast<const std::uint8_t*>(p)));
    return vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(halves), 16));
  }
  template<unsigned Bits>
  [[nodiscard]] static float32x4_t zero_points(const std::byte* run, std::size_t first) noexcept {
    std::uint32_t codes[4];
    for (std::size_t i = 0; i < 4; ++i) codes[i] = code_at<Bits>(run, first + i);
    return to_float(vld1q_u32(codes));
  }
  static void store_past_caches(float* p, float32x4_t v) noexcept { vst1q_f32(p, v); }
  static void finish_stores() noexcept {}
  static void store_low_bytes(std::int8_t* p, float32x4_t v) noexcept {
    const uint16x4_t halves = vmovn_u32(vreinterpretq_u32_f32(v));
    const uint8x8_t bytes = vmovn_u16(vcombine_u16(halves, halves));
    const std::uint32_t low_bytes = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
    __builtin_memcpy(p, &low_bytes, 4);
  }

 private:
  [[nodiscard]] static int32x4_t dot(int32x4_t sum, words codes, int8x16_t quad_of_x) noexcept {
    const int8x16_t weights = vreinterpretq_s8_u32(codes);
#if PRECIS_DOTPROD
    return vdotq_s32(sum, weights, quad_of_x);
#else
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(weights), vget_low_s8(quad_of_x)));
    const int32x4_t high = vpaddlq_s16(vmull_high_s8(weights, quad_of_x));
    return vaddq_s32(sum, vpaddq_s32(low, high));
#endif
  }
  template<int Right>
  [[nodiscard]] static words shift(words w) noexcept {
    if constexpr (Right > 0) return vshrq_n_u32(w, Right);
    if constexpr (Right < 0) return vshlq_n_u32(w, -Right);
    return w;
  }
};

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif

#endif  // PRECIS_KERNEL_LANES_NEON
