#pragma once

#include <precis/allocate/solver/relaxation.hpp>
#include <precis/core/budget.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/error.hpp>
#include <precis/core/plan.hpp>
#include <precis/core/text.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace precis::allocate {

/// One entry for every unit of a cost table, with its certificate.
struct solution {
  std::vector<std::size_t> entries = {};  ///< [units], into the table's entries
  std::size_t bytes = 0;                  ///< exactly what they take
  std::size_t limit = 0;                  ///< what they may take; 0 = any number
  double cost = 0;                        ///< sum over the units
  double objective = 0;                   ///< what was made small: the cost, or what the allocator says
  double bound = 0;                       ///< nothing allowed has a smaller objective
  bool optimal = false;                   ///< proven: bound == objective

  [[nodiscard]] double gap() const noexcept { return objective - bound; }
};

/// Units that must take the same entry, by name: the q, k and v maps of a layer, residual partners.
using linked_units = std::vector<std::vector<std::string>>;

/// A cost table whose linked units are one row each: their costs and bytes add up, and an entry that one of them must
/// not take is not taken by any. The table must outlive it.
///
/// Errors   what `check` refuses; a linked name that is no unit; linked units with no entry that all of them may take.
class linked_table {
 public:
  linked_table(const cost_table& t, const linked_units& groups, const std::string& where)
      : entries_(t.entries.size()), rows_(t.units.size()), costs_(t.costs), bytes_(t.bytes) {
    check(t, where);
    if (groups.empty()) return;
    row_.resize(t.units.size());
    std::iota(row_.begin(), row_.end(), std::size_t{0});
    for (const std::vector<std::string>& group : groups)
      for (const std::string& name : group) {
        const std::size_t u = find(t, name, where), other = find(t, group.front(), where);
        const auto [low, high] = std::minmax(row_[u], row_[other]);
        if (low != high) std::ranges::replace(row_, high, low);  // groups that share a unit are one
      }
    std::vector<std::size_t> dense(t.units.size(), t.units.size());
    rows_ = 0;
    for (std::size_t& row : row_) {
      if (dense[row] == t.units.size()) dense[row] = rows_++;
      row = dense[row];
    }
    sums_.assign(rows_ * entries_, 0.0);
    sizes_.assign(rows_ * entries_, 0);
    for (std::size_t u = 0; u < t.units.size(); ++u)
      for (std::size_t e = 0; e < entries_; ++e) {
        sums_[row_[u] * entries_ + e] += t.costs_of(u)[e];
        sizes_[row_[u] * entries_ + e] += t.bytes_of(u)[e];
      }
    costs_ = sums_;
    bytes_ = sizes_;
    for (std::size_t u = 0; u < t.units.size(); ++u) {
      const auto row = costs_.subspan(row_[u] * entries_, entries_);
      if (std::ranges::none_of(row, [](double c) { return c < not_admitted; }))
        refuse({.what = "unit " + t.units[u].name + " and those it is linked with share no admissible entry",
                .where = where,
                .expected = "an entry that all of them may take"});
    }
  }

  [[nodiscard]] choice_problem<double, std::size_t> problem(std::size_t limit) const noexcept {
    return {rows_, entries_, costs_, bytes_, static_cast<double>(limit)};
  }
  [[nodiscard]] choice_problem<std::size_t, double> inverse(double cost) const noexcept {
    return {rows_, entries_, bytes_, costs_, cost};
  }
  /// From an entry a row to an entry a unit.
  template<class Index>
  [[nodiscard]] std::vector<std::size_t> expand(const std::vector<Index>& of_rows) const {
    if (row_.empty()) return {of_rows.begin(), of_rows.end()};
    std::vector<std::size_t> of_units;
    for (const std::size_t row : row_) of_units.push_back(of_rows[row]);
    return of_units;
  }
  linked_table(const linked_table&) = delete;
  linked_table& operator=(const linked_table&) = delete;

