#pragma once

#include <precis/codec/dense_copy.hpp>
#include <precis/codec/grid/storage.hpp>
#include <precis/codec/weight_checks.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/codebook_format.hpp>
#include <precis/kernel/half.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::codec {
PRECIS_IEEE_BEGIN

namespace detail {

/// The `count` levels, in ascending order, that minimize the sum of squared distances of the values to their nearest
/// level: k-means in one dimension. Clusters are runs of the sorted values, so dynamic programming finds the optimum.
///
/// More than 4096 distinct values are first binned into 4096 equal-width bins; levels are still means of values, not of
/// bins. If there are fewer distinct values than levels, the last level is repeated.
template<class = void>
[[nodiscard]] inline std::vector<double> best_levels(std::span<const float> values, std::size_t count) {
  constexpr std::size_t max_points = 4096;
  // Prefix sums over the points: the number of values, the values, and their squares.
  std::vector<float> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<double> n{0}, sum{0}, squares{0};
  const auto add = [&](std::size_t first, std::size_t last) {
    double all = 0, square = 0;
    for (std::size_t i = first; i < last; ++i) {
      const auto x = static_cast<double>(sorted[i]);
      all += x;
      square = math::fma(x, x, square);
    }
    n.push_back(n.back() + static_cast<double>(last - first));
    sum.push_back(sum.back() + all);
    squares.push_back(squares.back() + square);
  };
  std::size_t distinct = sorted.empty() ? 0 : 1;
  for (std::size_t i = 1; i < sorted.size(); ++i) distinct += sorted[i] != sorted[i - 1];
  const double lowest = sorted.empty() ? 0 : static_cast<double>(sorted.front());
  const double width =
      distinct > max_points ? (static_cast<double>(sorted.back()) - lowest) / static_cast<double>(max_points) : 0;
  const auto bin = [&](std::size_t i) { return math::floor((static_cast<double>(sorted[i]) - lowest) / width); };
  for (std::size_t first = 0; first < sorted.size();) {
    std::size_t last = first + 1;
    if (width > 0)
      while (last < sorted.size() && bin(last) == bin(first)) ++last;
    else
      while (last < sorted.size() && sorted[last] == sorted[first]) ++last;
    add(first, last);
    first = last;
  }
  const std::size_t points = n.size() - 1;
  if (points == 0) return std::vector<double>(count, 0.0);

  // The sum of the squared distances of points first ... last - 1 to their mean.
  const auto spread = [&](std::size_t first, std::size_t last) {
    const double total = sum[last] - sum[first];
    return std::max(0.0, squares[last] - squares[first] - total * total / (n[last] - n[first]));
  };
  const std::size_t used = std::min(count, points);
  std::vector<double> best(points + 1), next(points + 1);
  std::vector<std::vector<std::uint32_t>> from(used, std::vector<std::uint32_t>(points + 1));
  for (std::size_t i = 1; i <= points; ++i) best[i] = spread(0, i);
  // The start of the last cluster of the first i points never decreases with i, so divide and conquer applies.
  const auto fill = [&](auto&& self, std::size_t level, std::size_t lo, std::size_t hi, std::size_t left,
                        std::size_t right) -> void {
    if (lo > hi) return;
    const std::size_t middle = lo + (hi - lo) / 2;
    double least = std::numeric_limits<double>::infinity();
    std::size_t at = left;
    for (std::size_t start = std::max(left, level); start <= std::min(right, middle - 1); ++start) {
      const double cost = best[start] + spread(start, middle);
      if (cost < least) {
        least = cost;
        at = start;
      }
    }
    next[middle] = least;
    from[level][middle] = static_cast<std::uint32_t>(at);
    self(self, level, lo, middle - 1, left, at);
    self(self, level, middle + 1, hi, at, right);
  };
  for (std::size_t level = 1; level < used; ++level) {
    fill(fill, level, level + 1, points, level, points - 1);
    best.swap(next);
  }
  std::vector<double> levels(used);
  for (std::size_t level = used, last = points; level-- > 0;) {
    const std::size_t first = level == 0 ? 0 : from[level][last];
    levels[level] = (sum[last] - sum[first]) / (n[last] - n[first]);
    last = first;
  }
  levels.resize(count, levels.back());
  return levels;
}

}  // namespace detail

/// 2^Bits freely placed levels for a matrix or for each of its rows. A weight is stored as the index of the nearest
/// level.
///
///     levels = k-means of the weights in one dimension, exact up to 4096 distinct weights (above that: 4096 bins)
///
/// Bits      2 ... 8.
/// Group     per_tensor or per_row: one set of levels per matrix or per row.
/// Scale     the type of the stored levels: scale_type::float32 or float16. Codes are chosen for the stored levels.
/// Zero      codebook_with_zero moves the level nearest to 0 to exactly 0, so that pruned weights stay pruned.
/// Name      "codebook4.tensor", "codebook_with_zero3.row.h".
/// Layout    kernel::codebook_format.
/// Errors    weights that are not finite, by row and column; half levels above 65504.
/// Cost      sorting the weights, and 2^Bits x points x log(points) operations for up to 4096 points.
/// @post     no choice of that many levels gives a smaller squared error (float32 levels, at most 4096 distinct
///           weights).
/// Source    docs/methods/codebook.md.
template<bool Zero, unsigned Bits, std::size_t Group, scale_type Scale>
struct codebook_codec {
  static_assert(Bits >= 2 && Bits <= 8, "precis: codebooks have codes of 2 to 8 bits");
  static_assert(Group == per_tensor || Group == per_row, "precis: codebooks are per_tensor or per_row");
  static constexpr bool keeps_zero = Zero;
  static constexpr kernel::codebook_format format{.code_bits = Bits, .per_row = Group == per_row, .levels = Scale};
  static constexpr std::size_t levels = format.level_count();

