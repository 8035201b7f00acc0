#if !defined(PRECIS_KERNEL_GGML_BLOCKS)
#define PRECIS_KERNEL_GGML_BLOCKS

#include <precis/kernel/code_planes.hpp>
#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/half.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

/// ggml's blocks of 32 weights, byte for byte, and their conversion to the layout of grid_format.
namespace precis::kernel {
PRECIS_IEEE_BEGIN

enum class ggml_type : std::uint8_t { q4_0, q4_1, q5_0, q5_1, q8_0 };

inline constexpr std::size_t ggml_block = 32;

/// The parts of a block: the scale d (a half); for types with a minimum, the minimum m (a half); for 5-bit types, the
/// fifth bits of all codes (4 bytes); the codes.
struct ggml_layout {
  unsigned bits = 0;
  bool has_minimum = false;
  std::size_t bytes = 0;
};
[[nodiscard]] constexpr ggml_layout layout_of(ggml_type type) noexcept {
  switch (type) {
    case ggml_type::q4_0: return {4, false, 18};
    case ggml_type::q4_1: return {4, true, 20};
    case ggml_type::q5_0: return {5, false, 22};
    case ggml_type::q5_1: return {5, true, 24};
    case ggml_type::q8_0: return {8, false, 34};
  }
  return {};
}

namespace detail {

// Rounds the product to float even if the compiler may contract expressions: the product of two floats is exact in
// double.
[[nodiscard]] constexpr float rounded_product(float a, float b) noexcept {
  return static_cast<float>(static_cast<double>(a) * static_cast<double>(b));
}

/// Stores codes 0 ... 2^bits - 1 in a block, and reads them. `at` is the first byte after d and m.
template<class = void>
constexpr void put_ggml_codes(const std::uint8_t* codes, unsigned bits, std::byte* at) noexcept {
  if (bits == 8) {
    for (std::size_t j = 0; j < 32; ++j) at[j] = static_cast<std::byte>(codes[j]);
    return;
  }
  if (bits == 5) {
    std::uint32_t high = 0;
    for (unsigned j = 0; j < 32; ++j) high |= static_cast<std::uint32_t>(codes[j] >> 4 & 1) << j;
    put_word32(high, at);
    at += 4;
  }
  for (std::size_t j = 0; j < 16; ++j) at[j] = static_cast<std::byte>((codes[j] & 15) | (codes[16 + j] & 15) << 4);
}
template<class = void>
constexpr void get_ggml_codes(const std::byte* at, unsigned bits, std::uint8_t* codes) noexcept {
  if (bits == 8) {
    for (std::size_t j = 0; j < 32; ++j) codes[j] = static_cast<std::uint8_t>(at[j]);
    return;
  }
  const std::uint32_t high = bits == 5 ? get_word32(at) : 0;
  if (bits == 5) at += 4;
  for (unsigned j = 0; j < 16; ++j) {
    const auto both = static_cast<unsigned>(at[j]);
    codes[j] = static_cast<std::uint8_t>((both & 15u) | (high >> j & 1u) << 4);
    codes[16 + j] = static_cast<std::uint8_t>(both >> 4 | (high >> (16 + j) & 1u) << 4);
  }
}

/// The codes of a block as the words of one row of a tile, `stride` bytes apart: as get_ggml_codes and pack_bytes, but four
/// and more codes at a time. Codes of 8 bits become excess 128.
template<unsigned Bits>
PRECIS_INLINE void repack_codes(const std::byte* at, std::byte* words, std::size_t stride) noexcept {
  if constexpr (Bits == 8) {
    for (std::size_t v = 0; v < 8; ++v) put_word32(get_word32(at + 4 * v) ^ 0x8080'8080u, words + v * stride);
    return;
  }
  if constexpr (Bits == 5) {  // bit 4 of codes 4 k ... 4 k + 3 becomes bit k of the bytes of a word
    const std::uint32_t high = get_word32(at);
    std::uint32_t word = 0;
    for (unsigned k = 0; k < 8; ++k) word |= (((high >> 4 * k & 15u) * 0x0020'4081u) & 0x0101'0101u) << k;
    put_word32(word, words + 4 * stride);
    at += 4;
  }
  for (std::size_t v = 0; v < 2; ++v) {  // codes 8 v ... 8 v + 7, and those 16 further
    const std::uint32_t a = get_word32(at + 8 * v), b = get_word32(at + 8 * v + 4);
    put_word32((a & 0x0F0F'0F0Fu) | (b & 0x0F0F'0F0Fu) << 4, words + v * stride);
    put_word32((a >> 4 & 0x0F0F'0F0Fu) | (b & 0xF0F0'F0F0u), words + (v + 2) * stride);
  }
}

}  // namespace detail

/// Encodes a block of 32 weights. All arithmetic is in float, with one rounding per operation:
///
///     q4_0, q5_0   d = m / -2^(b-1), m the weight of largest magnitude with its sign (the first, if several)
///                  code = min(2^b - 1, trunc(x (1 / d) + 2^(b-1) + 0.5))            decoded (code - 2^(b-1)) half(d)
///     q4_1, q5_1   m = min x, d = (max x - m) / (2^b - 1); code = min(2^b - 1, trunc((x - m) (1 / d) + 0.5))
///                                                                                      decoded code half(d) + half(m)
///     q8_0         d = max|x| / 127; code = rha(x (1 / d)), ties away from zero        decoded code half(d)
///
/// Codes are computed with the unrounded d and m; if d is 0, so is 1 / d.
///
/// Requires  finite x; layout_of(type).bytes bytes at `to`.
/// Errors    none: noexcept. A d or m beyond 65504 is stored as infinity; `fits_half` detects it.
/// Source    ggml-org/ggml, ggml-quants.c: quantize_row_q4_0_ref and its siblings (docs/methods/ggml.md).
template<class = void>
constexpr void encode_ggml(ggml_type type, const float* x, std::byte* to) noexcept {
  const ggml_layout l = layout_of(type);
  float lo = x[0], hi = x[0], largest = 0;  // with its sign
  for (std::size_t j = 0; j < ggml_block; ++j) {
    lo = x[j] < lo ? x[j] : lo;
    hi = x[j] > hi ? x[j] : hi;
    const float size = x[j] < 0 ? -x[j] : x[j];
    if (size > (largest < 0 ? -largest : largest)) largest = x[j];
  }
  const auto half = static_cast<float>(1u << (l.bits - 1)), top = static_cast<float>((1u << l.bits) - 1u);
  const float d = l.bits == 8     ? (largest < 0 ? -largest : largest) / 127.f
                  : l.has_minimum ? (hi - lo) / top
                                  : largest / -half;
  const float by = d != 0 ? 1.f / d : 0.f;
  put_word16(float_to_half(d), to);
  if (l.has_minimum) put_word16(float_to_half(lo), to + 2);
  std::uint8_t codes[ggml_block] = {};
  for (std::size_t j = 0; j < ggml_block; ++j) {
    if (l.bits == 8) {
      const auto q = static_cast<double>(detail::rounded_product(x[j], by));
      const double further = q < 0 ? q - 0.5 : q + 0.5;  // exact
      const int code = static_cast<int>(further);
      codes[j] = static_cast<std::uint8_t>(code & 0xFF);
    } else {
      const float q = l.has_minimum ? detail::rounded_product(x[j] - lo, by) + 0.5f
                                    : detail::rounded_product(x[j], by) + (half + 0.5f);
      const int code = static_cast<int>(q);
      codes[j] = static_cast<std::uint8_t>(code < static_cast<int>(top) ? code : static_cast<int>(top));
    }
  }
  detail::put_ggml_codes(codes, l.bits, to + (l.has_minimum ? 4 : 2));
}

/// Tells whether d and m of an encoded block are finite.
[[nodiscard]] constexpr bool fits_half(ggml_type type, const std::byte* block) noexcept {
  const auto finite = [](std::uint16_t h) { return (h & 0x7C00u) != 0x7C00u; };
  return finite(get_word16(block)) && (!layout_of(type).has_minimum || finite(get_word16(block + 2)));
}

/// Decodes the 32 weights of a block. Exact, except for one rounding if the type has a minimum.
template<class = void>
constexpr void decode_ggml(ggml_type type, const std::byte* block, float* x) noexcept {
  const ggml_layout l = layout_of(type);
  const float d = half_to_float(get_word16(block));
  const float m = l.has_minimum ? half_to_float(get_word16(block + 2)) : 0.f;
  std::uint8_t codes[ggml_block] = {};
  detail::get_ggml_codes(block + (l.has_minimum ? 4 : 2), l.bits, codes);
  const int zero = l.has_minimum ? 0 : 1 << (l.bits - 1);
  for (std::size_t j = 0; j < ggml_block; ++j) {
    const int code = l.bits == 8 ? static_cast<std::int8_t>(codes[j]) : static_cast<int>(codes[j]) - zero;
    // The product has at most 5 + 11 bits and is exact, so fusing the sum does not change it.
    x[j] = l.has_minimum ? static_cast<float>(code) * d + m : static_cast<float>(code) * d;
  }
}

/// The grid_format that holds the same values in as many bytes, in the layout that the kernels multiply.
[[nodiscard]] constexpr grid_format grid_of(ggml_type type) noexcept {
  const ggml_layout l = layout_of(type);
  return {.rule = l.has_minimum ? grid_rule::min_anchored : grid_rule::symmetric_full,
          .code_bits = l.bits,
          .group = ggml_block,
          .scales = scale_type::float16};
}

/// A non-owning view of a row-major matrix of blocks. Requires in a multiple of 32.
struct packed_ggml {
  ggml_type type = ggml_type::q4_0;
  const std::byte* data = nullptr;
  std::size_t out = 0;
  std::size_t in = 0;
};

/// Converts a row-major matrix of blocks to the layout of grid_of(type): once, when a model is loaded.
///
/// Requires  in a multiple of 32; `packed` of grid_of(type).layout_of(out, in).bytes bytes that do not overlap the
///           blocks.
/// Errors    none: noexcept, no allocation.
/// @post     every weight decodes to the same bits as before.
template<class = void>
inline void repack_ggml(ggml_type type, const std::byte* blocks, std::size_t out, std::size_t in,
                        std::byte* packed) noexcept {
  const ggml_layout l = layout_of(type);
  const grid_format f = grid_of(type);
  const grid_format::layout to = f.layout_of(out, in);
  const std::size_t groups = in / ggml_block, header = l.has_minimum ? 4 : 2;
  const auto repack = [&](auto bits) {
    for (std::size_t first = 0; first < out; first += tile_rows) {  // in the order of the bytes that are written
      const std::size_t rows = out - first < tile_rows ? out - first : tile_rows;
      std::byte* words = packed + first * to.row_words * 4;
      for (std::size_t k = 0; k < groups; ++k, words += rows * bits * 4) {
        const std::byte* block = blocks + (first * groups + k) * l.bytes;
        const std::size_t at = 2 * f.group_at(out, in, first, k);
        for (std::size_t r = 0; r < rows; ++r, block += groups * l.bytes) {
          detail::repack_codes<bits>(block + header, words + r * 4, rows * 4);
          put_word16(get_word16(block), packed + to.scales + at + 2 * r);
          if (l.has_minimum) put_word16(get_word16(block + 2), packed + to.offsets + at + 2 * r);
        }
      }
    }
  };
  if (l.bits == 4) return repack(std::integral_constant<unsigned, 4>{});
  if (l.bits == 5) return repack(std::integral_constant<unsigned, 5>{});
  repack(std::integral_constant<unsigned, 8>{});
}

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_GGML_BLOCKS
