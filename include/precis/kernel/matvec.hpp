#if !defined(PRECIS_KERNEL_MATVEC)
#define PRECIS_KERNEL_MATVEC

#include <precis/kernel/code_values.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/fma_chains.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>
#include <precis/kernel/packed_grid.hpp>
#include <precis/kernel/prepared_vector.hpp>
#include <precis/kernel/segment_run.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

/// The product of a packed matrix and a vector, computed from the packed bytes.
namespace precis::kernel {
PRECIS_IEEE_BEGIN

namespace detail {

template<unsigned Bits, class Numbers>
inline constexpr auto value_table = levels_of<Bits>(
    [](std::size_t code) { return static_cast<double>(Numbers::value(static_cast<std::uint8_t>(code))); });

/// segment_products for lanes that have no instruction for fma. Returns false if sums may need it.
template<class Code, unsigned Bits, class Numbers, std::size_t Parts>
[[nodiscard]] bool add_chains(const std::byte* const (&block)[Parts], std::size_t blocks,
                              const segment_tail<Parts>& tail, const float* x,
                              typename Code::floats::vector (&product)[Parts]) noexcept {
  using lanes = typename Code::floats;
  constexpr std::size_t longest = 4 * block_columns;
  alignas(16) double twice[2 * longest];
  const std::size_t columns = blocks * block_columns + 4 * tail.quads;
  const auto of_x = lanes::exponents_of(x, columns);
  lanes::store_twice(x, columns, twice);
  if (of_x.least < -60 || of_x.most > 60) return false;
  if constexpr (std::is_same_v<Numbers, wide_numbers>) {
    // Sums of products with bytes are integers that a double holds, and often lie halfway between two floats.
    bool whole = of_x.most < 8 && of_x.least >= 0;
    for (std::size_t c = 0; c < columns && whole; ++c) whole = x[c] == static_cast<float>(static_cast<int>(x[c]));
    for (std::size_t p = 0; p < Parts; ++p) {
      alignas(16) float values[longest * Code::rows];
      for (std::size_t b = 0; b < blocks + (tail.quads != 0); ++b) {
        const std::byte* const part[1] = {b < blocks ? block[p] + b * Bits * word_stride : tail.part[p]};
        each_wide<Code, Bits>(part, 0, [&](auto k, auto, auto j, auto value) PRECIS_INLINE_LAMBDA {
          lanes::store(values + (b * block_columns + 4 * k + j) * Code::rows, value);
        });
      }
      float sums[4 * Code::rows] = {};
      const auto add =
          whole ? add_products<lanes, lanes::none, true, double> : add_products<lanes, lanes::ties, true, double>;
      add(values, 4 * Code::rows, twice, 8, 2, columns / 4, sums, Code::rows, 0);
      product[p] = lanes::add(lanes::add(lanes::load(sums), lanes::load(sums + Code::rows)),
                              lanes::add(lanes::load(sums + 2 * Code::rows), lanes::load(sums + 3 * Code::rows)));
    }
    return true;
  } else {
    constexpr bool integers = std::is_same_v<Numbers, whole_numbers>;
    const auto all_parts = [&](auto check, int exponent) PRECIS_TARGET {
      for (std::size_t p = 0; p < Parts; ++p)
        if (!add_level_chains<Code, Bits, decltype(check)::value, integers>(
                block[p], blocks, twice, value_table<Bits, Numbers>.data(), 0, exponent, product[p], tail.part[p],
                tail.quads))
          return false;
      return true;
    };
    constexpr number_range range = Numbers::template range<Bits>;
    // Then all sums of up to 32 products of a lane are multiples of a unit that a double holds.
    if (of_x.most - of_x.least + range.high - range.last <= 22)
      return all_parts(std::integral_constant<decltype(lanes::none), lanes::none>{}, 0);
    constexpr auto check = range.digits <= 4 ? lanes::small : range.few_or_all ? lanes::mixed : lanes::corrected;
    return all_parts(std::integral_constant<decltype(check), check>{}, range.high + of_x.most + 1);
  }
}

/// The same for one part, fma by fma: rarely needed, so it is compiled for size.
template<class Code, unsigned Bits, class Numbers>
[[nodiscard, gnu::noinline, gnu::cold]] typename Code::floats::vector add_one_by_one(
    const std::byte* block, std::size_t blocks, const std::byte* tail, std::size_t quads, const float* x) noexcept {
  using lanes = typename Code::floats;
  constexpr std::size_t rows = Code::rows;
  float values[block_columns * rows], lane[4 * rows] = {};
  const auto keep = [&](std::size_t k, auto, auto j, typename lanes::vector value)
                        PRECIS_INLINE_LAMBDA { lanes::store(values + (4 * k + j) * rows, value); };
  for (std::size_t b = 0; b < blocks + (quads != 0); ++b, x += block_columns) {
    const std::byte* const part[1] = {b < blocks ? block + b * Bits * word_stride : tail};
    if (b < blocks)
      each_value<Code, Bits, Numbers>(part, 0, keep);
    else
      each_tail_value<Code, Bits, Numbers>(part, quads, keep);
    for (std::size_t c = 0; c < (b < blocks ? block_columns : 4 * quads); ++c) {
      float* const sum = lane + c % 4 * rows;
      lanes::store(sum, lanes::fma(lanes::load(values + c * rows), lanes::broadcast(x + c), lanes::load(sum)));
    }
  }
  return lanes::add(lanes::add(lanes::load(lane), lanes::load(lane + rows)),
                    lanes::add(lanes::load(lane + 2 * rows), lanes::load(lane + 3 * rows)));
}

/// Products of the codes and x over `blocks` blocks and the tail, for the rows of each part:
///     lane[j] = fma(code, x, lane[j]) over the columns 4 k + j in order;  (lane[0] + lane[1]) + (lane[2] + lane[3])
template<class Code, unsigned Bits, class Numbers, std::size_t Parts, class Blocks, class Step>
  requires(!has_chains<typename Code::floats>)
PRECIS_INLINE void segment_products(const std::byte* const (&block)[Parts], Blocks blocks, Step step, std::size_t ahead,
                                    const segment_tail<Parts>& tail, const float* x,
                                    typename Code::floats::vector (&product)[Parts]) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  vector lane[Parts][4];
  for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA {
    for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA { lane[p][j] = lanes::zero(); });
  });
  if constexpr (std::is_same_v<Numbers, wide_numbers>) {
    const std::byte* at[Parts];
    for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA { at[p] = block[p]; });
    for (std::size_t b = 0; b < blocks + (tail.quads != 0); ++b, x += block_columns) {
      if (b == blocks) for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA { at[p] = tail.part[p]; });
      each_wide<Code, Bits>(
          at, 0,
          [&](auto k, auto p, auto j, vector value)
              PRECIS_INLINE_LAMBDA { lane[p][j] = lanes::fma(value, lanes::broadcast(x + 4 * k + j), lane[p][j]); },
          b == blocks ? word_stride : std::size_t{step});
      for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA { at[p] += Bits * step; });
    }
  } else {
    for (std::size_t b = 0, offset = 0; b < blocks; ++b, offset += Bits * step, x += block_columns) {
      vector quad_of_x[4];
      each_codes<Code, Bits, loose_codes<Bits>>(
          block, offset,
          [&](auto k) PRECIS_INLINE_LAMBDA {
            for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA { quad_of_x[j] = lanes::broadcast(x + 4 * k + j); });
          },
          [&](auto k, auto p, typename Code::words codes) PRECIS_INLINE_LAMBDA {
            for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA {
              constexpr unsigned at = loose_at<Bits, k> + 8 * j;
              lane[p][j] = lanes::fma(Numbers::template value<Code, Bits, at>(codes), quad_of_x[j], lane[p][j]);
            });
          },
          step, ahead);
    }
    each_tail_value<Code, Bits, Numbers>(tail.part, tail.quads,
                                         [&](std::size_t k, auto p, auto j, vector value) PRECIS_INLINE_LAMBDA {
                                           lane[p][j] = lanes::fma(value, lanes::broadcast(x + 4 * k + j), lane[p][j]);
                                         });
  }
  for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA {
    product[p] = lanes::add(lanes::add(lane[p][0], lane[p][1]), lanes::add(lane[p][2], lane[p][3]));
  });
}
/// The same on lanes that have no instruction for fma, of whole tiles.
template<class Code, unsigned Bits, class Numbers, std::size_t Parts, class Blocks, class Step>
  requires has_chains<typename Code::floats>
