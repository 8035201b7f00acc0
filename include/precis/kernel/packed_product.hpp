#pragma once

#include <precis/kernel/matvec.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace precis::kernel {

namespace detail {

inline constexpr std::size_t product_columns = 32;  ///< vectors that share what is unpacked once

/// Up to 32 vectors of bytes, four columns of all of them side by side; absent ones are zeros.
struct gathered {
  std::int8_t* codes = nullptr;  ///< [quads x 32 vectors x 4]
  float* scales = nullptr;       ///< [segments x 32 vectors]
  float* sums = nullptr;
  std::byte* starts = nullptr;  ///< `unit` times each sum, as integers: what sums of products start from

  gathered(std::span<const byte_activations> x, float unit, float* workspace) noexcept {
    const std::size_t columns = whole_blocks(x[0].in), count = segments(x[0].in, x[0].segment);
    scales = workspace;
    sums = scales + count * product_columns;
    starts = reinterpret_cast<std::byte*>(sums + count * product_columns);
    codes = reinterpret_cast<std::int8_t*>(starts + 4 * count * product_columns);
    for (std::size_t n = 0; n < product_columns; ++n) {
      const bool there = n < x.size();
      for (std::size_t c = 0; c < columns; c += 4) {
        std::int8_t* const to = codes + (c * product_columns + 4 * n);
        if (there)
          __builtin_memcpy(to, x[n].codes + c, 4);
        else
          __builtin_memset(to, 0, 4);
      }
      for (std::size_t s = 0; s < count; ++s) {
        scales[s * product_columns + n] = there ? x[n].scales[s] : 0.f;
        sums[s * product_columns + n] = there ? x[n].sums[s] : 0.f;
        const auto start = static_cast<std::int32_t>(unit * sums[s * product_columns + n]);
        put_word32(static_cast<std::uint32_t>(start), starts + 4 * (s * product_columns + n));
      }
    }
  }
};

/// Segments s, s + 1, ... of one or two tiles times `count` gathered vectors: total[n * all rows + r], by the definition of
/// `matvec`.
template<class Code, unsigned Bits, class Numbers>
void add_segment_columns(const segment_run<std::int8_t>& given, gathered x, std::size_t segment, std::size_t s,
                         std::size_t count, float* total) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  using words = typename Code::words;
  constexpr std::size_t rows = Code::rows, parts = Code::together, all_rows = Code::tiles * tile_rows;
  constexpr std::size_t columns = Code::columns;
  constexpr bool integers = std::is_same_v<Numbers, whole_numbers>;
  const std::uint8_t* table = nullptr;
  if constexpr (!integers) table = Numbers::table.data();
  segment_run<std::int8_t> run = given;
  const std::size_t blocks = run.blocks;
  const bool anchored = run.second_is == second_kind::minima, fixed = run.second_is == second_kind::fixed;

