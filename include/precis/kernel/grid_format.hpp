#pragma once

#include <precis/kernel/minifloat.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

/// How matrices of small integers are stored. The layout is made for multiplying: sixteen rows lie side by side, one
/// 32-bit word each, so that a vector register holds the same columns of several rows, whatever its width.
namespace precis::kernel {

inline constexpr unsigned widest_code = 24;

/// Bytes of a stream of `count` codes of `width` bits. Requires 1 <= width <= widest_code.
[[nodiscard]] constexpr std::size_t packed_bytes(std::size_t count, unsigned width) noexcept {
  return count / 8 * width + (count % 8 * width + 7) / 8;  // not count * width: that could wrap
}

/// Weights that share one scale: `group` consecutive ones along `in` (the last group of a row may be shorter) ...
inline constexpr std::size_t per_row = static_cast<std::size_t>(-1);  ///< ... a whole row (output channel) ...
inline constexpr std::size_t per_tensor = 0;                          ///< ... or the whole matrix

/// How reals map to codes: evenly spaced, or as small floats that share a scale. See codec/affine.hpp, symmetric.hpp,
/// min_anchored.hpp, scaled_float.hpp and log2.hpp.
enum class grid_rule : std::uint8_t {
  affine,
  symmetric,
  symmetric_full,
  min_anchored,
  min_anchored_floor,
  e4m3,      ///< of 8 bits
  e5m2,      ///< of 8 bits
  e2m1,      ///< of 4 bits
  log2,      ///< powers of two, of 3 or 4 bits
  log_sqrt2  ///< powers of its square root, of 3 or 4 bits
};

/// How scales (and the minima of min_anchored) are stored.
enum class scale_type : std::uint8_t { float32, float16 };

inline constexpr std::size_t tile_rows = 16;      ///< rows that lie side by side
inline constexpr std::size_t block_columns = 32;  ///< columns of one block: `code_bits` words a row

/// One format of the integers and small floats, as a value: what the codec types of precis/codec are made of.
///
/// Stored layout, version 2 (docs/packed.md draws it), everything little-endian, no header (out and in are known to
/// whoever stores it). Rows come in tiles of 16, R rows in the last one; columns in blocks of 32, and a tail of in % 32.
///
///     codes         tile by tile, block by block, word by word: the word of each row of the tile, 4 bytes a row
///     scales        tile by tile, group by group: the scale of each row of the tile, float32 or float16
///     zero points   affine: in the same order, one stream of codes of code_bits bits, padded with zeros to a byte
///       or minima   min_anchored: in the same order, float32 or float16
///     tails         row by row: the last in % 32 codes as a stream, padded with zeros to a byte
///
/// The words of a block are bit planes, each as wide as a power of two. A plane of w bits is w words; byte j of word v holds
/// in its bits [p w, p w + w) the plane's bits of column 4 (v * 8 / w + p) + j. Planes come widest first and hold the code's
/// bits from the lowest up: 4 bits are one plane, 5 a plane of bits 0 to 3 and one of bit 4, 16 two planes of 8.
///
/// A buffer that starts at a cache line has every block of a whole tile at one. The size is that of streams row by row.
///
/// Stored codes are never negative. Affine: the code q itself, 0 ... 2^b - 1. Symmetric: q + 2^(b-1) - 1;
/// symmetric_full: q + 2^(b-1); min_anchored: q - q_min. So one line decodes all but the last:
/// scale * (code - zero_point) with a constant zero point; min_anchored is scale * code + minimum. Of small floats the
/// stored code is the float's own, and scale * its value what it decodes to; infinities and NaN are never stored.
struct grid_format {
  static constexpr unsigned layout_version = 2;

  grid_rule rule = grid_rule::affine;
  unsigned code_bits = 8;       ///< 2 ... 8, 16 or 24
  std::size_t group = per_row;  ///< weights a scale, or per_row, or per_tensor
  scale_type scales = scale_type::float32;

  bool operator==(const grid_format&) const = default;

  [[nodiscard]] constexpr bool has_minimum() const noexcept {
    return rule == grid_rule::min_anchored || rule == grid_rule::min_anchored_floor;
  }
  [[nodiscard]] constexpr bool is_float() const noexcept {
    return rule == grid_rule::e4m3 || rule == grid_rule::e5m2 || rule == grid_rule::e2m1 || is_power();
  }
  [[nodiscard]] constexpr bool is_power() const noexcept {
    return rule == grid_rule::log2 || rule == grid_rule::log_sqrt2;
  }
  [[nodiscard]] constexpr bool keeps_zero() const noexcept { return !has_minimum(); }
  [[nodiscard]] constexpr bool wide() const noexcept { return code_bits > 8; }
  [[nodiscard]] constexpr std::size_t scale_bytes() const noexcept { return scales == scale_type::float32 ? 4 : 2; }

