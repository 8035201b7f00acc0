#if !defined(PRECIS_KERNEL_SEGMENT_RUN)
#define PRECIS_KERNEL_SEGMENT_RUN

#include <precis/kernel/code_planes.hpp>
#include <precis/kernel/code_values.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/packed_grid.hpp>
#include <precis/kernel/prepared_vector.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

/// Which bytes of a packed matrix the product kernels read: runs of segments that are contiguous in memory, and padded
/// copies of the segments at its edges.
namespace precis::kernel::detail {
PRECIS_IEEE_BEGIN

/// How the offsets of a run (the zero points or minima of its groups) are stored.
enum class offset_kind : std::uint8_t {
  fixed,        ///< not stored: every group has the same zero point
  zero_points,  ///< zero points, as a stream of codes
  zero_floats,  ///< zero points, as floats
  minima        ///< minima, of the same type as the scales
};

/// Consecutive segments of one tile, or of two neighbouring tiles, with their scales, their offsets and the part of x
/// that they are multiplied by: `segments` of equal length, and then, if `last` is 1, the shorter last one of the rows.
template<class Value>
struct segment_run {
  const std::byte* block = nullptr;    ///< of the first segment
  const std::byte* scales = nullptr;   ///< of the sixteen rows, for the first segment
  const std::byte* offsets = nullptr;  ///< of the same rows and segment
  const std::byte* tail = nullptr;     ///< the last columns, as `unpack_tails` unpacked them
  std::size_t scale_step = 0;  ///< bytes from the scales of a segment to those of the next; 0: they share theirs
  std::size_t offset_step = 0;
  std::size_t per_scale = 1;   ///< consecutive segments that share their scales, if these are not all the same
  std::size_t first_zero = 0;  ///< of a part of a tile: the index of the first zero point in `offsets`
  std::size_t rows = tile_rows;
  std::size_t tile_block = 0;  ///< bytes from the first tile to the second; 0: there is one tile
  std::size_t tile_scales = 0;
  std::size_t tile_offsets = 0;
  std::size_t tile_tail = 0;
  std::size_t ahead = 0;               ///< bytes to prefetch ahead
  const Value* values = nullptr;       ///< of x
  const Value* last_values = nullptr;  ///< of x, for the last segment, padded with zeros to whole blocks
  const float* x_scales = nullptr;     ///< of x, if it consists of bytes
  const float* x_sums = nullptr;
  std::size_t segments = 0;
  std::size_t blocks = 0;       ///< per segment
  std::size_t last = 0;         ///< 1: the last segment follows
  std::size_t last_blocks = 0;  ///< the whole blocks of the last segment
  std::size_t last_group = 0;   ///< the last segment's, counted from that of the first segment
  std::size_t tail_quads = 0;   ///< the columns after these / 4, rounded up
  offset_kind offset = offset_kind::fixed;
  bool halves = false;  ///< scales and minima are float16
  float fixed_zero = 0;
};

/// The columns of a segment after its whole blocks, as `unpack_tails` unpacked them, for several parts of its rows.
template<std::size_t Parts>
struct segment_tail {
  const std::byte* part[Parts];
  std::size_t quads = 0;
};

/// The address that belongs to row `row` of a run: tiles are `tile_step` bytes apart, rows of a tile `row_step`.
[[nodiscard]] PRECIS_INLINE const std::byte* at_row(const std::byte* first, std::size_t row, std::size_t tile_step,
                                                    std::size_t row_step) noexcept {
  return first + row / tile_rows * tile_step + row % tile_rows * row_step;
}

/// The same for the tail of a run; any address if there is none.
template<class Value>
[[nodiscard]] PRECIS_INLINE const std::byte* tail_at(const segment_run<Value>& run, std::size_t row) noexcept {
  return at_row(run.tail_quads == 0 ? run.block : run.tail, row, run.tile_tail, 4);
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
  if (run.halves) [[likely]]  // straight-line code for the most frequent formats
    return Code::load_halves(at_row(first, row, tile_step, 2));
  return Code::load_floats(at_row(first, row, tile_step, 4));
}

/// Zero points first + row, ... of a stream for the rows from `row` on, one per lane, where `first` is any code. Reads
/// only bytes that hold bits of the sixteen from `first` on.
template<class Code, unsigned Bits>
[[nodiscard]] PRECIS_INLINE typename Code::floats::vector any_zero_points(const std::byte* stream, std::size_t first,
                                                                          std::size_t row) noexcept {
  if constexpr (Bits <= 8 && requires { Code::template zero_points<Bits>(two_words{}, row); }) {
    const std::size_t bit = first * Bits % 8;
    const two_words held = get_bytes(stream + first * Bits / 8, (bit + tile_rows * Bits + 7) / 8);
    return Code::template zero_points<Bits>(two_words{held.low >> bit | held.high << 1 << (63 - bit), held.high >> bit},
                                            row);
  } else {
    return zero_points_of<Code, Bits>(stream, first + row);
  }
}

/// What is added per unit of the sum of x in group `s` of the run: minima as they are, zero points negated; `fixed` if
/// they are not stored. If Part, the run is of a part of a tile.
template<class Code, unsigned Bits, bool Part = false, class Value>
[[nodiscard]] PRECIS_INLINE typename Code::floats::vector run_offsets(const segment_run<Value>& run, std::size_t s,
                                                                      std::size_t row,
                                                                      typename Code::floats::vector fixed) noexcept {
  using lanes = typename Code::floats;
  if (run.offset == offset_kind::fixed) [[likely]]
    return fixed;
  const std::byte* const offsets = run.offsets + s * run.offset_step;
  if (run.offset == offset_kind::minima) return run_floats<Code>(run, offsets, row, run.tile_offsets);
  if constexpr (Part)
    if (run.offset == offset_kind::zero_points)
      return lanes::subtract(lanes::zero(),
                             any_zero_points<Code, Bits>(run.offsets, run.first_zero + s * run.rows, row));
  const auto zero = run.offset == offset_kind::zero_points
                        ? zero_points_of<Code, Bits>(at_row(offsets, row, run.tile_offsets, 0), row % tile_rows)
                        : Code::load_floats(at_row(offsets, row, run.tile_offsets, 4));
  return lanes::subtract(lanes::zero(), zero);
}

/// Sixty-four readable bytes from any byte of a buffer on: a copy of a fixed size is several times faster than one of
/// the bytes that a tile of fewer than sixteen rows has.
class readable_bytes {
 public:
  /// The last bytes of the buffer, followed by zeros, are copied.
  void start(const std::byte* data, std::size_t size) noexcept {
    end_ = data + size;
    const std::size_t count = size < 64 ? size : 64;
    __builtin_memset(last_, 0, sizeof last_);
    if (count == 64)
      __builtin_memcpy(last_, end_ - 64, 64);
    else
      __builtin_memcpy(last_ + 64 - count, data, count);
  }
  [[nodiscard]] PRECIS_INLINE bool readable(const std::byte* from) const noexcept { return end_ - from >= 64; }
  [[nodiscard]] PRECIS_INLINE const std::byte* at(const std::byte* from) const noexcept {
    return readable(from) ? from : last_ + (64 - (end_ - from));
  }
  template<class Code>
  PRECIS_INLINE void copy(const std::byte* from, std::byte* to) const noexcept {
    copy_from<Code>(at(from), to);
  }
  /// Copies 64 readable bytes with stores as wide as the loads that follow: a load of more than was stored waits for the
  /// stores.
  template<class Code>
  PRECIS_INLINE static void copy_from(const std::byte* from, std::byte* to) noexcept {
    if constexpr (Code::rows == 1)
      __builtin_memcpy(to, from, 64);
    else
      for_constants<tile_rows / Code::rows>([&](auto i) PRECIS_INLINE_LAMBDA {
        Code::store(to + i * Code::rows * 4, Code::load(from + i * Code::rows * 4));
      });
  }

