#pragma once

#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/half.hpp>
#include <precis/kernel/lanes.hpp>
#include <precis/kernel/prepared_vector.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

/// A packed matrix times a vector, without unpacking it first.
namespace precis::kernel {

/// A packed matrix somebody else owns. Blocks of a buffer that starts at a cache line are read fastest.
struct packed_grid {
  grid_format format;
  const std::byte* data = nullptr;
  std::size_t out = 0;
  std::size_t in = 0;
};

/// Rows of a matrix: `first` a multiple of 16, `last` a multiple of 16 or the number of rows. Threads take one each.
struct row_range {
  std::size_t first = 0;
  std::size_t last = static_cast<std::size_t>(-1);  ///< beyond the end: to the end
};

namespace detail {

/// Codes that become floats may lie among other bits, from this one of their bytes on; wider ones are clean bytes.
template<unsigned Bits>
inline constexpr bool loose_codes = Bits <= 5;
template<unsigned Bits, std::size_t K>
inline constexpr unsigned loose_at = planes_of(Bits).count == 1 ? K * Bits % 8 : 0;

/// What codes stand for before the scale: whole numbers, ...
struct whole_numbers {
  static constexpr bool exact_in_bytes = true;
  static constexpr float zero_of_bytes = 0;  ///< what is added to make products with bytes ones of integers
  template<class Code, unsigned Bits, unsigned At>
  [[nodiscard, gnu::always_inline]] static typename Code::floats::vector value(typename Code::words codes) noexcept {
    return Code::template number<loose_codes<Bits> ? Bits : 8, At>(codes);
  }
};
/// ... of 16 or 24 bits ...
struct wide_numbers {
  static constexpr bool exact_in_bytes = false;
  static constexpr float zero_of_bytes = 0;
};
/// ... or small floats. Twice those of e2m1, and 12 more, are whole numbers from 0 to 24.
template<class Float>
struct small_floats {
  static constexpr bool exact_in_bytes = Float::whole_when_doubled;
  static constexpr float zero_of_bytes = exact_in_bytes ? 6 : 0;
  static constexpr auto table = [] {
    std::array<std::uint8_t, 16> all{};
    for (unsigned c = 0; exact_in_bytes && c < 16; ++c)
      all[c] = static_cast<std::uint8_t>(static_cast<int>(2 * Float::decode(static_cast<std::uint8_t>(c))) + 12);
    return all;
  }();
  template<class Code, unsigned Bits, unsigned At>
  [[nodiscard, gnu::always_inline]] static typename Code::floats::vector value(typename Code::words codes) noexcept {
    return Code::template small_float<Float, At>(codes);
  }
};

/// f(constant bits, what codes stand for).
template<class F>
void with_codes(const grid_format& f, F&& body) noexcept {
  if (f.is_float())
    with_float(f, [&](auto small) {
      body(std::integral_constant<unsigned, decltype(small)::bits>{}, small_floats<decltype(small)>{});
    });
  else if (f.code_bits == 16)
    body(std::integral_constant<unsigned, 16>{}, wide_numbers{});
  else if (f.code_bits == 24)
    body(std::integral_constant<unsigned, 24>{}, wide_numbers{});
  else
    with_bits(f.code_bits, [&](auto bits) { body(bits, whole_numbers{}); });
}

/// The same for a format that is known when compiling.
template<grid_format F>
struct listed {};
template<grid_format F, class Body>
void with_codes(Body&& body) noexcept {
  constexpr std::integral_constant<unsigned, F.code_bits> bits;
  if constexpr (F.rule == grid_rule::e4m3)
    body(bits, small_floats<float8_e4m3>{});
  else if constexpr (F.rule == grid_rule::e5m2)
    body(bits, small_floats<float8_e5m2>{});
  else if constexpr (F.rule == grid_rule::e2m1)
    body(bits, small_floats<float4_e2m1>{});
  else if constexpr (F.is_power())
    body(bits, small_floats<falling_power<F.code_bits, F.rule == grid_rule::log2 ? 1 : 2>>{});
  else if constexpr (F.wide())
    body(bits, wide_numbers{});
  else
    body(bits, whole_numbers{});
}

inline constexpr std::size_t word_stride = tile_rows * 4;  ///< bytes from one word of a row to its next, in whole tiles
inline constexpr std::size_t read_ahead = 2048;  ///< bytes: between unpacking, processors do not look as far themselves

/// body(quad<K>, part, codes) for the eight quads of a block and, one after another, the parts at `block`.
template<class Code, unsigned Bits, bool Loose, std::size_t Parts, class Begin, class Body>
[[gnu::always_inline]] inline void each_codes(const std::byte* const (&block)[Parts], std::size_t offset, Begin&& begin,
                                              Body&& body) noexcept {
  typename Code::words w[Parts][Bits];
  for_constants<Parts>([&](auto p) __attribute__((always_inline)) {
    for_constants<Bits>([&](auto v) __attribute__((always_inline)) {
      const std::byte* const at = block[p] + offset + v * word_stride;
      w[p][v] = Code::load(at);
      if constexpr (Code::rows == tile_rows) __builtin_prefetch(at + read_ahead);  // a load is a cache line
    });
  });
  for_constants<8>([&](auto k) __attribute__((always_inline)) {
    begin(quad<k>{});
    for_constants<Parts>(
        [&](auto p) __attribute__((always_inline)) { body(quad<k>{}, p, codes_of<Code, Bits, k, Loose>(w[p])); });
  });
}

/// body(quad<K>, part, j, value) for every fourth column of a block, from the bytes of wide codes; exact, as they are below 2^24.
template<class Code, unsigned Bits, std::size_t Parts, class Body>
[[gnu::always_inline]] inline void each_wide(const std::byte* const (&block)[Parts], std::size_t offset,
                                             Body&& body) noexcept {
  using lanes = typename Code::floats;
  for_constants<8>([&](auto k) __attribute__((always_inline)) {
    for_constants<Parts>([&](auto p) __attribute__((always_inline)) {
      const auto plane = [&](std::size_t i) __attribute__((always_inline)) {
        return Code::load(block[p] + offset + (8 * i + k) * word_stride);
      };
      const typename Code::words low = plane(0), middle = plane(1), high = plane(Bits / 8 - 1);
      for_constants<4>([&](auto j) __attribute__((always_inline)) {
        auto value = Code::template number<8, 8 * j>(low);
        value = lanes::fma(Code::template number<8, 8 * j>(middle), lanes::all(256.f), value);
        if constexpr (Bits == 24) value = lanes::fma(Code::template number<8, 8 * j>(high), lanes::all(65536.f), value);
        body(quad<k>{}, p, j, value);
      });
    });
  });
}

/// Sums of code * x over `blocks` blocks, for the rows of each part:
///     lane[j] = fma(code, x, lane[j]) over the columns 4 k + j in order;  (lane[0] + lane[1]) + (lane[2] + lane[3])
template<class Code, unsigned Bits, class Numbers, std::size_t Parts>
[[gnu::always_inline]] inline void segment_products(const std::byte* const (&block)[Parts], std::size_t blocks,
                                                    const float* x,
                                                    typename Code::floats::vector (&product)[Parts]) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  vector lane[Parts][4];
  for_constants<Parts>([&](auto p) __attribute__((always_inline)) {
    for_constants<4>([&](auto j) __attribute__((always_inline)) { lane[p][j] = lanes::zero(); });
  });
  for (std::size_t b = 0, offset = 0; b < blocks; ++b, offset += Bits * word_stride, x += block_columns) {
    if constexpr (std::is_same_v<Numbers, wide_numbers>) {
      each_wide<Code, Bits>(block, offset, [&](auto k, auto p, auto j, vector value) __attribute__((always_inline)) {
        lane[p][j] = lanes::fma(value, lanes::broadcast(x + 4 * k + j), lane[p][j]);
      });
      continue;
    } else {
      vector four[4];
      each_codes<Code, Bits, loose_codes<Bits>>(
          block, offset,
          [&](auto k) __attribute__((always_inline)) {
            for_constants<4>([&](auto j) __attribute__((always_inline)) { four[j] = lanes::broadcast(x + 4 * k + j); });
          },
          [&](auto k, auto p, typename Code::words codes) __attribute__((always_inline)) {
            for_constants<4>([&](auto j) __attribute__((always_inline)) {
              constexpr unsigned at = loose_at<Bits, k> + 8 * j;
              lane[p][j] = lanes::fma(Numbers::template value<Code, Bits, at>(codes), four[j], lane[p][j]);
            });
          });
    }
  }
  for_constants<Parts>([&](auto p) __attribute__((always_inline)) {
    product[p] = lanes::add(lanes::add(lane[p][0], lane[p][1]), lanes::add(lane[p][2], lane[p][3]));
  });
}
/// The same of bytes: exact for integers of up to 8 bits and e2m1; all others are multiplied as floats.
template<class Code, unsigned Bits, class Numbers, std::size_t Parts>
[[gnu::always_inline]] inline void segment_products(const std::byte* const (&block)[Parts], std::size_t blocks,
                                                    const std::int8_t* x,
                                                    typename Code::floats::vector (&product)[Parts]) noexcept {
  using lanes = typename Code::floats;
  constexpr bool integers = std::is_same_v<Numbers, whole_numbers>;
  if constexpr (!Numbers::exact_in_bytes) {
    float values[4 * block_columns];
    for (std::size_t c = 0; c < blocks * block_columns; ++c) values[c] = static_cast<float>(x[c]);
    segment_products<Code, Bits, Numbers>(block, blocks, values, product);
  } else {
    typename Code::template products<integers ? Bits : 5> sum[Parts];
    for (std::size_t b = 0, offset = 0; b < blocks; ++b, offset += Bits * word_stride, x += block_columns) {
      auto four = Code::four(x);
      each_codes<Code, Bits, false>(
          block, offset, [&](auto k) __attribute__((always_inline)) { four = Code::four(x + 4 * k); },
          [&](auto k, auto p, typename Code::words codes) __attribute__((always_inline)) {
            if constexpr (!integers) codes = Code::nibbles(codes, Numbers::table.data());
            sum[p].add(k, codes, four);
          });
      for_constants<Parts>([&](auto p) __attribute__((always_inline)) { sum[p].end_block(); });
    }
    for_constants<Parts>([&](auto p) __attribute__((always_inline)) {
      product[p] = Code::to_float(sum[p].sum());
      if constexpr (!integers) product[p] = lanes::multiply(product[p], lanes::all(0.5f));
    });
  }
}

/// A segment of a tile that is no 16 rows high or no whole blocks wide, as if it were: zeros fill it up.
template<unsigned Bits>
void pad_segment(const packed_grid& m, const grid_format::layout& l, std::size_t first_row, std::size_t rows,
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

/// What is done with the side data that is not a scale.
enum class second_kind : std::uint8_t {
  fixed,        ///< one zero point for all
  zero_points,  ///< a stream of codes
  zero_floats,  ///< the same as floats
  minima        ///< of the scales' type
};

/// Segments that follow each other in one tile, or in two neighbours, and where what belongs to them lies.
template<class Value>
struct segment_run {
  const std::byte* block = nullptr;   ///< sixteen rows side by side
  const std::byte* scale = nullptr;   ///< sixteen side by side
  const std::byte* second = nullptr;  ///< likewise
  std::size_t scale_step = 0;         ///< bytes from the scales of a segment to those of the next
  std::size_t second_step = 0;
  std::size_t tile_block = 0;  ///< bytes from the first tile to the second; 0: the second is not there
  std::size_t tile_scale = 0;
  std::size_t tile_second = 0;
  const Value* values = nullptr;    ///< of x
  const float* x_scales = nullptr;  ///< of bytes
  const float* x_sums = nullptr;
  std::size_t segments = 0;
  std::size_t blocks = 0;  ///< of one segment
  second_kind second_is = second_kind::fixed;
  bool halves = false;
  float fixed_zero = 0;
};

/// Zero points first, first + 1, ... of the sixteen of a stream that starts at run.
template<class Code, unsigned Bits>
[[nodiscard, gnu::always_inline]] inline typename Code::floats::vector zero_points_of(const std::byte* run,
                                                                                      std::size_t first) noexcept {
  if constexpr (Bits <= 8) {
    return Code::template zero_points<Bits>(run, first);
  } else {
    float zeros[Code::rows];
    for (std::size_t r = 0; r < Code::rows; ++r) zeros[r] = static_cast<float>(code_at<Bits>(run, first + r));
    return Code::floats::load(zeros);
  }
}

/// Tiles at once: several share what is loaded of bytes. Floats spend their time on the codes, and one tile is read faster than two.
template<class Code, class Value>
inline constexpr std::size_t tiles_at_once = std::is_same_v<Value, float> ? 1 : Code::tiles;

/// total[r] = fma(scale, product - zero point * sum of x, total[r]), segment by segment.
template<class Code, unsigned Bits, class Numbers, class Value>
void add_segments(const segment_run<Value>& given, float* total) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  constexpr bool bytes = std::is_same_v<Value, std::int8_t>;
  constexpr std::size_t rows = Code::rows, all_parts = tiles_at_once<Code, Value> * tile_rows / rows;
  constexpr std::size_t parts = Code::together < all_parts ? Code::together : all_parts;
  segment_run<Value> run = given;
  const vector fixed_zero = lanes::all(-run.fixed_zero);
  const std::size_t blocks = run.blocks;
  const auto some = [&](std::size_t s, std::size_t first_part, vector* sum) __attribute__((always_inline)) {
    const auto place = [&](std::size_t p, std::size_t tile_step, std::size_t each) __attribute__((always_inline)) {
      const std::size_t row = (first_part + p) * rows;
      return row / tile_rows * tile_step + row % tile_rows * each;
    };
    const vector sum_x = lanes::broadcast(run.x_sums + s);
    const std::byte* block[parts];
    vector product[parts];
    for_constants<parts>([&](auto p)
                             __attribute__((always_inline)) { block[p] = run.block + place(p, run.tile_block, 4); });
    segment_products<Code, Bits, Numbers>(block, blocks, run.values, product);
    for_constants<parts>([&](auto p) __attribute__((always_inline)) {
      const auto stored = [&](const std::byte* at, std::size_t tile_step) __attribute__((always_inline)) {
        return run.halves ? Code::load_halves(at + place(p, tile_step, 2))
                          : Code::load_floats(at + place(p, tile_step, 4));
      };
      if (run.second_is == second_kind::fixed) {
        product[p] = lanes::fma(fixed_zero, sum_x, product[p]);
      } else if (run.second_is != second_kind::minima) {
        const vector zero = run.second_is == second_kind::zero_points
                                ? zero_points_of<Code, Bits>(run.second + place(p, run.tile_second, 0),
                                                             (first_part + p) * rows % tile_rows)
                                : Code::load_floats(run.second + place(p, run.tile_second, 4));
        product[p] = lanes::fma(lanes::subtract(lanes::zero(), zero), sum_x, product[p]);
      }
      vector scale = stored(run.scale, run.tile_scale);
      if constexpr (bytes) scale = lanes::multiply(scale, lanes::broadcast(run.x_scales + s));
      sum[p] = lanes::fma(scale, product[p], sum[p]);
      if (run.second_is == second_kind::minima) {
        vector moved = sum_x;
        if constexpr (bytes) moved = lanes::multiply(moved, lanes::broadcast(run.x_scales + s));
        sum[p] = lanes::fma(stored(run.second, run.tile_second), moved, sum[p]);
      }
    });
  };
  vector sum[all_parts];
  for (std::size_t p = 0; p < all_parts; ++p) sum[p] = lanes::load(total + p * rows);
  for (std::size_t s = 0; s < run.segments; ++s) {
    if constexpr (all_parts == parts)
      some(s, 0, sum);
    else
      for (std::size_t p = 0; p < all_parts; p += parts) some(s, p, sum + p);
    run.block += blocks * Bits * word_stride;
    run.values += blocks * block_columns;
    run.scale += run.scale_step;
    run.second += run.second_step;
  }
  for (std::size_t p = 0; p < all_parts; ++p) lanes::store(total + p * rows, sum[p]);
}

[[nodiscard]] inline float stored_float(const std::byte* at, scale_type type) noexcept {
  return type == scale_type::float32 ? scalar_code_lanes::load_floats(at) : scalar_code_lanes::load_halves(at);
}

/// Scales and zero points (or minima) of one group of a tile as floats, sixteen side by side even where there are fewer.
struct padded_side {
  std::byte scales[tile_rows * 4] = {};
  std::byte second[tile_rows * 4] = {};
};
template<unsigned Bits>
void pad_side(const packed_grid& m, const grid_format::layout& l, std::size_t first_row, std::size_t rows,
              std::size_t group, padded_side& side) noexcept {
  const grid_format& f = m.format;
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t at = f.group_at(m.out, m.in, first_row + r, group);
    float second = 0;
    if (f.rule == grid_rule::affine)
      second = static_cast<float>(static_cast<std::int32_t>(code_at<Bits>(m.data + l.second, at)));
    if (f.has_minimum()) second = stored_float(m.data + l.second + at * f.scale_bytes(), f.scales);
    const float scale = stored_float(m.data + l.scales + at * f.scale_bytes(), f.scales);
    put_word32(std::bit_cast<std::uint32_t>(scale), side.scales + 4 * r);
    put_word32(std::bit_cast<std::uint32_t>(second), side.second + 4 * r);
  }
}

