#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace engine {

/// Bytes of the character that begins at `at`, or 0 if there is no valid one: a stray, truncated or overlong sequence,
/// a surrogate, or a code point above U+10FFFF. Requires at < text.size().
[[nodiscard]] constexpr std::size_t utf8_length(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() - at < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  const unsigned next = byte(1);
  const bool out_of_range = (lead == 0xE0 && next < 0xA0) || (lead == 0xED && next > 0x9F) ||
                            (lead == 0xF0 && next < 0x90) || (lead == 0xF4 && next > 0x8F);
  return out_of_range ? 0 : length;
}

/// The end of the valid UTF-8 that begins at `at`: the end of the text, or its next invalid byte.
[[nodiscard]] constexpr std::size_t valid_end(std::string_view text, std::size_t at) noexcept {
  while (at < text.size()) {
    const std::size_t length = utf8_length(text, at);
    if (length == 0) break;
    at += length;
  }
  return at;
}

/// Decodes the valid sequence of `length` bytes at `at`.
[[nodiscard]] constexpr char32_t utf8_decode(std::string_view text, std::size_t at, std::size_t length) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[at + i])); };
  if (length == 1) return byte(0);
  char32_t point = byte(0) & (0xFFu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) point = (point << 6) | (byte(i) & 0x3F);
  return point;
}

/// The text with every occurrence of `from`, which is not empty, replaced.
[[nodiscard]] inline std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t next = text.find(from, at);
    out += text.substr(at, next == std::string_view::npos ? next : next - at);
    if (next == std::string_view::npos) break;
    out += to;
    at = next + from.size();
  }
  return out;
}

/// Requires a valid code point: at most U+10FFFF and not a surrogate.
[[nodiscard]] inline std::string utf8_encode(char32_t point) {
  const auto rest = [point](unsigned shift) { return static_cast<char>(0x80 | ((point >> shift) & 0x3F)); };
  if (point < 0x80) return {static_cast<char>(point)};
  if (point < 0x800) return {static_cast<char>(0xC0 | (point >> 6)), rest(0)};
  if (point < 0x10000) return {static_cast<char>(0xE0 | (point >> 12)), rest(6), rest(0)};
  return {static_cast<char>(0xF0 | (point >> 18)), rest(12), rest(6), rest(0)};
}

}  // namespace engine
