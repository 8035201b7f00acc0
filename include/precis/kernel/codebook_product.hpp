#if !defined(PRECIS_KERNEL_CODEBOOK_PRODUCT)
#define PRECIS_KERNEL_CODEBOOK_PRODUCT

#include <precis/kernel/code_values.hpp>
#include <precis/kernel/codebook_format.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/fma_chains.hpp>
#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>
#include <precis/kernel/packed_grid.hpp>
#include <precis/kernel/prepared_vector.hpp>
#include <precis/kernel/segment_run.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

/// Products of matrices whose codes are indices into a codebook of the matrix or of the row.
namespace precis::kernel {
PRECIS_IEEE_BEGIN

namespace detail {

/// The levels of sixteen rows: code `code` of row r represents table[r * step + code].
struct tile_levels {
  const float* table = nullptr;
  std::size_t step = 0;             ///< 0: all rows share their levels
  const double* doubles = nullptr;  ///< the level_table of shared levels, on lanes that have no instruction for fma
  int least = 0;                    ///< there: no level but 0 is below 2^least
  bool halves = false;              ///< the levels have at most eleven bits
};

/// The products of a segment, as in `matvec` of packed_grid, with levels in place of codes.
template<class Code, unsigned Bits, std::size_t Parts>
PRECIS_INLINE void level_products(const std::byte* const (&block)[Parts], std::size_t blocks,
                                  const segment_tail<Parts>& tail, const float* x, const tile_levels (&levels)[Parts],
                                  typename Code::floats::vector (&product)[Parts]) noexcept {
  using lanes = typename Code::floats;
  typename lanes::vector lane[Parts][4];
  for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA {
    for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA { lane[p][j] = lanes::zero(); });
  });
  for (std::size_t b = 0, offset = 0; b < blocks; ++b, offset += Bits * word_stride, x += block_columns)
    each_codes<Code, Bits, false>(
        block, offset, [](auto) {},
        [&](auto k, auto p, typename Code::words codes) PRECIS_INLINE_LAMBDA {
          for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA {
            const auto level = Code::template look_up<Bits, j>(codes, levels[p].table, levels[p].step);
            lane[p][j] = lanes::fma(level, lanes::broadcast(x + 4 * k + j), lane[p][j]);
          });
        });
  for (std::size_t k = 0; k < tail.quads; ++k, x += 4)
    for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA {
      const typename Code::words codes = Code::load(tail.part[p] + k * word_stride);
      for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA {
        const auto level = Code::template look_up<Bits, j>(codes, levels[p].table, levels[p].step);
        lane[p][j] = lanes::fma(level, lanes::broadcast(x + j), lane[p][j]);
      });
    });
  for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA {
    product[p] = lanes::add(lanes::add(lane[p][0], lane[p][1]), lanes::add(lane[p][2], lane[p][3]));
  });
}

/// level_products without a tail, on lanes that have no instruction for fma. Returns false if none can be checked.
template<class Code, unsigned Bits, std::size_t Parts>
[[nodiscard]] bool level_chains(const std::byte* const (&block)[Parts], std::size_t blocks, const float* x,
                                const tile_levels (&levels)[Parts],
                                typename Code::floats::vector (&product)[Parts]) noexcept {
  using lanes = typename Code::floats;
  alignas(16) double twice[2 * codebook_segment];
  const auto of_x = lanes::exponents_of(x, blocks * block_columns);
  lanes::store_twice(x, blocks * block_columns, twice);
  if (of_x.least < -60 || of_x.most > 60 || levels[0].least < -40) return false;
  const auto chain = [&](auto check, const tile_levels& of, const std::byte* rows, auto& to) PRECIS_TARGET {
    constexpr auto how = decltype(check)::value;
    return of.step == 0 ? add_level_chains<Code, Bits, how, false>(rows, blocks, twice, of.doubles, 0, 0, to)
                        : add_level_chains<Code, Bits, how, false>(rows, blocks, twice, of.table, of.step, 0, to);
  };
  for (std::size_t p = 0; p < Parts; ++p) {
    using check = decltype(lanes::ties);
    const bool exact = levels[p].halves
                           ? chain(std::integral_constant<check, lanes::corrected>{}, levels[p], block[p], product[p])
                           : chain(std::integral_constant<check, lanes::ties>{}, levels[p], block[p], product[p]);
    if (exact) continue;
    const std::byte* const part[1] = {block[p]};
    const tile_levels of_part[1] = {levels[p]};
    typename lanes::vector of_fma[1];
    level_products<Code, Bits>(part, blocks, segment_tail<1>{}, x, of_part, of_fma);
    product[p] = of_fma[0];
  }
  return true;
}

