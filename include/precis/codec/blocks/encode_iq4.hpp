#pragma once

#include <precis/codec/blocks/searches.hpp>
#include <precis/kernel/blocks/iq4_blocks.hpp>

#include <cstddef>
#include <cstdint>

/// Encoders of iq4_nl and iq4_xs, byte for byte those of ggml's `quantize_iq4_nl` and `quantize_iq4_xs`.
///
/// Requires  a block of finite weights at `x`, as many importances or null; the type's `bytes` at `to`.
/// Source    docs/methods/ggml.md.
namespace precis::codec::blocks {

using namespace kernel::blocks;

PRECIS_IEEE_BEGIN

namespace detail {
PRECIS_LANE_LOOPS_BEGIN

[[nodiscard]] PRECIS_INLINE constexpr float midpoint(std::size_t i) noexcept {
  return static_cast<float>(iq4_levels[i - 1] + iq4_levels[i]) * 0.5f;
}
/// The index of the level nearest to x, and the level itself; of two, the higher. Sums of steps, which become vectors.
/// ggml compares distances: near a midpoint they are exact, so the midpoint decides the same.
[[nodiscard]] PRECIS_INLINE constexpr float nearest_level(float x) noexcept {
  float index = 0;
  for (std::size_t i = 1; i < 16; ++i) index += x >= midpoint(i) ? 1.f : 0.f;
  return index;
}
[[nodiscard]] PRECIS_INLINE constexpr float round_to_level(float x) noexcept {
  float level = iq4_levels[0];
  for (std::size_t i = 1; i < 16; ++i)
    level += x >= midpoint(i) ? static_cast<float>(iq4_levels[i] - iq4_levels[i - 1]) : 0.f;
  return level;
}

/// Sub-blocks of 32: for each the scale of sixteen that leaves the least error.
template<std::size_t W>
void search_levels(sub_blocks<W, 32>& b) noexcept {
  float peak[W] = {}, size[W] = {}, best[W] = {};
  for (std::size_t i = 0; i < 32; ++i)
    for (std::size_t s = 0; s < W; ++s) {
      const float x = b.x[i][s], m = magnitude(x);
      peak[s] = m > size[s] ? x : peak[s];
      size[s] = m > size[s] ? m : size[s];
    }
  for (std::size_t s = 0; s < W; ++s) peak[s] = size[s] < least_magnitude ? 1.f : peak[s];
  for (int trial = -8; trial <= 7; ++trial) {
    float by[W], products[W] = {}, squares[W] = {};
    for (std::size_t s = 0; s < W; ++s)
      by[s] = trial == -8 ? 1 / (-peak[s] / iq4_levels[0]) : (static_cast<float>(trial) + iq4_levels[0]) / peak[s];
    for (std::size_t i = 0; i < 32; ++i)
      for (std::size_t s = 0; s < W; ++s) {
        const float q = round_to_level(by[s] * b.x[i][s]), w = b.w[i][s];
        products[s] += w * q * b.x[i][s];
        squares[s] += w * q * q;
      }
    for (std::size_t s = 0; s < W; ++s) {
      const bool some = squares[s] > 0, first = trial == -8;
      const bool better = first || (some && products[s] * products[s] > best[s] * squares[s]);
      const float scale = some ? products[s] / (some ? squares[s] : 1.f) : 0.f;
      b.scale[s] = better ? scale : b.scale[s];
      best[s] = better ? scale * products[s] : best[s];
    }
  }
  for (std::size_t s = 0; s < W; ++s) b.scale[s] = size[s] < least_magnitude ? 0.f : b.scale[s];
}

/// Weights of squared errors: x^2, or importance times sqrt(variance + x^2).
template<std::size_t W>
void weigh_levels(const float* x, const float* importance, sub_blocks<W, 32>& b, std::size_t block) noexcept {
  for (std::size_t s = 0; s < W; ++s) {
    float variance = 0;
    for (std::size_t i = 0; i < block; ++i) {
      const float v = x[s * 32 / block * block + i];
      variance += v * v;
    }
    variance *= 2.f / static_cast<float>(block);
    for (std::size_t i = 0; i < 32; ++i) {
      const float square = b.x[i][s] * b.x[i][s];
      b.w[i][s] = importance != nullptr ? importance[32 * s + i] * __builtin_sqrtf(variance + square) : square;
    }
  }
}

/// Codes with one scale; 0 stands for 1 / 0.
template<class = void>
inline void put_levels(const float* x, float by, std::byte* to) noexcept {
  for (std::size_t j = 0; j < 16; ++j)
    to[j] = static_cast<std::byte>(static_cast<unsigned>(nearest_level(by * x[j])) |
                                   static_cast<unsigned>(nearest_level(by * x[16 + j])) << 4);
}

PRECIS_LANE_LOOPS_END
}  // namespace detail

namespace detail {

/// W blocks of iq4_nl side by side.
template<std::size_t W>
void encode_iq4_nl(const float* x, const float* importance, std::byte* to) noexcept {
  sub_blocks<W, 32> b;
  b.load(x);
  weigh_levels(x, importance, b, 32);
  search_levels(b);
  for (std::size_t s = 0; s < W; ++s, to += iq4_nl::bytes) {
    const float d = b.scale[s];
    kernel::put_word16(kernel::float_to_half(d), to + iq4_nl::scale);
    put_levels(x + 32 * s, d != 0 ? 1 / d : 0.f, to + iq4_nl::codes);
  }
}

}  // namespace detail

template<class = void>
inline void encode(iq4_nl, const float* x, const float* importance, std::byte* to) noexcept {
  detail::encode_iq4_nl<1>(x, importance, to);
}
/// A row of n weights, a multiple of 32, eight blocks at a time.
template<class = void>
inline void encode_row(iq4_nl, const float* x, std::size_t n, const float* importance, std::byte* to) noexcept {
  std::size_t c = 0;
  const auto importance_at = [&] { return importance != nullptr ? importance + c : nullptr; };
  for (; c + 256 <= n; c += 256, to += 8 * iq4_nl::bytes) detail::encode_iq4_nl<8>(x + c, importance_at(), to);
  for (; c < n; c += 32, to += iq4_nl::bytes) encode(iq4_nl{}, x + c, importance_at(), to);
}

template<class = void>
inline void encode(iq4_xs, const float* x, const float* importance, std::byte* to) noexcept {
  sub_blocks<8, 32> b;
  b.load(x);
  detail::weigh_levels(x, importance, b, 256);
  detail::search_levels(b);
  float peak = 0;
  for (const float s : b.scale) peak = magnitude(s) > magnitude(peak) ? s : peak;
  const float d = -peak / 32, by = d != 0 ? 1 / d : 0.f;
  kernel::put_word16(kernel::float_to_half(d), to + iq4_xs::scale);
  for (std::size_t i = iq4_xs::scales_high; i < iq4_xs::codes; ++i) to[i] = std::byte{0};
  unsigned high_bits = 0;
  for (std::size_t j = 0; j < 8; ++j) {
    const float scale = clamped(nearest(by * b.scale[j]), -32, 31), step = d * scale;
    const auto six = static_cast<unsigned>(scale + 32);
    to[iq4_xs::scales_low + j / 2] |= static_cast<std::byte>(low(six) << 4 * (j % 2));
    high_bits |= six >> 4 << 2 * j;
    detail::put_levels(x + 32 * j, step != 0 ? 1 / step : 0.f, to + iq4_xs::codes + 16 * j);
  }
  kernel::put_word16(static_cast<std::uint16_t>(high_bits), to + iq4_xs::scales_high);
}

PRECIS_IEEE_END
}  // namespace precis::codec::blocks
