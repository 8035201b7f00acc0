#pragma once

#include <precis/codec/dense_copy.hpp>
#include <precis/codec/grid/matrix.hpp>
#include <precis/codec/tile/quantize.hpp>
#include <precis/codec/tile/ranges.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/view.hpp>
#include <precis/cost/entry.hpp>
#include <precis/fit/nearest.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>
#include <precis/pack.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

/// The quantization error of a matrix in each of many menu entries, without packing it where that is not necessary.
namespace precis::cost {
PRECIS_IEEE_BEGIN

/// A sum of squares in sixteen lanes: addend i is added to lane i mod 16, and the lanes are added as a tree. Addends
/// are floats, so their squares are exact in double and the sum has the same bits whether or not multiply-adds are
/// fused.
class square_sum {
 public:
  static constexpr std::size_t lanes = 16;

  template<class = void>
  void add(std::span<const float> addends) noexcept {
    const float* x = addends.data();
    const float* const whole = x + addends.size() / lanes * lanes;
    add_with([&](const auto& add_sixteen) PRECIS_INLINE_LAMBDA {
      for (; x != whole; x += lanes) add_sixteen(x);
    });
    for (std::size_t l = 0; l < addends.size() % lanes; ++l)
      lanes_[l] += static_cast<double>(x[l]) * static_cast<double>(x[l]);
  }
  /// Calls body(add_sixteen), where add_sixteen(x) adds the squares of the sixteen floats at x. The sums stay in
  /// registers until body returns.
  template<class Body>
  PRECIS_INLINE void add_with(const Body& body) noexcept {
    using doubles = kernel::native_double_lanes;
    constexpr std::size_t vectors = lanes / doubles::width;
    typename doubles::vector sum[vectors];
    for (std::size_t p = 0; p < vectors; ++p) sum[p] = doubles::load(&lanes_[p * doubles::width]);
    body([&](const float* x) PRECIS_INLINE_LAMBDA {
      codec::tile::for_constants<vectors>([&](auto p) PRECIS_INLINE_LAMBDA {
        const auto e = doubles::load_floats(x + p * doubles::width);
        sum[p] = doubles::fma(e, e, sum[p]);
      });
    });
    for (std::size_t p = 0; p < vectors; ++p) doubles::store(&lanes_[p * doubles::width], sum[p]);
  }
  template<class = void>
  [[nodiscard]] double value() const noexcept {
    std::array<double, lanes> sum = lanes_;
    for (std::size_t half = lanes / 2; half > 0; half /= 2)
      for (std::size_t l = 0; l < half; ++l) sum[l] += sum[l + half];
    return sum[0];
  }

 private:
  std::array<double, lanes> lanes_{};
};

/// Squared errors of one matrix in several entries, and the sum of its squared weights.
struct scanned_errors {
  std::vector<double> squares{};  ///< [entries], sum of (decoded - weight)^2; not_admitted: cannot be held
  double signal = 0;              ///< sum of weight^2
};

namespace detail {

/// The ranges of a row's groups of one length. All formats with groups of this length share them.
struct row_ranges {
  std::size_t group = 0;
  bool finite = true;
  std::vector<float> lo, hi;  ///< ends of each range, 0 included, for a multiple of sixteen groups

