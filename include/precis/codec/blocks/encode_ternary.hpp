#pragma once

#include <precis/codec/blocks/searches.hpp>
#include <precis/kernel/blocks/ternary_blocks.hpp>

#include <cstddef>
#include <cstdint>

/// Encoders of tq1_0, tq2_0, q1_0 and q2_0, byte for byte ggml's. Importance is ignored.
///
/// Requires  a block of finite weights at `x`; the type's `bytes` at `to`.
/// Source    docs/methods/ggml.md.
namespace precis::codec::blocks {

using namespace kernel::blocks;

PRECIS_IEEE_BEGIN

namespace detail {

/// Codes of round(x / d) + 1 within 0 ... `top`, d the largest magnitude. Ties away from zero. @return d.
inline float round_to_ternary(const float* x, std::size_t n, float top, unsigned* code) noexcept {
  float d = 0;
  for (std::size_t i = 0; i < n; ++i) d = magnitude(x[i]) > d ? magnitude(x[i]) : d;
  const float by = d != 0 ? 1 / d : 0.f;
  for (std::size_t i = 0; i < n; ++i) {
    const float q = clamped(x[i] * by, -1, 1);
    const auto whole = static_cast<float>(static_cast<int>(q < 0 ? q - 0.5f : q + 0.5f));
    code[i] = static_cast<unsigned>(clamped(whole + 1, 0, top));
  }
  return d;
}

}  // namespace detail

template<class = void>
inline void encode(tq1_0, const float* x, const float*, std::byte* to) noexcept {
  unsigned code[256];
  const float d = detail::round_to_ternary(x, 256, 2, code);
  for (const tq1_0::part& p : tq1_0::parts)
    for (std::size_t m = 0; m < p.count; ++m) {
      unsigned digits = 0;
      for (std::size_t n = 0; n < 5; ++n) digits = 3 * digits + (n < p.codes ? code[p.first + p.count * n + m] : 0u);
      to[p.from + m] = static_cast<std::byte>((digits * 256 + 242) / 243);
    }
  kernel::put_word16(kernel::float_to_half(d), to + tq1_0::scale);
}

template<class = void>
inline void encode(tq2_0, const float* x, const float*, std::byte* to) noexcept {
  unsigned code[256];
  const float d = detail::round_to_ternary(x, 256, 2, code);
  for (std::size_t i = 0; i < 64; ++i) {
    const unsigned* c = code + 128 * (i / 32) + i % 32;
    to[i] = static_cast<std::byte>(c[0] | c[32] << 2 | c[64] << 4 | c[96] << 6);
  }
  kernel::put_word16(kernel::float_to_half(d), to + tq2_0::scale);
}

template<class = void>
inline void encode(q1_0, const float* x, const float*, std::byte* to) noexcept {
  float sum = 0;
  for (std::size_t i = 0; i < 128; ++i) sum += magnitude(x[i]);
  kernel::put_word16(kernel::float_to_half(sum / 128), to + q1_0::scale);
  for (std::size_t i = 0; i < 16; ++i) {
    unsigned signs = 0;
    for (std::size_t k = 0; k < 8; ++k) signs |= (x[8 * i + k] >= 0 ? 1u : 0u) << k;
    to[q1_0::codes + i] = static_cast<std::byte>(signs);
  }
}

template<class = void>
inline void encode(q2_0, const float* x, const float*, std::byte* to) noexcept {
  unsigned code[64];
  const float d = detail::round_to_ternary(x, 64, 3, code);
  kernel::put_word16(kernel::float_to_half(d), to + q2_0::scale);
  for (std::size_t i = 0; i < 16; ++i) {
    const unsigned* c = code + 4 * i;
    to[q2_0::codes + i] = static_cast<std::byte>(c[0] | c[1] << 2 | c[2] << 4 | c[3] << 6);
  }
}

PRECIS_IEEE_END
}  // namespace precis::codec::blocks
