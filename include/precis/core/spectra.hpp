#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/checks.hpp>
#include <precis/core/error.hpp>
#include <precis/core/slice.hpp>
#include <precis/core/text.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace precis {
PRECIS_IEEE_BEGIN

/// The singular values of a slice and their scores.
struct spectrum {
  matrix_slice slice = {};
  std::vector<double> values{};  ///< [rank] singular values, largest first
  std::vector<double> scores{};  ///< [rank] high = keep; may be negative

  bool operator==(const spectrum&) const = default;
};

/// Scores of singular values, as `scores` holds scores of units.
struct spectra {
  std::string model{};    ///< fingerprint of the model; empty = unknown
  std::string scorer{};   ///< the scorer and its settings: "eigen_attribution shuffled_cycle seed=0"
  std::string measure{};  ///< the unit of measurement: "nats"
  std::vector<spectrum> slices{};
  std::vector<std::string> notes{};  ///< one line each

  /// Total number of singular values.
  template<class = void>
  [[nodiscard]] std::size_t values() const noexcept {
    std::size_t sum = 0;
    for (const spectrum& s : slices) sum += s.values.size();
    return sum;
  }
  bool operator==(const spectra&) const = default;
};

/// Refuses inconsistent spectra: sizes that do not match the rank, negative or ascending singular values, and NaN or
/// infinity. `where` names the stage in messages.
template<class = void>
inline void check(const spectra& all, const std::string& where = "spectra") {
  for (const spectrum& s : all.slices) {
    const auto bad = [&](std::string what, std::string expected) {
      refuse({.what = "slice " + shown(s.slice.name) + " has " + std::move(what),
              .where = where,
              .expected = std::move(expected)});
    };
    if (s.values.size() != s.slice.rank() || s.scores.size() != s.values.size())
      bad(std::to_string(s.values.size()) + " singular values and " + std::to_string(s.scores.size()) + " scores",
          std::to_string(s.slice.rank()) + " of each");
    for (std::size_t r = 0; r < s.values.size(); ++r) {
      if (!kernel::is_finite(s.values[r]) || s.values[r] < 0 || (r > 0 && s.values[r] > s.values[r - 1]))
        bad("the singular value " + text::number(s.values[r]) + " at " + std::to_string(r),
            "finite values, largest first");
      if (!kernel::is_finite(s.scores[r]))
        bad("the score " + text::number(s.scores[r]) + " at " + std::to_string(r), "finite scores");
    }
  }
}

/// Writes spectra. Each slice has one line with its name, matrix, layer, role, rows and columns, followed by one line
/// `SINGULAR_VALUE SCORE` per singular value:
///
///     precis-spectra 1
///     scorer eigen_attribution shuffled_cycle seed=0
///     measure nats
///     slice h.3.attn.c_attn.key.head2  matrix=12 layer=3 role=key out=320+32 in=0+256
///     0.73861  0.0343
///
/// Spectra with notes are of version 2 and have lines `note TEXT`.
template<class = void>
[[nodiscard]] inline std::string to_text(const spectra& all) {
  check(all);
  check_model_name(all.model, "spectra");
  std::string out = text::header("precis-spectra", all.model, all.notes.empty() ? 1 : 2) +
                    text::field("scorer", all.scorer) + text::field("measure", all.measure);
  for (const std::string& note : all.notes) out += text::field("note", note);
  for (const spectrum& s : all.slices) {
    if (!text::is_word(s.slice.name))
      refuse({.what = "the slice name '" + shown(s.slice.name) + "'", .where = "spectra", .expected = "one word"});
    out += "slice " + s.slice.name + "  matrix=" + std::to_string(s.slice.matrix) +
           " layer=" + std::to_string(s.slice.layer) + " role=" + std::string(to_string(s.slice.role)) +
           " out=" + std::to_string(s.slice.first_out) + "+" + std::to_string(s.slice.out) +
           " in=" + std::to_string(s.slice.first_in) + "+" + std::to_string(s.slice.in) +
           " heads=" + std::to_string(s.slice.heads) + "\n";
    for (std::size_t r = 0; r < s.values.size(); ++r)
      out += text::number(s.values[r]) + "  " + text::number(s.scores[r]) + "\n";
  }
  return out;
}