PRECIS_INLINE void segment_products(const std::byte* const (&block)[Parts], Blocks blocks, Step, std::size_t,
                                    const segment_tail<Parts>& tail, const float* x,
                                    typename Code::floats::vector (&product)[Parts]) noexcept {
  static_assert(Step{} == word_stride);
  if (add_chains<Code, Bits, Numbers>(block, blocks, tail, x, product)) [[likely]]
    return;
  for (std::size_t p = 0; p < Parts; ++p)
    product[p] = add_one_by_one<Code, Bits, Numbers>(block[p], blocks, tail.part[p], tail.quads, x);
}
/// The sum of products with codes of Bits bits; if Loose, with words that hold them among others.
template<class Code, unsigned Bits, bool Loose>
struct sums_of {
  using type = typename Code::template products<Bits>;
};
template<class Code, unsigned Bits>
struct sums_of<Code, Bits, true> {
  using type = typename Code::template loose_products<Bits>;
};
/// The same for x as bytes and codes with exact products: integers of up to 8 bits and e2m1.
template<class Code, unsigned Bits, class Numbers, std::size_t Parts, class Blocks, class Step>
PRECIS_INLINE void segment_products(const std::byte* const (&block)[Parts], Blocks blocks, Step step, std::size_t ahead,
                                    const segment_tail<Parts>& tail, const std::int8_t* x,
                                    typename Code::floats::vector (&product)[Parts]) noexcept {
  using lanes = typename Code::floats;
  constexpr bool integers = std::is_same_v<Numbers, whole_numbers>;
  constexpr bool loose = integers && requires { typename Code::template loose_products<Bits>; };
  typename sums_of<Code, integers ? Bits : 5, loose>::type sum[Parts];
  for (std::size_t b = 0, offset = 0; b < blocks; ++b, offset += Bits * step, x += block_columns) {
    auto quad_of_x = Code::broadcast_quad(x);
    each_codes<Code, Bits, loose>(
        block, offset, [&](auto k) PRECIS_INLINE_LAMBDA { quad_of_x = Code::broadcast_quad(x + 4 * k); },
        [&](auto k, auto p, typename Code::words codes) PRECIS_INLINE_LAMBDA {
          if constexpr (!integers) codes = Numbers::template in_bytes<Code>(codes);
          sum[p].add(k, codes, quad_of_x);
        },
        step, ahead);
    for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA { sum[p].end_block(); });
  }
  if (tail.quads != 0) {
    const auto add = [&](auto place, std::size_t k) PRECIS_INLINE_LAMBDA {
      const auto quad_of_x = Code::broadcast_quad(x + 4 * k);
      for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA {
        typename Code::words codes = Code::load(tail.part[p] + k * word_stride);
        if constexpr (!integers) codes = Numbers::template in_bytes<Code>(codes);
        sum[p].add(place, codes, quad_of_x);
      });
    };
    constexpr quad<loose ? 0 : 1> odd;
    for (std::size_t k = 0; k + 1 < tail.quads; k += 2) add(quad<0>{}, k), add(odd, k + 1);
    if (tail.quads % 2 != 0) add(quad<0>{}, tail.quads - 1);
    for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA { sum[p].end_block(); });
  }
  for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA {
    product[p] = Code::to_float(sum[p].sum());
    if constexpr (!integers) product[p] = lanes::multiply(product[p], lanes::all(0.5f));
  });
}