/// total[r] = total[r] + product, segment by segment, for the sixteen rows of a run.
template<class Code, unsigned Bits>
void add_level_segments(const segment_run<float>& run, tile_levels levels, float* total) noexcept {
  using lanes = typename Code::floats;
  constexpr std::size_t parts = Code::rows * Code::parts < tile_rows ? Code::parts : tile_rows / Code::rows;
  for (std::size_t row = 0; row < tile_rows; row += parts * Code::rows) {
    const std::byte* block[parts];
    segment_tail<parts> tail;
    tile_levels of_part[parts];
    typename lanes::vector sum[parts], product[parts];
    for (std::size_t p = 0; p < parts; ++p) {
      const std::size_t at = row + p * Code::rows;
      block[p] = at_row(run.block, at, 0, 4);
      tail.part[p] = tail_at(run, at);
      of_part[p] = {levels.table + at * levels.step, levels.step, levels.doubles, levels.least, levels.halves};
      sum[p] = lanes::load(total + at);
    }
    const float* values = run.values;
    for (std::size_t s = 0; s < run.segments + run.last; ++s, values += run.blocks * block_columns) {
      const bool last = s == run.segments;
      tail.quads = last ? run.tail_quads : 0;
      const std::size_t blocks = last ? run.last_blocks : run.blocks;
      const float* const x = last ? run.last_values : values;
      bool done = false;
      if constexpr (has_chains<lanes>)
        done = tail.quads == 0 && level_chains<Code, Bits>(block, blocks, x, of_part, product);
      if (!done) level_products<Code, Bits>(block, blocks, tail, x, of_part, product);
      for (std::size_t p = 0; p < parts; ++p) {
        sum[p] = lanes::add(sum[p], product[p]);
        block[p] += run.blocks * Bits * word_stride;
      }
    }
    for (std::size_t p = 0; p < parts; ++p) lanes::store(total + row + p * Code::rows, sum[p]);
  }
}

/// The levels of a matrix as floats; if every row has its own, those of sixteen rows at a time.
template<class Code, unsigned Bits>
class stored_levels {
 public:
  stored_levels(const packed_codebook& m, const grid_format::layout& l) noexcept
      : format_(m.format), stored_(m.data + l.scales) {
    if (format_.per_row) return;
    read(0, 1);
    if constexpr (checked)
      doubles_ = levels_of<Bits>([&](std::size_t code) { return static_cast<double>(table_[code]); });
  }
  [[nodiscard]] tile_levels of(std::size_t row, std::size_t rows) noexcept {
    if (!format_.per_row) {
      if constexpr (checked) return {table_, 0, doubles_.data(), least_, format_.levels == scale_type::float16};
      return {table_, 0};
    }
    read(row, rows);
    for (std::size_t i = rows * count; i < tile_rows * count; ++i) table_[i] = 0;
    return {table_, count, nullptr, least_, format_.levels == scale_type::float16};
  }

 private:
  void read(std::size_t row, std::size_t rows) noexcept {
    for (std::size_t i = 0; i < rows * count; ++i)
      table_[i] = stored_float(stored_ + (row * count + i) * format_.level_bytes(), format_.levels);
    if constexpr (checked) {
      least_ = 0;
      for (std::size_t i = 0; i < rows * count; ++i)
        if (const float size = table_[i] < 0 ? -table_[i] : table_[i]; size != 0 && !(size >= 0x1p-40f)) least_ = -127;
    }
  }

  static constexpr std::size_t count = std::size_t{1} << Bits;
  static constexpr bool checked = has_chains<typename Code::floats>;
  codebook_format format_;
  const std::byte* stored_;
  int least_ = 0;
  std::conditional_t<checked, level_table<Bits>, char> doubles_;
  float table_[tile_rows << Bits];
};

/// The positions of a codebook's codes; what they say of scales does not apply.
template<unsigned Bits>
[[nodiscard]] segment_positions<Bits> positions_of(const packed_codebook& m, const grid_format::layout& l) noexcept {
  segment_positions<Bits> positions({{.rule = grid_rule::symmetric, .code_bits = Bits}, m.data, m.out, m.in},
                                    codebook_segment);
  positions.l = l;
  return positions;
}
/// Points `run` at the blocks and the tail of the segments from `s` on, of `rows` <= 16 rows.
template<class Code, unsigned Bits>
void place_codes(const segment_positions<Bits>& positions, std::size_t row, std::size_t rows, std::size_t s,
                 copied_blocks<Bits, 1>& copy, const std::byte* tail, segment_run<float>& run) noexcept {
  if (rows == tile_rows) {
    positions.place_blocks(row, rows, s, run);
  } else {
    copy.matrix.start(positions.m.data, positions.l.bytes);
    positions.template copy_blocks<Code>(row, rows, s, copy, run);
  }
  positions.place_tail(rows, tail, run);
}