  /// Finds the ranges of the row's groups of `length` in whole runs of sixteen; of none if `length` is not a multiple
  /// of a block. Sixteen consecutive groups are treated like the rows of a tile.
  template<class = void>
  void find(const float* row, std::size_t in, std::size_t length) {
    group = length;
    finite = true;
    const bool whole_blocks = kernel::native_lanes::width > 1 && length != 0 && length % kernel::block_columns == 0;
    const std::size_t count = whole_blocks ? in / length / kernel::tile_rows * kernel::tile_rows : 0;
    lo.resize(count);
    hi.resize(count);
    constexpr codec::grid_format both_ends{.rule = codec::grid_rule::affine};
    for (std::size_t k = 0; k < count && finite; k += kernel::tile_rows) {
      codec::tile::group_batch g{
          .weights = row + k * length, .stride = static_cast<std::ptrdiff_t>(length), .columns = length, .count = 1};
      finite = codec::tile::find_ranges<kernel::native_lanes>(both_ends, g);
      std::copy_n(g.lo, kernel::tile_rows, &lo[k]);
      std::copy_n(g.hi, kernel::tile_rows, &hi[k]);
    }
  }
};

/// Adds the squared errors of a row's first groups on spanning grids: of the groups whose ranges are known, up to the
/// first batch that needs real divisions. Returns the number of these groups.
template<class = void>
[[nodiscard]] inline std::size_t add_batches(const codec::grid_format& f, const row_ranges& ranges, const float* row,
                                             square_sum& sum) {
  if (!ranges.finite || f.wide() || f.has_minimum() || f.is_float()) return 0;
  codec::tile::group_batch g{.columns = ranges.group};
  std::size_t k = 0;
  while (k < ranges.lo.size()) {
    const std::size_t count = std::min(codec::tile::max_grids, ranges.lo.size() - k);
    g.count = count / kernel::tile_rows;
    std::copy_n(&ranges.lo[k], count, g.lo);
    std::copy_n(&ranges.hi[k], count, g.hi);
    codec::tile::grid_batch grids;
    codec::tile::spanning_grids(f, g.lo, g.hi, count, grids);
    if (!codec::tile::reciprocal_is_exact(f, g, grids)) break;
    const codec::tile::quantizer quantize(f, grids, count);
    sum.add_with([&](const auto& add_sixteen) PRECIS_INLINE_LAMBDA {
      for (std::size_t i = 0; i < count; ++i)
        quantize.errors<kernel::native_lanes>(i, row + (k + i) * ranges.group, ranges.group, add_sixteen);
    });
    k += count;
  }
  return k;
}

/// Adds the squared errors of one row: nearest codes on spanning grids. `tensor_grid` is the grid of a per_tensor
/// format. Returns false if a grid cannot be stored.
template<class = void>
[[nodiscard]] inline bool add_row(const codec::grid_format& f, weight_view row, const codec::grid& tensor_grid,
                                  const row_ranges& ranges, std::vector<codec::grid>& grids, std::span<float> errors,
                                  square_sum& sum) {
  const std::span<const float> x = row.row(0);
  const std::size_t group = f.group == codec::per_tensor ? x.size() : std::min(f.group, x.size());
  const std::size_t done = add_batches(f, ranges, x.data(), sum);
  // All grids come first: the divisions of consecutive groups overlap only if nothing comes between them.
  grids.resize(done);
  for (std::size_t first = done * group; first < x.size(); first += group) {
    const weight_view values = row.col_range(first, std::min(group, x.size() - first));
    grids.push_back(f.group == codec::per_tensor ? tensor_grid : codec::choose_nearest{}(f, values, 0));
    if (!kernel::is_finite(grids.back().scale) || !kernel::is_finite(grids.back().minimum)) return false;
  }
  for (std::size_t k = done; k < grids.size(); ++k) {
    const std::size_t first = k * group, count = std::min(group, x.size() - first);
    codec::quantization_errors(f, grids[k], x.subspan(first, count), errors.subspan(first, count));
  }
  sum.add(errors.subspan(std::min(done * group, x.size())));
  return true;
}

/// Squares are summed over blocks of this many rows before they are added to the total.
inline constexpr std::size_t scan_block_rows = 32;

/// The sum of the squared errors of a matrix in an entry that has to be packed and decoded; not_admitted if the entry
/// cannot hold the weights.
template<codec_menu Menu, class Fit>
[[nodiscard]] double packed_error(weight_view w, const matrix_info& info, std::size_t entry, const Fit& fit) {
  float_matrix decoded(info.out, info.in);
  if (!round_trip_if_held<Menu>(w, info, entry, fit, decoded.view())) return not_admitted;
  std::vector<float> errors(w.cols);
  double total = 0;
  for (std::size_t first = 0; first < w.rows; first += scan_block_rows) {
    square_sum sum;
    for (std::size_t r = first; r < std::min(first + scan_block_rows, w.rows); ++r) {
      for (std::size_t c = 0; c < w.cols; ++c) errors[c] = decoded(r, c) - w(r, c);
      sum.add(as_span(errors));
    }
    total += sum.value();
  }
  return total;
}

}  // namespace detail

/// Scans a matrix once for all integer and small-float formats, in blocks of rows. For other codecs, and for any fit
/// but fit::nearest, the matrix is encoded and decoded.
///
/// Unit     squared weights, summed in double in an order that depends on the shape alone.
/// Errors   weights that are not finite; messages name the matrix by `info`.
/// Cost     one read, and per entry the ranges and one rounding per weight. Other codecs: one packed and one decoded
///          copy at a time.
/// @post    each sum is the error of the matrix packed by `pack_matrix` and decoded, and is the same on every executor.
/// Source   docs/methods/weighted_error.md; docs/methods/affine.md for the formats.
template<codec_menu Menu, executor Executor = sequential, class Fit = fit::nearest>
[[nodiscard]] scanned_errors scan_errors(weight_view weights, const matrix_info& info,
                                         std::span<const std::size_t> entries, Executor&& run = {},
                                         const Fit& fit = {}) {
  const codec::with_contiguous_rows contiguous(weights);
  const weight_view w = contiguous.view();
  const std::size_t blocks = (w.rows + detail::scan_block_rows - 1) / detail::scan_block_rows;
  struct scanned_format {
    std::size_t index;  // into `entries`
    codec::grid_format format;
    codec::grid tensor_grid;  // per_tensor only
  };
  std::vector<scanned_format> formats;
  std::vector<std::size_t> packed;  // indices into `entries` of those that are packed instead
  std::optional<codec::extent> range;
  for (std::size_t e = 0; e < entries.size(); ++e) {
    const auto f = menu_facts<Menu>::format(entries[e]);
    if (!f || !std::is_same_v<Fit, fit::nearest>) {
      packed.push_back(e);
      continue;
    }
    formats.push_back({e, *f, {}});
    if (f->group != codec::per_tensor || w.empty()) continue;
    if (!range) range = codec::extent_of(w);
    formats.back().tensor_grid = range->finite ? codec::spanning_grid(*f, *range) : codec::choose_nearest{}(*f, w, 0);
  }

  const std::size_t columns = formats.size() + 1;  // one sum per format, then the signal
  std::vector<double> sums_of_block(blocks * columns);
  std::vector<char> failed(blocks * columns);
  run.for_each(blocks, [&](std::size_t b) {
    std::vector<codec::grid> grids;
    std::vector<float> errors(w.cols);
    std::vector<square_sum> sums(columns);
    detail::row_ranges ranges;
    for (std::size_t r = b * detail::scan_block_rows; r < std::min((b + 1) * detail::scan_block_rows, w.rows); ++r) {
      const weight_view row = w.row_range(r, 1);  // stays in the first-level cache for all formats
      for (std::size_t f = 0; f < formats.size(); ++f) {
        if (f == 0 || ranges.group != formats[f].format.group) ranges.find(row.data, w.cols, formats[f].format.group);
        if (!detail::add_row(formats[f].format, row, formats[f].tensor_grid, ranges, grids, errors, sums[f]))
          failed[b * columns + f] = 1;
      }
      sums.back().add(row.row(0));
    }
    for (std::size_t c = 0; c < columns; ++c) sums_of_block[b * columns + c] = sums[c].value();
  });

  scanned_errors result{.squares = std::vector<double>(entries.size())};
  for (std::size_t b = 0; b < blocks; ++b) {
    for (std::size_t f = 0; f < formats.size(); ++f) {
      result.squares[formats[f].index] += sums_of_block[b * columns + f];
      if (failed[b * columns + f] != 0) packed.push_back(formats[f].index);  // encoding it tells whether it can
    }
    result.signal += sums_of_block[b * columns + formats.size()];
  }
  run.for_each(packed.size(), [&](std::size_t i) {
    result.squares[packed[i]] = detail::packed_error<Menu>(w, info, entries[packed[i]], fit);
  });
  return result;
}

PRECIS_IEEE_END
}  // namespace precis::cost
