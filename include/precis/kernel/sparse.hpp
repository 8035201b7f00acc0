#pragma once

#include <precis/kernel/dense.hpp>
#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/kept_columns.hpp>
#include <precis/kernel/lanes.hpp>
#include <precis/kernel/matvec.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

/// Matrices of which some weights are kept, and their products.
namespace precis::kernel {

/// A packed matrix somebody else owns: where the weights kept lie, and what they are.
struct packed_kept {
  kept_columns kept;
  const std::byte* places = nullptr;  ///< of kept.layout_of_places(out, in)
  packed_grid values;                 ///< [out x kept.count(in)]
  std::size_t in = 0;
};

namespace detail {

/// The columns of x that sixteen rows keep, one segment: column k of row r at [16 k + r].
struct segment_of_x {
  float at[4 * block_columns * tile_rows];
};

/// xs[16 k + r] = x at place (k, r), for the columns k of one block. A column that is not there is 0.
template<class Code, unsigned Bits>
void gather_block(const std::byte* block, const float* const (&group_of)[block_columns], float* xs) noexcept {
  constexpr std::size_t parts = tile_rows / Code::rows;
  for (std::size_t p = 0; p < parts; ++p) {
    const std::byte* const one[1] = {block + p * Code::rows * 4};
    each_codes<Code, Bits, false>(
        one, 0, [](auto) {},
        [&](auto k, auto, typename Code::words places) __attribute__((always_inline)) {
          for_constants<4>([&](auto j) __attribute__((always_inline)) {
            constexpr std::size_t column = 4 * decltype(k)::value + decltype(j)::value;
            Code::floats::store(xs + column * tile_rows + p * Code::rows,
                                Code::template look_up<Bits, j>(places, group_of[column], 0));
          });
        });
  }
}

/// body(quad<K>, j, value) for the 32 columns of the rows at `block`.
template<class Code, unsigned Bits, class Numbers, class Body>
[[gnu::always_inline]] inline void each_value(const std::byte* block, std::size_t offset, Body&& body) noexcept {
  const std::byte* const one[1] = {block};
  if constexpr (std::is_same_v<Numbers, wide_numbers>)
    each_wide<Code, Bits>(
        one, offset, [&](auto k, auto, auto j, auto value) __attribute__((always_inline)) { body(k, j, value); });
  else
    each_codes<Code, Bits, loose_codes<Bits>>(
        one, offset, [](auto) {},
        [&](auto k, auto, typename Code::words codes) __attribute__((always_inline)) {
          for_constants<4>([&](auto j) __attribute__((always_inline)) {
            body(k, j, Numbers::template value<Code, Bits, loose_at<Bits, k> + 8 * j>(codes));
          });
        });
}

/// total[r] = fma(scale, product - zero point * sum of x, total[r]) of one segment of sixteen rows.
template<class Code, unsigned Bits, class Numbers>
void add_kept_segment(const std::byte* blocks, std::size_t count, const segment_of_x& x, const padded_side& side,
                      float* total) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  for (std::size_t row = 0; row < tile_rows; row += Code::rows) {
    vector lane[4], some[4];
    for_constants<4>([&](auto j) __attribute__((always_inline)) { lane[j] = some[j] = lanes::zero(); });
    const float* xs = x.at + row;
    for (std::size_t b = 0; b < count; ++b, xs += block_columns * tile_rows)
      each_value<Code, Bits, Numbers>(
          blocks + row * 4, b * Bits * word_stride, [&](auto k, auto j, vector value) __attribute__((always_inline)) {
            const vector here = lanes::load(xs + (4 * k + j) * tile_rows);
            lane[j] = lanes::fma(value, here, lane[j]);
            some[j] = lanes::add(some[j], here);
          });
    const vector sum = lanes::add(lanes::add(some[0], some[1]), lanes::add(some[2], some[3]));
    vector product = lanes::add(lanes::add(lane[0], lane[1]), lanes::add(lane[2], lane[3]));
    product = lanes::fma(lanes::subtract(lanes::zero(), Code::load_floats(side.second + row * 4)), sum, product);
    lanes::store(total + row, lanes::fma(Code::load_floats(side.scales + row * 4), product, lanes::load(total + row)));
  }
}

template<class Code, unsigned Bits, class Numbers>
void multiply_kept(const packed_kept& m, std::span<const float> x, float* y, std::size_t first,
                   std::size_t last) noexcept {
  const packed_grid& values = m.values;
  const grid_format f = values.format;
  const grid_format::layout l = f.layout_of(values.out, values.in),
                            places_layout = m.kept.layout_of_places(values.out, m.in);
  const packed_grid places{m.kept.places(), m.places, values.out, values.in};
  const std::size_t segment = segment_of(f, values.in), all = segments(values.in, segment);
  const std::size_t groups = f.groups_per_row(values.in), of_group = groups <= 1 ? all : f.group / segment;
  const std::size_t keep = m.kept.keep, group = m.kept.group, readable = std::size_t{1} << m.kept.place_bits();
  // Groups of x so near its end that more is read than there is; and what columns that are not there meet.
  float ends[2 * 256 + 256] = {}, nothing[256] = {};
  const std::size_t inside = x.size() < readable ? 0 : (x.size() - readable) / group * group + group;
  for (std::size_t c = inside; c < x.size(); ++c) ends[c - inside] = x[c];

  // Widths of places by pointers: every width of codes would be compiled for every one of them otherwise.
  const unsigned place_bits = places.format.code_bits;
  decltype(&gather_block<Code, 2>) gather = nullptr;
  decltype(&pad_segment<2>) pad_places = nullptr;
  with_bits(place_bits, [&](auto constant) {
    gather = &gather_block<Code, constant>;
    pad_places = &pad_segment<constant>;
  });

  for (std::size_t row = first; row < last; row += tile_rows) {
    const std::size_t rows = last - row < tile_rows ? last - row : tile_rows;
    float total[tile_rows] = {};
    for (std::size_t s = 0, k = 0; s < all; ++s) {
      const std::size_t left = whole_blocks(values.in) - s * segment, first_block = s * segment / block_columns;
      const std::size_t wide = (left < segment ? left : segment) / block_columns;
      padded_segment<Bits> room;
      alignas(64) std::byte place_room[std::size_t{4} * 8 * word_stride];
      const std::byte* blocks = values.data + row * l.row_words * 4 + first_block * Bits * word_stride;
      const std::byte* where = m.places + row * places_layout.row_words * 4 + first_block * place_bits * word_stride;
      if (rows < tile_rows || (s + 1 == all && values.in % block_columns != 0)) {
        pad_segment<Bits>(values, l, row, rows, first_block, wide, room.blocks);
        pad_places(places, places_layout, row, rows, first_block, wide, place_room);
        blocks = room.blocks;
        where = place_room;
      }
      pad_side<Bits>(values, l, row, rows, s / of_group, room.side);
      if (f.rule != grid_rule::affine)
        for (std::size_t r = 0; r < tile_rows; ++r)
          put_word32(std::bit_cast<std::uint32_t>(static_cast<float>(f.fixed_zero_point())), room.side.second + 4 * r);

      segment_of_x xs;
      for (std::size_t b = 0; b < wide; ++b) {
        const float* group_of[block_columns];
        for (const float*& at : group_of) {
          const std::size_t column = k / keep * group;
          at = k >= values.in ? nothing : column < inside ? x.data() + column : ends + (column - inside);
          ++k;
        }
        gather(where + b * place_bits * word_stride, group_of, xs.at + b * block_columns * tile_rows);
      }
      add_kept_segment<Code, Bits, Numbers>(blocks, wide, xs, room.side, total);
    }
    for (std::size_t r = 0; r < rows; ++r) y[row + r] = total[r];
  }
}

}  // namespace detail