/// Reads what `to_text` writes, for a model with these matrices. `where` names the file in messages.
///
/// Errors   each with its line number; slices that are not in the model; spectra that `check` refuses.
template<class = void>
[[nodiscard]] inline spectra parse_spectra(std::string_view source, std::span<const matrix_info> matrices,
                                           std::string_view where = "spectra") {
  const std::vector<text::line> lines = text::split(source);
  const std::span<const text::line> body = text::body(as_span(lines), "precis-spectra", where, 2);
  spectra all;
  std::vector<std::string_view> keys;
  for (const text::line& l : body) {
    const std::string_view first = l.words.front();
    if (first == "model" || first == "scorer" || first == "measure") text::check_first(keys, l, where);
    if (first == "model") {
      check_model_name(l.rest, text::place(l, where));
      all.model = l.rest;
    } else if (first == "scorer") {
      all.scorer = l.rest;
    } else if (first == "measure") {
      all.measure = l.rest;
    } else if (first == "note") {
      all.notes.emplace_back(l.rest);
    } else if (first == "slice") {
      const auto range = [&](std::string_view word, std::size_t& from, std::size_t& count) {
        const std::size_t plus = word.find('+');
        return plus != std::string_view::npos && text::read(word.substr(0, plus), from) &&
               text::read(word.substr(plus + 1), count);
      };
      if (l.words.size() < 2) text::refuse_line(l, where, "a slice without a name", "slice NAME KEY=VALUE ...");
      matrix_slice s{.name = std::string(l.words[1])};
      std::vector<std::string_view> given;
      for (const std::string_view word : std::span(l.words).subspan(2)) {
        const std::size_t equals = std::min(word.find('='), word.size());
        const std::string_view key = word.substr(0, equals), value = word.substr(std::min(equals + 1, word.size()));
        if (std::find(given.begin(), given.end(), key) != given.end())
          text::refuse_line(l, where, "'" + shown(key) + "' twice", "each key once");
        given.push_back(key);
        bool valid = false;
        if (key == "matrix") valid = text::read(value, s.matrix);
        if (key == "layer") valid = text::read(value, s.layer);
        if (key == "heads") valid = text::read(value, s.heads);
        if (key == "out") valid = range(value, s.first_out, s.out);
        if (key == "in") valid = range(value, s.first_in, s.in);
        if (key == "role") {
          s.role = parse_role(value, text::place(l, where));
          valid = true;
        }
        if (!valid)
          text::refuse_line(l, where, "'" + shown(word) + "'",
                            "matrix=INDEX layer=INDEX role=ROLE out=FIRST+COUNT in=FIRST+COUNT heads=COUNT");
      }
      all.slices.push_back({.slice = std::move(s), .values = {}, .scores = {}});
    } else {
      double value = 0, score = 0;
      if (all.slices.empty() || l.words.size() != 2 || !text::read(first, value) || !text::read(l.words[1], score))
        text::refuse_line(l, where, "a line that is not a pair of numbers", "SINGULAR_VALUE SCORE, below a slice");
      all.slices.back().values.push_back(value);
      all.slices.back().scores.push_back(score);
    }
  }
  check_not_empty(all.slices.size(), "slices", where);
  std::vector<matrix_slice> slices;
  slices.reserve(all.slices.size());
  for (const spectrum& s : all.slices) slices.push_back(s.slice);
  check_slices(as_span(slices), matrices, std::string(where));
  check(all, std::string(where));
  return all;
}

PRECIS_IEEE_END
}  // namespace precis