[[nodiscard]] inline segment_run<float> start_run(const float_activations& x) noexcept {
  return {.values = x.values, .x_sums = x.sums};
}
[[nodiscard]] inline segment_run<std::int8_t> start_run(const byte_activations& x) noexcept {
  return {.values = x.codes, .x_scales = x.scales, .x_sums = x.sums};
}
[[nodiscard]] inline const float* last_values(const float_activations& x) noexcept { return x.last_values; }
[[nodiscard]] inline const std::int8_t* last_values(const byte_activations& x) noexcept {
  return x.codes + (segments(x.in, x.segment) - 1) * x.segment;
}

/// Room for a segment that does not lie side by side.
template<unsigned Bits>
struct padded_segment {
  alignas(64) std::byte blocks[std::size_t{4} * Bits * word_stride];  // a segment has four blocks at most
  padded_side side;
};

/// Segment s of the tile at `row`, `rows` high, filled up in `room`: changes where the run's blocks and side data are.
template<unsigned Bits, class Run>
void pad_run(const packed_grid& m, const grid_format::layout& l, std::size_t row, std::size_t rows, std::size_t s,
             std::size_t segment, padded_segment<Bits>& room, Run& run) noexcept {
  const std::size_t groups = m.format.groups_per_row(m.in), all = segments(m.in, segment);
  const std::size_t of_group = groups <= 1 ? all : m.format.group / segment, blocks = segment / block_columns;
  run.segments = 1;
  run.blocks = s + 1 == all ? (whole_blocks(m.in) - s * segment) / block_columns : blocks;
  pad_segment<Bits>(m, l, row, rows, s * blocks, run.blocks, room.blocks);
  pad_side<Bits>(m, l, row, rows, s / of_group, room.side);
  run.block = room.blocks;
  run.scale = room.side.scales;
  run.second = room.side.second;
  if (m.format.rule == grid_rule::affine) run.second_is = second_kind::zero_floats;
}

