#pragma once

#include <precis/core/algorithms.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace precis {

/// Bytes of the UTF-8 character that starts at `at`; 0 if none does.
template<class = void>
[[nodiscard]] constexpr std::size_t utf8_character(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) -> unsigned {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
  };
  if (at >= text.size()) return 0;
  const unsigned first = byte(0), second = byte(1);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xC2 ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF5 ? 4
                                            : 0;
  for (std::size_t i = 1; i < length; ++i)
    if (byte(i) >> 6 != 2) return 0;
  const bool wrong = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
                     (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
  return wrong ? 0 : length;
}

/// A text without what would disturb a terminal: control characters and bytes that are no UTF-8 are written in hexadecimal
/// behind a backslash, and the characters of `marked` get a backslash. Of a text that would take more than `longest`
/// bytes, the end is left out: "the beginning...".
///
/// Errors   none.
/// @post    the result is UTF-8 without control characters, of at most `longest` bytes.
/// @post    a result is its own result, if no characters are marked.
template<class = void>
[[nodiscard]] inline std::string printable(std::string_view text, std::size_t longest, std::string_view marked = {}) {
  constexpr std::string_view digits = "0123456789ABCDEF", left_out = "...";
  std::string out;
  std::size_t kept = 0;  // bytes of `out` after which `left_out` still fits
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_character(text, at);
    const auto first = static_cast<unsigned char>(text[at]);
    const bool control = first < 0x20 || first == 0x7F ||  // also U+0080 to U+009F
                         (first == 0xC2 && length == 2 && static_cast<unsigned char>(text[at + 1]) < 0xA0);
    const std::size_t taken = std::max<std::size_t>(length, 1);
    for (std::size_t i = 0; i < taken; ++i) {
      const auto byte = static_cast<unsigned char>(text[at + i]);
      if (length == 0 || control)
        out += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
      else if (marked.find(text[at]) != std::string_view::npos)
        out += {'\\', text[at]};
      else
        out += text[at + i];
    }
    at += taken;
    if (out.size() + left_out.size() <= longest) kept = out.size();
    if (out.size() > longest) return out.substr(0, kept) + std::string(left_out);
  }
  return out;
}

/// A name or word from a file, for a message that puts it in quotation marks: printable, at most 80 bytes, with a backslash
/// before quotation marks and backslashes.
template<class = void>
[[nodiscard]] inline std::string shown(std::string_view name) {
  return printable(name, 80, "\"'\\");
}

}  // namespace precis
