#pragma once

#include <precis/codec/dense_copy.hpp>
#include <precis/codec/grid.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/view.hpp>
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
    double sum[lanes];  // cannot alias the addends, as far as the compiler knows
    std::copy(lanes_.begin(), lanes_.end(), sum);
    const float* x = addends.data();
    const float* const whole = x + addends.size() / lanes * lanes;
    for (; x != whole; x += lanes)
      for (std::size_t l = 0; l < lanes; ++l) sum[l] += static_cast<double>(x[l]) * static_cast<double>(x[l]);
    for (std::size_t l = 0; l < addends.size() % lanes; ++l)
      sum[l] += static_cast<double>(x[l]) * static_cast<double>(x[l]);
    std::copy(sum, sum + lanes, lanes_.begin());
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

/// What one row comes back as, less the row: nearest codes on spanning grids. False where a grid cannot be stored.
[[nodiscard]] inline bool row_errors(const codec::grid_format& f, weight_view row, const codec::grid& whole,
                                     std::vector<codec::grid>& grids, std::span<float> errors) {
  const std::span<const float> x = row.row(0);
  const std::size_t group = f.group == codec::per_tensor ? x.size() : std::min(f.group, x.size());
  // All grids first: divisions of one group overlap with the next only if nothing is between.
  grids.clear();
  for (std::size_t first = 0; first < x.size(); first += group) {
    const weight_view values = row.col_range(first, std::min(group, x.size() - first));
    grids.push_back(f.group == codec::per_tensor ? whole : codec::choose_nearest{}(f, values, 0));
    if (!std::isfinite(grids.back().scale) || !std::isfinite(grids.back().minimum)) return false;
  }
  for (std::size_t k = 0; k < grids.size(); ++k) {
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
    for (std::size_t r = b * block_rows; r < std::min((b + 1) * block_rows, w.rows); ++r) {
      const weight_view row = w.row_range(r, 1);  // stays in the nearest cache for all formats
      for (std::size_t f = 0; f < formats.size(); ++f)
        if (detail::row_errors(formats[f].format, row, formats[f].whole, grids, errors))
          sums[f].add(errors);
        else
          failed[b * columns + f] = 1;
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
