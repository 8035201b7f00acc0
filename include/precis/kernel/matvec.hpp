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

/// segment_products without a tail, on lanes that have no instruction for fma. Returns false if sums may need it.
template<class Code, unsigned Bits, class Numbers, std::size_t Parts>
[[nodiscard]] bool add_chains(const std::byte* const (&block)[Parts], std::size_t blocks, const float* x,
                              typename Code::floats::vector (&product)[Parts]) noexcept {
  using lanes = typename Code::floats;
  constexpr std::size_t longest = 4 * block_columns;
  alignas(16) double twice[2 * longest];
  const auto of_x = lanes::exponents_of(x, blocks * block_columns);
  lanes::store_twice(x, blocks * block_columns, twice);
  if (of_x.least < -60 || of_x.most > 60) return false;
  if constexpr (std::is_same_v<Numbers, wide_numbers>) {
    for (std::size_t p = 0; p < Parts; ++p) {
      alignas(16) float values[longest * Code::rows];
      const std::byte* const part[1] = {block[p]};
      for (std::size_t b = 0; b < blocks; ++b)
        each_wide<Code, Bits>(part, b * Bits * word_stride, [&](auto k, auto, auto j, auto value) PRECIS_INLINE_LAMBDA {
          lanes::store(values + (b * block_columns + 4 * k + j) * Code::rows, value);
        });
      float sums[4 * Code::rows] = {};
      add_products<lanes, lanes::ties, true>(values, 4 * Code::rows, twice, 8, 2, blocks * 8, sums, Code::rows);
      product[p] = lanes::add(lanes::add(lanes::load(sums), lanes::load(sums + Code::rows)),
                              lanes::add(lanes::load(sums + 2 * Code::rows), lanes::load(sums + 3 * Code::rows)));
    }
    return true;
  } else {
    constexpr bool integers = std::is_same_v<Numbers, whole_numbers>;
    const auto all_parts = [&](auto check, int exponent) PRECIS_TARGET {
      for (std::size_t p = 0; p < Parts; ++p)
        if (!add_level_chains<Code, Bits, decltype(check)::value, integers>(
                block[p], blocks, twice, value_table<Bits, Numbers>.data(), 0, exponent, product[p]))
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

/// Products of the codes and x over `blocks` blocks and the tail, for the rows of each part:
///     lane[j] = fma(code, x, lane[j]) over the columns 4 k + j in order;  (lane[0] + lane[1]) + (lane[2] + lane[3])
template<class Code, unsigned Bits, class Numbers, std::size_t Parts>
PRECIS_INLINE void segment_products(const std::byte* const (&block)[Parts], std::size_t blocks,
                                    const segment_tail<Parts>& tail, const float* x,
                                    typename Code::floats::vector (&product)[Parts]) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  if constexpr (has_chains<lanes>)
    if (tail.quads == 0 && add_chains<Code, Bits, Numbers>(block, blocks, x, product)) return;
  vector lane[Parts][4];
  for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA {
    for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA { lane[p][j] = lanes::zero(); });
  });
  if constexpr (std::is_same_v<Numbers, wide_numbers>) {
    const std::byte* at[Parts];
    for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA { at[p] = block[p]; });
    for (std::size_t b = 0; b < blocks + (tail.quads != 0); ++b, x += block_columns) {
      if (b == blocks) for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA { at[p] = tail.part[p]; });
      each_wide<Code, Bits>(at, 0, [&](auto k, auto p, auto j, vector value) PRECIS_INLINE_LAMBDA {
        lane[p][j] = lanes::fma(value, lanes::broadcast(x + 4 * k + j), lane[p][j]);
      });
      for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA { at[p] += Bits * word_stride; });
    }
  } else {
    for (std::size_t b = 0, offset = 0; b < blocks; ++b, offset += Bits * word_stride, x += block_columns) {
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
          });
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
/// The same for x as bytes and codes with exact products: integers of up to 8 bits and e2m1.
template<class Code, unsigned Bits, class Numbers, std::size_t Parts>
PRECIS_INLINE void segment_products(const std::byte* const (&block)[Parts], std::size_t blocks,
                                    const segment_tail<Parts>& tail, const std::int8_t* x,
                                    typename Code::floats::vector (&product)[Parts]) noexcept {
  using lanes = typename Code::floats;
  constexpr bool integers = std::is_same_v<Numbers, whole_numbers>;
  typename Code::template products<integers ? Bits : 5> sum[Parts];
  for (std::size_t b = 0, offset = 0; b < blocks; ++b, offset += Bits * word_stride, x += block_columns) {
    auto quad_of_x = Code::broadcast_quad(x);
    each_codes<Code, Bits, false>(
        block, offset, [&](auto k) PRECIS_INLINE_LAMBDA { quad_of_x = Code::broadcast_quad(x + 4 * k); },
        [&](auto k, auto p, typename Code::words codes) PRECIS_INLINE_LAMBDA {
          if constexpr (!integers) codes = Numbers::template in_bytes<Code>(codes);
          sum[p].add(k, codes, quad_of_x);
        });
    for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA { sum[p].end_block(); });
  }
  if (tail.quads != 0) {
    for (std::size_t k = 0; k < tail.quads; ++k, x += 4) {
      const auto quad_of_x = Code::broadcast_quad(x);
      for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA {
        typename Code::words codes = Code::load(tail.part[p] + k * word_stride);
        if constexpr (!integers) codes = Numbers::template in_bytes<Code>(codes);
        sum[p].add(quad<0>{}, codes, quad_of_x);
      });
    }
    for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA { sum[p].end_block(); });
  }
  for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA {
    product[p] = Code::to_float(sum[p].sum());
    if constexpr (!integers) product[p] = lanes::multiply(product[p], lanes::all(0.5f));
  });
}

