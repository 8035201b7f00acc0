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
template<class Values>
struct packed_kept_of {
  kept_columns kept;
  const std::byte* places = nullptr;  ///< of kept.layout_of_places(out, in)
  Values values;                      ///< [out x kept.count(in)]
  std::size_t in = 0;
};
using packed_kept = packed_kept_of<packed_grid>;
using packed_kept_dense = packed_kept_of<dense_matrix>;

/// A matrix of which a bit a weight says what is kept, and those weights one after another, row by row: somebody else's.
template<class Values>
struct packed_bitmap_of {
  const std::byte* bits = nullptr;  ///< [out x ceil(in / 8)]: bit c mod 8 of byte c / 8 of a row is column c's
  Values values;                    ///< [1 x as many as bits are set]
  std::size_t out = 0;
  std::size_t in = 0;
};
using packed_bitmap = packed_bitmap_of<dense_matrix>;
using packed_bitmap_grid = packed_bitmap_of<packed_grid>;

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
    each_wide<Code, Bits>(one, offset,
                          [&](auto k, auto, auto j, auto value) __attribute__((always_inline)) { body(k, j, value); });
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
      each_value<Code, Bits, Numbers>(blocks + row * 4, b * Bits * word_stride,
                                      [&](auto k, auto j, vector value) __attribute__((always_inline)) {
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

namespace detail {

[[nodiscard]] inline std::size_t bits_set(const std::byte* bytes, std::size_t count) noexcept {
  std::size_t set = 0, i = 0;
  for (; i + 8 <= count; i += 8) {
    std::uint64_t eight;
    __builtin_memcpy(&eight, bytes + i, 8);
    set += static_cast<std::size_t>(std::popcount(eight));
  }
  for (; i < count; ++i) set += static_cast<std::size_t>(std::popcount(static_cast<unsigned>(bytes[i])));
  return set;
}

/// Which columns a bitmap keeps, sixteen at a time.
class bitmap_places {
 public:
  template<class Values>
  bitmap_places(const packed_bitmap_of<Values>& m, std::size_t row) noexcept
      : bits_(m.bits + row * bytes_of_row(m.in)), row_bytes_(bytes_of_row(m.in)) {}

  void start_row() noexcept { at_ = 0; }
  /// Bit i: is column i of the next sixteen kept?
  [[nodiscard]] unsigned next() noexcept {
    auto kept = static_cast<unsigned>(bits_[at_]);
    if (at_ + 1 < row_bytes_) kept |= static_cast<unsigned>(bits_[at_ + 1]) << 8;
    at_ += 2;
    return kept;
  }
  void end_row() noexcept { bits_ += row_bytes_; }

  [[nodiscard]] static constexpr std::size_t bytes_of_row(std::size_t in) noexcept { return in / 8 + (in % 8 != 0); }

 private:
  const std::byte* bits_;
  std::size_t row_bytes_, at_ = 0;
};

/// The same of N of M: places, read a block at a time. Never more than sixteen columns, whatever the bytes are.
class kept_places {
 public:
  template<class Values>
  kept_places(const packed_kept_of<Values>& m, std::size_t row) noexcept
      : kept_(m.kept),
        layout_(m.kept.layout_of_places(m.values.out, m.in)),
        bytes_(m.places),
        out_(m.values.out),
        row_(row),
        count_(m.kept.count(m.in)),
        of_sixteen_(16 % kept_.group == 0 && block_columns % (16 / kept_.group * kept_.keep) == 0
                        ? 16 / kept_.group * kept_.keep
                        : 0) {
    if (of_sixteen_ != 0)
      for (std::size_t i = 0; i < block_columns; ++i)
        first_of_groups_[i] = static_cast<std::uint8_t>(i / kept_.keep * kept_.group % 16);
  }

  void start_row() noexcept {
    at_ = first_of_group_ = in_group_ = column_ = 0;
    if (count_ != 0) read_block();
  }
  [[nodiscard]] unsigned next() noexcept {
    unsigned kept = 0;
    if (of_sixteen_ != 0) {  // whole groups in every sixteen
      const std::size_t left = count_ - at_, count = left < of_sixteen_ ? left : of_sixteen_;
      const std::uint8_t* const columns = places_ + at_ % block_columns;
      for (std::size_t i = 0; i < count; ++i) kept |= 1u << columns[i];
      at_ += count;
      if (at_ % block_columns == 0 && at_ < count_) read_block();
      return kept;
    }
    while (at_ < count_) {
      const std::size_t column = first_of_group_ + places_[at_ % block_columns] - column_;
      if (column >= 16) break;
      kept |= 1u << column;
      if (++in_group_ == kept_.keep) {
        in_group_ = 0;
        first_of_group_ += kept_.group;
      }
      if (++at_ % block_columns == 0 && at_ < count_) read_block();
    }
    column_ += 16;
    return kept;
  }
  void end_row() noexcept { ++row_; }

 private:
  void read_block() noexcept {
    unpack_block_of(bytes_, layout_, kept_.place_bits(), out_, count_, row_, at_ / block_columns, places_);
    for (std::size_t i = 0; i < block_columns; ++i)
      places_[i] = static_cast<std::uint8_t>(places_[i] + first_of_groups_[i]);
  }

  kept_columns kept_;
  grid_format::layout layout_;
  const std::byte* bytes_;
  std::size_t out_, row_, count_;
  std::size_t of_sixteen_;  ///< weights that every sixteen columns keep, where groups do not cross them; else 0
  std::size_t at_ = 0, in_group_ = 0, first_of_group_ = 0, column_ = 0;
  std::uint8_t places_[block_columns] = {};
  std::uint8_t first_of_groups_[block_columns] = {};  ///< of sixteen
};

/// Numbers of a dense matrix one after another, from number `first` on.
template<class Code, dense_type Type>
class dense_stream {
 public:
  dense_stream(const dense_matrix& m, std::size_t first) noexcept
      : at_(m.data + first * each), end_(m.data + m.out * m.in * each) {}

  /// The next `count`, at most sixteen; sixteen may be read.
  [[nodiscard]] const float* take(std::size_t count) noexcept {
    using lanes = typename Code::floats;
    if (static_cast<std::size_t>(end_ - at_) >= 16 * each)
      for (std::size_t i = 0; i < 16; i += lanes::width)
        lanes::store(values_ + i, load_dense<Code, Type>(at_ + i * each));
    else
      for (std::size_t i = 0; i < count; ++i) values_[i] = load_dense<scalar_code_lanes, Type>(at_ + i * each);
    at_ += count * each;
    return values_;
  }

 private:
  static constexpr std::size_t each = bytes_of(Type);
  const std::byte *at_, *end_;
  float values_[16] = {};
};

/// One row of a packed grid, read from one block on.
struct grid_row {
  packed_grid m;
  grid_format::layout layout;
  std::size_t row = 0, block = 0;
  std::size_t group = 0;  ///< weights
  std::size_t left = 0;   ///< weights of the present group from here on
  std::size_t scale = 0;  ///< where it is among the scales
  std::size_t next = 0;   ///< from there to the next one's

  grid_row(const packed_grid& matrix, std::size_t of, std::size_t first) noexcept
      : m(matrix), layout(m.format.layout_of(m.out, m.in)), row(of), block(first) {
    const grid_format& f = m.format;
    group = f.group == per_tensor || f.group > m.in ? m.in : f.group;
    const std::size_t column = block * block_columns, k = group == 0 ? 0 : column / group;
    left = (k + 1) * group - column;
    scale = f.group_at(m.out, m.in, row, k);
    next = f.group_at(m.out, m.in, row, k + 1) - scale;
  }
};

/// What the codes of the next block stand for: scale * (code - zero point).
template<unsigned Bits, class Numbers>
void decode_block(grid_row& r, float* values) noexcept {
  const grid_format& f = r.m.format;
  std::conditional_t<Bits <= 8, std::uint8_t, std::uint32_t> codes[block_columns];
  const std::size_t count = unpack_block_of(r.m.data, r.layout, Bits, r.m.out, r.m.in, r.row, r.block++, codes);
  for (std::size_t i = 0; i < count;) {
    if (r.left == 0) {
      r.left = r.group;
      r.scale += r.next;
    }
    const std::size_t some = count - i < r.left ? count - i : r.left;
    const float scale = stored_float(r.m.data + r.layout.scales + r.scale * f.scale_bytes(), f.scales);
    float zero = static_cast<float>(f.fixed_zero_point());
    if (f.rule == grid_rule::affine) zero = static_cast<float>(code_at<Bits>(r.m.data + r.layout.second, r.scale));
    for (std::size_t end = i + some; i < end; ++i) {
      if constexpr (std::is_same_v<Numbers, wide_numbers>)
        values[i] = scale * (static_cast<float>(codes[i]) - zero);
      else
        values[i] = scale * (Numbers::template value<scalar_code_lanes, Bits, 0>(codes[i]) - zero);
    }
    r.left -= some;
  }
}

/// The values of one row of a packed grid one after another, from number `first` on: a block at a time becomes floats.
class grid_stream {
 public:
  grid_stream(const packed_grid& m, std::size_t row, std::size_t first) noexcept : row_(m, row, first / block_columns) {
    with_codes(m.format, [&](auto bits, auto numbers) { decode_ = &decode_block<bits, decltype(numbers)>; });
    if (first % block_columns == 0) return;
    read_block();
    at_ = first % block_columns;
  }

  [[nodiscard]] const float* take(std::size_t count) noexcept {
    if (end_ - at_ < count) read_block();
    const float* const values = values_ + at_;
    at_ += count;
    return values;
  }

 private:
  /// Behind what is left.
  void read_block() noexcept {
    const std::size_t left = end_ - at_;
    for (std::size_t i = 0; i < left; ++i) values_[i] = values_[at_ + i];
    decode_(row_, values_ + left);
    at_ = 0;
    end_ = left + block_columns;
  }

  grid_row row_;
  std::size_t at_ = 0, end_ = 0;
  decltype(&decode_block<2, whole_numbers>) decode_ = nullptr;
  float values_[16 + block_columns + 16] = {};
};

/// Sixteen columns: the values kept at their places, zeros elsewhere.
template<class Lanes>
[[gnu::always_inline]] inline void expand(unsigned kept, const float* values,
                                          typename Lanes::vector (&to)[16 / Lanes::width]) noexcept {
  if constexpr (requires { Lanes::expand(kept, values); }) {
    for (auto& some : to) {
      const unsigned here = kept & ((1u << Lanes::width) - 1u);
      some = Lanes::expand(here, values);
      values += std::popcount(here);
      kept >>= Lanes::width;
    }
  } else {
    float all[16] = {};
    for (; kept != 0; kept &= kept - 1) all[std::countr_zero(kept)] = *values++;
    for (std::size_t p = 0; p < 16 / Lanes::width; ++p) to[p] = Lanes::load(all + p * Lanes::width);
  }
}

/// Rows first ... last - 1 of m times `count` vectors, at most Vectors, by the definition of dense_matrix; places and values stand
/// at the first row.
template<class Code, std::size_t Vectors, class Places, class Values>
void multiply_expanded(Places places, Values values, std::size_t in, const std::span<const float>* x, std::size_t count,
                       float* y, std::ptrdiff_t y_stride, std::size_t first, std::size_t last) noexcept {
  using lanes = typename Code::floats;
  constexpr std::size_t width = lanes::width, parts = 16 / width;
  const std::size_t whole = in / 16 * 16;
  const float* from[Vectors];
  float rest[Vectors][16] = {};
  for (std::size_t n = 0; n < Vectors; ++n) {
    from[n] = x[n < count ? n : 0].data();
    for (std::size_t c = whole; c < in; ++c) rest[n][c - whole] = from[n][c];
  }
  for (std::size_t r = first; r < last; ++r) {
    typename lanes::vector sum[Vectors][parts], weights[parts];
    for_constants<Vectors>([&](auto n) __attribute__((always_inline)) {
      for_constants<parts>([&](auto p) __attribute__((always_inline)) { sum[n][p] = lanes::zero(); });
    });
    places.start_row();
    for (std::size_t c = 0; c < in; c += 16) {
      const unsigned kept = places.next();
      expand<lanes>(kept, values.take(static_cast<std::size_t>(std::popcount(kept))), weights);
      for_constants<Vectors>([&](auto n) __attribute__((always_inline)) {
        const float* const some = c < whole ? from[n] + c : rest[n];
        for_constants<parts>([&](auto p) __attribute__((always_inline)) {
          sum[n][p] = lanes::fma(weights[p], lanes::load(some + p * width), sum[n][p]);
        });
      });
    }
    places.end_row();
    for (std::size_t n = 0; n < count; ++n) {
      float lane[16];
      for (std::size_t p = 0; p < parts; ++p) lanes::store(lane + p * width, sum[n][p]);
      y[static_cast<std::ptrdiff_t>(n) * y_stride + static_cast<std::ptrdiff_t>(r)] = tree_sum(lane);
    }
  }
}
/// The same of any number of them.
template<class Code, class Places, class Values>
void multiply_expanded(const Places& places, const Values& values, std::size_t in,
                       std::span<const std::span<const float>> x, float* y, std::ptrdiff_t y_stride, std::size_t first,
                       std::size_t last) noexcept {
  constexpr std::size_t most = Code::rows == tile_rows ? 8 : 4;
  for (std::size_t n = 0; n < x.size(); n += most) {
    const std::size_t count = x.size() - n < most ? x.size() - n : most;
    float* const to = y + static_cast<std::ptrdiff_t>(n) * y_stride;
    if (count == 1)
      multiply_expanded<Code, 1>(places, values, in, &x[n], 1, to, y_stride, first, last);
    else
      multiply_expanded<Code, most>(places, values, in, &x[n], count, to, y_stride, first, last);
  }
}

/// body(constant type) for the type of dense values.
template<class F>
void with_dense(dense_type type, F&& body) noexcept {
  switch (type) {
    case dense_type::float32: return body(std::integral_constant<dense_type, dense_type::float32>{});
    case dense_type::float16: return body(std::integral_constant<dense_type, dense_type::float16>{});
    case dense_type::bfloat16: return body(std::integral_constant<dense_type, dense_type::bfloat16>{});
  }
}

/// body(the values from number `first` of row `row` on).
template<class Code, class F>
void with_stream(const dense_matrix& values, std::size_t row, std::size_t first, F&& body) noexcept {
  with_dense(values.type, [&](auto type) { body(dense_stream<Code, type>(values, row * values.in + first)); });
}
template<class Code, class F>
void with_stream(const packed_grid& values, std::size_t row, std::size_t first, F&& body) noexcept {
  body(grid_stream(values, row, first));
}
/// body(places, values) from row `row` on; of N of M with a packed_grid, of this row alone.
template<class Code, class Values, class F>
void from_row(const packed_bitmap_of<Values>& m, std::size_t row, F&& body) noexcept {
  with_stream<Code>(m.values, 0, bits_set(m.bits, row * bitmap_places::bytes_of_row(m.in)),
                    [&](const auto& values) { body(bitmap_places(m, row), values); });
}
template<class Code, class Values, class F>
void from_row(const packed_kept_of<Values>& m, std::size_t row, F&& body) noexcept {
  with_stream<Code>(m.values, row, 0, [&](const auto& values) { body(kept_places(m, row), values); });
}

[[nodiscard]] constexpr std::size_t rows_of(const packed_kept_dense& m) noexcept { return m.values.out; }
template<class Values>
[[nodiscard]] constexpr std::size_t rows_of(const packed_bitmap_of<Values>& m) noexcept {
  return m.out;
}

}  // namespace detail

/// A sparse format of which sixteen columns at a time are brought to their places: every one but packed_kept.
template<class Packed>
concept expanded_format = requires(const Packed& m) { detail::rows_of(m); };

/// m times a few vectors: element r of result n is y[n * y_stride + r]. The bits are those of `matvec` of a dense_matrix of what m
/// decodes to, the weights that are not kept being 0. What decoding makes of a code is scale * (code - zero point), rounded once; of
/// a small float, scale * value.
///
/// Shapes    m [out x in], x [n x in], y [n x out]
/// Requires  as many values as bits are set, none set beyond `in`; places rising inside their groups; no format with minima; y of `out`
///           elements a vector (those outside `rows` are not touched). Here rows may start and end anywhere.
/// Errors    none: noexcept, no allocation.
/// Cost      one read of the rows, and of the bits before them, for 8 vectors (4 where no register holds a number of each of sixteen
///           rows); 1 KiB of stack.
/// @post     equal bit for bit for all lanes, and to the dense product of each vector.
/// @post     any range of rows gives the same bits as the whole.
template<class Code = native_code_lanes, expanded_format Packed>
void packed_product(const Packed& m, std::span<const std::span<const float>> x, std::span<float> y,
                    std::ptrdiff_t y_stride, row_range rows = {}) noexcept {
  const std::size_t out = detail::rows_of(m), last = rows.last < out ? rows.last : out;
  if (rows.first >= last) return;
  detail::from_row<Code>(m, rows.first, [&](const auto& places, const auto& values) {
    detail::multiply_expanded<Code>(places, values, m.in, x, y.data(), y_stride, rows.first, last);
  });
}
/// The same of one vector.
template<class Code = native_code_lanes, expanded_format Packed>
void matvec(const Packed& m, std::span<const float> x, std::span<float> y, row_range rows = {}) noexcept {
  packed_product<Code>(m, {&x, 1}, y, 0, rows);
}

namespace detail {

template<class Packed>
void write_row(const Packed& m, std::size_t row, std::span<float> x) noexcept {
  from_row<native_code_lanes>(m, row, [&](auto places, auto values) {
    places.start_row();
    for (std::size_t c = 0; c < x.size(); c += 16) {
      unsigned kept = places.next();
      const float* value = values.take(static_cast<std::size_t>(std::popcount(kept)));
      for (std::size_t i = c; i < x.size() && i < c + 16; ++i, kept >>= 1) x[i] = (kept & 1u) != 0 ? *value++ : 0.f;
    }
  });
}

}  // namespace detail

/// One row of what m decodes to: for tables that are looked up.
///
/// Requires  as `matvec`, any group of the values; row < out, x.size() == in.
/// Errors    none: noexcept, no allocation.
/// Cost      one read of the row; of a bitmap, also of the bits before it.
template<class Values>
void decode_row(const packed_kept_of<Values>& m, std::size_t row, std::span<float> x) noexcept {
  detail::write_row(m, row, x);
}
template<class Values>
void decode_row(const packed_bitmap_of<Values>& m, std::size_t row, std::span<float> x) noexcept {
  detail::write_row(m, row, x);
}

}  // namespace precis::kernel
