#pragma once

/// Character properties that WordPiece uses. unicode_tables.py generates the tables from Unicode data.
namespace engine {

enum class character_class {
  other,        ///< letters, digits, symbols
  control,      ///< includes unassigned code points
  blank,        ///< white space
  mark,         ///< nonspacing mark, such as an accent
  punctuation,  ///< includes every ASCII symbol
};
[[nodiscard]] character_class class_of(char32_t point) noexcept;

/// Whether a character is a CJK ideograph, which is a word by itself.
[[nodiscard]] bool is_ideograph(char32_t point) noexcept;

/// A character in lower case without accents: at most four characters.
struct folded {
  char32_t points[4] = {};
  unsigned count = 0;
};
/// Decomposes a character, drops its marks and lowercases the rest; the result is empty for a mark.
[[nodiscard]] folded fold(char32_t point) noexcept;

}  // namespace engine