/// y = m x, from the packed bytes. For every row, segment by segment of the weights kept (`segment_of` of them), with x at their
/// places for x:
///
///     product = (lane[0] + lane[1]) + (lane[2] + lane[3]);  lane[j] = fma(code, x, lane[j]) over the segment's weights k with
///     k mod 4 = j, in order from 0; the sum of x likewise
///     product = fma(-zero_point, sum of x, product);  total = fma(scale, product, total)
///
/// Shapes    m [out x in], x [in], y [out]
/// Requires  segment_of(m.values.format, m.values.in) != 0, no format with minima, places inside their groups; y of m.values.out
///           elements (those outside `rows` are not touched); rows.first a multiple of 16.
/// Errors    none: noexcept, no allocation.
/// Cost      one read of the rows; at most 24 KiB of stack.
/// @post     equal bit for bit for all lanes.
/// @post     any range of rows gives the same bits as the whole.
template<class Code = native_code_lanes>
void matvec(const packed_kept& m, std::span<const float> x, std::span<float> y, row_range rows = {}) noexcept {
  const std::size_t last = rows.last < m.values.out ? rows.last : m.values.out;
  detail::with_codes(m.values.format, [&](auto bits, auto numbers) {
    detail::multiply_kept<Code, bits, decltype(numbers)>(m, x, y.data(), rows.first, last);
  });
}

