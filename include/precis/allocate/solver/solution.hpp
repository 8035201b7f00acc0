#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/budget.hpp>
#include <precis/core/compensated_sum.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/error.hpp>
#include <precis/core/plan.hpp>
#include <precis/core/text.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace precis::allocate::solver {
PRECIS_IEEE_BEGIN

/// One entry per unit of a cost table, with a certificate of optimality or a bound.
struct solution {
  std::vector<std::size_t> entries{};  ///< [units] indices into the entries of the table
  std::size_t bytes = 0;               ///< exact bytes of the chosen entries
  std::size_t limit = 0;        ///< upper bound on `bytes`, or on `nanoseconds` if the budget is a time; 0 = none
  double cost = 0;              ///< sum of the chosen costs
  double objective = 0;         ///< the minimised quantity: the cost, unless the allocator says otherwise
  double bound = 0;             ///< lower bound on the objective of every feasible choice
  bool optimal = false;         ///< proven optimal: bound == objective
  std::size_t nanoseconds = 0;  ///< per token; 0 if a time of the chosen entries is not known
  resource limited = resource::bytes;  ///< what `limit` bounds

  [[nodiscard]] double gap() const noexcept { return objective - bound; }
};

/// A budget in bytes or, if it is a time, in nanoseconds.
///
/// Errors   a budget below `range.first`, the least that is feasible; the message shows the feasible range. A percentage
///          of a table without an original size.
template<class = void>
[[nodiscard]] inline std::size_t limit_of(const budget& b, const cost_table& t,
                                          std::pair<std::size_t, std::size_t> range, const std::string& where) {
  if (!(b.value > 0) || !kernel::is_finite(b.value))
    refuse({.what = "a budget of " + to_string(b), .where = where, .expected = "a positive, finite budget"});
  if (b.unit == budget::measure::percent_of_original && t.original_bytes == 0)
    refuse({.what = "a budget of " + to_string(b) + ", but the cost table has no original size",
            .where = where,
            .expected = "original_bytes in the table, or a budget in bytes or bits per weight"});
  if (b.bounds() == resource::nanoseconds) {
    const std::size_t limit = b.nanoseconds();
    if (limit < range.first)
      refuse({.what = "a budget of " + to_string(b) + " per token",
              .where = where,
              .expected = "at least " + std::to_string(range.first) +
                          "ns, the time of the fastest admissible entries (the slowest take " +
                          std::to_string(range.second) +
                          "ns): allow more time, add faster formats, or measure with more threads"});
    return limit;
  }
  const std::size_t limit = b.bytes(t.weights(), t.original_bytes);
  if (limit < range.first) {
    const auto in_words = [&](std::size_t bytes) {
      const double weights = static_cast<double>(std::max<std::size_t>(t.weights(), 1));
      return std::to_string(bytes) + "B (" + text::number(static_cast<double>(bytes) * 8 / weights) + "bpw)";
    };
    refuse({.what = "a budget of " + to_string(b) + ", " + std::to_string(limit) + " bytes",
            .where = where,
            .expected = "at least " + in_words(range.first) +
                        ", the size of the smallest admissible entries; the largest take " + in_words(range.second)});
  }
  return limit;
}

/// Sets the cost, the bytes and the time of a solution from its entries.
template<class = void>
inline void add_up(solution& s, const cost_table& t) {
  compensated_sum cost;
  s.bytes = s.nanoseconds = 0;
  bool known = t.has_times();
  for (std::size_t u = 0; u < t.units.size(); ++u) {
    cost.add(t.costs_of(u)[s.entries[u]]);
    s.bytes += t.bytes_of(u)[s.entries[u]];
    known = known && t.nanoseconds_of(u)[s.entries[u]] != not_timed;
    if (known) s.nanoseconds += t.nanoseconds_of(u)[s.entries[u]];
  }
  if (!known) s.nanoseconds = 0;
  s.cost = cost.value();
}

/// Describes how far a solution can be from the optimum.
template<class = void>
[[nodiscard]] inline std::string certificate(const solution& s) {
  return s.optimal ? "optimal" : "at most " + text::number(s.gap()) + " above the optimum";
}

/// The plan of a solution. Its note names the allocator, the cost, the bytes and `remark`; the notes of the table follow.
template<class = void>
[[nodiscard]] inline plan to_plan(const cost_table& t, const solution& s, const std::string& allocator,
                                  const std::string& remark) {
  plan p{.model = t.model, .units = kind_of(as_span(t.units)), .notes = {}, .choices = {}};
  for (std::size_t u = 0; u < t.units.size(); ++u)
    p.choices.push_back({.unit = t.units[u].name, .codec = t.entries[s.entries[u]], .sparsity = 0, .rank = 0});
  const auto limit = [&](resource of) {
    return s.limit == 0 || s.limited != of ? std::string() : " of " + std::to_string(s.limit);
  };
  p.notes.push_back(
      allocator + " of " + t.maker + ": cost " + text::number(s.cost) + (t.measure.empty() ? "" : " " + t.measure) +
      ", " + std::to_string(s.bytes) + " bytes" + limit(resource::bytes) +
      (s.nanoseconds == 0 ? ""
                          : ", " + std::to_string(s.nanoseconds) + " ns per token" + limit(resource::nanoseconds)) +
      ", " + remark);
  p.notes.insert(p.notes.end(), t.notes.begin(), t.notes.end());
  return p;
}

PRECIS_IEEE_END
}  // namespace precis::allocate::solver

namespace precis::allocate {
using solver::solution;
}
