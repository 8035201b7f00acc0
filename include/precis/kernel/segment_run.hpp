#if !defined(PRECIS_KERNEL_SEGMENT_RUN)
#define PRECIS_KERNEL_SEGMENT_RUN

#include <precis/kernel/code_planes.hpp>
#include <precis/kernel/code_values.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/packed_grid.hpp>
#include <precis/kernel/prepared_vector.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>

/// Which bytes of a packed matrix the product kernels read: runs of segments that are contiguous in memory, and padded
/// copies of the segments at its edges.
namespace precis::kernel::detail {

/// How the offsets of a run (the zero points or minima of its groups) are stored.
enum class offset_kind : std::uint8_t {
  fixed,        ///< not stored: every group has the same zero point
  zero_points,  ///< zero points, as a stream of codes
  zero_floats,  ///< zero points, as floats
  minima        ///< minima, of the same type as the scales
};

/// Consecutive segments of one tile, or of two neighbouring tiles, with their scales, their offsets and the part of x
/// that they are multiplied by.
template<class Value>
struct segment_run {
  const std::byte* block = nullptr;    ///< of the first segment
  const std::byte* scales = nullptr;   ///< of the sixteen rows, for the first segment
  const std::byte* offsets = nullptr;  ///< of the same rows and segment
  std::size_t scale_step = 0;  ///< bytes from the scales of a segment to those of the next; 0: they share theirs
  std::size_t offset_step = 0;
  std::size_t tile_block = 0;  ///< bytes from the first tile to the second; 0: there is one tile
  std::size_t tile_scales = 0;
  std::size_t tile_offsets = 0;
  const Value* values = nullptr;    ///< of x
  const float* x_scales = nullptr;  ///< of x, if it consists of bytes
  const float* x_sums = nullptr;
  std::size_t segments = 0;
  std::size_t blocks = 0;  ///< per segment
  offset_kind offset = offset_kind::fixed;
  bool halves = false;  ///< scales and minima are float16
  float fixed_zero = 0;
};

/// The address that belongs to row `row` of a run: tiles are `tile_step` bytes apart, rows of a tile `row_step`.
[[nodiscard]] PRECIS_INLINE const std::byte* at_row(const std::byte* first, std::size_t row, std::size_t tile_step,
                                                    std::size_t row_step) noexcept {
  return first + row / tile_rows * tile_step + row % tile_rows * row_step;
}

/// Zero points first, first + 1, ... of the sixteen in a stream of codes.
template<class Code, unsigned Bits>
[[nodiscard]] PRECIS_INLINE typename Code::floats::vector zero_points_of(const std::byte* stream,
                                                                         std::size_t first) noexcept {
  if constexpr (Bits <= 8) {
    return Code::template zero_points<Bits>(stream, first);
  } else {
    float zeros[Code::rows];
    for (std::size_t r = 0; r < Code::rows; ++r) zeros[r] = static_cast<float>(code_at<Bits>(stream, first + r));
    return Code::floats::load(zeros);
  }
}

/// Scales or minima of the rows from `row` of a run on, one per lane.
template<class Code, class Value>
[[nodiscard]] PRECIS_INLINE typename Code::floats::vector run_floats(const segment_run<Value>& run,
                                                                     const std::byte* first, std::size_t row,
                                                                     std::size_t tile_step) noexcept {
  return run.halves ? Code::load_halves(at_row(first, row, tile_step, 2))
                    : Code::load_floats(at_row(first, row, tile_step, 4));
}

/// What is added per unit of the sum of x: minima as they are, zero points negated; `fixed` if they are not stored.
template<class Code, unsigned Bits, class Value>
[[nodiscard]] PRECIS_INLINE typename Code::floats::vector run_offsets(const segment_run<Value>& run, std::size_t row,
                                                                      typename Code::floats::vector fixed) noexcept {
  using lanes = typename Code::floats;
  if (run.offset == offset_kind::fixed) return fixed;
  if (run.offset == offset_kind::minima) return run_floats<Code>(run, run.offsets, row, run.tile_offsets);
  const auto zero = run.offset == offset_kind::zero_points
                        ? zero_points_of<Code, Bits>(at_row(run.offsets, row, run.tile_offsets, 0), row % tile_rows)
                        : Code::load_floats(at_row(run.offsets, row, run.tile_offsets, 4));
  return lanes::subtract(lanes::zero(), zero);
}

/// Copies blocks of a tile to their positions in a tile of 16 rows. Missing rows and columns are zero.
template<unsigned Bits>
void pad_blocks(const packed_grid& m, const grid_format::layout& l, std::size_t first_row, std::size_t rows,
                std::size_t first_block, std::size_t blocks, std::byte* to) noexcept {
  const std::size_t whole = m.in / block_columns;
  for (std::size_t i = 0; i < blocks * Bits * word_stride; ++i) to[i] = std::byte{0};
  for (std::size_t b = 0; b < blocks; ++b, to += Bits * word_stride) {
    const std::size_t at = first_block + b;
    if (at < whole) {
      const std::byte* from = m.data + first_row * l.row_words * 4 + at * Bits * rows * 4;
      for (std::size_t v = 0; v < Bits; ++v)
        for (std::size_t i = 0; i < rows * 4; ++i) to[v * word_stride + i] = from[v * rows * 4 + i];
    } else {
      for (std::size_t r = 0; r < rows; ++r) {
        const std::byte* const tail = m.data + l.tails + (first_row + r) * l.tail_bytes;
        std::uint32_t codes[block_columns] = {};
        for (std::size_t c = 0; c < m.in % block_columns; ++c) codes[c] = code_at<Bits>(tail, c);
        std::uint32_t words[Bits];
        pack_block(codes, Bits, words);
        for (std::size_t v = 0; v < Bits; ++v) put_word32(words[v], to + v * word_stride + r * 4);
      }
    }
  }
}

/// Scales and offsets of one group of a tile as floats, for sixteen rows even if the tile has fewer.
struct padded_side {
  std::byte scales[tile_rows * 4] = {};
  std::byte offsets[tile_rows * 4] = {};
};
template<unsigned Bits>
void pad_side(const packed_grid& m, const grid_format::layout& l, std::size_t first_row, std::size_t rows,
              std::size_t group, padded_side& side) noexcept {
  const grid_format& f = m.format;
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t at = f.group_at(m.out, m.in, first_row + r, group);
    float offset = 0;
    if (f.rule == grid_rule::affine)
      offset = static_cast<float>(static_cast<std::int32_t>(code_at<Bits>(m.data + l.offsets, at)));
    if (f.has_minimum()) offset = stored_float(m.data + l.offsets + at * f.scale_bytes(), f.scales);
    const float scale = stored_float(m.data + l.scales + at * f.scale_bytes(), f.scales);
    put_word32(std::bit_cast<std::uint32_t>(scale), side.scales + 4 * r);
    put_word32(std::bit_cast<std::uint32_t>(offset), side.offsets + 4 * r);
  }
}

