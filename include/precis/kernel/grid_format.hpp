#if !defined(PRECIS_KERNEL_GRID_FORMAT)
#define PRECIS_KERNEL_GRID_FORMAT

#include <precis/kernel/code_planes.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/minifloat.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

/// How matrices of small integers and small floats are stored. The layout is made for multiplication: the 32-bit words
/// of sixteen rows are adjacent, so that a vector register of any width holds the same columns of several rows.
namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// A group, the weights that share one scale, is given by its number of consecutive columns (the last group of a row
/// may be shorter) or by one of these constants.
inline constexpr std::size_t per_row = static_cast<std::size_t>(-1);  ///< a whole row (output channel)
inline constexpr std::size_t per_tensor = 0;                          ///< the whole matrix

/// How real numbers map to codes: evenly spaced, or as small floats with a shared scale. See docs/methods: affine,
/// min_anchored, scaled_float and log2.
enum class grid_rule : std::uint8_t {
  affine,
  symmetric,
  symmetric_full,
  min_anchored,
  min_anchored_floor,
  e4m3,      ///< 8-bit floats
  e5m2,      ///< 8-bit floats
  e2m1,      ///< 4-bit floats
  log2,      ///< powers of two, 3 or 4 bits
  log_sqrt2  ///< powers of the square root of two, 3 or 4 bits
};

/// How scales (and the minima of min_anchored) are stored.
enum class scale_type : std::uint8_t { float32, float16 };

/// One format of integers or small floats, as a value. The codec types of precis/codec are built from it.
///
/// Stored layout, version 2 (docs/packed.md draws it): everything is little-endian, and there is no header (the caller
/// stores out and in). Rows are grouped in tiles of 16, the last of which may have fewer; columns in blocks of 32,
/// with a tail of in % 32.
///
///     codes         tile by tile, block by block, word by word: the word of each row of the tile, 4 bytes per row
///     scales        tile by tile, group by group: the scale of each row of the tile, float32 or float16
///     zero points   affine: in the same order, one stream of codes of code_bits bits, padded with zeros to a byte
///       or minima   min_anchored: in the same order, float32 or float16
///     tails         row by row: the last in % 32 codes as a stream, padded with zeros to a byte
///
/// The words of a block are bit planes, whose widths are powers of two. A plane of w bits takes w words; the
/// bits [p w, p w + w) of byte j of word v are the plane's bits of column 4 (v * 8 / w + p) + j. The widest plane comes
/// first and holds the lowest bits: 4-bit codes are one plane, 5-bit codes a plane of bits 0 to 3 and one of bit 4,
/// 16-bit codes two planes of 8.
///
/// If the buffer starts at a cache line, so does every block of a whole tile. The size equals that of a row-by-row
/// stream.
///
/// Stored codes are never negative. Affine: the code q itself, 0 ... 2^b - 1. Symmetric: q + 2^(b-1) - 1;
/// symmetric_full: q + 2^(b-1); min_anchored: q - q_min. All rules but min_anchored decode to
/// scale * (code - zero_point), where the symmetric rules have a constant zero point; min_anchored decodes to
/// scale * code + minimum. Small floats are stored as their own bits and decode to scale * value; infinities and NaN
/// are never stored.
struct grid_format {
  static constexpr unsigned layout_version = 2;

  grid_rule rule = grid_rule::affine;
  unsigned code_bits = 8;       ///< 2 ... 8, 16 or 24
  std::size_t group = per_row;  ///< weights per scale, or per_row, or per_tensor
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
  /// The stored code of real 0 if it is the same for every group: for the symmetric rules and floats.
  [[nodiscard]] constexpr std::int32_t fixed_zero_point() const noexcept {
    const auto half = static_cast<std::int32_t>(1u << (code_bits - 1));
    return rule == grid_rule::symmetric ? half - 1 : rule == grid_rule::symmetric_full ? half : 0;
  }

  [[nodiscard]] constexpr std::size_t groups_per_row(std::size_t in) const noexcept {
    if (group == per_tensor || in == 0) return 0;  // the group of a whole matrix belongs to no row
    return group >= in ? 1 : (in - 1) / group + 1;
  }
  [[nodiscard]] constexpr std::size_t groups(std::size_t out, std::size_t in) const noexcept {
    if (out == 0 || in == 0) return 0;
    return group == per_tensor ? 1 : out * groups_per_row(in);
  }
  /// The index of group `k` of row `row` among the stored scales.
  [[nodiscard]] constexpr std::size_t group_at(std::size_t out, std::size_t in, std::size_t row,
                                               std::size_t k) const noexcept {
    if (group == per_tensor) return 0;
    const std::size_t first = row - row % tile_rows;
    const std::size_t rows = out - first < tile_rows ? out - first : tile_rows;
    return first * groups_per_row(in) + k * rows + (row - first);
  }

  /// The positions of the parts, in bytes. The blocks of tile t start at t * 16 * row_words * 4.
  struct layout {
    std::size_t groups = 0;
    std::size_t row_words = 0;   ///< words per row, in whole blocks
    std::size_t scales = 0;      ///< start of the scales, after the blocks
    std::size_t offsets = 0;     ///< start of the zero points or minima
    std::size_t tails = 0;       ///< start of the tail of row 0
    std::size_t tail_bytes = 0;  ///< from the tail of one row to that of the next
    std::size_t bytes = 0;       ///< total size
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

/// Calls f(the minifloat or falling_power) for a format of small floats.
template<class F>
constexpr void with_float(const grid_format& format, F&& f) {
  const bool of_three_bits = format.code_bits == 3;
  switch (format.rule) {
    case grid_rule::e4m3: return f(float8_e4m3{});
    case grid_rule::e5m2: return f(float8_e5m2{});
    case grid_rule::e2m1: return f(float4_e2m1{});
    case grid_rule::log2: return of_three_bits ? f(falling_power<3, 1>{}) : f(falling_power<4, 1>{});
    case grid_rule::log_sqrt2: return of_three_bits ? f(falling_power<3, 2>{}) : f(falling_power<4, 2>{});
    default: return;
  }
}

/// Unpacks block `block` of one row, which may be the tail, and returns its number of codes. Requires row < out and 32
/// * block < in.
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

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_GRID_FORMAT