 private:
  static std::size_t find(const cost_table& t, const std::string& name, const std::string& where) {
    const auto at = std::ranges::find(t.units, name, &unit::name);
    if (at == t.units.end())
      refuse({.what = "unit '" + name + "' is linked but not in the table",
              .where = where,
              .expected = "names of the table's units"});
    return static_cast<std::size_t>(at - t.units.begin());
  }

  std::size_t entries_, rows_;
  std::span<const double> costs_;
  std::span<const std::size_t> bytes_;
  std::vector<std::size_t> row_;  // [units]; empty: every unit its own
  std::vector<double> sums_;
  std::vector<std::size_t> sizes_;
};

/// The fewest and the most bytes that a choice of admissible entries can take.
template<class Value>
[[nodiscard]] std::pair<std::size_t, std::size_t> feasible_bytes(const choice_problem<Value, std::size_t>& p) noexcept {
  std::size_t least = 0, most = 0;
  for (std::size_t u = 0; u < p.units; ++u) {
    std::size_t low = std::numeric_limits<std::size_t>::max(), high = 0;
    for (std::size_t e = 0; e < p.entries; ++e) {
      if (!p.admits(u, e)) continue;
      low = std::min(low, p.weights[u * p.entries + e]);
      high = std::max(high, p.weights[u * p.entries + e]);
    }
    least += low;
    most += high;
  }
  return {least, most};
}

/// A budget in bytes. Errors: one below `least`, with the range in which budgets make a difference; percent of an
/// original size that the table does not say.
[[nodiscard]] inline std::size_t limit_of(const budget& b, const cost_table& t,
                                          std::pair<std::size_t, std::size_t> range, const std::string& where) {
  if (b.unit == budget::measure::percent_of_original && t.original_bytes == 0)
    refuse({.what = "a budget of " + to_string(b) + ", but the cost table does not say the original size",
            .where = where,
            .expected = "original_bytes in the table, or a budget in bytes or bits per weight"});
  const std::size_t limit = b.bytes(t.weights(), t.original_bytes);
  if (limit < range.first) {
    const auto in_words = [&](std::size_t bytes) {
      const double weights = static_cast<double>(std::max<std::size_t>(t.weights(), 1));
      return std::to_string(bytes) + "B (" + text::number(static_cast<double>(bytes) * 8 / weights) + "bpw)";
    };
    refuse({.what = "a budget of " + to_string(b) + ", " + std::to_string(limit) + " bytes",
            .where = where,
            .expected = "at least " + in_words(range.first) +
                        ", what the smallest admissible entries take; the largest take " + in_words(range.second)});
  }
  return limit;
}

/// Fills in what the entries cost and take.
inline void add_up(solution& s, const cost_table& t) {
  compensated_sum cost;
  s.bytes = 0;
  for (std::size_t u = 0; u < t.units.size(); ++u) {
    cost.add(t.costs_of(u)[s.entries[u]]);
    s.bytes += t.bytes_of(u)[s.entries[u]];
  }
  s.cost = cost.value();
}

/// What is known of a solution's objective, in words.
[[nodiscard]] inline std::string certificate(const solution& s) {
  return s.optimal ? "optimal" : "not more than " + text::number(s.gap()) + " above the optimum";
}

/// The plan of a solution; its note says who made it, what it costs and takes, and `remark`.
[[nodiscard]] inline plan to_plan(const cost_table& t, const solution& s, const std::string& who,
                                  const std::string& remark) {
  plan p{
      .model = t.model, .units = t.units.empty() ? unit_kind::block : t.units.front().kind, .notes = {}, .choices = {}};
  for (std::size_t u = 0; u < t.units.size(); ++u)
    p.choices.push_back({.unit = t.units[u].name, .codec = t.entries[s.entries[u]], .sparsity = 0, .rank = 0});
  p.notes.push_back(who + " of " + t.maker + ": cost " + text::number(s.cost) +
                    (t.measure.empty() ? "" : " " + t.measure) + ", " + std::to_string(s.bytes) + " bytes" +
                    (s.limit == 0 ? "" : " of " + std::to_string(s.limit)) + ", " + remark);
  return p;
}

}  // namespace precis::allocate