  for (std::size_t done = 0; done < run.segments; ++done, ++s) {
    for (std::size_t first = 0; first < all_rows / rows; first += parts) {
      words codes[std::size_t{4} * 8 * parts];  // of a segment: four blocks at most
      const std::byte* block[parts];
      for_constants<parts>([&](auto p) __attribute__((always_inline)) {
        const std::size_t row = (first + p) * rows;
        block[p] = run.block + row / tile_rows * run.tile_block + row % tile_rows * 4;
      });
      for (std::size_t b = 0; b < blocks; ++b)
        each_codes<Code, Bits, false>(
            block, b * Bits * word_stride, [](auto) {},
            [&](auto k, auto p, words c) __attribute__((always_inline)) {
              codes[(b * 8 + k) * parts + p] = integers ? c : Code::nibbles(c, table);
            });

      vector scale[parts], second[parts];  // the second is 0 where it is part of what sums start from
      for_constants<parts>([&](auto p) __attribute__((always_inline)) {
        const std::size_t row = (first + p) * rows, tile = row / tile_rows, lane = row % tile_rows;
        const auto stored = [&](const std::byte* at) __attribute__((always_inline)) {
          return run.halves ? Code::load_halves(at + lane * 2) : Code::load_floats(at + lane * 4);
        };
        scale[p] = stored(run.scale + tile * run.tile_scale);
        const std::byte* const at = run.second + tile * run.tile_second;
        if (fixed)
          second[p] = lanes::zero();
        else if (anchored)
          second[p] = stored(at);
        else if (run.second_is == second_kind::zero_points)
          second[p] = lanes::subtract(lanes::zero(), Code::template zero_points<Bits>(at, lane));
        else
          second[p] = lanes::subtract(lanes::zero(), Code::load_floats(at + lane * 4));
      });

      for (std::size_t n = 0; n < count; n += columns) {
        using sums = typename Code::template products<integers ? Bits : 5>;
        sums sum[columns][parts];
        for_constants<columns>([&](auto i) __attribute__((always_inline)) {
          const sums start(static_cast<std::int32_t>(get_word32(x.starts + 4 * (s * product_columns + n + i))));
          for_constants<parts>([&](auto p) __attribute__((always_inline)) { sum[i][p] = start; });
        });
        const words* c = codes;
        const std::int8_t* values = x.codes + (s * segment * product_columns + 4 * n);
        for (std::size_t b = 0; b < blocks; ++b) {
          for (std::size_t k = 0; k < 8; ++k, c += parts, values += product_columns * 4)
            for_constants<columns>([&](auto i) __attribute__((always_inline)) {
              const auto four = Code::four(values + 4 * i);
              for_constants<parts>([&](auto p)
                                       __attribute__((always_inline)) { sum[i][p].add(quad<0>{}, c[p], four); });
            });
          for_constants<columns>([&](auto i) __attribute__((always_inline)) {
            for_constants<parts>([&](auto p) __attribute__((always_inline)) { sum[i][p].end_block(); });
          });
        }
        const float *const x_scales = x.scales + s * product_columns + n, *const x_sums =
                                                                              x.sums + s * product_columns + n;
        // A branch for all rather than one for each: a sum that nothing is added to takes three instructions.
        const auto add_all = [&](auto&& moved) __attribute__((always_inline)) {
          for_constants<columns>([&](auto i) __attribute__((always_inline)) {
            const vector x_scale = lanes::broadcast(x_scales + i);
            for_constants<parts>([&](auto p) __attribute__((always_inline)) {
              float* const at = total + (n + i) * all_rows + (first + p) * rows;
              vector product = Code::to_float(sum[i][p].sum());
              if constexpr (!integers) product = lanes::multiply(product, lanes::all(0.5f));
              lanes::store(at, moved(i, p, product, lanes::multiply(scale[p], x_scale), lanes::load(at)));
            });
          });
        };
        if (fixed)
          add_all([&](auto, auto, vector product, vector by, vector here)
                      __attribute__((always_inline)) { return lanes::fma(by, product, here); });
        else if (!anchored)
          add_all([&](auto i, auto p, vector product, vector by, vector here) __attribute__((always_inline)) {
            return lanes::fma(by, lanes::fma(second[p], lanes::broadcast(x_sums + i), product), here);
          });
        else
          add_all([&](auto i, auto p, vector product, vector by, vector here) __attribute__((always_inline)) {
            const vector x_moved = lanes::multiply(lanes::broadcast(x_sums + i), lanes::broadcast(x_scales + i));
            return lanes::fma(second[p], x_moved, lanes::fma(by, product, here));
          });
      }
    }
    run.block += blocks * Bits * word_stride;
    run.scale += run.scale_step;
    run.second += run.second_step;
  }
}