/// x as floats, a part at a time, for codes that are multiplied as floats although x consists of bytes. Converted long
/// before they are read: a load of less than was stored can wait for the store.
template<class Code>
class converted_bytes {
 public:
  /// The columns from `x` on, of which the next `left`, whole blocks, are about to be read one after the other.
  PRECIS_INLINE const float* at(const std::int8_t* x, std::size_t columns, std::size_t left) noexcept {
    using lanes = typename Code::floats;
    const std::size_t done = static_cast<std::size_t>(x - first_);
    if (first_ != nullptr && done + columns <= count_) return values_ + done;
    first_ = x;
    count_ = left < most ? left : most;
    for (std::size_t c = 0; c < count_; c += lanes::width)
      if constexpr (requires { Code::signed_bytes(x); })
        lanes::store(values_ + c, Code::signed_bytes(x + c));
      else
        for (std::size_t i = 0; i < lanes::width; ++i) values_[c + i] = static_cast<float>(x[c + i]);
    return values_;
  }

 private:
  static constexpr std::size_t most = 512;  // at least a segment
  const std::int8_t* first_ = nullptr;
  std::size_t count_ = 0;
  float values_[most];
};

/// The number of tiles that are multiplied at once. With bytes, several tiles share each load of x. With floats,
/// converting the codes takes most of the time, and one tile is read faster than two.
template<class Code, class Value>
inline constexpr std::size_t tiles_at_once = std::is_same_v<Value, float> ? 1 : Code::tiles;

/// Whether a call of add_segments is for the last segment: a constant, but with one row at a time a value, because both
/// copies of the function would not fit a small machine's flash.
template<class Code, bool Last>
[[nodiscard]] constexpr auto last_value() noexcept {
  if constexpr (Code::rows == 1)
    return Last;
  else
    return std::bool_constant<Last>{};
}

/// total[r] = fma(scale, product - zero point * sum of x, total[r]), segment by segment, for the rows of `Tiles` tiles.
/// If `is_last`, for the last segment of a run of one tile, at which the run already points, else for those before.
template<class Code, unsigned Bits, class Numbers, std::size_t Tiles, class Last, class Value>
void add_segments(const segment_run<Value>& given, float* total, Last is_last) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  constexpr bool bytes = std::is_same_v<Value, std::int8_t>;
  constexpr std::size_t rows = Code::rows, all_parts = Tiles * tile_rows / rows;
  constexpr std::size_t parts = Code::parts < all_parts ? Code::parts : all_parts;
  constexpr bool convert = bytes && !Numbers::exact_in_bytes;
  [[maybe_unused]] std::conditional_t<convert, converted_bytes<Code>, char> converted;
  segment_run<Value> run = given;
  const vector fixed_zero = lanes::all(-run.fixed_zero);
  const std::size_t blocks = is_last ? run.last_blocks : run.blocks, quads = is_last ? run.tail_quads : 0;
  const std::size_t end = is_last ? 1 : run.segments;
  if (is_last) run.values = run.last_values;
  const auto add_parts = [&](std::size_t s, std::size_t first_part, vector* sum) PRECIS_INLINE_LAMBDA {
    const vector sum_x = lanes::broadcast(run.x_sums + s);
    const std::byte* block[parts];
    segment_tail<parts> tail{.part = {}, .quads = quads};
    vector product[parts];
    for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA {
      const std::size_t row = (first_part + p) * rows;
      block[p] = at_row(run.block, row, run.tile_block, 4);
      tail.part[p] = is_last ? tail_at(run, row) : nullptr;
    });
    if constexpr (convert) {
      const std::size_t columns = blocks * block_columns + (quads != 0 ? block_columns : 0);  // padded with zeros
      segment_products<Code, Bits, Numbers>(block, blocks, tail, converted.at(run.values, columns, (end - s) * columns),
                                            product);
    } else {
      segment_products<Code, Bits, Numbers>(block, blocks, tail, run.values, product);
    }
    for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA {
      const std::size_t row = (first_part + p) * rows;
      const vector offset = run_offsets<Code, Bits>(run, s, row, fixed_zero);
      if (run.offset != offset_kind::minima) product[p] = lanes::fma(offset, sum_x, product[p]);
      vector scale = run_floats<Code>(run, run.scales, row, run.tile_scales);
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
  for (std::size_t s = 0; s < end; ++s) {
    if constexpr (all_parts == parts)
      add_parts(s, 0, sum);
    else
      for (std::size_t p = 0; p < all_parts; p += parts) add_parts(s, p, sum + p);
    run.block += blocks * Bits * word_stride;
    run.values += blocks * block_columns;
    run.scales += run.scale_step;
  }
  for (std::size_t p = 0; p < all_parts; ++p) lanes::store(total + p * rows, sum[p]);
}

