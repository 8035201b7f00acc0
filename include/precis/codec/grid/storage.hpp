#if !defined(PRECIS_CODEC_GRID_STORAGE)
#define PRECIS_CODEC_GRID_STORAGE

#include <precis/codec/code_stream.hpp>
#include <precis/codec/grid/format_name.hpp>
#include <precis/codec/grid/group.hpp>
#include <precis/codec/tile/layout.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/half.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// Scales, codes of a row and grids of a tile at their places in a packed matrix (the layout of kernel::grid_format).
/// Codecs with the same layout share these functions.
namespace precis::codec {
PRECIS_IEEE_BEGIN

/// Stores a scale: two or four bytes, little-endian.
inline void store_scale(float value, scale_type type, std::byte* at) noexcept {
  const std::uint32_t bits = type == scale_type::float32 ? kernel::bit_cast<std::uint32_t>(value)
                                                         : std::uint32_t{kernel::float_to_half(value)};
  at[0] = static_cast<std::byte>(bits & 0xFFu);
  at[1] = static_cast<std::byte>(bits >> 8 & 0xFFu);
  if (type != scale_type::float32) return;
  at[2] = static_cast<std::byte>(bits >> 16 & 0xFFu);
  at[3] = static_cast<std::byte>(bits >> 24);
}
/// Loads a scale that store_scale wrote.
[[nodiscard]] inline float load_scale(scale_type type, const std::byte* at) noexcept {
  const auto low = static_cast<std::uint32_t>(at[0]) | static_cast<std::uint32_t>(at[1]) << 8;
  if (type != scale_type::float32) return kernel::half_to_float(static_cast<std::uint16_t>(low));
  return kernel::bit_cast<float>(low | static_cast<std::uint32_t>(at[2]) << 16 |
                                 static_cast<std::uint32_t>(at[3]) << 24);
}

namespace detail {

/// The position of one row's codes in a packed matrix.
struct row_position {
  std::size_t tile;         ///< byte at which the row's tile starts
  std::size_t rows;         ///< rows of that tile
  std::size_t lane;         ///< index of the row in the tile
  std::size_t blocks;       ///< whole blocks of the row
  std::size_t tail;         ///< byte at which the row's tail starts
  std::size_t tail_column;  ///< first column of the tail

  row_position(const grid_format::layout& l, std::size_t out, std::size_t in, std::size_t row) noexcept
      : lane(row % kernel::tile_rows), blocks(in / kernel::block_columns) {
    const std::size_t first = row - lane;
    tile = first * l.row_words * 4;
    rows = std::min(out - first, kernel::tile_rows);
    tail = l.tails + row * l.tail_bytes;
    tail_column = blocks * kernel::block_columns;
  }
};

}  // namespace detail

/// Stores the codes of one row of a matrix with `out` rows: its whole blocks and its tail.
///
/// Requires  l is the layout for out x codes.size(); row < out; packed has l.bytes bytes; codes are below 2^bits;
///           `Widths` contains `bits`.
template<class Code, unsigned Widths = kernel::every_width>
void store_row_codes(const grid_format::layout& l, unsigned bits, std::size_t out, std::size_t row,
                     std::span<const Code> codes, std::span<std::byte> packed) {
  const detail::row_position p(l, out, codes.size(), row);
  kernel::pack_row<Code, Widths>(codes.data(), bits, p.blocks, packed.data() + p.tile, p.rows, p.lane);
  pack_codes(codes.subspan(p.tail_column), bits, packed.subspan(p.tail, l.tail_bytes));
}
/// Loads the codes that store_row_codes wrote. Same requirements.
template<class Code>
void load_row_codes(const grid_format::layout& l, unsigned bits, std::size_t out, std::size_t row,
                    std::span<const std::byte> packed, std::span<Code> codes) {
  const detail::row_position p(l, out, codes.size(), row);
  kernel::unpack_row(packed.data() + p.tile, p.rows, p.lane, bits, p.blocks, codes.data());
  unpack_codes(packed.subspan(p.tail, l.tail_bytes), bits, codes.subspan(p.tail_column));
}

/// Stores the grids of the `rows` rows of one tile, given row by row. per_tensor: the one grid, with rows == 1.
template<class = void>
inline void store_grids(const grid_format& f, std::span<const grid> grids, std::size_t rows,
                        tile::stored_parts<std::byte> to) noexcept {
  const std::size_t step = f.scale_bytes(), groups = grids.size() / rows;
  std::vector<std::uint32_t> zeros;
  for (std::size_t i = 0; i < grids.size(); ++i) {
    const grid& g = grids[i % rows * groups + i / rows];
    store_scale(g.scale, f.scales, to.scales + i * step);
    if (f.has_minimum()) store_scale(g.minimum, f.scales, to.offsets + i * step);
    if (f.rule == grid_rule::affine) zeros.push_back(static_cast<std::uint32_t>(g.zero_point));
  }
  if (!zeros.empty())
    pack_codes(as_span(zeros), f.code_bits, as_writable_span(to.offsets, packed_bytes(zeros.size(), f.code_bits)));
}
/// Loads the grids that store_grids wrote, row by row.
template<class = void>
inline void load_grids(const grid_format& f, tile::stored_parts<const std::byte> from, std::size_t rows,
                       std::span<grid> grids) noexcept {
  const std::size_t step = f.scale_bytes(), groups = grids.size() / rows;
  std::vector<std::uint32_t> zeros(f.rule == grid_rule::affine ? grids.size() : 0);
  if (!zeros.empty())
    unpack_codes(as_span(from.offsets, packed_bytes(zeros.size(), f.code_bits)), f.code_bits, as_writable_span(zeros));
  for (std::size_t i = 0; i < grids.size(); ++i) {
    grid& g = grids[i % rows * groups + i / rows];
    g.scale = load_scale(f.scales, from.scales + i * step);
    g.zero_point = zeros.empty() ? f.fixed_zero_point() : static_cast<std::int32_t>(zeros[i]);
    if (f.has_minimum()) g.minimum = load_scale(f.scales, from.offsets + i * step);
  }
}

PRECIS_IEEE_END
}  // namespace precis::codec

#endif  // PRECIS_CODEC_GRID_STORAGE
