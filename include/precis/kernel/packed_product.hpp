#if !defined(PRECIS_KERNEL_PACKED_PRODUCT)
#define PRECIS_KERNEL_PACKED_PRODUCT

#include <precis/kernel/code_values.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>
#include <precis/kernel/matvec.hpp>
#include <precis/kernel/packed_grid.hpp>
#include <precis/kernel/prepared_vector.hpp>
#include <precis/kernel/segment_run.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

/// The product of a packed matrix and several vectors: codes are unpacked once per 32 vectors.
namespace precis::kernel {
PRECIS_IEEE_BEGIN

namespace detail {

inline constexpr std::size_t product_columns = 32;  ///< vectors that share one unpacking of the codes

/// Up to 32 vectors of bytes, interleaved: four columns of every vector are adjacent. Missing vectors are zero.
struct interleaved_bytes {
  std::int8_t* codes = nullptr;  ///< [quads x 32 vectors x 4]
  float* scales = nullptr;       ///< [segments x 32 vectors]
  float* sums = nullptr;         ///< [segments x 32 vectors]
  std::byte* starts = nullptr;   ///< `unit` times each sum, as integers: the initial values of the sums of products

  interleaved_bytes(std::span<const byte_activations> x, float unit, float* workspace) noexcept {
    const std::size_t columns = whole_blocks(x[0].in), count = segments(x[0].in, x[0].segment);
    scales = workspace;
    sums = scales + count * product_columns;
    starts = reinterpret_cast<std::byte*>(sums + count * product_columns);
    codes = reinterpret_cast<std::int8_t*>(starts + 4 * count * product_columns);
    for (std::size_t n = 0; n < product_columns; ++n) {
      const bool exists = n < x.size();
      for (std::size_t c = 0; c < columns; c += 4) {
        std::int8_t* const to = codes + (c * product_columns + 4 * n);
        if (exists)
          __builtin_memcpy(to, x[n].codes + c, 4);
        else
          __builtin_memset(to, 0, 4);
      }
      for (std::size_t s = 0; s < count; ++s) {
        scales[s * product_columns + n] = exists ? x[n].scales[s] : 0.f;
        sums[s * product_columns + n] = exists ? x[n].sums[s] : 0.f;
        const auto start = static_cast<std::int32_t>(unit * sums[s * product_columns + n]);
        put_word32(static_cast<std::uint32_t>(start), starts + 4 * (s * product_columns + n));
      }
    }
  }
};

/// Multiplies the segments s, s + 1, ... of one or two tiles by `count` interleaved vectors and adds the result to
/// total[n * rows of the run + r], with the arithmetic of `matvec`.
template<class Code, unsigned Bits, class Numbers>
void add_segment_columns(const segment_run<std::int8_t>& given, interleaved_bytes x, std::size_t segment, std::size_t s,
                         std::size_t count, float* total) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  using words = typename Code::words;
  constexpr std::size_t rows = Code::rows, parts = Code::parts, all_rows = Code::tiles * tile_rows;
  constexpr std::size_t columns = Code::columns;
  constexpr bool integers = std::is_same_v<Numbers, whole_numbers>;
  const std::uint8_t* table = nullptr;
  if constexpr (!integers) table = Numbers::table.data();
  segment_run<std::int8_t> run = given;
  const bool anchored = run.offset == offset_kind::minima, fixed = run.offset == offset_kind::fixed;

