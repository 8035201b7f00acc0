#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/checks.hpp>
#include <precis/core/error.hpp>
#include <precis/core/text.hpp>
#include <precis/core/unit.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace precis {
PRECIS_IEEE_BEGIN

/// The cost of an entry that is not admissible for a unit.
inline constexpr double not_admitted = std::numeric_limits<double>::infinity();

/// The time of an entry that was not measured for a unit, for instance because no kernel multiplies it.
inline constexpr std::size_t not_timed = std::numeric_limits<std::size_t>::max();

/// The predicted loss increase of each unit in each menu entry, and the bytes it takes there. Low = better. A table may
/// also hold times, which belong to one machine: the nanoseconds of the products of a unit's matrices with one vector.
///
/// Units and entries are plain names, so a table can be typed by hand and needs no menu. Costs may be negative and may
/// rise with the number of bytes, as measured costs do.
struct cost_table {
  std::string model{};             ///< fingerprint of the model; empty = unknown
  std::string maker{};             ///< the cost method and its input: "weighted_error of causal_trace noise_runs=10"
  std::string measure{};           ///< the unit of measurement: "nats", "squared error"
  std::size_t original_bytes = 0;  ///< total over all units, for budgets in percent
  std::vector<std::string> entries{};  ///< menu entry names
  std::vector<unit> units{};
  std::vector<std::size_t> bytes{};        ///< [units x entries] exact packed bytes of the unit's matrices
  std::vector<double> costs{};             ///< [units x entries]; not_admitted = not admissible
  std::vector<std::size_t> nanoseconds{};  ///< [units x entries] per token; not_timed = unknown; empty = no times
  std::vector<std::string> notes{};  ///< what else a reader should know, one line each: units that no data reached

  template<class = void>
  [[nodiscard]] std::span<const std::size_t> bytes_of(std::size_t unit) const noexcept {
    return as_span(bytes.data() + unit * entries.size(), entries.size());
  }
  template<class = void>
  [[nodiscard]] std::span<const double> costs_of(std::size_t unit) const noexcept {
    return as_span(costs.data() + unit * entries.size(), entries.size());
  }
  [[nodiscard]] bool has_times() const noexcept { return !nanoseconds.empty(); }
  /// Requires has_times().
  template<class = void>
  [[nodiscard]] std::span<const std::size_t> nanoseconds_of(std::size_t unit) const noexcept {
    return as_span(nanoseconds.data() + unit * entries.size(), entries.size());
  }
  template<class = void>
  [[nodiscard]] bool admits(std::size_t unit, std::size_t entry) const noexcept {
    return costs_of(unit)[entry] < not_admitted;
  }
  /// Total number of weights over all units.
  template<class = void>
  [[nodiscard]] std::size_t weights() const noexcept {
    std::size_t sum = 0;
    for (const unit& u : units) sum += u.weights;
    return sum;
  }
  bool operator==(const cost_table&) const = default;
};

/// Refuses a table that no allocator can use: inconsistent sizes, a name that is repeated or not one word, a cost of
/// NaN or minus infinity, a unit without an admissible entry, or sums that overflow. `where` names the stage in
/// messages.
///
/// Cost     O(units x entries + units log units).
template<class = void>
inline void check(const cost_table& t, const std::string& where = "cost table") {
  const auto bad = [&](std::string what, std::string expected) {
    refuse({.what = std::move(what), .where = where, .expected = std::move(expected)});
  };
  check_model_name(t.model, where);
  check_not_empty(t.entries.size(), "entries", where);
  const std::size_t cells = t.units.size() * t.entries.size();
  if (t.bytes.size() != cells || t.costs.size() != cells)
    bad(std::to_string(t.bytes.size()) + " sizes and " + std::to_string(t.costs.size()) + " costs for " +
            std::to_string(t.units.size()) + " units and " + std::to_string(t.entries.size()) + " entries",
        "one size and one cost per unit and entry");
  if (t.has_times() && t.nanoseconds.size() != cells)
    bad(std::to_string(t.nanoseconds.size()) + " times for " + std::to_string(t.units.size()) + " units and " +
            std::to_string(t.entries.size()) + " entries",
        "one time per unit and entry, or none");

  std::vector<std::string_view> names;
  for (const std::string& entry : t.entries) {
    if (!text::is_word(entry)) bad("the entry name '" + shown(entry) + "'", "one word");
    names.push_back(entry);
  }
  check_unique(std::exchange(names, {}), "entry", where);
  for (const unit& u : t.units) {
    check_unit_name(u.name, where);
    names.push_back(u.name);
  }
  check_unique(std::move(names), "unit", where);

  constexpr auto most = static_cast<std::size_t>(  // larger integers are not exact in double
      std::min<std::uint64_t>(std::uint64_t{1} << 53, std::numeric_limits<std::size_t>::max()));
  std::size_t largest_size = 0, longest = 0;
  double largest_cost = 0;
  for (std::size_t u = 0; u < t.units.size(); ++u) {
    std::size_t size = 0, time = 0;
    double cost = 0;
    bool admissible = false;
    for (std::size_t e = 0; e < t.entries.size(); ++e) {
      const double c = t.costs_of(u)[e];
      if (c == not_admitted) continue;
      if (!kernel::is_finite(c))
        bad("the cost of unit " + t.units[u].name + " in " + shown(t.entries[e]) + " is " + text::number(c),
            "a finite cost, or +infinity for an entry that is not admissible");
      admissible = true;
      size = std::max(size, t.bytes_of(u)[e]);
      if (t.has_times() && t.nanoseconds_of(u)[e] != not_timed) time = std::max(time, t.nanoseconds_of(u)[e]);
      cost = std::max(cost, std::abs(c));
    }
    if (!admissible) bad("unit " + t.units[u].name + " has no admissible entry", "at least one finite cost per unit");
    if (size > most - largest_size) bad("more than 2^53 bytes in total", "the sizes of a model");
    if (time > most - longest) bad("more than 2^53 nanoseconds in total", "the times of a model");
    largest_size += size;
    longest += time;
    largest_cost += cost;
  }
  if (!kernel::is_finite(largest_cost)) bad("costs whose sum overflows", "costs whose sum is finite");
}