/// Rows first ... last - 1 of m x.
template<class Code, unsigned Bits, class Numbers, class Activations>
void multiply(const packed_grid& m, const Activations& x, float* y, std::size_t first, std::size_t last) noexcept {
  const grid_format f = m.format;
  const grid_format::layout l = f.layout_of(m.out, m.in);
  const std::size_t all = segments(m.in, x.segment), blocks = x.segment / block_columns;
  const std::size_t groups = f.groups_per_row(m.in), of_group = groups <= 1 ? all : f.group / x.segment;
  const bool affine = f.rule == grid_rule::affine;
  const std::size_t scale_step = tile_rows * f.scale_bytes(), second_step = affine ? tile_rows / 8 * Bits : scale_step;
  auto start = start_run(x);
  start.fixed_zero = static_cast<float>(f.fixed_zero_point());
  if constexpr (std::is_same_v<Activations, byte_activations>) start.fixed_zero += Numbers::zero_of_bytes;
  if (f.has_minimum()) start.second_is = second_kind::minima;

  using value = std::conditional_t<std::is_same_v<Activations, byte_activations>, std::int8_t, float>;
  constexpr std::size_t most = tiles_at_once<Code, value> * tile_rows;
  for (std::size_t row = first; row < last;) {
    const std::size_t rows = last - row < most ? last - row : most;
    float total[most] = {};
    // Whole segments of whole tiles straight from where they lie ...
    std::size_t s = 0;
    const bool side_by_side = (rows == most || rows == tile_rows) && f.group != per_tensor;
    if (side_by_side) {
      auto run = start;
      const std::size_t whole = m.in % x.segment == 0 ? all : all - 1;
      const bool by_group = of_group > 1;  // several segments share a scale: one call a group
      run.block = m.data + row * l.row_words * 4;
      run.scale = m.data + l.scales + row / tile_rows * groups * scale_step;
      run.second = m.data + l.second + row / tile_rows * groups * second_step;
      run.scale_step = by_group ? 0 : scale_step;
      run.second_step = by_group ? 0 : second_step;
      if (rows > tile_rows) {
        run.tile_block = l.row_words * 4 * tile_rows;
        run.tile_scale = groups * scale_step;
        run.tile_second = groups * second_step;
      }
      run.blocks = blocks;
      if (affine) run.second_is = second_kind::zero_points;
      run.halves = f.scales == scale_type::float16;
      while (s < whole) {
        run.segments = by_group && whole - s > of_group ? of_group : whole - s;
        add_segments<Code, Bits, Numbers>(run, total);
        s += run.segments;
        run.block += run.segments * blocks * Bits * word_stride;
        run.values += run.segments * x.segment;
        if (run.x_scales != nullptr) run.x_scales += run.segments;
        run.x_sums += run.segments;
        run.scale += scale_step;
        run.second += second_step;
      }
    }
    // ... everything else tile by tile, segment by segment, filled up.
    for (std::size_t done = 0; done < rows && s < all; done += tile_rows) {
      const std::size_t high = rows - done < tile_rows ? rows - done : tile_rows;
      float part[most] = {};
      for (std::size_t r = 0; r < high; ++r) part[r] = total[done + r];
      for (std::size_t i = s; i < all; ++i) {
        padded_segment<Bits> room;
        auto run = start;
        run.values = i + 1 == all ? last_values(x) : run.values + i * x.segment;
        if (run.x_scales != nullptr) run.x_scales += i;
        run.x_sums += i;
        pad_run<Bits>(m, l, row + done, high, i, x.segment, room, run);
        add_segments<Code, Bits, Numbers>(run, part);
      }
      for (std::size_t r = 0; r < high; ++r) total[done + r] = part[r];
    }
    for (std::size_t r = 0; r < rows; ++r) y[row + r] = total[r];
    row += rows;
  }
}

}  // namespace detail