/// x as floats, a part at a time, for codes that are multiplied as floats although x consists of bytes. Converted long
/// before they are read: a load of less than was stored can wait for the store. A short x is converted once for all rows.
template<class Code>
class converted_bytes {
 public:
  /// The columns from `x` on, of which the next `left`, whole blocks, are about to be read one after the other.
  PRECIS_INLINE const float* at(const std::int8_t* x, std::size_t columns, std::size_t left) noexcept {
    using lanes = typename Code::floats;
    if (x >= first_ && x + columns <= last_) return values_ + (x - first_);
    const std::size_t count = left < most ? left : most;
    first_ = x;
    last_ = x + count;
    for (std::size_t c = 0; c < count; c += lanes::width)
      if constexpr (requires { Code::signed_bytes(x); })
        lanes::store(values_ + c, Code::signed_bytes(x + c));
      else
        for (std::size_t i = 0; i < lanes::width; ++i) values_[c + i] = static_cast<float>(x[c + i]);
    return values_;
  }

 private:
  static constexpr std::size_t most = Code::rows == 1 ? 512 : 4096;  // at least a segment
  const std::int8_t *first_ = nullptr, *last_ = nullptr;
  float values_[most];
};
struct no_conversion {};

/// Whether a call of add_segments is for the last segment of a row: a value, or a constant if Constant.
template<bool Constant, bool Last>
[[nodiscard]] constexpr auto last_value() noexcept {
  if constexpr (Constant)
    return std::bool_constant<Last>{};
  else
    return Last;
}