/// The same of floats: every code becomes a number once, then meets `together` vectors at a time.
template<class Code, unsigned Bits, class Numbers>
void add_segment_columns(const segment_run<float>& given, std::span<const float_activations> x, std::size_t segment,
                         std::size_t s, std::size_t count, float* total) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  constexpr std::size_t rows = Code::rows, parts = Code::together, all_rows = Code::tiles * tile_rows;
  constexpr std::size_t sums = lanes::registers * 3 / 4 / (4 * parts), together = sums == 0 ? 1 : sums;
  constexpr std::size_t column = parts * lanes::width;  // floats of one column in `numbers`
  alignas(64) float numbers[4 * block_columns * column];
  segment_run<float> run = given;
  const std::size_t blocks = run.blocks;
  const vector fixed_zero = lanes::all(-run.fixed_zero);

  for (std::size_t done = 0; done < run.segments; ++done, ++s) {
    for (std::size_t first = 0; first < all_rows / rows; first += parts) {
      const auto place = [&](std::size_t p, std::size_t tile_step, std::size_t each) __attribute__((always_inline)) {
        const std::size_t row = (first + p) * rows;
        return row / tile_rows * tile_step + row % tile_rows * each;
      };
      const std::byte* block[parts];
      for_constants<parts>([&](auto p)
                               __attribute__((always_inline)) { block[p] = run.block + place(p, run.tile_block, 4); });
      for (std::size_t b = 0; b < blocks; ++b) {
        float* const at = numbers + b * block_columns * column;
        const auto put = [&](auto k, auto p, auto j, vector value) __attribute__((always_inline)) {
          lanes::store(at + (4 * k + j) * column + p * lanes::width, value);
        };
        if constexpr (std::is_same_v<Numbers, wide_numbers>)
          each_wide<Code, Bits>(block, b * Bits * word_stride, put);
        else
          each_codes<Code, Bits, loose_codes<Bits>>(
              block, b * Bits * word_stride, [](auto) {},
              [&](auto k, auto p, typename Code::words codes) __attribute__((always_inline)) {
                for_constants<4>([&](auto j) __attribute__((always_inline)) {
                  constexpr unsigned from = loose_at<Bits, k> + 8 * j;
                  put(k, p, j, Numbers::template value<Code, Bits, from>(codes));
                });
              });
      }

      vector scale[parts], second[parts];
      for_constants<parts>([&](auto p) __attribute__((always_inline)) {
        const auto stored = [&](const std::byte* at, std::size_t tile_step) __attribute__((always_inline)) {
          return run.halves ? Code::load_halves(at + place(p, tile_step, 2))
                            : Code::load_floats(at + place(p, tile_step, 4));
        };
        scale[p] = stored(run.scale, run.tile_scale);
        if (run.second_is == second_kind::fixed)
          second[p] = fixed_zero;
        else if (run.second_is == second_kind::minima)
          second[p] = stored(run.second, run.tile_second);
        else if (run.second_is == second_kind::zero_points)
          second[p] = lanes::subtract(
              lanes::zero(),
              zero_points_of<Code, Bits>(run.second + place(p, run.tile_second, 0), (first + p) * rows % tile_rows));
        else
          second[p] = lanes::subtract(lanes::zero(), Code::load_floats(run.second + place(p, run.tile_second, 4)));
      });

      for (std::size_t n = 0; n < count; n += together) {
        const float* values[together];  // of a last few the last stands in for those that are not there
        for_constants<together>([&](auto i) __attribute__((always_inline)) {
          const float_activations& of = x[n + i < count ? n + i : count - 1];
          values[i] = s + 1 == segments(of.in, segment) ? of.last_values : of.values + s * segment;
        });
        vector lane[together][parts][4];
        for_constants<together * parts * 4>([&](auto i) __attribute__((always_inline)) {
          lane[i / (4 * parts)][i / 4 % parts][i % 4] = lanes::zero();
        });
        const float* number = numbers;
        for (std::size_t c = 0; c < blocks * block_columns; c += 4, number += 4 * column)
          for_constants<4>([&](auto j) __attribute__((always_inline)) {
            vector of_part[parts];
            for_constants<parts>([&](auto p) __attribute__((always_inline)) {
              of_part[p] = lanes::load(number + j * column + p * lanes::width);
            });
            for_constants<together>([&](auto i) __attribute__((always_inline)) {
              const vector v = lanes::broadcast(values[i] + c + j);
              for_constants<parts>([&](auto p) __attribute__((always_inline)) {
                lane[i][p][j] = lanes::fma(of_part[p], v, lane[i][p][j]);
              });
            });
          });
        for_constants<together>([&](auto i) __attribute__((always_inline)) {
          if (n + i >= count) return;
          const vector sum_x = lanes::broadcast(x[n + i].sums + s);
          for_constants<parts>([&](auto p) __attribute__((always_inline)) {
            float* const at = total + (n + i) * all_rows + (first + p) * rows;
            vector product =
                lanes::add(lanes::add(lane[i][p][0], lane[i][p][1]), lanes::add(lane[i][p][2], lane[i][p][3]));
            if (run.second_is != second_kind::minima) product = lanes::fma(second[p], sum_x, product);
            vector sum = lanes::fma(scale[p], product, lanes::load(at));
            if (run.second_is == second_kind::minima) sum = lanes::fma(second[p], sum_x, sum);
            lanes::store(at, sum);
          });
        });
      }
    }
    run.block += blocks * Bits * word_stride;
    run.scale += run.scale_step;
    run.second += run.second_step;
  }
}