  for (std::size_t done = 0; done < run.segments + run.last; ++done, ++s) {
    const bool last = done == run.segments;
    const std::size_t blocks = last ? run.last_blocks : run.blocks, tail_quads = last ? run.tail_quads : 0;
    for (std::size_t first = 0; first < all_rows / rows; first += parts) {
      words codes[std::size_t{4} * 8 * parts];  // of one segment: at most four blocks
      const std::byte* block[parts];
      for_constants<parts>(
          [&](auto p) PRECIS_INLINE_LAMBDA { block[p] = at_row(run.block, (first + p) * rows, run.tile_block, 4); });
      for (std::size_t b = 0; b < blocks; ++b)
        each_codes<Code, Bits, false>(
            block, b * Bits * word_stride, [](auto) {},
            [&](auto k, auto p, words c)
                PRECIS_INLINE_LAMBDA { codes[(b * 8 + k) * parts + p] = integers ? c : Code::nibbles(c, table); });
      for (std::size_t k = 0; k < tail_quads; ++k)
        for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA {
          const words c = Code::load(tail_at(run, (first + p) * rows) + k * word_stride);
          codes[(blocks * 8 + k) * parts + p] = integers ? c : Code::nibbles(c, table);
        });

      vector scale[parts], offset[parts];  // a fixed zero point is part of `starts`: its offset is 0 here
      for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA {
        scale[p] = run_floats<Code>(run, run.scales, (first + p) * rows, run.tile_scales);
        offset[p] = run_offsets<Code, Bits>(run, done, (first + p) * rows, lanes::zero());
      });

      for (std::size_t n = 0; n < count; n += columns) {
        using sums = typename Code::template products<integers ? Bits : 5>;
        sums sum[columns][parts];
        for_constants<columns>([&](auto i) PRECIS_INLINE_LAMBDA {
          const sums start(static_cast<std::int32_t>(get_word32(x.starts + 4 * (s * product_columns + n + i))));
          for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA { sum[i][p] = start; });
        });
        const words* c = codes;
        const std::int8_t* values = x.codes + (s * segment * product_columns + 4 * n);
        const auto add_quads = [&](std::size_t quads) PRECIS_INLINE_LAMBDA {  // at most the eight of a block
          for (std::size_t k = 0; k < quads; ++k, c += parts, values += product_columns * 4)
            for_constants<columns>([&](auto i) PRECIS_INLINE_LAMBDA {
              const auto quad_of_x = Code::broadcast_quad(values + 4 * i);
              for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA { sum[i][p].add(quad<0>{}, c[p], quad_of_x); });
            });
          for_constants<columns>([&](auto i) PRECIS_INLINE_LAMBDA {
            for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA { sum[i][p].end_block(); });
          });
        };
        for (std::size_t b = 0; b < blocks; ++b) add_quads(8);
        if (tail_quads != 0) add_quads(tail_quads);
        const float* const x_scales = x.scales + s * product_columns + n;
        const float* const x_sums = x.sums + s * product_columns + n;
        // One branch per kind of offset rather than one per sum: a sum without an offset takes three instructions.
        const auto add_all = [&](auto&& with_offset) PRECIS_INLINE_LAMBDA {
          for_constants<columns>([&](auto i) PRECIS_INLINE_LAMBDA {
            const vector x_scale = lanes::broadcast(x_scales + i);
            for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA {
              float* const at = total + (n + i) * all_rows + (first + p) * rows;
              vector product = Code::to_float(sum[i][p].sum());
              if constexpr (!integers) product = lanes::multiply(product, lanes::all(0.5f));
              lanes::store(at, with_offset(i, p, product, lanes::multiply(scale[p], x_scale), lanes::load(at)));
            });
          });
        };
        if (fixed)
          add_all([&](auto, auto, vector product, vector by, vector sum_before)
                      PRECIS_INLINE_LAMBDA { return lanes::fma(by, product, sum_before); });
        else if (!anchored)
          add_all([&](auto i, auto p, vector product, vector by, vector sum_before) PRECIS_INLINE_LAMBDA {
            return lanes::fma(by, lanes::fma(offset[p], lanes::broadcast(x_sums + i), product), sum_before);
          });
        else
          add_all([&](auto i, auto p, vector product, vector by, vector sum_before) PRECIS_INLINE_LAMBDA {
            const vector scaled_sum = lanes::multiply(lanes::broadcast(x_sums + i), lanes::broadcast(x_scales + i));
            return lanes::fma(offset[p], scaled_sum, lanes::fma(by, product, sum_before));
          });
      }
    }
    run.block += blocks * Bits * word_stride;
    run.scales += run.scale_step;
  }
}