/// total[r] = fma(scale, product - zero point * sum of x, total[r]), segment by segment of a run, for the rows of one
/// tile. If `last`, for the last segment, which may have a tail, else for those before. The words of a block are `step`
/// bytes apart.
template<class Code, unsigned Bits, class Numbers, class Step, class Blocks, class Last, class Value, class Converted>
void add_segments(const segment_run<Value>& run, Step step, Blocks blocks, Last last, Converted& converted,
                  float* total) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  constexpr bool bytes = std::is_same_v<Value, std::int8_t>, part_of_tile = !std::is_same_v<Step, whole_step>;
  constexpr bool constant = !std::is_same_v<Blocks, std::size_t>;  // then every segment has its own scales
  constexpr std::size_t rows = Code::rows, all_parts = tile_rows / rows;
  constexpr std::size_t parts = Code::parts < all_parts ? Code::parts : all_parts;
  const vector fixed_zero = lanes::all(-run.fixed_zero);
  const std::size_t quads = last ? run.tail_quads : 0;
  const std::byte *words = run.block, *scales = run.scales;
  const Value* values = run.values;
  std::size_t s = 0, g = 0, end = run.segments;  // the segment, its group
  if (last) {
    s = end++;
    g = run.last_group;
    words += s * run.blocks * Bits * step;
    scales += g * run.scale_step;
    values = run.last_values;
  }
  const auto add_parts = [&](std::size_t first_part, vector* sum) PRECIS_INLINE_LAMBDA {
    const vector sum_x = lanes::broadcast(run.x_sums + s);
    const std::byte* block[parts];
    segment_tail<parts> tail{.part = {}, .quads = quads};
    vector product[parts];
    for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA {
      const std::size_t row = (first_part + p) * rows;
      block[p] = words + row * 4;
      tail.part[p] = last ? run.tail + row * 4 : nullptr;
    });
    if constexpr (std::is_same_v<Converted, no_conversion>) {
      segment_products<Code, Bits, Numbers>(block, blocks, step, run.ahead, tail, values, product);
    } else {
      const std::size_t columns = blocks * block_columns + (quads != 0 ? block_columns : 0);  // padded with zeros
      const float* const x = converted.at(values, columns, (end - s) * columns);
      segment_products<Code, Bits, Numbers>(block, blocks, step, run.ahead, tail, x, product);
    }
    for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA {
      const std::size_t row = (first_part + p) * rows;
      const vector offset = run_offsets<Code, Bits, part_of_tile>(run, constant ? s : g, row, fixed_zero);
      if (run.offset != offset_kind::minima) product[p] = lanes::fma(offset, sum_x, product[p]);
      vector scale = run_floats<Code>(run, scales, row, 0);
      if constexpr (bytes) scale = lanes::multiply(scale, lanes::broadcast(run.x_scales + s));
      sum[p] = lanes::fma(scale, product[p], sum[p]);
      if (run.offset == offset_kind::minima) {
        vector scaled_sum = sum_x;
        if constexpr (bytes) scaled_sum = lanes::multiply(scaled_sum, lanes::broadcast(run.x_scales + s));
        sum[p] = lanes::fma(offset, scaled_sum, sum[p]);
      }
    });
  };
  vector sum[all_parts];
  for (std::size_t p = 0; p < all_parts; ++p) sum[p] = lanes::load(total + p * rows);
  for (std::size_t left = run.per_scale; s < end; ++s) {
    if constexpr (all_parts == parts)
      add_parts(0, sum);
    else
      for (std::size_t p = 0; p < run.rows; p += parts) add_parts(p, sum + p);
    words += blocks * Bits * step;
    values += blocks * block_columns;
    if (!constant && --left != 0) continue;
    left = run.per_scale;
    scales += run.scale_step;
    ++g;
  }
  for (std::size_t p = 0; p < all_parts; ++p) lanes::store(total + p * rows, sum[p]);
}

[[nodiscard]] inline segment_run<float> start_run(const float_activations& x) noexcept {
  return {.values = x.values, .last_values = x.last_values, .x_sums = x.sums};
}
[[nodiscard]] inline segment_run<std::int8_t> start_run(const byte_activations& x) noexcept {
  const std::size_t full = x.in / x.segment;
  return {.values = x.codes, .last_values = x.codes + full * x.segment, .x_scales = x.scales, .x_sums = x.sums};
}

