#if !defined(PRECIS_KERNEL_KEEP_OF_PRODUCT)
#define PRECIS_KERNEL_KEEP_OF_PRODUCT

#include <precis/kernel/code_values.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/expanded_product.hpp>
#include <precis/kernel/fma_chains.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/keep_of_format.hpp>
#include <precis/kernel/lanes.hpp>
#include <precis/kernel/packed_grid.hpp>
#include <precis/kernel/segment_run.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// A non-owning view of an N:M sparse matrix: the places of the kept weights, and their values.
template<class Values>
struct packed_keep_of {
  keep_of_format format;
  const std::byte* places = nullptr;  ///< laid out as format.layout_of_places(out, in) says
  Values values;                      ///< [out x format.count(in)]
  std::size_t in = 0;
};
using packed_keep_of_grid = packed_keep_of<packed_grid>;
using packed_keep_of_dense = packed_keep_of<dense_matrix>;

namespace detail {

/// The elements of x at the columns that sixteen rows keep, for one segment: column k of row r is at [16 k + r].
struct gathered_segment {
  float at[4 * block_columns * tile_rows];
};

/// xs[16 k + r] = x at place (k, r), for the columns k of one block; `group_of[k]` points at the group of x that column
/// k is in.
template<class Code, unsigned Bits>
void gather_block(const std::byte* block, const float* const (&group_of)[block_columns], float* xs) noexcept {
  constexpr std::size_t parts = tile_rows / Code::rows;
  for (std::size_t p = 0; p < parts; ++p) {
    const std::byte* const part[1] = {block + p * Code::rows * 4};
    each_codes<Code, Bits, false>(
        part, 0, [](auto) {},
        [&](auto k, auto, typename Code::words places) PRECIS_INLINE_LAMBDA {
          for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA {
            constexpr std::size_t column = 4 * decltype(k)::value + decltype(j)::value;
            Code::floats::store(xs + column * tile_rows + p * Code::rows,
                                Code::template look_up<Bits, j>(places, group_of[column], 0));
          });
        });
  }
}

/// add_gathered_segment on lanes that have no instruction for fma.
template<class Code, unsigned Bits, class Numbers>
void add_gathered_chains(const std::byte* blocks, std::size_t count, const gathered_segment& x, const padded_side& side,
                         std::span<const float> from, float* total) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  constexpr std::size_t width = lanes::width, columns = 4 * block_columns;
  constexpr number_range range = Numbers::template range<Bits>;
  constexpr auto check = range.digits <= 4    ? lanes::small
                         : range.few_or_all   ? lanes::mixed
                         : range.digits <= 11 ? lanes::corrected
                                              : lanes::ties;
  const auto of_x = lanes::exponents_of(from.data(), from.size());
  const int exponent = range.high + of_x.most + 1;  // products are below 2^exponent
  const bool ordinary = of_x.least > -60 && of_x.most < 60,
             fits = ordinary && of_x.most - of_x.least + range.high - range.last <= 22;
  for (std::size_t row = 0; row < tile_rows; row += width) {
    alignas(64) float values[columns][width], lane[4][width] = {};
    vector x_lane[4];
    for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA { x_lane[j] = lanes::zero(); });
    const std::byte* const part[1] = {blocks + row * 4};
    for (std::size_t b = 0; b < count; ++b)
      each_value<Code, Bits, Numbers>(part, b * Bits * word_stride,
                                      [&](auto k, auto, auto j, vector value) PRECIS_INLINE_LAMBDA {
                                        const std::size_t column = b * block_columns + 4 * k + j;
                                        lanes::store(values[column], value);
                                        x_lane[j] = lanes::add(x_lane[j], lanes::load(x.at + column * tile_rows + row));
                                      });
    const auto multiply = [&](auto how) PRECIS_INLINE_LAMBDA {
      add_products<lanes, decltype(how)::value, false>(values[0], 4 * width, x.at + row, 4 * tile_rows, tile_rows,
                                                       count * 8, lane[0], width, exponent);
    };
    if (fits)
      multiply(std::integral_constant<decltype(lanes::none), lanes::none>{});
    else if (ordinary)
      multiply(std::integral_constant<decltype(lanes::none), check>{});
    else
      multiply(std::integral_constant<decltype(lanes::none), lanes::ties_and_tiny>{});
    const vector sum = lanes::add(lanes::add(x_lane[0], x_lane[1]), lanes::add(x_lane[2], x_lane[3]));
    vector product = lanes::add(lanes::add(lanes::load(lane[0]), lanes::load(lane[1])),
                                lanes::add(lanes::load(lane[2]), lanes::load(lane[3])));
    product = lanes::fma(lanes::subtract(lanes::zero(), Code::load_floats(side.offsets + row * 4)), sum, product);
    lanes::store(total + row, lanes::fma(Code::load_floats(side.scales + row * 4), product, lanes::load(total + row)));
  }
}

