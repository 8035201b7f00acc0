#if !defined(PRECIS_CODEC_GRID_MATRIX)
#define PRECIS_CODEC_GRID_MATRIX

#include <precis/codec/dense_copy.hpp>
#include <precis/codec/grid/format_name.hpp>
#include <precis/codec/grid/group.hpp>
#include <precis/codec/grid/storage.hpp>
#include <precis/codec/tile/decode.hpp>
#include <precis/codec/tile/encode.hpp>
#include <precis/codec/weight_checks.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

/// Encoding and decoding of whole matrices in any integer or small-float format, and the codec type that a menu lists.
namespace precis::codec {
PRECIS_IEEE_BEGIN

/// The grid that spans all weights of a group: their minimum and maximum, without a search.
struct choose_nearest {
  template<class = void>
  grid operator()(const grid_format& f, weight_view values, std::size_t) const noexcept {
    const extent range = extent_of(values);
    if (range.finite) return spanning_grid(f, range);
    return {.scale = std::numeric_limits<float>::quiet_NaN()};
  }
  template<class = void>
  [[nodiscard]] bool for_tile(const grid_format& f, const tile::group_batch& g,
                              tile::grid_batch& chosen) const noexcept {
    tile::spanning_grids(f, g.lo, g.hi, g.count * kernel::tile_rows, chosen);
    return true;
  }
};

/// Grids that exist already, one per group, for instance those of `read_grids`.
struct choose_given {
  std::span<const grid> grids = {};
  template<class = void>
  grid operator()(const grid_format&, weight_view values, std::size_t index) const noexcept {
    if (extent_of(values).finite) return grids[index];
    return {.scale = std::numeric_limits<float>::quiet_NaN()};
  }
  template<class = void>
  [[nodiscard]] bool for_tile(const grid_format& f, const tile::group_batch& g,
                              tile::grid_batch& chosen) const noexcept {
    bool valid = true;
    for (std::size_t i = 0; i < g.count * kernel::tile_rows; ++i) {
      const grid& given = grids[g.index + i / kernel::tile_rows + i % kernel::tile_rows * g.groups_per_row];
      chosen.scale[i] = given.scale;
      chosen.zero_point[i] = static_cast<float>(given.zero_point);
      valid &= given.zero_point >= 0 && given.zero_point <= f.top_code();
    }
    return valid;
  }
};

namespace detail {

/// Refuses a group whose chosen grid is not finite: names the weight that caused it or, if all weights are valid, the
/// group.
template<class = void>
[[noreturn]] inline void refuse_group(const grid_format& f, weight_view weights, std::size_t index) {
  const std::string where = "codec " + to_string(f);
  check_finite(weights, where);
  if (f.is_power()) check_not_negative(weights, where);
  refuse({.what = "group " + std::to_string(index) + " needs a scale or minimum too large to store",
          .where = where,
          .expected = f.scales == scale_type::float16 ? "scales and minima of at most 65504, or float32 scales"
                                                      : "smaller weights"});
}

}  // namespace detail

/// Encodes a matrix on the grids that choose(format, weights of the group, index of the group) returns.
///
/// If `choose` also has for_tile(format, tile::group_batch, tile::grid_batch&), it is called for sixteen rows at a time
/// wherever tile::supports allows; when it returns false, these rows are encoded group by group.
///
/// Shapes   weights [out x in], any strides. The weights of a group are a view with contiguous rows: one row of at most
///          f.group weights or, for a per_tensor format, the whole matrix.
/// Errors   weights that are not finite, by row and column; a grid that cannot be stored (half scales above 65504); a
///          buffer of the wrong size.
/// Cost     one read for the ranges and one for the codes. A matrix whose rows are not contiguous is copied first.
template<format_set Formats = every_format, class Choose>
void encode_on_grids(const grid_format& f, weight_view weights, std::span<std::byte> packed, const Choose& choose) {
  const grid_format::layout l = f.layout_of(weights.rows, weights.cols);
  if (packed.size() != l.bytes) refuse_size(to_string(f), packed.size(), l.bytes, weights);
  if (l.groups == 0) return;
  const with_contiguous_rows contiguous(weights);
  const weight_view w = contiguous.view();

  const auto choose_checked = [&](weight_view values, std::size_t index) {
    const grid g = choose(f, values, index);
    if (!kernel::is_finite(g.scale) || !kernel::is_finite(g.minimum)) detail::refuse_group(f, weights, index);
    return g;
  };
  const bool per_matrix = f.group == per_tensor;
  std::vector<grid> grids;  // those of one tile, row by row; per_tensor: the only one
  if (per_matrix) {
    grids.push_back(choose_checked(w, 0));
    store_grids(f, as_span(grids), 1, {f, l, w.cols, 0, packed.data()});
  }
  const std::size_t groups = f.groups_per_row(w.cols), length = per_matrix ? w.cols : std::min(f.group, w.cols);
  const bool by_tiles = tile::supports(f, w.cols);

  with_code_type<Formats>(f, [&](auto code) {
    std::vector<decltype(code)> codes(w.cols);
    for (std::size_t first = 0; first < w.rows; first += kernel::tile_rows) {
      const weight_view rows = w.row_range(first, std::min(kernel::tile_rows, w.rows - first));
      const tile::stored_parts to(f, l, w.cols, first, packed.data());
      if constexpr (tile::in_use && requires(tile::group_batch g, tile::grid_batch chosen) {
                      choose.for_tile(f, g, chosen);
                    })  // clang: a condition of its own, which does not depend on `code`
        if constexpr (sizeof(code) == 1)
          if (by_tiles && rows.rows == kernel::tile_rows) {
            const auto choose_batch = [&](const tile::group_batch& g, tile::grid_batch& chosen) {
              return per_matrix ? choose_given{as_span(grids)}.for_tile(f, g, chosen) : choose.for_tile(f, g, chosen);
            };
            if (tile::encode_rows<kernel::native_code_lanes, Formats.widths>(f, rows, first, to, choose_batch))
              continue;
          }
      // All grids are computed before any codes: the divisions of consecutive groups overlap only if nothing comes
      // between them.
      if (!per_matrix) grids.resize(rows.rows * groups);
      for (std::size_t i = 0; i < (per_matrix ? 0 : grids.size()); ++i) {
        const std::size_t column = i % groups * length;
        const weight_view row = rows.row_range(i / groups, 1);
        grids[i] = choose_checked(row.col_range(column, std::min(length, w.cols - column)), first * groups + i);
      }
      for (std::size_t r = 0; r < rows.rows; ++r) {
        for (std::size_t k = 0, column = 0; column < w.cols; ++k, column += length)
          quantize_group<Formats>(f, grids[per_matrix ? 0 : r * groups + k], rows.row(r).data() + column,
                                  std::min(length, w.cols - column), &codes[column]);
        store_row_codes<decltype(code), Formats.widths>(l, f.code_bits, w.rows, first + r, codes, packed);
      }
      if (!per_matrix) store_grids(f, as_span(grids), rows.rows, to);
    }
  });
}

/// Encodes every weight to the nearest code on the grid that spans its group. Errors and cost are those of
/// `encode_on_grids`.
template<format_set Formats = every_format>
inline void encode(const grid_format& f, weight_view weights, std::span<std::byte> packed) {
  encode_on_grids<Formats>(f, weights, packed, choose_nearest{});
}

/// The grid of every group of an encoded `out x in` matrix. Errors: a buffer of the wrong size.
template<class = void>
[[nodiscard]] inline std::vector<grid> read_grids(const grid_format& f, std::span<const std::byte> packed,
                                                  std::size_t out, std::size_t in) {
  const grid_format::layout l = f.layout_of(out, in);
  if (packed.size() != l.bytes) refuse_size(to_string(f), packed.size(), l.bytes, {nullptr, out, in, 0, 1});
  std::vector<grid> grids(l.groups);
  const std::size_t groups = f.groups_per_row(in);
  for (std::size_t first = 0; first < (f.group == per_tensor ? std::min<std::size_t>(out, 1) : out);
       first += kernel::tile_rows) {
    const std::size_t rows = f.group == per_tensor ? 1 : std::min(kernel::tile_rows, out - first);
    load_grids(f, {f, l, in, first, packed.data()}, rows,
               as_writable_span(grids).subspan(first * groups, f.group == per_tensor ? l.groups : rows * groups));
  }
  return grids;
}

/// The stored codes of one row. Requires packed of the right size, row < out, codes.size() == in.
template<std::unsigned_integral Code>
void read_codes(const grid_format& f, std::span<const std::byte> packed, std::size_t out, std::size_t row,
                std::span<Code> codes) {
  const grid_format::layout l = f.layout_of(out, codes.size());
  load_row_codes(l, f.code_bits, out, row, packed, codes);
}

/// Decodes into a matrix of any strides. The result depends on the bytes alone.
///
/// Errors   a buffer of the wrong size.
/// Cost     one write. Matrices of 32 MiB and more whose rows start at cache lines are written with non-temporal
///          stores, up to twice as fast as others, so align large matrices.
template<class = void>
inline void decode(const grid_format& f, std::span<const std::byte> packed, mutable_weight_view weights) {
  const grid_format::layout l = f.layout_of(weights.rows, weights.cols);
  if (packed.size() != l.bytes) refuse_size(to_string(f), packed.size(), l.bytes, weights);
  if (l.groups == 0) return;
  std::vector<float> scratch;
  mutable_weight_view w = weights;
  if (!weights.rows_contiguous()) {
    scratch.resize(weights.size());
    w = {scratch, weights.rows, weights.cols};
  }
  const bool per_matrix = f.group == per_tensor, by_tiles = tile::supports(f, w.cols);
  const std::size_t groups = f.groups_per_row(w.cols), length = per_matrix ? w.cols : std::min(f.group, w.cols);
  grid tensor_grid;
  if (per_matrix) load_grids(f, {f, l, w.cols, 0, packed.data()}, 1, as_writable_span(&tensor_grid, 1));
  using lanes = kernel::native_code_lanes;
  const bool streaming = by_tiles && tile::use_streaming_stores<lanes>(w);
  std::vector<grid> grids;  // those of one tile, row by row
  with_code_type(f, [&](auto code) {
    std::vector<decltype(code)> codes;
    for (std::size_t first = 0; first < w.rows; first += kernel::tile_rows) {
      const mutable_weight_view rows = w.row_range(first, std::min(kernel::tile_rows, w.rows - first));
      const tile::stored_parts from(f, l, w.cols, first, packed.data());
      if constexpr (tile::in_use && sizeof(code) == 1)
        if (by_tiles && rows.rows == kernel::tile_rows) {
          if (streaming)
            tile::decode_rows<lanes, true>(f, from, tensor_grid, rows);
          else
            tile::decode_rows(f, from, tensor_grid, rows);
          continue;
        }
      codes.resize(w.cols);
      if (!per_matrix) {
        grids.resize(rows.rows * groups);
        load_grids(f, from, rows.rows, as_writable_span(grids));
      }
      for (std::size_t r = 0; r < rows.rows; ++r) {
        read_codes(f, packed, w.rows, first + r, std::span<decltype(code)>(codes));
        for (std::size_t k = 0, column = 0; column < w.cols; ++k, column += length)
          dequantize_group(f, per_matrix ? tensor_grid : grids[r * groups + k], codes.data() + column,
                           std::min(length, w.cols - column), rows.row(r).data() + column);
      }
    }
  });
  if (!scratch.empty()) copy_values(w, weights);
}

/// Decodes one row, for embedding tables and others that are indexed by row instead of multiplied.
///
/// Requires  packed of the right size, row < out, x.size() == in.
/// Cost      one read of the row; allocates its codes.
/// @post     x equals the row that `decode` writes, bit for bit.
template<class = void>
inline void decode_row(const grid_format& f, std::span<const std::byte> packed, std::size_t out, std::size_t row,
                       std::span<float> x) {
  const grid_format::layout l = f.layout_of(out, x.size());
  PRECIS_EXPECTS(packed.size() == l.bytes && row < out, "a row of the matrix");
  const auto grid_at = [&](std::size_t at) {
    grid g{.scale = load_scale(f.scales, &packed[l.scales + at * f.scale_bytes()])};
    g.zero_point = f.fixed_zero_point();
    if (f.has_minimum()) g.minimum = load_scale(f.scales, &packed[l.offsets + at * f.scale_bytes()]);
    if (f.rule != grid_rule::affine) return g;
    std::uint32_t zero = 0;
    for (std::size_t i = 0; i < f.code_bits; ++i) {
      const std::size_t bit = at * f.code_bits + i;
      zero |= (static_cast<std::uint32_t>(packed[l.offsets + bit / 8]) >> bit % 8 & 1u) << i;
    }
    g.zero_point = static_cast<std::int32_t>(zero);
    return g;
  };
  with_code_type(f, [&](auto code) {
    std::vector<decltype(code)> codes(x.size());
    read_codes(f, packed, out, row, std::span<decltype(code)>(codes));
    const std::size_t group = f.group == per_tensor ? x.size() : f.group;
    for (std::size_t first = 0, k = 0; first < x.size(); first += std::min(group, x.size() - first), ++k)
      dequantize_group(f, grid_at(f.group_at(out, x.size(), row, k)), codes.data() + first,
                       std::min(group, x.size() - first), x.data() + first);
  });
}

/// An integer or small-float format as a stateless codec: the base of `affine`, `symmetric`, `min_anchored`, `e4m3`,
/// `log2`, ...
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

PRECIS_IEEE_END
}  // namespace precis::codec

#endif  // PRECIS_CODEC_GRID_MATRIX