  /// The largest stored code of an integer.
  [[nodiscard]] constexpr std::int32_t top_code() const noexcept {
    const auto all = static_cast<std::int32_t>((1u << code_bits) - 1u);
    return rule == grid_rule::symmetric ? all - 1 : all;
  }
  /// The stored code of real 0 where it is the same for every group: the symmetric rules and floats.
  [[nodiscard]] constexpr std::int32_t fixed_zero_point() const noexcept {
    const auto half = static_cast<std::int32_t>(1u << (code_bits - 1));
    return rule == grid_rule::symmetric ? half - 1 : rule == grid_rule::symmetric_full ? half : 0;
  }

  [[nodiscard]] constexpr std::size_t groups_per_row(std::size_t in) const noexcept {
    if (group == per_tensor || in == 0) return 0;  // a tensor's one group belongs to no row
    return group >= in ? 1 : (in - 1) / group + 1;
  }
  [[nodiscard]] constexpr std::size_t groups(std::size_t out, std::size_t in) const noexcept {
    if (out == 0 || in == 0) return 0;
    return group == per_tensor ? 1 : out * groups_per_row(in);
  }
  /// Where the group `k` of row `row` is among the stored scales.
  [[nodiscard]] constexpr std::size_t group_at(std::size_t out, std::size_t in, std::size_t row,
                                               std::size_t k) const noexcept {
    if (group == per_tensor) return 0;
    const std::size_t first = row - row % tile_rows;
    const std::size_t rows = out - first < tile_rows ? out - first : tile_rows;
    return first * groups_per_row(in) + k * rows + (row - first);
  }