  /// Copies codes first, first + 1, ... of a stream: sixteen of them, which then start at a byte.
  template<unsigned Bits>
  void copy_codes(const std::byte* stream, std::size_t first, std::byte* to) const noexcept {
    const std::byte* const from = at(stream + first / 8 * Bits + first % 8 * Bits / 8);
    if constexpr (Bits > 8) {
      __builtin_memcpy(to, from, 64);
    } else {
      const std::size_t shift = first * Bits % 8;
      std::uint64_t words[3] = {};
      for (std::size_t i = 0; i < 5; ++i)
        words[i / 2] |= static_cast<std::uint64_t>(get_word32(from + 4 * i)) << 32 * (i % 2);
      for (std::size_t i = 0; i < 2; ++i) {
        const std::uint64_t word = words[i] >> shift | words[i + 1] << 1 << (63 - shift);
        put_word32(static_cast<std::uint32_t>(word), to + 8 * i);
        put_word32(static_cast<std::uint32_t>(word >> 32), to + 8 * i + 4);
      }
    }
  }

 private:
  const std::byte* end_;
  std::byte last_[128];
};

/// Bytes per tile that `unpack_tails` writes.
template<unsigned Bits>
inline constexpr std::size_t tail_size = (Bits > 8 ? Bits : 8) * word_stride;

/// Unpacks the tails of `rows` <= 16 rows, for the kernels to read after the whole blocks of a segment: the codes of
/// columns 4 k ... 4 k + 3 of row r, one per byte, are at word_stride * k + 4 * r. Codes of more than 8 bits become a
/// block. Missing codes of the last four columns are zero; those of missing rows are any codes.
template<class Code, unsigned Bits>
[[gnu::noinline]] void unpack_tails(const std::byte* tails, std::size_t columns, std::size_t rows,
                                    std::byte* to) noexcept {
  const std::size_t bytes = packed_bytes(columns, Bits);
  if constexpr (Bits > 8) {
    __builtin_memset(to, 0, tail_size<Bits>);
    for (std::size_t r = 0; r < rows; ++r, tails += bytes) {
      std::uint32_t codes[block_columns] = {}, words[Bits];
      for (std::size_t c = 0; c < columns; ++c) codes[c] = code_at<Bits>(tails, c);
      pack_block(codes, Bits, words);
      for (std::size_t v = 0; v < Bits; ++v) put_word32(words[v], to + v * word_stride + r * 4);
    }
  } else {
    using words = typename Code::words;
    const std::size_t quads = (columns + 3) / 4;
    const auto store = [](std::byte* at, words codes) PRECIS_INLINE_LAMBDA {
      if constexpr (Code::rows == 1)
        put_word32(codes, at);
      else
        Code::store(at, codes);
    };
    if (rows + Code::rows <= tile_rows) __builtin_memset(to, 0, quads * word_stride);  // else all are written below
    for (std::size_t row = 0; row < rows; row += Code::rows) {
      const std::size_t count = rows - row < Code::rows ? rows - row : Code::rows;
      words w[8];  // of the streams: the first Bits are in use
      const auto load = [&](std::size_t first, words(&four)[4]) PRECIS_INLINE_LAMBDA {
        const std::size_t held = bytes - first < 16 ? bytes - first : 16;
        const std::byte* const from = tails + row * bytes + first;
        if constexpr (requires { Code::load_streams(from, bytes, held, count, four); }) {
          Code::load_streams(from, bytes, held, count, four);
        } else {
          std::byte at[4][4 * Code::rows] = {};
          for (std::size_t r = 0; r < count; ++r) {
            const two_words v = get_bytes(from + r * bytes, held);
            put_word32(static_cast<std::uint32_t>(v.low), at[0] + 4 * r);
            put_word32(static_cast<std::uint32_t>(v.low >> 32), at[1] + 4 * r);
            put_word32(static_cast<std::uint32_t>(v.high), at[2] + 4 * r);
            put_word32(static_cast<std::uint32_t>(v.high >> 32), at[3] + 4 * r);
          }
          for_constants<4>([&](auto i) PRECIS_INLINE_LAMBDA { four[i] = Code::load(at[i]); });
        }
      };
      words four[4];
      load(0, four);
      for_constants<4>([&](auto i) PRECIS_INLINE_LAMBDA { w[i] = four[i]; });
      if constexpr (Bits > 4) {
        if (bytes > 16) load(16, four);  // else not read
        for_constants<4>([&](auto i) PRECIS_INLINE_LAMBDA { w[4 + i] = four[i]; });
      }
      words stream[Bits];
      for_constants<Bits>([&](auto i) PRECIS_INLINE_LAMBDA { stream[i] = w[i]; });
      for_constants<8>([&](auto k) PRECIS_INLINE_LAMBDA {
        if (k >= quads) return;
        store(to + k * word_stride + 4 * row, stream_codes_of<Code, Bits, k>(stream));
      });
      if (columns % 4 == 0) continue;
      std::byte* const last = to + (quads - 1) * word_stride + 4 * row;
      const words codes = Code::load(last);
      // NOLINTBEGIN(misc-redundant-expression): the masks differ
      store(last, columns % 4 == 1   ? Code::template digits<0, 0xFFu>(codes)
                  : columns % 4 == 2 ? Code::template digits<0, 0xFFFFu>(codes)
                                     : Code::template digits<0, 0xFF'FFFFu>(codes));
      // NOLINTEND(misc-redundant-expression)
    }
  }
}

/// Unpacks the tails of sixteen rows at a time like `unpack_tails`, once `start` has been told their number of columns.
/// Unless Clean, missing codes of the last four columns are any codes.
template<class Code, unsigned Bits, bool Clean>
class tail_unpacker {
 public:
  void start(std::size_t columns) noexcept { columns_ = columns; }
  PRECIS_INLINE void unpack(const std::byte* tails, std::byte* to) const noexcept {
    unpack_tails<Code, Bits>(tails, columns_, tile_rows, to);
  }

 private:
  std::size_t columns_ = 0;
};
template<class Code, unsigned Bits, bool Clean>
  requires(Bits <= 8) && requires { typename Code::stream_reader; }
class tail_unpacker<Code, Bits, Clean> {
 public:
  void start(std::size_t columns) noexcept {
    quads_ = (columns + 3) / 4;
    bytes_ = packed_bytes(columns, Bits);
    last_ = Code::all(static_cast<std::int32_t>(columns % 4 == 0 ? ~0u : (1u << columns % 4 * 8) - 1));
    low_.start(bytes_, bytes_ < 16 ? bytes_ : 16);
    if (bytes_ > 16) high_.start(bytes_, bytes_ - 16);
  }
  PRECIS_INLINE void unpack(const std::byte* tails, std::byte* to) const noexcept {
    typename Code::words w[8], four[4];  // of the streams: the first Bits are in use
    low_.read(tails, four);
    for_constants<4>([&](auto i) PRECIS_INLINE_LAMBDA { w[i] = four[i]; });
    if constexpr (Bits > 4) {
      if (bytes_ > 16) high_.read(tails + 16, four);
      for_constants<4>([&](auto i) PRECIS_INLINE_LAMBDA { w[4 + i] = four[i]; });
    }
    typename Code::words stream[Bits];
    for_constants<Bits>([&](auto i) PRECIS_INLINE_LAMBDA { stream[i] = w[i]; });
    for_constants<8>([&](auto k) PRECIS_INLINE_LAMBDA {
      if (k >= quads_) return;
      typename Code::words codes = stream_codes_of<Code, Bits, k>(stream);
      if (Clean && k + 1 == quads_) codes = codes & last_;
      Code::store(to + k * word_stride, codes);
    });
  }

 private:
  std::size_t quads_ = 0, bytes_ = 0;
  typename Code::words last_{};
  typename Code::stream_reader low_, high_;
};

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
      for (std::size_t v = 0; v < Bits; ++v, from += rows * 4) __builtin_memcpy(to + v * word_stride, from, rows * 4);
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
    put_word32(kernel::bit_cast<std::uint32_t>(scale), side.scales + 4 * r);
    put_word32(kernel::bit_cast<std::uint32_t>(offset), side.offsets + 4 * r);
  }
}

