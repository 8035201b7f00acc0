#pragma once

#include <precis/codec/code_stream.hpp>
#include <precis/codec/dense_copy.hpp>
#include <precis/codec/grid/format_name.hpp>
#include <precis/codec/grid/group.hpp>
#include <precis/codec/tiles.hpp>
#include <precis/core/error.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/half.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

/// Encoding and decoding of matrices, group by group on the grids of grid.hpp, once for all formats; and a type for each.
namespace precis::codec {

namespace detail {

inline void put_scale(float value, scale_type type, std::byte* at) noexcept {
  const std::uint32_t bits =
      type == scale_type::float32 ? std::bit_cast<std::uint32_t>(value) : std::uint32_t{kernel::float_to_half(value)};
  at[0] = static_cast<std::byte>(bits & 0xFFu);
  at[1] = static_cast<std::byte>(bits >> 8 & 0xFFu);
  if (type != scale_type::float32) return;
  at[2] = static_cast<std::byte>(bits >> 16 & 0xFFu);
  at[3] = static_cast<std::byte>(bits >> 24);
}
[[nodiscard]] inline float get_scale(scale_type type, const std::byte* at) noexcept {
  const auto low = static_cast<std::uint32_t>(at[0]) | static_cast<std::uint32_t>(at[1]) << 8;
  if (type != scale_type::float32) return kernel::half_to_float(static_cast<std::uint16_t>(low));
  return std::bit_cast<float>(low | static_cast<std::uint32_t>(at[2]) << 16 | static_cast<std::uint32_t>(at[3]) << 24);
}

/// Where the codes of one row lie.
struct place_of_row {
  std::size_t tile;         ///< byte where the row's tile starts
  std::size_t rows;         ///< of the tile
  std::size_t lane;         ///< rows of the tile before this one
  std::size_t blocks;       ///< whole blocks of the row
  std::size_t tail;         ///< byte where its tail starts
  std::size_t tail_column;  ///< the tail's first column

