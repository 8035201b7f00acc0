#if !defined(PRECIS_KERNEL_CODE_PLANES)
#define PRECIS_KERNEL_CODE_PLANES

#include <precis/kernel/constants.hpp>
#include <precis/kernel/ieee.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

/// How codes of 2 to 24 bits are stored: as bit planes in the 32-bit words of a block of 32 columns, or as a stream of
/// bits.
namespace precis::kernel {
PRECIS_IEEE_BEGIN

inline constexpr unsigned widest_code = 24;

/// Bytes of a stream of `count` codes of `width` bits each. Requires 1 <= width <= widest_code.
[[nodiscard]] constexpr std::size_t packed_bytes(std::size_t count, unsigned width) noexcept {
  return count / 8 * width + (count % 8 * width + 7) / 8;  // count * width could overflow
}

inline constexpr std::size_t tile_rows = 16;      ///< rows whose words are adjacent
inline constexpr std::size_t block_columns = 32;  ///< columns of one block: `code_bits` words per row

/// A tag for four columns of a block: 4 K ... 4 K + 3.
template<std::size_t K>
struct quad : std::integral_constant<std::size_t, K> {};

/// Reads and writes of words, which are little-endian and of any alignment.
[[nodiscard]] constexpr std::uint16_t get_word16(const std::byte* at) noexcept {
  return static_cast<std::uint16_t>(static_cast<unsigned>(at[0]) | static_cast<unsigned>(at[1]) << 8);
}
constexpr void put_word16(std::uint16_t word, std::byte* at) noexcept {
  at[0] = static_cast<std::byte>(word & 0xFFu);
  at[1] = static_cast<std::byte>(word >> 8);
}
[[nodiscard]] constexpr std::uint32_t get_word32(const std::byte* at) noexcept {
  if constexpr (std::endian::native == std::endian::little) {
    if (!std::is_constant_evaluated()) {
      std::uint32_t word;
      __builtin_memcpy(&word, at, 4);
      return word;
    }
  }
  return static_cast<std::uint32_t>(at[0]) | static_cast<std::uint32_t>(at[1]) << 8 |
         static_cast<std::uint32_t>(at[2]) << 16 | static_cast<std::uint32_t>(at[3]) << 24;
}
constexpr void put_word32(std::uint32_t word, std::byte* at) noexcept {
  if constexpr (std::endian::native == std::endian::little) {
    if (!std::is_constant_evaluated()) {
      __builtin_memcpy(at, &word, 4);
      return;
    }
  }
  for (unsigned i = 0; i < 4; ++i) at[i] = static_cast<std::byte>(word >> (8 * i) & 0xFFu);
}

/// The `count` <= 16 bytes from `at` on, as two little-endian words. Reads no other bytes. Requires count > 0.
struct two_words {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
};
[[nodiscard]] inline two_words get_bytes(const std::byte* at, std::size_t count) noexcept {
  const auto word64 = [](const std::byte* p) PRECIS_INLINE_LAMBDA {
    return get_word32(p) | static_cast<std::uint64_t>(get_word32(p + 4)) << 32;
  };
  const auto byte = [&](std::size_t i) PRECIS_INLINE_LAMBDA { return static_cast<std::uint64_t>(at[i]) << (8 * i); };
  // Two reads that overlap: no loop over the bytes.
  if (count > 8) return {word64(at), word64(at + count - 8) >> (8 * (16 - count))};
  if (count == 8) return {word64(at), 0};
  if (count >= 4)
    return {get_word32(at) | static_cast<std::uint64_t>(get_word32(at + count - 4)) << (8 * (count - 4)), 0};
  return {byte(0) | byte(count / 2) | byte(count - 1), 0};
}

/// Code `i` of a stream of codes of `Bits` bits: up to 8, 16 or 24. Reads only bytes that hold bits of the code.
template<unsigned Bits>
[[nodiscard]] constexpr std::uint32_t code_at(const std::byte* stream, std::size_t i) noexcept {
  static_assert(Bits <= 8 || Bits % 8 == 0, "precis: wide codes are whole bytes");
  const std::size_t first = i * Bits / 8, bit = i * Bits % 8;
  auto held = static_cast<std::uint32_t>(stream[first]);
  for (unsigned b = 1; b < Bits / 8; ++b) held |= static_cast<std::uint32_t>(stream[first + b]) << (8 * b);
  if (bit + Bits > 8 && Bits < 8) held |= static_cast<std::uint32_t>(stream[first + 1]) << 8;
  return held >> bit & ((1u << Bits) - 1u);
}

/// A bit plane of a block: it holds `width` bits of each code, from bit `low` on, and starts at word `word`.
struct code_plane {
  unsigned low = 0;
  unsigned width = 0;
  unsigned word = 0;
};
struct code_planes {
  unsigned count = 0;
  code_plane at[3] = {};
};
[[nodiscard]] constexpr code_planes planes_of(unsigned bits) noexcept {
  code_planes planes;
  for (unsigned low = 0; low < bits;) {
    const unsigned left = bits - low;
    const unsigned width = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
    planes.at[planes.count++] = {low, width, low};
    low += width;
  }
  return planes;
}

/// The position of the bits of one column in the words of a block.
struct code_place {
  unsigned word = 0;
  unsigned bit = 0;
};
[[nodiscard]] constexpr code_place place_of(code_plane plane, unsigned column) noexcept {
  const unsigned quad = column / 4, each = 8 / plane.width;
  return {plane.word + quad / each, column % 4 * 8 + quad % each * plane.width};
}

/// The codes of the four columns of quad K, one per byte, from the words of a block. If Loose, other bits of the bytes
/// are not cleared.
template<class Code, unsigned Bits, std::size_t K, bool Loose = false>
[[nodiscard]] PRECIS_INLINE typename Code::words codes_of(const typename Code::words (&w)[Bits]) noexcept {
  constexpr code_planes planes = planes_of(Bits);
  constexpr auto word = [](code_plane p) { return p.word + K * p.width / 8; };
  constexpr auto bit = [](code_plane p) { return static_cast<int>(K * p.width % 8); };
  constexpr auto mask = [](code_plane p) { return ((1u << p.width) - 1u) * 0x0101'0101u; };
  constexpr code_plane a = planes.at[0], b = planes.at[1], c = planes.at[2];
  if constexpr (Loose && planes.count == 1) return w[word(a)];
  typename Code::words codes = Code::template digits<bit(a), Loose ? ~0u : mask(a)>(w[word(a)]);
  if constexpr (planes.count > 1)
    codes = Code::template merge<bit(b) - static_cast<int>(b.low), (mask(b) << b.low)>(codes, w[word(b)]);
  if constexpr (planes.count > 2)
    codes = Code::template merge<bit(c) - static_cast<int>(c.low), (mask(c) << c.low)>(codes, w[word(c)]);
  return codes;
}

/// The codes of columns 4 K ... 4 K + 3 of 32 codes that are stored as a stream, one per byte, from the words of the
/// stream.
template<class Code, unsigned Bits, std::size_t K>
[[nodiscard]] PRECIS_INLINE typename Code::words stream_codes_of(const typename Code::words (&w)[Bits]) noexcept {
  constexpr unsigned word = 4 * K * Bits / 32, at = 4 * K * Bits % 32, mask = (1u << Bits) - 1u;
  if constexpr (Bits == 8) {
    return w[K];
  } else {
    typename Code::words four = Code::template digits<at, ~0u>(w[word]);
    if constexpr (at + 4 * Bits > 32)
      four = Code::template merge<static_cast<int>(at) - 32, (~0u << (32 - at))>(four, w[word + 1]);
    if constexpr (requires { Code::template spread_codes<Bits>(four); }) {
      return Code::template spread_codes<Bits>(four);
    } else {
      typename Code::words codes = Code::template digits<0, mask>(four);
      for_constants<3>([&](auto i) PRECIS_INLINE_LAMBDA {
        constexpr int j = static_cast<int>(i) + 1;
        codes = Code::template merge<j*(static_cast<int>(Bits) - 8), (mask << (8 * j))>(codes, four);
      });
      return codes;
    }
  }
}

/// A set of code widths: bit b stands for codes of b bits.
inline constexpr unsigned every_width = ~0u;

namespace detail {
template<unsigned Widths, unsigned Bits, class F>
constexpr void with_width(F&& f) {
  if constexpr ((Widths >> Bits & 1u) != 0) f(std::integral_constant<unsigned, Bits>{});
}
}  // namespace detail

/// Calls f(constant bits) for a code width of 2 to 8 bits. Requires a width of the set; others are not compiled.
template<unsigned Widths = every_width, class F>
constexpr void with_bits(unsigned bits, F&& f) {
  switch (bits) {
    case 2: return detail::with_width<Widths, 2>(f);
    case 3: return detail::with_width<Widths, 3>(f);
    case 4: return detail::with_width<Widths, 4>(f);
    case 5: return detail::with_width<Widths, 5>(f);
    case 6: return detail::with_width<Widths, 6>(f);
    case 7: return detail::with_width<Widths, 7>(f);
    case 8: return detail::with_width<Widths, 8>(f);
    default: return;
  }
}

/// Packs the 32 codes of one row of a block into words. Requires bits as in grid_format and every code < 2^bits.
template<class Code>
constexpr void pack_block(const Code* codes, unsigned bits, std::uint32_t* words) noexcept {
  for (unsigned w = 0; w < bits; ++w) words[w] = 0;
  const code_planes planes = planes_of(bits);
  for (unsigned i = 0; i < planes.count; ++i) {
    const code_plane plane = planes.at[i];
    const std::uint32_t mask = (1u << plane.width) - 1u;
    for (unsigned c = 0; c < block_columns; ++c) {
      const code_place place = place_of(plane, c);
      words[place.word] |= (static_cast<std::uint32_t>(codes[c]) >> plane.low & mask) << place.bit;
    }
  }
}

/// Unpacks the 32 codes of one row of a block from its words.
template<class Code>
constexpr void unpack_block(const std::uint32_t* words, unsigned bits, Code* codes) noexcept {
  for (unsigned c = 0; c < block_columns; ++c) codes[c] = 0;
  const code_planes planes = planes_of(bits);
  for (unsigned i = 0; i < planes.count; ++i) {
    const code_plane plane = planes.at[i];
    const std::uint32_t mask = (1u << plane.width) - 1u;
    for (unsigned c = 0; c < block_columns; ++c) {
      const code_place place = place_of(plane, c);
      codes[c] = static_cast<Code>(codes[c] | (words[place.word] >> place.bit & mask) << plane.low);
    }
  }
}

namespace detail {

/// The same for codes stored as bytes, four at a time, with words `stride` bytes apart.
template<unsigned Bits>
void pack_bytes(const std::uint8_t* codes, std::byte* words, std::size_t stride) noexcept {
  constexpr code_planes planes = planes_of(Bits);
  std::uint32_t quads[8];
  for (unsigned k = 0; k < 8; ++k)
    quads[k] = get_word32(reinterpret_cast<const std::byte*>(codes) + std::size_t{4} * k);
  for (unsigned i = 0; i < planes.count; ++i) {
    const unsigned low = planes.at[i].low, width = planes.at[i].width, each = 8 / width;
    const std::uint32_t mask = ((1u << width) - 1u) * 0x0101'0101u;
    for (unsigned v = 0; v < width; ++v) {
      std::uint32_t word = 0;
      for (unsigned p = 0; p < each; ++p) word |= (quads[v * each + p] >> low & mask) << (p * width);
      put_word32(word, words + std::size_t{planes.at[i].word + v} * stride);
    }
  }
}
template<unsigned Bits>
void unpack_bytes(const std::byte* words, std::size_t stride, std::uint8_t* codes) noexcept {
  constexpr code_planes planes = planes_of(Bits);
  std::uint32_t quads[8] = {};
  for (unsigned i = 0; i < planes.count; ++i) {
    const unsigned low = planes.at[i].low, width = planes.at[i].width, each = 8 / width;
    const std::uint32_t mask = ((1u << width) - 1u) * 0x0101'0101u;
    for (unsigned v = 0; v < width; ++v) {
      const std::uint32_t word = get_word32(words + std::size_t{planes.at[i].word + v} * stride);
      for (unsigned p = 0; p < each; ++p) quads[v * each + p] |= (word >> (p * width) & mask) << low;
    }
  }
  for (unsigned k = 0; k < 8; ++k) put_word32(quads[k], reinterpret_cast<std::byte*>(codes) + std::size_t{4} * k);
}

}  // namespace detail

/// Packs the whole blocks of one row. `tile` is the first byte of the row's tile, which has `rows` rows; the row is
/// number `lane`. `Widths` contains `bits`.
template<class Code, unsigned Widths = every_width>
void pack_row(const Code* codes, unsigned bits, std::size_t blocks, std::byte* tile, std::size_t rows,
              std::size_t lane) noexcept {
  if (blocks == 0) return;  // `tile` may be null
  const std::size_t stride = rows * 4;
  std::byte* to = tile + lane * 4;
  if constexpr (sizeof(Code) == 1) {
    with_bits<Widths>(bits, [&](auto width) {
      for (std::size_t b = 0; b < blocks; ++b, to += width * stride)
        detail::pack_bytes<width>(codes + b * block_columns, to, stride);
    });
  } else {
    for (std::size_t b = 0; b < blocks; ++b, to += bits * stride) {
      std::uint32_t words[widest_code];
      pack_block(codes + b * block_columns, bits, words);
      for (unsigned v = 0; v < bits; ++v) put_word32(words[v], to + v * stride);
    }
  }
}

/// Unpacks what `pack_row` packed.
template<class Code>
void unpack_row(const std::byte* tile, std::size_t rows, std::size_t lane, unsigned bits, std::size_t blocks,
                Code* codes) noexcept {
  if (blocks == 0) return;  // `tile` may be null
  const std::size_t stride = rows * 4;
  const std::byte* from = tile + lane * 4;
  if constexpr (sizeof(Code) == 1) {
    with_bits(bits, [&](auto width) {
      for (std::size_t b = 0; b < blocks; ++b, from += width * stride)
        detail::unpack_bytes<width>(from, stride, codes + b * block_columns);
    });
  } else {
    for (std::size_t b = 0; b < blocks; ++b, from += bits * stride) {
      std::uint32_t words[widest_code];
      for (unsigned v = 0; v < bits; ++v) words[v] = get_word32(from + v * stride);
      unpack_block(words, bits, codes + b * block_columns);
    }
  }
}

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_CODE_PLANES