template<class Code, unsigned Bits>
void multiply_codebook(const packed_codebook& m, const float_activations& x, float* y, std::size_t first,
                       std::size_t last) noexcept {
  const grid_format::layout l = m.format.layout_of(m.out, m.in);
  const auto positions = positions_of<Bits>(m, l);
  stored_levels<Code, Bits> book(m, l);
  copied_blocks<Bits, 1> copy;
  alignas(64) std::byte tail[tail_size<Bits>];
  for (std::size_t row = first; row < last; row += tile_rows) {
    const std::size_t rows = m.out - row < tile_rows ? m.out - row : tile_rows;
    const tile_levels levels = book.of(row, rows);
    float total[tile_rows] = {};
    positions.template unpack_tail<Code>(row, rows, tail);
    for (std::size_t s = 0; s < positions.count;) {
      segment_run<float> run;
      place_codes<Code>(positions, row, rows, s, copy, tail, run);
      run.values = x.values + s * codebook_segment;
      run.last_values = x.last_values;
      add_level_segments<Code, Bits>(run, levels, total);
      s += run.segments + run.last;
    }
    for (std::size_t r = 0; r < rows && row + r < last; ++r) y[row + r] = total[r];
  }
}

/// total[16 n + r] = total[16 n + r] + product for the first segment of a run and `count` vectors. Levels are looked up
/// once for all vectors.
template<class Code, unsigned Bits>
void add_level_columns(const segment_run<float>& run, const float* const* x, std::size_t count, tile_levels levels,
                       float* total) noexcept {
  const bool last = run.segments == 0;
  const std::size_t blocks = last ? run.last_blocks : run.blocks, quads = blocks * 8 + (last ? run.tail_quads : 0);
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  for (std::size_t row = 0; row < tile_rows; row += Code::rows) {
    float found[codebook_segment * Code::rows];
    const float* const table = levels.table + row * levels.step;
    const auto look_up = [&](std::size_t k, typename Code::words codes) PRECIS_INLINE_LAMBDA {
      for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA {
        lanes::store(found + (4 * k + j) * Code::rows, Code::template look_up<Bits, j>(codes, table, levels.step));
      });
    };
    const std::byte* const block[1] = {at_row(run.block, row, 0, 4)};
    for (std::size_t b = 0; b < blocks; ++b)
      each_codes<Code, Bits, false>(
          block, b * Bits * word_stride, [](auto) {},
          [&](auto k, auto, typename Code::words codes) PRECIS_INLINE_LAMBDA { look_up(b * 8 + k, codes); });
    for (std::size_t k = blocks * 8; k < quads; ++k)
      look_up(k, Code::load(tail_at(run, row) + (k - blocks * 8) * word_stride));
    for (std::size_t n = 0; n < count; ++n) {
      vector lane[4];
      for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA { lane[j] = lanes::zero(); });
      for (std::size_t c = 0; c < quads * 4; c += 4)
        for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA {
          lane[j] = lanes::fma(lanes::load(found + (c + j) * Code::rows), lanes::broadcast(x[n] + c + j), lane[j]);
        });
      const vector product = lanes::add(lanes::add(lane[0], lane[1]), lanes::add(lane[2], lane[3]));
      float* const to = total + n * tile_rows + row;
      lanes::store(to, lanes::add(lanes::load(to), product));
    }
  }
}

inline constexpr std::size_t codebook_vectors = 8;  ///< vectors that share one lookup of the levels

