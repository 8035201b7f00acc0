#pragma once

/// What WordPiece asks of a character. Tables are made from Unicode by unicode_tables.py.
namespace engine {

enum class character_class {
  other,        ///< letters, digits, symbols
  control,      ///< and what is not assigned
  blank,        ///< white space
  mark,         ///< an accent that takes no room of its own
  punctuation,  ///< and every symbol of ASCII
};
[[nodiscard]] character_class class_of(char32_t point) noexcept;

/// A character of Chinese script (with those Japanese and Korean took over), which is a word of its own.
[[nodiscard]] bool is_ideograph(char32_t point) noexcept;

/// Lower case without accents: at most four characters.
struct folded {
  char32_t points[4] = {};
  unsigned count = 0;
};
/// The character decomposed, its marks dropped, the rest in lower case; nothing for a mark.
[[nodiscard]] folded fold(char32_t point) noexcept;

}  // namespace engine
