#if !defined(PRECIS_CODEC_CODE_STREAM)
#define PRECIS_CODEC_CODE_STREAM

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/ieee.hpp>

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>

/// Bit streams of codes of any width: code i holds stream bits [i width, (i + 1) width), starting with bit 0 of the
/// code and with bit 0 of each byte (little-endian on every machine). Unused bits of the last byte are zero.
namespace precis::codec {
PRECIS_IEEE_BEGIN

using kernel::packed_bytes;
using kernel::widest_code;

namespace detail {

// `squeeze` moves eight codes, one per byte of a 64-bit word, to the low 8 * Width bits; `spread` moves them back.
// Three steps merge adjacent codes into pairs, fours and eights.
template<unsigned Width>
[[nodiscard]] constexpr std::uint64_t squeeze(std::uint64_t x) noexcept {
  constexpr std::uint64_t each = ((1ull << Width) - 1) * 0x0101'0101'0101'0101ull;
  x &= each;
  x = (x & 0x00FF'00FF'00FF'00FFull) | ((x & 0xFF00'FF00'FF00'FF00ull) >> (8 - Width));
  x = (x & 0x0000'FFFF'0000'FFFFull) | ((x & 0xFFFF'0000'FFFF'0000ull) >> (16 - 2 * Width));
  return (x & 0x0000'0000'FFFF'FFFFull) | ((x >> 32) << (4 * Width));
}
template<unsigned Width>
[[nodiscard]] constexpr std::uint64_t spread(std::uint64_t x) noexcept {
  constexpr std::uint64_t low4 = (1ull << (4 * Width)) - 1;
  constexpr std::uint64_t low2 = ((1ull << (2 * Width)) - 1) * 0x0000'0001'0000'0001ull;
  constexpr std::uint64_t low1 = ((1ull << Width) - 1) * 0x0001'0001'0001'0001ull;
  x = (x & low4) | (((x >> (4 * Width)) & low4) << 32);
  x = (x & low2) | (((x >> (2 * Width)) & low2) << 16);
  return (x & low1) | (((x >> Width) & low1) << 8);
}

template<unsigned Width>
void pack_eights(const std::uint8_t* codes, std::size_t eights, std::byte* stream) noexcept {
  for (std::size_t i = 0; i < eights; ++i) {
    std::uint64_t word;
    std::memcpy(&word, codes + 8 * i, 8);
    word = squeeze<Width>(word);
    std::memcpy(stream + Width * i, &word, Width);
  }
}
template<unsigned Width>
void unpack_eights(const std::byte* stream, std::size_t eights, std::uint8_t* codes) noexcept {
  for (std::size_t i = 0; i < eights; ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, stream + Width * i, Width);
    word = spread<Width>(word);
    std::memcpy(codes + 8 * i, &word, 8);
  }
}

/// Packs the whole runs of eight codes for which a fast path exists. Returns the number of packed codes.
template<class = void>
[[nodiscard]] inline std::size_t pack_runs(const std::uint8_t* codes, std::size_t count, unsigned width,
                                           std::byte* stream) noexcept {
  if constexpr (std::endian::native == std::endian::little) {
    const std::size_t eights = count / 8;
    switch (width) {
      case 2: pack_eights<2>(codes, eights, stream); return 8 * eights;
      case 3: pack_eights<3>(codes, eights, stream); return 8 * eights;
      case 4: pack_eights<4>(codes, eights, stream); return 8 * eights;
      case 5: pack_eights<5>(codes, eights, stream); return 8 * eights;
      case 6: pack_eights<6>(codes, eights, stream); return 8 * eights;
      case 7: pack_eights<7>(codes, eights, stream); return 8 * eights;
      case 8: std::copy_n(reinterpret_cast<const std::byte*>(codes), 8 * eights, stream); return 8 * eights;
      default: break;
    }
  }
  return 0;
}
/// Unpacks the whole runs of eight codes for which a fast path exists. Returns the number of unpacked codes.
template<class = void>
[[nodiscard]] inline std::size_t unpack_runs(const std::byte* stream, std::size_t count, unsigned width,
                                             std::uint8_t* codes) noexcept {
  if constexpr (std::endian::native == std::endian::little) {
    const std::size_t eights = count / 8;
    switch (width) {
      case 2: unpack_eights<2>(stream, eights, codes); return 8 * eights;
      case 3: unpack_eights<3>(stream, eights, codes); return 8 * eights;
      case 4: unpack_eights<4>(stream, eights, codes); return 8 * eights;
      case 5: unpack_eights<5>(stream, eights, codes); return 8 * eights;
      case 6: unpack_eights<6>(stream, eights, codes); return 8 * eights;
      case 7: unpack_eights<7>(stream, eights, codes); return 8 * eights;
      case 8: std::copy_n(stream, 8 * eights, reinterpret_cast<std::byte*>(codes)); return 8 * eights;
      default: break;
    }
  }
  return 0;
}

}  // namespace detail

