#pragma once

#include <precis/allocate/z_tiers.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/checks.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/core/plan.hpp>
#include <precis/core/scores.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace precis::allocate {
PRECIS_IEEE_BEGIN

/// Clusters of values, from the lowest centre to the highest.
struct clustering {
  std::vector<double> from{};     ///< [clusters] the smallest value of each, ascending
  std::vector<double> centres{};  ///< [clusters] the means
  double sse = 0;                 ///< sum of squared distances from the cluster centres

  /// The cluster of a value: the last one whose smallest value is not above it, or the first one.
  template<class = void>
  [[nodiscard]] std::size_t of(double value) const noexcept {
    const auto above = std::upper_bound(from.begin() + 1, from.end(), value);
    return static_cast<std::size_t>(above - from.begin()) - 1;
  }
};

namespace detail {

/// Splits sorted values into `count` runs with the least total squared error: an exact dynamic program over prefix
/// sums.
///
/// A coarse grid first narrows the window of each cut. A cut inside a cell costs at least the lower bounds of the
/// values before and after the cell; a cell whose bound exceeds the cost of a known split is dropped.
template<class = void>
class best_cuts {
 public:
  /// Requires sorted values and at least `count` distinct ones.
  best_cuts(const std::vector<double>& sorted, std::size_t count) : n_(sorted.size()), prefix_(n_ + 1) {
    int exponent = 0;  // a power of two, which rounds nothing and keeps the squares in range
    (void)math::frexp(std::max(std::abs(sorted.front()), std::abs(sorted.back())), &exponent);
    double mean = 0;
    for (const double v : sorted) mean += math::ldexp(v, -exponent) / static_cast<double>(n_);
    for (std::size_t i = 0; i < n_; ++i) {
      const double d =
          math::ldexp(sorted[i], -exponent) - mean;  // centred, so that differences of prefix sums cancel little
      prefix_[i + 1] = {prefix_[i].first + d, math::fma(d, d, prefix_[i].second)};
    }
    for (std::size_t k = 1; k < count; ++k) windows_.push_back({k, n_ - count + k});
  }

  /// The start of each run except the first. Ties: the leftmost cuts.
  [[nodiscard]] std::vector<std::size_t> operator()() {
    if (windows_.empty()) return {};
    while (widest() > 256) {
      const std::size_t before = total();
      narrow();
      if (total() > before - before / 8) break;
    }
    return cuts();
  }

 private:
  struct sums {
    double first, second;
  };
  struct window {
    std::size_t low, high;  // inclusive
  };
  struct cell {
    std::size_t low, high;
    double before, after;  // lower bounds on the cost of the values before `low` and from `high` on
  };
  static constexpr double infinite = std::numeric_limits<double>::infinity();

  [[nodiscard]] double cost(std::size_t begin, std::size_t end) const noexcept {
    if (begin >= end) return 0;
    const double sum = prefix_[end].first - prefix_[begin].first;
    return (prefix_[end].second - prefix_[begin].second) - sum * sum / static_cast<double>(end - begin);
  }
  [[nodiscard]] std::size_t widest() const noexcept {
    std::size_t width = 0;
    for (const window& w : windows_) width = std::max(width, w.high - w.low);
    return width;
  }
  [[nodiscard]] std::size_t total() const noexcept {
    std::size_t sum = 0;
    for (const window& w : windows_) sum += w.high - w.low;
    return sum;
  }

