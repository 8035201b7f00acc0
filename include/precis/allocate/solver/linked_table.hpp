#pragma once

#include <precis/allocate/solver/choice_problem.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/budget.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/error.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace precis::allocate::solver {
PRECIS_IEEE_BEGIN

/// Groups of units, by name, that must take the same entry: the q, k and v maps of a layer, or residual partners.
using linked_units = std::vector<std::vector<std::string>>;

/// A cost table in which each group of linked units is one row: costs and amounts of the resource (bytes or nanoseconds)
/// are summed, and an entry is admissible if it is admissible for all of them, and its time is known if that is the
/// resource. The cost table must outlive it.
///
/// Contract every allocator with a budget builds one of these, states its problem with `problem` or `inverse`, and maps
///          its choice of one entry per row back to units with `expand`.
/// Errors   a table that `check` refuses; a linked name that is not a unit; linked units without a common admissible
///          entry. For times: a table without them; a unit none of whose admissible entries has one.
template<class = void>
class linked_table {
 public:
  linked_table(const cost_table& t, const linked_units& groups, const std::string& where, resource of = resource::bytes)
      : entries_(t.entries.size()), rows_(t.units.size()), costs_(t.costs), amounts_(t.bytes) {
    check(t, where);
    if (of == resource::nanoseconds) take_times(t, where);
    if (groups.empty()) return;
    row_.resize(t.units.size());
    std::iota(row_.begin(), row_.end(), std::size_t{0});
    for (const std::vector<std::string>& group : groups)
      for (const std::string& name : group) {
        const std::size_t u = find(t, name, where), other = find(t, group.front(), where);
        const auto [low, high] = std::minmax(row_[u], row_[other]);
        if (low != high) std::replace(row_.begin(), row_.end(), high, low);  // groups that share a unit are merged
      }
    std::vector<std::size_t> renumbered(t.units.size(), t.units.size());
    rows_ = 0;
    for (std::size_t& row : row_) {
      if (renumbered[row] == t.units.size()) renumbered[row] = rows_++;
      row = renumbered[row];
    }
    sums_.assign(rows_ * entries_, 0.0);
    totals_.assign(rows_ * entries_, 0);
    for (std::size_t u = 0; u < t.units.size(); ++u)
      for (std::size_t e = 0; e < entries_; ++e) {
        sums_[row_[u] * entries_ + e] += costs_[u * entries_ + e];
        totals_[row_[u] * entries_ + e] += amounts_[u * entries_ + e];
      }
    costs_ = sums_;
    amounts_ = totals_;
    for (std::size_t u = 0; u < t.units.size(); ++u) {
      const auto row = costs_.subspan(row_[u] * entries_, entries_);
      if (std::none_of(row.begin(), row.end(), [](double c) { return c < not_admitted; }))
        refuse({.what = "unit " + t.units[u].name + " and the units linked to it have no common admissible entry",
                .where = where,
                .expected = "an entry that is admissible for all of them"});
    }
  }

  /// Least cost within `limit` of the resource.
  [[nodiscard]] choice_problem<double, std::size_t> problem(std::size_t limit) const noexcept {
    return {rows_, entries_, costs_, amounts_, static_cast<double>(limit)};
  }
  /// Least of the resource within `cost`.
  [[nodiscard]] choice_problem<std::size_t, double> inverse(double cost) const noexcept {
    return {rows_, entries_, amounts_, costs_, cost};
  }
  /// Maps one entry per row to one entry per unit.
  template<class Index>
  [[nodiscard]] std::vector<std::size_t> expand(const std::vector<Index>& of_rows) const {
    if (row_.empty()) return {of_rows.begin(), of_rows.end()};
    std::vector<std::size_t> of_units;
    of_units.reserve(row_.size());
    for (const std::size_t row : row_) of_units.push_back(of_rows[row]);
    return of_units;
  }
  linked_table(const linked_table&) = delete;
  linked_table& operator=(const linked_table&) = delete;

 private:
  static std::size_t find(const cost_table& t, const std::string& name, const std::string& where) {
    const auto at = std::find_if(t.units.begin(), t.units.end(), [&](const unit& u) { return u.name == name; });
    if (at == t.units.end())
      refuse({.what = "unit '" + name + "' is linked but not in the table",
              .where = where,
              .expected = "names of units in the table"});
    return static_cast<std::size_t>(at - t.units.begin());
  }

  /// The amounts become times, and entries whose time is not known are not admissible.
  void take_times(const cost_table& t, const std::string& where) {
    if (!t.has_times())
      refuse({.what = "a budget in time, but the cost table has no times",
              .where = where,
              .expected = "nanoseconds in the table (cost::product_times, precis cost --time), or a budget in bytes"});
    timed_costs_ = t.costs;
    times_ = t.nanoseconds;
    for (std::size_t u = 0; u < t.units.size(); ++u) {
      bool known = false;
      for (std::size_t c = u * entries_; c < (u + 1) * entries_; ++c) {
        if (times_[c] == not_timed) {
          timed_costs_[c] = not_admitted;
          times_[c] = 0;
        }
        known = known || timed_costs_[c] < not_admitted;
      }
      if (!known)
        refuse({.what = "unit " + t.units[u].name + " has no admissible entry whose time is known",
                .where = where,
                .expected = "entries that a kernel multiplies, or a budget in bytes"});
    }
    costs_ = timed_costs_;
    amounts_ = times_;
  }

  std::size_t entries_, rows_;
  std::span<const double> costs_;
  std::span<const std::size_t> amounts_;  // bytes or nanoseconds
  std::vector<std::size_t> row_;          // [units]; empty = one row per unit
  std::vector<double> sums_, timed_costs_;
  std::vector<std::size_t> totals_, times_;
};

PRECIS_IEEE_END
}  // namespace precis::allocate::solver

namespace precis::allocate {
using solver::linked_units;
}