/// Packs codes into a stream.
///
/// Requires  1 <= width <= widest_code and width <= bits of Code; every code < 2^width (higher bits are dropped);
///           stream.size() == packed_bytes(codes.size(), width).
/// Errors    none: noexcept, no allocation.
/// Cost      O(codes); codes of up to 8 bits are packed eight at a time, wider ones one at a time.
/// @post     the 3-bit codes 5, 2, 7, 0, 3, 6, 1, 4 become the bytes d5 31 87.
/// Source    docs/methods/affine.md.
template<std::unsigned_integral Code>
constexpr void pack_codes(std::span<const Code> codes, unsigned width, std::span<std::byte> stream) noexcept {
  PRECIS_EXPECTS(width >= 1 && width <= widest_code && width <= std::numeric_limits<Code>::digits,
                 "a width of 1 to 24 bits");
  PRECIS_EXPECTS(stream.size() == packed_bytes(codes.size(), width), "a stream of exactly the packed size");
  std::size_t done = 0;
  if constexpr (sizeof(Code) == 1)
    if (!std::is_constant_evaluated()) done = detail::pack_runs(codes.data(), codes.size(), width, stream.data());

  if (width % 8 == 0) {  // whole bytes
    for (std::size_t i = done, at = done * (width / 8); i < codes.size(); ++i)
      for (unsigned k = 0; k < width; k += 8) stream[at++] = static_cast<std::byte>(codes[i] >> k & 0xFFu);
    return;
  }

  const std::uint32_t mask = (1u << width) - 1u;
  std::uint64_t pending = 0;
  unsigned bits = 0;
  std::size_t at = done / 8 * width;
  for (std::size_t i = done; i < codes.size(); ++i) {
    pending |= static_cast<std::uint64_t>(codes[i] & mask) << bits;
    for (bits += width; bits >= 8; bits -= 8, pending >>= 8) stream[at++] = static_cast<std::byte>(pending & 0xFFu);
  }
  if (bits > 0) stream[at] = static_cast<std::byte>(pending & 0xFFu);
}

/// Unpacks codes.size() codes from a stream that `pack_codes` wrote. Requirements and cost are the same.
template<std::unsigned_integral Code>
constexpr void unpack_codes(std::span<const std::byte> stream, unsigned width, std::span<Code> codes) noexcept {
  PRECIS_EXPECTS(width >= 1 && width <= widest_code && width <= std::numeric_limits<Code>::digits,
                 "a width of 1 to 24 bits");
  PRECIS_EXPECTS(stream.size() == packed_bytes(codes.size(), width), "a stream of exactly the packed size");
  std::size_t done = 0;
  if constexpr (sizeof(Code) == 1)
    if (!std::is_constant_evaluated()) done = detail::unpack_runs(stream.data(), codes.size(), width, codes.data());

  if (width % 8 == 0) {
    for (std::size_t i = done, at = done * (width / 8); i < codes.size(); ++i) {
      std::uint32_t code = 0;
      for (unsigned k = 0; k < width; k += 8) code |= static_cast<std::uint32_t>(stream[at++]) << k;
      codes[i] = static_cast<Code>(code);
    }
    return;
  }

  const std::uint32_t mask = (1u << width) - 1u;
  std::uint64_t pending = 0;
  unsigned bits = 0;
  std::size_t at = done / 8 * width;
  for (std::size_t i = done; i < codes.size(); ++i) {
    for (; bits < width; bits += 8) pending |= static_cast<std::uint64_t>(stream[at++]) << bits;
    codes[i] = static_cast<Code>(pending & mask);
    pending >>= width;
    bits -= width;
  }
}

PRECIS_IEEE_END
}  // namespace precis::codec

#endif  // PRECIS_CODEC_CODE_STREAM