/// The same for vectors of floats: every code is converted to float once, then multiplied by `at_once` vectors at a
/// time.
template<class Code, unsigned Bits, class Numbers>
void add_segment_columns(const segment_run<float>& given, std::span<const float_activations> x, std::size_t segment,
                         std::size_t s, std::size_t count, float* total) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  constexpr std::size_t rows = Code::rows, parts = Code::parts, all_rows = Code::tiles * tile_rows;
  constexpr std::size_t sums = lanes::registers * 3 / 4 / (4 * parts), at_once = sums == 0 ? 1 : sums;
  constexpr std::size_t column = parts * lanes::width;  // floats per column in `numbers`
  alignas(64) float numbers[4 * block_columns * column];
  segment_run<float> run = given;
  const vector fixed_zero = lanes::all(-run.fixed_zero);

  for (std::size_t done = 0; done < run.segments + run.last; ++done, ++s) {
    const bool last = done == run.segments;
    const std::size_t blocks = last ? run.last_blocks : run.blocks, tail_quads = last ? run.tail_quads : 0;
    for (std::size_t first = 0; first < all_rows / rows; first += parts) {
      const std::byte* block[parts];
      for_constants<parts>(
          [&](auto p) PRECIS_INLINE_LAMBDA { block[p] = at_row(run.block, (first + p) * rows, run.tile_block, 4); });
      for (std::size_t b = 0; b < blocks; ++b) {
        float* const at = numbers + b * block_columns * column;
        each_value<Code, Bits, Numbers>(block, b * Bits * word_stride,
                                        [&](auto k, auto p, auto j, vector value) PRECIS_INLINE_LAMBDA {
                                          lanes::store(at + (4 * k + j) * column + p * lanes::width, value);
                                        });
      }
      if (tail_quads != 0) {
        const std::byte* tail[parts];
        for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA { tail[p] = tail_at(run, (first + p) * rows); });
        float* const at = numbers + blocks * block_columns * column;
        each_tail_value<Code, Bits, Numbers>(tail, tail_quads,
                                             [&](std::size_t k, auto p, auto j, vector value) PRECIS_INLINE_LAMBDA {
                                               lanes::store(at + (4 * k + j) * column + p * lanes::width, value);
                                             });
      }

      vector scale[parts], offset[parts];
      for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA {
        scale[p] = run_floats<Code>(run, run.scales, (first + p) * rows, run.tile_scales);
        offset[p] = run_offsets<Code, Bits>(run, done, (first + p) * rows, fixed_zero);
      });

      for (std::size_t n = 0; n < count; n += at_once) {
        const float* values[at_once];  // beyond the last vector, they repeat it
        for_constants<at_once>([&](auto i) PRECIS_INLINE_LAMBDA {
          const float_activations& of = x[n + i < count ? n + i : count - 1];
          values[i] = last ? of.last_values : of.values + s * segment;
        });
        vector lane[at_once][parts][4];
        for_constants<at_once * parts * 4>(
            [&](auto i) PRECIS_INLINE_LAMBDA { lane[i / (4 * parts)][i / 4 % parts][i % 4] = lanes::zero(); });
        const float* number = numbers;
        for (std::size_t c = 0; c < (blocks * 8 + tail_quads) * 4; c += 4, number += 4 * column)
          for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA {
            vector of_part[parts];
            for_constants<parts>(
                [&](auto p) PRECIS_INLINE_LAMBDA { of_part[p] = lanes::load(number + j * column + p * lanes::width); });
            for_constants<at_once>([&](auto i) PRECIS_INLINE_LAMBDA {
              const vector v = lanes::broadcast(values[i] + c + j);
              for_constants<parts>(
                  [&](auto p) PRECIS_INLINE_LAMBDA { lane[i][p][j] = lanes::fma(of_part[p], v, lane[i][p][j]); });
            });
          });
        for_constants<at_once>([&](auto i) PRECIS_INLINE_LAMBDA {
          if (n + i >= count) return;
          const vector sum_x = lanes::broadcast(x[n + i].sums + s);
          for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA {
            float* const at = total + (n + i) * all_rows + (first + p) * rows;
            vector product =
                lanes::add(lanes::add(lane[i][p][0], lane[i][p][1]), lanes::add(lane[i][p][2], lane[i][p][3]));
            if (run.offset != offset_kind::minima) product = lanes::fma(offset[p], sum_x, product);
            vector sum = lanes::fma(scale[p], product, lanes::load(at));
            if (run.offset == offset_kind::minima) sum = lanes::fma(offset[p], sum_x, sum);
            lanes::store(at, sum);
          });
        });
      }
    }
    run.block += blocks * Bits * word_stride;
    run.scales += run.scale_step;
  }
}