  void narrow() {
    constexpr std::size_t most_cells = 48;  // per window
    std::vector<std::vector<cell>> cells;
    for (const window& w : windows_) {
      const std::size_t step = std::max<std::size_t>((w.high - w.low + most_cells - 1) / most_cells, 1);
      cells.emplace_back();
      for (std::size_t at = w.low; at == w.low || at < w.high; at += step)
        cells.back().push_back({at, std::min(at + step, w.high), infinite, infinite});
    }
    // The best cuts among the lower ends of cells, and lower bounds from both sides.
    std::vector<double> least, next;
    for (std::size_t k = 0; k < cells.size(); ++k) {
      next.assign(cells[k].size(), infinite);
      for (std::size_t i = 0; i < cells[k].size(); ++i) {
        cell& c = cells[k][i];
        if (k == 0) {
          next[i] = c.before = cost(0, c.low);
          continue;
        }
        for (std::size_t j = 0; j < cells[k - 1].size() && cells[k - 1][j].low <= c.high; ++j) {
          const cell& left = cells[k - 1][j];
          c.before = std::min(c.before, left.before + cost(left.high, c.low));
          if (left.low < c.low) next[i] = std::min(next[i], least[j] + cost(left.low, c.low));
        }
      }
      least.swap(next);
    }
    double reached = infinite, scale = prefix_[n_].second;
    for (std::size_t i = 0; i < least.size(); ++i)
      reached = std::min(reached, least[i] + cost(cells.back()[i].low, n_));
    for (std::size_t k = cells.size(); k-- > 0;)
      for (cell& c : cells[k]) {
        if (k + 1 == cells.size()) {
          c.after = cost(c.high, n_);
          continue;
        }
        for (const cell& right : cells[k + 1])
          if (right.high >= c.low) c.after = std::min(c.after, right.after + cost(c.high, right.low));
      }
    for (std::size_t k = 0; k < cells.size(); ++k) {
      window w{n_, 0};
      for (const cell& c : cells[k])
        if (c.before + c.after <= reached + 1e-9 * scale) w = {std::min(w.low, c.low), std::max(w.high, c.high)};
      windows_[k] = w;
    }
  }

  [[nodiscard]] std::vector<std::size_t> cuts() const {
    std::vector<std::vector<std::uint32_t>> from(windows_.size());  // [window][cut] -> the previous cut
    std::vector<double> least, next;
    for (std::size_t k = 0; k < windows_.size(); ++k) {
      const window& w = windows_[k];
      next.assign(w.high - w.low + 1, infinite);
      from[k].resize(next.size());
      if (k == 0)
        for (std::size_t cut = w.low; cut <= w.high; ++cut) next[cut - w.low] = cost(0, cut);
      else
        solve(windows_[k - 1], least, w, {w.low, w.high}, windows_[k - 1], next, from[k]);
      least.swap(next);
    }
    const window& last = windows_.back();
    std::vector<std::size_t> result(windows_.size());
    double smallest = infinite;
    for (std::size_t cut = last.low; cut <= last.high; ++cut)
      if (const double c = least[cut - last.low] + cost(cut, n_); c < smallest) {
        smallest = c;
        result.back() = cut;
      }
    for (std::size_t k = windows_.size() - 1; k > 0; --k) result[k - 1] = from[k][result[k] - windows_[k].low];
    return result;
  }

  /// The best previous cut among `columns` for each cut in `rows` of the next window. The best previous cuts are
  /// monotone, so the two halves are solved separately (divide and conquer).
  void solve(const window& left, const std::vector<double>& least, const window& right, window rows, window columns,
             std::vector<double>& next, std::vector<std::uint32_t>& from) const {
    if (rows.low > rows.high) return;
    const std::size_t row = rows.low + (rows.high - rows.low) / 2;
    double best = infinite;
    std::size_t at = columns.low;
    for (std::size_t column = columns.low; column <= columns.high && column < row; ++column)
      if (const double c = least[column - left.low] + cost(column, row); c < best) {
        best = c;
        at = column;
      }
    next[row - right.low] = best;
    from[row - right.low] = static_cast<std::uint32_t>(at);
    if (row > rows.low) solve(left, least, right, {rows.low, row - 1}, {columns.low, at}, next, from);
    solve(left, least, right, {row + 1, rows.high}, {at, columns.high}, next, from);
  }

  std::size_t n_;
  std::vector<sums> prefix_;  // [values + 1] prefix sums of the centred values and their squares
  std::vector<window> windows_;
};

}  // namespace detail