/// All segments of a run.
template<class Code, unsigned Bits, class Numbers, class Step, class Value, class Converted>
PRECIS_INLINE void add_run(const segment_run<Value>& run, Step step, Converted& converted, float* total) noexcept {
  // What is worth another copy of the code: with vectors of sixteen rows, a loop that runs once per segment takes as long
  // as half of its work, and with bytes a tail that may be there as long as a tail.
  constexpr bool sixteen = Code::rows == tile_rows, constant = sixteen && std::is_same_v<Value, std::int8_t>;
  constexpr bool one_block = sixteen && std::is_same_v<Step, whole_step>;
  if (run.segments != 0) {
    bool done = false;
    if constexpr (one_block) {
      done = run.blocks == 1;
      constexpr std::integral_constant<std::size_t, 1> one;
      if (done) add_segments<Code, Bits, Numbers>(run, step, one, std::false_type{}, converted, total);
    }
    if (!done)
      add_segments<Code, Bits, Numbers>(run, step, run.blocks, last_value<constant, false>(), converted, total);
  }
  if (run.last != 0)
    add_segments<Code, Bits, Numbers>(run, step, run.last_blocks, last_value<constant, true>(), converted, total);
}

/// A part of a tile, copied: a vector of its words would reach beyond m.
template<class Code, unsigned Bits, class Numbers, class Value, class Converted>
void multiply_copied(const segment_positions<Bits>& positions, std::size_t row, const segment_run<Value>& start,
                     Converted& converted, float* total) noexcept {
  copied_blocks<Bits, 1> copy;
  copy.matrix.start(positions.m.data, positions.l.bytes);
  for (std::size_t s = 0; s < positions.count;) {
    auto run = start;
    positions.template copy<Code>(row, positions.m.out - row, s, copy, run);
    run.last_group = run.scale_step == 0 ? 0 : run.segments;
    run.tail_quads = (positions.m.in % block_columns + 3) / 4;
    run.values += s * positions.segment;
    run.x_sums += s;
    if constexpr (std::is_same_v<Value, std::int8_t>) run.x_scales += s;
    add_run<Code, Bits, Numbers>(run, whole_step{}, converted, total);
    s += run.segments + run.last;
  }
}

/// Rows first ... last - 1 of m x.
template<class Code, unsigned Bits, class Numbers, class Activations>
void multiply(const packed_grid& m, const Activations& x, float* y, std::size_t first, std::size_t last) noexcept {
  using value = std::conditional_t<std::is_same_v<Activations, byte_activations>, std::int8_t, float>;
  constexpr bool one_row = Code::rows == 1, bytes = std::is_same_v<value, std::int8_t>;
  // With vectors of four words, compiling this would take longer than the rest.
  constexpr bool parts_in_place = Code::rows != 4;
  const segment_positions<Bits> positions(m, x.segment);
  auto run = start_run(x);
  run.fixed_zero = static_cast<float>(m.format.fixed_zero_point());
  if constexpr (bytes) run.fixed_zero += Numbers::zero_of_bytes;
  if (m.format.has_minimum()) run.offset = offset_kind::minima;
  alignas(64) std::byte tail[tail_size<Bits>];
  run.tail = tail;
  // Codes that are missing are multiplied by zeros: only those of small floats can be NaN.
  tail_unpacker<Code, Bits, !std::is_same_v<Numbers, whole_numbers>> tails;
  if (m.in % block_columns != 0) tails.start(m.in % block_columns);
  std::conditional_t<bytes && !Numbers::exact_in_bytes, converted_bytes<Code>, no_conversion> converted;

  for (std::size_t row = first; row < last; row += tile_rows) {
    const std::size_t rows = m.out - row < tile_rows ? m.out - row : tile_rows;
    // The rows of a part of a tile are read with those before them. If there are none, the part is copied.
    const std::size_t before = one_row || !parts_in_place || row == 0 ? 0 : tile_rows - rows;
    const bool copied = !one_row && rows + before < tile_rows;
    alignas(64) float total[tile_rows] = {};
    if (one_row || copied)
      positions.template unpack_tail<Code>(row, rows, tail);
    else if (m.in % block_columns != 0)
      tails.unpack(m.data + positions.l.tails + (row - before) * positions.l.tail_bytes, tail);
    if (copied) {
      multiply_copied<Code, Bits, Numbers>(positions, row, run, converted, total);
    } else {
      if (row == first || rows < tile_rows) positions.place_tile(row, rows, before, run);
      positions.prefetch_tile(run);
      bool whole = true;
      if constexpr (parts_in_place) {
        whole = !one_row && rows == tile_rows;
        if (!whole) add_run<Code, Bits, Numbers>(run, rows * 4, converted, total);
      }
      if (whole) add_run<Code, Bits, Numbers>(run, whole_step{}, converted, total);
      positions.next_tile(run);
    }
    const std::size_t wanted = last - row < rows ? last - row : rows;
    if (one_row) {
      for (std::size_t r = 0; r < wanted; ++r) y[row + r] = total[r];
    } else {  // a copy of a variable size takes longer than all others together
      const float* from = total + before;
      float* to = y + row;
      for_constants<5>([&](auto i) PRECIS_INLINE_LAMBDA {
        constexpr std::size_t n = tile_rows >> i;
        if ((wanted & n) == 0) return;
        __builtin_memcpy(to, from, n * sizeof(float));
        from += n;
        to += n;
      });
    }
  }
}