/// The vectors in the form that `add_segment_columns` takes.
[[nodiscard]] inline interleaved_bytes interleave(std::span<const byte_activations> x, float unit,
                                                  float* workspace) noexcept {
  return {x, unit, workspace};
}
[[nodiscard]] inline std::span<const float_activations> interleave(std::span<const float_activations> x, float,
                                                                   float*) noexcept {
  return x;
}

template<class Code, unsigned Bits, class Numbers, class Activations>
void multiply_columns(const packed_grid& m, std::span<const Activations> x, float* y, std::ptrdiff_t y_stride,
                      float* workspace, std::size_t first, std::size_t last) noexcept {
  constexpr bool bytes = std::is_same_v<Activations, byte_activations>;
  const segment_positions<Bits> positions(m, x[0].segment);
  segment_run<std::conditional_t<bytes, std::int8_t, float>> start;
  start.fixed_zero = static_cast<float>(m.format.fixed_zero_point()) + (bytes ? Numbers::zero_of_bytes : 0.f);
  if (m.format.has_minimum()) start.offset = offset_kind::minima;
  constexpr std::size_t most = Code::tiles * tile_rows;
  copied_blocks<Bits, Code::tiles> copy;
  alignas(64) std::byte tails[Code::tiles * tail_size<Bits>];
  constexpr float unit = std::is_same_v<Numbers, whole_numbers> ? 1 : 2;  // small floats are doubled
  const auto vectors = interleave(x, -unit * start.fixed_zero, workspace);

  for (std::size_t row = first; row < last;) {
    // The rows that share their tiles with those that are wanted.
    const std::size_t wanted = last - row < most ? last - row : most, tiles = (wanted + tile_rows - 1) / tile_rows;
    const std::size_t rows = m.out - row < tiles * tile_rows ? m.out - row : tiles * tile_rows;
    const bool whole = rows % tile_rows == 0;
    if (!whole) copy.matrix.start(m.data, positions.l.bytes);
    float total[product_columns * most] = {};
    positions.template unpack_tail<Code>(row, rows, tails);
    for (std::size_t s = 0; s < positions.count;) {
      auto run = start;
      if (whole)  // read in place
        positions.place(row, rows, s, run);
      else
        positions.template copy<Code>(row, rows, s, copy, run);
      positions.place_tail(rows, tails, run);
      add_segment_columns<Code, Bits, Numbers>(run, vectors, positions.segment, s, x.size(), total);
      s += run.segments + run.last;
    }
    for (std::size_t n = 0; n < x.size(); ++n)
      for (std::size_t r = 0; r < wanted; ++r)
        y[static_cast<std::ptrdiff_t>(n) * y_stride + static_cast<std::ptrdiff_t>(row + r)] = total[n * most + r];
    row += rows;
  }
}