/// The units that some entries cannot hold, in at most five lines: "unit h.0.mlp cannot be in affine2.g32.h".
template<class = void>
[[nodiscard]] inline std::vector<std::string> note_not_admitted(const cost_table& t) {
  constexpr std::size_t most = 4;
  std::vector<std::string> notes;
  std::size_t more = 0;
  for (std::size_t u = 0; u < t.units.size(); ++u) {
    std::string entries;
    for (std::size_t e = 0; e < t.entries.size(); ++e)
      if (!t.admits(u, e)) entries += (entries.empty() ? "" : ", ") + t.entries[e];
    if (entries.empty()) continue;
    if (notes.size() == most)
      ++more;
    else
      notes.push_back("unit " + t.units[u].name + " cannot be in " + entries);
  }
  if (more != 0) notes.push_back("so it is for some entries of " + std::to_string(more) + " more units");
  return notes;
}

/// The exact packed bytes of every unit in every entry, [units x entries]: the sum over the matrices of the unit.
///
/// Errors   an entry that is not in the menu.
template<class Menu>
[[nodiscard]] std::vector<std::size_t> exact_bytes(std::span<const matrix_info> matrices, std::span<const unit> units,
                                                   std::span<const std::string> entries) {
  std::vector<std::size_t> index;
  for (const std::string& name : entries) index.push_back(Menu::index_of(name));
  std::vector<std::size_t> bytes;
  bytes.reserve(units.size() * entries.size());
  for (const unit& u : units)
    for (const std::size_t entry : index) {
      std::size_t sum = 0;
      for (const std::size_t m : u.matrices) sum += Menu::bytes(entry, matrices[m].out, matrices[m].in);
      bytes.push_back(sum);
    }
  return bytes;
}

/// Writes a cost table: one line per unit with BYTES COST for each entry, and `-` for an entry that is not admissible:
///
///     precis-costs 1
///     model 8c1f5d0e
///     maker weighted_error of causal_trace
///     measure squared error
///     original 1048576
///     units block
///     entries affine4.g32 affine8.g32
///     block.0  147456 0.031  278528 0.0012
///     block.1  147456 -  278528 0.002
///
/// A table with notes or times is of version 2. It has lines `note TEXT`; with times, the line
/// `columns bytes cost nanoseconds`, and BYTES COST NANOSECONDS for each entry, where `-` is a time that is not known.
template<class = void>
[[nodiscard]] inline std::string to_text(const cost_table& t) {
  check(t);
  const unsigned version = t.notes.empty() && !t.has_times() ? 1 : 2;
  std::string out = text::header("precis-costs", t.model, version) + text::field("maker", t.maker) +
                    text::field("measure", t.measure) + text::field("original", std::to_string(t.original_bytes)) +
                    text::field("units", std::string(to_string(kind_of(as_span(t.units))))) + "entries";
  for (const std::string& entry : t.entries) out += " " + entry;
  out += "\n";
  for (const std::string& note : t.notes) out += text::field("note", note);
  if (t.has_times()) out += text::field("columns", "bytes cost nanoseconds");
  std::size_t widest = 0;
  for (const unit& u : t.units) widest = std::max(widest, u.name.size());
  for (std::size_t u = 0; u < t.units.size(); ++u) {
    out += text::padded(t.units[u].name, widest);
    for (std::size_t e = 0; e < t.entries.size(); ++e) {
      const std::string cost = t.admits(u, e) ? text::number(t.costs_of(u)[e]) : "-";
      out += "  " + std::to_string(t.bytes_of(u)[e]) + " " + cost;
      if (!t.has_times()) continue;
      const std::size_t time = t.nanoseconds_of(u)[e];
      out += time == not_timed ? " -" : " " + std::to_string(time);
    }
    out += "\n";
  }
  return out;
}