/// What `add_segment_columns` takes of the vectors.
[[nodiscard]] inline gathered ready(std::span<const byte_activations> x, float unit, float* workspace) noexcept {
  return {x, unit, workspace};
}
[[nodiscard]] inline std::span<const float_activations> ready(std::span<const float_activations> x, float,
                                                              float*) noexcept {
  return x;
}

template<class Code, unsigned Bits, class Numbers, class Activations>
void multiply_columns(const packed_grid& m, std::span<const Activations> x, float* y, std::ptrdiff_t y_stride,
                      float* workspace, std::size_t first, std::size_t last) noexcept {
  constexpr bool bytes = std::is_same_v<Activations, byte_activations>;
  const grid_format f = m.format;
  const grid_format::layout l = f.layout_of(m.out, m.in);
  const std::size_t segment = x[0].segment, all = segments(m.in, segment), blocks = segment / block_columns;
  const std::size_t groups = f.groups_per_row(m.in), of_group = groups <= 1 ? all : f.group / segment;
  const bool affine = f.rule == grid_rule::affine;
  const std::size_t scale_step = tile_rows * f.scale_bytes(), second_step = affine ? tile_rows / 8 * Bits : scale_step;
  segment_run<std::conditional_t<bytes, std::int8_t, float>> start;
  start.fixed_zero = static_cast<float>(f.fixed_zero_point()) + (bytes ? Numbers::zero_of_bytes : 0.f);
  if (f.has_minimum()) start.second_is = second_kind::minima;
  constexpr std::size_t most = Code::tiles * tile_rows;
  padded_segment<Bits> room;
  constexpr float each = std::is_same_v<Numbers, whole_numbers> ? 1 : 2;  // small floats are doubled
  const auto together = ready(x, -each * start.fixed_zero, workspace);

  for (std::size_t row = first; row < last;) {
    // Two tiles at once where both are whole and lie side by side; else one.
    const bool whole = f.group != per_tensor && m.in % block_columns == 0;
    std::size_t rows = last - row < most ? last - row : most;
    if (rows > tile_rows && (rows != most || !whole)) rows = tile_rows;
    float total[product_columns * most] = {};
    for (std::size_t s = 0; s < all;) {
      auto run = start;
      if (f.group == per_tensor || rows < tile_rows || (s + 1 == all && m.in % block_columns != 0)) {
        pad_run<Bits>(m, l, row, rows, s, segment, room, run);
      } else {  // as many as lie one after another: of a group where several share its scale, else all of the full length
        const std::size_t side = row / tile_rows * groups + s / of_group, full = m.in / segment;
        const bool by_group = of_group > 1;
        run.block = m.data + row * l.row_words * 4 + s * blocks * Bits * word_stride;
        run.scale = m.data + l.scales + side * scale_step;
        run.second = m.data + l.second + side * second_step;
        run.scale_step = by_group ? 0 : scale_step;
        run.second_step = by_group ? 0 : second_step;
        if (rows > tile_rows) {
          run.tile_block = l.row_words * 4 * tile_rows;
          run.tile_scale = groups * scale_step;
          run.tile_second = groups * second_step;
        }
        run.blocks = s < full ? blocks : m.in / block_columns - s * blocks;
        run.segments = s >= full ? 1 : by_group && full - s > of_group ? of_group : full - s;
        if (affine) run.second_is = second_kind::zero_points;
        run.halves = f.scales == scale_type::float16;
      }
      add_segment_columns<Code, Bits, Numbers>(run, together, segment, s, x.size(), total);
      s += run.segments;
    }
    for (std::size_t n = 0; n < x.size(); ++n)
      for (std::size_t r = 0; r < rows; ++r)
        y[static_cast<std::ptrdiff_t>(n) * y_stride + static_cast<std::ptrdiff_t>(row + r)] = total[n * most + r];
    row += rows;
  }
}