  place_of_row(const grid_format::layout& l, std::size_t out, std::size_t in, std::size_t row) noexcept
      : lane(row % kernel::tile_rows), blocks(in / kernel::block_columns) {
    const std::size_t first = row - lane;
    tile = first * l.row_words * 4;
    rows = std::min(out - first, kernel::tile_rows);
    tail = l.tails + row * l.tail_bytes;
    tail_column = blocks * kernel::block_columns;
  }
};

/// The codes of one row to where they lie, and back.
template<class Code>
void put_row(const grid_format::layout& l, unsigned bits, std::size_t out, std::size_t row, std::span<const Code> codes,
             std::span<std::byte> packed) {
  const place_of_row p(l, out, codes.size(), row);
  kernel::pack_row(codes.data(), bits, p.blocks, packed.data() + p.tile, p.rows, p.lane);
  pack_codes(codes.subspan(p.tail_column), bits, packed.subspan(p.tail, l.tail_bytes));
}
template<class Code>
void get_row(const grid_format::layout& l, unsigned bits, std::size_t out, std::size_t row,
             std::span<const std::byte> packed, std::span<Code> codes) {
  const place_of_row p(l, out, codes.size(), row);
  kernel::unpack_row(packed.data() + p.tile, p.rows, p.lane, bits, p.blocks, codes.data());
  unpack_codes(packed.subspan(p.tail, l.tail_bytes), bits, codes.subspan(p.tail_column));
}

/// The grids of the `rows` rows of one tile, row by row (per_tensor: of all), to and from where they are stored.
inline void put_grids(const grid_format& f, std::span<const grid> grids, std::size_t rows,
                      tile_place<std::byte> to) noexcept {
  const std::size_t step = f.scale_bytes(), groups = grids.size() / rows;
  std::vector<std::uint32_t> zeros;
  for (std::size_t i = 0; i < grids.size(); ++i) {
    const grid& g = grids[i % rows * groups + i / rows];
    put_scale(g.scale, f.scales, to.scales + i * step);
    if (f.has_minimum()) put_scale(g.minimum, f.scales, to.second + i * step);
    if (f.rule == grid_rule::affine) zeros.push_back(static_cast<std::uint32_t>(g.zero_point));
  }
  if (!zeros.empty())
    pack_codes(std::span<const std::uint32_t>(zeros), f.code_bits,
               {to.second, packed_bytes(zeros.size(), f.code_bits)});
}
inline void get_grids(const grid_format& f, tile_place<const std::byte> from, std::size_t rows,
                      std::span<grid> grids) noexcept {
  const std::size_t step = f.scale_bytes(), groups = grids.size() / rows;
  std::vector<std::uint32_t> zeros(f.rule == grid_rule::affine ? grids.size() : 0);
  if (!zeros.empty())
    unpack_codes({from.second, packed_bytes(zeros.size(), f.code_bits)}, f.code_bits, std::span<std::uint32_t>(zeros));
  for (std::size_t i = 0; i < grids.size(); ++i) {
    grid& g = grids[i % rows * groups + i / rows];
    g.scale = get_scale(f.scales, from.scales + i * step);
    g.zero_point = zeros.empty() ? f.fixed_zero_point() : static_cast<std::int32_t>(zeros[i]);
    if (f.has_minimum()) g.minimum = get_scale(f.scales, from.second + i * step);
  }
}

inline void check_not_negative(weight_view weights, const std::string& where) {
  for (std::size_t r = 0; r < weights.rows; ++r)
    for (std::size_t c = 0; c < weights.cols; ++c)
      if (weights(r, c) < 0)
        refuse(
            {.what = std::to_string(weights(r, c)) + " in row " + std::to_string(r) + ", column " + std::to_string(c),
             .where = where,
             .expected = "nothing below 0: powers of two have no sign"});
}

[[noreturn]] inline void refuse_size(const std::string& name, std::size_t have, std::size_t need, weight_view w) {
  refuse({.what = std::to_string(have) + " bytes for a matrix of " + std::to_string(w.rows) + " x " +
                  std::to_string(w.cols),
          .where = "codec " + name,
          .expected = std::to_string(need) + " bytes"});
}

}  // namespace detail

/// The grid that holds every value of a group: min and max, nothing searched.
struct choose_nearest {
  grid operator()(const grid_format& f, weight_view values, std::size_t) const noexcept {
    const extent range = extent_of(values);
    if (range.finite) return spanning_grid(f, range);
    return {.scale = std::numeric_limits<float>::quiet_NaN()};
  }
  [[nodiscard]] bool tile(const grid_format& f, const detail::tile_groups& g, detail::tile_grids& to) const noexcept {
    detail::spanning_grids(f, g.lo, g.hi, g.count * kernel::tile_rows, to);
    return true;
  }
};

/// Uses grids made before (for instance those of `read_grids`), one a group.
struct choose_given {
  std::span<const grid> grids;
  grid operator()(const grid_format&, weight_view values, std::size_t index) const noexcept {
    if (extent_of(values).finite) return grids[index];
    return {.scale = std::numeric_limits<float>::quiet_NaN()};
  }
  [[nodiscard]] bool tile(const grid_format& f, const detail::tile_groups& g, detail::tile_grids& to) const noexcept {
    bool stored = true;
    for (std::size_t i = 0; i < g.count * kernel::tile_rows; ++i) {
      const grid& given = grids[g.index + i / kernel::tile_rows + i % kernel::tile_rows * g.groups];
      to.scale[i] = given.scale;
      to.zero_point[i] = static_cast<float>(given.zero_point);
      stored &= given.zero_point >= 0 && given.zero_point <= f.top_code();
    }
    return stored;
  }
};

/// Encodes a matrix on the grids that `choose(format, values of the group, index of the group)` returns for each group.
/// A `choose` that also has tile(format, tile_groups, tile_grids) is asked for sixteen rows together; false: one by one.
///
/// Shapes   weights [out x in], any strides; the values of a group are a view with contiguous rows: 1 x (up to) group,
///          or the whole matrix when there is one grid for all.
/// Errors   weights that are not finite, named by row and column; a grid that cannot be stored (half scales above
///          65504); a wrong number of bytes.
/// Cost     one read for the range and one for the codes. Copies a matrix whose rows are not contiguous.
template<class Choose>
void encode_on_grids(const grid_format& f, weight_view weights, std::span<std::byte> packed, const Choose& choose) {
  const grid_format::layout l = f.layout_of(weights.rows, weights.cols);
  if (packed.size() != l.bytes) detail::refuse_size(to_string(f), packed.size(), l.bytes, weights);
  if (l.groups == 0) return;
  const with_contiguous_rows contiguous(weights);
  const weight_view w = contiguous.view();

  const auto choose_checked = [&](weight_view values, std::size_t index) {
    const grid g = choose(f, values, index);
    if (!std::isfinite(g.scale) || !std::isfinite(g.minimum)) {
      check_finite(weights, "codec " + to_string(f));
      if (f.is_power()) detail::check_not_negative(weights, "codec " + to_string(f));
      refuse({.what = "group " + std::to_string(index) + " needs a scale or minimum too large to store",
              .where = "codec " + to_string(f),
              .expected = f.scales == scale_type::float16 ? "scales and minima of at most 65504, or float32 scales"
                                                          : "smaller weights"});
    }
    return g;
  };
  const bool whole = f.group == per_tensor;
  std::vector<grid> grids;  // of one tile, row by row; or the one of all
  if (whole) {
    grids.push_back(choose_checked(w, 0));
    detail::put_grids(f, grids, 1, {f, l, w.cols, 0, packed.data()});
  }
  const std::size_t groups = f.groups_per_row(w.cols), length = whole ? w.cols : std::min(f.group, w.cols);
  const bool by_tiles = detail::by_tiles(f, w.cols);

  detail::with_code_type(f, [&](auto code) {
    std::vector<decltype(code)> codes(w.cols);
    for (std::size_t first = 0; first < w.rows; first += kernel::tile_rows) {
      const weight_view tile = w.row_range(first, std::min(kernel::tile_rows, w.rows - first));
      const detail::tile_place to(f, l, w.cols, first, packed.data());
      if constexpr (kernel::native_code_lanes::rows > 1 &&
                    requires(detail::tile_groups g, detail::tile_grids some) { choose.tile(f, g, some); })
        if (by_tiles && tile.rows == kernel::tile_rows) {
          const auto of_group = [&](const detail::tile_groups& g, detail::tile_grids& some) {
            return whole ? choose_given{grids}.tile(f, g, some) : choose.tile(f, g, some);
          };
          if (detail::encode_tile(f, tile.data, tile.row_stride, w.cols, first, to, of_group)) continue;
        }
      // All grids, then all codes: divisions of one group overlap with the next only if nothing is between.
      if (!whole) grids.resize(tile.rows * groups);
      for (std::size_t i = 0; i < (whole ? 0 : grids.size()); ++i) {
        const std::size_t column = i % groups * length;
        const weight_view row = tile.row_range(i / groups, 1);
        grids[i] = choose_checked(row.col_range(column, std::min(length, w.cols - column)), first * groups + i);
      }
      for (std::size_t r = 0; r < tile.rows; ++r) {
        for (std::size_t k = 0, column = 0; column < w.cols; ++k, column += length)
          detail::quantize_group(f, grids[whole ? 0 : r * groups + k], tile.row(r).data() + column,
                                 std::min(length, w.cols - column), &codes[column]);
        detail::put_row<decltype(code)>(l, f.code_bits, w.rows, first + r, codes, packed);
      }
      if (!whole) detail::put_grids(f, grids, tile.rows, to);
    }
  });
}

/// Encodes to the nearest codes on spanning grids. Errors, cost: `encode_on_grids`.
inline void encode(const grid_format& f, weight_view weights, std::span<std::byte> packed) {
  encode_on_grids(f, weights, packed, choose_nearest{});
}

/// The side data of every group of an encoded `out x in` matrix. Errors: a wrong number of bytes.
[[nodiscard]] inline std::vector<grid> read_grids(const grid_format& f, std::span<const std::byte> packed,
                                                  std::size_t out, std::size_t in) {
  const grid_format::layout l = f.layout_of(out, in);
  if (packed.size() != l.bytes) detail::refuse_size(to_string(f), packed.size(), l.bytes, {nullptr, out, in, 0, 1});
  std::vector<grid> grids(l.groups);
  const std::size_t groups = f.groups_per_row(in);
  for (std::size_t first = 0; first < (f.group == per_tensor ? std::min<std::size_t>(out, 1) : out);
       first += kernel::tile_rows) {
    const std::size_t rows = f.group == per_tensor ? 1 : std::min(kernel::tile_rows, out - first);
    detail::get_grids(f, {f, l, in, first, packed.data()}, rows,
                      std::span(grids).subspan(first * groups, f.group == per_tensor ? l.groups : rows * groups));
  }
  return grids;
}

/// The stored codes of one row. Requires packed of the right size, row < out, codes.size() == in.
template<std::unsigned_integral Code>
void read_codes(const grid_format& f, std::span<const std::byte> packed, std::size_t out, std::size_t row,
                std::span<Code> codes) {
  const grid_format::layout l = f.layout_of(out, codes.size());
  detail::get_row(l, f.code_bits, out, row, packed, codes);
}

/// Decodes into a matrix of any strides. A pure function of the bytes. Errors: a wrong number of bytes.
/// Cost     one write. From 32 MiB on, rows that start at cache lines are written past the caches, without being read before: up to
///          twice as fast as others, so align what is large.
inline void decode(const grid_format& f, std::span<const std::byte> packed, mutable_weight_view weights) {
  const grid_format::layout l = f.layout_of(weights.rows, weights.cols);
  if (packed.size() != l.bytes) detail::refuse_size(to_string(f), packed.size(), l.bytes, weights);
  if (l.groups == 0) return;
  std::vector<float> scratch;
  mutable_weight_view w = weights;
  if (!weights.rows_contiguous()) {
    scratch.resize(weights.size());
    w = {scratch, weights.rows, weights.cols};
  }
  const bool whole = f.group == per_tensor, by_tiles = detail::by_tiles(f, w.cols);
  const std::size_t groups = f.groups_per_row(w.cols), length = whole ? w.cols : std::min(f.group, w.cols);
  grid one;  // of all
  if (whole) detail::get_grids(f, {f, l, w.cols, 0, packed.data()}, 1, {&one, 1});
  using lanes = kernel::native_code_lanes;
  const bool past_caches = by_tiles && detail::past_caches<lanes>(w);
  std::vector<grid> grids;  // of one tile, row by row
  detail::with_code_type(f, [&](auto code) {
    std::vector<decltype(code)> codes;
    for (std::size_t first = 0; first < w.rows; first += kernel::tile_rows) {
      const mutable_weight_view tile = w.row_range(first, std::min(kernel::tile_rows, w.rows - first));
      const detail::tile_place from(f, l, w.cols, first, packed.data());
      if constexpr (lanes::rows > 1)
        if (by_tiles && tile.rows == kernel::tile_rows) {
          if (past_caches)
            detail::decode_tile<lanes, true>(f, from, one, w.cols, tile.data, tile.row_stride);
          else
            detail::decode_tile(f, from, one, w.cols, tile.data, tile.row_stride);
          continue;
        }
      codes.resize(w.cols);
      if (!whole) {
        grids.resize(tile.rows * groups);
        detail::get_grids(f, from, tile.rows, grids);
      }
      for (std::size_t r = 0; r < tile.rows; ++r) {
        read_codes(f, packed, w.rows, first + r, std::span<decltype(code)>(codes));
        for (std::size_t k = 0, column = 0; column < w.cols; ++k, column += length)
          detail::dequantize_group(f, whole ? one : grids[r * groups + k], codes.data() + column,
                                   std::min(length, w.cols - column), tile.row(r).data() + column);
      }
    }
  });
  if (!scratch.empty()) copy_values(w, weights);
}

/// One row of what `decode` writes: for tables that are looked up, not multiplied.
///
/// Requires  packed of the right size, row < out, x.size() == in.
/// Cost      one read of the row; allocates its codes.
/// @post     the bits that `decode` gives the row.
inline void decode_row(const grid_format& f, std::span<const std::byte> packed, std::size_t out, std::size_t row,
                       std::span<float> x) {
  const grid_format::layout l = f.layout_of(out, x.size());
  PRECIS_EXPECTS(packed.size() == l.bytes && row < out, "a row of the matrix");
  const auto grid_at = [&](std::size_t at) {
    grid g{.scale = detail::get_scale(f.scales, &packed[l.scales + at * f.scale_bytes()])};
    g.zero_point = f.fixed_zero_point();
    if (f.has_minimum()) g.minimum = detail::get_scale(f.scales, &packed[l.offsets + at * f.scale_bytes()]);
    if (f.rule != grid_rule::affine) return g;
    std::uint32_t zero = 0;
    for (std::size_t i = 0; i < f.code_bits; ++i) {
      const std::size_t bit = at * f.code_bits + i;
      zero |= (static_cast<std::uint32_t>(packed[l.offsets + bit / 8]) >> bit % 8 & 1u) << i;
    }
    g.zero_point = static_cast<std::int32_t>(zero);
    return g;
  };
  detail::with_code_type(f, [&](auto code) {
    std::vector<decltype(code)> codes(x.size());
    read_codes(f, packed, out, row, std::span<decltype(code)>(codes));
    const std::size_t group = f.group == per_tensor ? x.size() : f.group;
    for (std::size_t first = 0, k = 0; first < x.size(); first += std::min(group, x.size() - first), ++k)
      detail::dequantize_group(f, grid_at(f.group_at(out, x.size(), row, k)), codes.data() + first,
                               std::min(group, x.size() - first), x.data() + first);
  });
}

/// A codec of this family as a stateless type: what `affine`, `symmetric` and `min_anchored` are.
template<grid_rule Rule, unsigned Bits, std::size_t Group, scale_type Scale>
struct grid_codec {
  static_assert((Bits >= 2 && Bits <= 8) || Bits == 16 || Bits == 24, "precis: codes of 2 to 8, 16 or 24 bits");
  static_assert(Rule != grid_rule::e2m1 || Bits == 4, "precis: e2m1 has 4 bits");
  static_assert((Rule != grid_rule::log2 && Rule != grid_rule::log_sqrt2) || Bits == 3 || Bits == 4,
                "precis: log2 and log_sqrt2 have 3 or 4 bits");
  static_assert((Rule != grid_rule::e4m3 && Rule != grid_rule::e5m2) || Bits == 8, "precis: e4m3 and e5m2 have 8 bits");
  static constexpr grid_format format{.rule = Rule, .code_bits = Bits, .group = Group, .scales = Scale};
  static constexpr bool keeps_zero = format.keeps_zero();  ///< weights of 0 decode to exactly 0

  [[nodiscard]] static std::string name() { return to_string(format); }
  [[nodiscard]] static constexpr std::size_t bytes(std::size_t out, std::size_t in) {
    return format.layout_of(out, in).bytes;
  }
  static void encode(weight_view weights, std::span<std::byte> packed) { codec::encode(format, weights, packed); }
  static void decode(std::span<const std::byte> packed, mutable_weight_view weights) {
    codec::decode(format, packed, weights);
  }
};

}  // namespace precis::codec