template<class Code, unsigned Bits>
void multiply_codebook_columns(const packed_codebook& m, std::span<const float_activations> x, float* y,
                               std::ptrdiff_t y_stride, std::size_t first, std::size_t last) noexcept {
  const grid_format::layout l = m.format.layout_of(m.out, m.in);
  const auto positions = positions_of<Bits>(m, l);
  stored_levels<Code, Bits> book(m, l);
  copied_blocks<Bits, 1> copy;
  alignas(64) std::byte tail[tail_size<Bits>];
  for (std::size_t row = first; row < last; row += tile_rows) {
    const std::size_t rows = m.out - row < tile_rows ? m.out - row : tile_rows;
    const tile_levels levels = book.of(row, rows);
    float total[codebook_vectors * tile_rows] = {};
    positions.template unpack_tail<Code>(row, rows, tail);
    for (std::size_t s = 0; s < positions.count; ++s) {
      segment_run<float> run;
      place_codes<Code>(positions, row, rows, s, copy, tail, run);
      const float* values[codebook_vectors];
      for (std::size_t n = 0; n < x.size(); ++n)
        values[n] = s < positions.full ? x[n].values + s * codebook_segment : x[n].last_values;
      add_level_columns<Code, Bits>(run, values, x.size(), levels, total);
    }
    for (std::size_t n = 0; n < x.size(); ++n)
      for (std::size_t r = 0; r < rows && row + r < last; ++r)
        y[static_cast<std::ptrdiff_t>(n) * y_stride + static_cast<std::ptrdiff_t>(row + r)] = total[n * tile_rows + r];
  }
}

/// Calls body(constant bits): those of m, or, if it is known at compile time, Bits alone.
template<unsigned Bits, class Body>
void with_level_bits(const packed_codebook& m, Body&& body) noexcept {
  if constexpr (Bits == 0)
    with_bits(m.format.code_bits, body);
  else
    body(std::integral_constant<unsigned, Bits>{});
}

}  // namespace detail

/// y = m x, from the packed bytes. For every row, segment by segment of 128 columns, in float:
///
///     total = total + ((lane[0] + lane[1]) + (lane[2] + lane[3]));  lane[j] = fma(level of the code, x, lane[j]) over
///     the segment's columns c with c mod 4 = j, in order from 0
///
/// Shapes    m [out x in], x [in], y [out]
/// Requires  x prepared with codebook_segment; code_bits of 2 to 8; m.data of the size that the format implies; y of
///           m.out elements (those outside `rows` are not written); rows.first a multiple of 16.
/// Errors    none: noexcept, no allocation.
/// Cost      one read of the rows; 16 x 2^code_bits floats plus 6 KiB of stack.
/// @post     every lane type gives the same bits.
/// @post     any range of rows gives the same bits as the whole.
template<class Code = native_code_lanes, unsigned Bits = 0>
void matvec(const packed_codebook& m, const float_activations& x, std::span<float> y, row_range rows = {}) noexcept {
  const std::size_t last = rows.end(m.out);
  detail::with_level_bits<Bits>(
      m, [&](auto bits) { detail::multiply_codebook<Code, bits>(m, x, y.data(), rows.first, last); });
}

/// Multiplies a codebook matrix by several vectors: element r of result n is y[n * y_stride + r].
///
/// Requires  as `matvec`.
/// Errors    none: noexcept, no allocation.
/// Cost      every level is looked up once per 8 vectors; 9 KiB of stack more than `matvec`.
/// @post     every vector's result equals that of `matvec` bit for bit.
template<class Code = native_code_lanes, unsigned Bits = 0>
void packed_product(const packed_codebook& m, std::span<const float_activations> x, std::span<float> y,
                    std::ptrdiff_t y_stride, row_range rows = {}) noexcept {
  constexpr std::size_t most = detail::codebook_vectors;
  const std::size_t last = rows.end(m.out);
  for (std::size_t n = 0; n < x.size(); n += most) {
    const auto vectors = x.subspan(n, x.size() - n < most ? x.size() - n : most);
    float* const to = y.data() + static_cast<std::ptrdiff_t>(n) * y_stride;
    detail::with_level_bits<Bits>(m, [&](auto bits) {
      detail::multiply_codebook_columns<Code, bits>(m, vectors, to, y_stride, rows.first, last);
    });
  }
}

/// Decodes one row of m: for embedding tables.
///
/// Requires  as `matvec`; row < m.out, x.size() == m.in.
/// Errors    none: noexcept, no allocation.
template<class = void>
inline void decode_row(const packed_codebook& m, std::size_t row, std::span<float> x) noexcept {
  const codebook_format f = m.format;
  const grid_format::layout l = f.layout_of(m.out, m.in);
  const std::byte* const levels = m.data + l.scales + (f.per_row ? row * f.level_count() * f.level_bytes() : 0);
  std::uint8_t codes[block_columns];
  for (std::size_t c = 0; c < m.in; c += block_columns) {
    const std::size_t count = unpack_block_of(m.data, l, f.code_bits, m.out, m.in, row, c / block_columns, codes);
    for (std::size_t i = 0; i < count; ++i) x[c + i] = stored_float(levels + codes[i] * f.level_bytes(), f.levels);
  }
}

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_CODEBOOK_PRODUCT