/// Splits values into at most `count` clusters with the least sum of squared distances from their means. The result is
/// the global optimum; Lloyd's algorithm can stop at a local one.
///
/// Edges    equal values stay together, in the higher cluster; if there are fewer distinct values than `count`, each is
///          a cluster.
/// Ties     the lower clusters are as small as possible.
/// Requires finite values, at least one, and count > 0.
/// Cost     the sort, plus about one pass and 1,000 count^2 steps if the values are spread out; at most
///          O(count x values x log values).
/// Source   exact one-dimensional k-means by dynamic programming: Wang and Song, "Ckmeans.1d.dp" (2011);
///          docs/methods/kmeans_tiers.md.
/// @post    the order of the values does not matter; no other split has a smaller sum (to rounding).
template<class = void>
[[nodiscard]] inline clustering cluster(std::span<const double> values, std::size_t count) {
  PRECIS_EXPECTS(!values.empty() && count > 0, "needs at least one value and one cluster");
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const std::size_t n = sorted.size();
  std::size_t distinct = 1;
  for (std::size_t i = 1; i < n; ++i) distinct += sorted[i] != sorted[i - 1] ? 1u : 0u;
  count = std::min(count, distinct);

  std::vector<std::size_t> begin = detail::best_cuts(sorted, count)();
  begin.insert(begin.begin(), 0);

  clustering result;
  for (std::size_t at : begin) {
    while (at > 0 && sorted[at] == sorted[at - 1]) --at;  // equal values stay in one cluster, the higher one
    if (result.from.empty() || sorted[at] != result.from.back()) result.from.push_back(sorted[at]);
  }
  for (std::size_t k = 0; k < result.from.size(); ++k) {
    const auto low = std::lower_bound(sorted.begin(), sorted.end(), result.from[k]);
    const auto high =
        k + 1 < result.from.size() ? std::lower_bound(sorted.begin(), sorted.end(), result.from[k + 1]) : sorted.end();
    double centre = 0;
    for (auto v = low; v != high; ++v) centre += *v / static_cast<double>(high - low);
    for (auto v = low; v != high; ++v) result.sse = math::fma(*v - centre, *v - centre, result.sse);
    result.centres.push_back(centre);
  }
  return result;
}

/// Assigns tiers by exact one-dimensional k-means of the scores: one cluster per option; the highest gets the last
/// option.
///
/// Unit     that of the scores, squared in `clustering::sse`.
/// Edges    with fewer distinct scores than options, the lowest options are unused; if all scores are equal, all units
///          get the last option. So do units without a score, with a note.
/// Errors   scores that are not finite; no options.
/// Cost     that of `cluster`.
/// Source   CPTQuant (Nanda, Balija, Sahoo): 4, 8 and 16 bits from the least to the most sensitive cluster.
/// Differs  CPTQuant runs Lloyd's algorithm from random centres, which can stop far from the optimum.
/// @post    S -> a S + b with a > 0 changes no tier.
struct kmeans_tiers {
  std::vector<tier_options> options{{.codec = "affine4.row"}, {.codec = "affine8.row"}, {.codec = "float16"}};

  /// The index into `options` of every value. Requires finite values and at least one option.
  template<class = void>
  [[nodiscard]] std::vector<std::size_t> tiers(std::span<const double> values) const {
    std::vector<std::size_t> result;
    if (values.empty()) return result;
    const clustering groups = cluster(values, options.size());
    const std::size_t unused = options.size() - groups.from.size();
    for (const double v : values) result.push_back(unused + groups.of(v));
    return result;
  }

  template<class = void>
  [[nodiscard]] plan operator()(const scores& s) const {
    check_finite(s, "allocate::kmeans_tiers");
    check_not_empty(options.size(), "options", "allocate::kmeans_tiers");
    plan p{.model = s.model, .units = kind_of(as_span(s.units)), .notes = {}, .choices = {}};
    const std::vector<std::size_t> assigned = tiers(as_span(s.values));
    std::vector<std::size_t> counts(options.size());
    for (const std::size_t k : assigned) ++counts[k];
    add_choices(p, s, [&](std::size_t i) { return options[assigned[i]]; }, options.back());
    std::string note = "kmeans_tiers of " + s.scorer + ":";
    for (std::size_t k = 0; k < options.size(); ++k)
      note += (k == 0 ? " " : ", ") + std::to_string(counts[k]) + " " + options[k].codec;
    p.notes.push_back(note);
    add_notes(p, s);
    return p;
  }
};

PRECIS_IEEE_END
}  // namespace precis::allocate
