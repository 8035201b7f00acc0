#pragma once

#include <precis/codec/dense_copy.hpp>
#include <precis/codec/grid/matrix.hpp>
#include <precis/codec/tiles.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/lanes.hpp>
#include <precis/pack.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

/// How far a matrix comes back from each of many menu entries, without packing it where that can be known otherwise.
namespace precis::cost {

/// A sum of squares in sixteen lanes: addend i goes to lane i mod 16, the lanes are added as a tree. Addends are floats, so
/// their squares are exact in double, and fused or not the sum has the same bits.
class square_sum {
 public:
  static constexpr std::size_t lanes = 16;

  void add(std::span<const float> addends) noexcept {
    const float* x = addends.data();
    const float* const whole = x + addends.size() / lanes * lanes;
    add_with([&](const auto& more) __attribute__((always_inline)) {
      for (; x != whole; x += lanes) more(x);
    });
    for (std::size_t l = 0; l < addends.size() % lanes; ++l)
      lanes_[l] += static_cast<double>(x[l]) * static_cast<double>(x[l]);
  }
  /// Calls body(more): more(x) adds the squares of the sixteen floats from x on. The sums stay in registers meanwhile.
  template<class Body>
  [[gnu::always_inline]] void add_with(const Body& body) noexcept {
    using doubles = kernel::native_double_lanes;
    constexpr std::size_t parts = lanes / doubles::width;
    typename doubles::vector sum[parts];
    for (std::size_t p = 0; p < parts; ++p) sum[p] = doubles::load(&lanes_[p * doubles::width]);
    body([&](const float* x) __attribute__((always_inline)) {
      kernel::detail::for_constants<parts>([&](auto p) __attribute__((always_inline)) {
        const auto e = doubles::load_floats(x + p * doubles::width);
        sum[p] = doubles::fma(e, e, sum[p]);
      });
    });
    for (std::size_t p = 0; p < parts; ++p) doubles::store(&lanes_[p * doubles::width], sum[p]);
  }
  [[nodiscard]] double value() const noexcept {
    std::array<double, lanes> sum = lanes_;
    for (std::size_t half = lanes / 2; half > 0; half /= 2)
      for (std::size_t l = 0; l < half; ++l) sum[l] += sum[l + half];
    return sum[0];
  }

 private:
  std::array<double, lanes> lanes_{};
};

/// Squared errors of one matrix in several entries, and the squares of its weights.
struct scanned_errors {
  std::vector<double> squares;  ///< [entries], sum of (decoded - weight)^2
  double signal = 0;            ///< sum of weight^2
};

namespace detail {

/// The ranges of a row's groups of one length, for all formats that have it: of sixteen groups at a time.
struct row_ranges {
  std::size_t group = 0;
  bool finite = true;
  std::vector<float> lo, hi;  ///< of whole sixteens of groups; with 0

