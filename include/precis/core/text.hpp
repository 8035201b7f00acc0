#pragma once

#include <precis/core/error.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

/// The line format that plans, score tables and cost tables share: words separated by blanks, `#` starts a comment.
namespace precis::text {

/// One line that says something, and where it stood.
struct line {
  std::size_t number = 0;               ///< from 1
  std::vector<std::string_view> words;  ///< never empty; views into the text that was split
  std::string_view rest;                ///< everything after the first word, trimmed
};

/// The lines of a text without blank ones and comments. The text must outlive the result.
[[nodiscard]] inline std::vector<line> split(std::string_view text) {
  constexpr std::string_view blank = " \t\r";
  std::vector<line> lines;
  std::size_t number = 0;
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

/// Refuses line `l` of the file called `where`.
[[noreturn]] inline void refuse_line(const line& l, std::string_view where, std::string what, std::string expected) {
  refuse({.what = "line " + std::to_string(l.number) + ": " + std::move(what),
          .where = std::string(where),
          .expected = std::move(expected)});
}

/// The shortest text that reads back as the same double.
[[nodiscard]] inline std::string number(double value) {
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

/// Reads a whole word as a number; false when it is not one, or not finite.
template<class Number>
[[nodiscard]] bool read(std::string_view word, Number& value) {
  const auto [end, fault] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (fault != std::errc{} || end != word.data() + word.size()) return false;
  if constexpr (std::floating_point<Number>) return std::isfinite(value);
  return true;
}

/// A name that fits in one word: not empty, no blanks, no control characters, no `#`.
[[nodiscard]] inline bool is_word(std::string_view name) noexcept {
  for (const char c : name)
    if (static_cast<unsigned char>(c) <= ' ' || c == '#' || c == 0x7F) return false;
  return !name.empty();
}

/// The words that start a line of a plan, a score table or a cost table themselves: no unit may be called so.
[[nodiscard]] inline bool is_keyword(std::string_view name) noexcept {
  for (const std::string_view word : {"model", "units", "note", "scorer", "measure", "maker", "original", "entries"})
    if (name == word) return true;
  return false;
}

/// A remark as one line: line ends and `#` become blanks.
[[nodiscard]] inline std::string one_line(std::string remark) {
  std::ranges::replace_if(remark, [](char c) { return c == '\n' || c == '\r' || c == '#'; }, ' ');
  return remark;
}

}  // namespace precis::text
