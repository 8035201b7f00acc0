#pragma once

#include <precis/codec/code_stream.hpp>
#include <precis/codec/grid/format_name.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/half.hpp>
#include <precis/kernel/lanes.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

/// Sixteen rows at a time, as packed matrices lie: rows are quantized along their columns, and only codes, a byte each, change
/// places. The results are, bit for bit, those of the definitions in grid.hpp.
namespace precis::codec::detail {

/// Formats that are encoded and decoded so: integers of at most a byte, rows and groups of whole blocks.
[[nodiscard]] constexpr bool by_tiles(const grid_format& f, std::size_t in) noexcept {
  return kernel::native_code_lanes::rows > 1 && !f.wide() && !f.has_minimum() && !f.is_float() && in > 0 &&
         in % kernel::block_columns == 0 && (f.group >= in || f.group % kernel::block_columns == 0);
}

/// Short groups are taken several together: the divisions of one would wait for its range, and all else for them.
inline constexpr std::size_t tile_columns = 256;
inline constexpr std::size_t most_grids = tile_columns / kernel::block_columns * kernel::tile_rows;

/// The grids of some groups of sixteen rows: of the first group's rows, then of the second's, ...
struct tile_grids {
  alignas(64) float scale[most_grids];
  alignas(64) float zero_point[most_grids];
};

/// Some groups of sixteen rows.
struct tile_groups {
  const float* rows = nullptr;
  std::ptrdiff_t stride = 0;
  std::size_t columns = 0;             ///< of one group
  std::size_t count = 0;               ///< groups
  std::size_t index = 0;               ///< of the first row's first group
  std::size_t groups = 0;              ///< from the index of one row's group to that of the next row's
  alignas(64) float lo[most_grids]{};  ///< the smallest weight of every row of a group, or 0; not affine: -hi
  alignas(64) float hi[most_grids]{};  ///< the largest, or 0; not affine: that of their sizes
};

/// Rows so far apart share the sets of a first-level cache, which has room for eight to twelve of them: what is read twice is
/// copied first.
[[nodiscard]] inline bool rows_collide(std::ptrdiff_t stride) noexcept { return stride % 1024 == 0; }

/// Up to tile_columns columns of sixteen rows, tile_columns apart; and asks for the columns that come after them.
template<class Lanes>
void copy_rows(const float* rows, std::ptrdiff_t stride, std::size_t columns, float* to) noexcept {
  for (std::size_t r = 0; r < kernel::tile_rows; ++r, rows += stride, to += tile_columns)
    for (std::size_t c = 0; c < columns; c += Lanes::width) {
      __builtin_prefetch(rows + c + tile_columns, 0, 1);
      Lanes::store(to + c, Lanes::load(rows + c));
    }
}

/// Where the parts of one tile lie: its blocks, scales, and zero points or minima (per_tensor: those of all).
template<class Byte>
struct tile_place {
  Byte* blocks;
  Byte* scales;
  Byte* second;

