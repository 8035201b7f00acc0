#pragma once

#include <precis/kernel/code_planes.hpp>
#include <precis/kernel/minifloat.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

/// How matrices of small integers are stored. The layout is made for multiplying: sixteen rows lie side by side, one
/// 32-bit word each, so that a vector register holds the same columns of several rows, whatever its width.
namespace precis::kernel {

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
    std::size_t offsets = 0;     ///< where zero points or minima start
    std::size_t tails = 0;       ///< where the tail of row 0 starts
    std::size_t tail_bytes = 0;  ///< from the tail of one row to that of the next
    std::size_t bytes = 0;       ///< of everything
  };
  [[nodiscard]] constexpr layout layout_of(std::size_t out, std::size_t in) const noexcept {
    layout l;
    l.groups = groups(out, in);
    l.row_words = in / block_columns * code_bits;
    l.scales = out * l.row_words * 4;
    l.offsets = l.scales + l.groups * scale_bytes();
    l.tails = l.offsets;
    if (rule == grid_rule::affine) l.tails += packed_bytes(l.groups, code_bits);
    if (has_minimum()) l.tails += l.groups * scale_bytes();
    l.tail_bytes = packed_bytes(in % block_columns, code_bits);
    l.bytes = l.tails + out * l.tail_bytes;
    return l;
  }
};

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
  const auto read_tail = [&](auto constant) {
    for (std::size_t i = 0; i < count; ++i) codes[i] = static_cast<Code>(code_at<constant>(tail, i));
  };
  if constexpr (sizeof(Code) == 1)
    with_bits(bits, read_tail);
  else if (bits == 16)
    read_tail(std::integral_constant<unsigned, 16>{});
  else
    read_tail(std::integral_constant<unsigned, 24>{});
  return count;
}

namespace detail {
using kernel::with_float;
}

}  // namespace precis::kernel