/// Vector by vector, while some rows stay in the nearest cache.
template<class Code, unsigned Bits, class Numbers, class Activations>
void multiply_one_by_one(const packed_grid& m, std::span<const Activations> x, float* y, std::ptrdiff_t y_stride,
                         std::size_t first, std::size_t last) noexcept {
  for (std::size_t row = first; row < last; row += product_columns)
    for (std::size_t i = 0; i < x.size(); ++i)
      multiply<Code, Bits, Numbers>(m, x[i], y + static_cast<std::ptrdiff_t>(i) * y_stride, row,
                                    last - row < product_columns ? last : row + product_columns);
}

}  // namespace detail

/// Floats of workspace for `packed_product`.
[[nodiscard]] constexpr std::size_t packed_product_workspace(std::size_t in, std::size_t segment) noexcept {
  return detail::product_columns * (detail::whole_blocks(in) / 4 + 3 * detail::segments(in, segment));
}

/// A packed matrix times a few vectors: element r of result n is y[n * y_stride + r].
///
/// Requires  as `matvec`; all of x of one length and segment; workspace of packed_product_workspace elements.
/// Errors    none: noexcept, no allocation.
/// Cost      every block is read and unpacked once for 32 vectors (bytes times small floats but e2m1: once a vector); 14 KiB of
///           stack, of floats 25.
/// @post     every vector's result is `matvec`'s, bit for bit.
template<class Code = native_code_lanes>
void packed_product(const packed_grid& m, std::span<const byte_activations> x, std::span<float> y,
                    std::ptrdiff_t y_stride, std::span<float> workspace, row_range rows = {}) noexcept {
  const std::size_t last = rows.last < m.out ? rows.last : m.out;
  for (std::size_t n = 0; n < x.size(); n += detail::product_columns) {
    const auto some = x.subspan(n, x.size() - n < detail::product_columns ? x.size() - n : detail::product_columns);
    float* const to = y.data() + static_cast<std::ptrdiff_t>(n) * y_stride;
    detail::with_codes(m.format, [&](auto bits, auto numbers) {
      using numbers_type = decltype(numbers);
      if constexpr (numbers_type::exact_in_bytes)
        detail::multiply_columns<Code, bits, numbers_type>(m, some, to, y_stride, workspace.data(), rows.first, last);
      else  // no integers
        detail::multiply_one_by_one<Code, bits, numbers_type>(m, some, to, y_stride, rows.first, last);
    });
  }
}
/// The same of floats, which need no workspace.
template<class Code = native_code_lanes>
void packed_product(const packed_grid& m, std::span<const float_activations> x, std::span<float> y,
                    std::ptrdiff_t y_stride, row_range rows = {}) noexcept {
  const std::size_t last = rows.last < m.out ? rows.last : m.out;
  for (std::size_t n = 0; n < x.size(); n += detail::product_columns) {
    const auto some = x.subspan(n, x.size() - n < detail::product_columns ? x.size() - n : detail::product_columns);
    float* const to = y.data() + static_cast<std::ptrdiff_t>(n) * y_stride;
    detail::with_codes(m.format, [&](auto bits, auto numbers) {
      if (some.size() < 3)  // storing the numbers would take longer than making them again
        detail::multiply_one_by_one<Code, bits, decltype(numbers)>(m, some, to, y_stride, rows.first, last);
      else
        detail::multiply_columns<Code, bits, decltype(numbers)>(m, some, to, y_stride, nullptr, rows.first, last);
    });
  }
}

}  // namespace precis::kernel