/// A padded copy of one segment of a tile.
template<unsigned Bits>
struct padded_segment {
  alignas(64) std::byte blocks[std::size_t{4} * Bits * word_stride];  // a segment has at most four blocks
  padded_side side;
};

/// Copies of up to `most` blocks of each of `Tiles` tiles, for sixteen rows, with the scales and offsets of their groups.
/// What missing rows hold is undefined.
template<unsigned Bits, std::size_t Tiles>
struct copied_blocks {
  static constexpr std::size_t most = Bits > 8 || Tiles > 1 ? 4 : 8;
  struct tile {
    std::byte blocks[most * Bits * word_stride];
    std::byte scales[most * word_stride];
    std::byte offsets[most * word_stride];
  };
  alignas(64) tile tiles[Tiles];
  readable_bytes matrix;
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
  padded_side of_matrix;  ///< its scale and offset for sixteen rows, if it has only one

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
        affine(m.format.rule == grid_rule::affine) {
    if (m.format.group == per_tensor && m.out > 0 && m.in > 0) {
      pad_side<Bits>(m, l, 0, 1, 0, of_matrix);
      for (std::size_t r = 1; r < tile_rows; ++r) {
        __builtin_memcpy(of_matrix.scales + 4 * r, of_matrix.scales, 4);
        __builtin_memcpy(of_matrix.offsets + 4 * r, of_matrix.offsets, 4);
      }
    }
  }