/// A padded copy of one segment of a tile.
template<unsigned Bits>
struct padded_segment {
  alignas(64) std::byte blocks[std::size_t{4} * Bits * word_stride];  // a segment has at most four blocks
  padded_side side;
};

/// The segments of a packed matrix. A segment has as many columns as the segments of the vectors that it is multiplied
/// by.
template<unsigned Bits>
struct segment_positions {
  packed_grid m;
  grid_format::layout l;
  std::size_t segment;      ///< columns per segment
  std::size_t blocks;       ///< per segment
  std::size_t count;        ///< segments per row; the last may be shorter
  std::size_t full;         ///< segments of full length
  std::size_t groups;       ///< per row
  std::size_t per_group;    ///< segments that share a scale
  std::size_t scale_step;   ///< bytes from the scales of one group of a tile to those of the next
  std::size_t offset_step;  ///< the same for offsets
  bool affine;

  segment_positions(const packed_grid& matrix, std::size_t columns) noexcept
      : m(matrix),
        l(m.format.layout_of(m.out, m.in)),
        segment(columns),
        blocks(columns / block_columns),
        count(detail::segments(m.in, columns)),
        full(m.in / columns),
        groups(m.format.groups_per_row(m.in)),
        per_group(groups <= 1 ? count : m.format.group / columns),
        scale_step(tile_rows * m.format.scale_bytes()),
        offset_step(m.format.rule == grid_rule::affine ? tile_rows / 8 * Bits : scale_step),
        affine(m.format.rule == grid_rule::affine) {}

  /// Points `run` at the segments from `s` on, of `rows` rows from `row` on: those of one group if several segments
  /// share a scale, else all of full length; or the last one, if it is shorter and has whole blocks. Requires whole
  /// tiles, one or two.
  template<class Run>
  PRECIS_INLINE void place(std::size_t row, std::size_t rows, std::size_t s, Run& run) const noexcept {
    const std::size_t side = row / tile_rows * groups + (s == 0 ? 0 : s / per_group);
    const bool shared = per_group > 1;
    run.block = m.data + row * l.row_words * 4 + s * blocks * Bits * word_stride;
    run.scales = m.data + l.scales + side * scale_step;
    run.offsets = m.data + l.offsets + side * offset_step;
    run.scale_step = shared ? 0 : scale_step;
    run.offset_step = shared ? 0 : offset_step;
    if (rows > tile_rows) {
      run.tile_block = l.row_words * 4 * tile_rows;
      run.tile_scales = groups * scale_step;
      run.tile_offsets = groups * offset_step;
    }
    run.blocks = s < full ? blocks : m.in / block_columns - s * blocks;
    run.segments = segments_from(s);
    if (affine) run.offset = offset_kind::zero_points;
    run.halves = m.format.scales == scale_type::float16;
  }
  [[nodiscard]] PRECIS_INLINE std::size_t segments_from(std::size_t s) const noexcept {
    return s >= full ? 1 : per_group > 1 && full - s > per_group ? per_group : full - s;
  }

  /// Points `run` at a copy of segment `s` of the tile at `row`, padded to 16 rows and whole blocks.
  template<class Run>
  void pad(std::size_t row, std::size_t rows, std::size_t s, padded_segment<Bits>& copy, Run& run) const noexcept {
    run.segments = 1;
    run.blocks = s + 1 == count ? (whole_blocks(m.in) - s * segment) / block_columns : blocks;
    pad_blocks<Bits>(m, l, row, rows, s * blocks, run.blocks, copy.blocks);
    pad_side<Bits>(m, l, row, rows, s / per_group, copy.side);
    run.block = copy.blocks;
    run.scales = copy.side.scales;
    run.offsets = copy.side.offsets;
    if (affine) run.offset = offset_kind::zero_floats;
  }
};

}  // namespace precis::kernel::detail

#endif  // PRECIS_KERNEL_SEGMENT_RUN