/// Multiplies vector by vector, 32 rows at a time, which stay in the first-level cache.
template<class Code, unsigned Bits, class Numbers, class Activations>
void multiply_one_by_one(const packed_grid& m, std::span<const Activations> x, float* y, std::ptrdiff_t y_stride,
                         std::size_t first, std::size_t last) noexcept {
  for (std::size_t row = first; row < last; row += product_columns)
    for (std::size_t i = 0; i < x.size(); ++i)
      multiply<Code, Bits, Numbers>(m, x[i], y + static_cast<std::ptrdiff_t>(i) * y_stride, row,
                                    last - row < product_columns ? last : row + product_columns);
}

/// Calls body(constant bits, what the codes represent, up to 32 vectors, the first of their results) until all vectors
/// are done.
template<class Codes, class Activations, class F>
void with_vectors(const packed_grid& m, std::span<const Activations> x, std::span<float> y, std::ptrdiff_t y_stride,
                  F&& body) noexcept {
  for (std::size_t n = 0; n < x.size(); n += product_columns) {
    const auto vectors = x.subspan(n, x.size() - n < product_columns ? x.size() - n : product_columns);
    Codes::with(m.format, [&](auto bits, auto numbers) {
      body(bits, numbers, vectors, y.data() + static_cast<std::ptrdiff_t>(n) * y_stride);
    });
  }
}

}  // namespace detail

/// Floats of workspace that `packed_product` needs.
[[nodiscard]] constexpr std::size_t packed_product_workspace(std::size_t in, std::size_t segment) noexcept {
  return detail::product_columns * (detail::whole_blocks(in) / 4 + 3 * detail::segments(in, segment));
}

/// Multiplies a packed matrix by several vectors: element r of result n is y[n * y_stride + r].
///
/// Requires  as `matvec`; vectors of equal length and segment; a workspace of packed_product_workspace elements.
/// Errors    none: noexcept, no allocation.
/// Cost      every block is read and unpacked once per 32 vectors (once per vector if small floats other than e2m1 are
///           multiplied by bytes); 15 KiB of stack, 27 KiB for vectors of floats (and 10
///           KiB more with codes of more than 8 bits).
/// @post     every vector's result equals that of `matvec` bit for bit.
template<class Code = native_code_lanes, class Codes = detail::every_code>
void packed_product(const packed_grid& m, std::span<const byte_activations> x, std::span<float> y,
                    std::ptrdiff_t y_stride, std::span<float> workspace, row_range rows = {}) noexcept {
  const std::size_t last = rows.end(m.out);
  detail::with_vectors<Codes>(m, x, y, y_stride, [&](auto bits, auto numbers, auto vectors, float* to) {
    using numbers_type = decltype(numbers);
    if constexpr (numbers_type::exact_in_bytes)
      detail::multiply_columns<Code, bits, numbers_type>(m, vectors, to, y_stride, workspace.data(), rows.first, last);
    else
      detail::multiply_one_by_one<Code, bits, numbers_type>(m, vectors, to, y_stride, rows.first, last);
  });
}
/// The same for vectors of floats, which need no workspace.
template<class Code = native_code_lanes, class Codes = detail::every_code>
void packed_product(const packed_grid& m, std::span<const float_activations> x, std::span<float> y,
                    std::ptrdiff_t y_stride, row_range rows = {}) noexcept {
  const std::size_t last = rows.end(m.out);
  detail::with_vectors<Codes>(m, x, y, y_stride, [&](auto bits, auto numbers, auto vectors, float* to) {
    // With few vectors, storing the converted codes would take longer than converting them again.
    if (vectors.size() < 3 || detail::has_chains<typename Code::floats>)
      detail::multiply_one_by_one<Code, bits, decltype(numbers)>(m, vectors, to, y_stride, rows.first, last);
    else
      detail::multiply_columns<Code, bits, decltype(numbers)>(m, vectors, to, y_stride, nullptr, rows.first, last);
  });
}

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_PACKED_PRODUCT
