#if !defined(PRECIS_CODEC_TILE_LAYOUT)
#define PRECIS_CODEC_TILE_LAYOUT

#include <precis/codec/grid/format_name.hpp>
#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>

#include <cstddef>

/// The fast path for integer formats: sixteen rows (a tile) at a time, with vector lanes.
///
/// Encoding (codec/grid/matrix.hpp), the clip search (fit/clip_search.hpp) and the error scan (cost/error_scan.hpp)
/// share these steps and nothing else:
///
///     supports             which formats and row lengths have a fast path
///     find_ranges          the range of every group of a batch; false: a weight is not finite
///     spanning_grids       the grids that span these ranges, as codec::spanning_grid defines them
///     reciprocal_is_exact  whether the quantizer may multiply by a reciprocal instead of dividing
///     quantizer            codes, quantization errors or decoded weights on these grids
///     encode_rows, decode_rows    one whole tile of a packed matrix
///
/// Where a step returns false, the caller uses the scalar definition (codec/grid/group.hpp) for the same weights.
///
/// @post  every result is equal, bit for bit, to that of the scalar definition, on every instruction set.
namespace precis::codec::tile {
PRECIS_IEEE_BEGIN

using kernel::block_columns;  ///< columns of a block
using kernel::tile_rows;      ///< rows of a tile: sixteen

// The only kernel internals that this folder uses.
using kernel::code_plane;
using kernel::code_planes;
using kernel::codes_of;
using kernel::for_constants;
using kernel::planes_of;
using kernel::with_bits;

/// Whether rows of `in` weights are encoded and decoded by tiles. This requires integer codes of at most 8 bits, no
/// minimum, and rows and groups that consist of whole blocks.
[[nodiscard]] constexpr bool supports(const grid_format& f, std::size_t in) noexcept {
  return kernel::native_code_lanes::rows > 1 && !f.wide() && !f.has_minimum() && !f.is_float() && in > 0 &&
         in % block_columns == 0 && (f.group >= in || f.group % block_columns == 0);
}

/// Whether matrices are encoded and decoded by tiles. Not without optimization: then it takes twice as long as the scalar
/// definition, and as long to compile as all of it.
#if defined(__OPTIMIZE__)
inline constexpr bool in_use = kernel::native_code_lanes::rows > 1;
#else
inline constexpr bool in_use = false;
#endif

/// Short groups are processed in batches of up to this many columns, so that the divisions of one group overlap with
/// those of the next.
inline constexpr std::size_t batch_columns = 256;
/// The maximum number of grids in a batch, which has one per row and group.
inline constexpr std::size_t max_grids = batch_columns / block_columns * tile_rows;

/// The grids of a batch: sixteen of the first group, one per row, then sixteen of the second group, ...
struct grid_batch {
  alignas(64) float scale[max_grids];
  alignas(64) float zero_point[max_grids];
};

/// One or several consecutive groups of each of sixteen rows.
struct group_batch {
  const float* weights = nullptr;     ///< the first weight of the first row
  std::ptrdiff_t stride = 0;          ///< floats from one row to the next
  std::size_t columns = 0;            ///< weights per group
  std::size_t count = 0;              ///< groups per row
  std::size_t index = 0;              ///< index of the first row's first group in the matrix
  std::size_t groups_per_row = 0;     ///< groups of a whole row of the matrix
  alignas(64) float lo[max_grids]{};  ///< the smallest of a group's weights and 0; symmetric formats: -hi
  alignas(
      64) float hi[max_grids]{};  ///< the largest of a group's weights and 0; symmetric formats: the largest magnitude
};

/// Pointers to the stored parts of one tile of a packed matrix. With a per_tensor grid, `scales` and `offsets` are
/// those of the whole matrix.
template<class Byte>
struct stored_parts {
  Byte* blocks;  ///< codes
  Byte* scales;
  Byte* offsets;  ///< zero points (affine) or minima (min_anchored)

  stored_parts(const grid_format& f, const grid_format::layout& l, std::size_t in, std::size_t first_row,
               Byte* packed) noexcept
      : blocks(packed + first_row * l.row_words * 4),
        scales(packed + l.scales + first_row * f.groups_per_row(in) * f.scale_bytes()),
        offsets(packed + l.offsets +
                first_row * f.groups_per_row(in) * (f.has_minimum() ? f.scale_bytes() * 8 : f.code_bits) / 8) {}
};

PRECIS_IEEE_END
}  // namespace precis::codec::tile

#endif  // PRECIS_CODEC_TILE_LAYOUT