/// A format as a tag, for a list of formats.
template<grid_format F>
struct listed {};

}  // namespace detail

/// y = m x, from the packed bytes. For every row, segment by segment (of `segment_of` columns, with which x was
/// prepared):
///
///     floats  product = (lane[0] + lane[1]) + (lane[2] + lane[3]); lane[j] = fma(code, x, lane[j]) over the segment's
///             columns c with c mod 4 = j, in order from 0
///     bytes   product = the exact integer sum of code * byte
///     then    product = fma(-zero_point, sum of x, product)                         except for formats with a minimum
///             total = fma(scale, product, total)                                    bytes: scale * x's scale, rounded
///             total = fma(minimum, sum of x, total)     formats with a minimum; bytes: sum * x's scale, rounded
///
/// all in float, with every fma rounded once; `sum of x` is what `as_floats` or `as_bytes` computed. For small floats,
/// the value replaces the code. With bytes, e2m1 is computed as the exact sum of (value + 6) * byte with a zero point
/// of 6; other small floats and codes of more than 8 bits are multiplied as floats, with the bytes converted to float.
///
/// Shapes    m [out x in], x [in], y [out]
/// Requires  segment_of(m.format, m.in) != 0, and x prepared with it; m.data of the size that the format implies; y of
///           m.out elements (those outside `rows` are not written); rows.first a multiple of 16.
/// Errors    none: noexcept, no allocation.
/// Cost      one read of the rows; at most 9 KiB of stack (12 KiB with codes of more than 8 bits), and 16 KiB more where
///           bytes are converted to float.
/// @post     every lane type gives the same bits.
/// @post     any range of rows gives the same bits as the whole.
template<class Code = native_code_lanes>
void matvec(const packed_grid& m, const float_activations& x, std::span<float> y, row_range rows = {}) noexcept {
  const std::size_t last = rows.end(m.out);
  detail::with_codes(m.format, [&](auto bits, auto numbers) {
    detail::multiply<Code, bits, decltype(numbers)>(m, x, y.data(), rows.first, last);
  });
}
template<class Code = native_code_lanes>
void matvec(const packed_grid& m, const byte_activations& x, std::span<float> y, row_range rows = {}) noexcept {
  const std::size_t last = rows.end(m.out);
  detail::with_codes(m.format, [&](auto bits, auto numbers) {
    detail::multiply<Code, bits, decltype(numbers)>(m, x, y.data(), rows.first, last);
  });
}

/// The same for a list of formats that the program knows at compile time, `matvec<four_bits, eight_bits>(m, x, y)`:
/// only the listed code widths and small floats are instantiated. All groups and scale types of one width share the
/// same instantiation.
///
/// Requires  as above; a listed format with the code width of m.format and, for small floats, its rule.
/// @post     equal bit for bit to the matvec of all formats.
template<grid_format First, grid_format... Others, class Activations>
void matvec(const packed_grid& m, const Activations& x, std::span<float> y, row_range rows = {}) noexcept {
  const std::size_t last = rows.end(m.out);
  const auto multiplied = [&]<grid_format F>(detail::listed<F>) {
    if (m.format.code_bits != F.code_bits || m.format.is_float() != F.is_float()) return false;
    if (F.is_float() && m.format.rule != F.rule) return false;
    detail::with_codes<F>([&](auto bits, auto numbers) {
      detail::multiply<native_code_lanes, bits, decltype(numbers)>(m, x, y.data(), rows.first, last);
    });
    return true;
  };
  if (!(multiplied(detail::listed<First>{}) || ... || multiplied(detail::listed<Others>{})))
    __builtin_trap();  // not listed
}

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_MATVEC