  /// Byte offsets of the parts. The blocks of tile t start at t * 16 * row_words * 4.
  struct layout {
    std::size_t groups = 0;
    std::size_t row_words = 0;   ///< words of a row in whole blocks
    std::size_t scales = 0;      ///< where the scales start, after the blocks
    std::size_t second = 0;      ///< where zero points or minima start
    std::size_t tails = 0;       ///< where the tail of row 0 starts
    std::size_t tail_bytes = 0;  ///< from the tail of one row to that of the next
    std::size_t bytes = 0;       ///< of everything
  };
  [[nodiscard]] constexpr layout layout_of(std::size_t out, std::size_t in) const noexcept {
    layout l;
    l.groups = groups(out, in);
    l.row_words = in / block_columns * code_bits;
    l.scales = out * l.row_words * 4;
    l.second = l.scales + l.groups * scale_bytes();
    l.tails = l.second;
    if (rule == grid_rule::affine) l.tails += packed_bytes(l.groups, code_bits);
    if (has_minimum()) l.tails += l.groups * scale_bytes();
    l.tail_bytes = packed_bytes(in % block_columns, code_bits);
    l.bytes = l.tails + out * l.tail_bytes;
    return l;
  }
};

/// Four columns of a block: 4 K ... 4 K + 3.
template<std::size_t K>
struct quad : std::integral_constant<std::size_t, K> {};

namespace detail {

/// f(constant 0), ..., f(constant N - 1), so that arrays indexed by the constants stay in registers.
template<std::size_t N, class F>
[[gnu::always_inline]] inline void for_constants(F&& f) noexcept {
  [&]<std::size_t... I>(std::index_sequence<I...>) __attribute__((always_inline)) {
    (f(std::integral_constant<std::size_t, I>{}), ...);
  }(std::make_index_sequence<N>{});
}

/// Code `i` of a stream of codes of `Bits` bits: up to 8, 16 or 24. Reads no byte that holds nothing of it.
template<unsigned Bits>
[[nodiscard]] constexpr std::uint32_t code_at(const std::byte* stream, std::size_t i) noexcept {
  static_assert(Bits <= 8 || Bits % 8 == 0, "precis: wide codes are whole bytes");
  const std::size_t first = i * Bits / 8, bit = i * Bits % 8;
  auto held = static_cast<std::uint32_t>(stream[first]);
  for (unsigned b = 1; b < Bits / 8; ++b) held |= static_cast<std::uint32_t>(stream[first + b]) << (8 * b);
  if (bit + Bits > 8 && Bits < 8) held |= static_cast<std::uint32_t>(stream[first + 1]) << 8;
  return held >> bit & ((1u << Bits) - 1u);
}

/// The planes of a code: plane i holds `width` bits from bit `low` on and takes the words from `word` on.
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

/// Which word of a block holds the plane's bits of `column`, and from which bit on.
struct code_place {
  unsigned word = 0;
  unsigned bit = 0;
};
[[nodiscard]] constexpr code_place place_of(code_plane plane, unsigned column) noexcept {
  const unsigned quad = column / 4, each = 8 / plane.width;
  return {plane.word + quad / each, column % 4 * 8 + quad % each * plane.width};
}

/// The codes of four columns, one a byte, from the words of a block. Loose: as they come, among other bits.
template<class Code, unsigned Bits, std::size_t K, bool Loose = false>
[[nodiscard, gnu::always_inline]] inline typename Code::words codes_of(const typename Code::words (&w)[Bits]) noexcept {
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

/// Words are little-endian everywhere.
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

}  // namespace detail

/// The words of one row of a block from its 32 codes. Requires bits as in grid_format and every code < 2^bits.
template<class Code>
constexpr void pack_block(const Code* codes, unsigned bits, std::uint32_t* words) noexcept {
  for (unsigned w = 0; w < bits; ++w) words[w] = 0;
  const detail::code_planes planes = detail::planes_of(bits);
  for (unsigned i = 0; i < planes.count; ++i) {
    const detail::code_plane plane = planes.at[i];
    const std::uint32_t mask = (1u << plane.width) - 1u;
    for (unsigned c = 0; c < block_columns; ++c) {
      const detail::code_place place = detail::place_of(plane, c);
      words[place.word] |= (static_cast<std::uint32_t>(codes[c]) >> plane.low & mask) << place.bit;
    }
  }
}

/// The 32 codes of one row of a block from its words.
template<class Code>
constexpr void unpack_block(const std::uint32_t* words, unsigned bits, Code* codes) noexcept {
  for (unsigned c = 0; c < block_columns; ++c) codes[c] = 0;
  const detail::code_planes planes = detail::planes_of(bits);
  for (unsigned i = 0; i < planes.count; ++i) {
    const detail::code_plane plane = planes.at[i];
    const std::uint32_t mask = (1u << plane.width) - 1u;
    for (unsigned c = 0; c < block_columns; ++c) {
      const detail::code_place place = detail::place_of(plane, c);
      codes[c] = static_cast<Code>(codes[c] | (words[place.word] >> place.bit & mask) << plane.low);
    }
  }
}

namespace detail {

/// The same for codes of a byte, four at a time, with words `stride` bytes apart.
template<unsigned Bits>
void pack_bytes(const std::uint8_t* codes, std::byte* words, std::size_t stride) noexcept {
  constexpr code_planes planes = planes_of(Bits);
  std::uint32_t four[8];
  for (unsigned k = 0; k < 8; ++k) four[k] = get_word32(reinterpret_cast<const std::byte*>(codes) + std::size_t{4} * k);
  for (unsigned i = 0; i < planes.count; ++i) {
    const unsigned low = planes.at[i].low, width = planes.at[i].width, each = 8 / width;
    const std::uint32_t mask = ((1u << width) - 1u) * 0x0101'0101u;
    for (unsigned v = 0; v < width; ++v) {
      std::uint32_t word = 0;
      for (unsigned p = 0; p < each; ++p) word |= (four[v * each + p] >> low & mask) << (p * width);
      put_word32(word, words + std::size_t{planes.at[i].word + v} * stride);
    }
  }
}
template<unsigned Bits>
void unpack_bytes(const std::byte* words, std::size_t stride, std::uint8_t* codes) noexcept {
  constexpr code_planes planes = planes_of(Bits);
  std::uint32_t four[8] = {};
  for (unsigned i = 0; i < planes.count; ++i) {
    const unsigned low = planes.at[i].low, width = planes.at[i].width, each = 8 / width;
    const std::uint32_t mask = ((1u << width) - 1u) * 0x0101'0101u;
    for (unsigned v = 0; v < width; ++v) {
      const std::uint32_t word = get_word32(words + std::size_t{planes.at[i].word + v} * stride);
      for (unsigned p = 0; p < each; ++p) four[v * each + p] |= (word >> (p * width) & mask) << low;
    }
  }
  for (unsigned k = 0; k < 8; ++k) put_word32(four[k], reinterpret_cast<std::byte*>(codes) + std::size_t{4} * k);
}

/// f(the small float) of a format that has one.
template<class F>
constexpr void with_float(const grid_format& format, F&& f) {
  const bool three = format.code_bits == 3;
  switch (format.rule) {
    case grid_rule::e4m3: return f(float8_e4m3{});
    case grid_rule::e5m2: return f(float8_e5m2{});
    case grid_rule::e2m1: return f(float4_e2m1{});
    case grid_rule::log2: return three ? f(falling_power<3, 1>{}) : f(falling_power<4, 1>{});
    case grid_rule::log_sqrt2: return three ? f(falling_power<3, 2>{}) : f(falling_power<4, 2>{});
    default: return;
  }
}

/// f(constant bits) for the bits of a format of at most 8.
template<class F>
constexpr void with_bits(unsigned bits, F&& f) {
  switch (bits) {
    case 2: return f(std::integral_constant<unsigned, 2>{});
    case 3: return f(std::integral_constant<unsigned, 3>{});
    case 4: return f(std::integral_constant<unsigned, 4>{});
    case 5: return f(std::integral_constant<unsigned, 5>{});
    case 6: return f(std::integral_constant<unsigned, 6>{});
    case 7: return f(std::integral_constant<unsigned, 7>{});
    case 8: return f(std::integral_constant<unsigned, 8>{});
    default: return;
  }
}

}  // namespace detail

/// The whole blocks of one row, codes[0] on, to where they lie from `tile` (the first byte of the row's tile) on, `lane`
/// rows after the tile's first one of `rows`.
template<class Code>
void pack_row(const Code* codes, unsigned bits, std::size_t blocks, std::byte* tile, std::size_t rows,
              std::size_t lane) noexcept {
  if (blocks == 0) return;  // `tile` may be null
  const std::size_t stride = rows * 4;
  std::byte* to = tile + lane * 4;
  if constexpr (sizeof(Code) == 1) {
    detail::with_bits(bits, [&](auto width) {
      for (std::size_t b = 0; b < blocks; ++b, to += width * stride)
        detail::pack_bytes<width>(codes + b * block_columns, to, stride);
    });
  } else {
    for (std::size_t b = 0; b < blocks; ++b, to += bits * stride) {
      std::uint32_t words[widest_code];
      pack_block(codes + b * block_columns, bits, words);
      for (unsigned v = 0; v < bits; ++v) detail::put_word32(words[v], to + v * stride);
    }
  }
}

/// What `pack_row` put there.
template<class Code>
void unpack_row(const std::byte* tile, std::size_t rows, std::size_t lane, unsigned bits, std::size_t blocks,
                Code* codes) noexcept {
  if (blocks == 0) return;  // `tile` may be null
  const std::size_t stride = rows * 4;
  const std::byte* from = tile + lane * 4;
  if constexpr (sizeof(Code) == 1) {
    detail::with_bits(bits, [&](auto width) {
      for (std::size_t b = 0; b < blocks; ++b, from += width * stride)
        detail::unpack_bytes<width>(from, stride, codes + b * block_columns);
    });
  } else {
    for (std::size_t b = 0; b < blocks; ++b, from += bits * stride) {
      std::uint32_t words[widest_code];
      for (unsigned v = 0; v < bits; ++v) words[v] = detail::get_word32(from + v * stride);
      unpack_block(words, bits, codes + b * block_columns);
    }
  }
}

/// The codes of block `block` of one row, the last block of it maybe a part: how many they are. Requires row < out and
/// 32 * block < in.
template<class Code>
std::size_t unpack_block_of(const std::byte* data, const grid_format::layout& l, unsigned bits, std::size_t out,
                            std::size_t in, std::size_t row, std::size_t block, Code* codes) noexcept {
  if (block < in / block_columns) {
    const std::size_t lane = row % tile_rows, first = row - lane;
    const std::size_t rows = out - first < tile_rows ? out - first : tile_rows;
    unpack_row(data + first * l.row_words * 4 + block * bits * rows * 4, rows, lane, bits, 1, codes);
    return block_columns;
  }
  const std::size_t count = in % block_columns;
  const std::byte* const tail = data + l.tails + row * l.tail_bytes;
  const auto some = [&](auto constant) {
    for (std::size_t i = 0; i < count; ++i) codes[i] = static_cast<Code>(detail::code_at<constant>(tail, i));
  };
  if constexpr (sizeof(Code) == 1)
    detail::with_bits(bits, some);
  else if (bits == 16)
    some(std::integral_constant<unsigned, 16>{});
  else
    some(std::integral_constant<unsigned, 24>{});
  return count;
}

}  // namespace precis::kernel
