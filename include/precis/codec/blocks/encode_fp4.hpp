#pragma once

#include <precis/codec/blocks/searches.hpp>
#include <precis/core/math.hpp>
#include <precis/kernel/blocks/fp4_blocks.hpp>

#include <cstddef>
#include <cstdint>

/// Encoders of mxfp4 and nvfp4, byte for byte ggml's. Importance is ignored.
///
/// Requires  a block of finite weights at `x`; the type's `bytes` at `to`.
/// Source    docs/methods/ggml.md.
namespace precis::codec::blocks {

using namespace kernel::blocks;

PRECIS_IEEE_BEGIN

namespace detail {

/// The code whose value times d is nearest to x; of several, the first.
[[nodiscard]] inline unsigned nearest_e2m1(float x, float d) noexcept {
  unsigned best = 0;
  float error = magnitude(static_cast<float>(e2m1_doubled[0]) * d - x);
  for (unsigned c = 1; c < 16; ++c) {
    const float other = magnitude(static_cast<float>(e2m1_doubled[c]) * d - x);
    best = other < error ? c : best;
    error = other < error ? other : error;
  }
  return best;
}
[[nodiscard]] inline float largest_magnitude(const float* x, std::size_t n) noexcept {
  float most = 0;
  for (std::size_t i = 0; i < n; ++i) most = magnitude(x[i]) > most ? magnitude(x[i]) : most;
  return most;
}
inline void put_e2m1(const float* x, std::size_t half, float d, std::byte* to) noexcept {
  for (std::size_t j = 0; j < half; ++j)
    to[j] = static_cast<std::byte>(nearest_e2m1(x[j], d) | nearest_e2m1(x[half + j], d) << 4);
}

}  // namespace detail

template<class = void>
inline void encode(mxfp4, const float* x, const float*, std::byte* to) noexcept {
  const float most = detail::largest_magnitude(x, 32);
  // Just below a power of two the logarithm rounds up, as in ggml: frexp would give other bytes.
  const float exponent = most > 0 ? math::floor(math::log2(most)) - 2 + 127 : 0.f;
  const auto e =
      static_cast<unsigned>(exponent < 0 ? static_cast<int>(exponent) + 256 : static_cast<int>(exponent)) & 255u;
  to[mxfp4::exponent] = static_cast<std::byte>(e);
  detail::put_e2m1(x, 16, mxfp4::half_scale(e), to + mxfp4::codes);
}

/// The e4m3 byte nearest to x >= 0, ties away from zero; 448 for all from 248 on, as in ggml.
[[nodiscard]] inline unsigned to_e4m3(float x) noexcept {
  if (!(x > 0)) return 0;
  if (x > 448) x = 448;
  const auto bits = kernel::bit_cast<std::uint32_t>(x);
  const int exponent = static_cast<int>(bits >> 23) - 127 + 7;
  if (exponent <= 0) {
    const float rounded_up = x * 512 + 0.5f;
    const auto fraction = static_cast<unsigned>(rounded_up);
    return fraction > 7 ? 7u : fraction;
  }
  const unsigned code = (static_cast<unsigned>(exponent) << 3 | (bits >> 20 & 7u)) + (bits >> 19 & 1u);
  return code >= 15u << 3 ? 0x7Eu : code;
}

template<class = void>
inline void encode(nvfp4, const float* x, const float*, std::byte* to) noexcept {
  for (std::size_t s = 0; s < 4; ++s) {
    const unsigned scale = to_e4m3(detail::largest_magnitude(x + 16 * s, 16) / 6.f);
    to[nvfp4::scales + s] = static_cast<std::byte>(scale);
    detail::put_e2m1(x + 16 * s, 8, nvfp4::half_scale(scale), to + nvfp4::codes + 8 * s);
  }
}

PRECIS_IEEE_END
}  // namespace precis::codec::blocks