  tile_place(const grid_format& f, const grid_format::layout& l, std::size_t in, std::size_t first,
             Byte* packed) noexcept
      : blocks(packed + first * l.row_words * 4),
        scales(packed + l.scales + first * f.groups_per_row(in) * f.scale_bytes()),
        second(packed + l.offsets +
               first * f.groups_per_row(in) * (f.has_minimum() ? f.scale_bytes() * 8 : f.code_bits) / 8) {}
};

/// The ranges of the groups. False where a weight is not finite.
template<class Lanes>
[[nodiscard]] bool find_ranges(const grid_format& f, tile_groups& g) noexcept {
  using vector = typename Lanes::vector;
  constexpr std::size_t width = Lanes::width, pieces = kernel::block_columns / width;
  using kernel::detail::for_constants;
  const auto smaller = [](vector a, vector b) { return Lanes::smaller(a, b); };
  const auto larger = [](vector a, vector b) { return Lanes::larger(a, b); };
  const auto larger_size = [](vector a, vector b) { return Lanes::larger_size(a, b); };
  vector odd[pieces];  // NaN from infinities and NaN
  for (vector& v : odd) v = Lanes::zero();
  for (std::size_t at = 0; at < g.count * kernel::tile_rows; at += width) {
    const float* x =
        g.rows + at / kernel::tile_rows * g.columns + static_cast<std::ptrdiff_t>(at % kernel::tile_rows) * g.stride;
    vector low[width], high[width];
    if (f.rule == grid_rule::affine) {
      for (std::size_t i = 0; i < width; ++i, x += g.stride) {
        vector lo = Lanes::zero(), hi = lo;
        for (std::size_t c = 0; c < g.columns; c += kernel::block_columns)
          for (std::size_t p = 0; p < pieces; ++p) {
            const vector v = Lanes::held(Lanes::load(x + c + p * width));
            lo = Lanes::smaller(v, lo);
            hi = Lanes::larger(v, hi);
            odd[p] = Lanes::fma(v, Lanes::zero(), odd[p]);
          }
        low[i] = lo;
        high[i] = hi;
      }
      Lanes::store(g.hi + at, Lanes::fold_rows(high, larger));
      Lanes::store(g.lo + at, Lanes::fold_rows(low, smaller));
    } else {
      for_constants<width>([&](auto i) __attribute__((always_inline)) {
        high[i] = Lanes::zero();
        for_constants<pieces>([&](auto p) __attribute__((always_inline)) {
          high[i] = Lanes::larger_size(high[i], Lanes::load(x + p * width));
        });
        for (std::size_t c = kernel::block_columns; c < g.columns; c += width)
          high[i] = Lanes::larger_size(high[i], Lanes::load(x + c));
        x += g.stride;
      });
      const vector hi = Lanes::fold_rows(high, larger_size);
      odd[0] = Lanes::fma(hi, Lanes::zero(), odd[0]);
      Lanes::store(g.hi + at, hi);
      Lanes::store(g.lo + at, Lanes::subtract(Lanes::zero(), hi));
    }
  }
  for (std::size_t p = 1; p < pieces; ++p) odd[0] = Lanes::add(odd[0], odd[p]);
  return Lanes::total(odd[0]) == 0;
}

/// The columns of sixteen rows, one after another.
template<class Lanes>
void turn_rows(const float* rows, std::ptrdiff_t stride, std::size_t columns, float* to) noexcept {
  constexpr std::size_t width = Lanes::width;
  for (std::size_t c = 0; c < columns; c += width)
    for (std::size_t r = 0; r < kernel::tile_rows; r += width) {
      typename Lanes::vector some[width];
      for (std::size_t i = 0; i < width; ++i)
        some[i] = Lanes::load(rows + static_cast<std::ptrdiff_t>(r + i) * stride + static_cast<std::ptrdiff_t>(c));
      Lanes::transpose(some);
      for (std::size_t i = 0; i < width; ++i) Lanes::store(to + (c + i) * kernel::tile_rows + r, some[i]);
    }
}

/// `spanning_grid` of `by` times the ranges of `count` rows, a multiple of sixteen. A scale too large for its type is any number above the
/// largest.
inline void spanning_grids(const grid_format& f, const float* lo, const float* hi, std::size_t count, tile_grids& grids,
                           double by = 1) noexcept {
  const bool affine = f.rule == grid_rule::affine;
  const double levels = static_cast<double>((1u << f.code_bits) - 1u), top = static_cast<double>(f.top_code());
  const double steps = affine ? levels : f.rule == grid_rule::symmetric ? 0.5 * top : 0.5 * levels;
  const auto fixed = static_cast<float>(f.fixed_zero_point());
  // Loops without branches, one after another: compilers make vectors of them.
  std::uint32_t below[most_grids], nothing[most_grids];  // 1: the scale is less than the quotient; the range is none
  if (affine || by != 1) {
    double spans[most_grids], quotients[most_grids];
    for (std::size_t i = 0; i < count; ++i) {
      const double low = by * static_cast<double>(lo[i]), high = by * static_cast<double>(hi[i]);
      const double larger = -low > high ? -low : high;
      spans[i] = affine ? high - low : larger;
      quotients[i] = spans[i] / steps;
      grids.scale[i] = static_cast<float>(quotients[i]);
    }
    for (std::size_t i = 0; i < count; ++i) {
      below[i] = static_cast<std::uint32_t>(static_cast<double>(grids.scale[i]) < quotients[i]);
      nothing[i] = static_cast<std::uint32_t>(spans[i] < 1e-30);
    }
  } else {  // the quotient of two floats need not be rounded to double first to give the same float
    const auto by_steps = static_cast<float>(steps);
    float spans[most_grids];
    for (std::size_t i = 0; i < count; ++i) {
      spans[i] = -lo[i] > hi[i] ? -lo[i] : hi[i];
      grids.scale[i] = spans[i] / by_steps;
    }
    for (std::size_t i = 0; i < count; ++i) {
      below[i] = static_cast<std::uint32_t>(std::fma(grids.scale[i], by_steps, -spans[i]) < 0);
      nothing[i] = static_cast<std::uint32_t>(spans[i] < 1e-30f);
    }
  }
  if (f.scales == scale_type::float16) {
    std::uint32_t up[most_grids];  // the smallest float that is not below ...
    for (std::size_t i = 0; i < count; ++i) up[i] = std::bit_cast<std::uint32_t>(grids.scale[i]) + below[i];
    for (std::size_t i = 0; i < count; ++i) {  // ... and the smallest half: below 2^-14, units of 2^-24
      const float normal = std::bit_cast<float>((up[i] + 0x1fffu) & ~0x1fffu);
      float units = std::bit_cast<float>(up[i]) * 0x1p24f;
      units = units < 2048.f ? units : 2048.f;
      const auto whole = static_cast<float>(static_cast<std::int32_t>(units));
      const float tiny = (whole < units ? whole + 1.f : whole) * 0x1p-24f;
      grids.scale[i] = up[i] < 0x3880'0000u ? tiny : normal;
    }
  }
  for (std::size_t i = 0; i < count; ++i) grids.scale[i] = nothing[i] != 0 ? 1.f : grids.scale[i];
  for (std::size_t i = 0; i < count; ++i) grids.zero_point[i] = fixed;
  if (!affine) return;
  for (std::size_t i = 0; i < count; ++i) {
    double z =
        -(by * static_cast<double>(lo[i])) / static_cast<double>(grids.scale[i]);  // rounds to 0 where the scale is 1
    z = z < top ? z : top;  // before rounding: the bounds are whole numbers. Never negative
    grids.zero_point[i] = static_cast<float>((z + 0x1.8p52) - 0x1.8p52);
  }
}

/// Whether scales and quotients are such that a tile_quantizer divides as a division does: no overflow, and no underflow that
/// matters.
[[nodiscard]] inline bool divides_well(const grid_format& f, const tile_groups& g, const tile_grids& grids) noexcept {
  const float largest = f.scales == scale_type::float16 ? 65504.f : 0x1p100f;
  int others = 0;  // without branches: a vector's work
  for (std::size_t i = 0; i < g.count * kernel::tile_rows; ++i) {
    const float scale = grids.scale[i], size = -g.lo[i] > g.hi[i] ? -g.lo[i] : g.hi[i];
    others |= static_cast<int>(!(scale >= 0x1p-100f)) | static_cast<int>(!(scale <= largest)) |
              static_cast<int>(!(size <= 0x1p22f * scale));
  }
  return others == 0;
}

/// What the inner loop needs of the grids of sixteen rows. The quotient x * (1 / scale), corrected once by its remainder, gives the
/// codes of a division (Markstein 1990, which asks for a first quotient within one unit in the last place; this one may be off by
/// two. For all 2^23 significands of a scale and the floats around all quotients k + 1/2, k < 256, which are all that could be
/// rounded otherwise, it has been enumerated: even the quotients are equal.)
class tile_quantizer {
 public:
  tile_quantizer(const grid_format& f, const tile_grids& grids, std::size_t count) noexcept
      : top_(f.top_code()), zero_step_(f.rule == grid_rule::affine ? 4 : 0) {
    const auto top = static_cast<float>(top_);
    for (std::size_t i = 0; i < count; ++i) {
      by_[i] = 1.f / grids.scale[i];
      minus_scale_[i] = -grids.scale[i];
      lo_[i] = -grids.zero_point[i];
      hi_[i] = top - grids.zero_point[i];
    }
    for (std::size_t i = 0; i < (zero_step_ == 0 ? 4 : count); ++i)
      for (std::size_t j = 0; j < 4; ++j) zeros_[4 * i + j] = static_cast<std::int16_t>(grids.zero_point[i]);
  }