/// total[r] = fma(scale, product - zero point * sum of x, total[r]) for one segment of sixteen rows, whose elements of x are
/// all in `from`.
template<class Code, unsigned Bits, class Numbers>
void add_gathered_segment(const std::byte* blocks, std::size_t count, const gathered_segment& x,
                          const padded_side& side, [[maybe_unused]] std::span<const float> from,
                          float* total) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  if constexpr (has_chains<lanes>) return add_gathered_chains<Code, Bits, Numbers>(blocks, count, x, side, from, total);
  for (std::size_t row = 0; row < tile_rows; row += Code::rows) {
    vector lane[4], x_lane[4];
    for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA { lane[j] = x_lane[j] = lanes::zero(); });
    const float* xs = x.at + row;
    for (std::size_t b = 0; b < count; ++b, xs += block_columns * tile_rows) {
      const std::byte* const part[1] = {blocks + row * 4};
      each_value<Code, Bits, Numbers>(part, b * Bits * word_stride,
                                      [&](auto k, auto, auto j, vector value) PRECIS_INLINE_LAMBDA {
                                        const vector v = lanes::load(xs + (4 * k + j) * tile_rows);
                                        lane[j] = lanes::fma(value, v, lane[j]);
                                        x_lane[j] = lanes::add(x_lane[j], v);
                                      });
    }
    const vector sum = lanes::add(lanes::add(x_lane[0], x_lane[1]), lanes::add(x_lane[2], x_lane[3]));
    vector product = lanes::add(lanes::add(lane[0], lane[1]), lanes::add(lane[2], lane[3]));
    product = lanes::fma(lanes::subtract(lanes::zero(), Code::load_floats(side.offsets + row * 4)), sum, product);
    lanes::store(total + row, lanes::fma(Code::load_floats(side.scales + row * 4), product, lanes::load(total + row)));
  }
}

template<class Code, unsigned Bits, class Numbers>
void multiply_keep_of(const packed_keep_of_grid& m, std::span<const float> x, float* y, std::size_t first,
                      std::size_t last) noexcept {
  const packed_grid& values = m.values;
  const grid_format f = values.format;
  const grid_format::layout l = f.layout_of(values.out, values.in),
                            places_layout = m.format.layout_of_places(values.out, m.in);
  const packed_grid places{m.format.places(), m.places, values.out, values.in};
  const std::size_t segment = segment_of(f, values.in), all = segments(values.in, segment);
  const std::size_t groups = f.groups_per_row(values.in), per_group = groups <= 1 ? all : f.group / segment;
  const std::size_t keep = m.format.keep, group = m.format.group;
  // Lookups read 2^place_bits elements from the start of a group. Groups so close to the end of x that this would read
  // beyond it are copied to `ends`. Columns beyond the last kept one are multiplied by `zeros`.
  const std::size_t readable = std::size_t{1} << m.format.place_bits();
  float ends[2 * 256 + 256] = {}, zeros[256] = {};
  const std::size_t inside = x.size() < readable ? 0 : (x.size() - readable) / group * group + group;
  for (std::size_t c = inside; c < x.size(); ++c) ends[c - inside] = x[c];

  // Function pointers per width of the places: otherwise, every combination of the two widths would be instantiated.
  const unsigned place_bits = places.format.code_bits;
  decltype(&gather_block<Code, 2>) gather = nullptr;
  decltype(&pad_blocks<2>) pad_places = nullptr;
  with_bits(place_bits, [&](auto constant) {
    gather = &gather_block<Code, constant>;
    pad_places = &pad_blocks<constant>;
  });

  for (std::size_t row = first; row < last; row += tile_rows) {
    const std::size_t rows = values.out - row < tile_rows ? values.out - row : tile_rows;
    float total[tile_rows] = {};
    for (std::size_t s = 0, k = 0; s < all; ++s) {
      const std::size_t left = whole_blocks(values.in) - s * segment, first_block = s * segment / block_columns;
      const std::size_t count = (left < segment ? left : segment) / block_columns;
      padded_segment<Bits> copy;
      alignas(64) std::byte places_copy[std::size_t{4} * 8 * word_stride];
      const std::byte* blocks = values.data + row * l.row_words * 4 + first_block * Bits * word_stride;
      const std::byte* place = m.places + row * places_layout.row_words * 4 + first_block * place_bits * word_stride;
      if (rows < tile_rows || (s + 1 == all && values.in % block_columns != 0)) {
        pad_blocks<Bits>(values, l, row, rows, first_block, count, copy.blocks);
        pad_places(places, places_layout, row, rows, first_block, count, places_copy);
        blocks = copy.blocks;
        place = places_copy;
      }
      pad_side<Bits>(values, l, row, rows, s / per_group, copy.side);
      if (f.rule != grid_rule::affine)
        for (std::size_t r = 0; r < tile_rows; ++r)
          put_word32(kernel::bit_cast<std::uint32_t>(static_cast<float>(f.fixed_zero_point())),
                     copy.side.offsets + 4 * r);

      gathered_segment xs;
      for (std::size_t b = 0; b < count; ++b) {
        const float* group_of[block_columns];
        for (const float*& at : group_of) {
          const std::size_t column = k / keep * group;
          at = k >= values.in ? zeros : column < inside ? x.data() + column : ends + (column - inside);
          ++k;
        }
        gather(place + b * place_bits * word_stride, group_of, xs.at + b * block_columns * tile_rows);
      }
      const std::size_t from = s * segment / keep * group,
                        kept_end = (s + 1) * segment < values.in ? (s + 1) * segment : values.in;
      const std::size_t end =
          (kept_end + keep - 1) / keep * group < x.size() ? (kept_end + keep - 1) / keep * group : x.size();
      add_gathered_segment<Code, Bits, Numbers>(blocks, count, xs, copy.side, x.subspan(from, end - from), total);
    }
    for (std::size_t r = 0; r < rows && row + r < last; ++r) y[row + r] = total[r];
  }
}

