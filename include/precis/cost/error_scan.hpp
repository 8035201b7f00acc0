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

  /// Adds addend(i) squared for i in [0, count).
  template<class Addend>
  void add(std::size_t count, const Addend& addend) noexcept {
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes)
      for (std::size_t l = 0; l < lanes; ++l) {
        const auto x = static_cast<double>(addend(i + l));
        lanes_[l] += x * x;
      }
    for (std::size_t l = 0; i + l < count; ++l) {
      const auto x = static_cast<double>(addend(i + l));
      lanes_[l] += x * x;
    }
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

/// Adds the errors of the weights of one group on its grid: codec::fake_quantize without anything stored. Up to 8 bits.
inline void add_errors(const codec::grid_format& f, const codec::grid& g, const float* x, std::size_t count,
                       square_sum& sum) noexcept {
  const codec::detail::steps s(f, g);
  const auto scale = static_cast<float>(s.scale), lo = static_cast<float>(s.lo), hi = static_cast<float>(s.hi);
  sum.add(count, [=](std::size_t i) {
    float q = x[i] / scale;
    q = q < lo ? lo : q;
    q = q > hi ? hi : q;
    return scale * static_cast<float>(codec::detail::round_half_even(q)) - x[i];
  });
}

/// The errors of some rows in a format, nearest codes on spanning grids. False where a grid cannot be stored.
[[nodiscard]] inline bool add_rows(const codec::grid_format& f, weight_view rows, const codec::grid& whole,
                                   std::vector<float>& decoded, square_sum& sum) {
  const bool direct = !f.wide() && !f.has_minimum() && (f.group >= rows.cols || f.group % square_sum::lanes == 0);
  const std::size_t group = f.group == codec::per_tensor ? rows.cols : std::min(f.group, rows.cols);
  decoded.resize(rows.cols);
  for (std::size_t r = 0; r < rows.rows; ++r) {
    const std::span<const float> row = rows.row(r);
    for (std::size_t first = 0; first < rows.cols; first += group) {
      const std::span<const float> x = row.subspan(first, std::min(group, rows.cols - first));
      const codec::grid g = f.group == codec::per_tensor ? whole : codec::choose_nearest{}(f, {x, 1, x.size()}, 0);
      if (!std::isfinite(g.scale) || !std::isfinite(g.minimum)) return false;
      if (direct)
        add_errors(f, g, x.data(), x.size(), sum);
      else
        codec::fake_quantize(f, g, x, std::span(decoded).subspan(first, x.size()));
    }
    if (!direct) sum.add(row.size(), [&](std::size_t i) { return decoded[i] - row[i]; });
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
    const weight_view rows = w.row_range(b * block_rows, std::min(block_rows, w.rows - b * block_rows));
    std::vector<float> decoded;
    std::vector<square_sum> sums(columns);
    for (std::size_t r = 0; r < rows.rows; ++r) {  // a row stays in the nearest cache for all formats
      const weight_view row = rows.row_range(r, 1);
      for (std::size_t f = 0; f < formats.size(); ++f)
        if (!detail::add_rows(formats[f].format, row, formats[f].whole, decoded, sums[f])) failed[b * columns + f] = 1;
      sums.back().add(row.cols, [&](std::size_t i) { return row.row(0)[i]; });
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
    double total = 0;
    for (std::size_t first = 0; first < w.rows; first += block_rows) {
      square_sum sum;
      for (std::size_t r = first; r < std::min(first + block_rows, w.rows); ++r)
        sum.add(w.cols, [&](std::size_t c) { return decoded(r, c) - w(r, c); });
      total += sum.value();
    }
    result.squares[others[i]] = total;
  });
  return result;
}

}  // namespace precis::cost
