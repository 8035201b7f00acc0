#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/checks.hpp>
#include <precis/core/error.hpp>
#include <precis/core/text.hpp>
#include <precis/core/unit.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace precis {
PRECIS_IEEE_BEGIN

/// The menu entry, sparsity and rank of one unit.
struct choice {
  std::string unit{};    ///< the unit's name
  std::string codec{};   ///< the menu entry's name
  double sparsity = 0;   ///< fraction of weights set to zero before encoding, in [0, 1]
  std::size_t rank = 0;  ///< number of singular values kept; 0 = all

  bool operator==(const choice&) const = default;
};

/// Maps every unit to a menu entry. The text form can be read, diffed and edited; see `to_text`.
struct plan {
  std::string model{};                 ///< fingerprint of the model it was made for; empty = any
  unit_kind units = unit_kind::block;  ///< how the model's matrices are grouped
  std::vector<std::string> notes{};    ///< the allocator and its settings, one line each
  std::vector<choice> choices{};       ///< one per unit, in model order

  template<class = void>
  [[nodiscard]] const choice* find(std::string_view unit) const noexcept {
    for (const choice& c : choices)
      if (c.unit == unit) return &c;
    return nullptr;
  }
  bool operator==(const plan&) const = default;
};

/// Refuses an inconsistent plan: a unit chosen twice, a sparsity outside [0, 1], or a name that is not one word.
template<class = void>
inline void check(const plan& p) {
  check_model_name(p.model, "plan");
  std::vector<std::string_view> names;
  names.reserve(p.choices.size());
  for (const choice& c : p.choices) names.push_back(c.unit);
  const std::vector<std::size_t> first = first_of_equals(as_span(names));
  for (std::size_t i = 0; i < p.choices.size(); ++i) {
    const choice& c = p.choices[i];
    check_unit_name(c.unit, "plan");
    if (!text::is_word(c.codec))
      refuse({.what = "the codec name '" + shown(c.codec) + "' of unit " + shown(c.unit),
              .where = "plan",
              .expected = "one word"});
    if (!(c.sparsity >= 0 && c.sparsity <= 1))
      refuse({.what = "a sparsity of " + text::number(c.sparsity) + " for unit " + shown(c.unit),
              .where = "plan",
              .expected = "0 to 1"});
    if (first[i] != i)
      refuse({.what = "unit " + shown(c.unit) + " is chosen twice", .where = "plan", .expected = "one line per unit"});
  }
}

/// Writes a plan:
///
///     precis-plan 1
///     model 8c1f5d0e
///     units block
///     note z_tiers of causal_trace
///     block.0  affine8.row
///     block.1  affine4.row  sparsity=0.3  rank=16
template<class = void>
[[nodiscard]] inline std::string to_text(const plan& p) {
  check(p);
  std::string out = text::header("precis-plan", p.model) + text::field("units", std::string(to_string(p.units)));
  for (const std::string& note : p.notes) out += text::field("note", note);
  std::size_t widest = 0;
  for (const choice& c : p.choices) widest = std::max(widest, c.unit.size());
  for (const choice& c : p.choices) {
    out += text::padded(c.unit, widest + 2) + c.codec;
    if (c.sparsity != 0) out += "  sparsity=" + text::number(c.sparsity);
    if (c.rank != 0) out += "  rank=" + std::to_string(c.rank);
    out += "\n";
  }
  return out;
}

/// Reads what `to_text` writes. Comments (`#`) are dropped, notes are kept. `where` names the file in messages.
///
/// Errors   each with its line number: a missing or newer header, an unknown key, a value out of range, a unit chosen
///          twice.
template<class = void>
[[nodiscard]] inline plan parse_plan(std::string_view source, std::string_view where = "plan") {
  const std::vector<text::line> lines = text::split(source);
  const std::span<const text::line> body = text::body(as_span(lines), "precis-plan", where);

  plan p;
  bool seen_units = false;
  std::vector<const text::line*> line_of;  // [choices]
  for (const text::line& l : body) {
    const std::string_view first = l.words.front();
    if (first == "model") {
      if (l.words.size() != 2 || !p.model.empty())
        text::refuse_line(l, where, "an invalid 'model' line", "one line with one fingerprint");
      p.model = l.words[1];
    } else if (first == "units") {
      if (l.words.size() != 2 || seen_units)
        text::refuse_line(l, where, "an invalid 'units' line", "one line with block, half, matrix or named");
      p.units = parse_unit_kind(l.words[1], text::place(l, where));
      seen_units = true;
    } else if (first == "note") {
      p.notes.emplace_back(l.rest);
    } else {
      if (l.words.size() < 2) text::refuse_line(l, where, "unit '" + shown(first) + "' without a codec", "UNIT CODEC");
      check_unit_name(first, text::place(l, where));
      choice c{.unit = std::string(first), .codec = std::string(l.words[1])};
      std::vector<std::string_view> seen;
      for (const std::string_view word : as_span(l.words).subspan(2)) {
        const std::size_t equals = word.find('=');
        const std::string_view key = word.substr(0, equals);
        if (std::find(seen.begin(), seen.end(), key) != seen.end())
          text::refuse_line(l, where, "'" + shown(key) + "' twice", "each option once");
        seen.push_back(key);
        const std::string_view value = equals == std::string_view::npos ? std::string_view{} : word.substr(equals + 1);
        if (key == "sparsity") {
          if (!text::read(value, c.sparsity) || c.sparsity < 0 || c.sparsity > 1)
            text::refuse_line(l, where, "'" + shown(word) + "'", "a sparsity from 0 to 1");
        } else if (key == "rank") {
          if (!text::read(value, c.rank) || c.rank == 0)
            text::refuse_line(l, where, "'" + shown(word) + "'", "a rank of at least 1");
        } else {
          text::refuse_line(l, where, "'" + shown(word) + "'", "sparsity=SHARE or rank=COUNT");
        }
      }
      p.choices.push_back(std::move(c));
      line_of.push_back(&l);
    }
  }
  std::vector<std::string_view> names;
  names.reserve(p.choices.size());
  for (const choice& c : p.choices) names.push_back(c.unit);
  const std::vector<std::size_t> first = first_of_equals(as_span(names));
  for (std::size_t i = 0; i < names.size(); ++i)
    if (first[i] != i)
      text::refuse_line(*line_of[i], where, "unit '" + shown(names[i]) + "' is chosen twice", "one line per unit");
  if (!seen_units)
    refuse({.what = "no 'units' line",
            .where = std::string(where),
            .expected = "units block, units half, units matrix or units named"});
  return p;
}

PRECIS_IEEE_END
}  // namespace precis