  [[nodiscard]] static std::string name() {
    return std::string(Zero ? "codebook_with_zero" : "codebook") + std::to_string(Bits) +
           (Group == per_tensor ? ".tensor" : ".row") + (Scale == scale_type::float16 ? ".h" : "");
  }
  [[nodiscard]] static constexpr std::size_t bytes(std::size_t out, std::size_t in) {
    return format.layout_of(out, in).bytes;
  }

  static void encode(weight_view weights, std::span<std::byte> packed) {
    const auto l = format.layout_of(weights.rows, weights.cols);
    check_size(name(), packed.size(), l.bytes, weights);
    check_finite(weights, "codec " + name());
    if (l.groups == 0) return;
    float_matrix w(weights.rows, weights.cols);
    copy_values(weights, w.view());
    std::vector<float> stored_levels(levels);
    std::vector<std::uint8_t> codes(w.cols);
    for (std::size_t r = 0; r < weights.rows; ++r) {
      const std::span<const float> row = w.view().row(r);
      if (r == 0 || Group == per_row) {
        choose_levels(Group == per_row ? row : std::span<const float>(w.values), stored_levels);
        for (std::size_t i = 0; i < levels; ++i)
          store_scale(stored_levels[i], Scale,
                      &packed[l.scales + ((Group == per_row ? r * levels : 0) + i) * level_bytes]);
      }
      for (std::size_t c = 0; c < row.size(); ++c) codes[c] = nearest(stored_levels, row[c]);
      store_row_codes<std::uint8_t>(l, Bits, weights.rows, r, as_span(codes), packed);
    }
  }

  static void decode(std::span<const std::byte> packed, mutable_weight_view weights) {
    const auto l = format.layout_of(weights.rows, weights.cols);
    check_size(name(), packed.size(), l.bytes, weights);
    if (l.groups == 0) return;
    std::vector<float> stored_levels(levels);
    std::vector<std::uint8_t> codes(weights.cols);
    for (std::size_t r = 0; r < weights.rows; ++r) {
      if (r == 0 || Group == per_row)
        for (std::size_t i = 0; i < levels; ++i)
          stored_levels[i] =
              load_scale(Scale, &packed[l.scales + ((Group == per_row ? r * levels : 0) + i) * level_bytes]);
      load_row_codes<std::uint8_t>(l, Bits, weights.rows, r, packed, as_writable_span(codes));
      for (std::size_t c = 0; c < codes.size(); ++c) weights(r, c) = stored_levels[codes[c]];
    }
  }

 private:
  static constexpr std::size_t level_bytes = format.level_bytes();

  static void choose_levels(std::span<const float> values, std::vector<float>& stored) {
    std::vector<double> best = detail::best_levels(values, levels);
    if (Zero) {
      const auto magnitude = [](double a, double b) { return std::abs(a) < std::abs(b); };
      *std::min_element(best.begin(), best.end(), magnitude) =
          0;  // levels stay sorted: none lies between this one and 0
    }
    for (std::size_t i = 0; i < levels; ++i) {
      const auto level = static_cast<float>(best[i]);
      stored[i] = Scale == scale_type::float32 ? level : kernel::half_to_float(kernel::float_to_half(level));
      if (!kernel::is_finite(stored[i]))
        refuse({.what = "a level of " + std::to_string(level) + " is too large to store",
                .where = "codec " + name(),
                .expected = "levels of at most 65504, or float32 levels"});
    }
  }
  /// The index of the nearest level; ties go to the lower level.
  [[nodiscard]] static std::uint8_t nearest(const std::vector<float>& stored, float x) noexcept {
    const auto above = static_cast<std::size_t>(std::lower_bound(stored.begin(), stored.end(), x) - stored.begin());
    if (above == 0) return 0;
    const std::size_t below =
        static_cast<std::size_t>(std::lower_bound(stored.begin(), stored.end(), stored[above - 1]) -
                                 stored.begin());  // the first of equal levels
    if (above == levels) return static_cast<std::uint8_t>(below);
    const double down = static_cast<double>(x) - static_cast<double>(stored[below]);
    const double up = static_cast<double>(stored[above]) - static_cast<double>(x);
    return static_cast<std::uint8_t>(up < down ? above : below);
  }
};

template<unsigned Bits, std::size_t Group = per_tensor, scale_type Scale = scale_type::float32>
struct codebook : codebook_codec<false, Bits, Group, Scale> {};
template<unsigned Bits, std::size_t Group = per_tensor, scale_type Scale = scale_type::float32>
struct codebook_with_zero : codebook_codec<true, Bits, Group, Scale> {};

PRECIS_IEEE_END
}  // namespace precis::codec