  /// The codes of a block of Code::rows rows, whose grids are those from `first` on, as words of four columns, a row a lane.
  template<class Code>
  void operator()(const float* rows, std::ptrdiff_t stride, std::size_t first,
                  typename Code::words (&quads)[8]) const noexcept {
    using lanes = typename Code::floats;
    using kernel::detail::for_constants;
    constexpr std::size_t width = lanes::width, pieces = kernel::block_columns / width, each = width / 4;
    const auto top = Code::all(static_cast<std::int32_t>(static_cast<std::uint32_t>(top_) * 0x0101'0101u));
    typename Code::words parts[pieces][each];
    for (std::size_t four = 0; four < each; ++four) {
      typename Code::words codes[pieces][4];
      for_constants<4>([&](auto k) __attribute__((always_inline)) {
        const std::size_t r = first + 4 * four + k;
        const float* const x = rows + static_cast<std::ptrdiff_t>(4 * four + k) * stride;
        const auto of_row = broadcast<lanes>(r);
        for_constants<pieces>([&](auto p) __attribute__((always_inline)) {
          codes[p][k] = Code::rounded(of_row.quotient(lanes::held(lanes::load(x + p * width))));
        });
      });
      const std::int16_t* const zeros = zeros_ + (first + 4 * four) * zero_step_;
      for_constants<pieces>([&](auto p) __attribute__((always_inline)) {
        parts[p][four] = Code::bytes_of(codes[p][0], codes[p][1], codes[p][2], codes[p][3], zeros, top);
      });
    }
    for_constants<pieces>([&](auto p) __attribute__((always_inline)) {
      Code::turn_quads(parts[p]);
      for_constants<each>([&](auto i) __attribute__((always_inline)) { quads[p * each + i] = parts[p][i]; });
    });
  }

  /// What the weights of one row of grid `i` come back as, less the weights: to each(sixteen of them), in their order.
  template<class Lanes, class Each>
  [[gnu::always_inline]] void errors(std::size_t i, const float* x, std::size_t columns,
                                     const Each& each) const noexcept {
    const auto of_row = broadcast<Lanes>(i);
    for (std::size_t c = 0; c < columns; c += 16) {
      alignas(64) float sixteen[16];
      kernel::detail::for_constants<16 / Lanes::width>([&](auto p) __attribute__((always_inline)) {
        const auto v = Lanes::held(Lanes::load(x + c + p * Lanes::width));
        Lanes::store(sixteen + p * Lanes::width, Lanes::subtract(of_row.decoded(v), v));
      });
      each(sixteen);
    }
  }

  /// What `columns` weights of sixteen rows come back as: column by column, on the first sixteen grids.
  template<class Lanes>
  void decoded_columns(const float* x, std::size_t columns, float* decoded) const noexcept {
    for (std::size_t r = 0; r < kernel::tile_rows; r += Lanes::width) {
      const constants<Lanes> of_rows{Lanes::load(by_ + r), Lanes::load(minus_scale_ + r), Lanes::load(lo_ + r),
                                     Lanes::load(hi_ + r)};
      for (std::size_t at = r; at < columns * kernel::tile_rows; at += kernel::tile_rows)
        Lanes::store(decoded + at, of_rows.decoded(Lanes::held(Lanes::load(x + at))));
    }
  }

 private:
  template<class Lanes>
  struct constants {
    typename Lanes::vector by, minus_scale, lo, hi;

    [[nodiscard]] typename Lanes::vector quotient(typename Lanes::vector x) const noexcept {
      const typename Lanes::vector q = Lanes::multiply(x, by);
      return Lanes::fma(Lanes::fma(q, minus_scale, x), by, q);
    }
    [[nodiscard]] typename Lanes::vector decoded(typename Lanes::vector x) const noexcept {
      const typename Lanes::vector magic = Lanes::all(0x1.8p23f);  // brings out the nearest whole number, ties to even
      const typename Lanes::vector q = Lanes::smaller(Lanes::larger(quotient(x), lo), hi);
      const typename Lanes::vector code = Lanes::subtract(Lanes::add(q, magic), magic);
      return Lanes::multiply(Lanes::subtract(Lanes::zero(), minus_scale), code);
    }
  };

  template<class Lanes>
  [[nodiscard]] constants<Lanes> broadcast(std::size_t i) const noexcept {
    return {Lanes::all(by_[i]), Lanes::all(minus_scale_[i]), Lanes::all(lo_[i]), Lanes::all(hi_[i])};
  }

  alignas(64) float by_[most_grids];
  alignas(64) float minus_scale_[most_grids];
  alignas(64) float lo_[most_grids];
  alignas(64) float hi_[most_grids];
  alignas(64) std::int16_t zeros_[4 * most_grids];  // of every row four times; where all are equal, of four rows
  std::int32_t top_;
  std::size_t zero_step_;
};

/// Words of four columns to the words of a block.
template<class Code, unsigned Bits>
void put_block(const typename Code::words (&quads)[8], std::byte* at) noexcept {
  using kernel::detail::for_constants;
  constexpr kernel::detail::code_planes planes = kernel::detail::planes_of(Bits);
  typename Code::words words[Bits];
  for_constants<planes.count>([&](auto i) __attribute__((always_inline)) {
    constexpr kernel::detail::code_plane plane = planes.at[i];
    constexpr std::uint32_t mask = ((1u << plane.width) - 1u) * 0x0101'0101u;
    for_constants<8>([&](auto k) __attribute__((always_inline)) {
      constexpr std::size_t v = plane.word + k * plane.width / 8;
      constexpr unsigned bit = k * plane.width % 8;
      constexpr int right = static_cast<int>(plane.low) - static_cast<int>(bit);
      if constexpr (bit == 0)
        words[v] = Code::template digits<right, mask>(quads[k]);
      else
        words[v] = Code::template merge<right, (mask << bit)>(words[v], quads[k]);
    });
  });
  for_constants<Bits>([&](auto v)
                          __attribute__((always_inline)) { Code::store(at + v * kernel::tile_rows * 4, words[v]); });
}

/// The grids of one group to where they are stored.
template<class Code>
void put_tile_grids(const grid_format& f, const float* scale, const float* zero_point, std::byte* scales,
                    std::byte* zero_points) noexcept {
  for (std::size_t r = 0; r < kernel::tile_rows; r += Code::rows)
    if (f.scales == scale_type::float32)
      Code::store_floats(scales + 4 * r, Code::floats::load(scale + r));
    else
      Code::store_halves(scales + 2 * r, Code::floats::load(scale + r));
  if (f.rule != grid_rule::affine) return;
  std::uint8_t codes[kernel::tile_rows];
  for (std::size_t r = 0; r < kernel::tile_rows; ++r) codes[r] = static_cast<std::uint8_t>(zero_point[r]);
  pack_codes(std::span<const std::uint8_t>(codes), f.code_bits, {zero_points, std::size_t{2} * f.code_bits});
}

/// Encodes sixteen rows on the grids that `choose(groups, grids)` gives. False: it had none, or something in the weights needs
/// the careful way; nothing that was written counts then.
template<class Code = kernel::native_code_lanes, class Choose>
[[nodiscard]] bool encode_tile(const grid_format& f, const float* rows, std::ptrdiff_t stride, std::size_t in,
                               std::size_t first, tile_place<std::byte> to, const Choose& choose) {
  const bool whole = f.group == per_tensor;
  const std::size_t length = whole || f.group >= in ? in : f.group, groups = f.groups_per_row(in);
  using lanes = typename Code::floats;
  tile_groups g{.index = first * groups, .groups = groups};
  tile_grids grids;
  const bool copies = length <= tile_columns && rows_collide(stride);
  alignas(64) float copy[kernel::tile_rows * tile_columns];
  for (std::size_t column = 0; column < in;) {
    const std::size_t rest = in - column;
    g.columns = std::min(length, rest);  // the last group may be shorter
    g.count =
        std::clamp<std::size_t>(std::min(rest, tile_columns) / g.columns, 1, tile_columns / kernel::block_columns);
    g.rows = rows + column;
    g.stride = stride;
    if (copies) {
      copy_rows<lanes>(g.rows, stride, g.count * g.columns, copy);
      g.rows = copy;
      g.stride = tile_columns;
    }
    if (!find_ranges<lanes>(f, g) || !choose(g, grids) || !divides_well(f, g, grids)) return false;
    const tile_quantizer quantize(f, grids, g.count * kernel::tile_rows);
    for (std::size_t k = 0; k < g.count; ++k, ++g.index, g.rows += g.columns) {
      const std::size_t at = k * kernel::tile_rows;
      if (!whole) {
        put_tile_grids<Code>(f, grids.scale + at, grids.zero_point + at, to.scales, to.second);
        to.scales += kernel::tile_rows * f.scale_bytes();
        to.second += kernel::tile_rows * f.code_bits / 8;
      }
      kernel::detail::with_bits(f.code_bits, [&](auto bits) {
        for (std::size_t c = 0; c < g.columns; c += kernel::block_columns, to.blocks += bits * kernel::tile_rows * 4)
          for (std::size_t r = 0; r < kernel::tile_rows; r += Code::rows) {
            typename Code::words quads[8];
            quantize.template operator()<Code>(g.rows + static_cast<std::ptrdiff_t>(r) * g.stride + c, g.stride, at + r,
                                               quads);
            put_block<Code, bits>(quads, to.blocks + 4 * r);
          }
      });
    }
    column += g.count * g.columns;
  }
  return true;
}

/// Whether a matrix is decoded past the caches: its rows start where vectors may, and no cache would hold it. Lines are not read
/// then before they are written over, which is up to twice as fast; half as fast where they would have stayed in a cache.
template<class Code>
[[nodiscard]] bool past_caches(mutable_weight_view w) noexcept {
  constexpr std::size_t vector = Code::floats::width * sizeof(float), large = std::size_t{32} << 20;
  return w.size() * sizeof(float) >= large && reinterpret_cast<std::uintptr_t>(w.data) % vector == 0 &&
         static_cast<std::size_t>(w.row_stride) * sizeof(float) % vector == 0;
}

/// The weights of a block of Code::rows rows: scale (code - zero point); `shift` is 2^23 more than the zero point.
template<class Code, unsigned Bits, bool PastCaches>
void decode_block(const std::byte* at, const float* scale, const float* shift, float* rows,
                  std::ptrdiff_t stride) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  using kernel::detail::for_constants;
  constexpr std::size_t width = lanes::width, pieces = kernel::block_columns / width, each = width / 4;
  typename Code::words words[Bits], parts[pieces][each];
  for_constants<Bits>([&](auto v)
                          __attribute__((always_inline)) { words[v] = Code::load(at + v * kernel::tile_rows * 4); });
  for_constants<pieces>([&](auto p) __attribute__((always_inline)) {
    for_constants<each>([&](auto i) __attribute__((always_inline)) {
      parts[p][i] = kernel::detail::codes_of<Code, Bits, p * each + i>(words);
    });
    Code::turn_quads(parts[p]);
  });
  for_constants<width>([&](auto r) __attribute__((always_inline)) {
    const vector s = lanes::all(scale[r]), z = lanes::all(shift[r]);
    float* const x = rows + static_cast<std::ptrdiff_t>(r) * stride;
    for_constants<pieces>([&](auto p) __attribute__((always_inline)) {
      const vector code = lanes::subtract(Code::template spread<r % 4>(parts[p][r / 4]), z);
      if constexpr (PastCaches)
        Code::store_past_caches(x + p * width, lanes::multiply(s, code));
      else
        lanes::store(x + p * width, lanes::multiply(s, code));
    });
  });
}

/// Decodes sixteen rows. `whole`: the grid of a per_tensor format. Past the caches: rows start at multiples of a vector.
template<class Code = kernel::native_code_lanes, bool PastCaches = false, class Grid>
void decode_tile(const grid_format& f, tile_place<const std::byte> from, const Grid& whole, std::size_t in, float* rows,
                 std::ptrdiff_t stride) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  constexpr float code_zero = 0x1p23f;  // what `spread` adds
  const bool one = f.group == per_tensor;
  const std::size_t length = one || f.group >= in ? in : f.group;
  const auto zero = static_cast<float>(one ? whole.zero_point : f.fixed_zero_point());
  kernel::detail::with_bits(f.code_bits, [&](auto bits) {
    const std::byte* at = from.blocks;
    for (std::size_t column = 0; column < in; column += length) {
      float scale[kernel::tile_rows], shift[kernel::tile_rows];
      for (std::size_t r = 0; r < kernel::tile_rows; r += Code::rows) {
        vector s = lanes::all(whole.scale), z = lanes::all(zero);
        if (!one) {
          const std::byte* const of_rows = from.scales + r * f.scale_bytes();
          s = f.scales == scale_type::float32 ? Code::load_floats(of_rows) : Code::load_halves(of_rows);
          if (f.rule == grid_rule::affine) z = Code::template zero_points<bits>(from.second, r);
        }
        lanes::store(scale + r, s);
        lanes::store(shift + r, lanes::add(z, lanes::all(code_zero)));
      }
      from.scales += kernel::tile_rows * f.scale_bytes();
      from.second += 2 * bits;
      for (std::size_t c = column; c < std::min(column + length, in);
           c += kernel::block_columns, at += bits * kernel::tile_rows * 4)
        for (std::size_t r = 0; r < kernel::tile_rows; r += Code::rows)
          decode_block<Code, bits, PastCaches>(at + 4 * r, scale + r, shift + r,
                                               rows + static_cast<std::ptrdiff_t>(r) * stride + c, stride);
    }
  });
  if constexpr (PastCaches) Code::finish_stores();
}

}  // namespace precis::codec::detail