/// Reads what `to_text` writes, for a model with these matrices: the table must have exactly the units of the model.
/// Entry names are not checked against a menu. `where` names the file in messages.
///
/// Errors   each with its line number; a table that `check` refuses.
template<class = void>
[[nodiscard]] inline cost_table parse_costs(std::string_view source, std::span<const matrix_info> matrices,
                                            std::string_view where = "cost table") {
  const std::vector<text::line> lines = text::split(source);
  const std::span<const text::line> body = text::body(as_span(lines), "precis-costs", where, 2);

  cost_table t;
  std::vector<bool> seen;
  std::vector<std::string_view> keys;
  bool timed = false;
  for (const text::line& l : body) {
    const std::string_view first = l.words.front();
    for (const std::string_view key : {"model", "maker", "measure", "columns", "original", "units", "entries"})
      if (first == key) text::check_first(keys, l, where);
    if (first == "model") {
      check_model_name(l.rest, text::place(l, where));
      t.model = l.rest;
    } else if (first == "maker") {
      t.maker = l.rest;
    } else if (first == "measure") {
      t.measure = l.rest;
    } else if (first == "note") {
      t.notes.emplace_back(l.rest);
    } else if (first == "columns") {
      timed = l.rest == "bytes cost nanoseconds";
      if (!timed && l.rest != "bytes cost")
        text::refuse_line(l, where, "columns '" + shown(l.rest) + "'", "bytes cost, or bytes cost nanoseconds");
      if (!t.bytes.empty()) text::refuse_line(l, where, "columns below the units", "the line above them");
    } else if (first == "original") {
      if (!text::read(l.rest, t.original_bytes))
        text::refuse_line(l, where, "'" + shown(l.rest) + "' is not a size", "a number of bytes");
    } else if (first == "units") {
      t.units = group_units(matrices, parse_unit_kind(l.rest, text::place(l, where)));
      seen.assign(t.units.size(), false);
    } else if (first == "entries") {
      for (const std::string_view name : std::span(l.words).subspan(1)) t.entries.emplace_back(name);
    } else {
      if (t.entries.empty())
        text::refuse_line(l, where, "no entries above the first unit", "a line 'entries NAME ...'");
      const auto at = std::find_if(t.units.begin(), t.units.end(), [&](const unit& u) { return u.name == first; });
      if (at == t.units.end())
        text::refuse_line(l, where, "unit '" + shown(first) + "' is not in this model", "a table made for this model");
      const auto u = static_cast<std::size_t>(at - t.units.begin());
      const std::size_t count = t.entries.size(), columns = timed ? 3 : 2;
      if (seen[u]) text::refuse_line(l, where, "unit '" + shown(first) + "' has two lines", "one line per unit");
      if (l.words.size() != 1 + columns * count)
        text::refuse_line(
            l, where,
            std::to_string(l.words.size() - 1) + " words for " + std::to_string(count) +
                (count == 1 ? " entry" : " entries"),
            timed ? "UNIT, then BYTES COST NANOSECONDS for every entry" : "UNIT, then BYTES COST for every entry");
      seen[u] = true;
      t.bytes.resize(t.units.size() * count);
      t.costs.resize(t.units.size() * count, not_admitted);
      if (timed) t.nanoseconds.resize(t.units.size() * count, not_timed);
      for (std::size_t e = 0; e < count; ++e) {
        const std::string_view size = l.words[1 + columns * e], cost = l.words[2 + columns * e];
        if (!text::read(size, t.bytes[u * count + e]))
          text::refuse_line(l, where, "'" + shown(size) + "' is not a size", "a number of bytes");
        if (cost != "-" && !text::read(cost, t.costs[u * count + e]))
          text::refuse_line(l, where, "'" + shown(cost) + "' is not a cost", "a finite number, or - if not admissible");
        const std::string_view time = timed ? l.words[3 + columns * e] : "-";
        if (time != "-" && !text::read(time, t.nanoseconds[u * count + e]))
          text::refuse_line(l, where, "'" + shown(time) + "' is not a time",
                            "a number of nanoseconds, or - if not known");
      }
    }
  }
  if (t.units.empty())
    refuse({.what = "no units", .where = std::string(where), .expected = "a 'units' line and one line per unit"});
  for (std::size_t u = 0; u < t.units.size(); ++u)
    if (!seen[u])
      refuse({.what = "unit " + t.units[u].name + " has no costs",
              .where = std::string(where),
              .expected = "one line per unit"});
  check(t, std::string(where));
  return t;
}

PRECIS_IEEE_END
}  // namespace precis
