#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/kernel/ieee.hpp>

#include <charconv>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The text format that plans, scores, cost tables and spectra share: one record per line, words separated by blanks,
/// and comments that start with `#`.
namespace precis::text {
PRECIS_IEEE_BEGIN

/// A line that is neither blank nor only a comment.
struct line {
  std::size_t number = 0;                 ///< line number in the file, from 1
  std::vector<std::string_view> words{};  ///< never empty; non-owning views of the text that was split
  std::string_view rest = {};             ///< everything after the first word, trimmed
};

/// Splits a text into lines, dropping blank lines and comments. The text must outlive the result.
template<class = void>
[[nodiscard]] inline std::vector<line> split(std::string_view text) {
  constexpr std::string_view blank = " \t\r";
  std::vector<line> lines;
  std::size_t number = 0;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // the byte order mark that some editors write
  while (!text.empty()) {
    ++number;
    const std::size_t end = text.find('\n');
    std::string_view row = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    row = row.substr(0, row.find('#'));

    line l{.number = number, .words = {}, .rest = {}};
    for (std::size_t at = row.find_first_not_of(blank); at != std::string_view::npos;
         at = row.find_first_not_of(blank, at)) {
      const std::size_t stop = std::min(row.find_first_of(blank, at), row.size());
      if (l.words.size() == 1) l.rest = row.substr(at);
      l.words.push_back(row.substr(at, stop - at));
      at = stop;
    }
    if (const std::size_t last = l.rest.find_last_not_of(blank); last != std::string_view::npos)
      l.rest = l.rest.substr(0, last + 1);
    if (!l.words.empty()) lines.push_back(std::move(l));
  }
  return lines;
}

/// The place of a line in messages: "my.plan: line 7".
template<class = void>
[[nodiscard]] inline std::string place(const line& l, std::string_view where) {
  return std::string(where) + ": line " + std::to_string(l.number);
}

/// Refuses line `l` of the file `where`.
template<class = void>
[[noreturn]] inline void refuse_line(const line& l, std::string_view where, std::string what, std::string expected) {
  refuse({.what = std::move(what), .where = place(l, where), .expected = std::move(expected)});
}

/// Refuses a second header line with the key of `l`. `seen` holds the keys so far.
template<class = void>
inline void check_first(std::vector<std::string_view>& seen, const line& l, std::string_view where) {
  const std::string_view key = l.words.front();
  if (std::find(seen.begin(), seen.end(), key) != seen.end())
    refuse_line(l, where, "a second '" + std::string(key) + "' line", "one");
  seen.push_back(key);
}

/// The shortest decimal text that reads back as the same double.
template<class = void>
[[nodiscard]] inline std::string number(double value) {
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

/// Reads a whole word as a number. Returns false if it is not a number, has trailing characters, or is not finite.
template<class Number>
[[nodiscard]] bool read(std::string_view word, Number& value) {
  const auto [end, fault] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (fault != std::errc{} || end != word.data() + word.size()) return false;
  if constexpr (std::floating_point<Number>) return kernel::is_finite(value);
  return true;
}

/// Whether a name fits in one word: not empty, without blanks, control characters or `#`.
template<class = void>
[[nodiscard]] inline bool is_word(std::string_view name) noexcept {
  for (const char c : name)
    if (static_cast<unsigned char>(c) <= ' ' || c == '#' || c == 0x7F) return false;
  return !name.empty();
}

/// Whether a word starts a header line of one of the file formats. No unit may have such a name.
template<class = void>
[[nodiscard]] inline bool is_keyword(std::string_view name) noexcept {
  for (const std::string_view word :
       {"model", "units", "note", "scorer", "measure", "maker", "original", "entries", "unscored", "columns"})
    if (name == word) return true;
  return false;
}

/// A remark on one line: line ends and `#` become blanks.
template<class = void>
[[nodiscard]] inline std::string one_line(std::string remark) {
  std::replace_if(remark.begin(), remark.end(), [](char c) { return c == '\n' || c == '\r' || c == '#'; }, ' ');
  return remark;
}

/// A header line: the key, then the value on one line.
template<class = void>
[[nodiscard]] inline std::string field(std::string_view key, std::string value) {
  return std::string(key) + " " + one_line(std::move(value)) + "\n";
}

/// The first lines of a file: "FORMAT VERSION", and "model FINGERPRINT" if the model is known.
template<class = void>
[[nodiscard]] inline std::string header(std::string_view format, std::string_view model, unsigned version = 1) {
  std::string out = std::string(format) + " " + std::to_string(version) + "\n";
  if (!model.empty()) out += "model " + std::string(model) + "\n";
  return out;
}

/// The lines below the first one, which must be "FORMAT VERSION" with a version from 1 to `newest`.
///
/// Errors   another format or version, or an empty file; the message shows what was found. A control character, by its
///          line: a table is text. `where` names the file.
template<class = void>
[[nodiscard]] inline std::span<const line> body(std::span<const line> lines, std::string_view format,
                                                std::string_view where, unsigned newest = 1) {
  unsigned version = 0;
  std::string what = "an empty file";
  if (!lines.empty()) {
    const std::string_view first = lines.front().words.front(), rest = lines.front().rest;
    const bool has_version = first == format && read(rest, version);
    if (has_version && version >= 1 && version <= newest) {
      for (const line& l : lines)
        for (const std::string_view part : {l.words.front(), l.rest})
          for (const char c : part)
            if ((static_cast<unsigned char>(c) < ' ' && c != '\t') || c == 0x7F)
              refuse_line(l, where, "the control character '" + shown({&c, 1}) + "'", "text");
      return lines.subspan(1);
    }
    what = "it starts with '" + shown(first);
    if (first == format && !rest.empty()) what += " " + shown(rest);
    what += has_version && version > newest ? "', which a newer version of precis wrote" : "'";
  }
  refuse({.what = std::move(what),
          .where = std::string(where),
          .expected = "'" + std::string(format) + " 1'" +
                      (newest == 1 ? "" : " or '" + std::string(format) + " " + std::to_string(newest) + "'") +
                      " on the first line"});
}

/// A name padded with blanks to `width` characters, so that columns align.
template<class = void>
[[nodiscard]] inline std::string padded(std::string_view name, std::size_t width) {
  return std::string(name) + std::string(width - std::min(width, name.size()), ' ');
}

PRECIS_IEEE_END
}  // namespace precis::text