/// y = m x, from the packed bytes. For every row r, segment by segment of x (`segment_of` columns, by which x was made):
///
///     floats  product = (lane[0] + lane[1]) + (lane[2] + lane[3]); lane[j] = fma(code, x, lane[j]) over the segment's
///             columns c with c mod 4 = j, in order from 0
///     bytes   product = the exact integer sum of code * byte
///     then    product = fma(-zero_point, sum of x, product)                         but for formats with a minimum
///             total = fma(scale, product, total)                                    bytes: scale * x's scale, rounded
///             total = fma(minimum, sum of x, total)     formats with a minimum; bytes: sum * x's scale, rounded
///
/// all in float, every fma rounded once; `sum of x` is what `as_floats` or `as_bytes` made. In place of a code stands the
/// value of a small float. With bytes, e2m1: product = the exact sum of (value + 6) * byte, zero point 6; other small floats
/// and codes of more than 8 bits: as floats, x the byte.
///
/// Shapes    m [out x in], x [in], y [out]
/// Requires  segment_of(m.format, m.in) != 0, and x made with it; m.data as long as the format says; y of m.out elements (those
///           outside `rows` are not touched); rows.first a multiple of 16.
/// Errors    none: noexcept, no allocation.
/// Cost      one read of the rows; at most 5 KiB of stack (8 with codes of more than 8 bits).
/// @post     equal bit for bit for all lanes.
/// @post     any range of rows gives the same bits as the whole.
template<class Code = native_code_lanes>
void matvec(const packed_grid& m, const float_activations& x, std::span<float> y, row_range rows = {}) noexcept {
  const std::size_t last = rows.last < m.out ? rows.last : m.out;
  detail::with_codes(m.format, [&](auto bits, auto numbers) {
    detail::multiply<Code, bits, decltype(numbers)>(m, x, y.data(), rows.first, last);
  });
}
template<class Code = native_code_lanes>
void matvec(const packed_grid& m, const byte_activations& x, std::span<float> y, row_range rows = {}) noexcept {
  const std::size_t last = rows.last < m.out ? rows.last : m.out;
  detail::with_codes(m.format, [&](auto bits, auto numbers) {
    detail::multiply<Code, bits, decltype(numbers)>(m, x, y.data(), rows.first, last);
  });
}

/// The same for a program that knows its formats, `matvec<four_bits, eight_bits>(m, x, y)`: nothing is instantiated but the
/// widths and small floats that are listed; groups and scales of one width share its code.
///
/// Requires  as above; m.format has the width, and the small float, of one that is listed.
/// @post     equal bit for bit to the matvec of all formats.
template<grid_format First, grid_format... Others, class Activations>
void matvec(const packed_grid& m, const Activations& x, std::span<float> y, row_range rows = {}) noexcept {
  const std::size_t last = rows.last < m.out ? rows.last : m.out;
  const auto multiplied = [&]<grid_format F>(detail::listed<F>) {
    if (m.format.code_bits != F.code_bits || m.format.is_float() != F.is_float()) return false;
    if (F.is_float() && m.format.rule != F.rule) return false;
    detail::with_codes<F>([&](auto bits, auto numbers) {
      detail::multiply<native_code_lanes, bits, decltype(numbers)>(m, x, y.data(), rows.first, last);
    });
    return true;
  };
  if (!multiplied(detail::listed<First>{})) (multiplied(detail::listed<Others>{}) || ...);
}

}  // namespace precis::kernel