/// All segments of a run, of one tile or of `Tiles`.
template<class Code, unsigned Bits, class Numbers, std::size_t Tiles, class Value>
PRECIS_INLINE void add_run(segment_run<Value>& run, std::size_t rows, float* total) noexcept {
  const std::size_t before = run.segments;
  if (before != 0) {
    if (Tiles == 1 || rows <= tile_rows)
      add_segments<Code, Bits, Numbers, 1>(run, total, last_value<Code, false>());
    else
      add_segments<Code, Bits, Numbers, Tiles>(run, total, last_value<Code, false>());
  }
  if (run.last == 0) return;
  run.block += before * run.blocks * Bits * word_stride;
  run.scales += before * run.scale_step;
  run.offsets += before * run.offset_step;
  run.x_sums += before;
  if constexpr (std::is_same_v<Value, std::int8_t>) run.x_scales += before;
  for (std::size_t t = 0; t * tile_rows < rows; ++t) {
    add_segments<Code, Bits, Numbers, 1>(run, total + t * tile_rows, last_value<Code, true>());
    run.block += run.tile_block;
    run.scales += run.tile_scales;
    run.offsets += run.tile_offsets;
    run.tail += run.tile_tail;
  }
}

[[nodiscard]] inline segment_run<float> start_run(const float_activations& x) noexcept {
  return {.values = x.values, .last_values = x.last_values, .x_sums = x.sums};
}
[[nodiscard]] inline segment_run<std::int8_t> start_run(const byte_activations& x) noexcept {
  const std::size_t full = x.in / x.segment;
  return {.values = x.codes, .last_values = x.codes + full * x.segment, .x_scales = x.scales, .x_sums = x.sums};
}

/// Rows first ... last - 1 of m x.
template<class Code, unsigned Bits, class Numbers, class Activations>
void multiply(const packed_grid& m, const Activations& x, float* y, std::size_t first, std::size_t last) noexcept {
  const segment_positions<Bits> positions(m, x.segment);
  auto start = start_run(x);
  start.fixed_zero = static_cast<float>(m.format.fixed_zero_point());
  if constexpr (std::is_same_v<Activations, byte_activations>) start.fixed_zero += Numbers::zero_of_bytes;
  if (m.format.has_minimum()) start.offset = offset_kind::minima;

  using value = std::conditional_t<std::is_same_v<Activations, byte_activations>, std::int8_t, float>;
  constexpr std::size_t tiles = tiles_at_once<Code, value>, most = tiles * tile_rows;
  copied_blocks<Bits, 1> copy;
  alignas(64) std::byte tails[tiles * tail_size<Bits>];
  for (std::size_t row = first; row < last;) {
    const std::size_t left = last - row, rows = left >= most ? most : left < tile_rows ? left : tile_rows;
    if (rows < tile_rows) copy.matrix.start(m.data, positions.l.bytes);
    float total[most] = {};
    positions.template unpack_tail<Code>(row, rows, tails);
    for (std::size_t s = 0; s < positions.count;) {
      auto run = start;
      if (rows < tile_rows)
        positions.template copy<Code>(row, rows, s, copy, run);
      else  // read in place
        positions.place(row, rows, s, run);
      positions.place_tail(rows, tails, run);
      run.values += s * x.segment;
      run.x_sums += s;
      if constexpr (std::is_same_v<value, std::int8_t>) run.x_scales += s;
      add_run<Code, Bits, Numbers, tiles>(run, rows, total);
      s += run.segments + run.last;
    }
    for (std::size_t r = 0; r < rows; ++r) y[row + r] = total[r];
    row += rows;
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
/// Cost      one read of the rows; at most 9 KiB of stack (12 KiB with codes of more than 8 bits).
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