  /// Points `run` at the segments from `s` on, of `rows` rows from `row` on, which share a scale or have one each, up to
  /// the last of the rows if they can be read in one run. Requires whole tiles, one or two.
  template<class Run>
  PRECIS_INLINE void place(std::size_t row, std::size_t rows, std::size_t s, Run& run) const noexcept {
    place_blocks(row, rows, s, run);
    if (m.format.group == per_tensor) return place_shared(run);
    const std::size_t side = row / tile_rows * groups + (s == 0 ? 0 : s / per_group);
    const bool shared = per_group > 1;
    run.scales = m.data + l.scales + side * scale_step;
    run.offsets = m.data + l.offsets + side * offset_step;
    run.scale_step = shared ? 0 : scale_step;
    run.offset_step = shared ? 0 : offset_step;
    if (rows > tile_rows) {
      run.tile_scales = groups * scale_step;
      run.tile_offsets = groups * offset_step;
    }
    if (affine) run.offset = offset_kind::zero_points;
    run.halves = m.format.scales == scale_type::float16;
  }
  template<class Run>
  PRECIS_INLINE void place_blocks(std::size_t row, std::size_t rows, std::size_t s, Run& run) const noexcept {
    place_segments(s, count, run);
    run.block = m.data + row * l.row_words * 4 + s * blocks * Bits * word_stride;
    if (rows > tile_rows) run.tile_block = l.row_words * 4 * tile_rows;
  }
  /// Points `run` at all segments of the rows of one tile. The rows of a part of a tile follow `before` others, which are
  /// read with them so that nothing beyond the matrix is.
  template<class Run>
  PRECIS_INLINE void place_tile(std::size_t row, std::size_t rows, std::size_t before, Run& run) const noexcept {
    const std::size_t each = m.format.scale_bytes(), side = row * groups - before;
    run.rows = rows;
    run.segments = full;
    run.blocks = blocks;
    run.last = count - full;
    run.last_blocks = (m.in - full * segment) / block_columns;
    run.tail_quads = (m.in % block_columns + 3) / 4;
    run.block = m.data + (l.row_words == 0 ? 0 : row * l.row_words - before) * 4;
    if (m.format.group == per_tensor) return place_shared(run);
    run.scales = m.data + l.scales + side * each;
    run.scale_step = rows * each;
    run.per_scale = per_group;
    run.last_group = per_group == 1 ? full : full / per_group;
    run.halves = each == 2;
    run.offsets = m.data + l.offsets;
    run.offset_step = 0;
    if (affine) {
      run.offset = offset_kind::zero_points;
      run.first_zero = side;
      if (rows < tile_rows) return;  // a part of a tile, whose codes may start inside a byte
      run.first_zero = 0;
      run.offsets += side / 8 * Bits;
      run.offset_step = offset_step;
    } else {  // minima, if any
      run.offsets += side * each;
      run.offset_step = run.scale_step;
    }
  }
  /// Prefetches as far ahead as matrices in memory need, but not beyond the matrix: looking for the address of a page that
  /// is not in memory takes longer than the product of a small matrix.
  template<class Run>
  PRECIS_INLINE void prefetch_tile(Run& run) const noexcept {
    constexpr std::size_t far = 4 * read_ahead;
    const std::byte* const end = run.block + l.row_words * word_stride;
    run.ahead = m.data + l.bytes - end >= static_cast<std::ptrdiff_t>(far) ? far : 0;
  }
  /// The same as place_tile for the next tile, also whole.
  template<class Run>
  PRECIS_INLINE void next_tile(Run& run) const noexcept {
    run.block += l.row_words * word_stride;
    if (m.format.group == per_tensor) return;
    run.scales += groups * scale_step;
    run.offsets += groups * offset_step;
  }
  /// Sets the numbers of segments and blocks, with at most `most` segments.
  template<class Run>
  PRECIS_INLINE void place_segments(std::size_t s, std::size_t most, Run& run) const noexcept {
    const std::size_t left = count - s, of_group = per_group > 1 && per_group < left ? per_group : left;
    const std::size_t taken = of_group < most ? of_group : most;
    run.last = s + taken > full ? 1 : 0;
    run.segments = taken - run.last;
    run.blocks = blocks;
    run.last_blocks = (m.in - full * segment) / block_columns;
  }
  /// One scale and offset for all rows and segments.
  template<class Run>
  PRECIS_INLINE void place_shared(Run& run) const noexcept {
    run.scales = of_matrix.scales;
    run.offsets = of_matrix.offsets;
    run.scale_step = run.offset_step = run.tile_scales = run.tile_offsets = 0;
    if (affine) run.offset = offset_kind::zero_floats;
  }
  /// Points `run` at a copy of the first of these segments, also of tiles that are not whole. Requires to.matrix
  /// started.
  template<class Code, class Run, std::size_t Tiles>
  void copy(std::size_t row, std::size_t rows, std::size_t s, copied_blocks<Bits, Tiles>& to, Run& run) const noexcept {
    copy_blocks<Code>(row, rows, s, to, run);
    if (m.format.group == per_tensor) return place_shared(run);
    const bool shared = per_group > 1;
    const std::size_t each = m.format.scale_bytes(), copied = shared ? 1 : run.segments + run.last;
    for (std::size_t t = 0; t * tile_rows < rows; ++t) {
      const std::size_t high = rows_of_tile(rows, t);
      std::size_t group = (row + t * tile_rows) * groups + (s == 0 ? 0 : s / per_group) * high;
      for (std::size_t i = 0; i < copied; ++i, group += high) {
        to.matrix.template copy<Code>(m.data + l.scales + group * each, to.tiles[t].scales + i * word_stride);
        std::byte* const offset = to.tiles[t].offsets + i * word_stride;
        if (affine)
          to.matrix.template copy_codes<Bits>(m.data + l.offsets, group, offset);
        else if (m.format.has_minimum())
          to.matrix.template copy<Code>(m.data + l.offsets + group * each, offset);
      }
    }
    run.scales = to.tiles[0].scales;
    run.offsets = to.tiles[0].offsets;
    run.scale_step = run.offset_step = shared ? 0 : word_stride;
    if (rows > tile_rows) run.tile_scales = run.tile_offsets = sizeof to.tiles[0];
    if (affine) run.offset = offset_kind::zero_points;
    run.halves = m.format.scales == scale_type::float16;
  }
  template<class Code, class Run, std::size_t Tiles>
  void copy_blocks(std::size_t row, std::size_t rows, std::size_t s, copied_blocks<Bits, Tiles>& to,
                   Run& run) const noexcept {
    place_segments(s, copied_blocks<Bits, Tiles>::most / blocks, run);
    run.block = to.tiles[0].blocks;
    if (rows > tile_rows) run.tile_block = sizeof to.tiles[0];
    const std::size_t words = (run.segments * run.blocks + run.last * run.last_blocks) * Bits;
    for (std::size_t t = 0; t * tile_rows < rows; ++t) {
      const std::size_t high = rows_of_tile(rows, t);
      const std::byte* from = m.data + (row + t * tile_rows) * l.row_words * 4 + s * blocks * Bits * high * 4;
      std::byte* word = to.tiles[t].blocks;
      const std::byte* const end = word + words * word_stride;
      for (; word != end && to.matrix.readable(from); from += high * 4, word += word_stride)
        to.matrix.template copy_from<Code>(from, word);
      for (; word != end; from += high * 4, word += word_stride) to.matrix.template copy<Code>(from, word);
    }
  }