  /// Ranges of the groups of `length` in a row; none where that is no multiple of a block.
  void of(const float* x, std::size_t in, std::size_t length) {
    constexpr std::size_t together = kernel::tile_rows;
    group = length;
    finite = true;
    const bool blocks = kernel::native_lanes::width > 1 && length != 0 && length % kernel::block_columns == 0;
    const std::size_t count = blocks ? in / length / together * together : 0;
    lo.resize(count);
    hi.resize(count);
    constexpr codec::grid_format both{.rule = codec::grid_rule::affine};
    for (std::size_t k = 0; k < count && finite; k += together) {
      codec::detail::tile_groups g{
          .rows = x + k * length, .stride = static_cast<std::ptrdiff_t>(length), .columns = length, .count = 1};
      finite = codec::detail::find_ranges<kernel::native_lanes>(both, g);
      std::copy_n(g.lo, together, &lo[k]);
      std::copy_n(g.hi, together, &hi[k]);
    }
  }
};

/// Adds what the first groups of a row, as many as there are ranges of, come back as on spanning grids, less the weights.
/// Returns how many groups that was; fewer where scales need more care.
[[nodiscard]] inline std::size_t add_groups(const codec::grid_format& f, const row_ranges& ranges, const float* x,
                                            square_sum& sum) {
  if (!ranges.finite || f.wide() || f.has_minimum() || f.is_float()) return 0;
  codec::detail::tile_groups g{.columns = ranges.group};
  std::size_t k = 0;
  while (k < ranges.lo.size()) {
    const std::size_t count = std::min(codec::detail::most_grids, ranges.lo.size() - k);
    g.count = count / kernel::tile_rows;
    std::copy_n(&ranges.lo[k], count, g.lo);
    std::copy_n(&ranges.hi[k], count, g.hi);
    codec::detail::tile_grids grids;
    codec::detail::spanning_grids(f, g.lo, g.hi, count, grids);
    if (!codec::detail::divides_well(f, g, grids)) break;
    const codec::detail::tile_quantizer quantize(f, grids, count);
    sum.add_with([&](const auto& more) __attribute__((always_inline)) {
      for (std::size_t i = 0; i < count; ++i)
        quantize.errors<kernel::native_lanes>(i, x + (k + i) * ranges.group, ranges.group, more);
    });
    k += count;
  }
  return k;
}

/// Adds what one row comes back as, less the row: nearest codes on spanning grids. False where a grid cannot be stored.
[[nodiscard]] inline bool add_row(const codec::grid_format& f, weight_view row, const codec::grid& whole,
                                  const row_ranges& ranges, std::vector<codec::grid>& grids, std::span<float> errors,
                                  square_sum& sum) {
  const std::span<const float> x = row.row(0);
  const std::size_t group = f.group == codec::per_tensor ? x.size() : std::min(f.group, x.size());
  const std::size_t done = add_groups(f, ranges, x.data(), sum);
  // All grids first: divisions of one group overlap with the next only if nothing is between.
  grids.resize(done);
  for (std::size_t first = done * group; first < x.size(); first += group) {
    const weight_view values = row.col_range(first, std::min(group, x.size() - first));
    grids.push_back(f.group == codec::per_tensor ? whole : codec::choose_nearest{}(f, values, 0));
    if (!std::isfinite(grids.back().scale) || !std::isfinite(grids.back().minimum)) return false;
  }
  for (std::size_t k = done; k < grids.size(); ++k) {
    const std::size_t first = k * group, count = std::min(group, x.size() - first);
    if (f.wide() || f.has_minimum() || f.is_float()) {
      codec::fake_quantize(f, grids[k], x.subspan(first, count), errors.subspan(first, count));
      for (std::size_t i = first; i < first + count; ++i) errors[i] -= x[i];
      continue;
    }
    // codec::fake_quantize without codes: the zero point is added and taken away again.
    const codec::detail::steps s(f, grids[k]);
    const auto scale = static_cast<float>(s.scale), lo = static_cast<float>(s.lo), hi = static_cast<float>(s.hi);
    const float* const from = x.data() + first;
    float* const to = errors.data() + first;
    codec::detail::in_runs(count, [=](std::size_t at, auto length) {
      float local[codec::detail::run];  // cannot alias x, as far as the compiler knows
      for (std::size_t i = 0; i < length; ++i) {
        float q = from[at + i] / scale;
        q = q < lo ? lo : q;
        q = q > hi ? hi : q;
        local[i] = scale * static_cast<float>(codec::detail::round_half_even(q)) - from[at + i];
      }
      std::copy_n(local, static_cast<std::size_t>(length), to + at);
    });
  }
  sum.add(errors.subspan(std::min(done * group, x.size())));
  return true;
}

}  // namespace detail

/// Scans a matrix once for all integer formats together, row block by row block; other codecs encode and decode it.
///
/// Unit     weights squared; sums in double, in an order that depends on the shape alone.
/// Errors   weights that are not finite, and whatever an entry cannot hold, named by `info`.
/// Cost     one read, and the range and one rounding a weight and entry; a packed copy at a time for other codecs.
/// @post    each sum is that of the matrix which `pack_matrix` and `decode` give back; equal on any executor.
/// Source   methods A4, D1.
template<codec_menu Menu, executor Executor = sequential>
[[nodiscard]] scanned_errors scan_errors(weight_view weights, const matrix_info& info,
                                         std::span<const std::size_t> entries, Executor&& run = {}) {
  constexpr std::size_t block_rows = 32;
  const codec::with_contiguous_rows contiguous(weights);
  const weight_view w = contiguous.view();
  const std::size_t blocks = (w.rows + block_rows - 1) / block_rows;
  struct scanned {
    std::size_t place;
    codec::grid_format format;
    codec::grid whole;  // per_tensor only
  };
  std::vector<scanned> formats;
  std::vector<std::size_t> others;
  std::optional<codec::extent> range;
  for (std::size_t e = 0; e < entries.size(); ++e) {
    const auto f = precis::detail::menu_facts<Menu>::format(entries[e]);
    if (!f) {
      others.push_back(e);
      continue;
    }
    formats.push_back({e, *f, {}});
    if (f->group != codec::per_tensor || w.empty()) continue;
    if (!range) range = codec::extent_of(w);
    formats.back().whole = range->finite ? codec::spanning_grid(*f, *range) : codec::choose_nearest{}(*f, w, 0);
  }

  const std::size_t columns = formats.size() + 1;  // of `parts`; the last: the signal
  std::vector<double> parts(blocks * columns);
  std::vector<char> failed(blocks * columns);
  run.for_each(blocks, [&](std::size_t b) {
    std::vector<codec::grid> grids;
    std::vector<float> errors(w.cols);
    std::vector<square_sum> sums(columns);
    detail::row_ranges ranges;
    for (std::size_t r = b * block_rows; r < std::min((b + 1) * block_rows, w.rows); ++r) {
      const weight_view row = w.row_range(r, 1);  // stays in the nearest cache for all formats
      for (std::size_t f = 0; f < formats.size(); ++f) {
        if (f == 0 || ranges.group != formats[f].format.group) ranges.of(row.data, w.cols, formats[f].format.group);
        if (!detail::add_row(formats[f].format, row, formats[f].whole, ranges, grids, errors, sums[f]))
          failed[b * columns + f] = 1;
      }
      sums.back().add(row.row(0));
    }
    for (std::size_t c = 0; c < columns; ++c) parts[b * columns + c] = sums[c].value();
  });

  scanned_errors result{.squares = std::vector<double>(entries.size())};
  for (std::size_t b = 0; b < blocks; ++b) {
    for (std::size_t f = 0; f < formats.size(); ++f) {
      result.squares[formats[f].place] += parts[b * columns + f];
      if (failed[b * columns + f] != 0) others.push_back(formats[f].place);  // its own encode says what is wrong
    }
    result.signal += parts[b * columns + formats.size()];
  }
  run.for_each(others.size(), [&](std::size_t i) {
    const std::size_t entry = entries[others[i]];
    std::vector<std::byte> packed(Menu::bytes(entry, info.out, info.in));
    matrix_choice choice;
    choice.name = info.name;
    choice.entry = entry;
    choice.bytes = packed.size();
    pack_matrix<Menu>(w, choice, packed);
    float_matrix decoded(info.out, info.in);
    Menu::decode(entry, packed, decoded.view());
    std::vector<float> errors(w.cols);
    double total = 0;
    for (std::size_t first = 0; first < w.rows; first += block_rows) {
      square_sum sum;
      for (std::size_t r = first; r < std::min(first + block_rows, w.rows); ++r) {
        for (std::size_t c = 0; c < w.cols; ++c) errors[c] = decoded(r, c) - w(r, c);
        sum.add(errors);
      }
      total += sum.value();
    }
    result.squares[others[i]] = total;
  });
  return result;
}

}  // namespace precis::cost
