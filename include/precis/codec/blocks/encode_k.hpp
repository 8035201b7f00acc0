#pragma once

#include <precis/codec/blocks/searches.hpp>
#include <precis/kernel/blocks/k_blocks.hpp>

#include <cstddef>
#include <cstdint>

/// Encoders of ggml's K-quants, byte for byte those of ggml: without importance its `quantize_row_*_ref`, with
/// importance its `quantize_*` (one number per column, at least 0).
///
/// Requires  256 finite weights at `x`, 256 importances at `importance` or null; the type's `bytes` at `to`.
/// Errors    none. A scale beyond 65504 is stored as infinity.
/// Source    docs/methods/ggml.md.
namespace precis::codec::blocks {

using namespace kernel::blocks;

PRECIS_IEEE_BEGIN

namespace detail {

[[nodiscard]] inline float root(float x) noexcept { return __builtin_sqrtf(x); }

/// The sum of squares of n weights, in order.
[[nodiscard]] inline float sum_of_squares(const float* x, std::size_t n) noexcept {
  float sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += x[i] * x[i];
  return sum;
}
/// Weights of squared errors with importance: q sqrt(variance + x^2).
template<std::size_t W, std::size_t N>
void weigh_by(const float* importance, float variance, sub_blocks<W, N>& b) noexcept {
  for (std::size_t s = 0; s < W; ++s)
    for (std::size_t i = 0; i < N; ++i)
      b.w[i][s] = importance[s * N + i] * detail::root(variance + b.x[i][s] * b.x[i][s]);
}

[[nodiscard]] inline float put_half(float x, std::byte* to) noexcept {
  const std::uint16_t bits = kernel::float_to_half(x);
  kernel::put_word16(bits, to);
  return kernel::half_to_float(bits);
}
[[nodiscard]] inline float largest(const float* x, std::size_t n) noexcept {
  float most = 0;
  for (std::size_t i = 0; i < n; ++i) most = x[i] > most ? x[i] : most;
  return most;
}
/// Codes of the scales: x top / most, rounded, at most `top`. @return the scale most / top.
[[nodiscard]] inline float round_scales(const float* x, std::size_t n, float top, float* code) noexcept {
  const float most = largest(x, n), by = most > 0 ? top / most : 0.f;
  for (std::size_t i = 0; i < n; ++i) {
    code[i] = clamped(nearest(by * x[i]), 0, top);
  }
  return most / top;
}

/// Codes again, with the scales as they are stored: nearest((x + minimum) / scale), where scale is not 0.
template<std::size_t N>
void encode_again(const float* x, float scale, float minimum, float top, std::uint8_t* code) noexcept {
  if (scale == 0) return;
  for (std::size_t i = 0; i < N; ++i)
    code[i] = static_cast<std::uint8_t>(clamped(nearest((x[i] + minimum) / scale), 0, top));
}
template<std::size_t N>
void encode_again_symmetric(const float* x, float scale, float top, std::uint8_t* code) noexcept {
  if (scale == 0) return;
  for (std::size_t i = 0; i < N; ++i)
    code[i] = static_cast<std::uint8_t>(clamped(nearest(x[i] / scale), -top, top - 1) + top);
}

/// Four 2-bit codes in a byte: byte m of each 32 holds codes m, m + 32, m + 64, m + 96.
template<class = void>
inline void put_pairs_of_bits(const std::uint8_t* code, std::byte* to) noexcept {
  for (std::size_t i = 0; i < 64; ++i) {
    const std::uint8_t* c = code + 128 * (i / 32) + i % 32;
    to[i] = static_cast<std::byte>((c[0] & 3) | (c[32] & 3) << 2 | (c[64] & 3) << 4 | (c[96] & 3) << 6);
  }
}
/// The scales and minima of eight sub-blocks, six bits each, in twelve bytes.
template<class = void>
inline void put_scales_and_minima(const float* scale, const float* minimum, std::byte* to) noexcept {
  for (std::size_t j = 0; j < 4; ++j) {
    const auto s = static_cast<unsigned>(scale[j]), m = static_cast<unsigned>(minimum[j]);
    const auto s4 = static_cast<unsigned>(scale[j + 4]), m4 = static_cast<unsigned>(minimum[j + 4]);
    to[j] = static_cast<std::byte>(s | s4 >> 4 << 6);
    to[j + 4] = static_cast<std::byte>(m | m4 >> 4 << 6);
    to[j + 8] = static_cast<std::byte>(low(s4) | low(m4) << 4);
  }
}

/// Two 4-bit codes in a byte: byte m of each 32 holds codes m and m + 32 of 64.
inline void put_low_fours(const std::uint8_t* code, std::byte* to) noexcept {
  for (std::size_t i = 0; i < 128; ++i) {
    const std::uint8_t* c = code + 64 * (i / 32) + i % 32;
    to[i] = static_cast<std::byte>((c[0] & 15) | (c[32] & 15) << 4);
  }
}

}  // namespace detail

/// Stores the 256 codes of a block, and leaves its scales as they are.
inline void put_codes(q2_k, const std::uint8_t* code, std::byte* to) noexcept {
  detail::put_pairs_of_bits(code, to + q2_k::codes);
}
inline void put_codes(q3_k, const std::uint8_t* code, std::byte* to) noexcept {
  for (std::size_t i = 0; i < 32; ++i) {
    unsigned third = 0;
    for (std::size_t k = 0; k < 8; ++k) third |= unsigned{code[32 * k + i]} >> 2 << k;
    to[i] = static_cast<std::byte>(third);
  }
  detail::put_pairs_of_bits(code, to + q3_k::codes);
}
inline void put_codes(q4_k, const std::uint8_t* code, std::byte* to) noexcept {
  detail::put_low_fours(code, to + q4_k::codes);
}
inline void put_codes(q5_k, const std::uint8_t* code, std::byte* to) noexcept {
  detail::put_low_fours(code, to + q5_k::codes);
  for (std::size_t i = 0; i < 32; ++i) {
    unsigned fifth = 0;
    for (std::size_t j = 0; j < 8; ++j) fifth |= unsigned{code[32 * j + i]} >> 4 << j;
    to[q5_k::fifth + i] = static_cast<std::byte>(fifth);
  }
}
inline void put_codes(q6_k, const std::uint8_t* code, std::byte* to) noexcept {
  for (std::size_t i = 0; i < 64; ++i) {
    const std::uint8_t* c = code + 128 * (i / 32) + i % 32;
    std::byte* at = to + q6_k::codes + 64 * (i / 32) + i % 32;
    at[0] = static_cast<std::byte>((c[0] & 15) | (c[64] & 15) << 4);
    at[32] = static_cast<std::byte>((c[32] & 15) | (c[96] & 15) << 4);
    to[q6_k::top + i] = static_cast<std::byte>(c[0] >> 4 | c[32] >> 4 << 2 | c[64] >> 4 << 4 | c[96] >> 4 << 6);
  }
}

namespace detail {

/// The codes and scales of q4_k and q5_k.
template<class Block>
void encode_with_minima(const float* x, const float* importance, float top, affine_trials without, std::byte* to,
                        std::uint8_t* code) noexcept {
  sub_blocks<8, 32> b;
  b.load(x);
  float scale[8], minimum[8];
  if (importance != nullptr) {
    weigh_by(importance, 2 * sum_of_squares(x, 256) / 256, b);
    float sums[8];
    b.weigh(sums);
    search_affine(b, top, {.first = -0.9f, .step = 0.05f, .steps = 36});
    static_cast<void>(put_half(search_scales<8>(b.scale, sums, 63, scale), to + Block::scale));
    static_cast<void>(put_half(search_scales<8>(b.minimum, sums, 63, minimum), to + Block::minimum));
  } else {
    for (std::size_t s = 0; s < 8; ++s) {
      const float deviation = root(sum_of_squares(x + 32 * s, 32) / 32);
      for (std::size_t i = 0; i < 32; ++i) b.w[i][s] = deviation + magnitude(b.x[i][s]);
    }
    search_affine(b, top, without);
    static_cast<void>(put_half(round_scales(b.scale, 8, 63, scale), to + Block::scale));
    static_cast<void>(put_half(round_scales(b.minimum, 8, 63, minimum), to + Block::minimum));
  }
  b.store(code);
  put_scales_and_minima(scale, minimum, to + Block::scales);
  const float d = half_at(to + Block::scale), dmin = half_at(to + Block::minimum);
  for (std::size_t j = 0; j < 8; ++j) encode_again<32>(x + 32 * j, d * scale[j], dmin * minimum[j], top, code + 32 * j);
}

}  // namespace detail

template<class = void>
inline void encode(q2_k, const float* x, const float* importance, std::byte* to) noexcept {
  sub_blocks<16, 16> b;
  b.load(x);
  float scale[16], minimum[16], d, dmin;
  if (importance != nullptr) {
    detail::weigh_by(importance, detail::sum_of_squares(x, 256) / 256, b);
    float sums[16];
    b.weigh(sums);
    search_affine(b, 3, {.first = -0.9f, .step = 0.05f, .steps = 36});
    d = detail::put_half(search_scales<16>(b.scale, sums, 15, scale), to + q2_k::scale);
    dmin = detail::put_half(search_scales<16>(b.minimum, sums, 15, minimum), to + q2_k::minimum);
  } else {
    for (std::size_t i = 0; i < 16; ++i)
      for (std::size_t s = 0; s < 16; ++s) b.w[i][s] = magnitude(b.x[i][s]);
    search_affine(b, 3, {.first = -0.5f, .step = 0.1f, .steps = 15, .absolute = true});
    d = detail::put_half(detail::round_scales(b.scale, 16, 15, scale), to + q2_k::scale);
    dmin = detail::put_half(detail::round_scales(b.minimum, 16, 15, minimum), to + q2_k::minimum);
  }
  std::uint8_t code[256];
  b.store(code);
  for (std::size_t j = 0; j < 16; ++j) {
    to[j] = static_cast<std::byte>(static_cast<unsigned>(scale[j]) | static_cast<unsigned>(minimum[j]) << 4);
    detail::encode_again<16>(x + 16 * j, d * scale[j], dmin * minimum[j], 3, code + 16 * j);
  }
  put_codes(q2_k{}, code, to);
}

template<class = void>
inline void encode(q3_k, const float* x, const float* importance, std::byte* to) noexcept {
  sub_blocks<16, 16> b;
  b.load(x);
  float scale[16], d;
  if (importance != nullptr) {
    detail::weigh_by(importance, 2 * detail::sum_of_squares(x, 256) / 256, b);
    sub_blocks<1, 16> of;  // the block of scales
    b.weigh(&of.w[0][0]);
    search_symmetric(b, 4);
    of.load(b.scale);
    search_symmetric(of, 32);
    d = of.scale[0];
    for (std::size_t j = 0; j < 16; ++j) scale[j] = of.code[j][0] - 32;
  } else {
    sweep_symmetric(b, 4);
    float peak = 0;
    for (const float s : b.scale) peak = magnitude(s) > magnitude(peak) ? s : peak;
    const float by = peak != 0 ? -32 / peak : 0.f;
    for (std::size_t j = 0; j < 16; ++j) scale[j] = peak != 0 ? clamped(nearest(by * b.scale[j]), -32, 31) : -32.f;
    d = peak != 0 ? 1 / by : 0.f;
  }
  d = detail::put_half(d, to + q3_k::scale);
  std::uint8_t code[256];
  b.store(code);
  for (std::size_t i = 0; i < 12; ++i) to[q3_k::scales + i] = std::byte{0};
  for (std::size_t j = 0; j < 16; ++j) {
    const auto six = static_cast<unsigned>(scale[j] + 32);
    std::byte* at = to + q3_k::scales;
    at[j % 8] |= static_cast<std::byte>(low(six) << 4 * (j / 8));
    at[8 + j % 4] |= static_cast<std::byte>(six >> 4 << 2 * (j / 4));
    detail::encode_again_symmetric<16>(x + 16 * j, d * scale[j], 4, code + 16 * j);
  }
  put_codes(q3_k{}, code, to);
}

template<class = void>
inline void encode(q4_k, const float* x, const float* importance, std::byte* to) noexcept {
  std::uint8_t code[256];
  detail::encode_with_minima<q4_k>(x, importance, 15, {.first = -1, .step = 0.1f, .steps = 20}, to, code);
  put_codes(q4_k{}, code, to);
}

template<class = void>
inline void encode(q5_k, const float* x, const float* importance, std::byte* to) noexcept {
  std::uint8_t code[256];
  detail::encode_with_minima<q5_k>(x, importance, 31, {.first = -0.5f, .step = 0.1f, .steps = 15}, to, code);
  put_codes(q5_k{}, code, to);
}

template<class = void>
inline void encode(q6_k, const float* x, const float* importance, std::byte* to) noexcept {
  sub_blocks<16, 16> b;
  b.load(x);
  for (std::size_t s = 0; s < 16; ++s)
    for (std::size_t i = 0; i < 16; ++i)
      b.w[i][s] = importance != nullptr ? importance[16 * s + i] : b.x[i][s] * b.x[i][s];
  search_symmetric(b, 32);
  float peak = 0;
  for (const float s : b.scale) peak = magnitude(s) > magnitude(peak) ? s : peak;
  for (std::size_t i = 0; i < q6_k::bytes; ++i) to[i] = std::byte{0};
  if (magnitude(peak) < least_magnitude) return;
  const float by = -128 / peak, d = detail::put_half(1 / by, to + q6_k::scale);
  std::uint8_t code[256];
  b.store(code);
  for (std::size_t j = 0; j < 16; ++j) {
    const float scale = clamped(nearest(by * b.scale[j]), -128, 127);
    to[q6_k::scales + j] = static_cast<std::byte>(static_cast<std::int8_t>(scale));
    detail::encode_again_symmetric<16>(x + 16 * j, d * scale, 32, code + 16 * j);
  }
  put_codes(q6_k{}, code, to);
}

PRECIS_IEEE_END
}  // namespace precis::codec::blocks