/// The columns that an N:M matrix keeps, sixteen at a time; places are read block by block. Invalid places never yield
/// more than sixteen columns.
class keep_of_places {
 public:
  template<class Values>
  keep_of_places(const packed_keep_of<Values>& m, std::size_t row) noexcept
      : format_(m.format),
        layout_(m.format.layout_of_places(m.values.out, m.in)),
        bytes_(m.places),
        out_(m.values.out),
        row_(row),
        count_(m.format.count(m.in)),
        of_sixteen_(16 % format_.group == 0 && block_columns % (16 / format_.group * format_.keep) == 0
                        ? 16 / format_.group * format_.keep
                        : 0) {
    if (of_sixteen_ != 0)
      for (std::size_t i = 0; i < block_columns; ++i)
        first_of_groups_[i] = static_cast<std::uint8_t>(i / format_.keep * format_.group % 16);
  }

  template<class = void>
  void start_row() noexcept {
    at_ = first_of_group_ = in_group_ = column_ = 0;
    if (count_ != 0) read_block();
  }
  template<class = void>
  [[nodiscard]] unsigned next() noexcept {
    unsigned kept = 0;
    if (of_sixteen_ != 0) {  // every sixteen columns are whole groups
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
      if (++in_group_ == format_.keep) {
        in_group_ = 0;
        first_of_group_ += format_.group;
      }
      if (++at_ % block_columns == 0 && at_ < count_) read_block();
    }
    column_ += 16;
    return kept;
  }
  void end_row() noexcept { ++row_; }

 private:
  template<class = void>
  void read_block() noexcept {
    unpack_block_of(bytes_, layout_, format_.place_bits(), out_, count_, row_, at_ / block_columns, places_);
    for (std::size_t i = 0; i < block_columns; ++i)
      places_[i] = static_cast<std::uint8_t>(places_[i] + first_of_groups_[i]);
  }

  keep_of_format format_;
  grid_format::layout layout_;
  const std::byte* bytes_;
  std::size_t out_, row_, count_;
  std::size_t of_sixteen_;  ///< weights kept per sixteen columns; 0: groups cross multiples of sixteen columns
  std::size_t at_ = 0, in_group_ = 0, first_of_group_ = 0, column_ = 0;
  std::uint8_t places_[block_columns] = {};
  std::uint8_t first_of_groups_[block_columns] = {};  ///< column of each weight's group, modulo 16
};

template<class Values>
struct expansion<packed_keep_of<Values>> {
  [[nodiscard]] static constexpr std::size_t rows(const packed_keep_of<Values>& m) noexcept
    requires std::is_same_v<Values, dense_matrix>
  {
    return m.values.out;
  }
  /// With the values in a packed_grid, this reads row `row` alone.
  template<class Code, class F>
  static void from(const packed_keep_of<Values>& m, std::size_t row, F&& body) noexcept {
    with_stream<Code>(m.values, row, 0, [&](const auto& values) { body(keep_of_places(m, row), values); });
  }
};

}  // namespace detail

/// y = m x, from the packed bytes. For every row, segment by segment of the kept weights (`segment_of` of them), where
/// x stands for the elements of x at the places of the weights:
///
///     product = (lane[0] + lane[1]) + (lane[2] + lane[3]);  lane[j] = fma(code, x, lane[j]) over the segment's weights
///               k with k mod 4 = j, in order from 0; the sum of x is computed in the same way
///     product = fma(-zero_point, sum of x, product);  total = fma(scale, product, total)
///
/// Shapes    m [out x in], x [in], y [out]
/// Requires  segment_of(m.values.format, m.values.in) != 0, no format with minima, places inside their groups; y of
///           m.values.out elements (those outside `rows` are not written); rows.first a multiple of 16.
/// Errors    none: noexcept, no allocation.
/// Cost      one read of the rows; at most 24 KiB of stack.
/// @post     every lane type gives the same bits.
/// @post     any range of rows gives the same bits as the whole.
template<class Code = native_code_lanes>
void matvec(const packed_keep_of_grid& m, std::span<const float> x, std::span<float> y, row_range rows = {}) noexcept {
  const std::size_t last = rows.end(m.values.out);
  detail::with_codes(m.values.format, [&](auto bits, auto numbers) {
    detail::multiply_keep_of<Code, bits, decltype(numbers)>(m, x, y.data(), rows.first, last);
  });
}

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_KEEP_OF_PRODUCT