/// A matrix of which a bit a weight says what is kept, and those weights one after another, row by row: somebody else's.
struct packed_bitmap {
  const std::byte* bits = nullptr;  ///< [out x ceil(in / 8)]: bit c mod 8 of byte c / 8 of a row is column c's
  dense_type type = dense_type::float32;
  const std::byte* values = nullptr;  ///< as many numbers as bits are set
  std::size_t out = 0;
  std::size_t in = 0;
};

namespace detail {

[[nodiscard]] inline std::size_t bits_set(const std::byte* bytes, std::size_t count) noexcept {
  std::size_t set = 0;
  for (std::size_t i = 0; i < count; ++i)
    set += static_cast<std::size_t>(std::popcount(static_cast<unsigned>(bytes[i])));
  return set;
}

template<class Code, dense_type Type>
void multiply_bitmap(const packed_bitmap& m, const float* x, float* y, std::size_t first, std::size_t last) noexcept {
  using lanes = typename Code::floats;
  constexpr std::size_t width = lanes::width, parts = 16 / width, each = bytes_of(Type);
  const std::size_t row_bytes = m.in / 8 + (m.in % 8 != 0);
  const std::byte* value = m.values + bits_set(m.bits, first * row_bytes) * each;
  for (std::size_t r = first; r < last; ++r) {
    const std::byte* const bits = m.bits + r * row_bytes;
    typename lanes::vector sum[parts];
    for (auto& s : sum) s = lanes::zero();
    for (std::size_t c = 0; c < m.in; c += 16) {
      auto kept = static_cast<unsigned>(bits[c / 8]);
      if (c + 8 < m.in) kept |= static_cast<unsigned>(bits[c / 8 + 1]) << 8;
      float weights[16] = {}, rest[16] = {};
      for (; kept != 0; kept &= kept - 1, value += each)
        weights[std::countr_zero(kept)] = load_dense<scalar_code_lanes, Type>(value);
      const float* some = x + c;
      if (c + 16 > m.in) {
        for (std::size_t i = c; i < m.in; ++i) rest[i - c] = x[i];
        some = rest;
      }
      for (std::size_t p = 0; p < parts; ++p)
        sum[p] = lanes::fma(lanes::load(weights + p * width), lanes::load(some + p * width), sum[p]);
    }
    float lane[16];
    for (std::size_t p = 0; p < parts; ++p) lanes::store(lane + p * width, sum[p]);
    y[r] = tree_sum(lane);
  }
}

}  // namespace detail

/// y = m x: the bits of `matvec` of a dense_matrix in which the others are 0.
///
/// Shapes    m [out x in], x [in], y [out]
/// Requires  as many values as bits are set, none set beyond `in`; y of m.out elements (those outside `rows` are not touched).
/// Errors    none: noexcept, no allocation.
/// Cost      one read of the rows, and of the bits before them.
/// @post     equal bit for bit for all lanes, and to the dense product.
template<class Code = native_code_lanes>
void matvec(const packed_bitmap& m, std::span<const float> x, std::span<float> y, row_range rows = {}) noexcept {
  const std::size_t last = rows.last < m.out ? rows.last : m.out;
  switch (m.type) {
    case dense_type::float32:
      return detail::multiply_bitmap<Code, dense_type::float32>(m, x.data(), y.data(), rows.first, last);
    case dense_type::float16:
      return detail::multiply_bitmap<Code, dense_type::float16>(m, x.data(), y.data(), rows.first, last);
    case dense_type::bfloat16:
      return detail::multiply_bitmap<Code, dense_type::bfloat16>(m, x.data(), y.data(), rows.first, last);
  }
}

}  // namespace precis::kernel