  /// Unpacks the tails of one or two tiles, if there are any, to tail_size<Bits> bytes per tile. Long before they are
  /// read: the blocks are multiplied while the processor waits for them.
  template<class Code>
  void unpack_tail(std::size_t row, std::size_t rows, std::byte* to) const noexcept {
    const std::size_t columns = m.in % block_columns;
    if (columns == 0) return;
    for (std::size_t t = 0; t * tile_rows < rows; ++t)
      unpack_tails<Code, Bits>(m.data + l.tails + (row + t * tile_rows) * l.tail_bytes, columns, rows_of_tile(rows, t),
                               to + t * tail_size<Bits>);
  }
  /// Points `run` at the tails, if it has the last segment.
  template<class Run>
  PRECIS_INLINE void place_tail(std::size_t rows, const std::byte* tails, Run& run) const noexcept {
    if (run.last == 0) return;
    run.tail = tails;
    run.tail_quads = (m.in % block_columns + 3) / 4;
    run.tile_tail = rows > tile_rows ? tail_size<Bits> : 0;
  }

  [[nodiscard]] static std::size_t rows_of_tile(std::size_t rows, std::size_t t) noexcept {
    return rows - t * tile_rows < tile_rows ? rows - t * tile_rows : tile_rows;
  }
};

PRECIS_IEEE_END
}  // namespace precis::kernel::detail

#endif  // PRECIS_KERNEL_SEGMENT_RUN
