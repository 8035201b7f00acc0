#if !defined(PRECIS_CODEC_TILE_ENCODE)
#define PRECIS_CODEC_TILE_ENCODE

#include <precis/codec/code_stream.hpp>
#include <precis/codec/tile/layout.hpp>
#include <precis/codec/tile/quantize.hpp>
#include <precis/codec/tile/ranges.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace precis::codec::tile {
PRECIS_IEEE_BEGIN

namespace detail {

/// Packs the codes of one block, as quantizer::block_codes returns them.
template<class Code, unsigned Bits>
void store_block(const typename Code::words (&quads)[8], std::byte* at) noexcept {
  constexpr code_planes planes = planes_of(Bits);
  typename Code::words words[Bits];
  for_constants<planes.count>([&](auto i) PRECIS_INLINE_LAMBDA {
    constexpr code_plane plane = planes.at[i];
    constexpr std::uint32_t mask = ((1u << plane.width) - 1u) * 0x0101'0101u;
    for_constants<8>([&](auto k) PRECIS_INLINE_LAMBDA {
      constexpr std::size_t v = plane.word + k * plane.width / 8;
      constexpr unsigned bit = k * plane.width % 8;
      constexpr int right = static_cast<int>(plane.low) - static_cast<int>(bit);
      if constexpr (bit == 0)
        words[v] = Code::template digits<right, mask>(quads[k]);
      else
        words[v] = Code::template merge<right, (mask << bit)>(words[v], quads[k]);
    });
  });
  for_constants<Bits>([&](auto v) PRECIS_INLINE_LAMBDA { Code::store(at + v * tile_rows * 4, words[v]); });
}

/// Stores the grids of one group of sixteen rows.
template<class Code>
void store_grids(const grid_format& f, const float* scale, const float* zero_point, std::byte* scales,
                 std::byte* zero_points) noexcept {
  for (std::size_t r = 0; r < tile_rows; r += Code::rows)
    if (f.scales == scale_type::float32)
      Code::store_floats(scales + 4 * r, Code::floats::load(scale + r));
    else
      Code::store_halves(scales + 2 * r, Code::floats::load(scale + r));
  if (f.rule != grid_rule::affine) return;
  std::uint8_t codes[tile_rows];
  for (std::size_t r = 0; r < tile_rows; ++r) codes[r] = static_cast<std::uint8_t>(zero_point[r]);
  pack_codes(as_span(static_cast<const std::uint8_t*>(codes), tile_rows), f.code_bits,
             as_writable_span(zero_points, std::size_t{2} * f.code_bits));
}

}  // namespace detail

/// Encodes one tile on the grids that choose(group_batch, grid_batch&) fills in.
///
/// Requires  weights: sixteen contiguous rows, `supports(f, weights.cols)`, Widths containing f.code_bits; first_row is the index of the first of
///           them.
/// @post     returns false if `choose` returned false, a weight is not finite, or reciprocals are not exact. The bytes
///           written so far are then meaningless, and the caller encodes the tile with the scalar definition.
template<class Code = kernel::native_code_lanes, unsigned Widths = kernel::every_width, class Choose>
[[nodiscard]] bool encode_rows(const grid_format& f, weight_view weights, std::size_t first_row,
                               stored_parts<std::byte> to, const Choose& choose) {
  using lanes = typename Code::floats;
  const std::size_t in = weights.cols;
  const bool per_matrix = f.group == per_tensor;
  const std::size_t length = per_matrix || f.group >= in ? in : f.group, groups = f.groups_per_row(in);
  group_batch g{.index = first_row * groups, .groups_per_row = groups};
  grid_batch grids;
  const bool copies = length <= batch_columns && rows_share_cache_sets(weights.row_stride);
  alignas(64) float copy[tile_rows * batch_columns];
  for (std::size_t column = 0; column < in;) {
    const std::size_t rest = in - column;
    g.columns = std::min(length, rest);  // the last group may be shorter
    g.count = std::clamp<std::size_t>(std::min(rest, batch_columns) / g.columns, 1, batch_columns / block_columns);
    g.weights = weights.data + column;
    g.stride = weights.row_stride;
    if (copies) {
      copy_rows<lanes>(g.weights, g.stride, g.count * g.columns, copy);
      g.weights = copy;
      g.stride = batch_columns;
    }
    if (!find_ranges<lanes>(f, g) || !choose(g, grids) || !reciprocal_is_exact(f, g, grids)) return false;
    const quantizer quantize(f, grids, g.count * tile_rows);
    for (std::size_t k = 0; k < g.count; ++k, ++g.index, g.weights += g.columns) {
      const std::size_t first_grid = k * tile_rows;
      if (!per_matrix) {
        detail::store_grids<Code>(f, grids.scale + first_grid, grids.zero_point + first_grid, to.scales, to.offsets);
        to.scales += tile_rows * f.scale_bytes();
        to.offsets += tile_rows * f.code_bits / 8;
      }
      with_bits<Widths>(f.code_bits, [&](auto bits) PRECIS_TARGET {
        for (std::size_t c = 0; c < g.columns; c += block_columns, to.blocks += bits * tile_rows * 4)
          for (std::size_t r = 0; r < tile_rows; r += Code::rows) {
            typename Code::words quads[8];
            quantize.template block_codes<Code>(g.weights + static_cast<std::ptrdiff_t>(r) * g.stride + c, g.stride,
                                                first_grid + r, quads);
            detail::store_block<Code, bits>(quads, to.blocks + 4 * r);
          }
      });
    }
    column += g.count * g.columns;
  }
  return true;
}

PRECIS_IEEE_END
}  // namespace precis::codec::tile

#endif  // PRECIS_CODEC_TILE_ENCODE
